"""Light of a scene: what comes from all around, and one to three lights with shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .draws import one_of
from .hair import unit

SHADOW_SIZE, SHADOW_SPAN = 224, 0.62  # pixels and metres of a shadow map
KINDS = {"overcast": 3, "sun": 2, "window": 4, "studio": 2, "flash": 1.5, "evening": 1.5, "lamp": 1.5, "night": 1}


@dataclass(frozen=True)
class Light:
    """L lights: directions (L, 3) towards them, colours (L, 3), softness (L,) metres; `harmonics` (9, 3); `kind`."""

    kind: str
    directions: np.ndarray
    colours: np.ndarray
    softness: np.ndarray
    harmonics: np.ndarray

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Light:
        kind = one_of(rng, KINDS)
        warm = np.array([1.0, rng.uniform(0.62, 0.85), rng.uniform(0.35, 0.62)])
        cool = np.array([rng.uniform(0.72, 0.92), rng.uniform(0.88, 0.97), 1.0])
        white = np.array([1.0, rng.uniform(0.92, 1.0), rng.uniform(0.85, 1.05)])
        side = rng.choice([-1.0, 1.0])
        floor = np.array([0.34, 0.28, 0.22]) * rng.uniform(0.4, 1.1)

        def towards(azimuth: float, height: float) -> list[float]:
            """Azimuth from the camera's side (0) to the right, degrees; height above the horizon."""
            a, h = np.radians([azimuth, height])
            return [np.sin(a) * np.cos(h), -np.cos(a) * np.cos(h), np.sin(h)]

        lights: list[tuple[list[float], np.ndarray, float]] = []
        if kind == "overcast":
            sky, walls = cool * rng.uniform(0.9, 1.4), cool * rng.uniform(0.3, 0.6)
            lights.append((towards(rng.uniform(-60, 60), rng.uniform(45, 75)), white * rng.uniform(0.25, 0.7), 0.09))
        elif kind == "sun":
            sky, walls = np.array([0.45, 0.62, 0.95]) * rng.uniform(0.6, 1.0), white * rng.uniform(0.2, 0.5)
            lights.append(
                (
                    towards(side * rng.uniform(15, 150), rng.uniform(25, 65)),
                    (0.5 * warm + 0.5 * white) * rng.uniform(1.6, 3.0),
                    0.006,
                )
            )
        elif kind == "window":
            sky, walls = white * rng.uniform(0.2, 0.5), white * rng.uniform(0.15, 0.5)
            lights.append(
                (towards(side * rng.uniform(25, 95), rng.uniform(5, 40)), cool * rng.uniform(0.9, 1.8), 0.06)
            )
            if rng.random() < 0.4:
                lights.append(
                    (towards(-side * rng.uniform(60, 150), rng.uniform(10, 50)), warm * rng.uniform(0.1, 0.5), 0.04)
                )
        elif kind == "studio":
            sky, walls = white * rng.uniform(0.15, 0.45), white * rng.uniform(0.15, 0.4)
            lights.append(
                (towards(side * rng.uniform(20, 55), rng.uniform(20, 50)), white * rng.uniform(0.8, 1.4), 0.05)
            )
            lights.append(
                (towards(-side * rng.uniform(30, 70), rng.uniform(0, 30)), white * rng.uniform(0.15, 0.5), 0.08)
            )
            lights.append(
                (towards(side * rng.uniform(130, 175), rng.uniform(20, 50)), white * rng.uniform(0.3, 1.2), 0.03)
            )
        elif kind == "flash":
            sky, walls = warm * rng.uniform(0.1, 0.3), warm * rng.uniform(0.05, 0.25)
            lights.append((towards(rng.uniform(-10, 10), rng.uniform(2, 18)), white * rng.uniform(1.0, 1.6), 0.006))
        elif kind == "evening":
            sky, walls = np.array([0.4, 0.45, 0.65]) * rng.uniform(0.4, 0.8), warm * rng.uniform(0.2, 0.5)
            lights.append(
                (towards(side * rng.uniform(30, 130), rng.uniform(4, 22)), warm * rng.uniform(1.2, 2.4), 0.012)
            )
        elif kind == "lamp":
            sky, walls = warm * rng.uniform(0.25, 0.7), warm * rng.uniform(0.15, 0.4)
            lights.append((towards(rng.uniform(-80, 80), rng.uniform(40, 80)), warm * rng.uniform(0.7, 1.4), 0.035))
            if rng.random() < 0.5:
                lights.append(
                    (towards(rng.uniform(-100, 100), rng.uniform(10, 50)), white * rng.uniform(0.2, 0.6), 0.03)
                )
        else:  # night: lights of many colours
            sky, walls = cool * rng.uniform(0.1, 0.3), warm * rng.uniform(0.1, 0.3)
            for k in range(2):
                tint = np.clip(rng.dirichlet([1.5, 1.5, 1.5]) * 2.2, 0.15, 1.5)
                lights.append(
                    (
                        towards((side if k else -side) * rng.uniform(15, 120), rng.uniform(5, 50)),
                        (0.6 * white + 0.4 * tint) * rng.uniform(0.5, 1.2),
                        0.03,
                    )
                )
        directions = unit(np.array([light[0] for light in lights], float))
        return cls(
            kind, directions, np.array([light[1] for light in lights]), np.array([light[2] for light in lights]),
            harmonics(sky, walls, floor * np.mean(walls + sky), side, rng.uniform(0.5, 1.8, 2)),
        )  # fmt: skip

    def front(self) -> np.ndarray:
        """How bright a white surface is that faces the camera, a little upwards, (3,): for exposure and white balance."""
        normals = unit(np.array([[0, -1, 0.15], [0.55, -0.8, 0.1], [-0.55, -0.8, 0.1]], float))
        direct = np.maximum(normals @ self.directions.T, 0) @ self.colours
        around = np.array([irradiance(self.harmonics, n) for n in normals])
        return (direct + around).mean(0)


def basis(n: np.ndarray) -> np.ndarray:
    """Real spherical harmonics without their constants, (..., 9), in the order that `shading.ambient` reads."""
    x, y, z = n[..., 0], n[..., 1], n[..., 2]
    return np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1)


def irradiance(h: np.ndarray, n: np.ndarray) -> np.ndarray:
    return basis(n) @ h


def harmonics(sky: np.ndarray, walls: np.ndarray, floor: np.ndarray, side: float, uneven: np.ndarray) -> np.ndarray:
    """Irradiance / pi (9, 3) under a sky or ceiling, walls (brighter on one side) and a floor."""
    count = 600
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    angle = np.pi * (1 + 5**0.5) * k
    n = np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], 1)
    up = np.clip(n[:, 2:] * 2.5, 0, 1)
    down = np.clip(-n[:, 2:] * 2.5, 0, 1)
    sideways = np.clip(side * n[:, :1], 0, 1) * uneven[0] + np.clip(-side * n[:, :1], 0, 1) * (2 - uneven[0]) + 0.3
    depth = np.clip(-n[:, 1:2], 0, 1) * uneven[1] + np.clip(n[:, 1:2], 0, 1) * (2 - uneven[1]) + 0.3
    radiance = up * sky + down * floor + (1 - up - down) * walls * 0.5 * (sideways + depth)
    constants = np.array([0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274])
    falloff = np.array([1, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25])
    projected = (basis(n).T @ radiance) * 4 * np.pi / count
    return projected * (constants**2 * falloff)[:, None]
