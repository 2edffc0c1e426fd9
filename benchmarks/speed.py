#!/usr/bin/env python
"""Seconds, memory and share of the machine's GEMM peak of everything that takes time, each in a process of its own.

python benchmarks/speed.py run --output docs/performance/cpu.json              # all that this machine can do
python benchmarks/speed.py run --output one.json --models mug128 --items unet_step --dtypes float32 bfloat16
python benchmarks/speed.py page                                                # docs/performance.md from docs/performance/*.json

Weights are random: time does not depend on them. GFLOP are counted by torch (convolutions, products, attention); the peak is
that of a product of 4096x4096 matrices in the same precision, measured in the same process just after. `seconds x peak` is
the work in GFLOP that a perfect program could have done meanwhile: machines compare by it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from diffusers import DDIMScheduler
from torch.utils.flop_counter import FlopCounterMode

from lfdm_diffusers import LatentFlowAutoencoder, LFDMPipeline, UNet3DVideoModel
from lfdm_diffusers.command_tools import DTYPES
from lfdm_diffusers.evaluation.report import software
from lfdm_diffusers.losses import DenoisingLoss, LFAELoss, PixelPyramidLoss, RandomTransform
from lfdm_diffusers.presets import get_lfae_config, get_unet_config
from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.whole_files import whole

DOCS = Path(__file__).parents[1] / "docs"
RUNS = DOCS / "performance"
ITEMS = {
    "encode": "encode one picture",
    "flow": "flow between two pictures, and reconstruction",
    "decode": "decode all frames",
    "unet_step": "U-Net, one step",
    "video_ddim10": "a whole video, DDIM-10",
    "video_ddpm1000": "a whole video, DDPM-1000 (from 5 and 15 steps)",
    "train_lfae_step": "stage-one training step, without a perceptual network",
    "train_unet_step": "stage-two training step, cached flows",
}
TRAINING = ("train_lfae_step", "train_unet_step")
LEAST_SECONDS, MOST_CALLS, LEAST_CALLS = 3.0, 30, 3


@dataclass(frozen=True)
class Case:
    """What one process measures.

    Attributes:
        item: of `ITEMS`.
        model: a preset.
        dtype: of the models; in training, of autocast over float32 weights.
        batch: pictures, pairs or videos at once.
        compiled: whether models run under torch.compile.
        device: torch's name of it.
        frames, size: of a video; as trained where None.
    """

    item: str
    model: str = "mug128"
    dtype: str = "float32"
    batch: int = 1
    compiled: bool = False
    device: str = "cpu"
    frames: int | None = None
    size: int | None = None


# ---- one case -------------------------------------------------------------------------------------------------------


class Workload:
    """The models of a case, and a function to call again and again."""

    def __init__(self, case: Case):
        torch.manual_seed(0)
        self.case, self.device, self.dtype = case, torch.device(case.device), DTYPES[case.dtype]
        lfae = LatentFlowAutoencoder(**get_lfae_config(case.model))
        config = get_unet_config(case.model)
        side = (case.size or lfae.config.sample_size) // lfae.downscale_factor
        self.frames = case.frames or config["num_frames"]
        unet = UNet3DVideoModel(**config | {"sample_size": side, "image_latent_channels": lfae.latent_channels})
        trains = case.item in TRAINING
        self.lfae, self.unet = (m.to(self.device, torch.float32 if trains else self.dtype) for m in (lfae, unet))
        self.pixels = case.size or lfae.config.sample_size
        self.volume_shape = (case.batch, 3, self.frames, side, side)
        for module in (self.lfae, self.unet):
            module.train(trains)

    def call(self) -> Callable[[], object]:
        """What is timed."""
        return getattr(self, self.case.item)()

    def pictures(self, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (self.case.batch, 3, self.pixels, self.pixels)
        return torch.rand(shape, generator=generator).to(self.device, next(self.lfae.parameters()).dtype)

    def compiled(self, module: torch.nn.Module) -> Callable:
        return torch.compile(module, dynamic=False) if self.case.compiled else module

    def encode(self) -> Callable[[], object]:
        encode, pictures = self.compiled(self.lfae.encode), self.pictures()
        return lambda: encode(pictures)

    def flow(self) -> Callable[[], object]:
        lfae, reference, driving = self.compiled(self.lfae), self.pictures(), self.pictures(1)
        return lambda: lfae(reference, driving)

    def decode(self) -> Callable[[], object]:
        encoded = self.lfae.encode(self.pictures())
        latents = torch.randn(self.volume_shape, device=self.device).float()
        flow, occlusion = 0.1 * latents[:, :2], latents[:, 2:].sigmoid()
        flow = flow + self.lfae.identity_grid(*flow.shape[-2:], self.device).permute(2, 0, 1)[None, :, None]
        decode = self.compiled(self.lfae.decode)
        return lambda: decode(encoded, flow, occlusion)

    def unet_step(self) -> Callable[[], object]:
        unet, dtype = self.compiled(self.unet), self.dtype
        volume = torch.randn(self.volume_shape, device=self.device, dtype=dtype)
        embeds = torch.randn(self.case.batch, self.unet.config.text_embed_dim, device=self.device, dtype=dtype)
        projection = self.unet.project_image(self.lfae.encode(self.pictures()).latent)
        step = torch.full((self.case.batch,), 500, device=self.device)
        return lambda: unet(volume, step, embeds, image_projection=projection, return_dict=False)

    def pipeline(self) -> LFDMPipeline:
        pipe = LFDMPipeline(lfae=self.lfae, unet=self.unet, scheduler=released_scheduler())
        pipe.set_progress_bar_config(disable=True)
        if self.case.compiled:
            pipe.unet.compile(dynamic=False)
        return pipe

    def video(self, pipe: LFDMPipeline, steps: int) -> object:
        embeds = torch.zeros(self.case.batch, self.unet.config.text_embed_dim, device=self.device, dtype=self.dtype)
        size = {"height": self.pixels, "width": self.pixels, "num_frames": self.frames}
        generator = torch.Generator().manual_seed(0)
        return pipe(
            self.pictures().float(),
            prompt_embeds=embeds,
            num_inference_steps=steps,
            generator=generator,
            output_type="pt",
            **size,
        )

    def video_ddim10(self) -> Callable[[], object]:
        pipe = self.pipeline()
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
        return lambda: self.video(pipe, 10)

    def video_ddpm1000(self) -> Callable[[], object]:
        self.pipe = self.pipeline()
        return lambda: self.video(self.pipe, 15)

    def train_lfae_step(self) -> Callable[[], object]:
        self.lfae.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(self.lfae.parameters(), 2e-4, (0.5, 0.999))
        loss = self.compiled(LFAELoss(self.lfae, PixelPyramidLoss()).to(self.device))
        pictures = self.pictures(), self.pictures(1)
        transform = RandomTransform.sample(self.case.batch, device=self.device)

        def step() -> None:
            with self.autocast():
                losses, _ = loss(*pictures, transform)
            sum(losses.values()).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    def train_unet_step(self) -> Callable[[], object]:
        optimizer = torch.optim.Adam(self.unet.parameters(), 2e-4)
        alphas = torch.cumprod(1 - released_scheduler().betas.double(), dim=0)
        loss = self.compiled(DenoisingLoss(self.unet, alphas).to(self.device))
        lfae = self.lfae.eval()
        volume, noise = (torch.randn(self.volume_shape, device=self.device) for _ in range(2))
        embeds = torch.randn(self.case.batch, self.unet.config.text_embed_dim, device=self.device)
        timesteps = torch.full((self.case.batch,), 500, device=self.device)
        null = torch.zeros(self.case.batch, dtype=torch.bool, device=self.device)
        pictures = self.pictures()

        def step() -> None:
            with self.autocast():
                with torch.no_grad():
                    latent = lfae.encode(pictures).latent
                value = loss(volume, noise, timesteps, embeds, null, latent)
            value.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)


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
    """GFLOP/s of a product of square matrices: the median of seven."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    torch.mm(a, b)
    return 2 * size**3 / 1e9 / statistics.median(synchronised(lambda: torch.mm(a, b), device) for _ in range(7))


