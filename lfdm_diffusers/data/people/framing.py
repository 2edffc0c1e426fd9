"""Frames as detectors and people give them."""

from __future__ import annotations

import numpy as np


def jittered(rng: np.random.Generator, middle: np.ndarray, side: float) -> tuple[np.ndarray, float]:
    """A frame as detectors and people give it: up to a tenth larger or smaller (normal, 5%), moved by about 3% of its side."""
    scale = np.exp(np.clip(rng.normal(0.02, 0.06), -0.14, 0.16))
    return middle + np.clip(rng.normal(0, 0.03, 2), -0.07, 0.07) * side, side * scale
