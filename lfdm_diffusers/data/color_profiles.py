"""Converts the colours of pictures from their ICC profile to sRGB."""

from __future__ import annotations

import functools
import io
import logging
from typing import Any

import PIL.Image

ImageCms: Any
try:
    from PIL import ImageCms
except ImportError:  # a Pillow that was built without LittleCMS
    ImageCms = None

logger = logging.getLogger(__name__)


def in_srgb(image: PIL.Image.Image, profile: bytes, space: str) -> PIL.Image.Image:
    """RGB or RGBA, L or CMYK, with its colours as its ICC profile has them, as far as sRGB can show them.

    Args:
        space: which colours the profile must be of: "GRAY", "RGB" or "CMYK".
    """
    if ImageCms is None:
        _warn_once("a picture has a colour profile, which this Pillow cannot read; its colours are taken for sRGB")
        return image
    try:
        transform = _to_srgb(profile, image.mode, space)
        return image if transform is None else ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        _warn_once(f"a picture's colour profile cannot be used ({error}); its colours are taken for sRGB")
        return image


@functools.lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str, space: str) -> ImageCms.ImageCmsTransform | None:
    """What makes sRGB of colours of a profile; None where they are that already."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(source).lower():
        return None
    if source.profile.xcolor_space.strip() != space:
        raise ValueError(f"it is of {source.profile.xcolor_space.strip()}, the picture of {mode}")
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGBA" if mode == "RGBA" else "RGB")


@functools.lru_cache(maxsize=64)
def _warn_once(message: str) -> None:
    logger.warning("%s.", message)
