"""The painter of full-size frames: still pixels stay, an untrained one is the plain rule, and errors name arguments."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import tiny_painter

from lfdm_diffusers import FullSizePainter
from lfdm_diffusers.models.full_size_painter import composed, plain_rule, still_flow

SIZE = 12


def maps(frames: int = 2, moving: slice = slice(0, SIZE)) -> list[torch.Tensor]:
    """Flow, occlusion, decoded and warped; only columns `moving` move and are painted anew."""
    still = still_flow(torch.zeros(1, 1, SIZE, SIZE)).repeat(frames, 1, 1, 1)
    flow, warped = still.clone(), torch.rand(frames, 3, SIZE, SIZE)
    flow[..., moving] += 0.2 * torch.randn_like(flow)[..., moving]
    decoded = warped.clone()
    decoded[..., moving] = torch.rand_like(decoded)[..., moving]
    return [flow, torch.rand(frames, 1, SIZE, SIZE), decoded, warped]


def test_what_does_not_move_is_the_picture_to_the_bit_whatever_the_weights():
    """The right third moves; two places on its left (5x5 windows, and enlarging) feel it."""
    picture = torch.rand(1, 3, 2 * SIZE, 2 * SIZE)
    painter = tiny_painter()
    details = painter(picture, *maps(moving=slice(8, SIZE)))
    quiet = slice(0, 2 * 4)
    assert torch.equal(details.share[..., quiet], torch.zeros(2, 1, 2 * SIZE, 8))
    assert torch.equal(details.flow[..., quiet], still_flow(details.flow)[..., quiet].expand(2, -1, -1, -1))
    assert details.share[..., 2 * 8 :].min() > 0


def test_an_untrained_one_is_the_plain_rule_where_much_moves():
    torch.manual_seed(0)
    painter = FullSizePainter(scale=2, base_channels=4, coarse_channels=4, num_blocks=1)
    picture = torch.rand(1, 3, 2 * SIZE, 2 * SIZE)
    flow, occlusion, decoded, warped = maps()
    flow = still_flow(flow).repeat(2, 1, 1, 1) + 0.5  # three places to the side: all is active
    details, plain = painter(picture, flow, occlusion, decoded, warped), plain_rule(flow, decoded, warped, 2)
    torch.testing.assert_close(details.flow, plain.flow)
    torch.testing.assert_close(details.painted, plain.painted)
    torch.testing.assert_close(details.share, plain.share.clamp(0.02, 0.98), atol=3e-3, rtol=0)


def test_frames_are_composed_of_the_warped_picture_and_what_is_painted():
    """A flow of a quarter of the frame to the right, and painted halves."""
    picture = torch.rand(1, 3, 8, 8)
    painter = plain_rule(
        still_flow(torch.zeros(1, 1, 4, 4)) + torch.tensor([0.5, 0]).view(1, 2, 1, 1), *[torch.ones(1, 3, 4, 4)] * 2, 2
    )
    painter.share[..., :4, :] = 1
    frame = composed(picture, painter)
    torch.testing.assert_close(frame[..., :4, :], torch.ones(1, 3, 4, 8))
    torch.testing.assert_close(frame[..., 4:, :6], picture[..., 4:, 2:])


def test_one_picture_serves_all_frames():
    picture, given = torch.rand(1, 3, 2 * SIZE, 2 * SIZE), maps(3)
    painter = tiny_painter()
    one, each = painter(picture, *given), painter(picture.repeat(3, 1, 1, 1), *given)
    assert torch.equal(one.painted, each.painted)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"`picture`.*\(2, 3, 24, 24\) or \(1, 3, 24, 24\), got \(1, 3, 20, 20\)"):
        tiny_painter()(torch.rand(1, 3, 20, 20), *maps())
    with pytest.raises(ValueError, match="`scale` must be a whole number from 1 to 16384, got 0"):
        FullSizePainter(scale=0)


def test_corrections_are_in_places_of_the_decoders_frame():
    """On a frame of 12x8 places, a motion of 1/4 of its width and 1/8 of its height is one of three places and of one; a
    correction of the flow by 1 is one place, which the grid calls 2/12 across and 2/8 down; the share's counts four times."""
    width, height = 12, 8
    painter = tiny_painter(scale=2)
    torch.nn.init.zeros_(painter.conv_out.weight)
    corrections = torch.tensor([0.0, 0, 0, 1, 1, 0.25])  # painted, flow, share
    painter.conv_out.bias.data = corrections.repeat_interleave(4)
    seen = []
    painter.conv_in.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    flow = still_flow(torch.zeros(1, 1, height, width)) + torch.tensor([0.5, 0.25]).view(1, 2, 1, 1)
    frame = torch.full((1, 3, height, width), 0.5)
    picture, occlusion = torch.rand(1, 3, 2 * height, 2 * width), torch.rand(1, 1, height, width)
    details = painter(picture, flow, occlusion, frame, frame)
    torch.testing.assert_close(seen[0][0, -2:].mean(dim=(1, 2)), torch.tensor([3.0, 1.0]))
    active = 1 - math.exp(-2 * 3)
    moved = details.flow - plain_rule(flow, frame, frame, 2).flow
    torch.testing.assert_close(moved[0, :, 4, 4], active * torch.tensor([2 / width, 2 / height]))
    expected = active * torch.sigmoid(torch.logit(torch.tensor(0.02)) + 4 * 0.25)  # nothing differs: the least logit
    torch.testing.assert_close(details.share, expected.expand_as(details.share))
