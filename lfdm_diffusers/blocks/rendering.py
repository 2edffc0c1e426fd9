"""The last part: encoded pictures and motions to videos."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.modular_pipelines import BlockState, InputParam, OutputParam

from ..pipelines import LFDMPipeline
from ..pipelines.canvas import Canvas
from ..pipelines.checks import either, require_room
from ..pipelines.motion import EditedMotion, motion_list, stacked
from .base import CANVAS, ENCODED, OUTPUT_SIZE, LFDMBlock, argument, output
from .motions import MOTION, FinerMotion


class RenderMotion(LFDMBlock):
    """Move encoded pictures by motions, at the model's size or another: no denoising.

    It needs the auto-encoder, and the painter for sharp frames at another size than the model's.
    """

    parts = ("lfae", "painter")

    @property
    def inputs(self) -> list[InputParam]:
        finer = InputParam(
            "finer", FinerMotion, description="of `EditMotion`; it counts for the motions of that edit alone"
        )
        rest = ("motion_mask", "mask_image", "output_type", "decode_chunk_size")
        return [CANVAS, ENCODED, MOTION, finer, OUTPUT_SIZE, *map(argument, rest)]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            output("frames", Any, "the videos, in the form that `output_type` asks for"),
            output("warped", Any, "the pictures warped by the flow alone, in the same form"),
        ]

    def run(self, pipe: LFDMPipeline, given: BlockState) -> None:
        canvas: Canvas = given.canvas
        encoded, motions = given.encoded, motion_list(given.motion)
        if given.output_type == "latent":
            raise ValueError("`output_type` must be 'pil', 'np', 'pt' or 'stream', got 'latent': `motion` is that.")
        pipe._check_output(*canvas.frame, canvas.image_fit, given.output_type, given.decode_chunk_size)
        pictures, count = len(encoded.image), len(motions)
        if pictures != 1 and count != 1 and count % pictures:
            raise ValueError(
                f"`motion` must hold as many motions as there are pictures ({pictures}), or several times as many, or one, got {count}."
            )
        require_room("motion", max(pictures, count) * len(motions[0]), *canvas.frame)
        mask = canvas.on_pictures(either("motion_mask", given.motion_mask, "mask_image", given.mask_image))
        full_size = canvas.full_size(given.output_type, mask, given.output_size)
        if 1 < pictures < count:
            encoded = pipe._repeated(encoded, count // pictures)
        flow, occlusion = (x.to(pipe._execution_device, torch.float32) for x in stacked(motions))
        finer = () if given.finer is None else given.finer.of(motions)
        made = pipe.render_motion(
            encoded, EditedMotion(flow, occlusion, finer), given.decode_chunk_size, given.output_type, full_size
        )
        given.frames, given.warped = made.frames, made.warped
