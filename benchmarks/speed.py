#!/usr/bin/env python
"""Seconds, memory and share of the machine's GEMM peak of everything that takes time, each in a process of its own.

    python benchmarks/speed.py --output docs/performance/cpu_avx2.json    # all that docs/performance.md shows of this machine
    python benchmarks/speed.py --output one.json --models mug128 --items unet_step --dtypes float32 bfloat16

Weights are random: time does not depend on them. They are loaded from files in the row's precision, as `from_pretrained` does it, so that
memory holds what was used of them. GFLOP are counted by torch (convolutions, products, attention) in a call that
is not timed; the peak is that of a product of 4096x4096 matrices in the same precision, measured in the same process just
after. "plain" rows are the same formulas without this package's ways of being fast (`plain.py`). `seconds x peak` is the work in GFLOP that a perfect program could have done meanwhile: machines compare by it.
`performance_page.py` writes the page.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import multiprocessing
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from workloads import ITEMS, TRAINING, Case, Workload, save_models, weight_type

from lfdm_diffusers import ops
from lfdm_diffusers.evaluation.report import peak_memory_bytes, software
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.ops.cpu import has_instructions
from lfdm_diffusers.pipelines.loading import DTYPES

PLAIN = ("decode", "unet_step", "video_ddim10")  # what `plain.py` has
LEAST_SECONDS, MOST_CALLS, LEAST_CALLS = 3.0, 30, 3
SLOW_SECONDS = 10.0  # for one product


def synchronised(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call, to its last kernel."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    since = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - since


def gemm_peak(device: torch.device, dtype: torch.dtype, size: int = 4096) -> float:
    """GFLOP/s of a product of square matrices: the median of seven. Where that would take minutes, as in float16 on CPUs that have no
    instructions for it, of smaller ones."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    small = slice(0, size // 8)
    synchronised(lambda: torch.mm(a[small, small], b[small, small]), device)
    if 8**3 * synchronised(lambda: torch.mm(a[small, small], b[small, small]), device) > SLOW_SECONDS:
        a, b, size = a[small, small].contiguous(), b[small, small].contiguous(), size // 8
    torch.mm(a, b)
    return 2 * size**3 / 1e9 / statistics.median(synchronised(lambda: torch.mm(a, b), device) for _ in range(7))


def measure(case: Case, folder: Path) -> dict:
    """The row of a case, with the models in `folder`."""
    device, imported = torch.device(case.device), (peak_memory_bytes() or math.nan) / 1e9
    workload = Workload(case, folder)
    with torch.set_grad_enabled(case.item in TRAINING):
        call = workload.call()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        first = synchronised(call, device)
        if case.compiled and case.item in TRAINING:
            synchronised(call, device)  # gradients that are there already are another graph
        times: list[float] = []
        while len(times) < LEAST_CALLS or (sum(times) < LEAST_SECONDS and len(times) < MOST_CALLS):
            times.append(synchronised(call, device))
        memory = (
            torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory_bytes() or math.nan
        ) / 1e9
        seconds, extrapolated = statistics.median(times), None
        if case.item == "video_ddpm1000":
            few = statistics.median(synchronised(lambda: workload.video(workload.pipe, 5), device) for _ in times)
            extrapolated = {"seconds_at_5_steps": few, "seconds_at_15_steps": seconds}
            seconds = few + 995 * (seconds - few) / 10
        gigaflops = count_flops(case, folder, call)
    peaks = {name: gemm_peak(device, DTYPES[name]) for name in dict.fromkeys(("float32", case.dtype))}
    return asdict(case) | {
        "seconds": seconds,
        "spread": [min(times), max(times)],
        "calls": len(times),
        "first_call": first,
        "extrapolated": extrapolated,
        "gigaflop": gigaflops,
        "gemm_gflops": peaks,
        "share_of_peak": gigaflops / seconds / peaks[case.dtype] if gigaflops else None,
        "seconds_x_peak": seconds * peaks["float32"],
        "peak_memory_gb": memory,
        "memory_after_imports_gb": imported,
        "commit": commit(),
    }


