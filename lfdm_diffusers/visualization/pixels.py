"""Pictures as numbers: uint8 of floats, other sizes."""

from __future__ import annotations

import numpy as np
import PIL.Image

from ..arguments.checked import POSITIVE, checked


@checked()
def as_pixels(picture: np.ndarray) -> np.ndarray:
    """uint8 of a picture, or several, of any shape: floats in [0, 1] are rounded, uint8 stays."""
    return picture if picture.dtype == np.uint8 else np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def fitted(picture: np.ndarray, size: int) -> PIL.Image.Image:
    """A picture `(h, w, 3)` or `(h, w)` in RGB, bicubically so large that its longer side is `size`."""
    image = PIL.Image.fromarray(as_pixels(picture)).convert("RGB")
    factor = size / max(image.size)
    return image.resize([max(1, round(side * factor)) for side in image.size], PIL.Image.Resampling.BICUBIC)


@checked(scale=POSITIVE)
def enlarge(frames: np.ndarray, scale: int) -> np.ndarray:
    """Pictures `(..., h, w, 3)` of uint8 `scale` times as large, bicubic; at 1 every pixel stays as it is."""
    *leading, height, width, _ = frames.shape
    size = width * scale, height * scale
    larger = [
        np.asarray(PIL.Image.fromarray(frame).resize(size, PIL.Image.Resampling.BICUBIC))
        for frame in frames.reshape(-1, height, width, 3)
    ]
    return np.stack(larger).reshape(*leading, size[1], size[0], 3)
