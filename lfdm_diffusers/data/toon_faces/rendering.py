"""Painting a performance: the still layers carried by the rig, and the moving features on top."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..chance import random_stream
from .drawing import (
    Array,
    Canvas,
    Texture,
    bump,
    coverage,
    ellipse,
    mix,
    paint_over,
    rgb,
    ripples,
    rounded_box,
    shade,
    smoothstep,
)
from .expressions import Performance
from .people import ToonSubject
from .portrait import portrait
from .rig import SIDES, Rig

CHUNK_PIXELS = 120_000  # frames are painted together up to about this many pixels, which keeps arrays in the cache
FINE = (
    128  # smaller pictures are painted at twice their size: thin lines meet there that coverage alone cannot resolve
)


def render(person: ToonSubject, performance: Performance, size: int) -> tuple[Array, Array]:
    """Pictures (F, size, size, 3) uint8 and top-most parts (F, size, size) uint8 of a performance."""
    frames = performance.roll.shape[0]
    finer = 2 if size < FINE else 1
    step = max(1, CHUNK_PIXELS // (size * finer) ** 2)
    pictures = np.empty((frames, size, size, 3), dtype=np.uint8)
    parts = np.empty((frames, size, size), dtype=np.uint8)
    rig = Rig(person)
    for first in range(0, frames, step):
        chunk = slice(first, min(first + step, frames))
        canvas = paint(person, rig, performance.at(chunk), chunk.stop - first, size * finer)
        colour, part = canvas.colour, canvas.part
        if finer == 2:
            a, b, c, d = (colour[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
            colour = 0.25 * (a + b + c + d)
            part = commonest(*(part[..., i::2, j::2] for i in (0, 1) for j in (0, 1)))
        pictures[chunk] = np.rint(np.clip(colour, 0, 1) * 255.0).astype(np.uint8).transpose(1, 2, 3, 0)
        parts[chunk] = part
    return pictures, parts


def commonest(a: Array, b: Array, c: Array, d: Array) -> Array:
    """The most frequent of four values, elementwise; the first of those that tie."""
    return np.where((a == b) | (a == c) | (a == d), a, np.where((b == c) | (b == d), b, np.where(c == d, c, a)))


def paint(person: ToonSubject, rig: Rig, state: Performance, frames: int, size: int) -> Canvas:
    """Paint frames back to front. `state` broadcasts as (frames, 1, 1)."""
    still = portrait(person, size)
    canvas = Canvas(still.backdrop, frames)
    number = rig.number
    t = (2 * np.arange(size) + 1) / size - 1.0
    x, y = rig.stage.local_in(state, t[None, None, :], t[None, :, None])
    pixel = 2.0 / size / person.zoom
    head_x, head_y = rig.head.local_in(state, x, y)

    def lay(texture: Texture, place: tuple[Array, Array], part: str, rows: slice = slice(None)) -> None:
        px, py = np.broadcast_arrays(*place)
        distance, colour = texture.sample(px[:, rows], py[:, rows])
        canvas.paint((rows, slice(0, size)), colour, coverage(distance, pixel), number[part])

    soft_shadow(canvas, rig, state, head_x, head_y)
    top, bottom = rig.stage.rows(0.2, 2)
    low = canvas.window(-1, top, 1, bottom)[0]
    if still.hair_back is not None:
        lay(still.hair_back, rig.hair_back.local_in(state, head_x, head_y), "hair_back")
    lay(still.neck, rig.neck.local_in(state, x, y), "neck", low)
    lay(still.clothes, rig.torso.local_in(state, x, y), "clothes", low)
    top, bottom = rig.stage.rows(-0.3, 0.4)
    ear_rows = canvas.window(-1, top, 1, bottom)[0]
    lay(still.ears, rig.ears.local_in(state, head_x, head_y), "ears", ear_rows)
    front_x, front_y = rig.front.local_in(state, head_x, head_y)
    skin_x, skin_y = rig.skin.local_in(state, front_x, front_y)
    lay(still.face, (skin_x, skin_y), "face")
    features = Features(canvas, person, rig, state, front_x, front_y, pixel)
    features.creases()
    if person.beard in ("moustache", "goatee", "full"):
        features.moustache()
    features.mouth()
    for k in (0, 1):
        features.eye(k)
    if still.hair_front is not None:
        lay(still.hair_front, (front_x, front_y), "hair_front")
    for k in (0, 1):
        features.brow(k)
    if person.glasses != "none":
        features.glasses()
    return canvas


def soft_shadow(canvas: Canvas, rig: Rig, state: Performance, x: Array, y: Array) -> None:
    """The head's soft shadow on the backdrop."""
    px, py = rig.ears.local_in(state, x, y)
    d = ellipse(px, py, 0.0, -0.02, 0.60, 0.72)
    everywhere = (slice(0, canvas.size), slice(0, canvas.size))
    canvas.paint(everywhere, (0.15, 0.12, 0.25), 0.16 * smoothstep(0.16, -0.06, d))


