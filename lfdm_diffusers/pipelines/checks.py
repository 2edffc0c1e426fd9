"""Checks of single arguments; each error is one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch

from ..arguments.checked import LARGEST, described, is_dense
from ..files.limits import require_bytes

# Of a pixel of a decoded frame, three colours in float32: what is made, the picture warped, and what is painted.
DECODED_BYTES = 3 * 3 * 4


def require_number(name: str, value: Any, kind: type[Any], least: float = -LARGEST, most: float = LARGEST) -> None:
    """Raise a ValueError unless `value` is a number of `kind` (numbers.Integral or Real, numpy's too) in [least, most]."""
    what = "whole number" if kind is Integral else "finite number"
    if isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most:
        return
    number: Any = value
    absurd = isinstance(value, Real) and abs(number) > LARGEST
    at_least = most == LARGEST and least > -LARGEST and not absurd
    limits = f"of at least {least:g}" if at_least else f"from {least:g} to {most:g}"
    raise ValueError(f"`{name}` must be a {what} {limits}, got {described(value)}.")


def require_word(name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise a ValueError unless `value` is one of the words allowed."""
    if not isinstance(value, str) or value not in allowed:
        *most, last = map(repr, allowed)
        raise ValueError(f"`{name}` must be one of {', '.join(most)} or {last}, got {value!r}.")


def require_tensor(name: str, value: object, shape: tuple[int | str, ...]) -> None:
    """Raise a ValueError unless `value` is a finite float tensor of `shape`, where a word stands for any size but 0."""
    wanted = f"({', '.join(map(str, shape))})"
    if not torch.is_tensor(value) or not is_dense(value) or value.is_meta:
        raise ValueError(f"`{name}` must be a tensor of shape {wanted}, got {described(value)}.")
    fits = value.ndim == len(shape) and 0 not in value.shape
    if not fits or any(isinstance(n, int) and n != have for n, have in zip(shape, value.shape)):
        raise ValueError(f"`{name}` must have shape {wanted}, got {tuple(value.shape)}.")
    if not value.is_floating_point():
        raise ValueError(f"`{name}` must hold floats, got {value.dtype}.")
    if not torch.isfinite(value).all():
        raise ValueError(f"`{name}` must hold finite numbers, got NaN or infinite ones.")
    if (largest := value.abs().max().item()) > LARGEST:
        raise ValueError(
            f"`{name}` must hold numbers from {-LARGEST:g} to {LARGEST:g}, got one of the size {largest:g}."
        )


class NotDenoisedError(ValueError):
    """Denoising came to NaN or infinite numbers.

    Attributes:
        clips: the rows of the batch in which it did, from 0.
    """

    def __init__(self, message: str, clips: list[int]):
        super().__init__(message)
        self.clips = clips


def require_denoised(volumes: torch.Tensor, scheduler: str) -> None:
    """Raise a NotDenoisedError for denoised volumes `(B, ...)` whose frames would be black, with nobody to say why."""
    if not volumes.is_meta and not torch.isfinite(volumes).all():
        clips = (~torch.isfinite(volumes).flatten(1).all(dim=1)).nonzero().flatten().tolist()
        which = f" in clip {', '.join(str(clip + 1) for clip in clips)} of {len(volumes)}" if len(volumes) > 1 else ""
        raise NotDenoisedError(
            f"Denoising came to NaN or infinite numbers{which}: `guidance_scale`, `prompt_embeds`, `latents`, the settings of the scheduler "
            f"({scheduler}), a half precision or the weights of the U-Net are not what they should be.",
            clips,
        )


def require_room(name: str, frames: int, height: int, width: int, pixel_bytes: int = DECODED_BYTES) -> None:
    """Raise a ValueError if so many frames take more memory than `files.limits` allows; `name` is the argument to change."""
    require_bytes(frames * height * width * pixel_bytes, f"`{name}`: {frames} frames of {width}x{height} pixels take")


def require_pairs(pictures: int, name: str, count: int) -> None:
    """Raise a ValueError unless `image` and the argument `name` hold as many things, or one of either."""
    if pictures != count and 1 not in (pictures, count):
        raise ValueError(
            f"`image` holds {pictures} pictures and `{name}` {count} {name}s; allowed are as many of each, or one of either."
        )


def require_negative(negative: Any, prompt: Any, prompt_embeds: torch.Tensor | None, guidance_scale: float) -> None:
    """Raise a ValueError unless `negative_prompt` is texts, of which not all may be None, and there is a guidance that goes away from them."""
    texts = [negative] if isinstance(negative, str) else negative
    count = len(prompt) if isinstance(prompt, (list, tuple)) else 1 if prompt_embeds is None else len(prompt_embeds)
    fits = isinstance(texts, (list, tuple)) and any(isinstance(text, str) for text in texts)
    fits = fits and all(text is None or isinstance(text, str) for text in texts)
    if not fits or len(texts) not in (1, count):
        raise ValueError(f"`negative_prompt` must be a string, or as many as prompts ({count}), got {negative!r}.")
    if guidance_scale in (0, 1) or (prompt is None and prompt_embeds is None):
        raise ValueError(
            "`negative_prompt` is what guidance goes away from: it needs a `prompt`, and a `guidance_scale` other than 0 and 1, got "
            f"{guidance_scale:g}."
        )


def either(name: str, value: Any, other_name: str, other: Any) -> Any:
    """What one of two names of an argument was given.

    Raises:
        ValueError: if both were.
    """
    if value is not None and other is not None:
        raise ValueError(f"`{other_name}` is diffusers' name of `{name}`: pass one of them, got both.")
    return other if value is None else value
