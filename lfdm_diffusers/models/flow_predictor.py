"""From two pictures to a backward latent flow and an occlusion map: regions, background motion, dense flow.

The region-based motion model is that of MRAA (Siarohin et al., CVPR 2021), on which LFDM's stage one is built.
Moments and flows are float32, as all geometry (`geometry.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.utils import BaseOutput
from torch import nn

from ..ops.warp import resample, sampling_grid
from .blocks_2d import AntiAliasDownsample, Hourglass, PyramidEncoder, channel_widths
from .geometry import (
    FILLED,
    RegionParameters,
    distances,
    entries_2x2,
    gaussian_heatmap,
    inverse_2x2,
    matmul_2x2,
    moments,
    principal_axes,
)


@dataclass
class LatentFlowOutput(BaseOutput):
    """Motion from a reference picture to a driving one.

    Attributes:
        flow: `(B, 2, h, w)` float32 absolute sampling grid (x, y): where in the reference each place of the driving
            picture comes from. `(B, 2, F, h, w)` for a clip of F driving pictures.
        occlusion: `(B, 1, h, w)` (or `(B, 1, F, h, w)`) float32 in [0, 1]: 1 keeps the warped picture, 0 inpaints.
        reference_regions, driving_regions: the regions that the flow was composed from.
        other_regions: those of the `others` of `LatentFlowAutoencoder.forward`; None without these.
    """

    flow: torch.Tensor = FILLED
    occlusion: torch.Tensor = FILLED
    reference_regions: RegionParameters = FILLED
    driving_regions: RegionParameters = FILLED
    other_regions: RegionParameters | None = None


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
        height, width = logits.shape[-2:]
        grid = sampling_grid(height, width, logits.device, self.centers)
        shift, covar = moments(heatmap, grid)
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
        matrix = torch.eye(3, device=driving.device, dtype=torch.float32).flatten().repeat(driving.shape[0], 1)
        if self.entries:
            features = self.encoder(torch.cat((reference, driving), dim=1))[-1].mean(dim=(2, 3))
            departure = self.fc(features).float()
            columns = list(matrix.unbind(dim=1))
            for place, value in zip(self.entries, departure.unbind(dim=1)):
                columns[place] = columns[place] + value
            matrix = torch.stack(columns, dim=1)
        return matrix.unflatten(1, (3, 3))


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
        x, y = distances(grid, driving.shift)
        regions = torch.stack([a * x + b * y for a, b in entries_2x2(affine)], dim=-1)  # (B, K, h, w, 2)
        regions = regions + reference.shift[:, :, None, None]
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
        height, width = small.shape[-2:]
        grid = sampling_grid(height, width, small.device, self.centers)
        motions = self.motions(reference_regions, driving_regions, background, grid)  # (B, K+1, h, w, 2)
        count = motions.shape[1]
        features = self.heatmaps(reference_regions, driving_regions, grid).to(small.dtype)[:, :, None]
        if self.use_deformed_source:
            deformed = resample(small, motions, self.padding_mode).unflatten(0, (-1, count))  # (B, K+1, C, h, w)
            features = torch.cat((features, deformed), dim=2)
        features = features.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        features = self.hourglass(features)
        mask = self.mask(features).float().softmax(dim=1)  # (B, K+1, h, w)
        flow = torch.stack([(mask * each).sum(dim=1) for each in motions.unbind(dim=-1)], dim=1)  # (B, 2, h, w)
        return flow, self.occlusion(features).float().sigmoid()
