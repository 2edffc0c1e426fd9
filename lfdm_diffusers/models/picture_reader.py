"""What a picture shows, for the 3-D U-Net: features that more than one convolution finds, computed once for all frames and steps."""

from __future__ import annotations

import torch
from torch import nn

from .blocks_3d import ResnetBlock


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
    """

    def __init__(self, in_channels: int, out_channels: int, channels: int, blocks: int, groups: int):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, channels, 1)
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, groups) for _ in range(blocks))
        self.conv_out = nn.Conv2d(channels, out_channels, 1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        for resnet in self.resnets:
            x = resnet(x, 1)
        return self.conv_out(x)
