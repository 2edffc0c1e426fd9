"""Little clips in every format, whose frames can be told apart: frame i is of grey level `level(i)` in its left half."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import PIL.Image

CODECS = {
    ".mp4": "libx264",
    ".mov": "libx264",
    ".avi": "mpeg4",
    ".webm": "libvpx-vp9",
    ".mkv": "libvpx",
    ".wmv": "wmv2",
    ".3gp": "mpeg4",
    ".ts": "libx264",
    ".flv": "flv1",
    ".mjpeg": "mjpeg",
}
# (a b u, c d v) of a track's matrix as it is, and a quarter turn to the right (ISO/IEC 14496-12, 8.3.2).
MATRICES = ((1, 0, 0, 0, 1, 0), (0, 1, 0, -1, 0, 0))
PICTURES = (".gif", ".webp", ".png")


def level(index: int) -> int:
    """Twelve levels, far enough apart for any codec; neighbours are never alike."""
    return 16 + 20 * (index * 5 % 12)


def frames_of(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    """(count, height, width, 3) uint8: left half grey of the frame's level, right half red."""
    frames = np.zeros((count, height, width, 3), dtype=np.uint8)
    frames[..., 0] = 200
    for index in range(count):
        frames[index, :, : width // 2] = level(index)
    return frames


def told(frames: np.ndarray) -> list[int]:
    """The level of every frame (F, H, W, 3), rounded to the nearest there is."""
    height, width = frames.shape[1:3]
    means = frames[:, : height // 2, : max(1, width // 3)].mean((1, 2, 3))
    return [16 + 20 * round((mean - 16) / 20) for mean in means]


def write_video(path: Path, frames: np.ndarray, title: str = "", **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(CODECS[path.suffix], rate=20, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if path.suffix == ".mjpeg" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def turned_clockwise(path: Path) -> Path:
    """The same mov or mp4 file, which now asks to be shown a quarter turn to the right, as a phone's does."""
    data = bytearray(path.read_bytes())
    plain, turned = (struct.pack(">9i", *(number << 16 for number in matrix), 0, 0, 1 << 30) for matrix in MATRICES)
    start = data.index(plain, data.index(b"tkhd"))  # the track's matrix, not the movie's
    data[start : start + len(plain)] = turned
    path.write_bytes(data)
    return path


def write_animation(path: Path, frames: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [PIL.Image.fromarray(frame) for frame in frames]
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, duration=50, loop=0, **lossless)
    return path


def write_folder(path: Path, frames: np.ndarray, name: str = "{:04d}.png") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        PIL.Image.fromarray(frame).save(path / name.format(index))
    return path


def write_clip(path: Path, count: int = 3, height: int = 32, width: int = 48) -> Path:
    """A clip of the format that the path's suffix says; a folder of pictures without one."""
    frames = frames_of(count, height, width)
    if path.suffix in CODECS:
        return write_video(path, frames)
    return write_animation(path, frames) if path.suffix in PICTURES else write_folder(path, frames)
