"""What a true flow makes of a picture, by numpy alone: the package's own warp is not asked."""

from __future__ import annotations

import numpy as np


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Sample (H, W, 3) bilinearly at an absolute grid (2, H, W) in [-1, 1], align_corners=False."""
    size = picture.shape[0]
    u, v = np.clip((flow.astype(np.float64) + 1) * size / 2 - 0.5, 0, size - 1.001)
    i, j = u.astype(int), v.astype(int)
    u, v, picture = (u - i)[..., None], (v - j)[..., None], picture.astype(np.float64)
    top = picture[j, i] * (1 - u) + picture[j, i + 1] * u
    return top * (1 - v) + (picture[j + 1, i] * (1 - u) + picture[j + 1, i + 1] * u) * v
