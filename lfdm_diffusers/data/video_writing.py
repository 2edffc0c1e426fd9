"""Writes clips: GIF, WebP, APNG, H.264, VP9, ProRes, FFV1, or a folder of PNG; each appears whole or not at all.

Frames are encoded as they come, so that a clip may be larger than memory. All but PNG goes through FFmpeg, which PyAV carries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import PIL.Image
from av.video.reformatter import VideoReformatter

from ..files.whole import whole
from .chance import random_stream
from .frame_formats import pixels_over_white, reformatted
from .marks import COMMENT, mark_file
from .video_files import ffmpeg_name


@dataclass(frozen=True)
class Format:
    """How FFmpeg writes a format.

    Attributes:
        suffix: of files.
        container, codec: FFmpeg's names.
        pixels: how frames are stored.
        transparent: how frames with alpha are stored; None where they are laid over white.
        codec_options, container_options: FFmpeg's, besides `look_ahead`.
        look_ahead: the codec's option for how many frames it holds to decide about the next.
        most_fps: frames a second; more are written as so many.
        unit: milliseconds of which times are multiples; None for multiples of a frame's.
        most: pixels that a side may have.
        even: whether sides must be even; an odd one gets its last row or column twice.
    """

    suffix: str
    container: str
    codec: str
    pixels: str
    transparent: str | None = None
    codec_options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    look_ahead: str | None = None
    most_fps: int | None = None
    unit: int | None = None
    most: int = 65535
    even: bool = False


FORMATS: dict[str, Format | None] = {
    "gif": Format(".gif", "gif", "gif", "pal8", most_fps=50, unit=10),  # browsers slow down what is faster
    # A browser plays an mp4 while it loads only if the index stands in front.
    "mp4": Format(
        ".mp4", "mp4", "libx264", "yuv420p", None, {"crf": "12", "preset": "medium"}, {"movflags": "faststart"},
        look_ahead="rc-lookahead", most=16384, even=True,
    ),
    "webm": Format(
        ".webm", "webm", "libvpx-vp9", "yuv420p", "yuva420p",
        {"crf": "12", "b": "0", "row-mt": "1", "cpu-used": "4"}, look_ahead="lag-in-frames",
    ),
    "mkv": Format(".mkv", "matroska", "ffv1", "bgr0", "bgra"),
    "webp": Format(".webp", "webp", "libwebp_anim", "bgra", "bgra", {"lossless": "1"}, {"loop": "0"}, unit=1, most=16383),
    "png": None,
    "apng": Format(".apng", "apng", "apng", "rgb24", "rgba", container_options={"plays": "0"}),
    "mov": Format(".mov", "mov", "prores_ks", "yuv444p10le", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}),
}  # fmt: skip
SUFFIXES = {name: format.suffix if format else "" for name, format in FORMATS.items()}
PALETTE_PIXELS = 2**15  # what a palette is made from; more take longer and change it little
AHEAD_PIXELS = 2**27  # that a codec may hold in frames to come; at most `AHEAD` frames
AHEAD = 25


def clip_path(folder: Path, name: str, format: str) -> Path:
    """Where a clip called `name` of `format` belongs in `folder`; a folder of frames for "png"."""
    return folder / f"{name}{SUFFIXES[format]}"


def check_format(format: str, height: int = 1, width: int = 1) -> None:
    """Raise a ValueError for an unknown format, or one that does not hold frames of this size."""
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}, got {format!r}.")
    how = FORMATS[format]
    if how is not None and max(height, width) > how.most:
        raise ValueError(
            f"`format` {format} holds sides of at most {how.most} pixels, got {height}x{width}; png holds any."
        )


def added_pixels(format: str, height: int, width: int) -> tuple[int, int]:
    """Rows and columns that a file of this format has beyond its frames: H.264 in 4:2:0 has even sides alone."""
    how = FORMATS[format]
    return (height % 2, width % 2) if how is not None and how.even else (0, 0)


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray] | np.ndarray,
    format: str,
    fps: float,
    colours: np.ndarray | None = None,
    generated: bool = False,
) -> None:
    """`write_clips` for one file."""
    write_clips({path: format}, frames, fps, colours, generated)


def write_clips(
    targets: Mapping[Path, str],
    frames: Sequence[np.ndarray] | np.ndarray,
    fps: float,
    colours: np.ndarray | None = None,
    generated: bool = False,
    gif_side: int | None = None,
) -> None:
    """Write frames to files of several formats under temporary names, then rename; earlier clips of these names are replaced.

    Args:
        targets: the format of each path, which for "png" is of the folder that gets 0000.png, 0001.png, ...: "gif" (one palette of
            256 colours for the clip, without dithering), "webp" (animated, lossless, but frames like the one before are merged
            into it), "apng" (lossless), "mp4" (H.264; an odd side gets its last row or column twice: `added_pixels`), "webm" (VP9;
            both 4:2:0, nearly lossless), "mov" (ProRes 4444, 10 bits), "mkv" (FFV1 in RGB: lossless, every frame), or "png".
        frames: `(F, H, W, C)` uint8, or any sequence of `(H, W, C)`, which is gone through once. With C = 4, the last is alpha;
            GIF and H.264 have white behind it.
        fps: frames a second; a GIF holds whole hundredths of a second, so that its frames may differ by one, and 50 at most.
        colours: `(..., 3)` uint8, such as the same clip at a smaller size: what a GIF's palette is made of. By default the frames,
            all of which are then looked at first.
        generated: mark the files as a model's (`marks`).
        gif_side: pixels that a GIF's longer side has at most; None leaves it as large as the frames.

    Raises:
        ValueError: for another format, frames of other forms, or larger ones than a format holds.
    """
    for format in targets.values():
        check_format(format)
    if not 0.001 <= fps <= 1000:
        raise ValueError(f"`fps` must be from 0.001 to 1000 frames a second, got {fps!r}.")
    if len(frames) == 0:
        raise ValueError("`frames` must hold at least one frame, got none.")
    palette = None
    if "gif" in targets.values():
        palette = _palette(pixels_over_white(np.asarray(frames)) if colours is None else colours)
    with ExitStack() as stack:
        encoders: list[_Pictures | _Encoder] = []
        for path, format in targets.items():
            part, how = stack.enter_context(whole(path)), FORMATS[format]
            if generated:
                stack.enter_context(_marked(part, format))
            if how is None:
                encoders.append(stack.enter_context(_Pictures(part)))
            else:
                own, side = (palette, gif_side) if format == "gif" else (None, None)
                tags = {"comment": COMMENT} if generated and format != "gif" else {}
                encoders.append(stack.enter_context(_Encoder(part, format, how, len(frames), fps, own, tags, side)))
        shape = None
        for frame in frames:
            shape = shape or frame.shape
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (3, 4) or frame.shape != shape:
                raise ValueError(
                    f"`frames` must be uint8 of one shape (height, width, 3 or 4), got {frame.dtype} of {frame.shape}."
                )
            for encoder in encoders:
                encoder.add(frame)


def frame_times(count: int, fps: float, unit: int) -> list[int]:
    """How long each frame is shown, in milliseconds, multiples of `unit` whose sum is right however long the clip."""
    ends = [round(1000 * (i + 1) / fps / unit) * unit for i in range(count)]
    return [end - start for start, end in zip([0, *ends], ends)]


@contextmanager
def _marked(part: Path, format: str) -> Iterator[None]:
    """What is written to `part` in the block is marked as generated when it ends."""
    yield
    mark_file(part, format)


class _Pictures:
    """A folder of PNG."""

    def __init__(self, part: Path):
        part.mkdir()
        self.part, self.count = part, 0

    def __enter__(self) -> _Pictures:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def add(self, frame: np.ndarray) -> None:
        PIL.Image.fromarray(frame).save(self.part / f"{self.count:04d}.png")
        self.count += 1


class _Encoder:
    """A file that FFmpeg writes, frame by frame; it is complete when the block ends."""

    container: av.container.OutputContainer | None = None  # opened with the first frame
    stream: av.VideoStream

    def __init__(
        self,
        part: Path,
        name: str,
        format: Format,
        count: int,
        fps: float,
        palette: PIL.Image.Image | None,
        tags: Mapping[str, str],
        most: int | None,
    ):
        self.part, self.name, self.format, self.palette, self.tags, self.most = part, name, format, palette, tags, most
        # 29.97 stands for 30000/1001, as all rates of television do.
        self.fps = Fraction(min(fps, self.format.most_fps or fps)).limit_denominator(1001)
        self.number = 0
        # Either in frames, or in the format's own unit.
        self.unit = 1 / self.fps if self.format.unit is None else Fraction(self.format.unit, 1000)
        times = [1] * count
        if self.format.unit is not None:
            times = [time // self.format.unit for time in frame_times(count, float(self.fps), self.format.unit)]
        self.durations, self.starts = times, [0, *np.cumsum(times).tolist()]

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        if self.container is not None:
            with self._told():
                if kind is None:
                    self.container.mux(self.stream.encode())
                self.container.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """FFmpeg's errors say whose they are."""
        try:
            yield
        except av.FFmpegError as error:
            why = f"the {self.name} encoder says: {error.strerror}"
            raise OSError(error.errno, why, str(self.part)) from error

    def add(self, frame: np.ndarray) -> None:
        transparent = frame.shape[2] == 4
        if transparent and self.format.transparent is None:
            frame, transparent = pixels_over_white(frame), False
        height, width = frame.shape[:2]
        if self.most is not None and max(height, width) > self.most:
            smaller = [max(1, round(side * self.most / max(height, width))) for side in (width, height)]
            frame = np.asarray(
                PIL.Image.fromarray(frame).resize((smaller[0], smaller[1]), PIL.Image.Resampling.LANCZOS)
            )
            height, width = frame.shape[:2]
        rows, columns = added_pixels(self.name, height, width)
        if rows or columns:
            frame = np.pad(frame, ((0, rows), (0, columns), (0, 0)), mode="edge")
        height, width = frame.shape[:2]
        check_format(self.name, height, width)
        with self._told():
            container = self.container or self._open(height, width, transparent)
            container.mux(self.stream.encode(self._picture(frame)))

    def _picture(self, frame: np.ndarray) -> av.VideoFrame:
        """A frame as it is stored, with its time."""
        if self.palette is not None:
            places = PIL.Image.fromarray(frame).quantize(palette=self.palette, dither=PIL.Image.Dither.NONE)
            colours = np.zeros((256, 4), np.uint8)  # alpha, red, green, blue
            listed = np.reshape(self.palette.getpalette("RGB") or [], (-1, 3))
            colours[:, 0], colours[: len(listed), 1:] = 255, listed
            both: Any = (np.asarray(places), colours)
            picture = av.VideoFrame.from_ndarray(both, format="pal8")
        else:
            form = "rgba" if frame.shape[2] == 4 else "rgb24"
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=form)
            # Here, because what the stream would do by itself differs in a bit from one time to the next (PyAV 18).
            picture = reformatted(self.converter, picture, format=self.stream.pix_fmt)
        picture.pts, picture.time_base = self.starts[self.number], self.unit
        if hasattr(picture, "duration"):  # PyAV 14 has none; FFmpeg then goes by the start of the next
            picture.duration = self.durations[self.number]
        self.number += 1
        return picture

    def _open(self, height: int, width: int, transparent: bool) -> av.container.OutputContainer:
        format, options, container = self.format, dict(self.format.codec_options), dict(self.format.container_options)
        if format.look_ahead:
            options[format.look_ahead] = str(max(1, min(AHEAD, AHEAD_PIXELS // (height * width))))
        if self.name == "gif":
            container["final_delay"] = str(self.durations[-1])
        self.container = av.open(ffmpeg_name(self.part), "w", format=format.container, options=container)
        self.container.metadata.update(self.tags)
        stream = cast(av.VideoStream, self.container.add_stream(format.codec, rate=self.fps, options=options))
        self.stream, self.converter = stream, VideoReformatter()
        stream.width, stream.height = width, height
        pixels = format.transparent if transparent and format.transparent else format.pixels
        stream.pix_fmt = pixels
        stream.codec_context.time_base = self.unit
        if pixels.startswith("yuv"):
            # FFmpeg converts by SMPTE 170M (BT.601), limited range, and the file says so.
            stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
        return self.container


def _palette(pixels: np.ndarray) -> PIL.Image.Image:
    """The 256 colours that suit pixels `(..., 3)` best: one palette for all frames, so that what stands still looks still.

    Colours count by the root of their frequency, so that a wide background leaves some for eyes and mouth.
    """
    pixels = pixels_over_white(pixels).reshape(-1, 3)
    if len(pixels) > PALETTE_PIXELS:
        pixels = pixels[random_stream(0).integers(0, len(pixels), PALETTE_PIXELS)]
    packed, counts = np.unique(
        pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32), return_counts=True
    )
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)
    weighted = np.repeat(colours, np.ceil(np.sqrt(counts)).astype(int), axis=0)
    return PIL.Image.fromarray(weighted[None]).quantize(256, method=PIL.Image.Quantize.MEDIANCUT, kmeans=1)
