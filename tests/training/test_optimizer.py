"""Fused Adam against the plain one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lfdm_diffusers.training.optimizer import build_optimizer


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fused_adam_equals_the_plain_one_whatever_the_layout(layout):
    generator, start = torch.Generator().manual_seed(0), torch.randn(4, 3, 3, 3)
    fused, plain = (nn.Parameter(start.clone(memory_format=layout)) for _ in range(2))
    optimizers = build_optimizer([fused], 1e-2, (0.5, 0.9)), torch.optim.Adam([plain], 1e-2, (0.5, 0.9))
    for _ in range(5):
        gradient = torch.randn(4, 3, 3, 3, generator=generator)
        for weight, optimizer in zip((fused, plain), optimizers):
            weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(fused, plain)


def test_fused_adam_goes_on_from_averages_of_another_layout():
    start, gradients = torch.randn(4, 3, 3, 3), torch.randn(4, 4, 3, 3, 3)
    plain = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([plain], 1e-2)
    for number, gradient in enumerate(gradients):
        if number == 2:
            fused = nn.Parameter(plain.detach().clone(memory_format=torch.channels_last))
            resumed = build_optimizer([fused], 1e-2, (0.9, 0.999))
            saved = copy.deepcopy(optimizer.state_dict()["state"])
            resumed.load_state_dict(resumed.state_dict() | {"state": saved})
        plain.grad = gradient.clone()
        optimizer.step()
        if number >= 2:
            fused.grad = gradient.clone()
            resumed.step()
    torch.testing.assert_close(fused, plain)
