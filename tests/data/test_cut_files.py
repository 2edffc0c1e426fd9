"""Whole or cut off: every container's own word for it, whatever decoders make of the rest."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
from clip_files import CODECS, frames_of, write_animation, write_video

from lfdm_diffusers.data.clips import UnreadableClipError, read_clip
from lfdm_diffusers.data.cut_files import missing_bytes

pytestmark = pytest.mark.fast

NOISE = np.random.default_rng(0).integers(0, 256, (20, 32, 48, 3), dtype=np.uint8)


def cut(path: Path, share: float) -> Path:
    """The beginning of a file."""
    data = path.read_bytes()
    short = path.with_name(f"cut-{share}{path.suffix}")
    short.write_bytes(data[: int(len(data) * share)])
    return short


def held(path: Path, seconds: float) -> Path:
    """Six frames, the last of which is shown for so long."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=20)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        frames = (av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames_of(6))
        packets = [packet for frame in (*frames, None) for packet in stream.encode(frame)]
        packets[-1].duration = round(seconds / packets[-1].time_base)
        container.mux(packets)
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mov", ".3gp", ".webm", ".mkv", ".wmv", ".flv", ".ts"])
def test_a_cut_video_is_never_a_shorter_one(tmp_path, suffix):
    path = write_video(tmp_path / f"whole{suffix}", NOISE, g="5")
    assert len(read_clip(path)) == len(NOISE) and not missing_bytes(path)
    for share in (0.9, 0.6, 0.3):
        with pytest.raises(UnreadableClipError, match=r"cut off|Invalid data"):
            read_clip(cut(path, share))


def test_a_cut_mpeg_program_is_not_whole(tmp_path):
    with av.open(str(tmp_path / "whole.mpg"), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for frame in NOISE:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert len(read_clip(tmp_path / "whole.mpg")) == len(NOISE)
    with pytest.raises(UnreadableClipError, match="cut off"):
        read_clip(cut(tmp_path / "whole.mpg", 0.6))


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_a_cut_animation_is_never_a_shorter_one(tmp_path, suffix):
    path = write_animation(tmp_path / f"whole{suffix}", NOISE[:5])
    assert len(read_clip(path)) == 5 and missing_bytes(path) == 0
    for share in (0.95, 0.6, 0.3):
        with pytest.raises(UnreadableClipError, match="cut off"):
            read_clip(cut(path, share))


def test_what_hangs_behind_the_frames_may_be_missing_or_more(tmp_path):
    avi = write_video(tmp_path / "whole.avi", NOISE)
    data = avi.read_bytes()
    avi.write_bytes(data[: data.index(b"idx1") + 8])  # its index
    assert missing_bytes(avi) and len(read_clip(avi)) == len(NOISE)
    gif = write_animation(tmp_path / "whole.gif", frames_of(3))
    gif.write_bytes(gif.read_bytes()[:-1])  # its trailer, which some writers leave out
    assert len(read_clip(gif)) == 3
    for path in (write_video(tmp_path / "more.mp4", NOISE), write_video(tmp_path / "more.avi", NOISE), gif):
        path.write_bytes(path.read_bytes() + b"\0" * 999)
        assert not missing_bytes(path) and len(read_clip(path)) in (3, len(NOISE))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".flv", ".avi", ".ts"])
def test_a_clip_whose_last_frame_is_held_is_whole(tmp_path, suffix):
    """Recorders of screens write no frame while nothing moves."""
    path = held(tmp_path / f"held{suffix}", 3)
    assert len(read_clip(path)) == 6


@pytest.mark.parametrize("data", [b"", b"text" * 99, b"RIFF", b"FLV\1"])
def test_unknown_files_say_nothing(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    assert missing_bytes(tmp_path / "x") in (None, 0, 9)
    PIL.Image.fromarray(NOISE[0]).save(tmp_path / "x.jpg")
    assert missing_bytes(tmp_path / "x.jpg") is None


@pytest.mark.parametrize("data", [b"GIF89a", b"\x1a\x45\xdf\xa3", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_ends_in_its_header_is_cut_off(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    assert missing_bytes(tmp_path / "x") == 1


@pytest.mark.parametrize("more", range(1, 11))
def test_flash_that_ends_in_the_header_of_a_tag_is_cut_off(tmp_path, more):
    path = write_video(tmp_path / "a.flv", NOISE)
    data = path.read_bytes()
    at = 13  # of a tag
    while at < 0.6 * len(data):
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    path.write_bytes(data[: at + more])
    assert missing_bytes(path)
    with pytest.raises(UnreadableClipError, match="cut off"):
        read_clip(path)


def test_a_video_of_which_no_decoder_is_known_is_said(tmp_path):
    path = write_video(tmp_path / "a.mov", frames_of(2))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(UnreadableClipError, match="FFmpeg knows no decoder for its video"):
        read_clip(path)
