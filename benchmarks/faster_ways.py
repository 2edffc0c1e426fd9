#!/usr/bin/env python
"""How many times as long models take without each of their faster ways (`lfdm_diffusers/ops`), beside all of them.

    python benchmarks/faster_ways.py --output faster_ways.json

The calls are those of `speed.py`. Contexts take turns in one process, on one thread, whose own time is taken; of the turns the least is
told, since what else the machine does only adds. "nothing" is all of them once more: what it differs from 1 by is chance. On a processor
of AVX-512 the ways of one with AVX2 alone are measured with ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2 in the environment.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from speed import processor
from workloads import TRAINING, Case, Workload, save_models

from lfdm_diffusers import ops
from lfdm_diffusers.evaluation.report import software
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.ops.cpu import has_instructions

NEVER = 2**62
# Of each way, the limits with which it is never taken: those of the U-Net, and those of the auto-encoder.
ATTENTION: dict[str, dict[str, bool | float]] = {
    "attention by products": {"product_tokens": 0},
    "late normalisation": {"late_logit": 0.0},
    "attention in blocks": {"attention_block_bytes": NEVER},
    "turned weights": {"turned_channels": 0},
    "projected sums": {"projected_sums": False},
}
CONVOLUTIONS: dict[str, dict[str, bool | float]] = {
    "gathered warps": {"gathered_channels": NEVER},
    "doubling convolutions": {"doubled_places": NEVER},
    "few places as a product": {"product_channels": NEVER},
    "few channels by columns": {"columns": False},
    "winograd": {"winograd": False},
}
EVERY: dict[str, dict[str, bool | float]] = {"nothing": {}, "all": {"faster_ways": False}}
CASES = (
    Case("unet_step"),
    Case("unet_step", dtype="bfloat16"),
    Case("unet_step", "people128"),
    Case("unet_step", "people128", dtype="bfloat16"),
    Case("decode"),
    Case("train_lfae_step", batch=4),
)


def ways_of(case: Case) -> dict[str, dict[str, bool | float]]:
    """The ways that a case may take."""
    return (ATTENTION if case.item == "unet_step" else CONVOLUTIONS) | EVERY


def own_seconds(call: Callable[[], object]) -> float:
    """Of the process, in a call."""
    since = time.process_time()
    call()
    return time.process_time() - since


def measure(case: Case, folder: Path, seconds: float) -> dict:
    """Seconds of a case with all ways, and how many times as long it takes without each.

    Args:
        seconds: how long turns are taken, but at least three.
    """
    with torch.set_grad_enabled(case.item in TRAINING):
        call = Workload(case, folder).call()
        call()
        sets = {"": {}, **ways_of(case)}
        least, turns, begun = dict.fromkeys(sets, math.inf), 0, time.monotonic()
        while turns < 3 or time.monotonic() - begun < seconds:
            for name, without in sets.items():
                with ops.limits(**without):
                    least[name] = min(least[name], own_seconds(call))
            turns += 1
    with_all = least.pop("")
    times = {name: one / with_all for name, one in least.items()}
    about = {"item": case.item, "model": case.model, "dtype": case.dtype, "turns": turns}
    return {**about, "seconds": with_all, "times_without": times}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("faster_ways.json"))
    parser.add_argument("--items", nargs="+", choices=sorted({case.item for case in CASES}))
    parser.add_argument("--models", nargs="+", choices=sorted({case.model for case in CASES}))
    parser.add_argument("--seconds", type=float, default=240, help="of each case")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        if case.item not in (args.items or [case.item]) or case.model not in (args.models or [case.model]):
            continue
        if case.dtype == "bfloat16" and not has_instructions(torch.bfloat16):
            continue  # float32 is several times as fast there
        with tempfile.TemporaryDirectory() as folder:
            save_models(case, Path(folder))
            torch.set_default_dtype(torch.float32)
            rows.append(measure(case, Path(folder), args.seconds))
        print(f"{case.item}, {case.model}, {case.dtype}: {rows[-1]['seconds']:.3g} s", flush=True)
        for name, times in rows[-1]["times_without"].items():
            print(f"  without {name}: {times:.3f} times as long", flush=True)
    machine = {"processor": processor("cpu"), "threads": torch.get_num_threads()}
    write_json(args.output, {"ways": rows, "machine": machine, "software": software()})


if __name__ == "__main__":
    main()
