"""Sets of clips of one size and length that are scored: real ones as they are sampled, generated ones as they are."""

from __future__ import annotations

import functools
import hashlib
import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..data.cache import ClipReader
from ..data.clips import Clip, ClipList, iterate_frames
from ..data.labels import normalized_label
from ..data.layouts import find_clips
from ..data.named_sets import NamedSet
from ..data.picture_files import frame_files
from ..data.sampling import sample_indices
from ..data.scan import scan_clips
from ..data.suffixes import LOSSLESS_SUFFIXES, is_video
from ..data.video_files import open_video
from ..files.packed import Packed, open_file


@dataclass(frozen=True, eq=False)  # as keys, sets are told apart as objects
class VideoSet:
    """Clips to score, each sampled to as many frames.

    Attributes:
        clips: with `num_frames`, as a scan returns them.
        reader: gives frames of one size.
        num_frames: F, evenly spaced from a clip's first to its last frame.
    """

    clips: list[Clip]
    reader: ClipReader
    num_frames: int

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def labels(self) -> list[str]:
        """As they are compared: in one case, and one way of writing accents."""
        return [normalized_label(clip.label) for clip in self.clips]

    @property
    def subjects(self) -> list[str]:
        return [clip.subject for clip in self.clips]

    def indices(self, index: int) -> np.ndarray:
        """Which frames of its file are taken of one clip, `(F,)`."""
        clip = self.clips[index]
        length = self.reader.length(clip)
        return sample_indices("uniform", length, self.num_frames)

    def frames(self, index: int) -> torch.Tensor:
        """One clip, `(F, 3, H, W)` uint8."""
        frames = self.reader.read(self.clips[index], self.indices(index))
        return torch.from_numpy(self.reader.place(frames)).permute(0, 3, 1, 2).contiguous()

    def batches(self, size: int) -> Iterator[torch.Tensor]:
        """All clips in their order, `(B, F, 3, H, W)` uint8, B at most `size`."""
        for first in range(0, len(self), size):
            yield torch.stack([self.frames(i) for i in range(first, min(first + size, len(self)))])

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all pixels, labels and subjects: the same clips in another folder have the same."""
        digest = hashlib.sha256(f"{self.num_frames} {self.reader.height}x{self.reader.width}".encode())
        for index, clip in enumerate(self.clips):
            digest.update(json.dumps([clip.label, clip.subject]).encode())
            digest.update(self.frames(index).numpy().tobytes())
        return digest.hexdigest()


def find_real_clips(
    folder: Path | NamedSet | ClipList,
    split: str | None,
    layout: str,
    reader: ClipReader,
    num_frames: int,
    count: int | None = None,
    progress: bool = True,
    option: str = "split",
) -> VideoSet:
    """The clips of a split that can be read and are long enough.

    Args:
        folder, layout: as `root` and `layout` of `find_clips`.
        split: "test", ...; None takes all clips.
        num_frames: F; shorter clips are left out, as repeating their last frame would make other clips of them.
        count: take so many, evenly spread; None takes all.
        option: the argument that names the split, for messages.

    Raises:
        ValueError: if there are none, or fewer than `count`; says which splits there are.
    """
    name = "the data set" if isinstance(folder, ClipList) else folder
    found = find_clips(folder, layout, name="data")
    chosen = [clip for clip in found if split is None or clip.split == split]
    if not chosen:
        splits = sorted({clip.split for clip in found} - {""})
        raise ValueError(
            f"`{option}` must be one that {name} has ({', '.join(splits) or f'it has none: leave {option} out'}), got {split!r}."
        )
    report = scan_clips(chosen, reader, min_frames=num_frames, progress=progress)
    for told in (*found.notes, *(f"left out: {bad.reason}" for bad in report.bad)):
        print(told, file=sys.stderr)  # stdout is for results
    if count is not None and count > len(report.clips):
        raise ValueError(
            f"`num_real` must be at most {len(report.clips)}, the clips of {name} that `{option}` chooses, got {count}."
        )
    clips = report.clips if count is None else [report.clips[i] for i in spread_draws(count, len(report.clips))]
    return VideoSet(clips, reader, num_frames)


def find_generated_clips(
    folder: Path, height: int, width: int, num_frames: int, allow_lossy: bool = False
) -> VideoSet:
    """A folder of clips that a model has made, which must be exactly what it made.

    Args:
        folder: any layout that `find_clips` knows.
        height, width, num_frames: of the real clips.
        allow_lossy: take GIF, video files and lossy WebP all the same.

    Raises:
        ValueError: if a clip is lossy, or has another size or length; names the first, and how many there are.
    """
    clips, lossy, other = [], [], []
    for clip in find_clips(folder):
        frames = list(iterate_frames(clip))
        if not is_lossless(clip.file):
            lossy.append(clip.name)
        sizes = {frame.shape[:2] for frame in frames}
        if len(frames) != num_frames or sizes != {(height, width)}:
            shape = " and ".join(f"{w}x{h}" for h, w in sorted(sizes)) or "no"
            other.append(f"{clip.name} ({len(frames)} frames of {shape} pixels)")
        clips.append(Clip(clip.path, clip.label, clip.subject, num_frames=len(frames), packed=clip.packed))
    if other:
        raise ValueError(
            f"generated clips must have {num_frames} frames of {width}x{height} pixels like the real ones; {len(other)} of "
            f"{len(clips)} have not, such as {other[0]}."
        )
    if lossy and not allow_lossy:
        raise ValueError(
            f"{len(lossy)} of {len(clips)} generated clips are in lossy files, such as {lossy[0]}: compression moves FVD by "
            "more than models differ. Score lossless WebP or PNG, or say `allow_lossy`, which the receipt then says too."
        )
    return VideoSet(clips, ClipReader(height, width), num_frames)


def is_lossless(file: Path | Packed) -> bool:
    """Whether a clip's file, or all files of its folder, hold pixels exactly: PNG and the like, lossless WebP, FFV1 in RGB."""
    path = file.path if isinstance(file, Packed) else file
    if path.is_dir():
        return all(is_lossless(frame) for frame in frame_files(path))
    if is_video(path):
        with open_video(file) as container:
            codec = container.streams.video[0].codec_context
            return codec.name == "ffv1" and codec.format is not None and codec.format.is_rgb
    if path.suffix.lower() == ".webp":
        with open_file(file) as opened:
            return _webp_chunks(opened.read()) <= {b"VP8L"}
    return path.suffix.lower() in LOSSLESS_SUFFIXES


def _webp_chunks(data: bytes) -> set[bytes]:
    """The kinds of pictures in a WebP file: b"VP8L" lossless, b"VP8 " lossy (WebP container specification)."""
    kinds, stack = set(), [(12, len(data))]  # after RIFF, size, WEBP
    while stack:
        at, end = stack.pop()
        while at + 8 <= end:
            name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
            if name == b"ANMF":
                stack.append((at + 8 + 16, min(at + 8 + size, end)))  # a frame: 16 bytes of header, then chunks
            elif name in (b"VP8L", b"VP8 "):
                kinds.add(name)
            at += 8 + size + size % 2
    return kinds


def spread_draws(count: int, of: int) -> list[int]:
    """`count` numbers below `of`, evenly spread; if `count` is more, all of them again and again."""
    whole, rest = divmod(count, of)
    return [*list(range(of)) * whole, *np.floor(np.arange(rest) * of / max(rest, 1)).astype(int).tolist()]
