"""Frames at training size: read from the clip every time, or decoded once and kept on disk.

The cache holds one file a clip: uint8 frames, already scaled, without the black bars of a letterbox. Taking two frames
reads two frames: plain files are memory-mapped, compressed ones are archives. So data sets larger than memory work.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL.Image
import torch

from ..files.whole import whole
from .clips import Clip, UnreadableClipError, count_frames, iterate_frames, read_clip
from .picture_files import frame_files
from .picture_fitting import FITS, place_picture, scale_to_fit

VERSION = 2  # raised whenever the same clip and settings would give other pixels or another file


class WebPFrames:
    """Frames in an archive of lossless WebP pictures: `len(frames)`, `frames[array of numbers]` (F, h, w, 3) uint8.

    Raises:
        zipfile.BadZipFile: if the file is not a whole archive.
    """

    def __init__(self, path: Path):
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.names = archive.namelist()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        distinct, where = np.unique(indices, return_inverse=True)
        with zipfile.ZipFile(self.path) as archive:
            files = [io.BytesIO(archive.read(self.names[index])) for index in distinct]
        return np.stack([np.asarray(PIL.Image.open(file).convert("RGB")) for file in files])[where]


def write_webp_frames(file: BinaryIO, frames: np.ndarray) -> None:
    """Write frames (F, h, w, 3) uint8 as `WebPFrames` reads them."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for index, frame in enumerate(frames):
            picture = io.BytesIO()
            # method 0 encodes ten times as fast as the default, for files that are a fifth larger
            PIL.Image.fromarray(frame).save(picture, "WEBP", lossless=True, quality=0, method=0)
            archive.writestr(f"{index:06d}.webp", picture.getvalue())


class ClipReader:
    """Frames of clips, scaled to fit height x width.

    Args:
        height, width: of the finished pictures in pixels.
        fit: "letterbox" or "center_crop", as in `fit_picture`.
    """

    def __init__(self, height: int, width: int, fit: str = "letterbox"):
        for name, side in (("height", height), ("width", width)):
            if side < 1:
                raise ValueError(f"`{name}` must be 1 or more, got {side}.")
        if fit not in FITS:
            raise ValueError(f"`fit` must be one of {', '.join(map(repr, FITS))}, got {fit!r}.")
        self.height, self.width, self.fit = height, width, fit
        self._lengths: dict[Clip, int] = {}

    def count(self, clip: Clip) -> int:
        """Number of frames; remembered, because counting decodes a video.

        Raises:
            UnreadableClipError: if it cannot be read.
        """
        if clip not in self._lengths:
            self._lengths[clip] = count_frames(clip)
        return self._lengths[clip]

    def length(self, clip: Clip) -> int:
        """Number of frames: what a scan has noted, else counted."""
        return self.count(clip) if clip.num_frames is None else clip.num_frames

    def check(self, clip: Clip) -> int:
        """Number of frames, after decoding all of them.

        Raises:
            UnreadableClipError: if one cannot be decoded.
        """
        return sum(1 for _ in iterate_frames(clip))

    def read(self, clip: Clip, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames `indices` (any order, repeats allowed) of a clip, (F, h, w, 3) uint8, without black bars.

        Raises:
            UnreadableClipError, ValueError: as `read_clip`.
        """
        return read_clip(clip, indices, self.scale)

    def scale(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (h, w, 3) uint8: in a letterbox without its bars, else height x width."""
        picture = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
        picture = scale_to_fit(picture, self.height, self.width, self.fit)
        if self.fit != "letterbox":
            picture = place_picture(picture, self.height, self.width)
        return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())

    def place(self, frames: np.ndarray) -> np.ndarray:
        """(F, h, w, 3) uint8 as `read` gives them -> (F, height, width, 3) with the bars."""
        pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        return np.ascontiguousarray(place_picture(pictures, self.height, self.width).permute(0, 2, 3, 1).numpy())


class CachedClipReader(ClipReader):
    """The same, from a folder of decoded clips; what is not there yet is decoded and added.

    A file appears under its name only when it is complete, so that processes may share the folder and be stopped at any
    time. A clip whose file, size or time of change differs from when it was cached is decoded again.

    Args:
        folder: where the cache is; made when the first clip is kept. It may be deleted at any time between runs.
        height, width, fit: as in `ClipReader`. Sizes may share a folder.
        compress: keep frames as lossless WebP: about half the size, for about half a millisecond a frame of 128 x 128.
    """

    def __init__(self, folder: str | Path, height: int, width: int, fit: str = "letterbox", compress: bool = False):
        super().__init__(height, width, fit)
        self.compress = compress
        self.folder = Path(folder)
        self._paths: dict[Clip, Path] = {}

    def count(self, clip: Clip) -> int:
        return len(self._frames(clip))

    def check(self, clip: Clip) -> int:
        return len(self._frames(clip))

    def read(self, clip: Clip, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        frames = self._frames(clip)
        asked = np.asarray(indices, dtype=np.int64)
        if asked.size == 0 or asked.min() < 0 or asked.max() >= len(frames):
            raise ValueError(f"`indices` must be from 0 to {len(frames) - 1} for {clip.name}, got {asked.tolist()}.")
        return np.asarray(frames[asked])

    def path(self, clip: Clip) -> Path:
        """The cache's file for a clip, whether it is there or not."""
        if clip not in self._paths:
            about = (VERSION, self.height, self.width, self.fit, clip.start, clip.stop, clip.crop, clip_state(clip))
            key = hashlib.sha256(repr(about).encode()).hexdigest()[:32]
            self._paths[clip] = self.folder / key[:2] / f"{key}{'.zip' if self.compress else '.npy'}"
        return self._paths[clip]

    def _frames(self, clip: Clip) -> np.ndarray | WebPFrames:
        """(T, h, w, 3) uint8, of which only what is asked for is read."""
        path, opened = self.path(clip), WebPFrames if self.compress else partial(np.load, mmap_mode="r")
        try:
            return opened(path)
        except (ValueError, EOFError, zipfile.BadZipFile):  # cut short, by a full disk or a power cut
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        self._write(clip, path)
        return opened(path)

    def _write(self, clip: Clip, path: Path) -> None:
        frames = read_clip(clip, change=self.scale)
        with whole(path, durable=False) as part, open(part, "wb") as file:
            write_webp_frames(file, frames) if self.compress else np.save(file, frames)


def clip_state(clip: Clip) -> tuple:
    """What changes when a clip's file does: path, size and time of change. Of a packed clip they are those of the file that holds it, of a
    folder those of all its pictures.

    Raises:
        UnreadableClipError: if it is not there.
    """
    try:
        if clip.packed is not None:
            return clip.packed.state()
        path = clip.path.resolve()
        if not path.is_dir():
            stat = path.stat()
            return str(path), stat.st_size, stat.st_mtime_ns
        stats = [(file.name, file.stat()) for file in frame_files(path)]
        return str(path), tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
    except OSError as error:
        raise UnreadableClipError(f"{clip.name}: {error.strerror or error}") from error
