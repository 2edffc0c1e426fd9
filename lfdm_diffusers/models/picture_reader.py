"""What a picture shows, for the 3-D U-Net: features that more than one convolution finds, computed once for all frames and steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .blocks_3d import ResnetBlock

# Side, in places, of the map that a summary is made of: eyes, nose and mouth of a framed face are told apart.
SUMMARISED = 4
SPREAD = 8, 16  # side and channels of the map that a summary becomes


class PictureReader(nn.Module):
    """Residual blocks over a picture's latent map, `(B, in_channels, h, w)` to `(B, out_channels, h, w)`.

    The published U-Net sees the picture through one linear convolution, in as few channels as its first level has. To undo the
    expression that a face already shows, it must be told first, which one picture in place of all noisy frames can do once.
    It gives zero until it is trained, so that it can join a trained U-Net.

    Args:
        in_channels, out_channels: C of the latent map and of what joins the volume.
        channels: of the blocks.
        blocks: how many; each sees two places further to every side.
        groups: of each GroupNorm.
        summary: features of a summary of the whole picture (`PictureSummary`); 0: none.
    """

    def __init__(self, in_channels: int, out_channels: int, channels: int, blocks: int, groups: int, summary: int = 0):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, channels, 1)
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, groups) for _ in range(blocks))
        self.conv_out = nn.Conv2d(channels, out_channels, 1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)
        self.summary = PictureSummary(channels, out_channels, summary, groups) if summary else None

    def blocks(self, x: torch.Tensor) -> torch.Tensor:
        """What the blocks make of it, `(B, channels, h, w)`; a summary is made of that."""
        x = self.conv_in(x)
        for resnet in self.resnets:
            x = resnet(x, 1)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(x)
        read = self.conv_out(x)
        return read if self.summary is None else read + self.summary(x)


class PictureSummary(nn.Module):
    """What the whole picture shows in a few numbers, and these as a map again: `(B, channels, h, w)` to `(B, out_channels, h, w)`.

    Residual blocks see a few places each. Whether a face smiles is a matter of both corners of the mouth, the cheeks and the eyes, and
    the same all over the face. It gives zero until it is trained, too.

    Args:
        channels, out_channels: C of the blocks and of what joins the volume.
        features: how many numbers.
        groups: of the GroupNorm.
    """

    def __init__(self, channels: int, out_channels: int, features: int, groups: int):
        super().__init__()
        wide, (side, spread) = 2 * channels, SPREAD
        self.conv_in = nn.Conv2d(channels, wide, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(groups, wide)
        self.conv_down = nn.Conv2d(wide, wide, 3, stride=2, padding=1)
        self.encode = nn.Linear(wide * SUMMARISED**2, features)
        self.decode = nn.Linear(features, spread * side**2)
        self.conv_out = nn.Conv2d(spread, out_channels, 1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def summarise(self, x: torch.Tensor) -> torch.Tensor:
        """`(B, features)` of what the blocks read, `(B, channels, h, w)`."""
        x = F.silu(self.conv_down(F.silu(self.norm(self.conv_in(x)))))
        if x.shape[-2:] != (SUMMARISED, SUMMARISED):  # of pictures of another size
            x = F.interpolate(x, (SUMMARISED, SUMMARISED), mode="bilinear", align_corners=False)
        return self.encode(x.flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side, spread = SPREAD
        spread_out = F.silu(self.decode(F.silu(self.summarise(x)))).unflatten(1, (spread, side, side))
        return self.conv_out(F.interpolate(spread_out, x.shape[-2:], mode="bilinear", align_corners=False))
