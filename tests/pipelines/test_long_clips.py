"""Clips of any length: windows of about the trained length that agree on the frames they share, and loops."""

from __future__ import annotations

import pytest
import torch
from tiny import LABELS, tiny_image, tiny_lfae, tiny_pipeline, tiny_unet

from lfdm_diffusers.pipelines.windows import Windows, plan_windows, shared_frames


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("trained", [1, 4, 16, 40])
def test_windows_are_about_as_long_as_trained_and_share_their_ends(trained, loop):
    shared = shared_frames(trained)
    for num_frames in (*range(1, 3 * trained), 10 * trained, 1000):
        plan = plan_windows(num_frames, trained, loop)
        ends = [start + length for start, length in plan]
        assert plan[0][0] == 0 and ends[-1] == num_frames + (shared if loop else 0)
        assert all(end - start == shared for end, (start, _) in zip(ends, plan[1:]))
        longest = max(length for _, length in plan)
        assert longest <= 1.5 * trained + 1
        assert len(plan) == 1 or min(length for _, length in plan) >= 0.7 * trained - 1
        assert len(plan) <= num_frames / max(1, trained - shared) + 1  # time is linear in frames


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("num_frames", [1, 2, 16, 23, 24, 50])
def test_what_windows_agree_on_is_kept(num_frames, loop):
    """A prediction that depends on a frame alone is the same by windows as at once, wherever they wrap round."""
    volume = torch.randn(2, 3, num_frames, 4, 4, generator=torch.Generator().manual_seed(0))
    windows = Windows(num_frames, 16, loop)
    torch.testing.assert_close(windows(torch.sin, volume), torch.sin(volume), atol=1e-6, rtol=0)


def test_a_trained_length_is_one_pass():
    seen = []
    Windows(16, 16)(lambda volume: seen.append(volume.shape[2]) or volume, torch.zeros(1, 3, 16, 2, 2))
    assert seen == [16] and Windows(16, 16).is_whole and not Windows(16, 16, loop=True).is_whole


def test_a_window_glides_to_where_the_next_begins():
    """Each window says its own number: half of the first is kept, and there is no jump from one to the next."""
    numbers = iter((1.0, 2.0))
    blended = Windows(30, 16)(lambda part: torch.full_like(part, next(numbers)), torch.zeros(1, 1, 30, 1, 1)).flatten()
    assert torch.equal(blended[:7], torch.ones(7)) and torch.allclose(blended[14:], torch.full((16,), 2.0))
    steps = blended.diff()
    assert steps.min() >= 0 and steps.max() < 0.2


def test_a_loops_window_glides_to_its_own_beginning():
    """A prediction that grows from frame to frame of a window comes back to its beginning; it would fall by 15 in one frame."""

    def growing(part):
        return torch.arange(part.shape[2]).view(1, 1, -1, 1, 1).expand_as(part).float()

    blended = Windows(16, 16, loop=True)(growing, torch.zeros(1, 1, 16, 1, 1)).flatten()
    assert (blended - blended.roll(1)).abs().max() < 3.5 and torch.equal(blended[2:8], torch.arange(2.0, 8))


@pytest.mark.parametrize("options", [{"num_frames": 12}, {"loop": True}, {"loop": True, "num_frames": 9}])
def test_long_clips_and_loops_begin_with_the_picture(options):
    unet = tiny_unet(flow_target="residual", target_mean=(0.1, -0.1, 0.5))
    pipe = tiny_pipeline(unet=unet, lfae=tiny_lfae(flow_grid="centers"))
    generator = torch.Generator().manual_seed(0)
    arguments = {"num_inference_steps": 2, "generator": generator, "output_type": "latent", **options}
    output = pipe(tiny_image(), LABELS[0], **arguments)
    motion = output.motion()
    assert len(motion) == options.get("num_frames", 4)
    torch.testing.assert_close(motion.flow[0], motion.still, atol=1e-5, rtol=0)
    torch.testing.assert_close(motion.occlusion[0], torch.ones(1, 8, 8), atol=1e-5, rtol=0)
    assert (motion.flow[1:] - motion.still).abs().amax(dim=(1, 2, 3)).min() > 0.01


def test_the_model_sees_no_more_frames_at_once_however_long_the_clip():
    pipe, seen = tiny_pipeline(), []
    pipe.unet.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[2]))
    for frames in (16, 64):
        seen.clear()
        pipe(tiny_image(), LABELS[0], num_frames=frames, num_inference_steps=1, output_type="latent")
        assert max(seen) <= 6 and len(seen) == round((frames - 1) / 3)


def test_an_animation_cannot_generate_a_loop():
    pipe = tiny_pipeline()
    motion = pipe(tiny_image(), LABELS[0], num_inference_steps=1, output_type="latent").motion()
    with pytest.raises(ValueError, match=r"`loop` must be one of 'ping_pong', 'ease' or None .*got True"):
        pipe.animate(tiny_image(), motion, loop=True)


def test_a_clip_begins_with_its_picture_if_the_unet_was_trained_so():
    pipe = tiny_pipeline()
    pipe.unet.register_to_config(flow_target="residual", first_frame_is_picture=True)
    pipe.lfae.register_to_config(flow_grid="centers")
    picture = tiny_image()
    ask = dict(num_inference_steps=2, output_type="pt")
    output = pipe(picture, LABELS[0], generator=torch.Generator().manual_seed(0), **ask)
    assert (output.frames[0, 0] - picture).abs().max() < 1e-4
    assert (output.occlusion[0, 0] > 1 - 1e-5).all()
    pipe.unet.register_to_config(first_frame_is_picture=False)
    free = pipe(picture, LABELS[0], generator=torch.Generator().manual_seed(0), **ask)
    assert (free.frames[0, 0] - picture).abs().max() > 0.01


@pytest.mark.parametrize("trained, shared", [(1, 0), (2, 1), (8, 1), (16, 2), (40, 5)])
def test_neighbours_share_an_eighth(trained, shared):
    """And one frame at least, but not all that a window has."""
    assert shared_frames(trained) == Windows(3 * trained, trained).shared == shared


@pytest.mark.parametrize("trained", [8, 16, 40])
def test_windows_fade_in_as_others_fade_out(trained):
    """Of two windows in one frame both count, and those from either side alike."""
    windows = Windows(2 * trained, trained)
    shared = windows.shared
    first, second = (windows.weights[n].flatten() for n in (0, 1))
    torch.testing.assert_close(second[:shared], torch.arange(1.0, shared + 1) / (shared + 1))
    torch.testing.assert_close(first[-shared:], second[:shared].flip(0))
