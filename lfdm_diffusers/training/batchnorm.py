"""BatchNorm's running statistics: averaged over processes, and checked to be finite."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def synchronise_batchnorm(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` with BatchNorms that see the batches of all processes, where there are several, each with a GPU."""
    if device.type == "cuda" and _several_processes():
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model


def average_running_statistics(model: nn.Module) -> None:
    """Give every process the mean of all processes' BatchNorm statistics; nothing to do where there is one process.

    BatchNorm that is not synchronised sees its own process's share of a batch. Training does not read the running
    statistics, so this changes what is saved and validated, not the course of training.
    """
    if not _several_processes():
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            for statistic in (module.running_mean, module.running_var):
                if statistic is not None:
                    dist.all_reduce(statistic)
                    statistic /= dist.get_world_size()


def set_batchnorm_training(model: nn.Module, training: bool) -> None:
    """Whether the BatchNorms of `model` use the batch's statistics (and update the running ones)."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train(training)


def require_finite(model: nn.Module, step: int) -> None:
    """Raise FloatingPointError if a weight or a running statistic of `model` is NaN or infinite."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise FloatingPointError(f"{name} is not finite after step {step}.")
