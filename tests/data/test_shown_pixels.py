"""Pixels as players and viewers show them: transparency, shapes of pixels, display matrices, colour profiles, masks."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
from av.bitstream import BitStreamFilterContext

from lfdm_diffusers.cli.clips import read_mask
from lfdm_diffusers.data import color_profiles
from lfdm_diffusers.data.clips import count_frames, read_clip
from lfdm_diffusers.data.picture_colors import grey_array
from lfdm_diffusers.data.picture_files import is_animated, rgb_array
from lfdm_diffusers.data.video_files import placed
from lfdm_diffusers.pipelines.motion import mask_tensor

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


# ---- pictures -------------------------------------------------------------------------------------------------------


def test_the_default_image_of_an_animated_png_is_no_frame(tmp_path):
    first, *others = [PIL.Image.new("RGB", (8, 8), (level, 0, 0)) for level in (255, 10, 20, 30)]
    first.save(tmp_path / "a.png", save_all=True, append_images=others, default_image=True, duration=50)
    assert count_frames(tmp_path / "a.png") == 3
    assert read_clip(tmp_path / "a.png")[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert read_clip(tmp_path / "a.png", [2])[0, 0, 0, 0] == 30
    first.save(tmp_path / "b.png", save_all=True, append_images=others[:1], default_image=True)
    assert not is_animated(tmp_path / "b.png")  # one frame for those who can, one picture for those who cannot


# Columns are red, green and blue in CIE XYZ under D50, of sRGB and of Display P3.
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7139]])
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0010, 0.0419, 0.7841]])


def profile(primaries: np.ndarray, space: bytes = b"RGB ") -> bytes:
    """An ICC profile (ICC.1) of these primaries and a gamma of 2.2."""

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    parts = {b"desc": text + bytes(1), b"wtpt": xyz(np.array([0.9642, 1, 0.8249]))}
    parts |= {name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries.T)}
    parts |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    at, table, data = 128 + 4 + 12 * len(parts), struct.pack(">I", len(parts)), b""
    for name, part in parts.items():
        part += bytes(-len(part) % 4)
        table += struct.pack(">4sII", name, at + len(data), len(part))
        data += part
    size = at + len(data)
    head = struct.pack(">I4xI4s4s4s", size, 0x02400000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp"
    return (head + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0") + table + data


def test_wide_colours_become_srgb(tmp_path):
    color = np.array([200, 100, 60])
    light = np.clip(np.linalg.solve(SRGB, P3 @ (color / 255) ** 2.2), 0, 1)
    expected = 255 * np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    assert np.abs(expected - color).max() > 10
    for mode, suffix in (("RGB", "png"), ("RGBA", "png"), ("RGB", "webp")):
        path = tmp_path / f"{mode}.{suffix}"
        lossless = {"lossless": True} if suffix == "webp" else {}
        PIL.Image.new(mode, (8, 8), (*color, 255)[: len(mode)]).save(path, icc_profile=profile(P3), **lossless)
        with PIL.Image.open(path) as image:
            np.testing.assert_allclose(rgb_array(image)[4, 4], expected, atol=2)


@pytest.mark.parametrize("bad", [b"no profile", profile(P3)[:200], profile(P3, b"CMYK")], ids=range(3))
def test_a_profile_that_cannot_be_used_is_said(caplog, bad):
    color_profiles._warn_once.cache_clear()
    image = PIL.Image.new("RGB", (8, 8), (200, 100, 60))
    image.info["icc_profile"] = bad
    assert rgb_array(image)[0, 0].tolist() == [200, 100, 60]
    assert "colour profile cannot be used" in caplog.text


def test_masks_keep_their_numbers_turn_and_use_alpha(tmp_path):
    deep = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    PIL.Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_allclose(mask_tensor(read_mask(str(tmp_path / "deep.png"))), deep / 65535, atol=1e-6)
    np.testing.assert_allclose(mask_tensor(deep), deep / 65535, atol=1e-6)
    top = np.zeros((8, 12), np.uint8)
    top[:4] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    PIL.Image.fromarray(top).save(tmp_path / "turned.png", exif=exif)
    turned = mask_tensor(read_mask(str(tmp_path / "turned.png")))
    assert turned.shape == (12, 8) and (turned[:, 4:] == 1).all() and (turned[:, :4] == 0).all()
    clear = np.full((4, 4, 4), 255, np.uint8)
    clear[:, 0, 3], clear[:, 1, 3] = 0, 51
    assert grey_array(PIL.Image.fromarray(clear))[0].tolist() == pytest.approx([0, 0.2, 1, 1])
    palette = PIL.Image.fromarray(top).convert("P")
    palette.info["transparency"] = 255
    assert (grey_array(palette) == 0).all()  # what was white is transparent
    for mode in ("1", "L", "RGB", "LA", "F"):
        plain = PIL.Image.fromarray(top).convert(mode)
        plain = plain.point(lambda value: value / 255) if mode == "F" else plain
        assert (grey_array(plain) == top / 255).all()


def four_corners() -> np.ndarray:
    """Red, green, blue and white."""
    frame = np.zeros((32, 48, 3), np.uint8)
    frame[:16, :24], frame[:16, 24:], frame[16:, :24], frame[16:, 24:] = (250, 0, 0), (0, 250, 0), (0, 0, 250), 250
    return frame


def corners(frames: np.ndarray) -> set[str]:
    """Those of every frame, row by row."""
    letters = {(True, False, False): "R", (False, True, False): "G", (False, False, True): "B", (True,) * 3: "W"}
    return {"".join(letters[tuple(frame[y, x] > 128)] for y in (4, -5) for x in (4, -5)) for frame in frames}


@pytest.mark.parametrize(
    ("orientation", "shown"), list(enumerate(("RGBW", "GRWB", "WBGR", "BWRG", "RBGW", "BRWG", "WGBR", "GWRB"), 1))
)
def test_motion_jpeg_is_turned_as_its_pictures_say(tmp_path, orientation, shown):
    """A camera's JPEGs one after the other; FFmpeg 8 hands their EXIF on, which PyAV does not know."""
    exif = PIL.Image.Exif()
    exif[0x112] = orientation
    file = io.BytesIO()
    PIL.Image.fromarray(four_corners()).save(file, "JPEG", quality=98, exif=exif)
    (tmp_path / "a.mjpeg").write_bytes(3 * file.getvalue())
    frames = read_clip(tmp_path / "a.mjpeg")
    assert len(frames) == 3 and corners(frames) == {shown}


