"""The true motion of clips as models learn it: residual flow, and on an auto-encoder's smaller maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..ops.warp import sampling_grid
from .clips import Clip
from .true_motion import true_motion


def residual_motion(clip: Clip, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`true_motion` of a clip whose pictures have this size.

    Returns:
        flow `(F, 2, H, W)` float32, less the grid of pixel centres; visibility `(F, 1, H, W)` float32.

    Raises:
        ValueError: as `true_motion` does; if the motion has another size.
    """
    flow, visibility = (torch.from_numpy(each).float() for each in true_motion(clip))
    if flow.shape[2:] != (height, width):
        raise ValueError(
            f"The true motion of {clip.name} has {flow.shape[3]}x{flow.shape[2]} pixels, and is not stretched: pictures must have "
            f"that size, got {width}x{height}."
        )
    return flow - sampling_grid(height, width, centers=True).movedim(-1, 0), visibility


def motion_maps(
    flow: torch.Tensor, visibility: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """True motion on smaller maps: of each place the mean flow of what is visible there, and its share.

    Args:
        flow, visibility: `(B, 2, H, W)` residual and `(B, 1, H, W)`; H and W are multiples of the size.
        size: h, w.

    Returns:
        flow `(B, 2, h, w)`, residual, of a place that is hidden all over the mean of all its pixels; occlusion `(B, 1, h, w)` in
        [0, 1].
    """
    seen = F.adaptive_avg_pool2d(visibility, size)
    of_seen = F.adaptive_avg_pool2d(flow * visibility, size) / seen.clamp(min=1e-3)
    return torch.where(seen > 0, of_seen, F.adaptive_avg_pool2d(flow, size)), seen
