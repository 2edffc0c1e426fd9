"""Drawing with signed distances: coverage, shapes, baked textures and a canvas that remembers which part is on top.

Lengths are in scene units: a picture spans [-1, 1] in x (right) and y (down) between its outer edges, so a pixel of a
`size` x `size` picture is `2 / size` wide. A signed distance is negative inside a shape. Colours are RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Colour = tuple[float, float, float]


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One uniform draw in [low, high), by `Generator.random`: numpy may change what other methods draw."""
    return low + (high - low) * float(rng.random())


def choose(rng: np.random.Generator, options: dict[str, float]) -> str:
    """One of the options, drawn with the probabilities that their weights give."""
    point = float(rng.random()) * sum(options.values())
    for name, weight in options.items():
        point -= weight
        if point < 0:
            return name
    return name


# ---- scalars and colours ----------------------------------------------------------------------------------------


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    """Cubic ramp: 0 at `low`, 1 at `high` (which may be the smaller of the two), flat at both ends."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(r2: Array) -> Array:
    """Smooth hill over a squared radius: 1 at 0, 0 from 1 on, continuous slope."""
    t = np.maximum(1.0 - r2, 0.0)
    return t * t


def coverage(distance: Array, pixel: float) -> Array:
    """Share of a pixel that lies inside a shape, from the signed distance at the pixel's centre."""
    return np.clip(0.5 - distance / pixel, 0.0, 1.0)


def mix(a: Colour | Array, b: Colour | Array, t: float | Array) -> Array:
    """Blend of colours; arrays are channel-first (3, ...), and t broadcasts over the pixels."""
    a, b, t = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64), np.asarray(t, dtype=np.float64)
    ndim = max(a.ndim - 1, b.ndim - 1, t.ndim)
    a, b = (c.reshape(c.shape + (1,) * (ndim + 1 - c.ndim)) for c in (a, b))
    return a + (b - a) * t


def shade(colour: Colour, amount: float) -> Colour:
    """The colour in shadow (amount > 0, cooler and darker) or in light (amount < 0, warmer and paler)."""
    if amount >= 0:
        r, g, b = (float(c * (1.0 - amount * k)) for c, k in zip(colour, (0.80, 1.0, 0.88), strict=True))
    else:
        r, g, b = (float(c + (w - c) * -amount) for c, w in zip(colour, (1.0, 0.97, 0.90), strict=True))
    return r, g, b


def rgb(code: str) -> Colour:
    """Colour from "rrggbb"."""
    r, g, b = (int(code[i : i + 2], 16) / 255.0 for i in (0, 2, 4))
    return r, g, b


# ---- shapes -----------------------------------------------------------------------------------------------------


def ellipse(
    x: Array, y: Array, cx: float, cy: float, rx: float | Array, ry: float | Array, angle: float = 0.0
) -> Array:
    """Signed distance to an ellipse, exact to first order at its edge. `angle` in radians, clockwise on screen."""
    x, y = x - cx, y - cy
    if angle:
        c, s = np.cos(angle), np.sin(angle)
        x, y = c * x + s * y, c * y - s * x
    k = np.sqrt((x / rx) ** 2 + (y / ry) ** 2)
    slope = np.sqrt((x / rx**2) ** 2 + (y / ry**2) ** 2)
    return k * (k - 1.0) / np.maximum(slope, 1e-9) - (k < 1e-6) * np.minimum(rx, ry)


def rounded_box(x: Array, y: Array, rx: float, ry: float, radius: float) -> Array:
    """Signed distance to a box of half-sides (rx, ry) about the origin with rounded corners."""
    dx, dy = np.abs(x) - (rx - radius), np.abs(y) - (ry - radius)
    return np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2) + np.minimum(np.maximum(dx, dy), 0.0) - radius


def segment(x: Array, y: Array, ax: float, ay: float, bx: float, by: float) -> Array:
    """Distance to a line segment."""
    t = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2 + 1e-12), 0.0, 1.0)
    return np.sqrt((x - ax - t * (bx - ax)) ** 2 + (y - ay - t * (by - ay)) ** 2)


