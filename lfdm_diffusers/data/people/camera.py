"""From light to a picture: exposure, colour, sharpness, noise, JPEG; the same for all frames of a clip but for the noise."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Drawn once per clip. `distance` metres to the face; the rest is of the picture, sizes in pixels of 128."""

    distance: float
    exposure: float  # stops
    balance: np.ndarray  # (3,) gains
    adaptation: float  # share of the light's colour that the white balance takes out
    contrast: float
    saturation: float
    lift: float
    vignette: float
    blur: float
    sharpen: float
    noise: float
    jpeg: int  # quality, 0 for none

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Camera:
        soft = rng.random()
        return cls(
            distance=float(np.exp(rng.uniform(np.log(0.5), np.log(2.2)))),
            exposure=float(rng.normal(0, 0.33)),
            balance=np.exp(rng.normal(0, [0.05, 0.015, 0.07])),
            adaptation=float(rng.uniform(0.45, 0.9)),
            contrast=float(rng.uniform(0.85, 1.3)),
            saturation=0.0 if rng.random() < 0.03 else float(rng.uniform(0.75, 1.2)),
            lift=float(max(rng.normal(0, 0.02), 0)),
            vignette=float(rng.uniform(0, 0.3)) if rng.random() < 0.4 else 0.0,
            blur=float(rng.uniform(0.4, 0.9)) if soft < 0.3 else 0.0,
            sharpen=float(rng.uniform(0.2, 0.6)) if soft > 0.65 else 0.0,
            noise=float(rng.uniform(0.002, 0.012)) if rng.random() < 0.6 else 0.0,
            jpeg=int(rng.integers(60, 96)) if rng.random() < 0.7 else 0,
        )

    def develop(self, light: np.ndarray, level: float, white: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A picture (S, S, 3) uint8 from linear light (S, S, 3).

        `level` of it shall become a middle tone, and `white` (3,), what a white surface looks like, nearly white.
        """
        from PIL import Image
        from scipy.ndimage import gaussian_filter

        size = len(light)
        adapted = (white.mean() / np.maximum(white, 1e-6)) ** self.adaptation
        x = light * (0.30 / level * 2**self.exposure) * self.balance * adapted
        if self.vignette:
            t = np.linspace(-1, 1, size)
            x = x * (1 - self.vignette * 0.5 * (t[None] ** 2 + t[:, None] ** 2))[..., None]
        x = np.maximum(x, 0)
        x = np.where(x < 0.5, x, 0.5 + 0.55 * (1 - np.exp(-(x - 0.5) / 0.55)))  # highlights roll off
        x = np.clip(x, 0, 1)
        x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
        grey = x @ np.array([0.299, 0.587, 0.114])
        x = grey[..., None] + self.saturation * (x - grey[..., None])
        x = 0.5 + self.contrast * (x - 0.5) + self.lift
        scale = size / 128
        if self.blur:
            x = gaussian_filter(x, (self.blur * scale, self.blur * scale, 0), mode="nearest")
        if self.sharpen:
            x = x + self.sharpen * (x - gaussian_filter(x, (0.8 * scale, 0.8 * scale, 0), mode="nearest"))
        if self.noise:
            x = x + self.noise * rng.normal(0, 1, x.shape)
        pixels = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
        if self.jpeg:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=self.jpeg)
            pixels = np.asarray(Image.open(file).convert("RGB"))
        return pixels
