"""Measured thresholds where each faster way begins; read at each call.

`benchmarks/faster_ways.py` times models with each way on and off, and `benchmarks/convolutions.py` single convolutions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch

CAPABILITY = torch.backends.cpu.get_cpu_capability()


@dataclass(frozen=True)
class Thresholds:
    """What `limits` may change. A place is one position of one map of a batch, a tile 4x4 of them."""

    # Whether there are any faster ways at all: see `plain`.
    faster_ways: bool = True

    # Channels from which a warp gathers rows; `grid_sample` reads maps of fewer sooner. (faster_ways.py: gathered warps)
    gathered_channels: int = 16

    # Places from which doubling and convolution are one transposed convolution; for fewer, the sums of weights cost more than they
    # save. (faster_ways.py: doubling convolutions)
    doubled_places: int = 1024
    # Output channels for each place from which a convolution is a matrix product. (convolutions.py: product)
    product_channels: int = 8
    # Whether vectors hold 8 numbers or 16, which are mostly idle in the library's convolution to at most so many output channels;
    # kernels of at least so many columns fill them. (convolutions.py: columns)
    columns: bool = CAPABILITY in ("AVX2", "AVX512")
    column_channels: int = 4
    column_kernel: int = 5

    # Whether Winograd's convolution beats the library's. It does with the vectors of AVX2; with those of AVX-512, for which the
    # library's convolutions surpass its products of matrices, there is less to gain. (convolutions.py: winograd)
    winograd: bool = CAPABILITY == "AVX2"
    # From so many channels on both sides, pairs of them, and tiles.
    winograd_channels: int = 64
    winograd_pairs: int = 64 * 128
    winograd_tiles: int = 32
    # Bytes of tiles that are transformed at a time: more would leave the cache; for fewer the weights would be read too often.
    winograd_block_bytes: int = 2**23
    # Bytes of transformed weights, four times as large as they were, that are made at once; the C library keeps them (`cpu.py`).
    winograd_weight_bytes: int = 2**24

    # Tokens up to which products of all pairs beat the fused kernel, 1.5 to 2 times (8 heads of 32 features, 40 frames of 32x32 and
    # 16x16 places, float32 and bfloat16). (faster_ways.py: attention by products)
    product_tokens: int = 64
    # Size of logits below which exponentials are taken as they are: times many tokens they stay far inside float32's and bfloat16's
    # range, and so do their inverses. (faster_ways.py: late normalisation)
    late_logit: float = 60.0
    # Bytes of queries of the sequences that attention takes at a time, about a core's cache: of all sequences at once each step would
    # go through memory. (faster_ways.py: attention in blocks)
    attention_block_bytes: int = 2**21
    # Channels up to which positions turn the weights of projections: those of more are read, frame by frame, longer than queries and
    # keys take to be turned. (faster_ways.py: turned weights)
    turned_channels: int = 128
    # Whether linear attention projects values after their sums. (faster_ways.py: projected sums)
    projected_sums: bool = True

    # Bytes of the largest feature map of all frames that are decoded at once. On a CPU more is no faster, and takes memory.
    decoded_bytes_cpu: int = 2**23
    decoded_bytes: int = 2**29


DEFAULTS = Thresholds()
_CURRENT: ContextVar[Thresholds] = ContextVar("thresholds", default=DEFAULTS)


def current() -> Thresholds:
    """The thresholds that hold now; for a compiler, to which they must be constants, the defaults."""
    return DEFAULTS if torch.compiler.is_compiling() else _CURRENT.get()


@contextlib.contextmanager
def limits(**changes: bool | float) -> Iterator[None]:
    """A context, of the thread at hand, in which some of `Thresholds` are others.

    Raises:
        ValueError: for a name that is none of them; lists all.
    """
    names = list(Thresholds.__dataclass_fields__)
    for name in changes:
        if name not in names:
            raise ValueError(f"`limits` takes {', '.join(names)}; got {name!r}.")
    settings: dict[str, Any] = {**changes}
    before = _CURRENT.set(replace(_CURRENT.get(), **settings))
    try:
        yield
    finally:
        _CURRENT.reset(before)


def plain() -> contextlib.AbstractContextManager[None]:
    """A context, of the thread at hand, in which every operation takes its formula."""
    return limits(faster_ways=False)
