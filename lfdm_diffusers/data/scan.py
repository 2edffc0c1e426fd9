"""Checks every clip before training: those that cannot be used are named and left out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ..files.progress import progress_bar
from .cache import ClipReader
from .clips import Clip, UnreadableClipError


@dataclass(frozen=True)
class BadClip:
    """A clip that cannot be used, and why, in words."""

    clip: Clip
    reason: str


@dataclass(frozen=True)
class ScanReport:
    """What a scan found.

    Attributes:
        clips: those that can be used, in their order, with `num_frames`.
        bad: the others.
        notes: what `find_clips` had to say.
    """

    clips: list[Clip]
    bad: list[BadClip]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line a note, one a bad clip, one that counts, and one that counts labels."""
        lines = [*self.notes, *(f"left out: {bad.reason}" for bad in self.bad)]
        frames = sum(clip.num_frames or 0 for clip in self.clips)
        labelled = sum(1 for clip in self.clips if clip.label)
        lines.append(f"{len(self.clips)} clips with {frames} frames can be used, {len(self.bad)} cannot.")
        if self.clips:
            lines.append(f"{labelled} of {len(self.clips)} clips have a label.")
        return "\n".join(lines)


def scan_clips(
    clips: Sequence[Clip],
    reader: ClipReader,
    min_frames: int = 2,
    strict: bool = False,
    workers: int = 0,
    progress: bool = True,
) -> ScanReport:
    """Decode every frame of every clip; with a cached reader this fills the cache.

    Args:
        clips: as `find_clips` gives them.
        reader: what training will read with.
        min_frames: clips with fewer are too short; 2 is the least that shows motion.
        strict: raise if any clip cannot be used.
        workers: threads that decode side by side (decoders do not hold Python's lock); 0 decodes in this one.
        progress: show a progress bar.

    Raises:
        ValueError: if no clip can be used; or, when strict, if any cannot, naming all of them.
    """
    return report_of(clips, look_at_clips(clips, reader, min_frames, workers, progress), min_frames, strict)


def look_at_clips(
    clips: Sequence[Clip], reader: ClipReader, min_frames: int, workers: int, progress: bool
) -> list[int | str]:
    """Of each clip its number of frames, or why it cannot be used; arguments as in `scan_clips`."""
    if min_frames < 1:
        raise ValueError(f"`min_frames` must be 1 or more, got {min_frames}.")
    if workers < 0:
        raise ValueError(f"`workers` must be 0 or more, got {workers}.")

    def look(clip: Clip) -> int | str:
        return _look(clip, reader, min_frames)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        seen = map(look, clips) if workers == 0 else pool.map(look, clips)
        return list(progress_bar(seen, total=len(clips), unit="clip", desc="scan", disable=not progress))


def report_of(clips: Sequence[Clip], seen: Sequence[int | str], min_frames: int, strict: bool) -> ScanReport:
    """What `look_at_clips` has seen of clips, as a report; raises as `scan_clips`."""
    good = [replace(clip, num_frames=told) for clip, told in zip(clips, seen) if isinstance(told, int)]
    bad = [BadClip(clip, told) for clip, told in zip(clips, seen) if isinstance(told, str)]
    report = ScanReport(good, bad, list(getattr(clips, "notes", ())))
    if report.bad and (strict or not report.clips):
        raise ValueError(f"`clips` must be readable, with {min_frames} frames or more each.\n{report}")
    return report


def _look(clip: Clip, reader: ClipReader, min_frames: int) -> int | str:
    try:
        length = reader.check(clip)
    except UnreadableClipError as error:
        return str(error)
    if length == 0:
        return f"{clip.name}: it has no frames"
    if clip.stop is not None and length < clip.stop - clip.start:
        return f"{clip.name}: the file ends {clip.stop - clip.start - length} frames before the clip does"
    if length < min_frames:
        return f"{clip.name}: too short: {length} frame{'s' * (length > 1)}, at least {min_frames} needed"
    return length
