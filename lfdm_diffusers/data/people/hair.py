"""Hair as strands grown from the skin: scalp, brows, lashes and beard.

A strand is a chain of points. Strands of the scalp are rigid with the head; others follow the triangle that they grow from.
Canonical coordinates are those of the average person from the middle between the eyes: x to the figure's left, y backwards,
z up, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..chance import random_stream
from .actions import ACTIONS
from .draws import smoothstep
from .figure import SKIN, Figure
from .person import Person

SCALP, BROW, LASH, BEARD, FRAME = range(5)  # what strands are
# Where hair ends: height of the hairline over the angle around the head, from the face (0) to the nape (180 degrees).
ANGLES = (0, 22, 38, 52, 66, 78, 88, 100, 112, 125, 150, 180)
HEIGHTS = (0.066, 0.067, 0.058, 0.036, 0.008, -0.012, 0.012, 0.014, -0.012, -0.045, -0.062, -0.068)
AXIS = 0.075  # y of the upright axis that these angles turn about


@dataclass
class Strands:
    """N strands of P points.

    Attributes:
        points: (N, P, 3): at rest in the room (`root` -1: rigid with the head), else in the frame of the root triangle.
        root: (N,) triangle that the strand follows, or -1.
        shares: (N, 3) of the triangle's corners.
        width: (N, P) half width, metres.
        colour: (N, 3) linear.
        kind: (N,).
        shade: (N, P) share of the ambient light that reaches a point.
    """

    points: np.ndarray
    root: np.ndarray
    shares: np.ndarray
    width: np.ndarray
    colour: np.ndarray
    kind: np.ndarray
    shade: np.ndarray


def hairline(canonical: np.ndarray, receding: float = 0.0) -> np.ndarray:
    """Height above the hairline, metres, (V,): positive where hair of the scalp grows."""
    x, y, z = canonical.T
    angle = np.degrees(np.arctan2(np.abs(x), AXIS - y))
    height = np.interp(angle, ANGLES, HEIGHTS)
    temples = np.exp(-(((angle - 34) / 14) ** 2)) + 0.35 * np.exp(-((angle / 20) ** 2))
    return z - height - receding * 0.05 * temples


def hat_edge(y: np.ndarray) -> np.ndarray:
    """Height of a hat's edge over how far back it is, canonical metres."""
    return 0.052 - 0.34 * np.clip(y + 0.02, 0, 0.2)


def crown(canonical: np.ndarray) -> np.ndarray:
    """1 on top of the head, where hair goes first, 0 at its sides, (V,)."""
    x, _, z = canonical.T
    return smoothstep(0.055, 0.095, z) * smoothstep(0.075, 0.05, np.abs(x))


def beard_density(canonical: np.ndarray, lips: np.ndarray, style: str) -> np.ndarray:
    """Where a beard grows, in [0, 1], (V,)."""
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    line = np.interp(x, [0.0, 0.012, 0.03, 0.05, 0.066, 0.08], [-0.051, -0.052, -0.060, -0.058, -0.020, 0.02])
    on = (
        smoothstep(-0.004, 0.004, line - z)
        * smoothstep(0.085, 0.06, y)
        * smoothstep(-0.122, -0.106, z - 0.12 * np.clip(y, 0, 0.1))
    )
    on *= 1 - smoothstep(0.05, 0.6, lips)
    on *= 1 - 0.7 * np.exp(-((x / 0.014) ** 2) - ((z + 0.086) / 0.006) ** 2)  # thin below the lower lip
    moustache = smoothstep(0.032, 0.026, x) * smoothstep(-0.074, -0.068, z)
    chin = smoothstep(0.03, 0.022, x) * smoothstep(-0.06, -0.07, z)
    if style == "moustache":
        on *= moustache
    elif style == "goatee":
        on *= np.maximum(np.maximum(moustache, chin), 0)
    return on


