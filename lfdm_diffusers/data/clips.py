"""A clip of any kind -> its frames: video files, animated pictures, folders of pictures.

read_clip("smile.mp4")                # (F, H, W, 3) uint8
read_clip("smile.webp", [0, 7, 7])    # three frames
clip = Clip("gesture01/g01s03.avi", label="I Have Command", start=100, stop=148, crop=(30, 10, 290, 239))
read_clip(clip, [0, 47])              # frames 100 and 147 of the file, cut to 229 x 260
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.limits import TooLargeError, require_bytes
from ..files.names import printable
from ..files.packed import Packed
from ..files.reading import require_plain_file
from .cut_files import CUT_OFF, missing_bytes
from .picture_files import animation_frames, animation_length, folder_frames, frame_files
from .suffixes import ANIMATION_SUFFIXES, VIDEO_SUFFIXES, is_video, may_be_animated
from .video_files import video_frames


class UnreadableClipError(ValueError):
    """A clip whose frames cannot be read; the message names the clip and the reason."""


@dataclass(frozen=True)
class Clip:
    """Where a clip is and what is known about it; no frames.

    Attributes:
        path: video file, animated picture, or folder of pictures; of a packed clip its name.
        label: what happens in it, the text condition; "" if unknown.
        subject: who does it; "" if unknown.
        split: "train", "test", "validation", or "" if the data set does not say.
        start, stop: frames of the file that belong to the clip, half-open; stop None is the file's end.
        crop: (left, top, right, bottom) in pixels of the file's frames, cut out before anything else; None is all.
        num_frames: frames of the clip, once something (a scan) has counted them.
        texts: sentences that say what happens, beside the label or in its place.
        packed: where a clip's file lies that is none of the file system, such as a member of a tar.
    """

    path: Path
    label: str = ""
    subject: str = ""
    split: str = ""
    start: int = 0
    stop: int | None = None
    crop: tuple[int, int, int, int] | None = None
    num_frames: int | None = None
    texts: tuple[str, ...] = ()
    packed: Packed | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.start < 0 or (self.stop is not None and self.stop < self.start):
            raise ValueError(f"`start` and `stop` must be 0 <= start <= stop, got {self.start} and {self.stop}.")

    @property
    def file(self) -> Path | Packed:
        """What is read."""
        return self.packed or self.path

    @property
    def name(self) -> str:
        """The path in printable characters, with the range of frames if it is not the whole file."""
        whole = self.start == 0 and self.stop is None
        return printable(self.path) + ("" if whole else f"[{self.start}:{'' if self.stop is None else self.stop}]")


class ClipList(list[Clip]):
    """Clips, with notes about their folder.

    Attributes:
        notes: sentences about what was not read, or read in an unexpected way.
        tables: files that name the clips.
    """

    def __init__(self, clips: Iterable[Clip] = (), notes: Iterable[str] = (), tables: Iterable[Path] = ()):
        super().__init__(clips)
        self.notes, self.tables = list(notes), list(tables)


def iterate_frames(clip: Clip | str | Path, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
    """The frames of a clip, one by one, so that no clip need fit into memory.

    Args:
        clip: a `Clip` or a path.
        indices: ascending numbers of frames, counted from the clip's start, without repeats; None is all.

    Yields:
        (H, W, 3) uint8, all of one size; fewer than asked for if the clip is shorter.

    Raises:
        UnreadableClipError: naming the clip and the reason.
    """
    clip = clip if isinstance(clip, Clip) else Clip(Path(clip))
    if indices is not None:
        indices = [clip.start + index for index in indices if clip.stop is None or clip.start + index < clip.stop]
        if not indices:
            return
    elif clip.stop is not None:
        indices = range(clip.start, clip.stop)
    elif clip.start:
        indices = range(clip.start, _file_length(clip))
    size = None
    try:
        for frame in _open(clip, indices):
            if size is not None and frame.shape != size:
                raise OSError(f"its frames differ in size: {size[1]}x{size[0]} and {frame.shape[1]}x{frame.shape[0]}")
            size = frame.shape
            yield _cropped(frame, clip.crop)
    except UnreadableClipError:
        raise
    except Exception as error:  # decoders raise many kinds: FFmpegError, OSError, SyntaxError, EOFError, ...
        raise UnreadableClipError(f"{clip.name}: {_reason(error, clip.file)}") from error


def read_clip(
    clip: Clip | str | Path,
    indices: Sequence[int] | np.ndarray | None = None,
    change: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Frames of a clip, (F, H, W, 3) uint8.

    Args:
        clip: a `Clip` or a path.
        indices: numbers of frames from 0, counted from the clip's start, in any order and with repeats; None is all.
        change: done to every frame (H, W, 3) as it is decoded, such as scaling, so that a clip at its full size need
            not fit into memory.

    Raises:
        UnreadableClipError: naming the clip and the reason, which may be that it has no frames.
        ValueError: for an index that the clip does not have.
    """
    clip = clip if isinstance(clip, Clip) else Clip(Path(clip))
    change = change or np.asarray
    if indices is None:
        frames = _held(clip, map(change, iterate_frames(clip)))
        if not frames:
            raise UnreadableClipError(f"{clip.name}: it has no frames")
        return np.stack(frames)
    distinct, where = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    if distinct.size == 0 or distinct[0] < 0:
        raise ValueError(f"`indices` must be one or more numbers of 0 or more, got {list(indices)}.")
    frames = _held(clip, map(change, iterate_frames(clip, distinct.tolist())))
    if len(frames) < len(distinct):
        raise ValueError(
            f"`indices` asks for frame {distinct[len(frames)]} of {clip.name}, which has {count_frames(clip)} frames."
        )
    return np.stack(frames)[where.reshape(-1)]


