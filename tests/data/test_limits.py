"""What a picture or a clip may cost: bounded before it is decoded; and only plain files of known formats are opened."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from clip_files import frames_of, write_animation, write_folder, write_video

from lfdm_diffusers.data import picture_reading
from lfdm_diffusers.data.clips import UnreadableClipError, count_frames, read_clip
from lfdm_diffusers.data.large_webp import averaged_webp
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.picture_fitting import fit_picture, to_rgb_tensors
from lfdm_diffusers.data.picture_reading import open_picture, reduced
from lfdm_diffusers.files import limits
from lfdm_diffusers.files.packed import FilePart
from lfdm_diffusers.files.reading import UnreadableFileError


@pytest.fixture
def bounds(monkeypatch):
    """Sets the bounds, until the test ends."""
    for name in limits.DEFAULTS:
        monkeypatch.setenv(name, str(limits.DEFAULTS[name]))
    return limits.set_limits


def claiming_png(path: Path, width: int, height: int, pixels: bytes = b"") -> Path:
    """A PNG of one bit a pixel with a header of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    )
    return path


def test_a_picture_is_refused_by_its_header(tmp_path, bounds):
    path = claiming_png(tmp_path / "huge.png", 13_000, 13_000)
    message = (
        r"huge\.png cannot be read as a picture: a picture of 13000x13000 pixels is too large: at most 100 million"
    )
    with pytest.raises(UnreadableFileError, match=message), open_picture(path):
        pass
    bounds(megapixels=200)
    with open_picture(path) as image:
        assert image.size == (13_000, 13_000)
    claiming_png(path, 30_000, 30_000)  # which Pillow would refuse by itself, whatever is allowed here
    with pytest.raises(UnreadableFileError, match=r"30000x30000 pixels is too large: at most 200"), open_picture(path):
        pass
    bounds(megapixels=1000)
    pillows = PIL.Image.MAX_IMAGE_PIXELS
    with open_picture(path) as image:
        assert image.size == (30_000, 30_000) and pillows == PIL.Image.MAX_IMAGE_PIXELS > 0


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"", "it is empty"),
        (b"\0\0\0\x20ftypisom\0\0\0\0isomavc1mp41mp42", "it is a video"),
        (b"RIFF\x24\0\0\0AVI LIST", "it is a video"),
        (b"\x1aE\xdf\xa3\0\0", "it is a video"),
        (b"<svg></svg>", "it is damaged, or of a format that is not read; PNG, JPEG"),
    ],
)
def test_what_is_no_picture_is_said(tmp_path, head, message):
    (tmp_path / "a.png").write_bytes(head)
    with (
        pytest.raises(UnreadableFileError, match=rf"a\.png cannot be read as a picture: {message}"),
        open_picture(tmp_path / "a.png"),
    ):
        pass


def test_frames_of_clips_are_refused_by_their_headers(tmp_path, bounds):
    clips = [
        write_video(tmp_path / "a.mp4", frames_of(2)),
        write_animation(tmp_path / "a.gif", frames_of(2)),
        write_folder(tmp_path / "a", frames_of(2)),
    ]
    for clip in clips:
        assert read_clip(clip).shape == (2, 32, 48, 3)
    bounds(megapixels=0.004)  # of a frame a third
    for clip in clips:
        with pytest.raises(
            UnreadableClipError, match=r"a frame of 48x32 pixels is too large: at most 0\.00133 million"
        ) as caught:
            read_clip(clip)
        assert str(caught.value).startswith(f"{clip}: ") and str(caught.value).count(str(tmp_path)) == 1


def test_a_clip_is_held_only_as_far_as_memory_is_allowed(tmp_path, bounds):
    clip = write_animation(tmp_path / "a.gif", frames_of(8))
    bounds(gigabytes=5 * 32 * 48 * 3 * 2 / 1e9)
    with pytest.raises(UnreadableClipError, match=r"a\.gif: the first 6 frames take .* GB of memory, more than"):
        read_clip(clip)
    assert read_clip(clip, change=lambda frame: frame[::2, ::2]).shape == (8, 16, 24, 3) and count_frames(clip) == 8


