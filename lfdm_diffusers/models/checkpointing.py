"""Blocks that keep their input alone where gradients are checkpointed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn


@contextlib.contextmanager
def buffers_put_back(module: nn.Module) -> Iterator[None]:
    """Let `module` work on copies of its buffers, and put the buffers themselves back afterwards."""
    kept = [(part, name, buffer) for part in module.modules() for name, buffer in part.named_buffers(recurse=False)]
    for part, name, buffer in kept:
        setattr(part, name, buffer.clone())
    try:
        yield
    finally:
        for part, name, buffer in kept:
            setattr(part, name, buffer)


class RecomputedCall:
    """Calls `block.compute` with `options`; only the first call changes the block's buffers, BatchNorm's running statistics.

    Gradient checkpointing calls a second time, in the backward pass, to compute again what it did not keep.
    """

    def __init__(self, block: CheckpointedBlock, options: dict[str, Any]):
        self.block, self.options, self.called = block, options, False

    def __call__(self, *args: torch.Tensor) -> torch.Tensor:
        with buffers_put_back(self.block) if self.called else contextlib.nullcontext():
            self.called = True
            return self.block.compute(*args, **self.options)


class CheckpointedBlock(nn.Module):
    """Base of blocks that diffusers' `enable_gradient_checkpointing` can switch to keeping their input only."""

    _gradient_checkpointing_func: Callable[..., torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.gradient_checkpointing = False  # diffusers sets it, and the function above

    def compute(self, *args: Any, **options: Any) -> torch.Tensor:
        """What the block computes."""
        raise NotImplementedError

    def forward(self, *args: torch.Tensor, **options: Any) -> torch.Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(RecomputedCall(self, options), *args)
        return self.compute(*args, **options)
