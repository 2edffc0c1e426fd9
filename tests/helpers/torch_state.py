"""What a test could leave behind in torch, and chance that is the same in every test."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

DEVICES = ("cpu", "cuda")


def seed_everything(seed: int = 0) -> None:
    """Seed Python's, numpy's and torch's own generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextlib.contextmanager
def restored_torch_state() -> Iterator[None]:
    """Afterwards, autocast, default dtype, gradients, threads and precision of products are as before, whatever happens in the block."""
    autocast = {device: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in DEVICES}
    cached, dtype = torch.is_autocast_cache_enabled(), torch.get_default_dtype()
    gradients, threads = torch.is_grad_enabled(), torch.get_num_threads()
    products = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        for device, (enabled, half) in autocast.items():
            torch.set_autocast_enabled(device, enabled)
            torch.set_autocast_dtype(device, half)
        torch.set_autocast_cache_enabled(cached)
        torch.clear_autocast_cache()
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = products
        torch.use_deterministic_algorithms(deterministic)
