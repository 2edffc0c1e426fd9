"""Frames of animated pictures (GIF, WebP, PNG) and of folders of pictures, with Pillow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from ..files.names import printable
from ..files.packed import Packed
from ..files.reading import UnreadableFileError
from .cut_files import CUT_OFF, missing_bytes
from .picture_colors import is_plain
from .picture_fitting import to_rgb_tensors
from .picture_reading import ROWS, open_picture
from .suffixes import is_gif, is_picture, may_be_animated


def rgb_array(image: PIL.Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 in sRGB, turned upright as EXIF says, transparency laid over white, 16 bits cut to 8."""
    if is_plain(image):
        return np.array(image)  # a copy: PIL's own memory is read-only
    upright = PIL.ImageOps.exif_transpose(image)
    pixels = np.empty((upright.height, upright.width, 3), np.uint8)
    for top in range(0, upright.height, ROWS):  # floats of all rows at once would take much memory
        rows = upright.crop((0, top, upright.width, min(top + ROWS, upright.height)))
        rows.info = {name: value for name, value in upright.info.items() if name in ("transparency", "icc_profile")}
        (tensor,) = to_rgb_tensors(rows)
        pixels[top : top + ROWS] = (tensor * 255).round().byte().permute(1, 2, 0).numpy()
    return pixels


def natural_order(path: Path) -> list:
    """Sorting key that puts frame 2 before frame 10, with leading zeros or without."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), part) if i % 2 else (part.lower(), part) for i, part in enumerate(parts)]


def frame_files(folder: Path) -> list[Path]:
    """The frames of a folder in their natural order: its pictures, GIFs only where there are no others."""
    pictures = picture_files(folder)
    return [path for path in pictures if not is_gif(path)] or pictures


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in their natural order; hidden files and everything else is left out."""
    return sorted(filter(is_picture, folder.iterdir()), key=natural_order)


def folder_frames(folder: Path, indices: Sequence[int] | None) -> Iterator[np.ndarray]:
    """The frames of a folder, one by one, `(H, W, 3)` uint8: all, or those of ascending `indices`."""
    files = frame_files(folder)
    for index in range(len(files)) if indices is None else indices:
        if index >= len(files):
            return
        try:
            with open_picture(files[index], frame=True) as image:
                pixels = rgb_array(image)
        except UnreadableFileError as error:
            raise OSError(str(error).replace(str(files[index]), printable(files[index].name))) from error
        yield pixels


def animation_frames(path: Path | Packed, indices: Sequence[int] | None) -> Iterator[np.ndarray]:
    """The frames of an animation, one by one. They build on each other, so all before the last wanted are decoded."""
    with open_picture(path, frame=True) as image:
        first, count = _first_and_count(image)
        wanted = range(count) if indices is None else indices
        for index in wanted:
            if index >= count:
                return
            image.seek(first + index)
            yield rgb_array(image)
    if indices is None and missing_bytes(path):
        raise OSError(f"{CUT_OFF}: it ends inside of a frame")


def animation_length(path: Path | Packed) -> int:
    """Number of frames, as the file's own structure says."""
    with open_picture(path, frame=True) as image:
        return _first_and_count(image)[1]


def shown_times(path: Path) -> list[float]:
    """Milliseconds that each frame of an animation asks to be shown; 0 where it does not say."""
    with open_picture(path, frame=True) as image:
        first, count = _first_and_count(image)
        times = []
        for index in range(first, first + count):
            image.seek(index)
            image.load()  # WebP says it then
            times.append(float(image.info.get("duration") or 0))
    return times


def _first_and_count(image: PIL.Image.Image) -> tuple[int, int]:
    """Where the frames begin that are shown, and their number: a PNG may hold a picture for viewers without animation."""
    first = int(getattr(image, "default_image", False))
    return first, getattr(image, "n_frames", 1) - first


def is_animated(path: Path) -> bool | None:
    """Whether a picture file has more than one frame; None for one that cannot be opened."""
    if not may_be_animated(path):
        return False
    try:
        with open_picture(path, frame=True) as image:
            return _first_and_count(image)[1] > 1
    except UnreadableFileError:  # the scan names them
        return None
