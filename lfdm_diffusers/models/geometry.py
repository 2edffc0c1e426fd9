"""Regions of a picture, and 2x2 geometry: principal axes, inverses, products, heatmaps, motions carried from one subject to another.

All is float32 whatever the model's dtype, written out element by element so that no autocast can lower it: a sampling coordinate in
bfloat16 is wrong by whole pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.utils import BaseOutput

# Of fields that are always filled. Offloading hooks rebuild outputs field by field, from none.
FILLED: Any = None


@dataclass
class RegionParameters(BaseOutput):
    """Where K soft regions of a picture lie, in the coordinates of the sampling grid ([-1, 1], (x, y)).

    Attributes:
        shift: `(B, K, 2)` region centres.
        covar: `(B, K, 2, 2)` covariance of each region's heatmap.
        affine: `(B, K, 2, 2)` principal axes scaled by their standard deviations: `affine @ affine.T == covar`.
        heatmap: `(B, K, h, w)`, each summing to 1.
    """

    shift: torch.Tensor = FILLED
    covar: torch.Tensor = FILLED
    affine: torch.Tensor = FILLED
    heatmap: torch.Tensor = FILLED


def split_regions(regions: RegionParameters, parts: Sequence[int]) -> list[RegionParameters]:
    """The regions of the first `parts[0]` pictures, of the `parts[1]` after these, and so on.

    A function, as torch.compile calls no method of an output class up to torch 2.6.
    """
    fields = (regions.shift, regions.covar, regions.affine, regions.heatmap)
    return [RegionParameters(*some) for some in zip(*(field.split(parts) for field in fields))]


def repeated_regions(regions: RegionParameters, times: int) -> RegionParameters:
    """The regions of each picture `times` times in a row."""
    return RegionParameters(**{name: value.repeat_interleave(times, dim=0) for name, value in regions.items()})


# Nothing beside the 1 at a region's centre; its products with gradients are numbers that CPUs are fast with.
DUST = 1e-20

# Variances below this (in grid units, squared) are those of a heatmap on one pixel: pixels are 0.06 apart at 32x32.
MIN_VARIANCE = 1e-8


def principal_axes(covar: torch.Tensor) -> torch.Tensor:
    """Principal axes of 2x2 covariances in closed form: U diag(sqrt(s)) of covar = U diag(s) U^T.

    U is always a reflection [[p, q], [q, -p]], whose first column has the sign that LAPACK's SVD gives it, so that the
    released models' `affine` comes out with the same signs. One fixed determinant matters: affine_a @ affine_b^-1 of
    two regions would flip an axis if their determinants differed.

    Where both eigenvalues are equal to a millionth, or both are below `MIN_VARIANCE`, axes are undefined and the coordinate
    axes are taken; gradients are finite everywhere.

    Args:
        covar: `(..., 2, 2)` symmetric, positive semi-definite; any dtype.

    Returns:
        `(..., 2, 2)` float32, columns in order of decreasing eigenvalue.
    """
    covar = covar.float()
    a, b, c = covar[..., 0, 0], covar[..., 0, 1], covar[..., 1, 1]
    mean, half_difference = (a + c) / 2, (a - c) / 2
    radius_squared = half_difference**2 + b**2
    isotropic = (radius_squared <= (1e-6 * mean) ** 2) | (mean <= MIN_VARIANCE)
    # Both branches of `where` are differentiated: give atan2 and sqrt harmless arguments where they are not used.
    angle = 0.5 * torch.atan2(
        torch.where(isotropic, torch.zeros_like(b), b),
        torch.where(isotropic, torch.ones_like(b), half_difference),
    )
    radius = torch.where(
        isotropic, torch.zeros_like(b), torch.where(isotropic, torch.ones_like(b), radius_squared).sqrt()
    )
    positive = (b == 0) | ((b > 0) & (a * c - b * b > a * a + b * b))
    sign = torch.where(positive, torch.ones_like(b), -torch.ones_like(b))
    p, q = sign * angle.cos(), sign * angle.sin()
    # A heatmap that sits on one pixel has zero variance; the floor keeps its square root differentiable.
    deviations = [(mean + s * radius).clamp(min=MIN_VARIANCE).sqrt() for s in (1, -1)]
    columns = [
        torch.stack((p, q), dim=-1) * deviations[0][..., None],
        torch.stack((q, -p), dim=-1) * deviations[1][..., None],
    ]
    return torch.stack(columns, dim=-1)


def inverse_2x2(matrix: torch.Tensor) -> torch.Tensor:
    """Inverse of `(..., 2, 2)` by cofactors."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    adjugate = torch.stack((d, -b, -c, a), dim=-1).unflatten(-1, (2, 2))
    return adjugate / (a * d - b * c)[..., None, None]