def smooth_union(a: Array, b: Array, radius: float) -> Array:
    """Union of two signed distances with a fillet of about `radius`."""
    h = np.maximum(radius - np.abs(a - b), 0.0) / radius
    return np.minimum(a, b) - h * h * radius * 0.25


def closed_spline(points: list[tuple[float, float]], steps: int = 7) -> Array:
    """Vertices (N, 2) of a closed Catmull-Rom curve through the points; a point given twice makes a sharp corner."""
    p = np.asarray(points, dtype=np.float64)
    a, b, c, d = np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    real = np.abs(c - b).sum(1) > 1e-9  # the piece between two equal points would be a small loop
    return curve.transpose(1, 0, 2)[real].reshape(-1, 2)


def polygon(x: Array, y: Array, vertices: Array) -> Array:
    """Exact signed distance to a closed polygon (N, 2), by its sides and the even-odd rule.

    `x` is (1 or H, W), alike in all rows, and `y` (H, 1 or W), alike in all columns. A side is looked at where it may be the nearest,
    and where a ray to the right may cross it.
    """
    x, y = x[:1], y[:, :1]
    nearest = np.full((y.size, x.size), 1e9)
    inside = np.zeros(nearest.shape, dtype=bool)
    starts, ends = vertices, np.roll(vertices, -1, 0)
    for (ax, ay), (bx, by), window in zip(starts, ends, _windows(x[0], y[:, 0], starts, ends), strict=True):
        ex, ey = bx - ax, by - ay
        px, py = x[:, window[1]] - ax, y[window[0]] - ay
        t = np.clip((px * ex + py * ey) / (ex * ex + ey * ey + 1e-18), 0.0, 1.0)
        view = nearest[window]
        np.minimum(view, (px - t * ex) ** 2 + (py - t * ey) ** 2, out=view)
        crossed = ((ay > y) != (by > y))[:, 0]
        if ay != by and crossed.any():
            inside[crossed] ^= x - ax < ex * (y[crossed] - ay) / ey
    return np.where(inside, -1.0, 1.0) * np.sqrt(nearest)


BLOCK = 8


