"""Warps on a CPU: the rows of a table of features are gathered and weighted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .choice import may_be_faster
from .thresholds import current


def choose(feature: torch.Tensor, padding_mode: str) -> Callable[..., torch.Tensor] | None:
    """The faster way for `warp.resample`, with its arguments; None where that is the formula."""
    if not may_be_faster(feature) or padding_mode not in ("zeros", "border"):
        return None
    return gather_resample if feature.shape[1] >= current().gathered_channels else None


class RowGradients(torch.autograd.Function):
    """Weighted sums of a table's rows, with the gradient for the table: weighted sums of their gradients' rows.

    `embedding_bag` has a gradient of its own, but adds up row by row.
    """

    @staticmethod
    def forward(
        ctx: Any,
        sums: torch.Tensor,
        table: torch.Tensor,
        index: torch.Tensor,
        weights: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(index, weights)
        ctx.rows = len(table)
        return sums.view_as(sums)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        index, weights = ctx.saved_tensors
        uses, order = index.flatten().sort()
        first = torch.searchsorted(uses, torch.arange(ctx.rows))
        weights = weights.flatten()[order]
        rows = F.embedding_bag(
            order // index.shape[1], gradient.contiguous(), first, per_sample_weights=weights, mode="sum"
        )
        return gradient, rows, None, None


def gather_resample(feature: torch.Tensor, grid: torch.Tensor, padding_mode: str) -> torch.Tensor:
    """What `resample` computes, of "zeros" or "border": each place is a weighted sum of four rows of a table of features.

    Rows are a place's channels, one after the other in memory: on CPUs 4 to 5 times faster than `grid_sample`, which reads each
    channel by itself, and already channels-last.
    """
    batch, count, height, width, _ = grid.shape
    channels, rows, columns = feature.shape[1:]
    table = feature.float().permute(0, 2, 3, 1).reshape(-1, channels)
    corners: list[torch.Tensor] = []
    shares: list[torch.Tensor] = []
    for position, size in zip(grid.float().unbind(-1), (columns, rows)):
        position = ((position + 1) * size - 1) / 2
        least, most = (-1, size) if padding_mode == "zeros" else (0, size - 1)
        position = position.nan_to_num(-1.0).clamp(least, most)
        before = position.floor()
        corner = torch.stack((before, before + 1), dim=-1)
        share = torch.stack((before + 1 - position, position - before), dim=-1)
        shares.append(share * ((corner >= 0) & (corner < size)))
        corners.append(corner.clamp(0, size - 1).long())
    index = corners[1][..., :, None] * columns + corners[0][..., None, :]  # (B, N, h, w, 2, 2)
    if feature.shape[0] > 1:
        index = index + torch.arange(batch).view(-1, 1, 1, 1, 1, 1) * (rows * columns)
    index, weights = index.view(-1, 4), (shares[1][..., :, None] * shares[0][..., None, :]).view(-1, 4)
    out = F.embedding_bag(index, table.detach(), per_sample_weights=weights, mode="sum")
    if torch.is_grad_enabled() and table.requires_grad:
        out = RowGradients.apply(out, table, index, weights.detach())
    return out.to(feature.dtype).view(batch * count, height, width, channels).permute(0, 3, 1, 2)
