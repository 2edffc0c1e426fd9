"""How a process uses its memory: what is freed again, as on CPUs a new page costs more than the arithmetic on it, and weights once.

glibc serves large tensors with pages fresh from the system, and each is a fault when it is first written. Elsewhere than on glibc
the first two functions have no effect.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools

import torch
from torch import nn

# glibc learns from a block that is freed, if it is no larger than 32 MB: from then on it takes blocks up to that size from its heap,
# and gives the heap's end back to the system only when twice that much is free there.
LARGEST_LEARNED = 31 * 2**20


@functools.cache
def reuse_freed_memory() -> None:
    """Let glibc keep what tensors of up to 31 MB free for those that follow, once in a process.

    A model asks for the same memory again in every layer and step. The block that teaches this is never written, so it takes no
    memory; a process that frees a tensor of that size by itself behaves no differently. It holds for the main thread: heaps of others
    have limits of their own. glibc does not learn where its own settings are given, such as MALLOC_MMAP_THRESHOLD_.
    """
    torch.empty(LARGEST_LEARNED, dtype=torch.uint8, device="cpu")


def keep_freed_memory() -> None:
    """Let glibc keep all memory that is freed, for a process that is the program's own.

    A training step frees and asks for the same gigabytes again.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt, trim_threshold, mmap_max = ctypes.CDLL("libc.so.6").mallopt, -1, -4
        mallopt(trim_threshold, -1)
        mallopt(mmap_max, 0)


def lay_channels_last(model: nn.Module) -> nn.Module:
    """Copy all weights and buffers, those of convolutions channels-last; gives the model back.

    Weights lie in the file that they were loaded from, mapped into memory, until they are copied. `model.to(memory_format=...)` copies
    those of convolutions alone, and the others keep all of the file mapped, beside the copies.
    """
    for parameter in model.parameters():
        layout = torch.channels_last if parameter.ndim == 4 else torch.preserve_format
        parameter.data = parameter.data.clone(memory_format=layout)
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            # A new tensor: one that was loaded is a view, and would keep what it is a view of.
            setattr(module, name, buffer.clone())
    return model
