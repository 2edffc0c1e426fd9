"""Losses that pull a predicted motion to the true one, and to rest where nothing moves. Neither is in the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..data.motion_maps import motion_maps
from ..ops.warp import sampling_grid

OCCLUSION_SHARE = 0.1  # of the occlusion's cross entropy, beside end-point errors of a tenth of a place and more
SAME_COLOR = 4 / 255  # pictures that differ by less do not differ: compression, and noise of cameras
AROUND = 1 / 8  # of the picture's side, to either hand: a flat surface that moves differs at its borders only


def true_motion_losses(
    flow: torch.Tensor,
    occlusion: torch.Tensor,
    true_flow: torch.Tensor,
    visibility: torch.Tensor,
    centers: bool,
    weight: float = 1.0,
) -> dict[str, torch.Tensor]:
    """End-point error where something is visible, in places of the flow's map, and cross entropy of occlusion and visibility.

    Args:
        flow: `(B, 2, h, w)` absolute sampling grid.
        occlusion: `(B, 1, h, w)` in [0, 1].
        true_flow: `(B, 2, H, W)` residual, H and W multiples of h and w.
        visibility: `(B, 1, H, W)`: 1 where the true flow has a meaning, and the picture is a warp of the reference.
        centers: the grid that `flow` starts from, as in `sampling_grid`.
        weight: of the first; the second has a tenth of it.
    """
    wanted, seen = motion_maps(true_flow, visibility, (flow.shape[-2], flow.shape[-1]))
    error = (_residual(flow, centers) - wanted) * _half_sides(flow)
    return {
        "true_flow": weight * (seen * _length(error)).mean(),
        "true_occlusion": weight * OCCLUSION_SHARE * F.binary_cross_entropy(occlusion, seen),
    }


def still_loss(flow: torch.Tensor, reference: torch.Tensor, driving: torch.Tensor, centers: bool) -> torch.Tensor:
    """Mean length of the motion, in places of the flow's map, where two pictures and all around do not differ.

    Args:
        flow: `(B, 2, h, w)` absolute sampling grid.
        reference, driving: `(B, 3, H, W)` in [0, 1].
        centers: as in `true_motion_losses`.
    """
    difference = F.adaptive_max_pool2d(
        (driving - reference).abs().amax(dim=1, keepdim=True).float(), (flow.shape[-2], flow.shape[-1])
    )
    reach = [int(side * AROUND) for side in flow.shape[-2:]]  # in places of the flow's map
    around = F.max_pool2d(difference, [2 * each + 1 for each in reach], stride=1, padding=reach)
    still = (around < SAME_COLOR).float()
    return (still * _length(_residual(flow, centers) * _half_sides(flow))).mean()


def _residual(flow: torch.Tensor, centers: bool) -> torch.Tensor:
    return flow - sampling_grid(flow.shape[-2], flow.shape[-1], flow.device, centers).movedim(-1, 0)


def _half_sides(flow: torch.Tensor) -> torch.Tensor:
    """Places that a grid's step of 1 goes, (2, 1, 1): x, y."""
    height, width = flow.shape[-2:]
    return flow.new_tensor([width / 2, height / 2])[:, None, None]


def _length(error: torch.Tensor) -> torch.Tensor:
    """(B, 1, h, w); with a gradient at zero."""
    return (error.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
