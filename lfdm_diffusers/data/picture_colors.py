"""Pictures of any mode as plain numbers: upright, in sRGB's colours, with their transparency; and masks."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageOps

PROFILE_SPACES = {"L": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}


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
        from .color_profiles import in_srgb  # few pictures have one, and importing the package should be quick

        image = in_srgb(image, profile, PROFILE_SPACES[image.mode])
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
