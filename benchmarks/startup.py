#!/usr/bin/env python
"""Seconds and memory until a user has the package, and a first video: each in processes of their own, medians of several.

python benchmarks/startup.py --output docs/performance/startup.json
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.files.whole import write_json

DIFFUSERS = "from diffusers import DiffusionPipeline, ModelMixin"
PACKAGE = "import lfdm_diffusers\nfrom lfdm_diffusers import LFDMPipeline"
ADDED = "lfdm_diffusers, after them"
PROGRAMS = {
    "torch": "import torch",
    "diffusers' pipeline and model classes": DIFFUSERS,
    ADDED: f"{DIFFUSERS}\nimport time\nsince = time.perf_counter()\n{PACKAGE}\nprint('alone', time.perf_counter() - since)",
    "lfdm --help": (
        "import contextlib\nfrom lfdm_diffusers.cli import main\n"
        "with contextlib.suppress(SystemExit):\n    main(['--help'])"
    ),
    "a first video of the embedded model": (
        "import PIL.Image\nfrom lfdm_diffusers import LFDMPipeline\n"
        "from lfdm_diffusers.embedded import embedded_model, embedded_pictures\n"
        "pipe = LFDMPipeline.from_pretrained(embedded_model('toon64'))\n"
        "pipe(PIL.Image.open(embedded_pictures()[0]), pipe.labels[0])"
    ),
}


def run(program: str) -> tuple[float, float]:
    """Seconds of a process, or of the part that it says, and the most GB that it held (Linux)."""
    memory = "\nfor line in open('/proc/self/status'):\n    if line.startswith('VmHWM'):\n        print(line)"
    since = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program + memory], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - since
    if said := re.search(r"alone (\S+)", done.stdout):
        seconds = float(said[1])
    return seconds, int(re.search(r"VmHWM:\s*(\d+) kB", done.stdout)[1]) * 1024 / 1e9


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("startup.json"))
    parser.add_argument("--calls", type=int, default=7)
    args = parser.parse_args(argv)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for _ in range(args.calls + 1):  # in turns, so that what else the machine does meets all alike
        for name, program in PROGRAMS.items():
            found[name].append(run(program))
    rows = {}
    for name, runs in found.items():
        seconds, memory = zip(*runs)
        rows[name] = {
            "median": statistics.median(seconds[1:]),
            "first": seconds[0],
            "memory_gb": statistics.median(memory[1:]),
        }
        print(f"{name}: {rows[name]['median']:.3g} s, {rows[name]['memory_gb']:.2f} GB")
    content = {"seconds": rows, "software": software(), "hardware": hardware(torch.device("cpu"))}
    write_json(args.output, content)


if __name__ == "__main__":
    main()
