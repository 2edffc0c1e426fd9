#!/usr/bin/env python
"""How many times as fast models are by each of their faster ways (`lfdm_diffusers/ops`): with all of them, and with all but one.

    python benchmarks/faster_ways.py --output faster_ways.json

The calls are those of `speed.py`, of mug128 in float32. Contexts take turns in one process, on one thread, whose own time is taken; of the
turns the least is told, since what else the machine does only adds. On a processor of AVX-512 the ways of one with AVX2 alone are
measured with ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2 in the environment.
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

NEVER = 2**62
# Of each way, the limits with which it is never taken.
WITHOUT: dict[str, dict[str, bool | float]] = {
    "gathered warps": {"gathered_channels": NEVER},
    "doubling convolutions": {"doubled_places": NEVER},
    "few places as a product": {"product_channels": NEVER},
    "few channels by columns": {"columns": False},
    "winograd": {"winograd": False},
    "attention by products": {"product_tokens": 0},
    "late normalisation": {"late_logit": 0.0},
    "attention in blocks": {"attention_block_bytes": NEVER},
    "turned weights": {"turned_channels": 0},
    "projected sums": {"projected_sums": False},
    "pooling's gradient": {"pooled_gradients": False},
    "all": {"faster_ways": False},
}
CASES = (
    Case("unet_step"),
    Case("decode"),
    Case("flow"),
    Case("train_lfae_step", batch=4),
    Case("train_unet_step"),
)


def own_seconds(call: Callable[[], object]) -> float:
    """Of the process, in a call."""
    since = time.process_time()
    call()
    return time.process_time() - since


def measure(case: Case, folder: Path, names: list[str], turns: int) -> dict:
    """Seconds of a case with all ways, and how many times as long it takes without each."""
    with torch.set_grad_enabled(case.item in TRAINING):
        call = Workload(case, folder).call()
        call()
        with_all, without = dict.fromkeys(names, math.inf), dict.fromkeys(names, math.inf)
        for _ in range(turns):
            for name in names:
                with_all[name] = min(with_all[name], own_seconds(call))
                with ops.limits(**WITHOUT[name]):
                    without[name] = min(without[name], own_seconds(call))
    # Least of equally many: of more calls the least is less.
    times = {name: without[name] / with_all[name] for name in names}
    return {"item": case.item, "model": case.model, "seconds": min(with_all.values()), "times_without": times}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("faster_ways.json"))
    parser.add_argument("--model", default="mug128")
    parser.add_argument("--items", nargs="+", choices=[case.item for case in CASES])
    parser.add_argument("--ways", nargs="+", choices=WITHOUT, default=list(WITHOUT))
    parser.add_argument("--turns", type=int, default=9)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        made = Case("unet_step", args.model)
        save_models(made, Path(folder))
        torch.set_default_dtype(torch.float32)
        for case in CASES:
            if args.items and case.item not in args.items:
                continue
            case = Case(case.item, args.model, batch=case.batch)
            rows.append(measure(case, Path(folder), args.ways, args.turns))
            print(f"{case.item}: {rows[-1]['seconds']:.3g} s", flush=True)
            for name, times in rows[-1]["times_without"].items():
                print(f"  without {name}: {times:.3f} times as long", flush=True)
    machine = {"processor": processor("cpu"), "threads": torch.get_num_threads()}
    write_json(args.output, {"ways": rows, "machine": machine, "software": software()})


if __name__ == "__main__":
    main()
