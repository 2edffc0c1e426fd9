"""Frames of video files (mp4, webm, avi, mov, ...), with PyAV, whose wheel carries FFmpeg."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import PIL.Image
from av.video.reformatter import VideoReformatter

from ..files.limits import TooLargeError, most_pixels, require_pixels
from ..files.packed import Packed
from ..files.reading import require_plain_file
from .cut_files import CUT_OFF, missing_bytes
from .frame_formats import pixels_over_white, reformatted
from .picture_decoders import say_hdr

SQUARE = 1 / 8, 8  # shapes of pixels beyond these are mistakes of a header

# FFmpeg's names of the formats that videos come in. Others are read from other files (concat, hls), devices, or texts.
FORMATS = (
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpeg", "mpegvideo", "mpegts", "asf", "flv", "ogg", "mjpeg",
    "h264", "hevc", "m4v", "dv",
)  # fmt: skip

# By the number that EXIF has for it (tag 0x112): a b, c d of the matrix that shows a picture as it was meant; see `placed`.
ORIENTATIONS = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1), 5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}  # fmt: skip
TURNS = {0: 1, -90: 6, 180: 3, -180: 3, 90: 8}  # degrees to the left, as such a number

# Decoding this many frames costs about as much as reading a file's table of times and seeking in it.
SEEK_GAP = 48

# PyAV before 19 refuses names that are not UTF-8 unless it is told otherwise; PyAV 19 takes them and is not to be told.
LENIENT_NAMES: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def video_frames(path: Path | Packed, indices: Sequence[int] | None = None, seek: bool = True) -> Iterator[np.ndarray]:
    """The frames of a video, one by one, (H, W, 3) uint8: all, or those of ascending `indices` that there are.

    Args:
        path: video file; its first video stream is read, turned upright as the file says (phones film sideways).
        indices: ascending numbers of frames in the order they are shown.
        seek: jump over long gaps where the file's table of times allows it exactly; the frames are the same without.
    """
    wanted = None if indices is None else list(indices)
    if seek and wanted and wanted[-1] >= SEEK_GAP:
        done = 0
        for frame in _seeking(path, wanted):
            yield frame
            done += 1
        wanted = wanted[done:]
    if wanted == []:
        return
    with open_video(path) as container:
        stream, found = _Stream(container), 0
        for index, picture in enumerate(stream.frames()):
            if wanted is None:
                yield stream.pixels(picture)
            elif index == wanted[found]:
                yield stream.pixels(picture)
                found += 1
                if found == len(wanted):
                    return
        if wanted is None:
            stream.require_complete(path)
            say_hdr(path, stream.stream.codec_context.color_trc)


def open_video(path: Path | Packed) -> av.container.InputContainer:
    """A video file to read from: titles and comments that are not UTF-8 (old avi files have them) do not matter.

    Raises:
        UnreadableFileError: if it is no plain file.
        OSError: if its format is none of `FORMATS`: a playlist, say, would open other files; if its frames are too large.
        av.FFmpegError: for what FFmpeg finds wrong.
    """
    require_plain_file(path)
    # As the container's: given to its streams too, they end PyAV 14.1's process.
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        file: Any = path.open() if isinstance(path, Packed) else ffmpeg_name(path)
        container = av.open(file, container_options=options, **LENIENT_NAMES)
    except av.FFmpegError as error:
        if error.errno != errno.EINVAL:  # which FFmpeg says of a format that is not in the list
            raise
        raise OSError("it has none of the formats that videos come in") from error
    for stream in container.streams.video:
        if stream.codec_context is None:
            container.close()
            raise OSError("FFmpeg knows no decoder for its video")
        try:
            require_pixels(stream.width, stream.height, frame=True)
            stream.codec_context.options = {"max_pixels": str(most_pixels(frame=True))}  # a stream may grow later
        except TooLargeError:
            container.close()
            raise
    return container


def ffmpeg_name(path: Path) -> str:
    """The name of a file that FFmpeg takes for one: before a colon in a relative path it would see a protocol."""
    return os.path.abspath(path)


class _Stream:
    """The first video stream of a container: its frames, what it has seen of them, and their pixels.

    Attributes:
        count: frames decoded.
        end: of the last packet seen, in seconds; None before the first.
        corrupt: whether the last packet or frame was incomplete.
        shape: width of a stored pixel by its height, where the file says that it is no square.
        matrix: the display matrix of the frames from the last one that had one on; None before.
    """

    def __init__(self, container: av.container.InputContainer):
        if not container.streams.video:
            raise OSError("it has no video stream")
        self.container, self.stream = container, container.streams.video[0]
        self.decoder, shape = _decoder(self.stream), self.stream.sample_aspect_ratio
        self.shape = shape if shape and SQUARE[0] <= shape <= SQUARE[1] and abs(shape - 1) > 0.01 else 1
        # One thread: data loaders and scans run many readers side by side.
        self.decoder.thread_count = 1
        # One for all frames: each frame's own would keep its threads until the garbage is collected, and a process that is forked
        # with them, such as a data loader's, hangs when it collects it.
        self.converter = VideoReformatter()
        self.count, self.corrupt = 0, False
        self.end: float | None = None
        self.matrix: bytes | None = None

    def frames(self) -> Iterator[av.VideoFrame]:
        """Frames in the order they are shown, from where the container is."""
        frame_time = 1 / self.stream.average_rate if self.stream.average_rate else 0
        for packet in self.container.demux(self.stream):
            if packet.size:
                self.corrupt = packet.is_corrupt
            if packet.pts is not None and packet.time_base is not None:
                end = float(packet.pts * packet.time_base + ((packet.duration or 0) * packet.time_base or frame_time))
                self.end = end if self.end is None else max(self.end, end)
            for frame in self.decoder.decode(packet):
                self.count += 1
                self.corrupt = self.corrupt or frame.is_corrupt
                # H.264 and H.265 may say it with the first frame alone.
                self.matrix = _display_matrix(frame, packet) or self.matrix
                yield frame

    def pixels(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 of the last frame as it is shown: with square pixels, upright and not mirrored, transparency over white."""
        clear = any(component.is_alpha for component in frame.format.components)
        size: dict[str, Any] = {}
        if self.shape != 1:
            size = {"width": max(1, round(frame.width * self.shape)), "height": frame.height}
        require_pixels(size.get("width", frame.width), frame.height, frame=True)
        array = reformatted(self.converter, frame, format="rgba" if clear else "rgb24", **size).to_ndarray()
        return placed(pixels_over_white(array), self.matrix)

    def require_complete(self, path: Path | Packed) -> None:
        """Raise OSError if frames are missing that the file promises: most containers play on when they are cut off.

        A file that is all there is whole, however long its last frame is held, and however long its sound goes on. Of one that is
        not, nothing may be missing but what stands behind the frames, such as an index.
        """
        if self.stream.frames and self.count >= self.stream.frames:
            return
        promised, missing = self._promised_seconds(), missing_bytes(path)
        start = float((self.stream.start_time or 0) * (self.stream.time_base or 0))
        end = 0.0 if self.end is None else self.end - start
        if not self.count:
            least = promised = None
        elif missing:
            least = promised and promised - 0.5 / float(self.stream.average_rate or 25)
        elif missing is None or self._counts_frames():
            least = promised and 0.9 * promised - 0.05
        else:
            return
        if promised is not None and least is not None and end < least:
            raise OSError(f"{CUT_OFF}: its frames end after {end:.2f} of {promised:.2f} seconds")
        if promised is None and missing:
            raise OSError(f"{CUT_OFF}: it lacks {missing} bytes or more")
        if missing is None and self.corrupt:
            raise OSError(f"{CUT_OFF}: its last frame is incomplete")

    def _counts_frames(self) -> bool:
        """Whether `stream.frames` are frames; in AVI they are places for frames, of which any may be empty."""
        return bool(self.stream.frames) and self.container.format.name != "avi"

    def _promised_seconds(self) -> float | None:
        """How long the frames should take by the file's header; None where it does not say, or the end was looked for."""
        stream, rate = self.stream, self.stream.average_rate
        names = set(self.container.format.name.split(","))
        if names & {"mpeg", "mpegts"}:
            return None
        if names == {"avi"} and stream.frames and rate:  # its duration is guessed from the size of the file
            return float(stream.frames / rate)
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        if match := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")):  # Matroska
            return 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
        if self.container.duration is not None and len(self.container.streams) == 1:  # else it may be the sound's
            return self.container.duration / av.time_base
        return None


