"""True motion on the smaller maps of an auto-encoder."""

from __future__ import annotations

import torch

from lfdm_diffusers.data.motion_maps import motion_maps


def test_places_take_the_flow_of_what_is_visible():
    flow = torch.arange(2 * 4 * 4).float().view(1, 2, 4, 4)
    visibility = torch.ones(1, 1, 4, 4)
    visibility[..., :2, :2] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])  # a corner of the first place
    visibility[..., 2:, 2:] = 0  # all of the last
    maps, occlusion = motion_maps(flow, visibility, (2, 2))
    assert occlusion.tolist() == [[[[0.25, 1.0], [1.0, 0.0]]]]
    assert maps[0, 0].tolist() == [[0.0, 4.5], [10.5, 12.5]]  # of the first place one pixel; the last has its mean
    assert maps[0, 1].tolist() == [[16.0, 20.5], [26.5, 28.5]]