class Features:
    """The moving parts of a face, painted in windows of the canvas in the coordinates of the front of the head."""

    def __init__(
        self, canvas: Canvas, person: ToonSubject, rig: Rig, state: Performance, x: Array, y: Array, pixel: float
    ):
        self.canvas, self.person, self.rig, self.state = canvas, person, rig, state
        self.x, self.y, self.pixel = x, y, pixel
        self.number = rig.number

    def window(self, x0: float, y0: float, x1: float, y1: float) -> tuple[tuple[slice, slice], Array, Array] | None:
        """The window of a box of front coordinates that holds it in every frame, and the coordinates there; None if it lies outside."""
        near = np.any((self.x > x0) & (self.x < x1) & (self.y > y0) & (self.y < y1), axis=0)
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if rows.size == 0:
            return None
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return window, self.x[(slice(None), *window)], self.y[(slice(None), *window)]

    def crease(self, box: tuple[float, float, float, float], strength: Array, distance: Callable) -> None:
        """A soft dark line in the skin, where `distance` (a function of front coordinates) is small."""
        found = self.window(*box) if np.any(strength > 0.01) else None
        if found:
            window, x, y = found
            soft = max(0.022, 0.9 * self.pixel)
            self.canvas.paint(window, shade(self.person.skin, 0.62), strength * smoothstep(soft, 0.0, distance(x, y)))

    def creases(self) -> None:
        """Lines that come and go: smile folds, frown and forehead lines, wrinkles on the nose."""
        state = self.state
        for k, side in enumerate(SIDES):
            box = (min(side * 0.05, side * 0.42), 0.15, max(side * 0.05, side * 0.42), 0.6)
            self.crease(box, 0.55 * state.fold[k], partial(self.fold, k))
            self.crease((-0.14, -0.36, 0.14, 0.06), 0.60 * state.frown, partial(self.frown, k))
        wrinkle = 0.60 * np.maximum(state.wrinkle - 0.3, 0) / 0.7
        self.crease((-0.16, -0.02, 0.16, 0.24), wrinkle, self.wrinkles)
        self.crease((-0.30, -0.50, 0.30, -0.15), 0.26 * state.furrow, self.furrows)

    def fold(self, k: int, x: Array, y: Array) -> Array:
        """Distance to the line from the nose's wing round the mouth's corner."""
        p, state = self.person, self.state
        top = p.nose_length - 0.01 - 0.02 * state.wrinkle
        end_x = p.mouth_width * state.width + 0.045
        end_y = p.mouth_height - state.corner[k] + 0.02
        t = np.clip((y - top) / np.maximum(end_y - top, 0.05), 0, 1)
        line = 0.085 + (end_x - 0.085) * t**0.75
        beyond = np.maximum(top - y, 0) + np.maximum(y - end_y, 0)
        fade = 0.008 * (1 - np.sin(np.pi * np.clip(t * 0.9 + 0.05, 0, 1)))
        return np.hypot((SIDES[k] * x - line) * 0.8, beyond * 1.5) + fade

    def frown(self, k: int, x: Array, y: Array) -> Array:
        """Distance to the upright line at the inner end of a brow."""
        p, state = self.person, self.state
        y = y - (0.07 - p.brow_height - 0.5 * state.brow_inner[k])
        across = SIDES[k] * x - (0.036 - 0.3 * state.brow_pinch) + 0.25 * y
        return np.hypot(across, 0.5 * np.maximum(np.abs(y) - 0.035, 0)) + 0.003

    def wrinkles(self, x: Array, y: Array) -> Array:
        """Distance to two slanted lines on either side of the nose's bridge."""
        ax = np.abs(x)
        lines = [y - 0.105 - 0.042 * j + 0.35 * (ax - 0.04) for j in (0, 1)]
        return np.hypot(
            np.minimum(np.abs(lines[0]), np.abs(lines[1])), 2.0 * np.maximum(np.abs(ax - 0.044) - 0.026, 0)
        )

    def furrows(self, x: Array, y: Array) -> Array:
        """Distance to two lines over the forehead."""
        p, state = self.person, self.state
        y = y + 0.60 * p.face_top + 0.25 * np.maximum(state.brow_inner[0], 0) - 0.10 * x * x
        lines = [np.hypot(y - 0.055 * j, np.maximum(np.abs(x) - 0.17 + 0.03 * j, 0)) for j in (0, 1)]
        return np.minimum(*lines) + 0.004

    def brow(self, k: int) -> None:
        p, rig = self.person, self.rig
        side = SIDES[k]
        found = self.window(min(side * 0.02, side * 0.42), -0.46, max(side * 0.02, side * 0.42), 0.06)
        if not found:
            return
        window, x, y = found
        s, v = rig.brows[k].local_in(self.state, x, y)
        slope = np.hypot(
            1.0, (rig.brows[k].height(self.state, s + 1e-3) - rig.brows[k].height(self.state, s)) / 1e-3 / 0.125
        )
        taper = np.clip(1.0 - 0.62 * smoothstep(-0.1, 1.05, s), 0, 1) * smoothstep(-1.25, -0.75, s)
        half = p.brow_thickness * taper
        d = np.maximum(np.abs(v) / slope - half, (np.abs(s) - 1.0) * 0.125)
        tone = mix(p.brow, shade(p.brow, 0.4), smoothstep(-0.02, 0.03, v))
        self.canvas.paint(window, tone, coverage(d, self.pixel), self.number[f"brow_{k}"])

    def eye(self, k: int) -> None:
        p, rig, state, pixel = self.person, self.rig, self.state, self.pixel
        eye = rig.eyes[k]
        found = self.window(eye.x - 1.5 * p.eye_width, eye.y - 0.22, eye.x + 1.5 * p.eye_width, eye.y + 0.17)
        if not found:
            return
        window, x, y = found
        s = eye.along(x)
        fold, upper, lower = eye.lids(state, s)
        upper_slope, lower_slope = self.slope(upper, x), self.slope(lower, x)
        ends = (np.abs(s) - 1.0) * p.eye_width
        within = np.maximum(np.maximum((upper - y) / upper_slope, (y - lower) / lower_slope), ends)
        # The upper lid's skin between its fold and its edge, then the fold's line.
        lid = np.maximum(np.maximum(fold - y, (y - upper - 0.004) / upper_slope), ends)
        depth = smoothstep(0.05, 0.0, upper - y)
        lid_colour = mix(shade(p.skin, 0.10), shade(p.skin, 0.32), 0.55 * (1 - depth))
        self.canvas.paint(window, lid_colour, 0.92 * coverage(lid, pixel), self.number[f"upper_lid_{k}"])
        crease = np.maximum(np.abs(y - fold - 0.002) / self.slope(fold, x) - 0.004, ends + 0.012)
        self.canvas.paint(window, shade(p.skin, 0.62), 0.55 * coverage(crease, max(pixel, 0.012)))
        # A raised lower lid.
        bag = np.maximum(
            np.maximum(lower - y, y - lower - 0.03 * np.clip(state.lower_lid[k], 0, 1) * eye.arch(s)), ends
        )
        self.canvas.paint(window, shade(p.skin, 0.06), 0.9 * coverage(bag, pixel), self.number[f"lower_lid_{k}"])
        line = np.maximum(np.abs(y - lower - 0.003) / lower_slope - 0.004, ends + 0.006)
        self.canvas.paint(window, shade(p.skin, 0.70), 0.60 * coverage(line, max(pixel, 0.010)))
        # Eyeball: white, iris, pupil and highlights share the opening's edge.
        ball = np.empty((3, *x.shape))
        white = mix(rgb("fdfbf8"), rgb("c9c3d6"), 0.75 * smoothstep(0.055, 0.0, y - upper))
        white = mix(white, rgb("e6d9de"), 0.6 * smoothstep(0.7, 1.0, np.abs(s)))
        ball[:] = white
        number = np.full(x.shape, self.number[f"white_{k}"], dtype=np.uint8)
        u, v = rig.irises[k].local_in(state, x, y)
        r = np.hypot(u, v)
        size = p.iris_size
        iris = mix(
            shade(p.iris, 0.45), shade(p.iris, -0.42), smoothstep(-0.8, 1.0, v / size + 0.25 * u / size * p.light)
        )
        iris = mix(iris, shade(p.iris, 0.72), smoothstep(0.80, 0.97, r / size))
        paint_over(ball, number, iris, coverage((r - size) * state.iris_scale, pixel), self.number[f"iris_{k}"])
        pupil = (r - 0.53 * size) * state.iris_scale
        paint_over(ball, number, rgb("17121a"), coverage(pupil, pixel), self.number[f"pupil_{k}"])
        ball *= 1.0 - 0.28 * smoothstep(0.045, 0.0, y - upper)
        # Highlights do not shrink with the iris.
        hu, hv = u * state.iris_scale, v * state.iris_scale
        glint = ellipse(hu, hv, 0.36 * size * p.light, -0.36 * size, 0.027, 0.027)
        paint_over(ball, number, (1.0, 1.0, 1.0), coverage(glint, pixel))
        glint = ellipse(hu, hv, -0.34 * size * p.light, 0.42 * size, 0.014, 0.014)
        paint_over(ball, number, (1.0, 1.0, 1.0), 0.75 * coverage(glint, pixel))
        self.canvas.paint(window, ball, coverage(within, pixel), number)
        # Lashes: a stroke along the upper edge, thicker outwards, with a wing.
        reach = 1.04 + 0.16 * p.lashes
        half = (0.0085 + 0.0075 * p.lashes) * smoothstep(-1.05, 0.3, s) ** 0.5 * smoothstep(reach, 0.85, s)
        wing = p.lashes * 0.11 * np.maximum(s - 0.75, 0) ** 1.3
        lash = np.maximum(
            np.abs(y - upper + wing) / np.minimum(upper_slope, 2.2) - half,
            np.maximum(s - reach, -1.0 - s) * p.eye_width,
        )
        ink = mix(rgb("241a1c"), p.brow, 0.15).ravel()
        self.canvas.paint(window, ink, coverage(lash, pixel), self.number[f"lash_{k}"])

    def slope(self, curve: Array, x: Array) -> Array:
        """Length of a curve's tangent per unit of x, from neighbouring pixels; at most 4."""
        if curve.shape[-1] < 3:
            return np.ones_like(curve)
        step = np.maximum(x[..., 2:] - x[..., :-2], 1e-9)
        tangent = np.empty_like(curve)
        tangent[..., 1:-1] = (curve[..., 2:] - curve[..., :-2]) / step
        tangent[..., 0], tangent[..., -1] = tangent[..., 1], tangent[..., -2]
        return np.minimum(np.hypot(1.0, tangent), 4.0)

    def moustache(self) -> None:
        p, rig, pixel = self.person, self.rig, self.pixel
        found = self.window(-0.36, p.mouth_height - 0.26, 0.36, p.mouth_height + 0.12)
        if not found:
            return
        window, x, y = found
        u, v = rig.moustache.local_in(self.state, x, y)
        reach = p.mouth_width + (0.045 if p.beard == "moustache" else 0.02)
        t = np.abs(u) / reach
        fine = ripples(u * (1.0 + 2.0 * v) + 0.4 * v * np.sign(u), random_stream(p.seed, p.index, 16), 60, 140, 4)
        full = np.clip(1.0 - t * t, 0.0, 1.0) ** 0.6 * (1.0 - 0.35 * np.exp(-((u / 0.022) ** 2)))
        middle = -0.034 + 0.052 * t**3 - 0.012 * bump((t - 0.35) ** 2 / 0.12)
        d = np.maximum(np.abs(v - middle) - 0.040 * full - 0.003 * fine, (t - 1.0) * reach)
        dark, light = shade(p.beard_colour, 0.38), shade(p.beard_colour, -0.10)
        hair = mix(dark, light, np.clip(0.5 + 0.18 * fine - 8.0 * (v - middle), 0, 1))
        self.canvas.paint(window, shade(p.skin, 0.4), 0.30 * smoothstep(0.03, 0.0, d))
        self.canvas.paint(window, hair, coverage(d, max(pixel, 0.010)), self.number["moustache"])

    def mouth(self) -> None:
        p, rig, state, pixel = self.person, self.rig, self.state, self.pixel
        found = self.window(-0.42, p.mouth_height - 0.22, 0.42, p.mouth_height + 0.34)
        if not found:
            return
        window, x, y = found
        mouth = rig.mouth
        s = mouth.along(state, x)
        upper_outer, upper, lower, lower_outer = mouth.curves(state, s)
        ends = (np.abs(s) - 1.0) * p.mouth_width * state.width
        upper_slope, lower_slope = self.slope(upper, x), self.slope(lower, x)
        middle = 0.5 * (upper + lower)
        # Shade under the lower lip, then the lips.
        below = ((x) / (p.mouth_width * 0.8)) ** 2 + ((y - lower_outer - 0.035) / 0.045) ** 2
        self.canvas.paint(window, shade(p.skin, 0.45), 0.42 * bump(below))
        top = np.maximum(np.maximum((upper_outer - y) / self.slope(upper_outer, x), y - middle), ends)
        top_colour = mix(
            shade(p.lip, 0.28), shade(p.lip, 0.12), smoothstep(0.0, 1.0, (upper - y) / (upper - upper_outer + 1e-3))
        )
        self.canvas.paint(window, top_colour, coverage(top, pixel), self.number["upper_lip"])
        bottom = np.maximum(np.maximum((y - lower_outer) / self.slope(lower_outer, x), middle - y), ends)
        across = (y - lower) / (lower_outer - lower)
        shine = bump(((s - 0.12 * p.light) / 0.55) ** 2 + ((across - 0.42) / 0.30) ** 2)
        bottom_colour = mix(
            mix(p.lip, shade(p.lip, 0.25), smoothstep(0.5, 1.0, across)), shade(p.lip, -0.6), 0.55 * shine
        )
        self.canvas.paint(window, bottom_colour, coverage(bottom, pixel), self.number["lower_lip"])
        # Inside: dark, tongue and teeth share the opening's edge.
        inside = np.empty((3, *x.shape))
        inside[:] = mix(
            rgb("4a1420"), rgb("7a2430"), smoothstep(0.0, 1.0, (y - upper) / np.maximum(lower - upper, 1e-3))
        )
        number = np.full(x.shape, self.number["mouth"], dtype=np.uint8)
        jx, jy = rig.jaw.local_in(state, x, y)
        hump = ellipse(
            jx,
            jy,
            0.0,
            p.mouth_height + 0.022,
            0.66 * p.mouth_width * state.width,
            0.075 * np.maximum(state.tongue, 0.05),
        )
        tongue = mix(rgb("e8707a"), rgb("c94f60"), smoothstep(0.02, -0.06, jy - p.mouth_height))
        paint_over(inside, number, tongue, coverage(hump, pixel) * (state.tongue > 0.02), self.number["tongue"])
        ivory, dim = rgb("fffdf7"), rgb("cfc4cc")
        length = 0.056 * state.upper_teeth
        round_ = np.clip(1.0 - (s / 0.96) ** 2, 0.0, 1.0) ** 0.35
        teeth = np.maximum(y - upper - length * round_, (np.abs(s) - 0.96) * p.mouth_width)
        white = mix(
            ivory, dim, np.clip(0.6 * smoothstep(0.02, 0.0, y - upper) + 0.8 * smoothstep(0.55, 1.0, np.abs(s)), 0, 1)
        )
        paint_over(inside, number, white, coverage(teeth, pixel) * (length > 1e-3), self.number["upper_teeth"])
        length = 0.042 * state.lower_teeth
        teeth = np.maximum(lower - length * round_ - y, (np.abs(s) - 0.94) * p.mouth_width)
        white = mix(white * 0.97, dim, 0.35)
        paint_over(inside, number, white, coverage(teeth, pixel) * (length > 1e-3), self.number["lower_teeth"])
        gap = lower - upper
        line = np.maximum(np.maximum((upper - 0.002 - y) / upper_slope, (y - lower - 0.002) / lower_slope), ends)
        self.canvas.paint(window, inside, coverage(line, pixel) * smoothstep(0.0, 0.012, gap), number)
        # Where the lips meet: a dark line that ends in the corners.
        meet = np.maximum(np.abs(y - upper) / upper_slope - 0.0060 * np.clip(1.06 - s**4, 0.2, 1), ends - 0.002)
        self.canvas.paint(
            window, mix(shade(p.lip, 0.75), rgb("3a1418"), 0.5).ravel(), 0.9 * coverage(meet, max(pixel, 0.012))
        )

    def glasses(self) -> None:
        p, pixel = self.person, self.pixel
        found = self.window(-0.56, -0.16, 0.56, 0.30)
        if not found:
            return
        window, x, y = found
        wide = p.eye_gap - 0.030
        rim = 0.0125
        frame = np.full(x.shape, 9.0)
        for side in SIDES:
            u, v = x - side * p.eye_gap * 1.02, y - 0.078
            lens = np.hypot(u, v) - wide if p.glasses == "round" else rounded_box(u, v, wide, 0.80 * wide, 0.07)
            self.canvas.paint(window, (1.0, 1.0, 1.0), 0.10 * coverage(lens, pixel))
            glare = np.abs(u + 0.6 * v * p.light - 0.04 * p.light) - 0.03
            self.canvas.paint(window, (1.0, 1.0, 1.0), 0.16 * coverage(np.maximum(glare, lens), pixel))
            frame = np.minimum(frame, np.abs(lens) - rim)
            arm = np.maximum(
                np.abs(y - 0.045) - 0.8 * rim,
                np.maximum(p.eye_gap * 1.02 + wide - side * x, side * x - p.face_width - 0.01),
            )
            frame = np.minimum(frame, arm)
        bridge = np.maximum(np.abs(y - 0.055 - 0.5 * x * x * 8) - rim, np.abs(x) - (p.eye_gap * 1.02 - wide) - 0.01)
        frame = np.minimum(frame, bridge)
        tint = rgb("2d2a32") if p.index % 3 else mix(p.accent, rgb("2d2a32"), 0.55).ravel()
        self.canvas.paint(window, shade(p.skin, 0.5), 0.25 * smoothstep(0.03, 0.0, np.maximum(frame - 0.0, -0.1)))
        self.canvas.paint(window, tint, coverage(frame, pixel), self.number["glasses"])
