"""From two pictures to a backward latent flow and an occlusion map: regions, background motion, dense flow.

The region-based motion model is that of MRAA (Siarohin et al., CVPR 2021), on which LFDM's stage one is built.
Geometry (moments, axes, flows) is float32 whatever the model's dtype, written out element by element so that no
autocast can lower it: a sampling coordinate in bfloat16 is wrong by whole pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.utils import BaseOutput
from torch import nn

from .blocks_2d import AntiAliasDownsample, Hourglass, PyramidEncoder, channel_widths, resample, sampling_grid


@dataclass
class RegionParameters(BaseOutput):
    """Where K soft regions of a picture lie, in the coordinates of the sampling grid ([-1, 1], (x, y)).

    Attributes:
        shift: `(B, K, 2)` region centres.
        covar: `(B, K, 2, 2)` covariance of each region's heatmap.
        affine: `(B, K, 2, 2)` principal axes scaled by their standard deviations: `affine @ affine.T == covar`.
        heatmap: `(B, K, h, w)`, each summing to 1.
    """

    # Defaults, because offloading hooks rebuild outputs field by field.
    shift: torch.Tensor | None = None
    covar: torch.Tensor | None = None
    affine: torch.Tensor | None = None
    heatmap: torch.Tensor | None = None

    def split(self, parts: Sequence[int]) -> list[RegionParameters]:
        """The regions of the first `parts[0]` pictures, of the `parts[1]` after these, and so on."""
        return [RegionParameters(*fields) for fields in zip(*(value.split(parts) for value in self.to_tuple()))]


@dataclass
class LatentFlowOutput(BaseOutput):
    """Motion from a reference picture to a driving one.

    Attributes:
        flow: `(B, 2, h, w)` float32 absolute sampling grid (x, y): where in the reference each place of the driving
            picture comes from. `(B, 2, F, h, w)` for a clip of F driving pictures.
        occlusion: `(B, 1, h, w)` (or `(B, 1, F, h, w)`) float32 in [0, 1]: 1 keeps the warped picture, 0 inpaints.
        reference_regions, driving_regions: the regions that the flow was composed from.
        other_regions: those of the `others` of `LatentFlowAutoencoder.forward`.
    """

    flow: torch.Tensor | None = None
    occlusion: torch.Tensor | None = None
    reference_regions: RegionParameters | None = None
    driving_regions: RegionParameters | None = None
    other_regions: RegionParameters | None = None


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
    sign = torch.where(positive, 1.0, -1.0)
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


class RegionPredictor(nn.Module):
    """K soft regions of a picture with principal axes; returns `RegionParameters` for a picture `(B, C, H, W)`.

    `parts` as in `ConvBlock`: pictures put together cost less, as the weights of the deep layers, which are most of the work, are
    read once.
    """

    def __init__(
        self,
        in_channels: int,
        num_regions: int,
        base_channels: int,
        max_channels: int,
        num_blocks: int,
        temperature: float,
        scale: float,
        padding: int,
        centers: bool = False,
    ):
        super().__init__()
        self.temperature, self.centers = temperature, centers
        self.downsample = AntiAliasDownsample(in_channels, scale)
        self.hourglass = Hourglass(in_channels, base_channels, num_blocks, max_channels)
        self.regions = nn.Conv2d(self.hourglass.out_channels, num_regions, 7, padding=padding)

    def forward(self, image: torch.Tensor, parts: Sequence[int] | None = None) -> RegionParameters:
        logits = self.regions(self.hourglass(self.downsample(image), parts)).float()  # (B, K, h, w)
        heatmap = (logits.flatten(2) / self.temperature).softmax(dim=-1).view_as(logits)
        # With padding < 3 the logits are smaller than the picture, yet their grid still spans [-1, 1].
        grid = sampling_grid(*logits.shape[-2:], logits.device, self.centers)
        weight = heatmap[..., None]  # (B, K, h, w, 1)
        shift = (weight * grid).sum(dim=(2, 3))  # (B, K, 2)
        centred = grid - shift[:, :, None, None]  # (B, K, h, w, 2)
        covar = (weight[..., None] * centred[..., :, None] * centred[..., None, :]).sum(dim=(2, 3))
        return RegionParameters(shift=shift, covar=covar, affine=principal_axes(covar), heatmap=heatmap)


class BackgroundPredictor(nn.Module):
    """Background motion between two pictures, as a homogeneous matrix `(B, 3, 3)`, float32.

    The last layer gives the departure from the identity, so that half precision loses nothing of a motion that is small.
    """

    # For each kind of motion, the places of its parameters in the flattened 3x3 matrix.
    ENTRIES = {
        "zero": (),
        "shift": (2, 5),
        "affine": (0, 1, 2, 3, 4, 5),
        "perspective": (0, 1, 2, 3, 4, 5, 6, 7),
    }

    def __init__(self, in_channels: int, base_channels: int, max_channels: int, num_blocks: int, motion: str):
        super().__init__()
        self.entries = list(self.ENTRIES[motion])
        if self.entries:
            self.encoder = PyramidEncoder(2 * in_channels, base_channels, num_blocks, max_channels)
            self.fc = nn.Linear(channel_widths(base_channels, num_blocks, max_channels)[-1], len(self.entries))
            nn.init.zeros_(self.fc.weight)
            nn.init.zeros_(self.fc.bias)

    def forward(self, reference: torch.Tensor, driving: torch.Tensor) -> torch.Tensor:
        matrix = torch.eye(3, device=driving.device).flatten().repeat(driving.shape[0], 1)
        if self.entries:
            features = self.encoder(torch.cat((reference, driving), dim=1))[-1].mean(dim=(2, 3))
            departure = self.fc(features).float()
            columns = list(matrix.unbind(dim=1))
            for place, value in zip(self.entries, departure.unbind(dim=1)):
                columns[place] = columns[place] + value
            matrix = torch.stack(columns, dim=1)
        return matrix.unflatten(1, (3, 3))


def gaussian_heatmap(shift: torch.Tensor, covar: torch.Tensor | None, grid: torch.Tensor) -> torch.Tensor:
    """exp(-d^T C^-1 d / 2) around each region, `(B, K, h, w)`; a fixed variance of 0.01 where `covar` is None."""
    d = grid - shift[:, :, None, None]  # (B, K, h, w, 2)
    if covar is None:
        return torch.exp(-0.5 * (d**2).sum(dim=-1) / 0.01)
    # A heatmap on one pixel or one line has no inverse; all others are left exactly as they are.
    determinant = covar[..., 0, 0] * covar[..., 1, 1] - covar[..., 0, 1] * covar[..., 1, 0]
    flat = (determinant <= MIN_VARIANCE**2)[..., None, None]
    covar = torch.where(flat, covar + math.sqrt(MIN_VARIANCE) * torch.eye(2, device=covar.device), covar)
    precision = inverse_2x2(covar)[:, :, None, None]  # (B, K, 1, 1, 2, 2)
    return torch.exp(-0.5 * (d[..., :, None] * precision * d[..., None, :]).sum(dim=(-1, -2)))


class DenseFlowPredictor(nn.Module):
    """Dense latent flow and occlusion, composed from the regions' and the background's motions.

    Each region k moves by z -> A_ref A_drv^-1 (z - p_drv) + p_ref, the background by its homogeneous matrix; a softmax
    over the K + 1 of them blends these into one flow.
    """

    def __init__(
        self,
        in_channels: int,
        num_regions: int,
        base_channels: int,
        max_channels: int,
        num_blocks: int,
        scale: float,
        use_deformed_source: bool,
        use_covar_heatmap: bool,
        revert_axis_swap: bool,
        centers: bool = False,
        padding_mode: str = "zeros",
    ):
        super().__init__()
        self.centers, self.padding_mode = centers, padding_mode
        self.use_deformed_source = use_deformed_source
        self.use_covar_heatmap = use_covar_heatmap
        self.revert_axis_swap = revert_axis_swap
        self.downsample = AntiAliasDownsample(in_channels, scale)
        channels_per_motion = 1 + (in_channels if use_deformed_source else 0)
        self.hourglass = Hourglass((num_regions + 1) * channels_per_motion, base_channels, num_blocks, max_channels)
        self.mask = nn.Conv2d(self.hourglass.out_channels, num_regions + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3)

    def heatmaps(self, reference: RegionParameters, driving: RegionParameters, grid: torch.Tensor) -> torch.Tensor:
        """Where regions are now minus where they were, `(B, K + 1, h, w)`; the background's, first, is zero."""
        now, before = (
            gaussian_heatmap(r.shift, r.covar if self.use_covar_heatmap else None, grid) for r in (driving, reference)
        )
        return F.pad(now - before, (0, 0, 0, 0, 1, 0))

    def motions(
        self, reference: RegionParameters, driving: RegionParameters, background: torch.Tensor, grid: torch.Tensor
    ) -> torch.Tensor:
        """The K + 1 candidate flows, `(B, K + 1, h, w, 2)`, the background's first."""
        affine = matmul_2x2(reference.affine, inverse_2x2(driving.affine))  # (B, K, 2, 2)
        if self.revert_axis_swap:
            affine = affine * affine[..., :1, :1].sign()
        offset = grid - driving.shift[:, :, None, None]  # (B, K, h, w, 2)
        regions = (affine[:, :, None, None] * offset[..., None, :]).sum(dim=-1) + reference.shift[:, :, None, None]
        homogeneous = F.pad(grid, (0, 1), value=1.0)  # (h, w, 3)
        mapped = (background[:, None, None] * homogeneous[..., None, :]).sum(dim=-1)  # (B, h, w, 3)
        return torch.cat(((mapped[..., :2] / mapped[..., 2:])[:, None], regions), dim=1)

    def forward(
        self,
        reference: torch.Tensor,
        reference_regions: RegionParameters,
        driving_regions: RegionParameters,
        background: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Flow `(B, 2, h, w)` and occlusion `(B, 1, h, w)`, both float32, for `reference` pictures `(B, C, H, W)`."""
        small = self.downsample(reference)
        grid = sampling_grid(*small.shape[-2:], small.device, self.centers)
        motions = self.motions(reference_regions, driving_regions, background, grid)  # (B, K+1, h, w, 2)
        count = motions.shape[1]
        features = self.heatmaps(reference_regions, driving_regions, grid).to(small.dtype)[:, :, None]
        if self.use_deformed_source:
            deformed = resample(small, motions, self.padding_mode).unflatten(0, (-1, count))  # (B, K+1, C, h, w)
            features = torch.cat((features, deformed), dim=2)
        features = features.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        features = self.hourglass(features)
        mask = self.mask(features).float().softmax(dim=1)  # (B, K+1, h, w)
        flow = (mask[..., None] * motions).sum(dim=1).permute(0, 3, 1, 2).contiguous()
        return flow, self.occlusion(features).float().sigmoid()
