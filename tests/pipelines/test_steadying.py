"""Generated flows tremble: what is no motion leaves a full-size frame as it is, and contours stay smooth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny import tiny_lfae, tiny_pipeline

from lfdm_diffusers.models import FullSizePainter
from lfdm_diffusers.ops.warp import sampling_grid
from lfdm_diffusers.pipelines.full_size import FullSize
from lfdm_diffusers.pipelines.steadying import MOTION, REST, activity, hidden, steadied, still_at_rest

pytestmark = pytest.mark.fast
SIDE = 24
STILL = sampling_grid(SIDE, SIDE, centers=True).permute(2, 0, 1)


def moved(departure: torch.Tensor) -> torch.Tensor:
    """A flow `(F, 2, SIDE, SIDE)` that departs from rest by so many places of its map."""
    return STILL + departure * 2 / SIDE


def places(flow: torch.Tensor) -> torch.Tensor:
    return (flow - STILL) * SIDE / 2


@pytest.mark.parametrize("has_painter", [False, True])
def test_a_trembling_picture_is_itself_to_the_bit(has_painter):
    """Every frame's flow is a little off, and so are the decoder's colours."""
    picture, size = torch.rand(1, 3, 90, 64), (32, 32)
    painter = FullSizePainter(scale=2, base_channels=4, coarse_channels=4, num_blocks=1) if has_painter else None
    if painter is not None:
        torch.nn.init.normal_(painter.conv_out.weight)
    flow = moved((torch.rand(1, 4, 2, SIDE, SIDE) - 0.5) * REST)
    warped = torch.rand(1, 3, 4, *size)
    decoded = (warped + 0.03 * torch.randn_like(warped).clamp(-1, 1)).clamp(0, 1)
    full = FullSize(picture, "picture", size, "center_crop")
    with torch.no_grad():
        frames = full.videos(
            flow, torch.ones(1, 4, 1, SIDE, SIDE), decoded, warped, torch.rand(1, 3, *size), "pt", painter
        )
    assert torch.equal(frames[0], picture.expand(4, -1, -1, -1))


def test_noise_goes_and_borders_stay():
    departure = torch.zeros(1, 2, SIDE, SIDE)
    departure[:, 0, :, SIDE // 2 :] = 4
    noise = torch.randn(1, 2, SIDE, SIDE) * 0.15
    steady = places(steadied(moved(departure + noise)))
    inner = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    assert (steady - departure)[inner].abs().mean() < 0.4 * noise[inner].abs().mean()
    assert (steady[:, 0, :, SIDE // 2 - 1].abs() < 0.5).all() and ((steady[:, 0, :, SIDE // 2] - 4).abs() < 0.5).all()


def test_even_slopes_stay():
    rows, columns = torch.meshgrid(*[torch.linspace(-2, 2, SIDE)] * 2, indexing="ij")
    departure = torch.stack((columns + 3, rows - 3))[None]
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(places(steadied(moved(departure)))[inner], departure[inner], atol=1e-4, rtol=0)


def test_small_motions_are_none_and_larger_ones_are_themselves():
    sizes = torch.tensor([0, 0.5 * REST, REST, MOTION, 2 * MOTION])
    departure = torch.zeros(len(sizes), 2, SIDE, SIDE)
    departure[:, 1] = sizes.view(-1, 1, 1)
    flow = steadied(moved(departure))
    assert torch.equal(flow[:3], STILL.expand(3, -1, -1, -1))
    torch.testing.assert_close(places(flow)[3:], departure[3:], atol=1e-4, rtol=0)


def test_nothing_is_painted_where_nothing_happens():
    departure = torch.zeros(1, 2, SIDE, SIDE)
    departure[..., :4] = 2
    flow, warped = moved(departure), torch.rand(1, 3, 2 * SIDE, 2 * SIDE)
    flow[..., 4:] = STILL[..., 4:]
    decoded = warped.clone()
    decoded[..., -8:] = (decoded[..., -8:] + 0.5) % 1  # all three colours differ by a half: new content
    active = activity(flow, warped, decoded)
    assert (active[..., :8] > 0.9).all() and (active[..., 14:-10] == 0).all() and (active[..., -8:] == 1).all()
    full, painted, share = still_at_rest(
        moved(departure + 0.4), warped, torch.full((1, 1, 4 * SIDE, 4 * SIDE), 0.3), active
    )
    assert torch.equal(full[..., 8:-6], STILL[None, ..., 8:-6]) and not torch.equal(
        full[..., :3], STILL[None, ..., :3]
    )
    assert (share[..., 30:-22] == 0).all() and (share[..., :14] > 0.25).all()
    assert painted is warped


def test_what_may_be_seen_is_not_painted():
    """Hidden is what the occlusion says so of plainly; with it, frames of the picture's own size hold the warped picture elsewhere."""
    occlusion = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]).view(1, 1, 1, 6)
    torch.testing.assert_close(hidden(occlusion, 0.5).flatten(), torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0, 0.0]))

    pipe, plain = tiny_pipeline(lfae=tiny_lfae(paint_below=0.5)), tiny_pipeline()
    picture = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0))
    motion = pipe(picture, num_inference_steps=1, generator=torch.Generator().manual_seed(1)).motion()
    for level, alike in ((0.05, True), (0.95, False)):
        grey = replace(motion, occlusion=torch.full_like(motion.occlusion, level))
        ours, theirs = (
            each.animate(picture, grey, output_size="picture", output_type="pt").frames for each in (pipe, plain)
        )
        assert torch.equal(ours, theirs) == alike
    with pytest.raises(ValueError, match="`paint_below` must be None, or above 0 and at most 1, got 2"):
        tiny_lfae(paint_below=2)