@pytest.mark.parametrize("value", ["nan", "-1", "0", "many"])
def test_a_bound_that_is_none_is_passed_over(monkeypatch, value):
    monkeypatch.setenv(limits.MEGAPIXELS, value)
    assert limits.most_pixels() == 100_000_000


@pytest.fixture
def tiny(monkeypatch):
    """Pictures of more than 100x100 pixels count as large."""
    monkeypatch.setattr(picture_reading, "SMALL", 100 * 100)
    monkeypatch.setattr(picture_reading, "ROWS", 32)


def noisy(mode: str, width: int = 301, height: int = 199) -> PIL.Image.Image:
    """A smooth picture with a detail, in a mode of Pillow's."""
    y, x = np.mgrid[:height, :width]
    grey = 127 + 100 * np.sin(x / 31) * np.cos(y / 17)
    image = PIL.Image.fromarray(np.stack([grey, 255 - grey, grey / 2], -1).astype(np.uint8))
    image.paste((255, 0, 0), (50, 50, 90, 80))
    if mode == "I;16":
        return PIL.Image.fromarray((grey * 257).astype(np.uint16))
    if mode == "RGBA":
        image.putalpha(PIL.Image.fromarray(np.uint8(x % 256)))
        return image
    return image.quantize(16) if mode == "P" else image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("1", "png"), ("I;16", "png"), ("L", "jpg"), ("RGB", "jpg"), ("CMYK", "jpg"),
     ("RGB", "webp"), ("RGBA", "webp"), ("RGB", "jp2"), ("RGB", "tiff"), ("P", "gif")],
)  # fmt: skip
def test_large_pictures_are_reduced_and_look_the_same(tiny, tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    noisy(mode).save(path)
    with open_picture(path) as image:
        small = reduced(image, 8, 8, "letterbox")
        small.load()
    assert small.size == (38, 25)  # 301x199 halved three times
    found = fit_picture(to_rgb_tensors(small)[0], 8, 8)
    with PIL.Image.open(path) as image:
        expected = fit_picture(to_rgb_tensors(image)[0], 8, 8)
    difference = (found - expected).abs()
    assert difference.mean() < 0.015 and difference.max() < 0.1, (difference.mean(), difference.max())


def test_small_pictures_and_fine_frames_are_left_alone():
    image = PIL.Image.new("RGB", (2048, 2048))
    assert reduced(image, 64, 64, "letterbox") is image
    image = PIL.Image.new("RGB", (2049, 2048))
    assert reduced(image, 512, 512, "letterbox").size == (2049, 2048)
    assert reduced(image, 256, 256, "letterbox").size == (1025, 1024)
    assert reduced(PIL.Image.new("1", (60_000, 100)), 64, 64, "center_crop").size == (60_000, 100)


def test_exif_is_kept(tiny, tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png"):
        noisy("RGB").save(tmp_path / f"a.{suffix}", exif=exif)
        with open_picture(tmp_path / f"a.{suffix}") as image:
            (tensor,) = to_rgb_tensors(reduced(image, 8, 8, "letterbox"))
        assert tensor.shape == (3, 38, 25)


def test_jpeg_2000_without_levels_is_read_from_within_another_file(tmp_path):
    """Its decoder leaves out no level that is not there, and is begun again: also where the file has no name of its own."""
    path = tmp_path / "a.jp2"
    PIL.Image.new("RGB", (70, 60), "teal").save(path, num_resolutions=1)
    packed = FilePart(tmp_path / "a.tar" / "a.jp2", path, 0, path.stat().st_size)
    for each in (path, packed):
        assert picture_reading.bounded_picture(each, 400).size == (18, 15)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [False, True])
def test_large_webp_is_decoded_as_pillow_does(tmp_path, mode, lossless):
    path = tmp_path / "a.webp"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    noisy(mode).save(path, lossless=lossless, exif=exif)
    for factor in (2, 8):
        with PIL.Image.open(path) as image:
            small = averaged_webp(image, factor, 32)
        with PIL.Image.open(path) as image:
            expected = image.convert(mode).reduce(factor)  # another object, with no file behind it
        assert small.mode == mode and small.size == expected.size and small.getexif()[0x0112] == 6
        seen = [np.asarray(each.convert("RGBa" if mode == "RGBA" else "RGB"), float) for each in (small, expected)]
        assert abs((seen[0] - seen[1]).mean()) < 0.1 and np.abs(seen[0] - seen[1]).mean() < (0.01 if lossless else 0.8)


def test_webp_that_is_pillows_to_decode(tmp_path):
    write_animation(tmp_path / "moves.webp", frames_of(3))
    noisy("RGB").save(tmp_path / "still.webp")
    with PIL.Image.open(tmp_path / "moves.webp") as image:
        assert averaged_webp(image, 2, 32) is None
    for source in (tmp_path / "still.webp", io.BytesIO((tmp_path / "still.webp").read_bytes())):
        with PIL.Image.open(source) as image:
            image.load()
            image.paste((0, 255, 0), (0, 0, 301, 199))
            assert averaged_webp(image, 2, 32) is None
            assert picture_reading.bounded_picture(image, 1000).getpixel((5, 5)) == (0, 255, 0)


@pytest.mark.integration
def test_memory_is_a_few_bytes_a_pixel(tmp_path):
    """Pictures of 36 million pixels that have some kB, in a process of their own, whose peak is measured."""
    rows = b"".join(b"\0" + bytes(750) for _ in range(6000))
    claiming_png(tmp_path / "a.png", 6000, 6000, pixels=rows)
    PIL.Image.new("RGB", (6000, 6000), "teal").save(tmp_path / "b.webp", method=0)
    code = (
        "import resource, sys; from lfdm_diffusers.data import picture_reading, picture_fitting, picture_files\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "for path in sys.argv[1:]:\n"
        "    with picture_reading.open_picture(path) as image:\n"
        "        small = picture_reading.reduced(image, 64, 64, 'letterbox')\n"
        "        picture_fitting.fit_picture(picture_fitting.to_rgb_tensors(small)[0], 64, 64)\n"
        "    print(peak() - before)"
    )
    paths = [str(tmp_path / name) for name in ("a.png", "b.webp")]
    told = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    png, webp = map(float, told.stdout.split())
    assert png < 2 * 36 and webp < 4 * 36, (png, webp)


def test_only_plain_files_of_known_formats_are_opened(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    os.mkfifo(tmp_path / "a.gif")
    (tmp_path / "frames").mkdir()
    os.mkfifo(tmp_path / "frames" / "0.png")
    video = write_video(tmp_path / "real.mp4", frames_of(2))
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{video}'\n")
    (tmp_path / "play.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{video}\n#EXT-X-ENDLIST\n")
    (tmp_path / "eps.gif").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n")
    for name, message in (
        ("a.mp4", "is a named pipe"),
        ("a.gif", "is a named pipe"),
        ("frames", "0.png is a named pipe"),
        ("list.mp4", "none of the formats that videos come in"),
        ("play.mp4", "Invalid data"),
        ("eps.gif", "it is damaged, or of a format that is not read"),
    ):
        with pytest.raises(UnreadableClipError, match=message):
            read_clip(tmp_path / name)


def test_what_is_no_file_among_clips_is_named(tmp_path):
    """A named pipe of the name of a tar or a table too, of which opening one would never end."""
    write_video(tmp_path / "wave" / "a.mp4", frames_of(2))
    for name in ("b.tar", "metadata.csv", "notes"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "c.tar").symlink_to("c.tar")
    clips = find_clips(tmp_path)
    assert [(clip.path.name, clip.label) for clip in clips] == [("a.mp4", "wave")]
    notes = "\n".join(clips.notes)
    for name in ("b.tar", "metadata.csv", "notes"):
        assert f"left out: {name}: a named pipe, not a file" in notes
    assert "left out: c.tar: Too many levels of symbolic links" in notes
