"""`output_size` and `subjects`: pictures come back at their own size, and boxes of one picture move each by its own prompt."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from tiny import IMAGE_SIZE, LABELS, tiny_pipeline

from lfdm_diffusers import Motion
from lfdm_diffusers.data.picture_fitting import fit_picture, frame_sides
from lfdm_diffusers.ops.warp import sampling_grid
from lfdm_diffusers.pipelines.rendering import Box, Renderer


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def photograph(height: int, width: int) -> PIL.Image.Image:
    return PIL.Image.fromarray(torch.randint(0, 256, (height, width, 3), dtype=torch.uint8).numpy())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("fit", ["letterbox", "center_crop"])
def test_without_motion_the_picture_comes_back_to_the_bit(pipe, fit):
    pictures = [photograph(70, 101), photograph(IMAGE_SIZE, IMAGE_SIZE)]
    output = pipe(pictures, num_inference_steps=1, motion_scale=0, output_size="picture", image_fit=fit)
    for picture, frames in zip(pictures, output.frames):
        assert len(frames) == pipe.num_frames
        assert all(np.array_equal(np.asarray(frame), np.asarray(picture)) for frame in frames)


def test_what_a_crop_cuts_off_stays(pipe):
    picture = photograph(40, 100)
    output = pipe(picture, num_inference_steps=1, output_size="picture", image_fit="center_crop", generator=seeded())
    given, frame = np.asarray(picture), np.asarray(output.frames[0][-1])
    left, _, right, _ = frame_sides((40, 100), IMAGE_SIZE, IMAGE_SIZE, "center_crop")
    assert (left, right) == (30, 70)
    assert np.array_equal(frame[:, :31], given[:, :31]) and np.array_equal(frame[:, 69:], given[:, 69:])
    assert not np.array_equal(frame[:, 31:69], given[:, 31:69])


def test_a_motion_moves_the_full_picture_by_as_much_of_it(pipe):
    """A quarter of the frame to the left is a quarter of the picture."""
    still = sampling_grid(8, 8, centers=True).permute(2, 0, 1).repeat(1, 1, 1, 1)
    motion = Motion(still + torch.tensor([0.5, 0]).view(1, 2, 1, 1), torch.ones(1, 1, 8, 8))
    pixels = torch.rand(3, 4 * IMAGE_SIZE, 4 * IMAGE_SIZE)
    output = pipe.animate(pixels, motion, output_size="picture", output_type="pt")
    quarter = IMAGE_SIZE
    middle = slice(quarter, 2 * quarter)
    assert output.frames.shape == (1, 1, 3, 4 * IMAGE_SIZE, 4 * IMAGE_SIZE)
    torch.testing.assert_close(
        output.frames[0, 0, :, :, middle], pixels[:, :, 2 * quarter : 3 * quarter], atol=0.05, rtol=0
    )


def test_other_sizes_and_forms(pipe):
    picture = photograph(64, 96)
    output = pipe(picture, num_inference_steps=1, motion_scale=0, output_size=(32, 48), output_type="np")
    assert output.frames.shape == (1, pipe.num_frames, 32, 48, 3)
    smaller = np.asarray(picture.resize((48, 32), PIL.Image.BICUBIC), dtype=np.float32) / 255
    assert np.abs(output.frames[0, 0] - smaller).mean() < 0.02  # another bicubic kernel
    assert pipe(picture, num_inference_steps=1).frames[0][0].size == (IMAGE_SIZE, IMAGE_SIZE)


def test_other_proportions_and_strengths_are_told_of(pipe, monkeypatch):
    told = []
    for module in ("full_size", "motion"):
        monkeypatch.setattr(f"lfdm_diffusers.pipelines.{module}.logger.warning", told.append)
    options = dict(num_inference_steps=1, output_type="stream")
    pipe(photograph(64, 96), output_size=(32, 48), **options)
    pipe(photograph(64, 96), output_size=(33, 49), motion_scale=1.5, **options)
    assert not told
    pipe(photograph(64, 96), output_size=(64, 48), motion_scale=[-1.0, *[2.0] * (pipe.num_frames - 1)], **options)
    stretched, torn, backwards = sorted(told, key=lambda line: ("scale" in line, "below" in line))
    assert "becomes 0.5 times as wide for its height" in stretched
    assert "`motion_scale` is 2: beyond about 1.5" in torn and "`motion_scale` is -1: below 0" in backwards


def test_streamed_frames_are_the_same_and_rendered_when_asked_for(pipe, monkeypatch):
    pictures, rendered = [photograph(40, 50), photograph(30, 60)], []
    options = dict(num_inference_steps=1, output_size="picture")
    expected = pipe(pictures, generator=seeded(), **options).frames
    videos = pipe(pictures, generator=seeded(), output_type="stream", **options).frames
    pixels = Renderer.pixels
    monkeypatch.setattr(Renderer, "pixels", lambda self, index: rendered.append(index) or pixels(self, index))
    for video, frames, size in zip(videos, expected, ((40, 50), (30, 60))):
        assert video.shape == (pipe.num_frames, *size, 3) and len(video) == len(frames) and not rendered
        assert np.array_equal(video[1], np.asarray(frames[1])) and rendered == [1]
        assert all(np.array_equal(ours, np.asarray(frame)) for ours, frame in zip(video, frames))
        assert len(video[1:3]) == 2 and np.array_equal(video[-1], np.asarray(frames[-1]))
        rendered.clear()
        told = []
        for number, _ in enumerate(video.watched(told.append).resized(20, 30)):
            assert told == list(range(number + 1)) and len(rendered) == number + 1
        rendered.clear()
    small = pipe(pictures, num_inference_steps=1, generator=seeded(), output_type="stream")
    assert np.array_equal(
        small.frames[1], [np.asarray(f) for f in pipe(pictures, num_inference_steps=1, generator=seeded()).frames[1]]
    )
    assert small.warped[0].shape == small.frames[0].shape == (pipe.num_frames, IMAGE_SIZE, IMAGE_SIZE, 3)


def test_a_streamed_video_at_another_size(pipe):
    picture = np.kron(np.asarray(photograph(10, 20)), np.ones((12, 12, 1), np.uint8))
    box, mask = Box(20, 10, 120, 110), np.ones((120, 240), np.float32)
    options = dict(num_inference_steps=1, output_type="stream", subjects=[box], motion_mask=mask)
    (video,) = pipe(picture, generator=seeded(), **options).frames
    small = video.resized(60, 120)
    assert small.shape == (pipe.num_frames, 60, 120, 3) and video.shape[1:3] == (120, 240)
    shrunk = np.asarray(PIL.Image.fromarray(video[2]).resize((120, 60), PIL.Image.BICUBIC)).astype(float)
    assert np.abs(small[2] - shrunk).mean() < 0.5 * np.abs(small[2] - small.picture().astype(float)).mean()
    (subject,) = video.subjects
    assert subject.reference.shape == (3, IMAGE_SIZE, IMAGE_SIZE) and subject.decoded.shape[0] == len(video)


def test_transparent_pictures_give_transparent_videos(pipe):
    pixels = np.asarray(photograph(40, 60))
    alpha = np.zeros((40, 60, 1), np.uint8)
    alpha[:, 20:] = 255
    picture = PIL.Image.fromarray(np.concatenate((pixels, alpha), axis=-1))
    options = dict(num_inference_steps=1, generator=seeded(), output_size="picture")
    still = pipe(picture, motion_scale=0, **options).frames[0]
    assert all(frame.mode == "RGBA" and np.array_equal(np.asarray(frame), np.asarray(picture)) for frame in still)
    assert pipe([picture, photograph(40, 60)], output_type="pt", **options).frames.shape[2] == 4
    assert pipe(picture, **options | {"output_size": "model"}).frames[0][0].mode == "RGB"
    shifted = sampling_grid(8, 8, centers=True).permute(2, 0, 1).repeat(1, 1, 1, 1) + torch.tensor([[[0.25]], [[0.0]]])
    moved = pipe.animate(picture, Motion(shifted, torch.ones(1, 1, 8, 8)), output_size="picture").frames[0][0]
    opaque = np.asarray(moved)[20, :, 3] > 127
    assert 8 <= opaque.argmax() <= 16 and opaque[20:].all()  # an eighth of 60 pixels to the left


def test_boxes_move_each_by_its_own_prompt(pipe):
    picture = photograph(60, 120)
    boxes = [Box(4, 10, 44, 50), Box(70, 10, 110, 50)]
    options = dict(num_inference_steps=1, output_type="pt")
    both = pipe(picture, LABELS[:2], subjects=boxes, generator=[seeded(1), seeded(2)], **options).frames
    assert both.shape == (1, pipe.num_frames, 3, 60, 120)
    for box, label, seed, part in zip(boxes, LABELS, (1, 2), (slice(0, 60), slice(60, 120))):
        alone = pipe(picture, label, subjects=[box], generator=[seeded(seed)], **options).frames
        torch.testing.assert_close(both[..., part], alone[..., part], atol=1e-4, rtol=0)
    given = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    assert torch.equal(both[0, -1][:, :, 50:65], given[:, :, 50:65])
    assert not torch.equal(both[0, -1][:, 20:40, 10:40], given[:, 20:40, 10:40])


def test_subjects_move_as_a_clip_does(pipe):
    """The motion of each box's part of the picture, found and given back at the picture's size."""
    picture, boxes = photograph(48, 90), [Box(2, 4, 42, 44), Box(46, 4, 86, 44)]
    clip = torch.rand(3, 3, IMAGE_SIZE, IMAGE_SIZE)
    motions = pipe.transfer(picture, clip, subjects=boxes)
    assert [len(motion) for motion in motions] == [3, 3]
    alone = pipe.transfer(picture.crop((46, 4, 86, 44)), clip)
    torch.testing.assert_close(motions[1].flow, alone.flow, rtol=0, atol=1e-5)
    frames = pipe.animate(picture, motions, subjects=boxes).frames[0]
    assert frames[0].size == (90, 48) and len(frames) == 3
    assert not np.array_equal(np.asarray(frames[2])[8:40, 50:80], np.asarray(picture)[8:40, 50:80])
    assert not isinstance(pipe.transfer(picture, clip), list)


def test_a_part_of_a_clip_drives(pipe):
    """What is in the box of each frame, as if the frames had been cut before."""
    picture, clip = photograph(IMAGE_SIZE, IMAGE_SIZE), torch.rand(3, 3, 48, 90)
    part = pipe.transfer(picture, clip, driving_subject=Box(46, 4, 86, 44))
    assert_same_motion(part, pipe.transfer(picture, clip[:, :, 4:44, 46:86]))
    assert (part.flow - pipe.transfer(picture, clip).flow).abs().max() > 1e-3
    with pytest.raises(ValueError, match="`driving_subject` must lie in the picture of 48x90 pixels"):
        pipe.transfer(picture, clip, driving_subject=Box(90, 0, 99, 9))
    with pytest.raises(ValueError, match="`driving_subject` must be a Box, or None"):
        pipe.transfer(picture, clip, driving_subject=(46, 4, 86, 44))


def assert_same_motion(one, other):
    torch.testing.assert_close(one.flow, other.flow, rtol=0, atol=1e-5)
    torch.testing.assert_close(one.occlusion, other.occlusion, rtol=0, atol=1e-5)


def test_several_videos_of_several_boxes(pipe):
    picture, boxes = photograph(40, 80), [Box(0, 0, 40, 40), Box(40, 0, 80, 40)]
    seeds = [[seeded(s) for s in (1, 2, 3, 4)], [seeded(1), seeded(3)], [seeded(2), seeded(4)]]
    options = dict(num_inference_steps=1, output_type="pt", subjects=boxes)
    two = pipe(picture, num_videos_per_prompt=2, prompt=LABELS[:2], generator=seeds[0], **options).frames
    for video, pair in zip(two, seeds[1:]):
        torch.testing.assert_close(
            video, pipe(picture, LABELS[:2], generator=pair, **options).frames[0], atol=1e-4, rtol=0
        )


def test_a_mask_of_the_pictures_size_is_kept_to_its_pixels(pipe):
    picture, mask = photograph(50, 90), np.zeros((50, 90), dtype=np.uint8)
    mask[10:30, 40:70] = 255
    frames = pipe(picture, num_inference_steps=1, motion_mask=mask, output_size="picture", generator=seeded()).frames
    changed = (np.asarray(frames[0][-1]) != np.asarray(picture)).any(axis=-1)
    assert changed.any() and not changed[mask == 0].any()


def test_frame_sides_are_where_fitting_puts_the_picture():
    for size in ((30, 70), (70, 30), (33, 57)):
        picture = torch.ones(3, *size)
        left, _, right, _ = frame_sides(size, 32, 32)
        columns = (torch.arange(32) + 0.5) / 32 * (right - left) + left
        inside = (columns > 0) & (columns < size[1])
        assert torch.equal(fit_picture(picture, 32, 32)[0].amax(dim=0) > 0.5, inside)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"output_size": "huge"},
            "`output_size` must be 'model', 'picture' or \\(height, width\\) in pixels, got 'huge'",
        ),
        ({"output_size": (0, 5)}, "got \\(0, 5\\)"),
        ({"subjects": []}, "`subjects` must be a non-empty list of Box and masks"),
        ({"subjects": [(0, 0, 5, 5)]}, "`subjects` must be a non-empty list of Box and masks"),
        ({"subjects": [np.ones((40, 39))]}, "`subjects`: a mask must have the picture's size \\(40, 40\\)"),
        ({"subjects": [np.zeros((40, 40))]}, "show something, got one that is 0 everywhere"),
        ({"subjects": [np.full((40, 40), 2.0)]}, "`subjects` must lie in \\[0, 1\\]"),
        ({"subjects": [Box(500, 0, 510, 9)]}, "`subjects` must lie in the picture of 40x40 pixels"),
    ],
)
def test_refusals(pipe, options, message):
    with pytest.raises(ValueError, match=message):
        pipe(photograph(40, 40), num_inference_steps=1, **options)


def test_refusals_of_several_pictures(pipe):
    pictures = [photograph(40, 40), photograph(50, 40)]
    with pytest.raises(ValueError, match="`output_type` must be 'pil' or 'stream' for pictures of several sizes"):
        pipe(pictures, num_inference_steps=1, output_size="picture", output_type="np")
    with pytest.raises(ValueError, match="`subjects` are of one picture, but `image` holds 2"):
        pipe(pictures, num_inference_steps=1, subjects=[Box(0, 0, 9, 9)])
