"""What a call of a diffusion pipeline asks for, and what its U-Net is given for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback


@dataclass(frozen=True)
class DenoisingArguments:
    """What a call of a diffusion pipeline may ask for, whatever it diffuses; see `LFDMPipeline.__call__`.

    `num_frames`, `height` and `width` of None are as trained, `num_inference_steps` and `guidance_scale` the pipeline's own. `loop`
    says whether the first frame follows on the last.
    """

    prompt: str | Sequence[str] | None
    num_frames: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    eta: float
    num_videos_per_prompt: int
    generator: torch.Generator | list[torch.Generator] | None
    latents: torch.Tensor | None
    prompt_embeds: torch.Tensor | None
    output_type: str
    decode_chunk_size: int | None
    callback_on_step_end: Callable | PipelineCallback | MultiPipelineCallbacks | None
    callback_on_step_end_tensor_inputs: Sequence[str]
    image_fit: str
    height: int | None
    width: int | None
    loop: bool = False
    negative_prompt: str | Sequence[str] | None = None


@dataclass(frozen=True)
class ResolvedArguments(DenoisingArguments):
    """A call's arguments, with defaults filled in."""

    num_frames: int
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int


@dataclass(frozen=True)
class Condition:
    """What the U-Net is given beside the noisy volume, the same at every step.

    Attributes:
        batch_size: B, the number of videos.
        prompt_embeds: `(B, D)`, or `(B, 1 + L, D)` where the U-Net attends to tokens; None is the null condition.
        image_projection: what `UNet3DVideoModel.project_image` makes of the pictures, for each video or one for all.
        negative_embeds: `(B, D)`, what guidance goes away from; None is the null condition.
    """

    batch_size: int
    prompt_embeds: torch.Tensor | None
    image_projection: torch.Tensor
    negative_embeds: torch.Tensor | None = None
