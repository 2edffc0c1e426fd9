"""Whether an operation may take a faster way than its formula; every `choose` of this folder asks here first."""

from __future__ import annotations

import torch
from torch import nn

from .thresholds import current

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def may_be_faster(x: torch.Tensor, any_device: bool = False) -> bool:
    """Whether operations on `x` may take faster ways.

    Compilers and exports (torch says of both that it is compiling) take the formulas: a program then holds whatever the sizes, and
    none of them is a reason to compile again. So do devices other than CPUs, for which nothing here was measured, unless a way is
    one for `any_device`, as it saves arithmetic.
    """
    # In this order: a compiler reads no further, and no threshold becomes one of its guards.
    if torch.compiler.is_compiling() or not (any_device or x.device.type == "cpu"):
        return False
    return current().faster_ways


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module is of this very class, and its weight and bias are all there is to it: no adapter, no quantised weight, and
    no hook, torch's or in place of `forward`."""
    plain = type(module) is kind and type(module.weight) is nn.Parameter and "forward" not in vars(module)
    return plain and not any(getattr(module, name) for name in HOOKS)
