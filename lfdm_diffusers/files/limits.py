"""Bounds on pictures and clips, checked before anything is decoded or made.

Commands and scripts set it by `--max-megapixels` and `--max-gigabytes`. It is kept in the environment, so that the processes that
read data have it too.
"""

from __future__ import annotations

import contextlib
import math
import os

MEGAPIXELS, GIGABYTES = "LFDM_MAX_MEGAPIXELS", "LFDM_MAX_GIGABYTES"
DEFAULTS = {MEGAPIXELS: 100.0, GIGABYTES: 4.0}
FRAME_SHARE = 3  # decoders of clips hold several frames at once: a frame may be so many times smaller than a picture


class TooLargeError(ValueError):
    """More than the bounds allow; the message says what, how much, and how much is allowed."""


def _limit(name: str) -> float:
    with contextlib.suppress(KeyError, ValueError):
        value = float(os.environ[name])
        if math.isfinite(value) and value > 0:
            return value
    return DEFAULTS[name]


def set_limits(megapixels: float | None = None, gigabytes: float | None = None) -> None:
    """Change the bounds of this process and of those that it starts; None leaves one as it is."""
    for name, value in ((MEGAPIXELS, megapixels), (GIGABYTES, gigabytes)):
        if value is not None:
            os.environ[name] = repr(value)


def most_pixels(frame: bool = False) -> int:
    """Of a picture, or of a frame of a clip."""
    return int(_limit(MEGAPIXELS) * 1e6 / (FRAME_SHARE if frame else 1))


def require_pixels(width: int, height: int, frame: bool = False) -> None:
    """Refuse a picture, or a frame of a clip, of too many pixels.

    Raises:
        TooLargeError: says how many it has, and how many are taken.
    """
    most = most_pixels(frame)
    if width * height > most:
        what = "a frame" if frame else "a picture"
        raise TooLargeError(
            f"{what} of {width}x{height} pixels is too large: at most {most / 1e6:.3g} million are taken (`--max-megapixels`)"
        )


def require_bytes(count: int, what: str) -> None:
    """Refuse what would take too much memory at once.

    Args:
        count: bytes.
        what: of what, with "take" or "takes".

    Raises:
        TooLargeError: says how much it is, and how much is taken.
    """
    most = _limit(GIGABYTES)
    if count > most * 1e9:
        raise TooLargeError(
            f"{what} {count / 1e9:.3g} GB of memory, more than the {most:g} that are allowed (`--max-gigabytes`)"
        )
