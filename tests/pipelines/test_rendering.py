"""Frames at a picture's own size: still pixels to the bit, agreement, crops without a seam, several subjects, memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lfdm_diffusers.models.full_size_painter import AGREEMENT, agreement
from lfdm_diffusers.ops.warp import sampling_grid
from lfdm_diffusers.pipelines import rendering
from lfdm_diffusers.pipelines.rendering import Box, MovedSubject, Renderer, interpolation_matrix, resized_picture


def still_subject(
    box: Box, frames: int = 2, small: int = 8, shift: tuple[float, float] = (0, 0), **changes
) -> MovedSubject:
    """A model's frame of which every place reads `shift` (in units of the grid) further on, and whose decoder agrees."""
    flow = sampling_grid(small, small, centers=True).permute(2, 0, 1).repeat(frames, 1, 1, 1)
    flow = flow + torch.tensor(shift).view(2, 1, 1)
    painted, share = torch.rand(frames, 3, small, small), torch.zeros(frames, 1, small, small)
    return MovedSubject(**{"box": box, "flow": flow, "painted": painted, "share": share} | changes)


def test_a_still_picture_is_itself_to_the_bit():
    picture = torch.rand(3, 37, 53)
    for box in (Box(0, 0, 53, 37), Box(-8, -16, 61, 53), Box(5.5, 3.2, 40.1, 30)):
        for frame in Renderer(picture, [still_subject(box)]):
            assert torch.equal(frame, picture)


def test_matrices_interpolate_as_torch_does():
    values = torch.rand(1, 1, 7, 9)
    for cubic, mode in ((True, "bicubic"), (False, "bilinear")):
        rows, columns = (
            interpolation_matrix((torch.arange(n * 3) + 0.5) / 3 - 0.5, n, cubic) for n in values.shape[-2:]
        )
        expected = F.interpolate(values, scale_factor=3, mode=mode, align_corners=False)[0, 0]
        assert torch.allclose(rows @ values[0, 0] @ columns.T, expected, atol=1e-5)


def test_the_full_picture_moves_as_the_small_frame_says():
    """A shift of a quarter of the frame of 32 pixels is 8 pixels of the picture, whatever the size of the flow's map."""
    picture = torch.rand(3, 32, 32)
    frame = Renderer(picture, [still_subject(Box(0, 0, 32, 32), shift=(0.5, 0))]).frame(0)
    assert torch.allclose(frame[:, :, :24], picture[:, :, 8:], atol=1e-5)
    assert torch.allclose(frame[:, :, 24:], picture[:, :, -1:].expand(-1, -1, 8), atol=1e-5)  # beyond the border


def test_where_the_warp_is_wrong_the_decoder_is_taken():
    picture, decoded = torch.zeros(3, 32, 32), torch.ones(2, 3, 8, 8)
    share = 1 - agreement(torch.zeros_like(decoded), decoded)
    frame = Renderer(picture, [still_subject(Box(0, 0, 32, 32), painted=decoded, share=share)]).frame(1)
    assert torch.allclose(frame, share[1, 0, 0, 0].expand(3, 32, 32), atol=1e-6)
    assert frame.min() > 0.99


def test_agreement_is_one_for_equals_and_falls_with_the_difference():
    one = torch.rand(1, 3, 6, 6)
    assert torch.equal(agreement(one, one), torch.ones(1, 1, 6, 6))
    gate = agreement(torch.zeros(1, 3, 6, 6), torch.full((1, 3, 6, 6), AGREEMENT))
    assert torch.allclose(gate, torch.tensor(np.exp(-1), dtype=torch.float32).expand_as(gate))


def test_no_seam_at_the_border_of_a_crop():
    """At the border the result is the photograph, to the bit, and differences grow from there without a step."""
    picture = torch.rand(3, 64, 80)
    box = Box(10, 8, 58, 56)
    subject = still_subject(box, shift=(0.2, 0.1), painted=torch.ones(2, 3, 8, 8), share=torch.ones(2, 1, 8, 8))
    changed = (Renderer(picture, [subject]).frame(0) - picture).abs().sum(dim=0)
    outside = torch.ones(64, 80, dtype=torch.bool)
    outside[9:55, 11:57] = False  # the box without its first and last row and column
    assert not changed[outside].any() and changed[20:40, 22:44].min() > 0
    smooth = torch.full((3, 64, 80), 0.5)
    steps = (Renderer(smooth, [subject]).frame(0) - smooth).abs().diff(dim=-1).abs()
    assert steps.max() < 0.25  # painted white on grey: .5 in all, spread over the border


def test_a_box_at_the_picture_border_moves_up_to_it():
    picture = torch.rand(3, 32, 32)
    frame = Renderer(picture, [still_subject(Box(-4, -4, 36, 36), shift=(0.2, 0))]).frame(0)
    assert torch.allclose(frame[:, :, :28], picture[:, :, 4:], atol=1e-5)


