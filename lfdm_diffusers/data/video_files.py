"""Frames of video files (mp4, webm, avi, mov, ...), with PyAV, whose wheel carries FFmpeg."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".mpg", ".mpeg", ".wmv")

# Decoding this many frames costs about as much as reading a file's table of times and seeking in it.
SEEK_GAP = 48

# PyAV before 19 refuses names that are not UTF-8 unless it is told otherwise; PyAV 19 takes them and is not to be told.
LENIENT_NAMES = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def video_frames(path: Path, indices: Sequence[int] | None = None, seek: bool = True) -> Iterator[np.ndarray]:
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
        frame, found = None, 0
        for index, frame in enumerate(_decoded(container)):
            if wanted is None:
                yield _rgb(frame)
            elif index == wanted[found]:
                yield _rgb(frame)
                found += 1
                if found == len(wanted):
                    return
        if wanted is None and frame is not None:
            _require_complete(container, frame)


def open_video(path: Path) -> av.container.InputContainer:
    """A video file to read from: titles and comments that are not UTF-8 (old avi files have them) do not matter."""
    return av.open(ffmpeg_name(path), **LENIENT_NAMES)


def ffmpeg_name(path: Path) -> str:
    """The name of a file that FFmpeg takes for one: before a colon in a relative path it would see a protocol."""
    return os.path.abspath(path)


def frame_rate(path: Path) -> float | None:
    """Frames a second of a video file's first video stream; None where the file does not say, or is no video."""
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return None
    try:
        with open_video(path) as container:
            rate = container.streams.video[0].average_rate
            return float(rate) if rate else None
    except (av.FFmpegError, IndexError):
        return None


def _decoded(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    if not container.streams.video:
        raise OSError("it has no video stream")
    # One thread: data loaders and scans run many readers side by side.
    container.streams.video[0].codec_context.thread_count = 1
    return container.decode(container.streams.video[0])


def _require_complete(container: av.container.InputContainer, last: av.VideoFrame) -> None:
    """Raise OSError if the frames end well before the file's duration: avi and Matroska play on when they are cut off.

    With sound the duration may be the sound's, so that only the video stream's own is believed.
    """
    stream = container.streams.video[0]
    if stream.duration is not None:
        duration = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        duration = container.duration / av.time_base
    else:
        return
    if last.time is None or stream.average_rate is None:
        return
    first = 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)
    end = last.time - first + float(1 / stream.average_rate)
    if end < 0.9 * duration - 0.05:
        raise OSError(f"it is cut off: its frames end after {end:.2f} of {duration:.2f} seconds")


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    array = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # counter-clockwise
    return np.ascontiguousarray(np.rot90(array, turns)) if turns else array


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


def _seeking(path: Path, wanted: Sequence[int]) -> Iterator[np.ndarray]:
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
        stream = container.streams.video[0]
        frames, position = _decoded(container), -1
        for index in wanted:
            if index - position > SEEK_GAP:
                container.seek(times[index], stream=stream, backward=True)
                frames, expected = container.decode(stream), None
            else:
                expected = position + 1
            for frame in frames:
                position = number.get(frame.pts, -1)
                if position < 0 or position > index or (expected is not None and position != expected):
                    return
                expected = position + 1
                if position == index:
                    yield _rgb(frame)
                    break
            else:
                return
