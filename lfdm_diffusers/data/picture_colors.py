"""Pictures of any mode as plain numbers: upright, in sRGB's colours, with their transparency; and masks."""

from __future__ import annotations

import functools
import io
import logging
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps

ImageCms: Any
try:
    from PIL import ImageCms
except ImportError:  # a Pillow that was built without LittleCMS
    ImageCms = None

PROFILE_SPACES = {"L": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}

logger = logging.getLogger(__name__)


def picture_array(image: PIL.Image.Image) -> np.ndarray:
    """`(H, W, c)` uint8 (or grey `(H, W)` of 16 bits or floats), upright as EXIF says, palettes resolved, with any alpha, in sRGB.

    Raises:
        ValueError, OSError: if it cannot be decoded.
    """
    image = PIL.ImageOps.exif_transpose(image)
    deep = _deep_array(image)
    if deep is not None:
        return deep
    if image.mode in ("La", "RGBa"):  # premultiplied alpha
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    profile = image.info.get("icc_profile")
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    if transparent or not (profile and image.mode in PROFILE_SPACES):
        image = image.convert("RGBA" if transparent else "RGB")
    if profile:
        image = _in_srgb(image, profile)
    return np.asarray(image if image.mode in ("RGB", "RGBA") else image.convert("RGB"))


def is_plain(image: PIL.Image.Image) -> bool:
    """Whether the pixels of a picture are as they are shown: opaque sRGB, upright."""
    return image.mode == "RGB" and not {"transparency", "icc_profile"} & set(image.info) and not image.getexif()


def grey_array(image: PIL.Image.Image) -> np.ndarray:
    """A mask: `(H, W)` float32 in [0, 1] of a picture, upright as EXIF says; what is transparent is black.

    Numbers of 16 bits keep all of them. Colour profiles are left aside: a mask holds amounts.

    Raises:
        ValueError: if a picture of 32 bits holds other values than 0 to 65535.
    """
    image = PIL.ImageOps.exif_transpose(image)
    deep = _deep_array(image)
    if deep is not None:
        return deep.astype(np.float32) / (65535 if deep.dtype == np.uint16 else 1)
    grey, alpha = np.moveaxis(np.asarray(image.convert("RGBA").convert("LA"), np.float32) / 255, -1, 0)
    return grey * alpha


def _deep_array(image: PIL.Image.Image) -> np.ndarray | None:
    """Grey `(H, W)` of 16 bits or floats; None for other pictures."""
    if image.mode.startswith("I"):  # 16 bits, which some files and versions of Pillow hold in 32
        array = np.asarray(image)
        if array.min() < 0 or array.max() > 65535:
            raise ValueError(f"a picture of mode {image.mode} must hold values from 0 to 65535, got {array.max()}")
        return array.astype(np.uint16)
    return np.asarray(image) if image.mode == "F" else None


def _in_srgb(image: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    """RGB or RGBA, L or CMYK, with its colours as its ICC profile has them, as far as sRGB can show them."""
    if ImageCms is None:
        _warn_once("a picture has a colour profile, which this Pillow cannot read; its colours are taken for sRGB")
        return image
    try:
        transform = _to_srgb(profile, image.mode)
        return image if transform is None else ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        _warn_once(f"a picture's colour profile cannot be used ({error}); its colours are taken for sRGB")
        return image


@functools.lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What makes sRGB of colours of a profile; None where they are that already."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(source).lower():
        return None
    if source.profile.xcolor_space.strip() != PROFILE_SPACES[mode]:
        raise ValueError(f"it is of {source.profile.xcolor_space.strip()}, the picture of {mode}")
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGBA" if mode == "RGBA" else "RGB")


@functools.lru_cache(maxsize=64)
def _warn_once(message: str) -> None:
    logger.warning("%s.", message)
