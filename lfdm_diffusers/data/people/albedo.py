"""The colour of skin and cloth at a place of the average person, before any light."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .noise import cell_noise, value_noise
from .skin import (
    BEARD,
    BLUSH,
    BROW,
    CROW,
    FOLD,
    FOREHEAD,
    GLABELLA,
    LID,
    LIPS,
    OIL,
    RED,
    SCALP,
    UNDER_EYE,
)


class Look(NamedTuple):
    """Amounts that shading reads of a person; see `Person`. Colours (3,), amounts floats, `seed` of the noise."""

    seed: int
    skin: np.ndarray
    tone: float
    redness: float
    blotches: float
    freckles: float
    wrinkles: float
    shine: float
    under_eye: float
    lip: np.ndarray
    lipstick: float
    eyeshadow: float
    shadow_colour: np.ndarray
    stubble: float
    beard_colour: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    moles: np.ndarray  # (N, 4) canonical place and radius
    iris: np.ndarray
    iris_radius: float
    pupil: float
    teeth: np.ndarray
    cloth: np.ndarray  # (2, 3) main and second
    inner: np.ndarray  # (2, 3) of what is under a jacket
    pattern: int
    pattern_scale: float
    hat: np.ndarray
    knit: float
    bottom: np.ndarray  # (2, 3) of trousers or a skirt
    bottom_pattern: int
    shoe: np.ndarray  # (2, 3) shoe and sole


class Moment(NamedTuple):
    """What changes from frame to frame: strengths of wrinkles, and where the eyes are and look."""

    raised: float  # brows up
    frown: float
    smile: float
    sneer: float
    squint: float
    jaw: float
    eyes: np.ndarray  # (2, 3)
    eye_frames: np.ndarray  # (2, 3, 3) rows: left, back, up of each eyeball
    eye_radius: float


@njit(cache=True)
def skin_albedo(look, moment, m, x, y, z, out, bump):
    """Colour of skin (3,) into `out` and the tilt of its surface (3,) into `bump`, at canonical x, y, z with masks m."""
    s = look.seed
    broad = value_noise(x * 45, y * 45, z * 45, s)
    spots = value_noise(x * 130, y * 130, z * 130, s + 1)
    fine = value_noise(x * 420, y * 420, z * 420, s + 2)
    pores = value_noise(x * 900, y * 900, z * 900, s + 3)
    fair = 1.0 - look.tone
    tint = 1.0 + 0.07 * broad + look.blotches * 0.07 * spots + 0.06 * fine + 0.05 * pores
    red = (
        look.redness * (0.28 * fair + 0.08) * m[RED] * (1 + 0.5 * spots)
        + 0.09 * look.blotches * max(spots, 0.0) * fair
    )
    red += (0.03 + 0.05 * fair) * broad
    dark = look.under_eye * m[UNDER_EYE] * (0.30 + 0.15 * look.tone) + 0.14 * m[LID]
    r, g, b = look.skin[0] * tint, look.skin[1] * tint, look.skin[2] * tint
    r, g, b = r * (1 + 0.12 * red), g * (1 - 0.75 * red), b * (1 - 0.65 * red)
    r, g, b = r * (1 - 0.8 * dark), g * (1 - dark), b * (1 - 0.75 * dark)
    if look.freckles > 0:
        d, own = cell_noise(x * 260, y * 260, z * 260, s + 7)
        on = (
            look.freckles
            * max(0.0, 1 - d / (0.16 + 0.28 * own))
            * min(1.0, 0.25 + m[RED] + m[BLUSH] + 0.3 * m[OIL])
            * (own > 0.35)
        )
        r, g, b = r * (1 - 0.35 * on), g * (1 - 0.55 * on), b * (1 - 0.65 * on)
    for i in range(len(look.moles)):
        dx, dy, dz = x - look.moles[i, 0], y - look.moles[i, 1], z - look.moles[i, 2]
        d = np.sqrt(dx * dx + dy * dy + dz * dz) / look.moles[i, 3]
        if d < 1.3:
            on = 0.75 * min(1.0, (1.3 - d) * 2)
            r, g, b = r * (1 - 0.7 * on), g * (1 - 0.8 * on), b * (1 - 0.8 * on)
    # Wrinkles: lines of age that expressions deepen.
    age = look.wrinkles
    bz = 0.0
    bx = 0.0
    deep = m[FOREHEAD] * (
        0.55 * age * (0.4 + 0.6 * value_noise(x * 20, 0.0, z * 20, s + 5)) + 0.75 * moment.raised * (0.25 + 0.75 * age)
    )
    if deep > 0.01:
        phase = (z + 0.0022 * value_noise(x * 55, y * 55, z * 25, s + 4)) * 690
        line = np.exp(-6 * (1 + np.cos(phase)))
        bz += 0.5 * deep * np.sin(phase) * np.exp(-2 * (1 + np.cos(phase)))
        dark = 0.5 * deep * line
        r, g, b = r * (1 - 0.8 * dark), g * (1 - dark), b * (1 - dark)
    deep = m[CROW] * (0.5 * age + (0.15 + 0.75 * age) * moment.squint)
    if deep > 0.01:
        side = abs(x) - 0.041
        phase = np.arctan2(z + 0.001, side) * 15 + 1.2 * value_noise(x * 90, y * 90, z * 90, s + 6)
        dark = 0.42 * deep * np.exp(-4 * (1 + np.cos(phase)))
        bz += 0.35 * deep * np.sin(phase)
        r, g, b = r * (1 - 0.8 * dark), g * (1 - dark), b * (1 - dark)
    deep = m[GLABELLA] * (0.3 * age + (0.35 + 0.65 * age) * moment.frown)
    if deep > 0.01:
        off = (abs(x) - 0.0058 - 0.1 * (z - 0.02)) / 0.0014
        dark = 0.6 * deep * np.exp(-off * off)
        bx += (1.0 if x > 0 else -1.0) * 0.9 * deep * off * np.exp(-0.5 * off * off)
        r, g, b = r * (1 - 0.8 * dark), g * (1 - dark), b * (1 - dark)
    deep = 0.5 * age + 0.10 + 0.55 * moment.smile + 0.45 * moment.sneer
    width = 0.0024 + 0.0012 * age
    off = m[FOLD] / width
    if off < 3:
        dark = 0.34 * min(deep, 1.0) * np.exp(-off * off)
        r, g, b = r * (1 - 0.75 * dark), g * (1 - dark), b * (1 - dark)
    # Hair that is too short to be strands, and roots.
    if m[BEARD] > 0.01:
        grain = 0.65 + 0.35 * (0.6 * fine + 0.8 * pores)
        on = look.stubble * m[BEARD] * grain
        on = min(max(on, 0.0), 0.9)
        r, g, b = (
            r + on * (look.beard_colour[0] - r),
            g + on * (look.beard_colour[1] - g),
            b + on * (look.beard_colour[2] - b),
        )
    if m[SCALP] > 0.01:
        on = min(m[SCALP] * (0.80 + 0.25 * fine + 0.2 * pores), 0.95)
        on = max(on, 0.0)
        r, g, b = (
            r + on * (0.55 * look.hair[0] - r),
            g + on * (0.55 * look.hair[1] - g),
            b + on * (0.55 * look.hair[2] - b),
        )
    on = 0.36 * m[BROW] * (1 - 0.3 * fine)
    r, g, b = r + on * (look.brow[0] - r), g + on * (look.brow[1] - g), b + on * (look.brow[2] - b)
    if look.eyeshadow > 0:
        on = 0.7 * look.eyeshadow * m[LID]
        r, g, b = (
            r + on * (look.shadow_colour[0] - r),
            g + on * (look.shadow_colour[1] - g),
            b + on * (look.shadow_colour[2] - b),
        )
        on = 0.25 * look.eyeshadow * m[BLUSH]
        g, b = g * (1 - on), b * (1 - 0.8 * on)
    on = m[LIPS] * (0.78 + 0.2 * look.lipstick)
    stripe = 1 + 0.12 * value_noise(x * 900, y * 100, z * 160, s + 8) - 0.05 * spots
    r, g, b = (
        r + on * (look.lip[0] * stripe - r),
        g + on * (look.lip[1] * stripe - g),
        b + on * (look.lip[2] * stripe - b),
    )
    out[0], out[1], out[2] = max(r, 0.004), max(g, 0.003), max(b, 0.003)
    rough = 0.10 + 0.06 * age
    bump[0] = bx + rough * fine + 0.08 * pores
    bump[1] = rough * 0.5 * spots
    bump[2] = bz + rough * spots * 0.7 - 0.08 * pores


@njit(cache=True)
def fabric(look, colours, pattern, scale, x, y, z, out):
    """Colour (3,) of cloth at canonical x, y, z; patterns as in `person.PATTERNS`."""
    u, v = x + 0.35 * y, z
    second = 0.0
    if pattern == 1:
        second = 1.0 if np.sin(v * np.pi / scale) > 0.2 else 0.0
    elif pattern == 2:
        second = 0.5 * (np.sin(u * np.pi / scale) > 0) + 0.5 * (np.sin(v * np.pi / scale) > 0)
    elif pattern == 3:
        a, b = u / (2 * scale) % 1.0 - 0.5, v / (2 * scale) % 1.0 - 0.5
        second = 1.0 if a * a + b * b < 0.055 else 0.0
    elif pattern == 4:
        second = 0.35 + 0.35 * value_noise(u * 500, y * 500, v * 160, look.seed + 20)
    elif pattern == 5:
        second = 1.0 if v < -0.2 - scale else 0.0
    weave = (
        1
        + 0.08 * value_noise(x * 700, y * 700, z * 700, look.seed + 21)
        + 0.10 * value_noise(x * 25, y * 25, z * 25, look.seed + 22)
    )
    for c in range(3):
        out[c] = (colours[0, c] + second * (colours[1, c] - colours[0, c])) * weave
