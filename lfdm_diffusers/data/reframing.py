"""Other framings of a clip: its picture and its motion turned, scaled and shifted alike."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..ops.warp import resample, sampling_grid


def draw_framing(rng: np.random.Generator, amount: float) -> torch.Tensor:
    """A random framing `(2, 3)`: where a place of the new picture lies in the old one, both from -1 to 1.

    Args:
        amount: turned by up to so many radians, scaled by up to exp(amount), shifted by up to amount of half a side; each uniformly.
    """
    angle, size, x, y = rng.uniform(-amount, amount, 4)
    scale = math.exp(size)
    turn = [[scale * math.cos(angle), -scale * math.sin(angle)], [scale * math.sin(angle), scale * math.cos(angle)]]
    return torch.tensor([[*turn[0], x], [*turn[1], y]], dtype=torch.float32)


def reframe(picture: torch.Tensor, motion: torch.Tensor, framing: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture and its clip's motion as another framing shows them.

    Where the old picture ends, its border is repeated. With y -> A y + b the framing, a flow f becomes A^-1 (f(A y + b) - b): its
    residual is turned and scaled back.

    Args:
        picture: `(C, H, W)`, square.
        motion: `(3, F, h, w)`: residual flow (x, y) and occlusion.
        framing: of `draw_framing`.
    """

    def seen(maps: torch.Tensor) -> torch.Tensor:
        places = (
            sampling_grid(maps.shape[-2], maps.shape[-1], maps.device, centers=True) @ framing[:, :2].T + framing[:, 2]
        )
        return resample(maps, places.expand(len(maps), 1, -1, -1, -1), "border")

    moved = seen(motion.transpose(0, 1))
    flow = torch.einsum("ij,fjhw->fihw", torch.linalg.inv(framing[:, :2]), moved[:, :2])
    return seen(picture[None])[0], torch.cat((flow, moved[:, 2:]), dim=1).transpose(0, 1)
