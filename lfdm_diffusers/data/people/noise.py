"""Noise in space, from a hash of whole numbers: the same everywhere, at any point, without tables."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, inline="always")
def hash3(i: int, j: int, k: int, seed: int) -> float:
    """A number in [0, 1) for a point of the lattice."""
    h = (i * 374761393 + j * 668265263 + k * 2147483647 + seed * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return ((h ^ (h >> 15)) & 0xFFFFFF) / 16777216.0


@njit(cache=True)
def value_noise(x: float, y: float, z: float, seed: int) -> float:
    """Smooth noise in [-1, 1] with features of about one unit."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = int(fx), int(fy), int(fz)
    u, v, w = x - fx, y - fy, z - fz
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    a = hash3(i, j, k, seed) * (1 - u) + hash3(i + 1, j, k, seed) * u
    b = hash3(i, j + 1, k, seed) * (1 - u) + hash3(i + 1, j + 1, k, seed) * u
    c = hash3(i, j, k + 1, seed) * (1 - u) + hash3(i + 1, j, k + 1, seed) * u
    d = hash3(i, j + 1, k + 1, seed) * (1 - u) + hash3(i + 1, j + 1, k + 1, seed) * u
    return 2 * ((a * (1 - v) + b * v) * (1 - w) + (c * (1 - v) + d * v) * w) - 1


@njit(cache=True)
def cell_noise(x: float, y: float, z: float, seed: int) -> tuple[float, float]:
    """Distance to the nearest of random points, one in each unit cube, and a number in [0, 1) of that point's own."""
    fi, fj, fk = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    best, own = 9.0, 0.0
    for di in range(-1, 2):
        for dj in range(-1, 2):
            for dk in range(-1, 2):
                i, j, k = fi + di, fj + dj, fk + dk
                dx = i + hash3(i, j, k, seed) - x
                dy = j + hash3(i, j, k, seed + 1) - y
                dz = k + hash3(i, j, k, seed + 2) - z
                d = dx * dx + dy * dy + dz * dz
                if d < best:
                    best, own = d, hash3(i, j, k, seed + 3)
    return np.sqrt(best), own
