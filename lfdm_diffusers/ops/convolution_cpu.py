"""Convolutions on a CPU in less time than the library's, where they keep the size of a map or double it.

* Few places with many channels are one matrix product, backward too: reading the weights is all the work, and the library's
  convolution copies them around first.
* Many places with many channels are multiplied less (`winograd.py`), in float32.
* Few output channels, as those of a picture, are convolved column by column.
* Nearest-neighbour doubling and convolution are one transposed convolution.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from .choice import is_plain, may_be_faster
from .thresholds import current
from .winograd import TILE, winograd_conv2d

Way = Callable[[torch.Tensor], torch.Tensor]


def choose(conv: nn.Conv2d, x: torch.Tensor) -> Way | None:
    """A faster way to the convolution of maps `x` `(N, C, h, w)`; None where that is the library's."""
    if not may_be_faster(x) or not keeps_size(conv):
        return None
    for way, suits in ((by_winograd, can_use_winograd), (by_columns, has_few_channels), (by_product, has_few_places)):
        if suits(conv, x):
            return functools.partial(way, conv)
    return None


def choose_doubled(conv: nn.Conv2d, x: torch.Tensor) -> Way | None:
    """A faster way to the convolution of maps `x` `(N, C, h, w)` doubled by their nearest neighbours; None where there is none."""
    if not may_be_faster(x) or not is_plain(conv, type(conv)) or not keeps_size(conv) or conv.kernel_size != (3, 3):
        return None
    return functools.partial(by_transposition, conv) if places(x) >= current().doubled_places else None


def keeps_size(conv: nn.Conv2d) -> bool:
    """Whether it has stride 1, an odd kernel and zeros around the map, and a weight that is what it seems to be."""
    settings = (conv.stride, conv.dilation, conv.groups, conv.padding_mode)
    size = conv.kernel_size[0]
    same = conv.kernel_size == (size, size) and size % 2 == 1 and conv.padding == (size // 2,) * 2
    return settings == ((1, 1), (1, 1), 1, "zeros") and same and type(conv.weight) is nn.Parameter


def is_single(conv: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether all is float32."""
    return x.dtype == conv.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def places(x: torch.Tensor) -> int:
    """Of all maps `(N, C, h, w)` together."""
    return x[:, 0].numel()


def can_use_winograd(conv: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether `by_winograd` computes this sooner. (In half precision its transforms would lose digits.)"""
    least = current()
    if not least.winograd or conv.kernel_size != (3, 3) or not is_single(conv, x):
        return False
    few = min(conv.in_channels, conv.out_channels) < least.winograd_channels
    few = few or conv.in_channels * conv.out_channels < least.winograd_pairs
    return not few and min(x.shape[2:]) >= TILE and places(x) >= least.winograd_tiles * TILE**2


def has_few_channels(conv: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether `by_columns` computes this sooner. (In half precision its sums would be rounded one by one.)"""
    limit = current()
    few = conv.out_channels <= limit.column_channels and conv.kernel_size[1] >= limit.column_kernel
    return limit.columns and few and is_single(conv, x)


def has_few_places(conv: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether `by_product` computes this sooner."""
    return places(x) * current().product_channels <= conv.out_channels


def by_winograd(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    return winograd_conv2d(x, conv.weight, conv.bias)


def by_columns(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """The sum of what each column of the kernel gives: all are output channels of one convolution, then moved to their places."""
    size, around = conv.kernel_size[0], conv.kernel_size[0] // 2
    columns = conv.weight.permute(3, 0, 1, 2).flatten(0, 1)[..., None]  # (size * C_out, C_in, size, 1)
    out = F.conv2d(x, columns, padding=(around, 0)).unflatten(1, (size, -1))  # (N, size, C_out, h, w)
    out = F.pad(out, (around, around))
    moved = (out[:, i, ..., i : i + x.shape[-1]] for i in range(size))
    out = sum(moved, start=next(moved))
    return out if conv.bias is None else out + conv.bias[:, None, None]


def by_product(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """The product of the weight and all places' neighbourhoods."""
    size, around, weight = conv.kernel_size[0], conv.kernel_size[0] // 2, conv.weight
    near = F.pad(x, (around,) * 4).unfold(2, size, 1).unfold(3, size, 1)  # (N, C, h, w, size, size)
    near = near.permute(0, 2, 3, 1, 4, 5)
    if not weight.is_contiguous():  # channels-last: in the order of its memory, so that it is not copied
        near, weight = near.permute(0, 1, 2, 4, 5, 3), weight.permute(0, 2, 3, 1)
    out = F.linear(near.reshape(places(x), -1), weight.flatten(1), conv.bias)
    return out.view(x.shape[0], *x.shape[2:], -1).permute(0, 3, 1, 2)


def by_transposition(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """The convolution of the doubled `x`, `(N, C_out, 2h, 2w)`, without the doubled map ever being written."""
    return F.conv_transpose2d(x, doubled_weight(conv.weight), conv.bias, stride=2, padding=1)


def doubled_weight(weight: torch.Tensor) -> torch.Tensor:
    """The kernel `(C_in, C_out, 4, 4)` of a transposed convolution of stride 2 that doubles and convolves at once.

    Of the nine places that an output reads after doubling, some are copies of each other: with their weights summed there are four
    products instead of nine.
    """
    spread = weight.new_tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=torch.float32)
    kernel = spread.T @ weight.float().flip(-1, -2) @ spread
    return kernel.transpose(0, 1).to(weight.dtype).contiguous(memory_format=torch.channels_last)
