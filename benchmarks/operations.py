#!/usr/bin/env python
"""What a call of `speed.py` spends its time on, operation by operation, or kernel by kernel on a GPU.

    python benchmarks/operations.py --item train_lfae_step --batch 4
    python benchmarks/operations.py --item unet_step --dtype bfloat16 --batch 10 --device cuda

On a GPU the last line says how long its kernels took of the call: the rest it waited for the program that starts them, which a graph of
kernels (`mode="reduce-overhead"` of torch.compile) would not need.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from speed import saved_models, synchronised
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile
from workloads import ITEMS, TRAINING, Case, Workload

from lfdm_diffusers.pipelines.loading import DTYPES


def microseconds(event: FunctionEventAvg, device: torch.device) -> float:
    """Of what the event itself did, without what it called."""
    return event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total


def profiled(case: Case, folder: Path) -> tuple[list[FunctionEventAvg], float]:
    """Events of a call that is not the first, those that took longest first, and the seconds of one that is not watched."""
    device = torch.device(case.device)
    kind = torch.autograd.DeviceType.CUDA if device.type == "cuda" else torch.autograd.DeviceType.CPU
    with torch.set_grad_enabled(case.item in TRAINING):
        call = Workload(case, folder).call()
        for _ in range(2):
            synchronised(call, device)
        seconds = synchronised(call, device)
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        with profile(activities=activities) as watched:
            synchronised(call, device)
    # What is annotated spans kernels that are there already.
    events = [e for e in watched.key_averages() if e.device_type == kind and not e.is_user_annotation]
    return sorted(events, key=lambda event: -microseconds(event, device)), seconds


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--item", choices=ITEMS, default="unet_step")
    parser.add_argument("--model", default="mug128")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", type=int, default=25, help="of the table")
    args = parser.parse_args(argv)
    case = Case(args.item, args.model, args.dtype, args.batch, args.compiled, args.device)
    with tempfile.TemporaryDirectory() as saved:
        events, seconds = profiled(case, saved_models(case, Path(saved)))
    device = torch.device(args.device)
    total = sum(microseconds(event, device) for event in events)
    for event in events[: args.rows]:
        took = microseconds(event, device)
        print(f"{took / 1e3:10.2f} ms {took / total:6.1%} {event.count:6d} x {event.key[:120]}")
    calls = sum(event.count for event in events)
    print(f"{total / 1e3:10.2f} ms in {calls} calls; {1e3 * seconds:.2f} ms without being watched")


if __name__ == "__main__":
    main()
