"""The CPU at hand: the precisions that it has instructions for, and how a process uses its memory.

On a CPU a new page of memory costs more than the arithmetic on it. glibc serves large tensors with pages fresh from the system, and
each is a fault when it is first written; so what is freed is kept and used again. Elsewhere than on glibc `reuse_freed_memory` and
`keep_freed_memory` have no effect.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from diffusers.utils import logging
from torch import nn

logger = logging.get_logger(__name__)

CHECKS = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


def has_instructions(dtype: torch.dtype) -> bool:
    """Whether torch's library of convolutions and products computes in this type on the CPU at hand; else numbers are widened and
    rounded on the way, which takes several times as long as float32. True where torch cannot tell."""
    known = dtype in CHECKS and platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available()
    return getattr(torch.ops.mkldnn, CHECKS[dtype])() if known else True


Network = TypeVar("Network", bound=nn.Module)


@functools.cache
def advise_precision(device: torch.device, dtype: torch.dtype) -> None:
    """Warn, once, of a precision that makes a CPU slower instead of faster."""
    if device.type == "cpu" and not has_instructions(dtype):
        name = str(dtype).removeprefix("torch.")
        logger.warning(f"This processor has no instructions for {name}: float32 is several times as fast on it.")


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


def lay_channels_last(model: Network) -> Network:
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


def concatenate_chunks(chunks: Iterable[Sequence[torch.Tensor]], frames: int) -> tuple[torch.Tensor, ...]:
    """Join chunks, each of some tensors `(B, F', ...)`, to tensors `(B, F, ...)` of all frames, contiguous and each in memory of its own.

    Each chunk is copied to its place as it comes: small results that are kept between large ones that are freed would leave holes in
    memory that nothing fits into.
    """
    whole: tuple[torch.Tensor, ...] = ()
    done = 0
    for chunk in chunks:
        whole = whole or tuple(x.new_empty(x.shape[0], frames, *x.shape[2:]) for x in chunk)
        for all_frames, some in zip(whole, chunk):
            all_frames[:, done : done + some.shape[1]] = some
        done += chunk[0].shape[1]
        del chunk, some  # before the next is made
    return whole
