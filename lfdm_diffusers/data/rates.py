"""How fast a video or animated picture plays, from its own times."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

import av

from .picture_files import shown_times
from .suffixes import is_video, may_be_animated
from .video_files import open_video

PACKETS = 5000  # of a video that are looked at; more would not change the rate of its motion
SHORTEST = 10  # milliseconds; what asks for no more is shown for `INSTEAD`, as browsers do
INSTEAD = 100


def frame_rate(path: Path) -> float | None:
    """Frames a second at which a clip moves; None of a folder, a single picture, and what does not say.

    Frames that are held, as at the end of a recording, do not count: frames are shown one as long as the other.
    """
    try:
        if path.is_dir():
            return None
        if is_video(path):
            return _video_rate(path)
        if may_be_animated(path):
            times = [INSTEAD if time <= SHORTEST else time for time in shown_times(path)]
            return _rate([time / 1000 for time in times]) if len(times) > 1 else None
    except (av.FFmpegError, OSError, ValueError, SyntaxError, EOFError, IndexError):  # broken: reading it says so
        pass
    return None


def _video_rate(path: Path) -> float | None:
    with open_video(path) as container:
        stream = container.streams.video[0]
        packets = itertools.islice(container.demux(stream), PACKETS)
        stamps = [packet.dts if packet.pts is None else packet.pts for packet in packets if packet.size]
        times = sorted({stamp for stamp in stamps if stamp is not None})
        seen = _rate([float((b - a) * (stream.time_base or 0)) for a, b in itertools.pairwise(times)])
        said = float(stream.average_rate) if stream.average_rate else None
        # Times are rounded, so that what the file says is more exact, if it is true.
        return said if seen is None or (said and abs(seen / said - 1) < 0.01) else seen


def _rate(seconds: Sequence[float]) -> float | None:
    """Frames a second that are shown so long each: the mean of what is near to the median."""
    if not seconds:
        return None
    usual = statistics.median(seconds)
    near = [time for time in seconds if 0.5 * usual < time < 1.5 * usual]
    return round(len(near) / sum(near), 6) if near and usual > 0 else None
