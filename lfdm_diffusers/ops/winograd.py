"""3x3 convolutions in fewer multiplications, for CPUs on which arithmetic is the limit.

Winograd's F(4x4, 3x3): a tile of 4x4 outputs takes 36 multiplications for a pair of channels instead of 144 (Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1, with their matrices). Tiles are transformed, every one of their 36
numbers is a matrix product over channels, and products are transformed back.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import torch

from .thresholds import current

TILE, READ = 4, 6  # outputs of a tile, and inputs that it reads, a side


@functools.cache
def transforms() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of both axes at once, of a tile's inputs `(36, 36)`, of weights `(36, 9)`, and back to a tile's outputs `(16, 36)`."""
    inputs = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    weights = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # times 24
    outputs = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    scaled = ((inputs, 1), (weights, 24), (outputs, 1))
    # Whatever device a context makes tensors on.
    matrices = (torch.tensor(rows, dtype=torch.float64, device="cpu") / scale for rows, scale in scaled)
    of_inputs, of_weights, to_outputs = (torch.kron(matrix, matrix).float() for matrix in matrices)
    return of_inputs, of_weights, to_outputs


class Tiles:
    """The tiles of a map, and how many of them are worked on at a time."""

    def __init__(self, shape: torch.Size):
        self.count, _, self.height, self.width = shape
        self.rows, self.columns = -(-self.height // TILE), -(-self.width // TILE)

    def padded(self, x: torch.Tensor, around: int) -> torch.Tensor:
        """`x` `(N, C, h, w)` as `(N, h', w', C)`, with whole tiles and zeros around them."""
        rows, columns = self.rows * TILE + 2 * around, self.columns * TILE + 2 * around
        places = x.new_empty(self.count, rows, columns, x.shape[1])
        bottom, right = around + self.height, around + self.width
        for edge in (places[:, :around], places[:, bottom:], places[:, :, :around], places[:, :, right:]):
            edge.zero_()
        places[:, around:bottom, around:right] = x.permute(0, 2, 3, 1)
        return places

    def read(self, x: torch.Tensor) -> torch.Tensor:
        """What the tiles read of `x` `(N, C, h, w)`: `(N, rows, columns, 6, 6, C)`, overlapping views."""
        places = self.padded(x, 1)
        strides = (places.stride(0), TILE * places.stride(1), TILE * places.stride(2), *places.stride()[1:])
        return places.as_strided((self.count, self.rows, self.columns, READ, READ, x.shape[1]), strides)

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """The tiles of an output `x` `(N, C, h, w)`: `(N, rows, columns, 4, 4, C)`."""
        return self.padded(x, 0).view(self.count, self.rows, TILE, self.columns, TILE, -1).transpose(2, 3)

    def blocks(self, *tiles: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """The same parts of each, of as many tiles as the threshold lets be transformed at a time."""
        at_once = current().winograd_block_bytes / tiles[0][0, 0, 0].nbytes
        maps = evenly(self.count, at_once / (self.rows * self.columns))
        rows = evenly(self.rows, at_once / self.columns)
        for some in zip(*(x.split(maps) for x in tiles)):
            yield from zip(*(x.split(rows, dim=1) for x in some))


def evenly(count: int, most: float) -> int:
    """How many to take at a time, so that all parts of `count` are about as large: at most `most`, but at least one."""
    return math.ceil(count / math.ceil(count / max(1, int(most))))


def transform_tiles(tiles: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """`(36, T, C)` of tiles `(n, rows, columns, side, side, C)`."""
    tiles = tiles.flatten(0, 2).flatten(1, 2)  # (T, side * side, C)
    return torch.bmm(matrix.expand(len(tiles), -1, -1), tiles).transpose(0, 1)


def transform_weight(weight: torch.Tensor) -> torch.Tensor:
    """`(36, C_in, C_out)` of a kernel `(C_out, C_in, 3, 3)`, whichever way it lies in memory."""
    matrix = transforms()[1]
    if weight.is_contiguous():
        return (matrix @ weight.view(-1, 9).T).view(READ**2, *weight.shape[:2]).transpose(1, 2)
    return torch.matmul(matrix, weight.permute(0, 2, 3, 1).flatten(1, 2)).permute(1, 2, 0)


def outputs_at_once(weight: torch.Tensor) -> int:
    """Into how many output channels' parts `weight` is split, in channels, so that each has as many bytes as may be transformed at once."""
    return max(1, current().winograd_weight_bytes // (READ**2 * weight[0, :, 0, 0].nbytes))


def convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """What `winograd_conv2d` computes, without a gradient."""
    of_inputs, _, to_outputs = transforms()
    tiles = Tiles(x.shape)
    reads = tiles.read(x)
    out = x.new_empty(tiles.count, tiles.rows, TILE, tiles.columns, TILE, len(weight))
    channels = outputs_at_once(weight)
    for part, out_of_part in zip(weight.split(channels), out.split(channels, dim=-1)):
        kernel = transform_weight(part)
        for read, made in tiles.blocks(reads, out_of_part):
            products = torch.bmm(transform_tiles(read, of_inputs), kernel).flatten(1)  # (36, T * C_out)
            products = (to_outputs @ products).view(TILE, TILE, *read.shape[:3], -1)
            made.copy_(products.permute(2, 3, 0, 4, 1, 5))
    if bias is not None:
        out += bias
    out = out.view(tiles.count, tiles.rows * TILE, tiles.columns * TILE, -1)[:, : tiles.height, : tiles.width]
    return out.contiguous().permute(0, 3, 1, 2)


def weight_gradient(x: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """That of `convolve`, given the gradient `(N, C_out, h, w)` of its output; it lies in memory as `weight` does."""
    of_inputs, of_weights, to_outputs = transforms()
    tiles = Tiles(x.shape)
    reads, outputs, found = tiles.read(x), tiles.outputs(gradient), torch.empty_like(weight)
    channels = outputs_at_once(weight)
    for part, outputs_of_part in zip(found.split(channels), outputs.split(channels, dim=-1)):
        total = x.new_zeros(READ**2, *part.shape[:2])
        for read, made in tiles.blocks(reads, outputs_of_part):
            total.baddbmm_(transform_tiles(made, to_outputs.T).transpose(1, 2), transform_tiles(read, of_inputs))
        part.copy_((of_weights.T @ total.flatten(1)).view(3, 3, *part.shape[:2]).permute(2, 3, 0, 1))
    return found


class WinogradConv2d(torch.autograd.Function):
    """`convolve`, with the gradients of a convolution in as few multiplications."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return convolve(x, weight, bias).detach()  # of a view, torch would forbid changes in place

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        asked = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a gradient's gradient is asked for: the library has it
            settings = ([weight.shape[0]], [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
            return torch.ops.aten.convolution_backward(gradient, x, weight, *settings, asked)
        with torch.autocast("cpu", enabled=False):
            return (
                convolve(gradient, weight.transpose(0, 1).flip(2, 3).contiguous()) if asked[0] else None,
                weight_gradient(x, weight, gradient) if asked[1] else None,
                gradient.sum((0, 2, 3)) if asked[2] else None,
            )


def winograd_conv2d(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`F.conv2d(x, weight, bias, padding=1)`, to about 3e-6 of its size.

    Args:
        x: `(N, C_in, h, w)`, float32.
        weight: `(C_out, C_in, 3, 3)`, float32.
        bias: `(C_out,)` or None.

    Returns:
        `(N, C_out, h, w)`, channels-last.
    """
    return WinogradConv2d.apply(x, weight, bias)
