"""Means over selected pixels, gathered batch by batch."""

from __future__ import annotations

import torch

from ..arguments.checked import checked


class RunningMean:
    """The mean of everything added, each number with the same weight however the batches were cut.

    Attributes:
        total: sum, in float64.
        count: how many numbers were added.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    @checked()
    def add(self, values: torch.Tensor, where: torch.Tensor | None = None) -> RunningMean:
        """Add `values`, or only those where the bool tensor `where`, which broadcasts to their shape, is True."""
        if where is not None:
            values = values[where.expand_as(values)]
        self.total += values.sum(dtype=torch.float64).item()
        self.count += values.numel()
        return self

    @property
    def value(self) -> float:
        """The mean; NaN if nothing was added."""
        return self.total / self.count if self.count else float("nan")
