"""Files of generated clips say so, and hold the same pictures as before."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest

from lfdm_diffusers.data import marks
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.data.marks import SOURCE_TYPE, XMP
from lfdm_diffusers.data.video_files import open_video
from lfdm_diffusers.data.video_writing import FORMATS, clip_path, write_clip

pytestmark = pytest.mark.fast


def noise(count: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 17, 23, channels), np.uint8)


def text_of(path) -> bytes:
    files = path.iterdir() if path.is_dir() else [path]
    return b"".join(file.read_bytes() for file in files)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("format", FORMATS)
def test_the_same_pictures_with_a_mark(format, count, tmp_path):
    paths = [clip_path(tmp_path, name, format) for name in ("plain", "marked")]
    for path, generated in zip(paths, (False, True)):
        write_clip(path, noise(count), format, 10, generated=generated)
    plain, marked = paths
    assert SOURCE_TYPE.encode() not in text_of(plain) and SOURCE_TYPE.encode() in text_of(marked)
    read = [read_clip(Clip(path, "", "")) for path in paths]
    assert len(read[1]) == count and np.array_equal(*read)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("format", ["webp", "apng"])
def test_xmp_where_pillow_reads_it(format, count, channels, tmp_path):
    """As any viewer would: WebP with its extended header and without, PNG's text, transparency kept."""
    path = clip_path(tmp_path, "clip", format)
    write_clip(path, noise(count, channels), format, 10, generated=True)
    with PIL.Image.open(path) as picture:
        picture.load()
        text = picture.info.get("XML:com.adobe.xmp", "").encode()  # all that Pillow has of a PNG's before 11
        assert picture.info.get("xmp", text).rstrip(b"\0") == XMP
        assert ("A" in picture.getbands()) == (channels == 4) and getattr(picture, "n_frames", 1) == count


def test_the_packet_is_iptcs():
    description = ElementTree.fromstring(XMP.decode())[0][0]
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == SOURCE_TYPE


def test_comment_of_a_gif(tmp_path):
    write_clip(tmp_path / "clip.gif", noise(2), "gif", 10, generated=True)
    with PIL.Image.open(tmp_path / "clip.gif") as picture:
        picture.seek(1)
        assert picture.n_frames == 2
    assert (tmp_path / "clip.gif").read_bytes().endswith(SOURCE_TYPE.encode() + b"\0;")


@pytest.mark.parametrize("format", ["mp4", "mov", "webm", "mkv"])
def test_tags_of_videos(format, tmp_path):
    path = clip_path(tmp_path, "clip", format)
    write_clip(path, noise(2), format, 10, generated=True)
    with open_video(path) as container:
        tags = {name.lower(): value for name, value in container.metadata.items()}
        assert SOURCE_TYPE in tags["comment"]


def test_a_large_file_moves_back_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(marks, "BLOCK", 7)
    for count in (1, 3):
        path = tmp_path / f"{count}.apng"
        write_clip(path, noise(count), "apng", 10, generated=True)
        assert np.array_equal(read_clip(Clip(path, "", "")), noise(count))
