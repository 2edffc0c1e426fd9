"""Details that a small decoder cannot have: a network that corrects a motion and paints at several times the model's size.

The decoder's frame d is small. Enlarged, its mouth and its irises are soft, and the motion between its places is not known. This
network sees the picture at S times the size, warped by the motion, beside d. It says what the plain rule of
`pipelines.rendering` says, at S times the size:

    flow = up(f) + a * delta                             the motion, corrected
    share = a * sigmoid(logit(up(1 - g)) + delta)        how much is painted rather than warped
    painted = up(d) + delta                              what is painted

with g the agreement of the small warped picture with d. The activity a is 0 where nothing moves and the decoder painted nothing
new, so that still pixels stay the picture's, to the bit, whatever the weights are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin
from diffusers.utils import BaseOutput
from torch import nn

from ..hub.base import HubModel
from ..hub.cards import TAGS
from ..hub.decorators import register_to_config
from ..ops.warp import sampling_grid
from .checks import check_shape

# Least difference of colours that counts as another picture: of .08, .16 and .24 the one with which frames are as sharp as true
# ones; with .08 they are a little nearer to them, and softer (reproduction/full_size.py).
AGREEMENT = 0.16


def agreement(warped: torch.Tensor, decoded: torch.Tensor, scale: float = AGREEMENT) -> torch.Tensor:
    """g `(N, 1, h, w)` in [0, 1] of pictures `(N, 3, h, w)`: exp(-(mean of |warped - decoded| over colours and 3x3 places / scale)^2)."""
    error = (warped - decoded).abs().mean(dim=1, keepdim=True)
    error = F.avg_pool2d(F.pad(error, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.exp(-((error / scale) ** 2))


@dataclass
class FullSizePainterOutput(BaseOutput):
    """What is known of frames at S times the model's size.

    Attributes:
        flow: `(N, 2, S h, S w)`, absolute sampling grid (x, y) in [-1, 1].
        painted: `(N, 3, S h, S w)` in [0, 1].
        share: `(N, 1, S h, S w)` in [0, 1]: 1 is painted, 0 the picture, warped.
    """

    flow: torch.Tensor
    painted: torch.Tensor
    share: torch.Tensor


def still_flow(like: torch.Tensor) -> torch.Tensor:
    """The flow `(1, 2, h, w)` of no motion, as large as `like`."""
    height, width = like.shape[-2:]
    return sampling_grid(height, width, like.device, centers=True).permute(2, 0, 1)[None]


def enlarged(x: torch.Tensor, scale: int, mode: str = "bicubic") -> torch.Tensor:
    """`(N, C, h, w)` -> `(N, C, S h, S w)`."""
    return F.interpolate(x, scale_factor=scale, mode=mode, align_corners=False)


def warp_picture(picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """A picture `(N, C, H, W)` read by bicubic interpolation where an absolute flow `(N, 2, H', W')` points."""
    grid = flow.permute(0, 2, 3, 1)
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=False)


def plain_rule(
    flow: torch.Tensor, decoded: torch.Tensor, warped: torch.Tensor, scale: int, least: float = AGREEMENT
) -> FullSizePainterOutput:
    """What is known without a painter: arguments as in `FullSizePainter.forward`, all enlarged, and the agreement's scale."""
    size = tuple(scale * side for side in decoded.shape[-2:])
    departure = F.interpolate(flow - still_flow(flow), size, mode="bicubic", align_corners=False)
    return FullSizePainterOutput(
        flow=still_flow(departure) + departure,
        painted=enlarged(decoded, scale).clamp(0, 1),
        share=enlarged(1 - agreement(warped, decoded, least), scale, "bilinear"),
    )


