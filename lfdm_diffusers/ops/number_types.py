"""Code of other packages makes tensors of torch's default type; here it finds the usual one, whatever a program has chosen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_inside = 0


@contextmanager
def float32_by_default() -> Iterator[None]:
    """In the block, tensors made without a type are float32 where a program has set `torch.set_default_dtype(torch.float64)`.

    torch has one such type for all threads, so the block should be short. It may be entered by several at a time; the last to
    leave brings float64 back. Other types, as libraries set them while they load half-precision weights, are left alone.
    """
    global _inside
    with _lock:
        mine = _inside > 0 or torch.get_default_dtype() == torch.float64
        _inside += mine
        if _inside == 1 and mine:
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _lock:
            _inside -= mine
            if mine and not _inside:
                torch.set_default_dtype(torch.float64)
