"""Clips as files: what is read back is what was written, and nothing half-written stays."""

import av
import numpy as np
import PIL.Image
import pytest

from lfdm_diffusers.data.toon_faces import toon_clip
from lfdm_diffusers.data.video_files import video_frames
from lfdm_diffusers.data.video_writing import SUFFIXES, added_pixels, clip_path, frame_times, write_clip, write_clips


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
    rows, columns = added_pixels(format, height, width)
    assert (rows, columns) == ((height % 2, width % 2) if format == "mp4" else (0, 0))
    assert read.shape == (6, height + rows, width + columns, 3)
    assert np.abs(read[:, :height, :width].astype(int) - frames).mean() < 6  # of that most is 4:2:0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 12 and stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.colorspace == 6  # BT.601, as encoded


def test_the_same_frames_give_the_same_pictures(tmp_path, frames):
    """Whatever is in memory beside them. Not the same bytes: x264's vector code decides a few blocks by what lies beside them."""
    path, sizes, files, kept = tmp_path / "clip.mp4", np.random.default_rng(0).integers(1, 90000, 12), [], []
    for size in sizes:
        kept.append(bytearray(size))
        write_clip(path, frames, "mp4", 10)
        files.append(np.stack(list(video_frames(path))).astype(int))
    assert max(np.abs(file - files[0]).mean() for file in files) < 0.5


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


def transparent(frames: np.ndarray) -> np.ndarray:
    """With an alpha that has soft edges, nothing and everything in it, and moves."""
    ramp = np.clip(np.arange(frames.shape[2]) * 16 - 200, 0, 255).astype(np.uint8)
    alpha = np.stack([np.broadcast_to(np.roll(ramp, i), frames.shape[1:3]) for i in range(len(frames))])
    return np.concatenate([frames, alpha[..., None]], axis=-1)


def alpha_of(path) -> np.ndarray:
    """`(F, H, W)` as the file holds it, in 8 bits without the dithering that FFmpeg would do."""
    if path.is_dir() or path.suffix in (".webp", ".apng"):
        read = []
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            with PIL.Image.open(file) as image:
                for i in range(image.n_frames if not path.is_dir() else 1):
                    image.seek(i)
                    assert image.mode == "RGBA"
                    read.append(np.asarray(image)[..., 3])
        return np.stack(read)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if path.suffix == ".webm":  # FFmpeg's own decoder of VP9 leaves alpha out
            decoder = av.codec.CodecContext.create("libvpx-vp9", "r")
            pictures = [picture for packet in container.demux(stream) for picture in decoder.decode(packet)]
        else:
            pictures = list(container.decode(stream))
        if path.suffix == ".mov":
            bits = {"yuva444p10le": 10, "yuva444p12le": 12}[pictures[0].format.name]
            planes = [np.frombuffer(p.planes[3], np.uint16).reshape(p.height, -1)[:, : p.width] for p in pictures]
            return np.stack([np.round(plane / (2**bits - 1) * 255) for plane in planes])
        return np.stack([picture.to_ndarray(format="rgba")[..., 3] for picture in pictures])


@pytest.mark.parametrize("format", ["webp", "apng", "png", "mov", "mkv", "webm"])
def test_alpha_written_is_alpha_read(tmp_path, frames, format):
    clip, path = transparent(frames[:, :63, :51]), clip_path(tmp_path, "clip", format)
    write_clip(path, clip, format, 10)
    read = alpha_of(path)
    if format == "webm":  # lossy
        assert np.abs(read.astype(int) - clip[..., 3]).max() <= 6
    else:
        assert np.array_equal(read, clip[..., 3])


def test_odd_sizes_are_converted_alike_every_time(tmp_path, frames):
    """FFmpeg's threads took values of some rows from elsewhere, where the width is odd."""
    clip = transparent(frames[:, :63, :51])
    for number in range(6):
        path = clip_path(tmp_path, f"clip-{number}", "mov")
        write_clip(path, clip, "mov", 10)
        assert np.array_equal(alpha_of(path), clip[..., 3])


@pytest.mark.parametrize("format", ["gif", "mp4"])
def test_without_alpha_white_is_behind(tmp_path, format):
    clip = np.zeros((2, 32, 32, 4), np.uint8)
    clip[:, :, 16:, 3], clip[:, 16:, 16:, 0] = 255, 200
    write_clip(clip_path(tmp_path, "clip", format), clip, format, 10)
    if format == "gif":
        read = animation(tmp_path / "clip.gif")[0]
    else:
        read = np.stack(list(video_frames(tmp_path / "clip.mp4")))
    for place, colour in (((8, 8), (255,) * 3), ((8, 24), (0,) * 3), ((24, 24), (200, 0, 0))):
        assert np.abs(read[0][place].astype(int) - colour).max() <= 4


def test_frames_are_written_as_they_come(tmp_path, frames):
    """One frame at a time is asked for, once, for all formats."""
    asked = []

    class Rendered:
        def __len__(self) -> int:
            return len(frames)

        def __iter__(self):
            for i, frame in enumerate(frames):
                asked.append(i)
                yield frame

    targets = {clip_path(tmp_path, "clip", format): format for format in SUFFIXES}
    write_clips(targets, Rendered(), 10, colours=frames[:, ::4, ::4])
    assert asked == list(range(len(frames)))
    for format in ("webp", "apng", "mov"):
        write_clip(clip_path(tmp_path, "alone", format), frames, format, 10)
        assert clip_path(tmp_path, "clip", format).read_bytes() == clip_path(tmp_path, "alone", format).read_bytes()
    read = animation(tmp_path / "clip.gif")[0]
    assert np.abs(read.astype(int) - frames).mean() < 3


def test_what_formats_do_not_hold(tmp_path):
    wide = np.zeros((1, 1, 17000, 3), np.uint8)
    with pytest.raises(
        ValueError, match="`format` webp holds sides of at most 16383 pixels, got 1x17000; png holds any"
    ):
        write_clip(tmp_path / "clip.webp", wide, "webp", 10)
    with pytest.raises(ValueError, match="`frames` must hold at least one frame"):
        write_clip(tmp_path / "clip.gif", wide[:0], "gif", 10)
    with pytest.raises(ValueError, match="`frames` must be uint8 of one shape"):
        write_clip(tmp_path / "clip.webp", [wide[0, :, :9], wide[0, :, :8]], "webp", 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [1, 7, 24, 30, 50])
def test_frame_times_add_up(fps):
    for unit in (1, 10):
        times = frame_times(40, fps, unit)
        assert abs(sum(times) - 40_000 / fps) <= unit / 2 and max(times) - min(times) <= unit
        assert all(time % unit == 0 and time > 0 for time in times)


def test_unknown_format(tmp_path, frames):
    with pytest.raises(
        ValueError, match="`format` must be one of gif, mp4, webm, mkv, webp, png, apng, mov, got 'avi'"
    ):
        write_clip(tmp_path / "clip.avi", frames, "avi", 10)