def test_subjects_move_each_by_its_own():
    picture = torch.rand(3, 40, 100)
    one = still_subject(Box(2, 4, 34, 36), shift=(0.1, 0))
    other = still_subject(Box(60, 4, 92, 36), shift=(0, 0.1))
    both = Renderer(picture, [one, other]).frame(0)
    assert torch.equal(both[:, :, :50], Renderer(picture, [one]).frame(0)[:, :, :50])
    assert torch.equal(both[:, :, 50:], Renderer(picture, [other]).frame(0)[:, :, 50:])
    same = Renderer(picture, [one, one]).frame(0)  # shares of overlapping boxes sum to one
    assert torch.allclose(same, Renderer(picture, [one]).frame(0), atol=1e-5)


def test_a_mask_keeps_everything_else_to_the_bit():
    picture, mask = torch.rand(3, 32, 32), torch.zeros(32, 32)
    mask[8:16, 8:16] = 1
    frame = Renderer(picture, [still_subject(Box(0, 0, 32, 32), shift=(0.3, 0), mask=mask)]).frame(0)
    assert torch.equal(frame[:, mask == 0], picture[:, mask == 0])
    assert not torch.equal(frame, picture)


def test_alpha_moves_with_the_picture():
    picture = torch.rand(4, 32, 32)
    picture[3] = 0
    picture[3, :, 16:] = 1
    frame = Renderer(picture, [still_subject(Box(0, 0, 32, 32), shift=(0.5, 0))]).frame(0)
    assert torch.allclose(frame[3, :, 10:24], torch.ones(32, 14), atol=1e-5)
    assert frame[3, :, :6].max() < 1e-5
    assert torch.allclose(frame[:3, :, 10:24], picture[:3, :, 18:32], atol=1e-5)


def test_paint_on_white_leaves_no_white_rim():
    """The decoder paints transparent colours on white; beside alpha the colour itself is wanted."""
    picture = torch.cat((torch.zeros(3, 32, 32), torch.full((1, 32, 32), 0.5)))  # black, half transparent
    painted = torch.full((2, 3, 8, 8), 0.5)  # which on white is grey
    subject = still_subject(Box(0, 0, 32, 32), painted=painted, share=torch.ones(2, 1, 8, 8))
    frame = Renderer(picture, [subject]).frame(0)
    assert frame[:3].max() < 1e-3 and torch.allclose(frame[3], torch.tensor(0.5))


def test_pixels_are_the_frames_and_other_sizes_are_alike():
    smooth = F.interpolate(torch.rand(1, 3, 6, 6), size=(48, 60), mode="bicubic")[0].clamp(0, 1)
    renderer = Renderer(smooth, [still_subject(Box(4, 4, 44, 44), shift=(0.2, 0.1), mask=torch.ones(48, 60))])
    frame = renderer.frame(1)
    assert np.array_equal(renderer.pixels(1), (frame * 255).round().byte().permute(1, 2, 0).numpy())
    small = renderer.resized(24, 30)
    expected = F.interpolate(frame[None], size=(24, 30), mode="bilinear", antialias=True)[0]
    assert (small.frame(1) - expected).abs().mean() < 0.01 and small.picture.shape == (3, 24, 30)


def test_bands_change_nothing(monkeypatch):
    picture = torch.rand(3, 40, 30)
    subjects = [still_subject(Box(2, 3, 28, 38), shift=(0.1, 0.2)), still_subject(Box(0, 10, 20, 30), shift=(-0.1, 0))]
    whole = Renderer(picture, subjects).frame(1)
    monkeypatch.setattr(rendering, "BAND_PIXELS", 90)
    assert torch.allclose(Renderer(picture, subjects).frame(1), whole, atol=1e-6)


@pytest.mark.parametrize("sides", [(3, 0, 3, 5), (0, 0, float("nan"), 1), (0, 5, 4, 5)])
def test_boxes_that_are_none(sides):
    with pytest.raises(ValueError, match=r"left < right and top < bottom|`right` must be a finite number"):
        Box(*sides)


def test_refusals():
    picture = torch.rand(3, 20, 20)
    with pytest.raises(ValueError, match="one length"):
        Renderer(picture, [still_subject(Box(0, 0, 9, 9)), still_subject(Box(0, 0, 9, 9), frames=3)])
    with pytest.raises(ValueError, match="must lie in the picture of 20x20 pixels"):
        Renderer(picture, [still_subject(Box(30, 0, 40, 9))])


def test_a_framed_box_has_the_models_proportions():
    """It grows to one side alone, around its middle."""
    assert Box(0, 0, 10, 10).framed(20, 40) == Box(-5, 0, 15, 10)
    assert Box(0, 0, 10, 10).framed(40, 20) == Box(0, -5, 10, 15)
    assert Box(2, 4, 12, 9).framed(20, 40) == Box(2, 4, 12, 9)


def test_what_is_transparent_gives_no_colour_to_a_picture_of_another_size():
    picture = torch.zeros(4, 8, 8)
    picture[0, :, :4] = picture[3, :, :4] = 1  # red on the left; green, which nobody sees, on the right
    picture[1, :, 4:] = 1
    resized = resized_picture(picture, 12, 20)
    shown = resized[:, resized[3] > 0.05]
    assert (shown[3] < 0.95).sum() > 0 and shown[0].min() > 0.99 and shown[1].max() < 0.01