def composed(picture: torch.Tensor, details: FullSizePainterOutput) -> torch.Tensor:
    """Frames `(N, 3, S h, S w)` in [0, 1] of a picture of that size, or of one for each."""
    moved = warp_picture(picture.expand(len(details.flow), -1, -1, -1), details.flow).clamp(0, 1)
    return (1 - details.share) * moved + details.share * details.painted


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), `(N, channels, h, w)` in and out, without a norm: colours count as they are."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class FullSizePainter(HubModel, ConfigMixin):
    r"""Corrects the motion and paints at S times the size of an auto-encoder's frames, for `output_size` (see `rendering`).

    Parameters:
        scale: S.
        base_channels: of maps at the frames' size.
        coarse_channels: of maps at half the frames' size.
        num_blocks: residual blocks at half size.
        agreement: least difference of colours that counts as another picture (`AGREEMENT`).
    """

    tags = TAGS

    @register_to_config
    def __init__(
        self,
        scale: int = 4,
        base_channels: int = 48,
        coarse_channels: int = 128,
        num_blocks: int = 3,
        agreement: float = AGREEMENT,
    ):
        super().__init__()
        if agreement <= 0:
            raise ValueError(f"`agreement` must be more than 0, got {agreement}.")
        # The picture, warped, in full detail; decoded, warped, their disagreement, occlusion, flow.
        given = 3 * scale**2 + 3 + 3 + 1 + 1 + 2
        self.conv_in = nn.Conv2d(given, base_channels, 3, padding=1)
        self.fine_in = ResidualBlock(base_channels)
        self.down = nn.Conv2d(base_channels, coarse_channels, 4, stride=2, padding=1)
        self.coarse = nn.ModuleList(ResidualBlock(coarse_channels) for _ in range(num_blocks))
        self.up = nn.Conv2d(coarse_channels, base_channels, 1)
        self.fine_out = ResidualBlock(base_channels)
        self.conv_out = nn.Conv2d(base_channels, 6 * scale**2, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)  # an untrained one is the plain rule
        if self.conv_out.bias is not None:
            nn.init.zeros_(self.conv_out.bias)

    def forward(
        self,
        picture: torch.Tensor,
        flow: torch.Tensor,
        occlusion: torch.Tensor,
        decoded: torch.Tensor,
        warped: torch.Tensor,
    ) -> FullSizePainterOutput:
        """Details of N frames.

        Args:
            picture: `(N, 3, S h, S w)` in [0, 1]; or one for all.
            flow: `(N, 2, h', w')`, absolute sampling grid (x, y) in [-1, 1], of pixel centres.
            occlusion: `(N, 1, h', w')` in [0, 1].
            decoded: `(N, 3, h, w)` in [0, 1], the decoder's frames.
            warped: `(N, 3, h, w)`, the small picture warped by the flow alone.
        """
        check_shape("decoded", decoded, ("frames", 3, "height", "width"))
        check_shape("warped", warped, decoded.shape)
        for name, motion, channels in (("flow", flow, 2), ("occlusion", occlusion, 1)):
            check_shape(name, motion, (len(decoded), channels, "height", "width"))
        scale, (height, width) = self.config.scale, decoded.shape[-2:]
        size = (scale * height, scale * width)
        check_shape("picture", picture, (len(decoded), 3, *size), (1, 3, *size))
        picture = picture.expand(len(decoded), -1, -1, -1)
        departure = flow - still_flow(flow)
        full_departure = F.interpolate(departure, size, mode="bicubic", align_corners=False)
        departure, occlusion = (
            F.interpolate(x, (height, width), mode="bilinear", align_corners=False) for x in (departure, occlusion)
        )
        pixels = departure * departure.new_tensor([width, height]).view(1, 2, 1, 1) / 2
        difference = (warped - decoded).abs().mean(dim=1, keepdim=True)
        share = 1 - agreement(warped, decoded, self.config.agreement)

        still = still_flow(full_departure)
        moved = warp_picture(picture, still + full_departure)
        maps = [F.pixel_unshuffle(moved - enlarged(warped, scale), scale), decoded, warped, share, occlusion, pixels]
        fine = self.fine_in(self.conv_in(torch.cat(maps, dim=1).to(self.dtype)))
        coarse = self.down(fine)
        for block in self.coarse:
            coarse = block(coarse)
        fine = self.fine_out(fine + enlarged(self.up(coarse), 2, "bilinear"))
        delta = F.pixel_shuffle(self.conv_out(F.silu(fine)), scale).float()

        motion = F.max_pool2d(pixels.abs().amax(dim=1, keepdim=True), 5, stride=1, padding=2)
        newness = F.max_pool2d(difference, 5, stride=1, padding=2)
        active = enlarged(1 - torch.exp(-2 * motion - 16 * newness), scale, "bilinear")
        logit = torch.logit(enlarged(share, scale, "bilinear"), eps=0.02)
        side = 2 / decoded.new_tensor([width, height]).view(1, 2, 1, 1)
        return FullSizePainterOutput(
            flow=still + full_departure + active * side * delta[:, 3:5],
            painted=(enlarged(decoded, scale) + delta[:, :3]).clamp(0, 1),
            share=active * torch.sigmoid(logit + 4 * delta[:, 5:]),
        )
