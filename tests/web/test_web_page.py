"""The page in a real browser, against torch; without a network after it is loaded."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import DDIMScheduler
from tiny import LABELS, knowing_sentences, sentence_pipeline

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.pipelines.loading import load_pipeline
from lfdm_diffusers.web.folder import compose
from lfdm_diffusers.web.runtime import runtime_files
from lfdm_diffusers.web.serving import make_server

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
# A node_modules with the page's packages, by `npm install` from lfdm_diffusers/web/page/package.json; else those that `lfdm web` has fetched before.
RUNTIME = os.environ.get("LFDM_WEB_RUNTIME")
# A folder of `lfdm export`, to save the time of making one.
MODEL = os.environ.get("LFDM_WEB_MODEL")
STEPS = 2
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs chromium and chromedriver"),
]
# What a script of a test may use; `done` ends it.
PRELUDE = """
const [given, done] = arguments;
(async () => {
  const app = await import("./app.js");
  await app.ready;
  const status = document.getElementById("status");
  const bytes = async (blob) => [...new Uint8Array(await blob.arrayBuffer())];
"""


@pytest.fixture(scope="module")
def pipe():
    pipe = load_pipeline(embedded_model("toon64"))
    pipe.register_modules(painter=None)  # the page paints by the plain rule unless it is asked to
    return pipe


@pytest.fixture(scope="module")
def page(tmp_path_factory, pipe) -> Iterator[SimpleNamespace]:
    """The page of the bundled model of toon faces in a browser, loaded, and the server that it came from."""
    with opened(tmp_path_factory.mktemp("web"), pipe, Path(MODEL) if MODEL else None) as found:
        yield found


@contextlib.contextmanager
def opened(work: Path, pipe: LFDMPipeline, model: Path | None = None) -> Iterator[SimpleNamespace]:
    """The page of a pipeline, which is exported unless a folder holds it already."""
    try:
        found = runtime_files(RUNTIME, fetch_missing=False)
    except ValueError as error:
        pytest.skip(f"needs the page's npm packages: {error}")
    if model is None:
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
        from lfdm_diffusers.export.folder import export_onnx

        model = work / "model"
        export_onnx(pipe, model, num_inference_steps=[STEPS])
    compose(work / "page", model, found, embedded_pictures())
    server = make_server(work / "page")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--enable-unsafe-swiftshader",  # WebGL without a graphics card
        "--window-size=1280,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    browser.set_script_timeout(280)
    url = "http://{}:{}/".format(*server.server_address[:2])
    browser.get(url)
    yield SimpleNamespace(browser=browser, url=url, server=server)
    browser.quit()
    server.shutdown()
    server.server_close()


def ran(page: SimpleNamespace, script: str, given: Any = None) -> Any:
    """What a script on the page returns."""
    end = '})().then((value) => done({ value }), (error) => done({ error: error.message + "\\n" + error.stack }));'
    answer = page.browser.execute_async_script(f"{PRELUDE}{script}\n{end}", given)
    assert "error" not in answer, answer["error"]
    return answer["value"]


def draws(seed: int, count: int, shape: tuple[int, ...] = (1, 3, 16, 32, 32)) -> list[torch.Tensor]:
    """What torch draws for a clip, one after the other."""
    chance = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=chance) for _ in range(count)]


def test_all_labels_give_torchs_frames(page, pipe):
    picture = PIL.Image.open(embedded_pictures()[0])
    noise = draws(3, STEPS)
    texts = ran(page, "if (!crossOriginIsolated) throw new Error('no threads'); return app.state.about.labels.texts;")
    assert texts == pipe.labels
    for number, label in enumerate(texts):
        frames = ran(
            page,
            """
            const noise = given.noise.map((values) => Float32Array.from(values));
            const { pictures } = await app.frames.ask("frame", { sides: [64], fit: "letterbox" });
            const asked = { pictures, label: given.label, steps: given.steps, scale: 1, noise };
            const { model } = await app.model.generate(asked);
            return [...model.frames].map((value) => Math.round(value * 1e4));
            """,
            {"noise": [x.ravel().tolist() for x in noise], "steps": STEPS, "label": number},
        )
        asked = dict(num_inference_steps=STEPS, eta=1.0, output_type="pt")
        wanted = pipe(picture, label, generator=torch.Generator().manual_seed(3), **asked).frames[0].numpy()
        difference = np.abs(np.array(frames) / 1e4 - wanted.ravel()).mean()
        assert difference <= 2 / 255, label
        assert label == "neutral" or np.abs(wanted - wanted[:1]).mean() > difference  # it is more than a still


def test_frames_of_the_pictures_size_are_the_pipelines(page, pipe):
    made = ran(
        page,
        """
        await app.generate({ noise: given.noise.map((values) => Float32Array.from(values)), steps: given.steps, label: 6 });
        const shown = await app.frames.ask("pixels", { index: given.index });
        const long = await new Promise((resolve) => {
            const found = [];
            new PerformanceObserver((list) => found.push(...list.getEntries().map((entry) => entry.duration)))
                .observe({ type: "longtask", buffered: true });
            setTimeout(() => resolve(found), 300);
        });
        return { ...shown, pixels: [...shown.pixels], status: status.textContent, long };
        """,
        {"noise": [x.ravel().tolist() for x in draws(3, STEPS)], "steps": STEPS, "index": 12},
    )
    picture = PIL.Image.open(embedded_pictures()[0]).convert("RGB")
    asked = dict(num_inference_steps=STEPS, eta=1.0, output_size="picture", output_type="stream")
    (video,) = pipe(picture, pipe.labels[6], generator=torch.Generator().manual_seed(3), **asked).frames
    wanted = np.asarray(list(video)[12]).astype(float)
    got = np.array(made["pixels"]).reshape(made["height"], made["width"], 4)[..., :3]
    assert np.abs(got - wanted).mean() <= 2
    still = (wanted == np.asarray(picture)).all(axis=-1)
    assert 0.02 < still.mean() < 1 and (got == wanted)[still].mean() > 0.99
    assert max(made["long"], default=0) < 1000  # milliseconds that the page does not answer


def test_a_clip_is_saved_as_a_gif_and_as_a_video(page):
    made = ran(
        page,
        """
        const { bytes: gif } = await app.frames.ask("gif", { order: app.player.order(), delay: 100, comment: "made", largest: 64 });
        const { record } = await import("./saving.js");
        return { gif: [...gif], video: await bytes(await record(document.getElementById("canvas"), app.player)) };
        """,
    )
    gif = PIL.Image.open(io.BytesIO(bytes(made["gif"])))
    assert (gif.n_frames, gif.size) == (30, (64, 64)) and gif.info["duration"] == 100
    gif.seek(gif.n_frames - 1)
    assert b"\x21\xfe\x04made\x00\x3b" in bytes(made["gif"])
    with av.open(io.BytesIO(bytes(made["video"]))) as video:
        assert len(list(video.decode(video=0))) >= 8


def test_a_file_that_is_no_picture_gives_one_sentence(page):
    said = ran(page, 'await app.openPicture(new Blob(["hello"])); return [status.textContent, status.className];')
    assert said == ["This file is no picture that your browser can read; choose a PNG, JPEG or WebP.", "status error"]


def test_a_model_that_takes_sentences_is_asked_in_words(tmp_path):
    """Of a small one without training: what the page makes of words is what torch makes of them."""
    pipe = knowing_sentences(sentence_pipeline(default_guidance_scale=2.0))
    pipe.unet.register_to_config(prediction_type="v_prediction")
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, prediction_type="v_prediction")
    count = pipe.unet.config.num_frames
    noise = draws(3, STEPS + 1, (1, 3, count, 8, 8))
    sentences = ["a face smiles", "smiles face a", f"  {LABELS[1].upper()} "]
    with opened(tmp_path, pipe) as page:
        made = ran(
            page,
            """
            const { labelOrText } = await import("./sampling.js");
            const found = [];
            for (const words of given.sentences) {
              const noise = given.noise.map((values) => Float32Array.from(values));
              const { pictures } = await app.frames.ask("frame", { sides: [given.side], fit: "letterbox" });
              const label = labelOrText(app.state.about, words);
              const { model } = await app.model.generate({ pictures, label, steps: given.steps, scale: 1, noise });
              found.push([label, [...model.flow].map((value) => Math.round(value * 1e4)), pictures[0].length]);
            }
            document.getElementById("sentence").value = "waves and waves of anger";
            await app.generate({ noise: given.noise.map((values) => Float32Array.from(values)), steps: given.steps });
            const said = status.textContent;
            document.querySelectorAll("input[name=label]")[1].click();  // the last that was chosen counts
            await app.generate({ noise: given.noise.map((values) => Float32Array.from(values)), steps: given.steps });
            return { found, status: [said, status.textContent], shown: !document.getElementById("own-words").hidden };
            """,
            {
                "noise": [x.ravel().tolist() for x in noise],
                "steps": STEPS,
                "sentences": sentences,
                "side": pipe.lfae.config.sample_size,
            },
        )
    assert made["shown"] and made["status"][0].startswith("Waves and waves of anger, made in")
    assert made["status"][0].endswith(
        "The model learnt from no sentence like this: the clip may have nothing to do with it"
    )
    assert "no sentence like this" not in made["status"][1]
    assert made["status"][1].startswith(f"{LABELS[1].capitalize()}, made in")
    assert [label for label, *_ in made["found"]] == ["a face smiles", "smiles face a", 1]
    picture = PIL.Image.open(embedded_pictures()[0])
    asked = dict(num_inference_steps=STEPS, eta=1.0, output_type="pt")
    for words, (_, flow, _) in zip(sentences, made["found"], strict=True):
        wanted = pipe(picture, words, generator=torch.Generator().manual_seed(3), **asked).flow[0].numpy()
        np.testing.assert_allclose(np.array(flow) / 1e4, wanted.ravel(), atol=0.02)
    assert np.abs(np.subtract(made["found"][0][1], made["found"][1][1])).max() > 100


def test_it_works_without_a_network_and_asks_no_other_origin(page):
    """Last: the server is gone after it."""
    page.server.shutdown()
    page.server.server_close()
    page.browser.get(page.url)
    made = ran(
        page,
        """
        await app.generate({ steps: given });
        return [status.textContent, Boolean(navigator.serviceWorker.controller), crossOriginIsolated];
        """,
        STEPS,
    )
    assert "made in" in made[0] and made[1:] == [True, True]
    asked = set()
    for entry in page.browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.add(message["params"]["request"]["url"])
    assert asked and not {url for url in asked if not url.startswith((page.url, "data:", "blob:"))}
