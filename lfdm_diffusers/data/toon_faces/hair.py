"""Hair and headwear of toon people, as outlines and shading in the head's material coordinates.

Outlines are drawn for a head that is 0.94 wide and reaches from -0.55 to 0.62, and are stretched to each person's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..chance import random_stream
from .drawing import (
    Array,
    Colour,
    Texture,
    bump,
    closed_spline,
    coverage,
    ellipse,
    mix,
    polygon,
    ripples,
    segment,
    shade,
    smoothstep,
    uniform,
)
from .people import ToonSubject

FAR = 9.0


class Ink:
    """A layer in the making: pieces laid over each other, merged to one distance and one colour picture."""

    def __init__(self, texels: int):
        self.x, self.y = np.broadcast_arrays(*Texture.grid(texels))  # (N, N) each
        self.texel = float(self.x[0, 1] - self.x[0, 0])
        self.distance = np.full((texels, texels), FAR)
        self.colour: Array | None = None

    def add(self, distance: Array, colour: Array) -> None:
        """Lay a piece on top."""
        colour = mix(colour, colour, np.zeros_like(distance))
        self.colour = colour if self.colour is None else mix(self.colour, colour, coverage(distance, 1.5 * self.texel))
        self.distance = np.minimum(self.distance, distance)

    def tint(self, colour: Colour | Array, alpha: Array) -> None:
        """Colour what is there already, without adding to the shape."""
        if self.colour is not None:
            self.colour = mix(self.colour, colour, alpha)

    def texture(self) -> Texture:
        """What was drawn; there must be a piece."""
        if self.colour is None:
            raise ValueError("nothing was drawn")
        return Texture.bake(self.distance, self.colour)


def mirrored(right: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A closed outline from its right half, listed from the top middle round to the bottom middle."""
    return right + [(-x, y) for x, y in reversed(right) if x != 0.0]