def matmul_2x2(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """`left @ right` for `(..., 2, n)`, out of autocast's reach."""
    return (left[..., :, :, None] * right[..., None, :, :]).sum(dim=-2)


def distances(grid: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y from points `(B, K, 2)` to the places of a sampling grid `(h, w, 2)`: `(B, K, 1, w)` and `(B, K, h, 1)`.

    A grid's columns share their x and its rows their y: what is made of these costs a row and a column, not a map.
    """
    x, y = grid[:1, :, 0], grid[:, :1, 1]
    return x - points[..., 0, None, None], y - points[..., 1, None, None]


def entries_2x2(matrix: torch.Tensor) -> list[list[torch.Tensor]]:
    """The entries of matrices `(B, K, 2, 2)` by row and column, each `(B, K, 1, 1)`, to be multiplied with maps."""
    return [[matrix[..., row, column, None, None] for column in range(2)] for row in range(2)]


def moments(heatmap: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean `(B, K, 2)` and covariance `(B, K, 2, 2)` of the places of a grid `(h, w, 2)`, weighted by heatmaps `(B, K, h, w)`, each of
    sum 1."""
    of_columns, of_rows = heatmap.sum(dim=2, keepdim=True), heatmap.sum(dim=3, keepdim=True)
    mean_x, mean_y = (of_columns * grid[:1, :, 0]).sum(dim=3), (of_rows * grid[:, :1, 1]).sum(dim=2)  # (B, K, 1)
    mean = torch.cat((mean_x, mean_y), dim=-1)
    x, y = distances(grid, mean)
    xx, yy = (of_columns * x**2).sum(dim=3), (of_rows * y**2).sum(dim=2)
    xy = ((heatmap * x).sum(dim=3, keepdim=True) * y).sum(dim=2)
    return mean, torch.cat((xx, xy, xy, yy), dim=-1).unflatten(-1, (2, 2))


def relative_regions(
    reference: RegionParameters, start: RegionParameters, driving: RegionParameters
) -> RegionParameters:
    """Where the regions of `reference` would be, had they moved as others did from `start` to `driving`.

    Centres move by the same distance; axes by the same map, A = A_dri A_start^-1 A_ref. So a region's motion, A_ref A^-1, is the
    other's, A_start A_dri^-1, whatever its own shape (relative animation of MRAA, Siarohin et al. 2021).

    Args:
        reference, start, driving: as many pictures of each.

    Returns:
        Centres, axes and covariances; the heatmaps are those of `driving`, and mean nothing here.
    """
    change = matmul_2x2(driving.affine, inverse_2x2(start.affine))
    affine = matmul_2x2(change, reference.affine)
    return RegionParameters(
        shift=reference.shift + driving.shift - start.shift,
        covar=matmul_2x2(affine, affine.transpose(-1, -2)),
        affine=affine,
        heatmap=driving.heatmap,
    )


def gaussian_heatmap(shift: torch.Tensor, covar: torch.Tensor | None, grid: torch.Tensor) -> torch.Tensor:
    """exp(-d^T C^-1 d / 2) around each region, `(B, K, h, w)`; a fixed variance of 0.01 where `covar` is None."""
    x, y = distances(grid, shift)
    if covar is None:
        return _without_dust(torch.exp(-0.5 * (x**2 + y**2) / 0.01))
    # A heatmap on one pixel or one line has no inverse; all others are left exactly as they are.
    determinant = covar[..., 0, 0] * covar[..., 1, 1] - covar[..., 0, 1] * covar[..., 1, 0]
    flat = (determinant <= MIN_VARIANCE**2)[..., None, None]
    covar = torch.where(
        flat, covar + math.sqrt(MIN_VARIANCE) * torch.eye(2, device=covar.device, dtype=covar.dtype), covar
    )
    (a, b), (c, d) = entries_2x2(inverse_2x2(covar))
    return _without_dust(torch.exp(-0.5 * (a * x**2 + (b + c) * (x * y) + d * y**2)))


def _without_dust(heatmap: torch.Tensor) -> torch.Tensor:
    """Zero where next to nothing is left: far from a region an exponential is subnormal, and CPUs take a hundred times longer for such
    numbers. A convolution of a stage-one step took three to five times as long with them."""
    return F.threshold(heatmap, DUST, 0.0)
