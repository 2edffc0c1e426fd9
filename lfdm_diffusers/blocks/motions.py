"""The second and third parts: a motion for encoded pictures, and edits of motions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers.modular_pipelines import BlockState, InputParam, OutputParam

from ..pipelines import LFDMPipeline, Motion
from ..pipelines.call_arguments import DenoisingArguments
from ..pipelines.checks import either, require_room
from ..pipelines.motion import MotionEdit, motion_list, stacked
from ..pipelines.strokes import DrawnStrokes
from .base import CANVAS, ENCODED, LFDMBlock, argument, output

MOTION = InputParam(
    "motion",
    Motion | list[Motion],
    required=True,
    description="a motion or several: generated, loaded (`Motion.load`), changed, or of `LFDMPipeline.transfer`",
)


@dataclass(frozen=True)
class FinerMotion:
    """What edits made for the decoder's finer maps, beside the motions of one size.

    Attributes:
        motions: that it belongs to, and to no others.
        maps: flow `(B, F, 2, h, w)` and occlusion `(B, F, 1, h, w)`, each pair of another size.
    """

    motions: Sequence[Motion]
    maps: Sequence[tuple[torch.Tensor, torch.Tensor]]

    def of(self, motions: Sequence[Motion]) -> Sequence[tuple[torch.Tensor, torch.Tensor]]:
        """The maps, if `motions` are those that they were made with, else none."""
        same = len(motions) == len(self.motions) and all(a is b for a, b in zip(motions, self.motions))
        return self.maps if same else ()


class GenerateMotion(LFDMBlock):
    """Denoise a motion for each encoded picture and prompt.

    It needs the U-Net, the scheduler, what embeds prompts (labels, or text encoder and tokenizer), and the auto-encoder for its sizes.
    """

    parts = ("lfae", "unet", "scheduler", "text_encoder", "tokenizer", "label_embeddings")
    configs = ("default_num_inference_steps", "default_guidance_scale")

    def __init__(self) -> None:
        super().__init__()
        self._progress_bar_config: dict[str, Any] = {}

    def set_progress_bar_config(self, **kwargs: Any) -> None:
        """As of a pipeline: `disable=True` shows none."""
        self._progress_bar_config = kwargs

    # Arguments of `DenoisingArguments` that a call sets; the others are the canvas's, or rendering's.
    asked = (
        "prompt", "num_frames", "num_inference_steps", "guidance_scale", "eta", "num_videos_per_prompt", "generator", "latents",
        "prompt_embeds", "callback_on_step_end", "callback_on_step_end_tensor_inputs", "negative_prompt",
    )  # fmt: skip

    @property
    def inputs(self) -> list[InputParam]:
        return [CANVAS, ENCODED, *(argument(name) for name in (*self.asked, "loop", "strokes"))]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [output("motion", list[Motion], "a motion for each video")]

    def run(self, pipe: LFDMPipeline, given: BlockState) -> None:
        canvas = given.canvas
        if pipe.unet is None or pipe.scheduler is None:
            raise ValueError("`GenerateMotion` needs `unet` and `scheduler`, which this pipeline has not loaded.")
        pipe.set_progress_bar_config(**self._progress_bar_config)
        asked = pipe.resolve_defaults(
            canvas.pictures,
            DenoisingArguments(
                **{name: getattr(given, name) for name in self.asked},
                output_type="pt",
                decode_chunk_size=None,
                image_fit=canvas.image_fit,
                height=canvas.height,
                width=canvas.width,
                loop=given.loop is True,
            ),
        )
        pipe.check_inputs(asked)
        drawn = None
        if given.strokes is not None:
            drawn = DrawnStrokes(given.strokes, canvas.pictures, asked, canvas.full_size("stream"))
        count = len(given.encoded.image)
        _, condition = pipe.condition(given.encoded, count, pipe.encode_texts(count, asked), asked)
        flow, occlusion = pipe.generated_motion(pipe.generate_volume(condition, asked, drawn))
        given.motion = [Motion(*row) for row in zip(flow, occlusion)]


class EditMotion(LFDMBlock):
    """Hold, scale, mask and loop motions.

    It needs no model. With the auto-encoder and encoded pictures, edges of masks are as fine as the pictures'.
    """

    parts = ("lfae",)

    @property
    def inputs(self) -> list[InputParam]:
        between = [replace(param, required=False) for param in (CANVAS, ENCODED)]
        edits = ("motion_scale", "motion_mask", "mask_image", "loop", "hold")
        return [MOTION, *between, *map(argument, edits)]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            output("motion", list[Motion], "the motions, edited"),
            output("finer", FinerMotion, "what the edits made for finer maps, for `RenderMotion`"),
        ]

    def run(self, pipe: LFDMPipeline, given: BlockState) -> None:
        motions, mask = (
            motion_list(given.motion),
            either("motion_mask", given.motion_mask, "mask_image", given.mask_image),
        )
        edit = MotionEdit(given.motion_scale, mask, None if isinstance(given.loop, bool) else given.loop, given.hold)
        edit.check(len(motions[0]))
        places = motions[0].flow.shape[-2:]
        require_room("hold", len(motions) * (len(motions[0]) + given.hold), *places)
        if given.canvas is not None:
            edit = replace(edit, motion_mask=given.canvas.in_frame(given.canvas.on_pictures(mask)))
        flow, occlusion = stacked(motions)
        if pipe.lfae is None:
            moved = edit.of(flow, occlusion)
        else:
            moved = pipe.edit_motion(flow, occlusion, edit, given.encoded)
        abouts = [motion.about for motion in motions]
        given.motion = [Motion(*row) for row in zip(moved.flow, moved.occlusion, abouts)]
        given.finer = FinerMotion(given.motion, moved.finer)