# Right halves, or whole outlines clockwise. A repeated point is a sharp tip.
# fmt: off
CAP = [
    (0, -0.66), (0.22, -0.63), (0.4, -0.51), (0.49, -0.31), (0.505, -0.1), (0.478, 0.07), (0.478, 0.07),
    (0.45, -0.06), (0.42, -0.21), (0.35, -0.32), (0.2, -0.365), (0, -0.375),
]
FADE = [
    (0, -0.64), (0.22, -0.61), (0.39, -0.49), (0.475, -0.3), (0.488, -0.1), (0.47, 0.04), (0.47, 0.04),
    (0.45, -0.08), (0.425, -0.2), (0.375, -0.31), (0.27, -0.365), (0.13, -0.36), (0, -0.345),
]
SIDE_PART = [
    (-0.474, 0.09), (-0.474, 0.09), (-0.52, -0.1), (-0.525, -0.32), (-0.44, -0.54), (-0.28, -0.66), (-0.17, -0.7),
    (0.05, -0.765), (0.32, -0.72), (0.51, -0.53), (0.555, -0.28), (0.525, -0.06), (0.474, 0.1), (0.474, 0.1),
    (0.452, -0.05), (0.44, -0.16), (0.38, -0.235), (0.38, -0.235), (0.2, -0.265), (0.02, -0.33), (-0.13, -0.42),
    (-0.2, -0.52), (-0.2, -0.52), (-0.27, -0.43), (-0.38, -0.3), (-0.435, -0.16), (-0.452, -0.04),
]
QUIFF = [
    (-0.474, 0.05), (-0.474, 0.05), (-0.497, -0.15), (-0.485, -0.34), (-0.47, -0.48), (-0.48, -0.6), (-0.42, -0.74),
    (-0.25, -0.83), (-0.02, -0.86), (0.2, -0.84), (0.36, -0.79), (0.44, -0.72), (0.455, -0.6), (0.475, -0.46),
    (0.49, -0.3), (0.497, -0.14), (0.474, 0.05), (0.474, 0.05), (0.447, -0.08), (0.42, -0.24), (0.33, -0.37),
    (0.33, -0.37), (0.15, -0.375), (-0.05, -0.385), (-0.22, -0.36), (-0.35, -0.33), (-0.35, -0.33), (-0.42, -0.22),
    (-0.447, -0.06),
]
MESSY = [
    (-0.47, 0.13), (-0.47, 0.13), (-0.535, 0.03), (-0.575, -0.004), (-0.575, -0.004), (-0.552, -0.07),
    (-0.56, -0.15), (-0.611, -0.207), (-0.611, -0.207), (-0.58, -0.27), (-0.555, -0.37), (-0.588, -0.442),
    (-0.588, -0.442), (-0.53, -0.48), (-0.455, -0.56), (-0.457, -0.637), (-0.457, -0.637), (-0.39, -0.645),
    (-0.285, -0.685), (-0.254, -0.754), (-0.254, -0.754), (-0.185, -0.735), (-0.05, -0.735), (0.017, -0.8),
    (0.017, -0.8), (0.075, -0.755), (0.2, -0.715), (0.304, -0.739), (0.304, -0.739), (0.355, -0.675), (0.44, -0.59),
    (0.526, -0.578), (0.526, -0.578), (0.53, -0.51), (0.555, -0.39), (0.62, -0.342), (0.62, -0.342), (0.585, -0.285),
    (0.57, -0.17), (0.608, -0.102), (0.608, -0.102), (0.555, -0.075), (0.53, 0.01), (0.47, 0.14), (0.47, 0.14),
    (0.45, -0.02), (0.44, -0.1), (0.375, -0.135), (0.375, -0.135), (0.375, -0.225), (0.31, -0.275), (0.2, -0.185),
    (0.2, -0.185), (0.195, -0.285), (0.12, -0.325), (0, -0.205), (0, -0.205), (-0.02, -0.305), (-0.1, -0.325),
    (-0.215, -0.19), (-0.215, -0.19), (-0.235, -0.275), (-0.31, -0.285), (-0.405, -0.125), (-0.405, -0.125),
    (-0.425, -0.185), (-0.45, -0.04),
]
PIXIE = [
    (-0.462, 0.2), (-0.462, 0.2), (-0.515, 0.02), (-0.535, -0.18), (-0.505, -0.4), (-0.38, -0.58), (-0.18, -0.685),
    (0.08, -0.7), (0.32, -0.645), (0.49, -0.48), (0.545, -0.24), (0.535, 0), (0.462, 0.22), (0.462, 0.22),
    (0.452, 0.02), (0.405, -0.115), (0.405, -0.115), (0.385, -0.175), (0.3, -0.175), (0.3, -0.175), (0.24, -0.225),
    (0.12, -0.235), (0.12, -0.235), (-0.06, -0.345), (-0.2, -0.49), (-0.2, -0.49), (-0.28, -0.37), (-0.36, -0.255),
    (-0.36, -0.255), (-0.42, -0.2), (-0.452, 0.02),
]
RIDGE = [
    (-0.17, -0.34), (-0.17, -0.34), (-0.2, -0.52), (-0.235, -0.7), (-0.235, -0.7), (-0.165, -0.685), (-0.14, -0.83),
    (-0.14, -0.83), (-0.065, -0.765), (-0.01, -0.885), (-0.01, -0.885), (0.055, -0.77), (0.13, -0.84), (0.13, -0.84),
    (0.16, -0.7), (0.235, -0.715), (0.235, -0.715), (0.205, -0.52), (0.17, -0.35), (0.17, -0.35), (0.1, -0.365),
    (0.045, -0.295), (0.045, -0.295), (0, -0.365), (-0.06, -0.3), (-0.06, -0.3), (-0.09, -0.365),
]
BOB = [
    (0, -0.72), (0.26, -0.69), (0.47, -0.54), (0.565, -0.28), (0.6, 0.02), (0.6, 0.26), (0.55, 0.44), (0.43, 0.49),
    (0.36, 0.44), (0.36, 0.44), (0.435, 0.28), (0.452, 0.08), (0.435, -0.12), (0.39, -0.225), (0.39, -0.225),
    (0.2, -0.235), (0, -0.24),
]
CURTAIN = [
    (0, -0.69), (0.24, -0.68), (0.45, -0.55), (0.56, -0.3), (0.595, 0.05), (0.6, 0.45), (0.63, 0.8), (0.62, 1.04),
    (0.5, 1.08), (0.42, 0.98), (0.445, 0.72), (0.425, 0.48), (0.452, 0.26), (0.455, 0.06), (0.42, -0.12),
    (0.3, -0.28), (0.12, -0.43), (0.012, -0.52),
]
SWEPT = [
    (-0.6, 0.98), (-0.64, 0.8), (-0.58, 0.62), (-0.625, 0.42), (-0.57, 0.2), (-0.6, -0.02), (-0.555, -0.26),
    (-0.5, -0.48), (-0.34, -0.66), (-0.14, -0.73), (0.12, -0.76), (0.36, -0.69), (0.53, -0.5), (0.575, -0.24),
    (0.62, 0), (0.585, 0.22), (0.645, 0.44), (0.59, 0.64), (0.66, 0.84), (0.58, 1), (0.47, 0.92), (0.43, 0.78),
    (0.465, 0.6), (0.415, 0.42), (0.46, 0.24), (0.445, 0.06), (0.43, -0.06), (0.33, -0.15), (0.14, -0.24),
    (-0.06, -0.38), (-0.2, -0.56), (-0.2, -0.56), (-0.29, -0.4), (-0.42, -0.18), (-0.455, 0.06), (-0.445, 0.24),
    (-0.415, 0.42), (-0.465, 0.6), (-0.42, 0.78), (-0.47, 0.94),
]
PULLED = [
    (0, -0.645), (0.22, -0.62), (0.4, -0.5), (0.488, -0.3), (0.498, -0.1), (0.472, 0.1), (0.472, 0.1),
    (0.452, -0.06), (0.42, -0.19), (0.33, -0.3), (0.17, -0.37), (0, -0.385),
]
FRINGE = [
    (0, -0.68), (0.24, -0.65), (0.43, -0.52), (0.515, -0.3), (0.52, -0.08), (0.48, 0.16), (0.48, 0.16), (0.452, 0),
    (0.43, -0.14), (0.385, -0.21), (0.385, -0.21), (0.24, -0.215), (0.15, -0.26), (0.15, -0.26), (0.1, -0.225),
    (0, -0.22),
]
RING = [
    (0.375, -0.38), (0.375, -0.38), (0.455, -0.29), (0.503, -0.13), (0.498, 0), (0.474, 0.09), (0.474, 0.09),
    (0.45, -0.05), (0.428, -0.19), (0.395, -0.31),
]
BACK_BOB = [
    (0, -0.6), (0.4, -0.5), (0.58, -0.15), (0.61, 0.2), (0.55, 0.5), (0.3, 0.58), (0, 0.58),
]
BACK_LONG = [
    (0, -0.6), (0.4, -0.5), (0.57, -0.15), (0.6, 0.3), (0.62, 0.75), (0.64, 1.15), (0.3, 1.3), (0, 1.3),
]
BACK_WAVES = [
    (0, -0.62), (0.42, -0.5), (0.58, -0.15), (0.64, 0.2), (0.6, 0.45), (0.68, 0.72), (0.62, 0.98), (0.35, 1.08),
    (0, 1.05),
]
TAIL = [
    (0.3, -0.58), (0.56, -0.6), (0.76, -0.38), (0.78, -0.05), (0.7, 0.26), (0.6, 0.46), (0.6, 0.46), (0.58, 0.2),
    (0.6, -0.1), (0.5, -0.34),
]
LOCK = [
    (-0.16, -0.4), (0.06, -0.44), (0.3, -0.36), (0.42, -0.2), (0.455, 0.02), (0.452, 0.16), (0.452, 0.16), (0.42, 0),
    (0.33, -0.17), (0.12, -0.3),
]
DOME = [
    (0, -0.765), (0.28, -0.73), (0.47, -0.58), (0.535, -0.38), (0.54, -0.28), (0.3, -0.26), (0, -0.255),
]
BRIM = [
    (0, -0.415), (0.3, -0.405), (0.53, -0.37), (0.57, -0.3), (0.545, -0.215), (0.3, -0.255), (0, -0.265),
]
SCARF = [
    (0, -0.7), (0.26, -0.67), (0.46, -0.51), (0.55, -0.24), (0.565, 0.1), (0.53, 0.42), (0.4, 0.7), (0.2, 0.86),
    (0, 0.9),
]
SCARF_OPENING = [
    (0, -0.36), (0.2, -0.345), (0.36, -0.24), (0.435, -0.04), (0.44, 0.18), (0.38, 0.42), (0.24, 0.6), (0, 0.8),
]
DRAPE = [
    (0, 0.3), (0.45, 0.3), (0.6, 0.62), (0.72, 0.95), (0.6, 1.2), (0, 1.25),
]
# fmt: on


