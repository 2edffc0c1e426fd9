"""Frames of videos in other formats and sizes, the same in every run, and without their transparency."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

# One thread: where several share a frame, FFmpeg takes a few values of odd widths from elsewhere, other ones in every run. PyAV 14
# had one anyway, and no argument for it.
ONE_THREAD: dict[str, Any] = {"threads": 1} if "threads" in (VideoReformatter.reformat.__doc__ or "") else {}


def reformatted(converter: VideoReformatter, frame: av.VideoFrame, **wanted: Any) -> av.VideoFrame:
    """A frame in the format and size `wanted`, as `VideoReformatter.reformat` names them."""
    return converter.reformat(frame, **wanted, **ONE_THREAD)


def pixels_over_white(frames: np.ndarray) -> np.ndarray:
    """`(..., 4)` uint8 on white, `(..., 3)`; three channels stay as they are."""
    if frames.shape[-1] != 4:
        return frames
    alpha = frames[..., 3:].astype(np.uint16)
    return ((frames[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