def resident() -> float:
    """The most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6 / 1.024)


def measure(case: Case) -> dict:
    """The row of a case."""
    device, imported = torch.device(case.device), resident()
    workload = Workload(case)
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
        memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else resident()
        seconds, extrapolated = statistics.median(times), None
        if case.item == "video_ddpm1000":
            few = statistics.median(synchronised(lambda: workload.video(workload.pipe, 5), device) for _ in times)
            extrapolated = {"seconds_at_5_steps": few, "seconds_at_15_steps": seconds}
            seconds = few + 995 * (seconds - few) / 10
        gigaflops = count_flops(case)
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
    }


def count_flops(case: Case) -> float | None:
    """GFLOP of a call, backward pass included, counted on eager models in float32; None for what is extrapolated."""
    if case.item == "video_ddpm1000":
        return None
    call = Workload(replace(case, dtype="float32", compiled=False)).call()
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


# ---- all cases ------------------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> None:
    """Measure each case in a process of its own; rows that are in the file already are kept."""
    done = json.loads(args.output.read_text(encoding="utf-8"))["rows"] if args.output.is_file() else []
    keys = [field.name for field in fields(Case)]
    cases = [
        Case(item, model, dtype, batch, compiled, args.device, args.frames, args.size)
        for model, item, dtype, batch, compiled in itertools.product(
            args.models, args.items, args.dtypes, args.batches, (False, True) if args.compile else (False,)
        )
    ]
    for case in cases:
        if any(all(row[key] == getattr(case, key) for key in keys) for row in done):
            continue
        command = [sys.executable, __file__, "case", json.dumps(asdict(case))]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode:
            print(f"{case}: {(found.stderr.strip().splitlines() or ['killed'])[-1]}", file=sys.stderr)
            continue
        done.append(json.loads(found.stdout.splitlines()[-1]))
        row = done[-1]
        print(
            f"{case.model} {case.item} {case.dtype} batch {case.batch}{' compiled' if case.compiled else ''}: "
            f"{row['seconds']:.4g} s, {row['peak_memory_gb']:.2f} GB",
            flush=True,
        )
        machine = {
            "processor": processor(args.device),
            "threads": torch.get_num_threads(),
            "command": f"python benchmarks/speed.py {shlex.join(sys.argv[1:])}",
        }
        with whole(args.output) as part:
            content = {"machine": machine, "software": software(), "rows": done}
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def processor(device: str) -> str:
    """Its name."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