def hair_colour(
    x: Array, y: Array, person: ToonSubject, part: tuple[float, float], strands: float, sheen: float = 1.0
) -> Array:
    """Hair with strands that fan out from the parting `part`, a band of sheen round the crown, soft shade below."""
    rng = random_stream(person.seed, person.index, 11)
    dx, dy = x - part[0], y - part[1]
    fan = np.arctan2(dx, np.abs(dy) + 0.25) + 0.35 * dx
    fine = ripples(fan, rng, 0.6 * strands, 1.6 * strands, 6)
    radius = np.sqrt((x / 0.53) ** 2 + ((y + 0.02) / 0.68) ** 2)
    band = np.exp(-(((radius - 0.86 + 0.035 * fine) / 0.065) ** 2)) * smoothstep(0.05, -0.30, y)
    band = band * smoothstep(0.75, -0.35, -x * person.light)
    tone = 0.16 * fine - 0.26 * smoothstep(-0.35, 0.55, y) - 0.16 * smoothstep(-0.1, 0.6, -x * person.light)
    tone = tone - 0.22 * smoothstep(0.95, 1.12, radius) * smoothstep(0.3, -0.2, y)
    dark, light = shade(person.hair, 0.62), shade(person.hair, -0.50)
    colour = mix(mix(person.hair, dark, np.clip(-tone * 1.5, 0, 1)), light, np.clip(tone * 1.1, 0, 0.5))
    return mix(colour, shade(person.hair, -0.62), np.clip(0.62 * sheen * band * (0.75 + 0.5 * fine), 0, 0.8))


