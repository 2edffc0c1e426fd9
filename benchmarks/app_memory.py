#!/usr/bin/env python
"""Resident memory of the app's process while it makes clips one after the other, through its API as a client asks for them.

    python benchmarks/app_memory.py --clips 500 --output docs/performance/app_memory.json

Clips are of other seeds, labels and pictures (the package's). What the process keeps of a clip would
add up; the first clips fill its caches.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from gradio_client import Client, handle_file

from lfdm_diffusers.app.engine import Engine
from lfdm_diffusers.app.page import launch_options, make_page
from lfdm_diffusers.embedded import embedded_pictures
from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.files.whole import write_json

EVERY = 25  # clips between two measurements


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="toon64")
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()

    engine = Engine(args.model, models=[])
    page = make_page(engine).queue()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    pictures, labels, found = embedded_pictures(), engine.pipeline().labels or [""], []
    with tempfile.TemporaryDirectory() as folder:
        client = Client(url, verbose=False, download_files=folder)
        for number in range(args.clips):
            picture = handle_file(str(pictures[number % len(pictures)]))
            client.predict(picture, labels[number % len(labels)], number, api_name="/generate")
            if (number + 1) % EVERY == 0:
                found.append({"clips": number + 1, "resident_mb": round(resident())})
                print(found[-1], flush=True)
    page.close()
    if args.output:
        content = {
            "benchmark": "app_memory",
            "model": args.model,
            "resident": found,
            "hardware": hardware(),
            "software": software(),
        }
        write_json(args.output, content, indent=2)


if __name__ == "__main__":
    main()
