"""Clips as files: GIF, animated WebP, H.264, VP9 or FFV1 video, or a folder of PNG; each whole or not there at all."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import PIL.Image

from ..files.whole import whole
from .chance import random_stream
from .video_files import ffmpeg_name

SUFFIXES = {"gif": ".gif", "mp4": ".mp4", "webm": ".webm", "mkv": ".mkv", "webp": ".webp", "png": ""}
CODECS = {
    "mp4": ("libx264", {"crf": "12", "preset": "medium"}),
    "webm": ("libvpx-vp9", {"crf": "12", "b": "0"}),
    "mkv": ("ffv1", {}),
}
CONTAINERS = {"mkv": "matroska"}
PALETTE_PIXELS = 2**15  # what a palette is made from; more take longer and change it little


def clip_path(folder: Path, name: str, format: str) -> Path:
    """Where a clip called `name` of `format` belongs in `folder`; a folder of frames for "png"."""
    return folder / f"{name}{SUFFIXES[format]}"


def write_clip(path: Path, frames: np.ndarray, format: str, fps: int) -> None:
    """Write frames under a temporary name, then rename; an earlier clip of that name is replaced.

    Args:
        path: of the file, or for "png" of the folder that gets 0000.png, 0001.png, ...
        frames: `(F, H, W, 3)` uint8.
        format: "gif" (one palette of 256 colours for the clip, without dithering), "webp" (animated, lossless,
            but frames like the one before are merged into it), "mp4" (H.264), "webm" (VP9; both 4:2:0, nearly lossless, an odd
            side gets its last row or column twice), "mkv" (FFV1 in RGB: lossless, every frame), or "png".
        fps: frames a second, 1 or more; a GIF holds whole hundredths of a second, so that its frames may differ by one.

    Raises:
        ValueError: for another format.
    """
    if format not in SUFFIXES:
        raise ValueError(f"`format` must be one of {', '.join(SUFFIXES)}, got {format!r}.")
    with whole(path) as part:
        if format == "png":
            part.mkdir()
            for i, frame in enumerate(frames):
                PIL.Image.fromarray(frame).save(part / f"{i:04d}.png")
        elif format == "gif":
            _save_animation(part, _with_one_palette(frames), frame_times(len(frames), fps, 10), optimize=False)
        elif format == "webp":
            pictures = [PIL.Image.fromarray(frame) for frame in frames]
            _save_animation(part, pictures, frame_times(len(frames), fps, 1), lossless=True)
        else:
            try:
                _write_video(part, frames, format, fps)
            except av.FFmpegError as error:
                raise OSError(error.errno, f"the {format} encoder says: {error.strerror}", str(part)) from error


def frame_times(count: int, fps: int, unit: int) -> list[int]:
    """How long each frame is shown, in milliseconds, multiples of `unit` whose sum is right however long the clip."""
    ends = [round(1000 * (i + 1) / fps / unit) * unit for i in range(count)]
    return [end - start for start, end in zip([0, *ends], ends)]


def _save_animation(path: Path, pictures: list[PIL.Image.Image], durations: list[int], **options) -> None:
    first, *others = pictures
    if not others:
        durations = durations[0]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, **options)


def _with_one_palette(frames: np.ndarray) -> list[PIL.Image.Image]:
    """Frames in the 256 colours that suit all of them best: what stands still then looks still.

    Colours count by the root of their frequency, so that a wide background leaves some for eyes and mouth.
    """
    pixels = frames.reshape(-1, 3)
    if len(pixels) > PALETTE_PIXELS:
        pixels = pixels[random_stream(0).integers(0, len(pixels), PALETTE_PIXELS)]
    packed, counts = np.unique(
        pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32), return_counts=True
    )
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)
    weighted = np.repeat(colours, np.ceil(np.sqrt(counts)).astype(int), axis=0)
    palette = PIL.Image.fromarray(weighted[None]).quantize(256, method=PIL.Image.Quantize.MEDIANCUT, kmeans=1)
    return [PIL.Image.fromarray(f).quantize(palette=palette, dither=PIL.Image.Dither.NONE) for f in frames]


def _write_video(path: Path, frames: np.ndarray, format: str, fps: int) -> None:
    """Encode with PyAV; but for FFV1, RGB is converted to 4:2:0 by the BT.601 matrix, and the file says so."""
    codec, options = CODECS[format]
    lossless = codec == "ffv1"
    if not lossless:
        frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    # A browser plays an mp4 while it loads only if the index stands in front.
    container_options = {"movflags": "faststart"} if format == "mp4" else {}
    with av.open(
        ffmpeg_name(path), "w", format=CONTAINERS.get(format, format), options=container_options
    ) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        if lossless:
            stream.pix_fmt = "bgr0"
        else:
            stream.pix_fmt = "yuv420p"
            # SMPTE 170M (BT.601), limited range
            stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