def commit() -> str | None:
    """Of the project, if it is known; "+" for what is not committed."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        found = [
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip() for words in GIT
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return found[0] + ("+" if found[1] else "")


GIT = (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", "../lfdm_diffusers", "."])


def count_flops(case: Case, folder: Path, call: Callable[[], object]) -> float | None:
    """GFLOP of a call, backward pass included, with all multiplications that convolutions are defined by; None for what is extrapolated."""
    if case.item == "video_ddpm1000":
        return None
    if case.compiled:  # kernels of the compiler are not counted
        call = Workload(replace(case, compiled=False), folder).call()
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter, ops.limits(winograd=False):
        call()
    return counter.get_total_flops() / 1e9


def attention_flop(query: torch.Size, key: torch.Size, value: torch.Size, *args: object, **kwargs: object) -> int:
    """Of two products of all pairs, which torch's counter does not count for the CPU's fused kernel."""
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])


CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flop}


def plan(device: str, half: bool = True) -> list[Case]:
    """What docs/performance.md shows of a machine: everything as it is used, the plain formulas, other batches and precisions, compiled,
    and larger. CPUs have fewer of each: no float16 at full size, for which they may have no instructions, and of the rows compiled or
    with a batch of 10 those that do not take many minutes or more memory than there is. Those without instructions for bfloat16 (`half`
    is false) have fewer still, in float32, and the small model's in half precision, to show what it costs them."""
    cuda, cases = torch.device(device).type == "cuda", []
    models, usual = ("mug128", "toon64"), "bfloat16" if half else "float32"
    dtypes = ("float32", *(["bfloat16"] if half else []), *(["float16"] if cuda else []))
    for model, item, dtype in itertools.product(models, ITEMS, dtypes):
        if item not in TRAINING or dtype != "float16":  # its loss scaling is not in these steps
            cases.append(Case(item, model, dtype, usual_batch(item), device=device))
    cases += [Case(item, plain=True, device=device) for item in PLAIN]
    cases += [Case(item, "mug128", usual, usual_batch(item), device=device, checkpointing=True) for item in TRAINING]
    for item in ("unet_step", "decode"):
        cases += [Case(item, "mug128", usual, device=device, frames=count) for count in (160, 640)]
        cases += [Case(item, "mug128", usual, device=device, size=size) for size in (256, 512)]
    for model, item in itertools.product(models, ITEMS):
        slow = model == "mug128" and (item in ("video_ddim10", "train_unet_step") or not half)
        if cuda or not (item == "video_ddpm1000" or slow):
            cases.append(Case(item, model, usual, 10, device=device))
    if cuda:
        cases += [Case("train_unet_step", "mug128", "bfloat16", batch, device=device) for batch in (20, 40)]
    else:
        for dtype in ("float16",) if half else ("bfloat16", "float16"):
            cases += [Case(item, "toon64", dtype) for item in ITEMS if item not in (*TRAINING, "video_ddpm1000")]
    for model, item in itertools.product(models, ITEMS):
        slow = item == "video_ddpm1000" or (model == "mug128" and item not in ("decode", "unet_step"))
        slow = slow or (item != "unet_step" and not half)
        if cuda or not slow:
            batches = (1, 10) if cuda and item not in TRAINING else (usual_batch(item),)
            cases += [Case(item, model, usual, batch, True, device) for batch in batches]
    return cases


def usual_batch(item: str) -> int:
    """A stage-one step learns of several pairs."""
    return 4 if item == "train_lfae_step" else 1


def run(args: argparse.Namespace, saved: Path) -> None:
    """Measure each case in a process of its own, with models in `saved`; rows that are in the file already are kept."""
    before = json.loads(args.output.read_text(encoding="utf-8")) if args.output.is_file() else {"rows": []}
    done = before["rows"]
    # Written by hand, of rows that are there.
    note = {} if args.again or "note" not in before else {"note": before["note"]}
    chosen = {"model": args.models, "item": args.items, "dtype": args.dtypes, "batch": args.batches}
    half = torch.device(args.device).type != "cpu" or has_instructions(torch.bfloat16)
    machine = {
        "processor": processor(args.device),
        "threads": torch.get_num_threads(),
        "half": half,
        "command": f"python benchmarks/speed.py --output {args.output} --device {args.device}",  # makes all rows
    }
    for case in plan(args.device, half):
        if any(values and getattr(case, name) not in values for name, values in chosen.items()):
            continue
        if args.as_trained and (case.frames or case.size or case.compiled):
            continue
        same = [row for row in done if is_of(case, row)]
        if same and not args.again:
            continue
        found = in_a_process(case, saved)
        if found.returncode:
            print(f"{case}: {(found.stderr.strip().splitlines() or ['killed'])[-1]}", file=sys.stderr)
            continue
        done = [row for row in done if row not in same]
        done.append(json.loads(found.stdout.splitlines()[-1]))
        row = done[-1]
        told = ", ".join(f"{name} {value}" for name, value in asdict(case).items() if value not in (None, False))
        print(f"{told}: {row['seconds']:.4g} s, {row['peak_memory_gb']:.2f} GB", flush=True)
        write_json(args.output, {"machine": machine, **note, "software": software(), "rows": done})


def in_a_process(case: Case, saved: Path) -> subprocess.CompletedProcess:
    """`measure`, in a process that has not made the models itself."""
    folder = saved_models(case, saved)
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case)), "--folder", str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


def saved_models(case: Case, saved: Path) -> Path:
    """The folder in `saved` with the models of a case, made once for all cases that have the same."""
    folder = saved / f"{case.model}-{weight_type(case)}"
    if not folder.exists():
        made = multiprocessing.get_context("spawn").Process(target=save_models, args=(case, folder))
        made.start()
        made.join()
        if made.exitcode:
            sys.exit(f"The models of {case} could not be saved in {folder}.")
    return folder


def is_of(case: Case, row: dict) -> bool:
    """Whether a row of results is that of a case."""
    return asdict(case).items() <= row.items()


def processor(device: str) -> str:
    """Its name."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("speed.json"), help="JSON; goes on there if begun")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--models", nargs="+", help="only these; likewise below")
    parser.add_argument("--items", nargs="+", choices=ITEMS)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES)
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--as-trained", action="store_true", help="no longer or larger videos, and nothing compiled")
    parser.add_argument("--again", action="store_true", help="also what is in the file: its rows are replaced")
    parser.add_argument("--case", help=argparse.SUPPRESS)  # one row as JSON, in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # with its models
    args = parser.parse_args(argv)
    if args.case:
        print(json.dumps(measure(Case(**json.loads(args.case)), args.folder)))
    else:
        with tempfile.TemporaryDirectory() as saved:
            run(args, Path(saved))


if __name__ == "__main__":
    main()
