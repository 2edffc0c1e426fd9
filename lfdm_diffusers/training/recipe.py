"""Options of both stages for so many seconds: clips are looked at, steps timed, and what is left shared out."""

from __future__ import annotations

import argparse
import time
from functools import cached_property
from typing import cast

import torch
from accelerate import PartialState

from ..data.cache import CachedClipReader, ClipReader
from ..data.scan import scan_clips
from ..embedded import named_model
from ..files.limits import set_limits
from ..models import LatentFlowAutoencoder
from ..ops.cpu import has_instructions, keep_freed_memory
from ..pipelines import LFDMPipeline
from ..pipelines.loading import load_pipeline
from . import short_budget
from .clips import TrainingClips, choose_clips, data_set_of
from .networks import require_multiple
from .resized_unet import resized_unet

OWN = ("output_dir", "minutes", "pretrained_model_name_or_path", "num_frames", "flip")  # the others are both stages'
FEW_STEPS = 500  # of either stage


class Recipe:
    """Chooses the options of two stages that train a pipeline further on other clips.

    Args:
        args: of `training/own_clips.py`; where to cache and which precision is filled in.
        began: when, by `time.monotonic`; from then to now all was loaded, which each stage's process does again.
    """

    def __init__(self, args: argparse.Namespace, began: float):
        keep_freed_memory()
        set_limits(args.max_megapixels, args.max_gigabytes)
        self.args, self.began, self.loading = args, began, time.monotonic() - began
        self.device = PartialState().device
        self.base, self.first = named_model(args.pretrained_model_name_or_path), args.output_dir / "stage-one"
        self.pipe = cast(LFDMPipeline, load_pipeline(self.base))
        require_multiple(args.resolution, self.pipe.lfae.flow_stride)
        args.cache_dir = args.cache_dir or str(args.output_dir / "cache")
        fast = has_instructions(torch.bfloat16) if self.device.type == "cpu" else self.device.type == "cuda"
        args.mixed_precision = args.mixed_precision or ("bf16" if fast else "no")
        self.half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.mixed_precision)
        self.shared = {name: value for name, value in vars(args).items() if name not in OWN}

    def left(self, share: float = 1.0) -> float:
        """Seconds of this share of the whole time."""
        return 60 * self.args.minutes * share - (time.monotonic() - self.began)

    @cached_property
    def clips(self) -> TrainingClips:
        """All checked, and in the cache."""
        args = self.args
        root, name = data_set_of(args)
        *found, about = choose_clips(root, args.layout, args.train_split, args.validation_split, name)
        size = (args.resolution, args.resolution, args.fit)
        cached = args.cache_dir != "none"
        reader = CachedClipReader(args.cache_dir, *size, compress=args.cache_compress) if cached else ClipReader(*size)
        train, held_out = (
            scan_clips(clips, reader, strict=args.strict_clips, workers=args.dataloader_num_workers) for clips in found
        )
        print(f"training: {train}\nvalidation ({about}): {held_out}", flush=True)
        return TrainingClips(train.clips, held_out.clips, reader)

    @cached_property
    def stage_one_step(self) -> float:
        """Seconds of a step of stage one."""
        lfae = self.pipe.lfae
        lfae.register_to_config(sample_size=self.args.resolution)
        return short_budget.stage_one_seconds(lfae.float().requires_grad_(True).to(self.device), self.clips, self.half)

    def stage_one(self, share: float) -> dict[str, object]:
        """Options of `training/train_lfae.py` for this share of the time; says why."""
        look, step, args = short_budget.look_at(self.clips), self.stage_one_step, self.args
        seconds = self.left(share)
        besides = self.loading + short_budget.validation_seconds("stage_one", 0, args.num_frames, step)
        steps = short_budget.affordable_steps(seconds, step, besides)
        print(
            f"{look.moving:.1%} of the picture moves, by {look.change:.2f} of the range of colours.",
            *look.advice(),
            f"Stage one: {step:.2f} s a step, {steps} steps in {seconds / 60:.0f} minutes.",
            sep="\n",
            flush=True,
        )
        _warn_of_few(steps, "motion is hardly followed")
        start = {"output_dir": self.first, "pretrained_model_name_or_path": self.base, "subfolder": "lfae"}
        return self.shared | start | short_budget.stage_one_options(look, steps)

    def stage_two(self, seconds: float) -> dict[str, object]:
        """Options of `training/train_unet.py` for so many seconds, with the auto-encoder that stage one left; says why."""
        args = self.args
        lfae = LatentFlowAutoencoder.from_pretrained(self.first, subfolder="lfae").to(self.device)
        sizes = {
            "sample_size": args.resolution // lfae.downscale_factor,
            "num_frames": args.num_frames,
            "image_latent_channels": lfae.latent_channels,
        }
        unet = resized_unet(self.pipe.unet, **dict(self.pipe.unet.config) | sizes).float().to(self.device)
        step = short_budget.stage_two_seconds(unet, self.half)
        count = len(self.clips.train) + len(self.clips.held_out)
        motion = count * short_budget.motion_seconds(lfae, args.num_frames, self.half)
        besides = self.loading + motion
        besides += short_budget.validation_seconds(
            "stage_two", len(self.clips.labels), args.num_frames, self.stage_one_step, step
        )
        steps = short_budget.affordable_steps(seconds, step, besides)
        print(
            f"Stage two: {motion / 60:.1f} minutes for the motion of {count} clips, then {step:.2f} s a step, {steps} steps, in "
            f"{seconds / 60:.0f} minutes.",
            flush=True,
        )
        _warn_of_few(steps, "labels are hardly told apart")
        start = {
            "output_dir": args.output_dir,
            "pretrained_model_name_or_path": self.base,
            "lfae": self.first / "lfae",
        }
        start |= {"num_frames": args.num_frames, "flip": args.flip}
        return self.shared | start | short_budget.stage_two_options(steps)

    def asked(self) -> dict[str, str]:
        """The options in a form that a file can keep."""
        return {name: str(value) for name, value in vars(self.args).items()}


def _warn_of_few(steps: int, what: str) -> None:
    if steps < FEW_STEPS:
        print(
            f"Under {FEW_STEPS} steps {what}: give more --minutes, or this machine to this training alone.", flush=True
        )