def _decoder(stream: av.VideoStream) -> av.VideoCodecContext:
    """FFmpeg's own decoder; libvpx's for VP8 and VP9 with transparency, which FFmpeg's own leave out."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    about = {key.lower(): value for key, value in stream.metadata.items()}  # in capitals where it was given as a tag
    if name is None or about.get("alpha_mode") != "1" or name not in av.codecs_available:
        return stream.codec_context
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(name, "r"))
    decoder.extradata, decoder.options = stream.codec_context.extradata, stream.codec_context.options
    return decoder


def _display_matrix(frame: av.VideoFrame, packet: av.Packet) -> bytes | None:
    """The matrix of `placed` that a frame comes with, if with any."""
    try:
        found: Any = frame.side_data.get("DISPLAYMATRIX")  # bytes, by the buffer protocol
        return found
    except ValueError:  # PyAV knows not all that FFmpeg 8 adds to frames, such as EXIF, and then tells nothing
        orientation = TURNS.get(frame.rotation)
    if packet.stream.codec_context.name == "mjpeg":  # mirrors too
        with PIL.Image.open(io.BytesIO(bytes(packet)), formats=["JPEG"]) as image:
            orientation = image.getexif().get(0x112)
    a, b, c, d = ORIENTATIONS.get(orientation or 1, ORIENTATIONS[1])
    return struct.pack("=5i", a, b, 0, c, d)


def placed(pixels: np.ndarray, matrix: bytes | None) -> np.ndarray:
    """(H, W, 3) pixels turned and mirrored by a display matrix, as far as quarter turns go.

    Args:
        matrix: nine int32, a b u, c d v, x y w: a pixel at (x, y) is shown at (a x + c y, b x + d y), wherever that is (ISO/IEC
            14496-12, 8.3.2); None leaves all as it is.
    """
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(matrix, np.int32, 5).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):  # columns become rows
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(pixels)


def _frame_times(container: av.container.InputContainer) -> list[int] | None:
    """Presentation time of every frame, without decoding; None where packets and frames may not go one to one.

    VP8's hidden frames, edit lists, packed B-frames and files without times all fail one of these checks.
    """
    stream = container.streams.video[0]
    times = []
    for packet in container.demux(stream):
        if packet.size == 0:  # the empty packet that ends a stream
            continue
        if packet.pts is None or packet.is_discard:
            return None
        times.append(packet.pts)
    if len(times) != stream.frames or len(set(times)) != len(times):
        return None
    return sorted(times)


def _seeking(path: Path | Packed, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    """The first of the wanted frames, as far as seeking is exact: stops where a frame's time is not the expected."""
    with open_video(path) as container:
        if not container.streams.video:
            return
        times = _frame_times(container)
    if times is None:
        return
    number = {time: index for index, time in enumerate(times)}
    wanted = [index for index in wanted if index < len(times)]
    with open_video(path) as container:
        stream = _Stream(container)
        frames, position = stream.frames(), -1
        if wanted and stream.decoder.name in ("h264", "hevc"):
            next(frames, None)  # what it says of how frames are shown holds for the others; see `_Stream.frames`
            container.seek(0, stream=stream.stream)
            frames = stream.frames()
        for index in wanted:
            if index - position > SEEK_GAP:
                container.seek(times[index], stream=stream.stream, backward=True)
                frames, expected = stream.frames(), None
            else:
                expected = position + 1
            for frame in frames:
                position = -1 if frame.pts is None else number.get(frame.pts, -1)
                if position < 0 or position > index or (expected is not None and position != expected):
                    return
                expected = position + 1
                if position == index:
                    yield stream.pixels(frame)
                    break
            else:
                return
