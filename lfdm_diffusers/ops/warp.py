"""Warps: the grid that flows start from, reading a feature map at a grid's places, motion at another size, and both for all frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from . import warp_cpu


def sampling_grid(height: int, width: int, device: torch.device | None = None, centers: bool = False) -> torch.Tensor:
    """The grid that flows start from: x = 2i/(W-1) - 1 (corners), or (2i+1)/W - 1 (pixel centres); y likewise.

    Every warp reads grids with `align_corners=False`, where the second is the identity: each place reads itself. The
    first, with which the released models were trained, stretches a picture by W/(W-1), and that is part of what their
    flows mean.

    Returns:
        `(height, width, 2)`, float32, last axis (x, y), values in [-1, 1].
    """
    # Flow is float32 whatever the model's dtype: a bfloat16 coordinate near 1 is off by up to 1/256 of the picture.
    # (arange rather than linspace, which a compiler would specialise on n.)
    y, x = (
        2.0 * (torch.arange(n, dtype=torch.float32, device=device) / max(n - 1, 1)) - (1 if n > 1 else 0)
        for n in (height, width)
    )
    if centers:
        y, x = (side * (n - 1) / n for side, n in ((y, height), (x, width)))
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1)


def resample(feature: torch.Tensor, grid: torch.Tensor, padding_mode: str = "zeros") -> torch.Tensor:
    """Read `feature` at the places that `grid` names: bilinear, `align_corners=False`.

    Args:
        feature: `(B, C, H, W)`, or `(1, C, H, W)` to serve every grid.
        grid: `(B, N, h, w, 2)`, N grids for each feature map, (x, y) in [-1, 1].
        padding_mode: what lies outside, as in `grid_sample`.

    Returns:
        `(B * N, C, h, w)` in `feature`'s dtype, channels-last. The arithmetic is float32.
    """
    batch, count, height, width, _ = grid.shape
    faster = warp_cpu.choose(feature, padding_mode)
    if faster:
        return faster(feature, grid, padding_mode)
    # The N grids of one picture are stacked along the height: one call, and the picture is never repeated.
    out = F.grid_sample(
        feature.float().expand(batch, -1, -1, -1),
        grid.reshape(batch, count * height, width, 2),
        mode="bilinear",
        padding_mode=padding_mode,
        align_corners=False,
    )
    out = out.to(feature.dtype).unflatten(2, (count, height))  # (B, C, N, h, w)
    return out.transpose(1, 2).reshape(batch * count, -1, height, width).contiguous(memory_format=torch.channels_last)


def resize_motion(motion: torch.Tensor, size: Sequence[int], centers: bool) -> torch.Tensor:
    """Flow, with or without occlusion, at another size, bilinearly.

    Args:
        motion: `(N, C, h, w)`; the first two channels are an absolute sampling grid (x, y).
        size: height and width asked for.
        centers: resize the grid's departure from the identity, which is exact up to the borders; else, as the released
            models do, the grid itself.
    """
    if not centers:
        return F.interpolate(motion, size=size, mode="bilinear", align_corners=False)
    still = [
        sampling_grid(height, width, motion.device, centers=True).permute(2, 0, 1).to(motion.dtype)
        for height, width in (motion.shape[-2:], size)
    ]
    before, after = (F.pad(grid, (0, 0, 0, 0, 0, motion.shape[1] - 2)) for grid in still)
    return F.interpolate(motion - before, size=size, mode="bilinear", align_corners=False) + after


class MotionWarp:
    """Warps feature maps by the flow of every frame, and gives the occlusion at their size.

    Args:
        motions: `(B, F, 3, h, w)` each: flow x, flow y, occlusion. The first is resized for maps of no other one's size.
        centers: as in `resize_motion`.
        padding_mode: as in `resample`.
    """

    def __init__(self, motions: Sequence[torch.Tensor], centers: bool, padding_mode: str):
        self.counts = motions[0].shape[:2]
        self.motions = [motion.flatten(0, 1) for motion in motions]  # (B*F, 3, h, w)
        self.centers, self.padding_mode = centers, padding_mode

    def __call__(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """W(feature, f) `(B*F, C, H, W)` and m `(B*F, 1, H, W)`, for `feature` `(B, C, H, W)` or `(1, C, H, W)`."""
        size = feature.shape[-2:]
        same = [motion for motion in self.motions if motion.shape[-2:] == size]
        motion = same[0] if same else resize_motion(self.motions[0], size, self.centers)
        grid = motion[:, :2].movedim(1, -1).unflatten(0, self.counts)  # (B, F, H, W, 2)
        return resample(feature, grid, self.padding_mode), motion[:, 2:].to(feature.dtype)


def blend(painted: torch.Tensor, warped: torch.Tensor, occlusion: torch.Tensor) -> torch.Tensor:
    """m * warped + (1 - m) * painted, in the type of what was painted."""
    return torch.lerp(painted, warped.to(painted.dtype), occlusion.to(painted.dtype))
