"""A generated clip as files show it: its frames, all of them at a size that fits into memory, and the motion that made them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..data.frame_formats import pixels_over_white
from ..data.picture_fitting import fit_picture, over_white, within_bars
from ..pipelines import LFDMPipelineOutput
from ..pipelines.videos import RenderedVideo, pixels_of
from .pixels import enlarge

WATCHABLE = 256  # small pictures are enlarged to about so many pixels, and large ones are seen so beside others


@dataclass(frozen=True)
class MotionViews:
    """What one motion makes of the model's picture.

    Attributes:
        reference: `(h, w, 3)` uint8, the picture as the model sees it.
        frames, warped: `(F, h, w, 3)` uint8: what the decoder made, and the picture warped by the flow alone.
        flow, occlusion: `(F, 2, h', w')`, `(F, 1, h', w')` float32.
    """

    reference: np.ndarray
    frames: np.ndarray
    warped: np.ndarray
    flow: torch.Tensor
    occlusion: torch.Tensor


@dataclass(frozen=True)
class ClipViews:
    """One clip.

    Attributes:
        frames: `(F, H, W, C)` uint8, or rendered when asked for.
        tile: `(h, w, 3)` uint8, the picture; as large as `tiles`.
        tiles: `(F, h, w, 3)` uint8, the frames, of `WATCHABLE` pixels at most unless the model's are larger.
        motions: one, or that of each subject.
    """

    frames: np.ndarray | RenderedVideo
    tile: np.ndarray
    tiles: np.ndarray
    motions: Sequence[MotionViews]

    def beside(self) -> ClipViews:
        """What is needed to show it beside others."""
        return replace(self, frames=self.tiles, motions=[])

    def watched(self, before: Callable[[int], None]) -> ClipViews:
        """The same clip, which calls `before(number)` before it renders a frame; one that is rendered already calls nothing."""
        return replace(self, frames=self.frames.watched(before)) if isinstance(self.frames, RenderedVideo) else self

    def resized(self, scale: int) -> np.ndarray | RenderedVideo:
        """The frames, rendered `scale` times as large (the model's own: enlarged)."""
        if scale == 1:
            return self.frames
        if isinstance(self.frames, RenderedVideo):
            return self.frames.resized(*(side * scale for side in self.frames.shape[1:3]))
        return enlarge(self.frames, scale)


def clip_views(output: LFDMPipelineOutput, picture: torch.Tensor, image_fit: str) -> ClipViews:
    """Of what the pipeline made of one picture, as one video, with `output_type="stream"`.

    Args:
        picture: `(3 or 4, H, W)` in [0, 1], as it was given to the pipeline.
        image_fit: as it was given.
    """
    (frames,), warped = output.frames, output.warped
    flow, occlusion = output.flow.float().cpu(), output.occlusion.float().cpu()
    if not isinstance(frames, RenderedVideo):
        height, width = frames.shape[1:3]
        reference = pixels_of(fit_picture(over_white(picture), height, width, image_fit))
        motion = MotionViews(reference, frames, warped[0], flow[0], occlusion[0])
        rows, columns = within_bars(picture.shape[-2:], height, width, image_fit)
        frames, tile = frames[:, rows, columns], reference[rows, columns]
        return ClipViews(frames, tile, frames, [motion])
    small = frames.resized(*tile_size(*frames.shape[1:3]))
    tiles = np.stack(list(small))
    motions = [
        MotionViews(pixels_of(subject.reference), pixels_of(subject.decoded), *motion)
        for subject, *motion in zip(frames.subjects, warped, flow, occlusion)
        if subject.reference is not None and subject.decoded is not None
    ]
    whole = tiles if small.shape == frames.shape else frames  # rendered once
    return ClipViews(whole, pixels_over_white(small.picture()), pixels_over_white(tiles), motions)


def tile_size(height: int, width: int) -> tuple[int, int]:
    """Height and width with these proportions, of at most `WATCHABLE` pixels a side."""
    factor = min(1.0, WATCHABLE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
