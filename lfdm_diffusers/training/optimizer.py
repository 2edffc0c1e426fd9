"""Adam in the order of the weights' memory, and its learning rate over a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn


def learning_rate(
    base: float, gamma: float, milestones: Sequence[float], step: int, steps: int, warmup_steps: int = 0
) -> float:
    """As torch's MultiStepLR, with milestones in shares of all `steps`: nothing to save, nothing to restore.

    Before `warmup_steps` it rises in a straight line.
    """
    rise = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return rise * base * gamma ** sum(step >= round(share * steps) for share in milestones)


class MemoryOrderAdam(torch.optim.Adam):
    """Adam whose fused step is given weights, gradients and averages in the order of the weights' memory.

    On CPUs that step goes through memory: it would take a gradient, or an average that was saved in another layout, for another
    tensor where it is laid out unlike its weight, and it copies gradients that are channels-last.
    """

    def _init_group(
        self, group: dict[str, Any], weights: list, gradients: list, exp_avgs: list, exp_avg_sqs: list, *others: list
    ) -> bool:
        for weight in group["params"]:
            for name, average in self.state.get(weight, {}).items():
                if name != "step" and average.stride() != weight.stride():
                    self.state[weight][name] = torch.empty_like(weight).copy_(average)
        has_complex = super()._init_group(group, weights, gradients, exp_avgs, exp_avg_sqs, *others)
        orders = [sorted(range(weight.ndim), key=weight.stride, reverse=True) for weight in weights]
        for tensors in (weights, gradients, exp_avgs, exp_avg_sqs):
            tensors[:] = [tensor.permute(order) for tensor, order in zip(tensors, orders)]
        gradients[:] = [gradient.contiguous() for gradient in gradients]
        return has_complex


def build_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    """Adam in one pass over memory for each weight, instead of one for each operation.

    A group may have `lr_scale`, its multiple of a run's learning rate.
    """
    return MemoryOrderAdam(parameters, learning_rate, betas, fused=True)