def draw_hair(person: ToonSubject, texels: int) -> tuple[Texture | None, Texture | None]:
    """Hair (or hat) behind the head and in front of it; None where there is none."""
    back, front = Ink(texels), Ink(texels)
    sx = person.face_width / 0.47
    x, y = back.x / sx, back.y / np.where(back.y < 0, person.face_top / 0.55, person.chin / 0.62)
    flip = -1.0 if person.index % 2 else 1.0
    rng = random_stream(person.seed, person.index, 12)

    def outline(points: list[tuple[float, float]], both: bool = True) -> Array:
        points = mirrored(points) if both else points
        return polygon(x if both else flip * x, y, closed_spline(points))

    def inked(part: tuple[float, float] = (0.0, -0.62), strands: float = 16.0, sheen: float = 1.0) -> Array:
        return hair_colour(x, y, person, part, strands, sheen)

    dark = mix(inked(), shade(person.hair, 0.75), 0.55)
    style = person.hair_style
    if style == "crop":
        front.add(outline(FADE), inked(strands=26, sheen=0.5))
        front.tint(person.skin, 0.42 * smoothstep(-0.22, 0.06, y))
    elif style == "side_part":
        front.add(outline(SIDE_PART, both=False), inked((-0.20 * flip, -0.60)))
        part = segment(flip * x, y, -0.20, -0.54, -0.17, -0.66)
        front.tint(shade(person.hair, 0.55), 0.7 * coverage(part - 0.006, 0.02))
    elif style == "quiff":
        front.add(outline(QUIFF, both=False), inked((0.30 * flip, -0.30), 18))
        front.tint(shade(person.hair, 0.6), 0.45 * smoothstep(-0.42, -0.20, y) * smoothstep(0.34, 0.42, np.abs(x)))
    elif style == "messy":
        front.add(outline(MESSY, both=False), inked((0.05, -0.66), 20))
    elif style == "pixie":
        front.add(outline(PIXIE, both=False), inked((-0.20 * flip, -0.56), 20))
    elif style == "mohawk":
        front.add(outline(FADE), inked(strands=26, sheen=0.2))
        front.tint(person.skin, 0.55 + 0.25 * smoothstep(-0.3, 0.06, y))
        ridge = outline(RIDGE, both=False)
        front.tint(shade(person.hair, 0.7), 0.4 * smoothstep(0.05, 0.0, ridge))
        front.add(ridge, inked((0.0, -0.30), 16, 1.2))
    elif style == "braids":
        front.add(outline(PULLED), inked((0.0, -0.66), 20))
        front.tint(shade(person.hair, 0.6), 0.7 * coverage(segment(x, y, 0.0, -0.36, 0.0, -0.64) - 0.005, 0.02))
        for side in (-1.0, 1.0):
            braid(person, side, x, y, front)
    elif style in ("curls", "afro", "long_curls"):
        curls(person, style, x, y, back, front, rng)
    elif style == "bob":
        back.add(outline(BACK_BOB), dark)
        front.add(outline(BOB), inked((0.0, -0.70), 18))
    elif style == "long":
        back.add(outline(BACK_LONG), dark)
        front.add(outline(CURTAIN), inked((0.0, -0.66), 18))
        front.tint(shade(person.hair, 0.6), 0.7 * coverage(segment(x, y, 0.0, -0.52, 0.0, -0.66) - 0.005, 0.02))
    elif style == "waves":
        back.add(outline(BACK_WAVES), dark)
        front.add(outline(SWEPT, both=False), inked((-0.20 * flip, -0.62), 15))
    elif style == "bun":
        bun = ellipse(x, y, 0.0, -0.74, 0.20, 0.17)
        back.add(bun, bun_colour(x, y, person, 0.0, -0.74, 0.20))
        front.add(outline(PULLED), inked((0.0, -0.70), 22))
    elif style == "pigtails":
        for side in (-1.0, 1.0):
            puff = ellipse(x, y, side * 0.63, 0.02, 0.185, 0.235, side * -0.35)
            puff = puff - 0.012 * ripples(np.arctan2(y - 0.02, x - side * 0.63), rng, 5, 9, 3, closed=True)
            back.add(puff, bun_colour(x, y, person, side * 0.63, 0.0, 0.24))
            back.add(ellipse(x, y, side * 0.52, -0.16, 0.05, 0.045, side * 0.6), np.array(person.accent))
        front.add(outline(FRINGE), inked((0.0, -0.68), 18))
        front.tint(shade(person.hair, 0.6), 0.7 * coverage(segment(x, y, 0.0, -0.45, 0.0, -0.70) - 0.004, 0.02))
    elif style == "ponytail":
        back.add(outline(TAIL, both=False), inked((0.35 * flip, -0.60), 14))
        back.add(ellipse(flip * x, y, 0.46, -0.50, 0.085, 0.06, 0.8), np.array(person.accent))
        front.add(outline(PULLED), inked((0.35 * flip, -0.62), 22))
        front.add(outline(LOCK, both=False), inked((-0.2 * flip, -0.62), 16))
    elif style == "receding":
        for side in (1.0, -1.0):
            front.add(polygon(side * x, y, closed_spline(RING)), inked(strands=22, sheen=0.4))
    elif style == "beanie":
        beanie(person, x, y, front, outline, inked)
    elif style == "headscarf":
        headscarf(person, x, y, back, front)
    return None if back.colour is None else back.texture(), None if front.colour is None else front.texture()


