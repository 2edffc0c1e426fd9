"""The floor that a whole figure stands on: its colour, the shadows on it, and the darkness around standing feet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from .draws import linear, one_of, smoothstep
from .noise import cell_noise, value_noise
from .shading import Lights, ambient, lit

KINDS = ("planks", "tiles", "carpet", "concrete", "grass", "mat")
COLOURS = {
    "planks": ("8a6240", "6b4a30", "a88058", "b8976c", "4a3628"), "tiles": ("b8b4aa", "d6d2c8", "8a8680", "6e6a66"),
    "carpet": ("6e7278", "4a5260", "8a7a68", "5a3a3a", "3d4a5a"), "concrete": ("8e8c88", "a6a29a", "72706c"),
    "grass": ("4a6030", "5a7038", "3d5428"), "mat": ("2f4a7a", "7a1f26", "3a3d44", "2e5e5e"),
}  # fmt: skip
CONTACT, CONTACT_SPAN = 96, 2.4  # pixels and metres of the map of what is near the floor


@njit(cache=True)
def floor_albedo(kind, first, second, scale, angle, seed, x, y, out):
    """Colour (3,) of a floor of `KINDS` at x, y, metres."""
    c, s = np.cos(angle), np.sin(angle)
    u, v = (c * x + s * y) / scale, (-s * x + c * y) / scale
    mix = 0.0
    tone = 1.0 + 0.10 * value_noise(u * 1.5, v * 1.5, 0.0, seed)
    if kind == 0:  # boards ten times as long as wide, each of its own tone
        row = np.floor(v * 6)
        board = np.floor(u * 0.8 + 0.37 * (row % 5))
        tone += 0.22 * value_noise(row * 3.7 + 0.5, board * 5.3 + 0.5, 0.5, seed + 1) + 0.08 * value_noise(
            u * 2, v * 60, 0.0, seed + 2
        )
        if v * 6 - row < 0.05:
            tone *= 0.7
    elif kind == 1:
        a, b = u * 2 - np.floor(u * 2), v * 2 - np.floor(v * 2)
        if a < 0.04 or b < 0.04:
            mix = 0.8
        tone += 0.06 * value_noise(np.floor(u * 2) + 0.5, np.floor(v * 2) + 0.5, 0.5, seed + 1)
    elif kind == 2 or kind == 5:
        tone += 0.07 * value_noise(u * 40, v * 40, 0.0, seed + 1)
    elif kind == 3:
        tone += 0.08 * value_noise(u * 9, v * 9, 0.0, seed + 1) + 0.05 * value_noise(u * 40, v * 40, 0.0, seed + 2)
    else:
        d, own = cell_noise(u * 30, v * 30, 0.0, seed + 1)
        tone += 0.5 * (own - 0.5) - 0.25 * d
        mix = max(0.0, 0.35 * value_noise(u * 3, v * 3, 0.0, seed + 2))
    for k in range(3):
        out[k] = max((first[k] + mix * (second[k] - first[k])) * tone, 0.005)


@njit(cache=True)
def paint(kind, first, second, scale, angle, seed, places, out):
    """Mean albedo (H, W, 3) of the places (H, W, K, 2) that each pixel shows."""
    one = np.zeros(3)
    height, width, count = places.shape[:3]
    for i in range(height):
        for j in range(width):
            for k in range(count):
                floor_albedo(kind, first, second, scale, angle, seed, places[i, j, k, 0], places[i, j, k, 1], one)
                out[i, j] += one / count


@njit(cache=True)
def light_on(lights, places, open_, out):
    """Light (H, W, 3) that a level white floor sends back at places (H, W, 2); `open_` (H, W) of the light from all around."""
    for i in range(places.shape[0]):
        for j in range(places.shape[1]):
            x, y = places[i, j, 0], places[i, j, 1]
            for c in range(3):
                out[i, j, c] = open_[i, j] * max(ambient(lights.harmonics, 0.0, 0.0, 1.0, c), 0.0)
            for k in range(len(lights.directions)):
                up = lights.directions[k, 2]
                if up > 0.02:
                    there = lit(lights, k, x, y, 0.0, 0.0, 1) * up * (0.3 + 0.7 * open_[i, j])
                    for c in range(3):
                        out[i, j, c] += lights.colours[k, c] * there


@dataclass
class Ground:
    """A floor as a picture shows it.

    Attributes:
        share: (H, W, 1) of each pixel that is floor, in [0, 1]; albedo: (H, W, 3); places: (H, W, 2) metres.
    """

    share: np.ndarray
    albedo: np.ndarray
    places: np.ndarray

    @classmethod
    def sample(
        cls, rng: np.random.Generator, lens: np.ndarray, centre: np.ndarray, side: float, size: int, light: str
    ) -> Ground:
        """A floor, and how far behind the person it ends, as a lens (3,) sees it; see `clip.View`."""
        outside = light in ("sun", "overcast", "evening")
        kind = one_of(
            rng,
            {"grass": 3, "concrete": 4, "tiles": 1}
            if outside
            else {"planks": 3, "tiles": 2, "carpet": 2, "concrete": 1.5, "mat": 1},
        )
        names = COLOURS[kind]
        first = linear(names[int(rng.integers(len(names)))]) * np.exp(rng.normal(0, 0.12, 3))
        second = first * rng.uniform(0.4, 0.8) if kind != "grass" else first * [1.4, 1.2, 0.7]
        behind = float(np.exp(rng.uniform(np.log(0.6), np.log(4.0)))) * (3 if outside else 1)
        scale, angle, seed = float(rng.uniform(0.7, 1.3)), float(rng.uniform(-0.5, 0.5)), int(rng.integers(2**20))
        steps = (np.arange(3 * size) + 0.5) / (3 * size) - 0.5
        down = centre[1] + side * steps
        far = -lens[1] + behind
        depth = lens[2] / np.maximum(down, 1e-6)
        # Where the floor meets what is behind there is a soft edge, not a line.
        share = smoothstep(far * 1.02, far * 0.98, depth) * (down > 0)
        depth = np.minimum(depth, far * 1.1)
        right = centre[0] + side * steps
        places = np.stack(np.broadcast_arrays(lens[0] + right[None] * depth[:, None], (lens[1] + depth)[:, None]), -1)
        nine = places.reshape(size, 3, size, 3, 2).transpose(0, 2, 1, 3, 4).reshape(size, size, 9, 2)
        albedo = np.zeros((size, size, 3))
        paint(KINDS.index(kind), first, second, scale, angle, seed, np.ascontiguousarray(nine), albedo)
        return cls(
            np.broadcast_to(share.reshape(size, 3).mean(1)[:, None, None], (size, size, 1)), albedo,
            np.ascontiguousarray(places[1::3, 1::3]),
        )  # fmt: skip

    def lit(self, lights: Lights, near: np.ndarray) -> np.ndarray:
        """Linear light (H, W, 3) of the floor; `near` (N, N) as `contact` gives it."""
        from scipy.ndimage import map_coordinates

        index = [
            (0.5 - self.places[..., 1] / CONTACT_SPAN) * CONTACT - 0.5,
            (0.5 + self.places[..., 0] / CONTACT_SPAN) * CONTACT - 0.5,
        ]
        open_ = 1 - map_coordinates(near, index, order=1, mode="constant")
        out = np.zeros_like(self.albedo)
        light_on(lights, self.places, np.ascontiguousarray(open_), out)
        return out * self.albedo


def contact(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """How much of the sky what stands near the floor takes from it, (N, N) in [0, 0.8], y upwards in the rows' order reversed."""
    from scipy.ndimage import gaussian_filter

    from .rasteriser import draw_triangles, new_buffers

    near, surface, place = new_buffers(CONTACT)
    scale = CONTACT / CONTACT_SPAN
    seen = np.stack([points[:, 0] * scale + CONTACT / 2, CONTACT / 2 - points[:, 1] * scale, 4 - points[:, 2]], 1)
    draw_triangles(seen.astype(np.float32), np.ones(len(points), np.float32), triangles, 0, near, surface, place, 0.0)
    height = np.where(near > 0, 4 - near, 9.0)
    close = gaussian_filter(np.exp(-np.maximum(height, 0) / 0.05), 1.1) + 0.5 * gaussian_filter(
        np.exp(-np.maximum(height, 0) / 0.35), 5.0
    )
    return np.minimum(0.75 * close, 0.8)
