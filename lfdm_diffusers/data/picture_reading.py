"""Opens pictures from strangers: plain files of known formats, bounded before decoding, and reduced while they are decoded."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import PIL.Image

from ..files.limits import require_pixels
from ..files.packed import Packed
from ..files.reading import reading
from .large_webp import averaged_webp
from .picture_decoders import require_decoder, why_no_picture

# Of what Pillow reads, what pictures come in. Others are documents, or start programs (EPS starts Ghostscript).
FORMATS = (
    "PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "HEIF", "JPEG2000", "ICO", "TGA", "PCX", "SGI",
)  # fmt: skip
# A picture of fewer pixels is read as it is; a larger one is averaged, down to this many times what is made of it.
SMALL, OVERSAMPLING = 2048 * 2048, 4
ROWS = 256  # of a picture, converted at a time
OPENING = threading.Lock()


@contextlib.contextmanager
def open_picture(path: str | os.PathLike, frame: bool = False) -> Iterator[PIL.Image.Image]:
    """A picture or an animation, not decoded yet, of at most as many pixels as `files.limits` allows.

    Args:
        path: of a plain file, or a packed one.
        frame: whether it is a frame of a clip.

    Raises:
        UnreadableFileError: naming the file; also for what the block raises on decoding.
    """
    with reading(path, "a picture"), warnings.catch_warnings():
        # Pillow's own bound of frames, which is another than ours, and advice about a file's metadata.
        warnings.filterwarnings("ignore", category=PIL.Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        PIL.Image.init()
        require_decoder(path)
        formats = [name for name in FORMATS if name in PIL.Image.OPEN]
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(path.open()) if isinstance(path, Packed) else path
            image = opened.enter_context(_opened(file, formats, path))
            require_pixels(*image.size, frame=frame)
            yield image


def _opened(file: Any, formats: list[str], path: str | os.PathLike) -> PIL.Image.Image:
    """What Pillow opens, however large: its own bound is another than ours, and cannot be asked for in one call."""
    with OPENING:
        before, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        try:
            return PIL.Image.open(file, formats=formats)
        except PIL.UnidentifiedImageError:
            raise ValueError(why_no_picture(path)) from None
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = before


def reduced(image: PIL.Image.Image, height: int, width: int, fit: str) -> PIL.Image.Image:
    """A large picture, averaged by a power of two while it is decoded or right after, for a frame of `height` x `width`.

    It stays `OVERSAMPLING` times as fine as the frame needs; pictures of at most `SMALL` pixels are left alone. Pictures of one size
    come out in one size.
    """
    if image.width * image.height <= SMALL:
        return image
    of_height, of_width = image.height / height, image.width / width
    ratio = max(of_height, of_width) if fit == "letterbox" else min(of_height, of_width)
    power = max(0, int(ratio / OVERSAMPLING).bit_length() - 1)
    return _halved(image, power) if power else image


def bounded_picture(picture: str | os.PathLike | PIL.Image.Image, most: int) -> PIL.Image.Image:
    """A picture, decoded, averaged by a power of two to at most `most` pixels.

    Args:
        picture: a file, or a picture that is open.

    Raises:
        ValueError: if it cannot be read, or has more pixels than `files.limits` allows.
    """
    if isinstance(picture, PIL.Image.Image):
        require_pixels(*picture.size)
        return _bounded(picture, most)
    with open_picture(picture) as image:
        return _bounded(image, most)


def _bounded(image: PIL.Image.Image, most: int) -> PIL.Image.Image:
    power = 0
    while image.width * image.height > most << 2 * power:
        power += 1
    image = _halved(image, power) if power else image
    image.load()
    return image


def _halved(image: PIL.Image.Image, power: int) -> PIL.Image.Image:
    """`power` times half as wide and high, rounded up; by the decoder as far as it can."""
    longest = max(image.size)
    if image.format == "WEBP" and (small := averaged_webp(image, 1 << power, ROWS)) is not None:
        return small
    if image.format == "JPEG2000":
        image = _coarse_jpeg2000(image, power)
    else:  # JPEG leaves up to three halvings out
        image.draft(image.mode, (max(1, image.width >> power), max(1, image.height >> power)))
        image.load()
    done = round(math.log2(longest / max(image.size)))
    return image if done >= power else _averaged(image, 1 << power - done)


def _coarse_jpeg2000(image: Any, power: int) -> PIL.Image.Image:
    """Without the finest levels of its wavelets, if it has so many."""
    name, file = image.filename, image.fp
    image.reduce = power
    try:
        image.load()
        return image
    except OSError:
        if not name:  # it was opened from within another file, or from memory
            file.seek(0)
        return _opened(name or file, ["JPEG2000"], name)


def _averaged(image: PIL.Image.Image, factor: int) -> PIL.Image.Image:
    """Every `factor` x `factor` pixels as one, with palettes resolved and 16 bits kept; a band of rows at a time."""
    mode = _arithmetic_mode(image)
    if mode == image.mode:
        small = PIL.Image.Image.reduce(image, factor)  # not JPEG 2000's own
        return small
    width, height = (-(-side // factor) for side in image.size)
    small = PIL.Image.new(mode, (width, height))
    band = max(1, ROWS // factor) * factor
    for top in range(0, image.height, band):
        part = image.crop((0, top, image.width, min(top + band, image.height))).convert(mode)
        small.paste(part.reduce(factor), (0, top // factor))
    small.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return small


def _arithmetic_mode(image: PIL.Image.Image) -> str:
    """The mode in which pixels can be averaged."""
    if image.mode.startswith("I"):
        return "I"
    if "transparency" in image.info or image.mode in ("PA", "RGBa", "La"):
        return "RGBA"
    if image.mode == "1":
        return "L"
    return "RGB" if image.mode in ("P", "LAB", "HSV", "YCbCr") else image.mode
