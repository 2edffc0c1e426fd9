"""Clips play as fast as they were: the rate of every kind of clip, kept in every format, and each its own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
import torch
from clip_files import frames_of, write_folder

from lfdm_diffusers.data.rates import frame_rate
from lfdm_diffusers.data.video_writing import FORMATS, clip_path, write_clip
from lfdm_diffusers.pipelines.motion_files import load_motion
from lfdm_diffusers.visualization.clip_files import MOST_FPS, PictureFiles, at_rate, default_fps, kept_rate
from lfdm_diffusers.visualization.clip_views import ClipViews, MotionViews

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("fps", [0.5, 10, 30000 / 1001, 60])
@pytest.mark.parametrize("format", [name for name in FORMATS if name != "png"])
def test_a_rate_is_written_and_read(tmp_path, format, fps):
    path = clip_path(tmp_path, "clip", format)
    write_clip(path, frames_of(6), format, fps)
    expected = min(fps, 50) if format == "gif" else fps
    assert frame_rate(path) == pytest.approx(expected, rel=0.02 if format in ("gif", "webp") else 1e-4)


def test_bad_rates_are_refused(tmp_path):
    for fps in (0, -1, float("nan"), 1e9):
        with pytest.raises(ValueError, match="`fps`"):
            write_clip(tmp_path / "a.gif", frames_of(2), "gif", fps)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_held_frames_of_animations_do_not_count(tmp_path, suffix):
    first, *others = [PIL.Image.fromarray(frame) for frame in frames_of(5)]
    times = [40, 40, 80, 40, 3000]  # two frames alike became one, and the end is held
    first.save(tmp_path / f"a{suffix}", save_all=True, append_images=others, duration=times)
    assert frame_rate(tmp_path / f"a{suffix}") == 25
    for time, rate in ((0, 10), (10, 10), (20, 50)):  # as browsers show them
        first.save(tmp_path / f"b{suffix}", save_all=True, append_images=others, duration=time)
        assert frame_rate(tmp_path / f"b{suffix}") == rate


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pauses_of_a_recording_do_not_count(tmp_path, suffix):
    path = tmp_path / f"screen{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time, frame in zip((0, 50, 100, 150, 2000, 2050, 2100), frames_of(7)):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    assert frame_rate(path) == pytest.approx(20, rel=0.01)


def test_what_has_no_rate_has_none(tmp_path):
    write_folder(tmp_path / "folder", frames_of(2))
    (tmp_path / "broken.mp4").write_text("x")
    (tmp_path / "broken.gif").write_text("x")
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "still.png")
    for name in ("folder", "broken.mp4", "broken.gif", "still.png", "gone.mp4"):
        assert frame_rate(tmp_path / name) is None


def test_default_rates():
    assert (default_fps(16), default_fps(40), default_fps(400), default_fps(1)) == (10, 25, 50, 1)
    assert (default_fps(16, 0.5), default_fps(16, 60), default_fps(16, 29.97)) == (0.5, 60, 29.97)
    assert default_fps(16, 1e6) == MOST_FPS
    assert [kept_rate(about) for about in ({"fps": "12.5"}, {"fps": "inf"}, {"fps": "x"}, {})] == [
        12.5,
        None,
        None,
        None,
    ]


def views(count: int) -> ClipViews:
    frames = np.repeat(np.arange(count, dtype=np.uint8)[:, None, None, None], 3, axis=3).repeat(16, 1).repeat(16, 2)
    motion = MotionViews(frames[0], frames, frames, torch.zeros(count, 2, 4, 4), torch.zeros(count, 1, 4, 4))
    return ClipViews(frames, frames[0], frames, [motion])


def test_clips_side_by_side_keep_their_own_rates(tmp_path):
    assert at_rate(np.arange(3), 10, 20).tolist() == [0, 0, 1, 1, 2, 2]
    assert at_rate(np.arange(4), 20, 20).tolist() == [0, 1, 2, 3] and at_rate(np.arange(4), 20, 10).tolist() == [1, 3]
    rates = {"slow": 5.0, "fast": 20.0}
    names = {0: {"slow": "slow", "fast": "fast"}}
    files = PictureFiles(tmp_path, names, ["clips", "grid", "motion"], ["mp4", "mkv"], 9, 1, rates=rates)
    clips = {"slow": views(4), "fast": views(8)}
    for label, each in clips.items():
        files.write_one(label, 0, each, [{"fps": "other"}])
        assert kept_rate(load_motion(tmp_path / "motion" / f"{label}.safetensors")[2]) == rates[label]
        assert frame_rate(tmp_path / f"{label}.mp4") == rates[label]
        assert frame_rate(tmp_path / "motion" / f"{label}.mkv") == rates[label]
    files.write_all(0, clips)
    with av.open(str(Path(tmp_path, "grid.mkv"))) as grid:  # 4 frames at 5 a second take as long as 16 at 20
        assert len(list(grid.decode(video=0))) == 16 and grid.streams.video[0].average_rate == 20