def _windows(x: Array, y: Array, starts: Array, ends: Array) -> Iterator[tuple[slice, slice]]:
    """Rows and columns (of y and of x) among which all points lie that are nearest to a side, for each of the sides.

    In a block of points no side is nearest that is farther from the block's middle than another by twice its radius.
    """
    across, down = (t[np.minimum(np.arange(BLOCK // 2, t.size + BLOCK // 2, BLOCK), t.size - 1)] for t in (x, y))
    half, high = (np.abs(t - middle.repeat(BLOCK)[: t.size]).max() for t, middle in ((x, across), (y, down)))
    radius = np.hypot(half, high)
    sides = (ends - starts)[:, :, None, None]
    px, py = across[None, None, :] - starts[:, 0, None, None], down[None, :, None] - starts[:, 1, None, None]
    t = np.clip((px * sides[:, 0] + py * sides[:, 1]) / ((sides**2).sum(1) + 1e-18), 0.0, 1.0)
    distance = np.hypot(px - t * sides[:, 0], py - t * sides[:, 1])
    for near in distance <= distance.min(0) + 2 * radius + 1e-6:
        rows, columns = (np.flatnonzero(near.any(axis)) for axis in (1, 0))
        if not rows.size:
            yield slice(0), slice(0)
            continue
        yield slice(BLOCK * rows[0], BLOCK * (rows[-1] + 1)), slice(BLOCK * columns[0], BLOCK * (columns[-1] + 1))


def ripples(
    t: Array, rng: np.random.Generator, low: float, high: float, waves: int = 5, closed: bool = False
) -> Array:
    """Smooth noise in about [-1, 1] over t: sines of random frequencies in [low, high] and random phases.

    `closed` takes whole frequencies, so that noise over an angle has no seam.
    """
    out = np.zeros_like(t)
    for _ in range(waves):
        frequency, phase = uniform(rng, low, high), uniform(rng, 0, 2 * np.pi)
        out += np.sin((np.rint(frequency) if closed else frequency) * t + phase)
    return out / (0.5 * waves + 1.0)


# ---- baked textures ---------------------------------------------------------------------------------------------

REACH = 1.05  # a texture covers material coordinates in [-REACH, REACH]


@dataclass
class Texture:
    """A still layer in material coordinates: signed distance and colour on a grid, read by bilinear interpolation."""

    channels: Array  # (4, N, N): signed distance, R, G, B at the grid's texel centres

    @staticmethod
    def grid(texels: int) -> tuple[Array, Array]:
        """Material coordinates x (1, N) and y (N, 1) of the texel centres."""
        t = ((2 * np.arange(texels) + 1) / texels - 1.0) * REACH
        return t[None, :], t[:, None]

    @classmethod
    def bake(cls, distance: Array, colour: Array) -> Texture:
        return cls(
            np.ascontiguousarray(np.concatenate([distance[None], np.broadcast_to(colour, (3, *distance.shape))]))
        )

    def sample(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Signed distance (...) and colour (3, ...) at material coordinates; the border is held outside the grid."""
        n = self.channels.shape[-1]
        u = np.clip((x / REACH + 1.0) * (n / 2) - 0.5, 0.0, n - 1.001)
        v = np.clip((y / REACH + 1.0) * (n / 2) - 0.5, 0.0, n - 1.001)
        i, j = u.astype(np.int64), v.astype(np.int64)
        u, v = u - i, v - j
        flat, at = self.channels.reshape(4, -1), j * n + i
        top = flat.take(at, 1) * (1 - u) + flat.take(at + 1, 1) * u
        bottom = flat.take(at + n, 1) * (1 - u) + flat.take(at + n + 1, 1) * u
        out = top + (bottom - top) * v
        return out[0], out[1:]


# ---- canvas -----------------------------------------------------------------------------------------------------


class Canvas:
    """Frames painted back to front, with the number of the top-most opaque part at every pixel.

    Attributes: colour (3, F, H, W); part (F, H, W) uint8, the last one painted there at an opacity of half or more.
    """

    def __init__(self, background: Array, frames: int):
        self.colour = np.repeat(background[:, None], frames, 1)
        self.part = np.zeros(self.colour.shape[1:], dtype=np.uint8)
        self.size = background.shape[-1]

    def window(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice]:
        """Rows and columns of the pixels of a box given in screen coordinates, with a pixel to spare."""

        def span(low: float, high: float) -> slice:
            first = int(np.floor((low + 1) * self.size / 2)) - 1
            last = int(np.ceil((high + 1) * self.size / 2)) + 1
            return slice(min(max(first, 0), self.size), min(max(last, 0), self.size))

        return span(y0, y1), span(x0, x1)

    def paint(
        self, window: tuple[slice, slice], colour: Colour | Array, alpha: Array, part: int | Array | None = None
    ) -> None:
        """Blend a colour, constant or (3, F, h, w), over a window by alpha (F, h, w)."""
        view = self.colour[(slice(None), slice(None), *window)]
        paint_over(view, self.part[(slice(None), *window)], colour, alpha, part)


def paint_over(
    colour: Array, parts: Array, paint: Colour | Array, alpha: Array, part: int | Array | None = None
) -> None:
    """Blend paint over colour (3, ...) by alpha (...) in place, and take over the pixels it hides by half or more."""
    paint = np.asarray(paint, dtype=np.float64)
    if paint.ndim == 1:
        paint = paint.reshape((3,) + (1,) * (colour.ndim - 1))
    colour += (paint - colour) * alpha
    if part is not None:
        np.copyto(parts, np.asarray(part, dtype=np.uint8), where=alpha >= 0.5)
