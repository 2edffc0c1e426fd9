"""Draws and curves that the people share."""

from __future__ import annotations

import numpy as np


def one_of(rng: np.random.Generator, chances: dict[str, float]) -> str:
    """A name, drawn with the chances given (they need not sum to 1)."""
    names = list(chances)
    shares = np.array([chances[name] for name in names], float)
    return names[
        min(int(np.searchsorted(np.cumsum(shares) / shares.sum(), rng.random(), side="right")), len(names) - 1)
    ]


def linear(srgb: str) -> np.ndarray:
    """A colour "rrggbb" as linear light, (3,) in [0, 1]."""
    value = np.array([int(srgb[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def smoothstep(low: float, high: float, value: float | np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; `low` may be the larger."""
    t = np.clip((np.asarray(value, float) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
