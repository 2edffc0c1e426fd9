#!/usr/bin/env python
"""What clips of the picture's own size cost: the main command at the model's size and at the picture's, in turns, each in a process.

python benchmarks/main_command.py --output docs/performance/main_command.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.files.whole import write_json

SIZES = ("model", "picture")
MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
PROGRAM = f"import sys\nfrom lfdm_diffusers.cli import main\ncode = main(sys.argv[1:])\n{MEMORY}\nsys.exit(code)"


def run(options: list[str]) -> tuple[float, float, float]:
    """Seconds of `lfdm generate`, seconds of all cores together, and the most GB that it held (Linux)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, "generate", "--output", folder, *options]
        since, before = time.perf_counter(), os.times()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, after = time.perf_counter() - since, os.times()
    cores = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cores, int(done.stdout.split()[-1]) * 1024 / 1e9


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("main_command.json"))
    parser.add_argument("--calls", type=int, default=3)
    args, options = parser.parse_known_args(argv)  # others are options of `lfdm generate`
    found: dict[str, list[tuple[float, float, float]]] = {size: [] for size in SIZES}
    for _ in range(args.calls):  # in turns, so that what else the machine does meets all alike
        for size in SIZES:
            found[size].append(run(["--output-size", size, *options]))
    rows = {}
    for size, runs in found.items():
        seconds, cores, memory = (statistics.median(values) for values in zip(*runs))
        rows[size] = {"median": seconds, "core_seconds": cores, "memory_gb": memory}
        print(f"{size}: {seconds:.3g} s, {cores:.3g} s of all cores, {memory:.2f} GB")
    content = {"main_command": rows, "calls": args.calls, "options": options, "software": software()}
    write_json(args.output, content | {"hardware": hardware(torch.device("cpu"))})


if __name__ == "__main__":
    main()
