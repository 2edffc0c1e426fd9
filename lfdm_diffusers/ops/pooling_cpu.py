"""ReLU and average pooling in training on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .choice import may_be_faster
from .thresholds import current


def choose(x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """A faster way to `avg_pool2d(relu_(x), 2)` of maps `x` `(N, C, h, w)` with a gradient; None where that is the formula."""
    suits = x.requires_grad and x.shape[-2] % 2 == x.shape[-1] % 2 == 0
    return ReluPool.apply if may_be_faster(x) and current().pooled_gradients and suits else None


class ReluPool(torch.autograd.Function):
    """ReLU in place, then 2x2 average pooling, whose gradient is laid out as the map is while it is still small."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        positive = x.relu_()
        ctx.save_for_backward(positive)
        return F.avg_pool2d(positive, 2)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (positive,) = ctx.saved_tensors
        last = positive.is_contiguous(memory_format=torch.channels_last)
        gradient = gradient.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        gradient = F.interpolate(gradient / 4, scale_factor=2, mode="nearest")
        return torch.ops.aten.threshold_backward.grad_input(gradient, positive, 0, grad_input=gradient)