# ---- the page -------------------------------------------------------------------------------------------------------

# Seconds and GB of the released code, mug128 in float32 on two CPU cores with a peak of 400 GFLOP/s; batch 1 (stage one: 4).
RELEASED = {
    "encode": (0.0195, 0.57),
    "flow": (0.172, 0.65),
    "decode": (3.69, 0.62),
    "unet_step": (2.64, 1.27),
    "video_ddim10": (28.3, 1.53),
    "train_unet_step": (17.9, 5.2),
    "train_lfae_step": (2.15, 2.07),
}
RELEASED_PEAK = 400
RELEASED_BATCH = {"train_lfae_step": 4}


def faster(row: dict) -> str:
    """How many times faster than the released code, both times taken in units of their machine's float32 peak."""
    released = RELEASED.get(row["item"])
    comparable = row["model"] == "mug128" and row["frames"] is None and row["size"] is None
    if not released or not comparable or row["batch"] != RELEASED_BATCH.get(row["item"], 1) or row["device"] != "cpu":
        return ""
    return f"{released[0] * RELEASED_PEAK / row['seconds_x_peak']:.1f}"


def page() -> str:
    """docs/performance.md, of the runs that there are."""
    parts = [
        "# Performance",
        "Written by `python benchmarks/speed.py page` from the runs in [performance/](performance). Every row is a process of its own: "
        "medians of several calls after a first one, which is beside them; GFLOP as torch counts them; the peak is that of a "
        "product of 4096x4096 matrices in the same precision and run. `seconds x peak` is in GFLOP of the float32 peak: machines "
        "compare by it. The last column compares so with the released code's figures (two CPU cores, float32, a peak of "
        f"{RELEASED_PEAK} GFLOP/s). Memory is the process's largest, libraries included.",
    ]
    for path in sorted(RUNS.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        machine = content["machine"]
        parts.append(f"## {machine['processor']}, {machine['threads']} threads, torch {content['software']['torch']}")
        parts.append(f"```bash\n{machine['command']}\n```")
        lines = [
            "| model | | precision | batch | seconds | first call | GB | GFLOP | share of peak | seconds x peak | times faster |",
            "|" + " --- |" * 11,
        ]
        for row in content["rows"]:
            precision = row["dtype"] + (", compiled" if row["compiled"] else "")
            low, high = row["spread"]
            spread = "" if row["extrapolated"] else f" ({low:.3g} to {high:.3g})"
            share = f"{row['share_of_peak']:.0%}" if row["share_of_peak"] else ""
            flops = f"{row['gigaflop']:.4g}" if row["gigaflop"] else ""
            lines.append(
                f"| {row['model']} | {ITEMS[row['item']]} | {precision} | {row['batch']} | {row['seconds']:.4g}{spread} | {row['first_call']:.3g} "
                f"| {row['peak_memory_gb']:.2f} | {flops} | {share} | {row['seconds_x_peak']:.4g} | {faster(row)} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    runs = commands.add_parser("run", help="measure")
    runs.add_argument("--output", type=Path, required=True, help="JSON; goes on there if begun")
    runs.add_argument("--models", nargs="+", default=["mug128", "toon64"])
    runs.add_argument("--items", nargs="+", choices=ITEMS, default=list(ITEMS))
    runs.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32", "bfloat16"])
    runs.add_argument("--batches", nargs="+", type=int, default=[1])
    runs.add_argument("--compile", action="store_true", help="each row under torch.compile, too")
    runs.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    runs.add_argument("--frames", type=int, help="of a video; default: as trained")
    runs.add_argument("--size", type=int, help="of a video in pixels; default: as trained")
    case = commands.add_parser("case", help="one row, as JSON (used by run)")
    case.add_argument("case", help="JSON")
    commands.add_parser("page", help="docs/performance.md")
    args = parser.parse_args(argv)
    if args.what == "run":
        run(args)
    elif args.what == "case":
        print(json.dumps(measure(Case(**json.loads(args.case)))))
    else:
        with whole(DOCS / "performance.md") as part:
            part.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
