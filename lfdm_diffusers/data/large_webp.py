"""Large WebP pictures, decoded by FFmpeg and averaged.

Pillow decodes every WebP as an animation, by libwebp's WebPAnimDecoder with its two canvases: with what it gives out, 15 bytes a pixel.
FFmpeg's decoder keeps the numbers as they are stored, a byte and a half a pixel where nothing is transparent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import av
import numpy as np
import PIL.Image

DECODER, ALIGNED = "webp", 128
# R, G and B of (Y - 16, U - 128, V - 128) of ITU-R BT.601, which lossy WebP stores.
BT601 = np.array(
    [[255 / 219, 0, 1.402 * 255 / 224], [255 / 219, -0.344136 * 255 / 224, -0.714136 * 255 / 224],
     [255 / 219, 1.772 * 255 / 224, 0]], np.float32,
)  # fmt: skip


def averaged_webp(image: Any, factor: int, rows: int) -> PIL.Image.Image | None:
    """A still WebP of which each `factor` x `factor` pixels are one, with what the file says of its colours and orientation.

    Args:
        image: as Pillow has opened it; one that is decoded already is left to Pillow.
        factor: 2, 4, ...
        rows: that are converted at a time.

    Returns:
        RGB or RGBA; None if it is Pillow's to decode: an animation, or a file that this decoder does not take.
    """
    if image.n_frames != 1 or image.fp is None or DECODER not in av.codecs_available:
        return None
    image.fp.seek(0)  # Pillow has read it whole
    data = image.fp.read()
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(DECODER, "r"))
    decoder.thread_count = 1
    # The header was asked, and what is behind it may claim more; FFmpeg rounds sides up before it compares.
    decoder.options = {"max_pixels": str((image.width + ALIGNED) * (image.height + ALIGNED))}
    try:
        frames = decoder.decode(av.Packet(data))
    except av.FFmpegError:
        return None
    if len(frames) != 1 or (frames[0].width, frames[0].height) != image.size:
        return None
    planes = [_numbers(plane, frames[0].format.name) for plane in frames[0].planes]
    if frames[0].format.name == "yuv420p":
        small = _averaged_yuv(planes, factor)
    elif frames[0].format.name in ("yuva420p", "argb"):
        small = PIL.Image.new("RGBA", (-(-image.width // factor), -(-image.height // factor)))
        for top, band in _bands(planes, max(2, rows // factor * factor)):
            small.paste(band.reduce(factor), (0, top // factor))
    else:
        return None
    small = small.convert(image.mode)
    small.info = dict(image.info)
    return small


def _numbers(plane: Any, format: str) -> np.ndarray:
    """`(H, W)` or `(H, W, 4)` uint8 in the frame's own memory."""
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    if format == "argb":
        return lines[:, : 4 * plane.width].reshape(plane.height, plane.width, 4)
    return lines[:, : plane.width]


def _averaged_yuv(planes: list[np.ndarray], factor: int) -> PIL.Image.Image:
    """Averages are the same before the colours are made as after it."""
    factors = factor, factor // 2, factor // 2
    averages = [np.asarray(PIL.Image.fromarray(plane).reduce(each)) for plane, each in zip(planes, factors)]
    return PIL.Image.fromarray(_rgb(averages))


def _rgb(yuv: list[np.ndarray]) -> np.ndarray:
    """`(H, W, 3)` of Y, U and V of one size."""
    stored = np.stack(yuv, -1).astype(np.float32) - np.array([16, 128, 128], np.float32)
    return (stored @ BT601.T + 0.5).clip(0, 255).astype(np.uint8)


def _bands(planes: list[np.ndarray], height: int) -> Iterator[tuple[int, PIL.Image.Image]]:
    """A picture with alpha in bands of `height` rows, which is even, and where each begins: colours count by their alpha."""
    for top in range(0, len(planes[0]), height):
        if len(planes) == 1:
            pixels = planes[0][top : top + height][..., [1, 2, 3, 0]]
        else:
            light, alpha = (plane[top : top + height] for plane in (planes[0], planes[3]))
            colors = [
                plane[top // 2 : (top + height) // 2].repeat(2, 0).repeat(2, 1)[: light.shape[0], : light.shape[1]]
                for plane in planes[1:3]
            ]
            pixels = np.dstack((_rgb([light, *colors]), alpha))
        yield top, PIL.Image.fromarray(pixels)
