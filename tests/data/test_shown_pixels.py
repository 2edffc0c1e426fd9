"""Pixels as players and viewers show them: transparency, shapes of pixels, display matrices, colour profiles, masks."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.video_files import placed

pytestmark = pytest.mark.fast


def write(path: Path, frame: np.ndarray, codec: str, pix_fmt: str, options: dict | None = None, shape=None) -> Path:
    """Three times the frame, RGB or RGBA, as a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=20, options=options or {})
        stream.height, stream.width = frame.shape[:2]
        stream.pix_fmt = pix_fmt
        if shape:
            stream.codec_context.sample_aspect_ratio = shape
        for _ in range(3):
            shown = av.VideoFrame.from_ndarray(frame, format={3: "rgb24", 4: "rgba"}[frame.shape[2]])
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
    return path


CLEAR = {
    "png.mov": ("png", "rgba"),
    "qtrle.mov": ("qtrle", "argb"),
    "prores.mov": ("prores_ks", "yuva444p10le"),
    "ffv1.mkv": ("ffv1", "bgra"),
    "vp8.webm": ("libvpx", "yuva420p", {"auto-alt-ref": "0", "b": "2M"}),
    "vp9.webm": ("libvpx-vp9", "yuva420p", {"crf": "4", "b": "0"}),
}


@pytest.mark.parametrize("name", CLEAR)
def test_transparency_is_laid_over_white(tmp_path, name):
    frame = np.zeros((64, 96, 4), np.uint8)
    frame[..., 0], frame[:, 32:64, 3], frame[:, 64:, 3] = 200, 128, 255  # red: clear, half, opaque
    frames = read_clip(write(tmp_path / name, frame, *CLEAR[name]))
    assert frames.shape == (3, 64, 96, 3)
    for column, expected in ((16, (255, 255, 255)), (48, (227, 127, 127)), (80, (200, 0, 0))):
        np.testing.assert_allclose(frames[:, 32, column], [expected] * 3, atol=4)


@pytest.mark.parametrize(
    "name, codec", [("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")]
)
def test_pixels_that_are_no_squares_are_widened(tmp_path, name, codec):
    frame = np.zeros((48, 32, 3), np.uint8)
    frame[:, 16:] = 200
    frames = read_clip(write(tmp_path / name, frame, codec, "yuv420p", shape=Fraction(2)))
    assert frames.shape == (3, 48, 64, 3)
    assert frames[:, :, :28].max() < 40 and frames[:, :, 36:].min() > 160
    assert read_clip(write(tmp_path / f"narrow-{name}", frame, codec, "yuv420p", shape=Fraction(1, 2))).shape == (
        3,
        48,
        16,
        3,
    )
    assert read_clip(write(tmp_path / f"absurd-{name}", frame, codec, "yuv420p", shape=Fraction(99))).shape == (
        3,
        48,
        32,
        3,
    )


@pytest.mark.parametrize("mirror, turns", list(product((False, True), range(4))))
def test_display_matrices(mirror, turns):
    """Each pixel goes where the matrix says, for the eight ways to lay a picture down."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    a, b, c, d = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)][turns]
    a, c = (-a, -c) if mirror else (a, c)
    at = {(y, x): (a * x + c * y, b * x + d * y) for y in range(2) for x in range(3)}
    left, top = (min(position[i] for position in at.values()) for i in (0, 1))
    expected = np.zeros((2, 3, 3) if turns % 2 == 0 else (3, 2, 3), np.uint8)
    for (y, x), (to_x, to_y) in at.items():
        expected[to_y - top, to_x - left] = pixels[y, x]
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], np.int32).tobytes()
    np.testing.assert_array_equal(placed(pixels, matrix), expected)
    assert placed(pixels, None) is pixels


def test_a_selfie_is_mirrored_as_its_file_says(tmp_path):
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:, :16] = 220
    path = write(tmp_path / "selfie.mov", frame, "libx264", "yuv420p", {"crf": "1"})
    data = bytearray(path.read_bytes())
    start = data.index(np.array([1 << 16, 0, 0, 0, 1 << 16], ">i4").tobytes(), data.index(b"tkhd"))
    data[start : start + 20] = np.array([-1 << 16, 0, 0, 0, 1 << 16], ">i4").tobytes()
    path.write_bytes(data)
    frames = read_clip(path)
    assert frames[:, :, :44].max() < 40 and frames[:, :, 52:].min() > 180
