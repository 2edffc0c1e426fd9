"""Clips as files: what is read back is what was written, and nothing half-written stays."""

import av
import numpy as np
import PIL.Image
import pytest

from lfdm_diffusers.data.toon_faces import toon_clip
from lfdm_diffusers.data.video_files import video_frames
from lfdm_diffusers.data.video_writing import SUFFIXES, clip_path, frame_times, write_clip


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return toon_clip(1, 7, "surprise", num_frames=6, size=64).frames


def animation(path) -> tuple[np.ndarray, list[int]]:
    """Frames and how long each is shown, in milliseconds."""
    with PIL.Image.open(path) as image:
        read, durations = [], []
        for i in range(image.n_frames):
            image.seek(i)
            read.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
        assert image.info.get("loop") == 0
    return np.stack(read), durations


def test_gif_has_one_palette_and_no_dither(tmp_path, frames):
    write_clip(tmp_path / "clip.gif", frames, "gif", 15)
    read, durations = animation(tmp_path / "clip.gif")
    assert read.shape == frames.shape and sum(durations) == 400 and set(durations) == {60, 70}
    error = np.abs(read.astype(int) - frames)
    assert error.mean() < 3 and np.percentile(error, 99) < 16
    # What is alike in two frames stays alike: dithering, or a palette for each frame, would make it flicker.
    same = (frames[0] == frames[3]).all(-1)
    assert same.mean() > 0.1 and np.array_equal(read[0][same], read[3][same])
    # And neighbours of one colour stay of one colour.
    flat = (frames[0][:, 1:] == frames[0][:, :-1]).all(-1)
    assert flat.sum() > 20 and (read[0][:, 1:][flat] == read[0][:, :-1][flat]).all()


def test_gif_of_few_colours_is_exact(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (200, 3), dtype=np.uint8)
    frames = colours[np.random.default_rng(1).integers(0, 200, (3, 40, 40))]
    write_clip(tmp_path / "clip.gif", frames, "gif", 10)
    assert np.abs(animation(tmp_path / "clip.gif")[0].astype(int) - frames).max() <= 4  # Pillow looks up 6 bits


def test_webp_is_lossless(tmp_path, frames):
    write_clip(tmp_path / "clip.webp", frames, "webp", 30)
    read, durations = animation(tmp_path / "clip.webp")
    assert np.array_equal(read, frames) and sum(durations) == 200


@pytest.mark.parametrize("height, width", [(64, 64), (63, 51)])
def test_ffv1_is_lossless_and_keeps_frames_that_are_alike(tmp_path, frames, height, width):
    clip = np.concatenate([frames[:2, :height, :width], frames[1:2, :height, :width], frames[1:2, :height, :width]])
    noise = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    clip = np.concatenate([clip, noise, noise])
    write_clip(tmp_path / "clip.mkv", clip, "mkv", 8)
    assert np.array_equal(np.stack(list(video_frames(tmp_path / "clip.mkv"))), clip)


@pytest.mark.parametrize("format", ["mp4", "webm"])
@pytest.mark.parametrize("height, width", [(64, 64), (63, 51)])
def test_videos(tmp_path, frames, format, height, width):
    frames = frames[:, :height, :width]
    path = tmp_path / f"clip.{format}"
    write_clip(path, frames, format, 12)
    read = np.stack(list(video_frames(path)))
    assert read.shape == (6, height + height % 2, width + width % 2, 3)
    assert np.abs(read[:, :height, :width].astype(int) - frames).mean() < 6  # of that most is 4:2:0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 12 and stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.colorspace == 6  # BT.601, as encoded


def test_folder_replaces_an_earlier_one(tmp_path, frames):
    path = clip_path(tmp_path, "clip", "png")
    write_clip(path, frames, "png", 10)
    write_clip(path, frames[:2], "png", 10)
    assert sorted(file.name for file in path.iterdir()) == ["0000.png", "0001.png"]
    assert np.array_equal(np.asarray(PIL.Image.open(path / "0001.png")), frames[1])
    assert [file.name for file in tmp_path.iterdir()] == ["clip"]


@pytest.mark.parametrize("format", SUFFIXES)
def test_failure_leaves_what_was_there(tmp_path, frames, format):
    path = clip_path(tmp_path, "clip", format)
    write_clip(path, frames[:1], format, 10)
    size = path.stat().st_size
    with pytest.raises((TypeError, ValueError)):
        write_clip(path, frames.astype(float), format, 10)
    assert [file.name for file in tmp_path.iterdir()] == [path.name] and path.stat().st_size == size


@pytest.mark.parametrize("fps", [1, 7, 24, 30, 50])
def test_frame_times_add_up(fps):
    for unit in (1, 10):
        times = frame_times(40, fps, unit)
        assert abs(sum(times) - 40_000 / fps) <= unit / 2 and max(times) - min(times) <= unit
        assert all(time % unit == 0 and time > 0 for time in times)


def test_unknown_format(tmp_path, frames):
    with pytest.raises(ValueError, match="`format` must be one of gif, mp4, webm, mkv, webp, png, got 'avi'"):
        write_clip(tmp_path / "clip.avi", frames, "avi", 10)
