"""Where skin is what: amounts at vertices that the shading reads between them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .draws import smoothstep
from .figure import Figure
from .hair import beard_density, hairline
from .hairstyles import density
from .person import Person

MASKS = ("lips", "red", "under_eye", "lid", "beard", "scalp", "brow", "forehead", "crow", "glabella", "fold", "oil", "inside", "blush")  # fmt: skip
(LIPS, RED, UNDER_EYE, LID, BEARD, SCALP, BROW, FOREHEAD, CROW, GLABELLA, FOLD, OIL, INSIDE, BLUSH) = range(len(MASKS))


def blob(canonical: np.ndarray, x: float, z: float, rx: float, rz: float) -> np.ndarray:
    """A soft spot on both sides of the face, (V,), 1 in its middle; nothing behind the ears."""
    ax = np.abs(canonical[:, 0])
    return np.exp(-(((ax - x) / rx) ** 2) - ((canonical[:, 2] - z) / rz) ** 2) * smoothstep(
        0.09, 0.04, canonical[:, 1]
    )


def segment_distance(points: np.ndarray, chain: np.ndarray) -> np.ndarray:
    """Distance of points (V, 2) from a chain of points (P, 2)."""
    best = np.full(len(points), np.inf)
    for a, b in pairwise(chain):
        t = np.clip(((points - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return best


def skin_masks(figure: Figure, person: Person) -> np.ndarray:
    """(V, len(MASKS)): all in [0, 1], but for `fold`, the distance from the line of nose and mouth in metres."""
    canonical = figure.canonical
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    masks = np.zeros((len(canonical), len(MASKS)), np.float32)
    masks[:, LIPS] = figure.lips
    red = blob(canonical, 0.037, -0.035, 0.018, 0.016) + 0.9 * blob(canonical, 0, -0.04, 0.014, 0.012)
    red += (
        0.5 * blob(canonical, 0, -0.1, 0.02, 0.012) + 0.8 * figure.ears + 0.25 * blob(canonical, 0, 0.045, 0.05, 0.02)
    )
    masks[:, RED] = np.clip(red, 0, 1)
    masks[:, UNDER_EYE] = blob(canonical, 0.027, -0.0145, 0.013, 0.0045) + 0.6 * blob(
        canonical, 0.017, -0.004, 0.005, 0.008
    )
    masks[:, LID] = np.clip(blob(canonical, 0.032, 0.0085, 0.017, 0.006) + 0.5 * figure.lids, 0, 1)
    style = {"none": "full", "stubble": "full"}.get(person.beard, person.beard)
    masks[:, BEARD] = beard_density(canonical, figure.lips, style)
    masks[:, SCALP] = density(figure, person) if person.hair_style != "bald" else 0.35 * smoothstep(0, 0.01, hairline(canonical, person.receding)) * smoothstep(0.08, 0.05, z)  # fmt: skip
    masks[:, BROW] = brow_shape(person, canonical)
    masks[:, FOREHEAD] = (
        smoothstep(0.052, 0.03, x) * smoothstep(0.026, 0.034, z) * smoothstep(0.068, 0.058, z) * (y < 0.02)
    )
    corner = np.hypot(x - 0.047, z + 0.001)
    masks[:, CROW] = smoothstep(0.022, 0.008, corner) * smoothstep(0.043, 0.05, x) * (y < 0.05)
    masks[:, GLABELLA] = (
        smoothstep(0.012, 0.005, x) * smoothstep(0.006, 0.014, z) * smoothstep(0.036, 0.028, z) * (y < 0.02)
    )
    chain = np.array([[0.0165, -0.040], [0.0205, -0.047], [0.0265, -0.055], [0.0325, -0.064], [0.0345, -0.073]])
    fold = segment_distance(np.stack([x, z], 1), chain)
    masks[:, FOLD] = np.where(y < 0.03, fold, 0.1)
    oil = (
        blob(canonical, 0, 0.045, 0.035, 0.018)
        + blob(canonical, 0, -0.03, 0.007, 0.022)
        + 0.6 * blob(canonical, 0.036, -0.022, 0.014, 0.01)
    )
    masks[:, OIL] = np.clip(oil + 0.5 * blob(canonical, 0, -0.1, 0.012, 0.01), 0, 1)
    masks[:, INSIDE] = figure.inside
    masks[:, BLUSH] = blob(canonical, 0.046, -0.03, 0.016, 0.012)
    return masks


def brow_shape(person: Person, canonical: np.ndarray) -> np.ndarray:
    """The soft tint under the strands of the eyebrows, (V,)."""
    s = np.clip((np.abs(canonical[:, 0]) - 0.0105) / 0.043, -0.2, 1.2)
    middle = (
        0.0165
        + 0.0042 * np.sin(np.pi * np.clip(s, 0, 1) ** 1.15) * (0.6 + person.brow_arch)
        - 0.0035 * smoothstep(0.6, 1, s)
    )
    half = 0.0046 * person.brow_thickness * (1 - 0.7 * smoothstep(0.25, 1.05, s))
    inside = smoothstep(1.25, 0.3, np.abs(canonical[:, 2] - middle - 0.001) / half) * (s > -0.05) * (s < 1.05)
    return inside * (canonical[:, 1] < 0.03)
