#!/usr/bin/env python
"""Seconds until a user has the package, and a first video: each in processes of their own, medians of several.

python benchmarks/startup.py --output docs/performance/startup.json
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.whole_files import write_json

DIFFUSERS = "from diffusers import DiffusionPipeline, ModelMixin"
PROGRAMS = {
    "diffusers' pipeline and model classes": DIFFUSERS,
    "the same, then lfdm_diffusers": f"{DIFFUSERS}\nimport lfdm_diffusers\nfrom lfdm_diffusers import LFDMPipeline",
    "a first video of the embedded model": (
        "import PIL.Image\nfrom lfdm_diffusers import LFDMPipeline\n"
        "from lfdm_diffusers.embedded import embedded_model, embedded_pictures\n"
        "pipe = LFDMPipeline.from_pretrained(embedded_model())\n"
        "pipe(PIL.Image.open(embedded_pictures()[0]), pipe.labels[0])"
    ),
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("startup.json"))
    parser.add_argument("--calls", type=int, default=7)
    args = parser.parse_args(argv)
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(args.calls + 1):  # in turns, so that what else the machine does meets all alike
        for name, program in PROGRAMS.items():
            since = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - since)
    rows = {name: {"median": statistics.median(found[1:]), "first": found[0]} for name, found in seconds.items()}
    for name, row in rows.items():
        print(f"{name}: {row['median']:.3g} s")
    content = {"seconds": rows, "software": software(), "hardware": hardware(torch.device("cpu"))}
    write_json(args.output, content)


if __name__ == "__main__":
    main()
