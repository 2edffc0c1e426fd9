"""What a test could leave behind in torch, and chance that is the same in every test."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator

import numpy as np
import torch

DEVICES = ("cpu", "cuda")


def seed_everything(seed: int = 0) -> None:
    """Seed Python's, numpy's and torch's own generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


DISPATCH = "diffusers.models.attention_dispatch"


def autocast_nesting() -> int:
    """How many autocasts have been entered and not left."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


def attention_backend() -> object:
    """The backend that diffusers' attention takes where none is asked for; None if diffusers is not loaded."""
    return sys.modules[DISPATCH]._AttentionBackendRegistry.get_active_backend()[0] if DISPATCH in sys.modules else None


@contextlib.contextmanager
def restored_torch_state() -> Iterator[None]:
    """Afterwards, autocast, default dtype, gradients, threads and precision of products are as before, whatever happens in the block."""
    autocast = {device: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in DEVICES}
    cached, dtype = torch.is_autocast_cache_enabled(), torch.get_default_dtype()
    nesting, backend = autocast_nesting(), attention_backend()
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
        # An autocast that was entered and never left would keep its casts of weights for ever.
        while autocast_nesting() > nesting:
            torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        if attention_backend() is not backend:
            sys.modules[DISPATCH]._AttentionBackendRegistry.set_active_backend(backend or "native")
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = products
        if torch.are_deterministic_algorithms_enabled() != deterministic:  # setting it imports torch's compiler
            torch.use_deterministic_algorithms(deterministic)
