"""What a call of a diffusion pipeline asks for, and what its U-Net is given for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    negative_prompt: str | Sequence[str | None] | None = None


@dataclass(frozen=True)
class ResolvedArguments(DenoisingArguments):
    """A call's arguments, with defaults filled in."""

    num_frames: int
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int


class Negative(NamedTuple):
    """What guidance goes away from, in each of B videos.

    Attributes:
        embeds: `(B, D)`, as `prompt_embeds`.
        is_null: `(B,)` booleans: there it is the null condition instead.
    """

    embeds: torch.Tensor
    is_null: torch.Tensor

    @classmethod
    def of(
        cls, encode: Callable[[list[str]], torch.Tensor], texts: Sequence[str | None], batch_size: int, repeats: int
    ) -> Negative:
        """One text for all videos, or one for each `repeats` of them; None is the null condition.

        Args:
            encode: a row for each text.
        """
        filler = next(text for text in texts if text is not None)
        embeds = encode([filler if text is None else text for text in texts])
        is_null = torch.tensor([text is None for text in texts], device=embeds.device)
        count = repeats if len(texts) * repeats == batch_size else batch_size
        return cls(embeds.repeat_interleave(count, dim=0), is_null.repeat_interleave(count))


@dataclass(frozen=True)
class Condition:
    """What the U-Net is given beside the noisy volume, the same at every step.

    Attributes:
        batch_size: B, the number of videos.
        prompt_embeds: `(B, D)`, or `(B, 1 + L, D)` where the U-Net attends to tokens; None is the null condition.
        image_projection: what `UNet3DVideoModel.project_image` makes of the pictures, for each video or one for all.
        negative: what guidance goes away from; None is the null condition.
    """

    batch_size: int
    prompt_embeds: torch.Tensor | None
    image_projection: torch.Tensor
    negative: Negative | None = None
