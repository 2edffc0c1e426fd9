"""Motion as the U-Net diffuses it and as the decoder uses it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..models.blocks_2d import sampling_grid


def beside(flow: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """A grid `(h, w, 2)` as `(1, 2, 1, h, w)`, to be added to `flow` `(B, 2, F, h, w)`."""
    return grid.to(flow.device, flow.dtype).permute(2, 0, 1)[None, :, None]


def volume_to_motion(volume: torch.Tensor, unet_config: Mapping) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow and occlusion that a denoised volume stands for, as the U-Net's configuration says.

    Args:
        volume: `(B, 3, F, h, w)`.
        unet_config: its `target_mean`, `target_std` and `flow_target`.

    Returns:
        Flow `(B, 2, F, h, w)`, an absolute sampling grid, and occlusion `(B, 1, F, h, w)` in [0, 1].
    """
    mean, std = (volume.new_tensor(unet_config[name]).view(1, -1, 1, 1, 1) for name in ("target_mean", "target_std"))
    motion = volume * std + mean
    flow, occlusion = motion[:, :2], motion[:, 2:3].clamp(0, 1)
    if unet_config["flow_target"] == "residual":
        flow = flow + beside(flow, sampling_grid(*flow.shape[-2:], centers=True))
    return flow, occlusion


def scale_motion(flow: torch.Tensor, occlusion: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Interpolate from stillness (0) to the motion as generated (1), and beyond it (exaggerated).

    Stillness is the grid of pixel centres (see `sampling_grid`) with nothing occluded. Beyond 1 the flow is extrapolated and the occlusion stays as
    generated, as nothing says what a larger motion would uncover.

    Args:
        flow, occlusion: `(B, 2, F, h, w)` and `(B, 1, F, h, w)`.
    """
    if scale == 1.0:
        return flow, occlusion
    still = beside(flow, sampling_grid(*flow.shape[-2:], centers=True))
    flow = torch.lerp(still.expand_as(flow), flow, scale)
    return flow, torch.lerp(torch.ones_like(occlusion), occlusion, min(max(scale, 0.0), 1.0))
