#!/usr/bin/env python
"""Seconds of the web page in headless Chromium: until it is loaded, of its first clip and of the next, with ONNX Runtime's wasm.

python benchmarks/browser.py --output docs/performance/browser.json

Needs the extras [onnx] and [test] (selenium), Chromium with its driver, and npm, which fetches the page's libraries. The page is
served from this machine, so that loading is none of a network.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from selenium import webdriver

from lfdm_diffusers.embedded import embedded_model, embedded_photographs
from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.export.folder import export_onnx
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.pipelines.loading import load_pipeline
from lfdm_diffusers.web.folder import compose
from lfdm_diffusers.web.runtime import runtime_files
from lfdm_diffusers.web.serving import make_server

SIDE = 512  # of the photograph's face, a square
SCRIPT = """
const [done] = arguments;
(async () => {
  const app = await import("./app.js");
  await app.ready;
  const loaded = performance.now() / 1000;
  const seconds = [];
  for (const input of document.querySelectorAll("input[name=label]")) {
    input.click();
    const since = performance.now();
    await app.generate();
    if (!document.getElementById("status").textContent.includes("made in")) throw new Error(document.getElementById("status").textContent);
    seconds.push((performance.now() - since) / 1000);
  }
  return { loaded, seconds, facts: document.getElementById("facts").textContent };
})().then(done, (error) => done({ error: `${error.message} ${error.stack}` }));
"""


def photograph(folder: Path) -> Path:
    """The face of the package's photograph, framed as the model was trained: the page looks for none."""
    ((path, face),) = embedded_photographs().items()
    PIL.Image.open(path).crop(face).resize((SIDE, SIDE)).save(folder / "face.png")
    return folder / "face.png"


def timed(url: str) -> dict[str, Any]:
    """What the page does in a browser that never saw it."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.set_script_timeout(600)
        browser.get(url)
        found = browser.execute_async_script(SCRIPT)
    finally:
        browser.quit()
    if "error" in found:
        raise RuntimeError(found["error"])
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("browser.json"))
    parser.add_argument("--model", default="people128")
    parser.add_argument("--calls", type=int, default=3, help="browsers, one after the other")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        pipe = load_pipeline(embedded_model(args.model))
        steps = pipe.config.default_num_inference_steps
        export_onnx(pipe, folder / "model", num_inference_steps=[steps])
        sizes = compose(folder / "page", folder / "model", runtime_files(), [photograph(folder)])
        server = make_server(folder / "page")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        runs = [timed("http://{}:{}/".format(*server.server_address[:2])) for _ in range(args.calls)]
        server.shutdown()
    rows = {
        "until the page is loaded": [run["loaded"] for run in runs],
        "the first clip": [run["seconds"][0] for run in runs],
        "a further clip": [statistics.median(run["seconds"][1:]) for run in runs],
    }
    content = {
        "browser": {name: {"median": statistics.median(values), "all": values} for name, values in rows.items()}
    }
    content |= {
        "model": args.model,
        "steps": steps,
        "facts": runs[0]["facts"],
        "megabytes": round(sizes["model"] / 1e6, 1),
    }
    for name, row in content["browser"].items():
        print(f"{name}: {row['median']:.3g} s")
    write_json(args.output, content | {"software": software(), "hardware": hardware(torch.device("cpu"))})


if __name__ == "__main__":
    main()