def bun_colour(x: Array, y: Array, person: ToonSubject, cx: float, cy: float, radius: float) -> Array:
    """A ball of hair with curved strands, lit from above."""
    u, v = (x - cx) / radius, (y - cy) / radius
    strands = np.sin(9.0 * u + 3.0 * u * v) * 0.5 + np.sin(17.0 * u * (1 + 0.3 * v)) * 0.3
    tone = 0.12 * strands - 0.55 * smoothstep(-0.2, 1.1, v - 0.4 * u * person.light)
    glow = bump(((u - 0.25 * person.light) / 0.75) ** 2 + ((v + 0.45) / 0.35) ** 2)
    colour = mix(
        mix(person.hair, shade(person.hair, 0.62), np.clip(-tone, 0, 1)), shade(person.hair, -0.5), np.clip(tone, 0, 1)
    )
    return mix(colour, shade(person.hair, -0.6), 0.5 * glow * (0.8 + 0.4 * strands))


def braid(person: ToonSubject, side: float, x: Array, y: Array, front: Ink) -> None:
    """A plait from behind the ear down over the shoulder, of leaning strands laid over each other."""
    for k in range(9):
        cx, cy, r = side * (0.505 + 0.012 * np.sin(1.3 * k)), 0.16 + 0.098 * k, 0.088 - 0.002 * k
        for lean in (1.0, -1.0):
            knot = ellipse(x, y, cx + lean * 0.030, cy + 0.024 * lean, 0.62 * r, r, lean * -0.75)
            u, v = (x - cx - lean * 0.03) / r, (y - cy) / r
            tone = np.clip(0.5 - 0.5 * v + 0.3 * u * person.light, 0, 1)
            front.tint(shade(person.hair, 0.75), 0.5 * smoothstep(0.03, 0.0, knot))
            front.add(knot, mix(shade(person.hair, 0.45), shade(person.hair, -0.25), tone))
    front.add(ellipse(x, y, side * 0.505, 1.00, 0.055, 0.035), np.array(person.accent))


