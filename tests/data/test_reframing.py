"""Pictures and motion in another framing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lfdm_diffusers.data.reframing import draw_framing, reframe
from lfdm_diffusers.ops.warp import sampling_grid

SIDE = 64


def smooth(channels: int, size: int, cells: int, seed: int) -> torch.Tensor:
    coarse = torch.rand(channels, 1, cells, cells, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)[:, 0]


def shown(picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """The frame that a residual flow `(2, h, w)` makes of a picture."""
    places = sampling_grid(SIDE, SIDE, centers=True) + flow.permute(1, 2, 0)
    return F.grid_sample(picture[None], places[None], padding_mode="border", align_corners=False)[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_frame_is_framed_like_the_picture(seed):
    """What the reframed motion makes of the reframed picture is the frame, reframed."""
    framing = draw_framing(np.random.default_rng(seed), 0.25)
    picture, flow = smooth(3, SIDE, 6, seed), 0.15 * (smooth(2, SIDE, 4, seed + 10) - 0.5)
    motion = torch.cat((flow, torch.ones(1, SIDE, SIDE)))[:, None].expand(-1, 2, -1, -1)
    picture_now, motion_now = reframe(picture, motion, framing)
    assert picture_now.shape == picture.shape and motion_now.shape == motion.shape
    expected, _ = reframe(shown(picture, flow), motion, framing)
    found = shown(picture_now, motion_now[:2, 1])
    places = sampling_grid(SIDE, SIDE, centers=True) @ framing[:, :2].T + framing[:, 2]
    inside = (places.abs().amax(-1) < 0.75) & (sampling_grid(SIDE, SIDE, centers=True).abs().amax(-1) < 0.75)
    assert inside.float().mean() > 0.25 and (expected - picture_now)[:, inside].abs().mean() > 0.01
    assert (found - expected)[:, inside].abs().mean() < 0.004
    torch.testing.assert_close(motion_now[2], torch.ones_like(motion_now[2]))


def test_no_framing_is_no_change():
    picture, motion = torch.rand(3, 32, 32), torch.randn(3, 4, 8, 8)
    same, still = reframe(picture, motion, draw_framing(np.random.default_rng(0), 0.0))
    torch.testing.assert_close(same, picture, rtol=0, atol=1e-5)
    torch.testing.assert_close(still, motion, rtol=0, atol=1e-5)
