"""Picture files as a pipeline sees them, without ever holding more of a large one than it needs."""

from __future__ import annotations

import os

import PIL.Image
import torch

from ..data.picture_fitting import fit_picture, to_rgb_tensors
from ..data.picture_reading import open_picture, reduced
from ..files.limits import require_pixels
from .image_to_video import ImageToVideoPipeline


def fitted_picture(picture: str | os.PathLike | PIL.Image.Image, pipe: ImageToVideoPipeline, fit: str) -> torch.Tensor:
    """A picture, `(3, H, W)` in [0, 1], of the size of the pipeline's videos.

    Args:
        picture: a file, or a picture that is open.
        fit: as `image_fit` of the pipeline.

    Raises:
        ValueError: if it cannot be read, is too large, or cannot be fitted.
    """
    if not isinstance(picture, PIL.Image.Image):
        with open_picture(picture) as image:
            image = _reduced(image, pipe, fit)
    else:
        require_pixels(*picture.size)
        image = _reduced(picture, pipe, fit)
    (tensor,) = to_rgb_tensors(image)
    return fit_picture(tensor, *pipe.frame_size([tensor]), fit)


def _reduced(image: PIL.Image.Image, pipe: ImageToVideoPipeline, fit: str) -> PIL.Image.Image:
    """Decoded, and no larger than it must be for the pipeline's frames."""
    size = pipe.frame_size([torch.empty(3, image.height, image.width, device="meta")])
    image = reduced(image, *size, fit)
    image.load()
    return image


def grey_picture(path: str | os.PathLike) -> PIL.Image.Image:
    """A picture file in shades of grey, as masks are.

    Raises:
        ValueError: if it cannot be read, or is too large.
    """
    with open_picture(path) as image:
        return image.convert("L")