def curls(
    person: ToonSubject, style: str, x: Array, y: Array, back: Ink, front: Ink, rng: np.random.Generator
) -> None:
    """Many shaded balls of hair: a rim of them around the crown, smaller ones along the hairline."""
    base = mix(person.hair, shade(person.hair, 0.5), smoothstep(-0.6, 0.3, y - 0.3 * x * person.light))
    big = style == "afro"
    if big:
        angle = np.arctan2(y + 0.22, x)
        edge = ellipse(x, y, 0.0, -0.22, 0.70, 0.60) - 0.014 * ripples(angle, rng, 9, 17, 4, closed=True)
        texture = ripples(x * 9 + 3 * np.sin(y * 11), rng, 1.5, 4, 4) * ripples(
            y * 9 + 3 * np.sin(x * 12), rng, 1.5, 4, 4
        )
        tone = smoothstep(
            0.45, -0.75, np.sqrt(x**2 + (y + 0.3) ** 2) * 0.6 + 0.8 * (y + 0.35) - 0.25 * x * person.light
        )
        colour = mix(shade(person.hair, 0.5), shade(person.hair, -0.12), tone)
        base = mix(colour, shade(person.hair, -0.4), np.clip(0.5 * texture * tone, 0, 0.4))
        back.add(edge, base)
    cap = polygon(x, y, closed_spline(mirrored(CAP if not big else PULLED)))
    front.add(cap, base)
    balls = []
    rim, spread = (17, 0.97) if not big else (0, 0.0)
    if style == "long_curls":
        for k in range(30):
            side, cy = (-1.0, 1.0)[k % 2], 0.80 - 0.88 * (k // 2) / 15
            cx = side * uniform(rng, 0.52, 0.60) * (1.0 + 0.10 * np.sin(3.0 * cy))
            back.add(*ball(person, x, y, cx * 0.94, cy + 0.03, uniform(rng, 0.12, 0.15), 0.25))
            balls.append((cx, cy, uniform(rng, 0.075, 0.105)))
    for k in range(rim):
        a = np.pi * (-0.04 + 1.08 * k / (rim - 1))
        balls.append((0.50 * spread * np.cos(a), -0.10 - 0.52 * spread * np.sin(a), uniform(rng, 0.085, 0.125)))
    for _ in range(26 if rim else 0):
        a = np.pi * uniform(rng, 0.08, 0.92)
        r = uniform(rng, 0.62, 0.95)
        balls.append((0.48 * r * np.cos(a), -0.12 - 0.50 * r * np.sin(a), uniform(rng, 0.075, 0.105)))
    line = 11
    for k in range(line):
        a = np.pi * (0.06 + 0.88 * k / (line - 1))
        balls.append((0.435 * np.cos(a), -0.02 - 0.33 * np.sin(a) ** 0.8, uniform(rng, 0.055, 0.078)))
    balls = sorted(balls[:-line], key=lambda b: b[1] if b[1] < -0.1 else -b[1]) + balls[-line:]
    for cx, cy, r in balls:
        front.add(*ball(person, x, y, cx, cy, r))


def ball(
    person: ToonSubject, x: Array, y: Array, cx: float, cy: float, r: float, dim: float = 0.0
) -> tuple[Array, Array]:
    """Distance and colour of one curl, darker by `dim`."""
    u, v = (x - cx) / r, (y - cy) / r
    swirl = np.sin(5.0 * np.sqrt(u * u + v * v) + np.arctan2(v, u) + 40 * r)
    tone = np.clip(0.5 - 0.42 * v + 0.25 * u * person.light + 0.10 * swirl, 0, 1)
    low = max(0.35, float(smoothstep(1.0, -0.5, np.array(cy + 0.35))))
    colour = mix(shade(person.hair, 0.50 + dim), shade(person.hair, -0.22 + dim), tone * low)
    return ellipse(x, y, cx, cy, r, r), colour


def beanie(
    person: ToonSubject, x: Array, y: Array, front: Ink, outline: Callable[..., Array], inked: Callable[..., Array]
) -> None:
    """A knitted hat with a turned-up brim, and some hair under it."""
    front.add(outline(FRINGE if person.lashes > 0.25 else CAP), inked())
    ribs = 0.5 + 0.5 * np.cos(x / np.sqrt(np.clip(1.05 - (y + 0.25) ** 2 / 0.45, 0.1, 1)) * 34.0)
    side = smoothstep(-0.2, 0.6, -x * person.light)
    hat = mix(person.accent, shade(person.accent, 0.32), 0.35 * (1 - ribs) + 0.5 * side)
    front.add(outline(DOME), hat)
    d = outline(BRIM)
    front.tint(shade(person.accent, 0.6), 0.45 * smoothstep(0.06, 0.0, d) * (y < -0.3))
    ribs = 0.5 + 0.5 * np.cos(x * 44.0)
    front.add(
        d - 0.008,
        mix(
            mix(person.accent, shade(person.accent, -0.28), 0.75),
            shade(person.accent, 0.30),
            0.40 * (1 - ribs) + 0.35 * side,
        ),
    )
    pompom = ellipse(x, y, 0.0, -0.79, 0.105, 0.095) - 0.006 * np.sin(np.arctan2(y + 0.79, x) * 17)
    front.add(pompom, mix(shade(person.clothes, -0.5), shade(person.clothes, 0.1), smoothstep(-0.88, -0.68, y)))


def headscarf(person: ToonSubject, x: Array, y: Array, back: Ink, front: Ink) -> None:
    """A scarf around the face that falls over the shoulders, with soft folds."""
    cloth = person.accent
    drape = polygon(x, y, closed_spline(mirrored(DRAPE)))
    folds = np.sin(7 * np.sqrt(x**2 + (y - 0.1) ** 2) * 2.2 + 2.0 * x) * 0.5 + 0.5
    tone = mix(shade(cloth, 0.30), shade(cloth, 0.05), folds)
    outer = polygon(x, y, closed_spline(mirrored(SCARF)))
    inner = polygon(x, y, closed_spline(mirrored(SCARF_OPENING)))
    shape = np.maximum(outer, -inner)
    back.add(drape, mix(tone, shade(cloth, 0.6), 0.5 * smoothstep(0.2, 0.02, np.abs(outer)) * (y > 0.4)))
    side = smoothstep(-0.2, 0.65, -x * person.light)
    wrap = mix(
        mix(cloth, shade(cloth, 0.35), 0.7 * side),
        shade(cloth, -0.25),
        0.7 * bump((x / 0.35) ** 2 + ((y + 0.55) / 0.16) ** 2),
    )
    lines = np.sin(24 * (outer + 0.12 * np.sin(3 * y + 2 * x))) * 0.5 + 0.5
    front.add(shape, mix(wrap, shade(cloth, 0.42), 0.30 * lines + 0.35 * smoothstep(-0.05, 0.0, -inner)))