def count_frames(clip: Clip | str | Path) -> int:
    """Number of frames in a clip. A video is decoded for it: what its header says may be missing or wrong.

    Raises:
        UnreadableClipError: naming the clip and the reason.
    """
    clip = clip if isinstance(clip, Clip) else Clip(Path(clip))
    if clip.num_frames is not None:
        return clip.num_frames
    if _is_video(clip):
        return sum(1 for _ in iterate_frames(clip))
    length = _file_length(clip)
    return max(0, (length if clip.stop is None else min(clip.stop, length)) - clip.start)


def _reason(error: Exception, file: Path | Packed) -> str:
    """In words; system and FFmpeg errors repeat number and path in their text. A decoder that stumbles seldom says that a file is cut."""
    words = (getattr(error, "strerror", None) or str(error) or type(error).__name__).removeprefix(f"{file} ")
    with contextlib.suppress(OSError):  # it may be gone
        if CUT_OFF not in words and (isinstance(file, Packed) or file.is_file()) and missing_bytes(file):
            return f"{CUT_OFF} ({words})"
    return words


def _held(clip: Clip, frames: Iterable[np.ndarray]) -> list[np.ndarray]:
    """All frames at once, as long as that is not too much memory."""
    held: list[np.ndarray] = []
    total = 0
    for frame in frames:
        total += 2 * frame.nbytes  # they are stacked later
        try:
            require_bytes(total, f"the first {len(held) + 1} frames take")
        except TooLargeError as error:
            raise UnreadableClipError(f"{clip.name}: {error}") from error
        held.append(frame)
    return held


def _is_video(clip: Clip) -> bool:
    return is_video(clip.path) and (clip.packed is not None or not clip.path.is_dir())


def _open(clip: Clip, indices: Sequence[int] | None) -> Iterator[np.ndarray]:
    file = clip.file
    if isinstance(file, Path):
        if not file.exists():
            raise OSError("there is no such file or folder")
        if file.is_dir():
            return folder_frames(file, indices)
    require_plain_file(file)
    if _is_video(clip):
        return video_frames(file, indices)
    if may_be_animated(clip.path):
        return animation_frames(file, indices)
    known = ", ".join(sorted({*VIDEO_SUFFIXES, *ANIMATION_SUFFIXES}))
    raise UnreadableClipError(f"{printable(clip.path)}: clips are folders of pictures or files ending in {known}")


def _file_length(clip: Clip) -> int:
    """Frames of the whole file behind a clip."""
    file = clip.file
    try:
        if isinstance(file, Path) and file.is_dir():
            return len(frame_files(file))
        if _is_video(clip):
            return sum(1 for _ in video_frames(file))
        return animation_length(file)
    except Exception as error:
        raise UnreadableClipError(f"{clip.name}: {_reason(error, file)}") from error


def _cropped(frame: np.ndarray, crop: tuple[int, int, int, int] | None) -> np.ndarray:
    if crop is None:
        return frame
    left, top, right, bottom = crop
    height, width = frame.shape[:2]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise OSError(f"its frames of {width}x{height} are too small for the crop (left, top, right, bottom) {crop}")
    return frame[top:bottom, left:right]
