"""What the texts of a training have in common: the few directions in which their embeddings differ."""

from __future__ import annotations

import torch

# Directions that are kept at most; docs/text.md says what more and fewer do.
MOST_AXES = 48


def principal_axes(pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean `(D,)` and the principal axes `(K, D)` of pooled embeddings `(N, D)`; K is at most half of N and of D (but one),
    so that texts of the same kind, too, have something beside the axes to be measured by."""
    mean = pooled.float().mean(dim=0)
    count = max(min(MOST_AXES, len(pooled) // 2, pooled.shape[1] // 2), 1)
    return mean, torch.linalg.svd(pooled.float() - mean, full_matrices=False).Vh[:count]


def beside_axes(pooled: torch.Tensor, mean: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
    """Length of what no mixture of the axes explains in pooled embeddings `(B, D)`: `(B,)`."""
    away = pooled.float() - mean.float()
    return (away - away @ axes.float().T @ axes.float()).norm(dim=1)