def frames_of(
    points: np.ndarray, triangles: np.ndarray, normals: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places (N, 3) on triangles (N, 3), and frames (N, 3, 3) whose columns are a tangent, another, and the normal."""
    corners = points[triangles]
    place = np.einsum("nc,ncd->nd", shares, corners)
    normal = np.einsum("nc,ncd->nd", shares, normals[triangles])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    edge = corners[:, 1] - corners[:, 0]
    tangent = edge - normal * np.einsum("nd,nd->n", edge, normal)[:, None]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    return place, np.stack([tangent, np.cross(normal, tangent), normal], 2)


def scatter(
    figure: Figure, density: np.ndarray, vertices: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Roots: triangles (N,) of the skin and shares of their corners (N, 3), by area times a density of vertices (V,)."""
    triangles = np.flatnonzero(figure.kinds == SKIN)
    corners = vertices[figure.triangles[triangles]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    weight = area * density[figure.triangles[triangles]].mean(1)
    total = np.cumsum(weight)
    if total[-1] <= 0:
        return np.zeros(0, int), np.zeros((0, 3))
    chosen = triangles[np.minimum(np.searchsorted(total, rng.random(count) * total[-1]), len(triangles) - 1)]
    a, b = rng.random((2, count))
    fold = a + b > 1
    a, b = np.where(fold, 1 - a, a), np.where(fold, 1 - b, b)
    keep = (
        rng.random(count)
        < np.einsum("nc,nc->n", np.stack([1 - a - b, a, b], 1), density[figure.triangles[chosen]]) * 1.5
    )
    return chosen[keep], np.stack([1 - a - b, a, b], 1)[keep]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def colours(person: Person, base: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Colours (N, 3) of strands: some grey, all a little different."""
    out = base * np.exp(rng.normal(0, 0.22, (count, 1))) * np.exp(rng.normal(0, 0.04, (count, 3)))
    white = np.array([0.34, 0.33, 0.31]) * np.exp(rng.normal(0, 0.2, (count, 1)))
    share = np.clip(person.grey * 1.1 + rng.normal(0, min(0.22, 0.6 * person.grey), (count, 1)), 0, 1)
    return np.clip(out + share * (white - out), 0.003, 0.9)


def rooted(figure: Figure, person: Person, vertices: np.ndarray, normals: np.ndarray, root: np.ndarray, shares: np.ndarray,
           direction: np.ndarray, length: np.ndarray, lift: float, bend: np.ndarray, width: float, kind: int,
           base: np.ndarray, rng: np.random.Generator, steps: int = 4) -> Strands:  # fmt: skip
    """Short strands that follow the skin: from the root along `direction` (N, 3), raised by `lift` of their length."""
    _, frames = frames_of(vertices, figure.triangles[root], normals, shares)
    normal = frames[:, :, 2]
    along = unit(direction - normal * np.einsum("nd,nd->n", direction, normal)[:, None])
    t = np.linspace(0, 1, steps)[None, :, None]
    path = length[:, None, None] * (
        t * along[:, None] + lift * t * (1.2 - 0.6 * t) * normal[:, None] + t * t * bend[:, None]
    )
    path += 0.0004 * normal[:, None]
    count = len(root)
    return Strands(
        points=np.einsum("nji,npj->npi", frames, path), root=root, shares=shares,
        width=np.broadcast_to(width * (1 - 0.75 * t[..., 0]), (count, steps)).copy(), colour=colours(person, base, count, rng),
        kind=np.full(count, kind), shade=np.broadcast_to(0.7 + 0.3 * t[..., 0], (count, steps)).copy(),
    )  # fmt: skip


def brows(figure: Figure, person: Person, vertices: np.ndarray, normals: np.ndarray, front: FrontMap) -> Strands:
    """Both eyebrows."""
    rng = random_stream(person.seed, person.index, 31)
    count = int(210 * (0.7 + 0.5 * person.brow_thickness))
    s = rng.random(2 * count)  # from the inner to the outer end
    side = np.repeat([1, -1], count)
    x = 0.0105 + 0.043 * s
    middle = (
        0.0165
        + 0.0042 * np.sin(np.pi * np.clip(s, 0, 1) ** 1.15) * (0.6 + person.brow_arch)
        - 0.0035 * smoothstep(0.6, 1, s)
    )
    half = (
        0.0034
        * person.brow_thickness
        * (1 - 0.72 * smoothstep(0.25, 1.05, s))
        * (0.55 + 0.45 * smoothstep(0, 0.15, s))
    )
    z = middle + half * rng.uniform(-1, 1, 2 * count)
    root, shares = front.roots(side * x, z)
    angle = np.radians(72 - 75 * smoothstep(0, 0.75, s) + rng.normal(0, 9, 2 * count))
    direction = np.stack([side * np.cos(angle), np.full(2 * count, 0.15), np.sin(angle)], 1)
    keep = root >= 0
    return rooted(
        figure, person, vertices, normals, root[keep], shares[keep], direction[keep],
        rng.uniform(0.0035, 0.006, 2 * count)[keep], 0.16, np.zeros((keep.sum(), 3)), 0.00022, BROW, person.brow, rng,
    )  # fmt: skip


def lashes(figure: Figure, person: Person, vertices: np.ndarray, normals: np.ndarray) -> Strands:
    """Lashes of the upper and lower lids, from the vertices at their rims."""
    rng = random_stream(person.seed, person.index, 32)
    canonical = figure.canonical
    on = np.zeros(len(canonical), bool)
    on[figure.triangles[figure.kinds == SKIN]] = True
    parts = []
    triangle_of = np.full(len(canonical), -1)
    skin = np.flatnonzero(figure.kinds == SKIN)
    for corner in (2, 1, 0):
        triangle_of[figure.triangles[skin, corner]] = skin
    for side in (1, -1):
        eye = canonical[figure.eye_of == (1 if side > 0 else 2)].mean(0)
        blink = figure.actions[ACTIONS.index("eyeBlinkLeft" if side > 0 else "eyeBlinkRight"), :, 2]
        offset = canonical - eye
        ring = on & (np.abs(np.linalg.norm(offset, axis=1) - 0.0155) < 0.0032) & (offset[:, 1] < -0.006)
        for upper in (True, False):
            lid = ring & ((blink < -0.004) if upper else (blink > -0.002) & (offset[:, 2] < 0))
            xs = rng.uniform(-0.0135, 0.0135, 46 if upper else 24)
            for x in xs:
                near = np.flatnonzero(lid & (np.abs(offset[:, 0] - x) < 0.0022))
                if not len(near):
                    continue
                v = near[(offset[near, 2] if upper else -offset[near, 2]).argmin()]
                t = triangle_of[v]
                share = (figure.triangles[t] == v).astype(float)
                fan = 0.55 * x / 0.0135
                parts.append((t, share, [fan, -1.0, 0.55 if upper else -0.5], 1.0 if upper else 0.55))
    if not parts:
        return empty(4)
    root = np.array([p[0] for p in parts])
    shares = np.array([p[1] for p in parts])
    direction = np.array([p[2] for p in parts])
    length = np.array([p[3] for p in parts]) * (0.0055 + 0.0035 * person.lashes) * rng.uniform(0.8, 1.15, len(parts))
    up = np.where(direction[:, 2] > 0, 0.35, -0.25)
    _, frames = frames_of(vertices, figure.triangles[root], normals, shares)
    t = np.linspace(0, 1, 4)[None, :, None]
    path = length[:, None, None] * (t * unit(direction)[:, None] + t * t * up[:, None, None] * np.array([0, 0, 1.0]))
    count = len(root)
    dark = np.minimum(person.brow * 0.4, 0.02) + 0.003
    return Strands(
        np.einsum("nji,npj->npi", frames, path), root, shares,
        np.broadcast_to((0.0003 + 0.00025 * person.lashes) * (1 - 0.8 * t[..., 0]), (count, 4)).copy(),
        np.broadcast_to(dark, (count, 3)).copy(), np.full(count, LASH), np.full((count, 4), 0.8),
    )  # fmt: skip


def beard(figure: Figure, person: Person, vertices: np.ndarray, normals: np.ndarray) -> Strands:
    """Beard of moderate length and more; stubble is painted on the skin."""
    if person.beard in ("none", "stubble"):
        return empty(4)
    rng = random_stream(person.seed, person.index, 33)
    density = beard_density(figure.canonical, figure.lips, person.beard)
    root, shares = scatter(
        figure, density, vertices, {"full": 8000, "goatee": 3000, "moustache": 1300}[person.beard], rng
    )
    place = np.einsum("nc,ncd->nd", shares, figure.canonical[figure.triangles[root]])
    count = len(root)
    moustache = smoothstep(-0.072, -0.066, place[:, 2])
    direction = np.stack(
        [np.sign(place[:, 0]) * (0.15 + 1.0 * moustache), 0.1 - 0.25 * (1 - moustache), -1.0 + 0.3 * moustache], 1
    )
    direction += rng.normal(0, 0.28, (count, 3))
    length = person.beard_length * rng.uniform(0.5, 1.2, count) * (1 - 0.45 * moustache)
    length *= 0.5 + 0.5 * smoothstep(-0.06, -0.09, place[:, 2])
    bend = rng.normal(0, 0.25, (count, 3)) + np.array([0, 0, -0.2])
    base = person.hair * np.array([1.1, 0.95, 0.9])
    return rooted(
        figure, person, vertices, normals, root, shares, direction, length, 0.4, bend, 0.0003, BEARD, base, rng
    )


def empty(steps: int) -> Strands:
    zero = np.zeros
    return Strands(
        zero((0, steps, 3)), zero(0, int), zero((0, 3)), zero((0, steps)), zero((0, 3)), zero(0, int), zero((0, steps))
    )


class FrontMap:
    """Which point of the skin lies behind a place (x, z) of the face seen from the front, in canonical coordinates."""

    def __init__(self, figure: Figure, size: int = 400, span: float = 0.2):
        from .rasteriser import draw_triangles, new_buffers

        self.size, self.span = size, span
        canonical = figure.canonical
        points = np.stack([self._pixel(canonical[:, 0]), self._pixel(canonical[:, 2]), 1 / (1 + canonical[:, 1])], 1)
        skin = np.flatnonzero(figure.kinds == SKIN)
        nearness, surface, place = new_buffers(size)
        whole = np.ones(len(canonical), np.float32)
        draw_triangles(points.astype(np.float32), whole, figure.triangles[skin], 0, nearness, surface, place, 0.0)
        self.triangle = np.where(surface >= 0, skin[surface], -1)
        self.place = place

    def _pixel(self, metres: np.ndarray) -> np.ndarray:
        return (metres / self.span + 0.5) * self.size

    def roots(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Triangles (N,), -1 for none, and shares of their corners (N, 3)."""
        column = np.clip(self._pixel(x), 0, self.size - 1).astype(int)
        row = np.clip(self._pixel(z), 0, self.size - 1).astype(int)
        b = self.place[row, column].astype(float)
        return self.triangle[row, column], np.stack([1 - b.sum(1), b[:, 0], b[:, 1]], 1)
