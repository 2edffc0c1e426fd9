"""Toon faces in another drawing style: another domain with the same people, labels and true motion."""

from __future__ import annotations

import numpy as np

STYLES = ("painted", "ink")
ENLARGED = 3  # styles are applied at so many times the size, so that lines are thin and smooth when scaled down
LEVELS = 4  # of each colour's brightness in flat washes
PAPER = np.array([0.97, 0.95, 0.90], dtype=np.float32)
INK = np.array([0.12, 0.10, 0.16], dtype=np.float32)


def ink_drawing(frames: np.ndarray) -> np.ndarray:
    """Dark outlines on paper, filled with flat, pale washes.

    Args:
        frames: (F, H, W, 3) uint8 painted frames, `ENLARGED` times as large as wanted.

    Returns:
        (F, H / ENLARGED, W / ENLARGED, 3) uint8.
    """
    drawn = [_ink_frame(frame.astype(np.float32) / 255) for frame in frames]
    return (np.stack(drawn) * 255).round().clip(0, 255).astype(np.uint8)


def _ink_frame(colours: np.ndarray) -> np.ndarray:
    smooth = _blurred(colours)
    # Lines: where a colour changes within a few pixels of the enlarged picture, whichever it is.
    down, across = (np.gradient(smooth, axis=axis) for axis in (0, 1))
    slope = np.sqrt(down**2 + across**2).max(axis=-1, keepdims=True)
    line = np.clip((slope - 0.07) / 0.06, 0, 1)
    # Washes: brightness in a few levels, colours paler than the painting's, the paper shining through.
    brightness = smooth.max(axis=-1, keepdims=True)
    level = np.ceil(brightness * LEVELS) / LEVELS
    wash = smooth / np.maximum(brightness, 1e-3) * level
    wash = 0.6 * wash + 0.4 * PAPER
    drawn = wash + line * (INK - wash)
    height, width = (side // ENLARGED for side in drawn.shape[:2])
    return drawn.reshape(height, ENLARGED, width, ENLARGED, 3).mean(axis=(1, 3))


def _blurred(picture: np.ndarray) -> np.ndarray:
    """[1 2 1] / 4 along rows and columns."""
    for axis in (0, 1):
        pad = [(1, 1) if i == axis else (0, 0) for i in range(picture.ndim)]
        padded = np.pad(picture, pad, mode="edge")
        count = picture.shape[axis]
        first, middle, last = (np.take(padded, range(i, i + count), axis=axis) for i in range(3))
        picture = (first + 2 * middle + last) / 4
    return picture
