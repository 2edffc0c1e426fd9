"""Equivariance of regions under a known transform, and their concentration: the losses of stage one that look at regions.

Equivariance follows MRAA (Siarohin et al., CVPR 2021), from which LFDM takes it (section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..models.geometry import RegionParameters, inverse_2x2, matmul_2x2
from ..ops.warp import sampling_grid


@dataclass
class RandomTransform:
    """A random affine map with a thin-plate spline on top, in sampling-grid coordinates.

    T(z) = theta [z; 1] + sum_i w_i d_i^2 log(d_i + 1e-6), with d_i = |z - c_i|_1 the distance to control point i; the
    same sum is added to x and y.

    Attributes:
        theta: `(B, 2, 3)`.
        control_params: `(B, 1, n * n)`, the w_i of an n x n grid of control points over [-1, 1].
    """

    theta: torch.Tensor
    control_params: torch.Tensor

    @classmethod
    def sample(
        cls,
        batch_size: int,
        sigma_affine: float = 0.05,
        sigma_tps: float = 0.005,
        points_tps: int = 5,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
    ) -> RandomTransform:
        """Entries of theta - [I 0] from N(0, sigma_affine), spline weights from N(0, sigma_tps); drawn on the CPU."""
        theta = torch.randn(batch_size, 2, 3, generator=generator, dtype=torch.float32)
        theta = torch.eye(2, 3, dtype=torch.float32) + sigma_affine * theta
        weights = sigma_tps * torch.randn(batch_size, 1, points_tps**2, generator=generator, dtype=torch.float32)
        return cls(theta.to(device), weights.to(device))

    def _offsets(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z - c_i `(B, N, n*n, 2)` and its L1 norm `(B, N, n*n)`."""
        side = round(self.control_params.shape[-1] ** 0.5)
        control_points = sampling_grid(side, side, points.device).flatten(0, 1)
        offset = points[:, :, None] - control_points
        return offset, offset.abs().sum(dim=-1)

    def warp_points(self, points: torch.Tensor) -> torch.Tensor:
        """T of points `(B, N, 2)`, or `(1, N, 2)` for all B."""
        _, distance = self._offsets(points)
        spline = (self.control_params * distance**2 * torch.log(distance + 1e-6)).sum(dim=-1, keepdim=True)
        affine = (self.theta[:, None, :, :2] * points[:, :, None]).sum(dim=-1) + self.theta[:, None, :, 2]
        return affine + spline

    def jacobian(self, points: torch.Tensor) -> torch.Tensor:
        """dT/dz at points `(B, N, 2)`: `(B, N, 2, 2)`, in closed form."""
        offset, distance = self._offsets(points)
        slope = 2 * distance * torch.log(distance + 1e-6) + distance**2 / (distance + 1e-6)
        gradient = ((self.control_params * slope)[..., None] * offset.sign()).sum(dim=2)  # (B, N, 2)
        return self.theta[:, None, :, :2] + gradient[:, :, None]

    def warp_picture(self, picture: torch.Tensor, centers: bool = False) -> torch.Tensor:
        """`picture` `(B, C, H, W)` read at T(z), with reflection at the borders; z as in `sampling_grid`."""
        height, width = picture.shape[-2:]
        # One grid for all pictures: distances to its control points are computed once.
        grid = self.warp_points(sampling_grid(height, width, picture.device, centers).flatten(0, 1)[None])
        grid = grid.unflatten(1, (height, width))
        return F.grid_sample(picture.float(), grid, padding_mode="reflection", align_corners=False).to(picture.dtype)


def equivariance_losses(
    driving: RegionParameters, transformed: RegionParameters, transform: RandomTransform
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far regions of a transformed picture are from the transformed regions (weights of 10 included).

    Args:
        driving: regions of the picture.
        transformed: regions of `transform.warp_picture(picture)`.

    Returns:
        Shift loss 10 mean |p - T(p')| and affine loss 10 mean |I - A^-1 J_T(p') A'|, the latter up to a common sign.
    """
    shift = (driving.shift - transform.warp_points(transformed.shift)).abs().mean()
    value = matmul_2x2(
        inverse_2x2(driving.affine), matmul_2x2(transform.jacobian(transformed.shift), transformed.affine)
    )
    value = value * value[..., :1, :1].sign()
    affine = (torch.eye(2, device=value.device, dtype=value.dtype) - value).abs().mean()
    return 10 * shift, 10 * affine


# Standard deviations (a tenth of half the picture) and distances that `concentration_loss` asks for, in grid units.
CONCENTRATED, SEPARATE = 0.1, 0.08


def concentration_loss(regions: RegionParameters) -> torch.Tensor:
    """How spread out each region is, and how near to each other they are: mean_k relu(tr S_k - 2 c^2) + s / 10.

    c is `CONCENTRATED`, and s the mean over k of the sum over l != k of exp(-|p_k - p_l|^2 / (2 d^2)), with d `SEPARATE`.
    After Zhang et al., "Unsupervised Discovery of Object Landmarks as Structural Representations", CVPR 2018. Heatmaps
    start out flat: a region that is everywhere hardly moves when something in the picture does, and it takes a long
    time until training from scratch finds out what to follow.
    """
    spread = regions.covar.diagonal(dim1=-2, dim2=-1).sum(-1) - 2 * CONCENTRATED**2
    distance = (regions.shift[:, :, None] - regions.shift[:, None]).square().sum(-1)  # (B, K, K)
    crowding = torch.exp(distance / (-2 * SEPARATE**2)).sum(-1) - 1
    return spread.relu().mean() + crowding.mean() / 10
