"""3x3 convolutions in fewer multiplications, for CPUs on which arithmetic is the limit.

Winograd's F(4x4, 3x3): a tile of 4x4 outputs takes 36 multiplications for a pair of channels instead of 144 (Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1, with their matrices).
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F

TILE, READ = 4, 6  # outputs of a tile, and inputs that it reads, a side
# So many bytes of tiles are transformed at a time: more would leave the cache; for fewer the weights would be read too often.
BLOCK_BYTES = 2**23
# Weights are transformed in parts that the C library keeps when they are freed (`memory.py`).
WEIGHT_BYTES = 2**24


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
    matrices = (
        torch.tensor(rows, dtype=torch.float64) / scale for rows, scale in ((inputs, 1), (weights, 24), (outputs, 1))
    )
    return tuple(torch.kron(matrix, matrix).float() for matrix in matrices)


def transform_weight(weight: torch.Tensor) -> torch.Tensor:
    """`(36, C_in, C_out)` of a kernel `(C_out, C_in, 3, 3)`, whichever way it lies in memory."""
    matrix = transforms()[1]
    if weight.is_contiguous():
        return (matrix @ weight.view(-1, 9).T).view(READ**2, *weight.shape[:2]).transpose(1, 2)
    return torch.matmul(matrix, weight.permute(0, 2, 3, 1).flatten(1, 2)).permute(1, 2, 0)


def winograd_conv2d(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`F.conv2d(x, weight, bias, padding=1)`, to about 2e-6 of its size; it has no gradient.

    Args:
        x: `(N, C_in, h, w)`, float32.
        weight: `(C_out, C_in, 3, 3)`, float32.
        bias: `(C_out,)` or None.

    Returns:
        `(N, C_out, h, w)`, channels-last.
    """
    of_inputs, _, to_outputs = transforms()
    count, channels, height, width = x.shape
    rows, columns = -(-height // TILE), -(-width // TILE)  # of tiles
    places = F.pad(x, (1, 1 + columns * TILE - width, 1, 1 + rows * TILE - height)).permute(0, 2, 3, 1).contiguous()
    strides = (places.stride(0), TILE * places.stride(1), TILE * places.stride(2), *places.stride()[1:])
    tiles = places.as_strided((count, rows, columns, READ, READ, channels), strides)
    out = x.new_empty(count, rows, TILE, columns, TILE, len(weight))
    at_once = max(1, BLOCK_BYTES // tiles[0, 0, 0].nbytes)
    count_at_once, rows_at_once = max(1, at_once // (rows * columns)), max(1, at_once // columns)
    outs_at_once = max(1, WEIGHT_BYTES // (READ**2 * channels * weight.element_size()))
    kernels = [transform_weight(part) for part in weight.split(outs_at_once)]
    for of_count, out_of_count in zip(tiles.split(count_at_once), out.split(count_at_once)):
        for block, out_of_block in zip(of_count.split(rows_at_once, 1), out_of_count.split(rows_at_once, 1)):
            spectrum = block.reshape(-1, READ**2, channels)  # (T, 36, C_in)
            spectrum = torch.bmm(of_inputs.expand(len(spectrum), -1, -1), spectrum).transpose(0, 1)
            for kernel, found in zip(kernels, out_of_block.split(outs_at_once, -1)):
                products = torch.bmm(spectrum, kernel).flatten(1)  # (36, T * C_out)
                found.copy_((to_outputs @ products).view(TILE, TILE, *block.shape[:3], -1).permute(2, 3, 0, 4, 1, 5))
            if bias is not None:
                out_of_block += bias
    out = out.view(count, rows * TILE, columns * TILE, -1)[:, :height, :width]
    return out.contiguous().permute(0, 3, 1, 2)