@pytest.mark.parametrize(("how", "shown"), [("rotate=90", "GWRB"), ("flip=horizontal", "GRWB")])
def test_an_orientation_that_h264_says_once_holds_for_all_frames(tmp_path, how, shown):
    plain = tmp_path / "plain.mp4"
    with av.open(str(plain), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"g": "100"})
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(four_corners(), format="rgb24")
        for packet in [*(packet for _ in range(60) for packet in stream.encode(frame)), *stream.encode()]:
            container.mux(packet)
    path = tmp_path / "a.mp4"
    with av.open(str(plain)) as given, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        said = BitStreamFilterContext(
            f"h264_metadata=display_orientation=insert:{how}", given.streams.video[0], stream
        )
        for packet in given.demux(video=0):
            if packet.size:
                container.mux(said.filter(packet))
    assert corners(read_clip(path)) == corners(read_clip(path, [55])) == {shown}


def test_transparency_that_a_tag_tells_of(tmp_path):
    """`ffmpeg -metadata:s:v:0 alpha_mode=1` writes a tag, which comes in capitals."""
    frame = np.zeros((64, 96, 4), np.uint8)
    path = tmp_path / "a.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=20, options={"crf": "4", "b": "0"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgba")))
        container.mux(stream.encode())
    assert read_clip(path).min() > 250


def test_a_mask_that_cannot_be_read_is_named():
    picture = PIL.Image.fromarray(np.full((4, 4), 70_000, np.int32))
    with pytest.raises(ValueError, match=r"`motion_mask` cannot be read: a picture of mode I must hold values from 0"):
        mask_tensor(picture)
