"""Convolutional parts of the latent flow auto-encoder, smallest first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..ops import convolution_cpu
from .checkpointing import CheckpointedBlock


class AntiAliasDownsample(nn.Module):
    """Gaussian blur, then every (1/scale)-th pixel: sigma = (1/scale - 1)/2, 2*round(4*sigma) + 1 taps, zero padding.

    Maps `(B, channels, H, W)` to `(B, channels, scale * H, scale * W)`, rounded up.
    """

    kernel: torch.Tensor

    def __init__(self, channels: int, scale: float):
        super().__init__()
        self.stride = round(1 / scale)
        sigma = (1 / scale - 1) / 2
        self.radius = round(4 * sigma)
        # Recomputed from the configuration, so it is not a weight. scale == 1 needs none (and has sigma 0).
        self.register_buffer("kernel", self.gaussian(channels, sigma, self.radius), persistent=False)

    @staticmethod
    def gaussian(channels: int, sigma: float, radius: int) -> torch.Tensor:
        """A depthwise kernel `(channels, 1, 2*radius + 1, 2*radius + 1)` that sums to 1."""
        offset = torch.arange(-radius, radius + 1, dtype=torch.float32)
        taps = torch.exp(-(offset**2) / (2 * sigma**2)) if radius else torch.ones_like(offset)
        kernel = taps[:, None] * taps[None, :]
        return (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.stride == 1:
            return image
        kernel = self.kernel.to(image)  # a half-precision checkpoint leaves this buffer in float32
        return F.conv2d(image, kernel, stride=self.stride, padding=self.radius, groups=image.shape[1])


class FastConv2d(nn.Conv2d):
    """`nn.Conv2d`; `ops/convolution_cpu.py` knows faster ways to it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        faster = convolution_cpu.choose(self, x)
        return faster(x) if faster else super().forward(x)


def convolve_doubled(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """`conv` of `x` `(N, C, h, w)` doubled by its nearest neighbours."""
    # What stands in its place, such as a convolution with an adapter, may be more than a convolution.
    faster = convolution_cpu.choose_doubled(conv, x) if type(conv) is FastConv2d else None
    return faster(x) if faster else conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class ConvBlock(CheckpointedBlock):
    """Convolution, BatchNorm, ReLU: `(B, in_channels, h, w)` to `(B, out_channels, h, w)`.

    `parts`, of this and all that is made of it, are the sizes of the batches that a batch was put together from: in training
    each has BatchNorm statistics of its own, as if it came alone.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3):
        super().__init__()
        self.conv = FastConv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(out_channels)

    def convolved(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)

    def normalised(self, x: torch.Tensor, parts: Sequence[int] | None) -> torch.Tensor:
        """Convolution and BatchNorm."""
        x = self.convolved(x)
        if not self.norm.training or parts is None or len(parts) == 1:
            return self.norm(x)
        return torch.cat([self.norm(part) for part in x.split(parts)])

    def compute(self, x: torch.Tensor, parts: Sequence[int] | None = None) -> torch.Tensor:
        return F.relu(self.normalised(x, parts), inplace=True)


class DownBlock2d(ConvBlock):
    """`ConvBlock`, then 2x2 average pooling, to `(B, out_channels, h / 2, w / 2)`."""

    def compute(self, x: torch.Tensor, parts: Sequence[int] | None = None) -> torch.Tensor:
        return F.avg_pool2d(super().compute(x, parts), 2)


class UpBlock2d(ConvBlock):
    """Nearest-neighbour doubling, then `ConvBlock`, to `(B, out_channels, 2h, 2w)`."""

    def convolved(self, x: torch.Tensor) -> torch.Tensor:
        return convolve_doubled(self.conv, x)


class ResBlock2d(CheckpointedBlock):
    """Pre-activation residual block, `(B, channels, h, w)` in and out: x + conv(relu(bn(conv(relu(bn(x))))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = FastConv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = FastConv2d(channels, channels, 3, padding=1)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.relu(self.norm1(x), inplace=True))
        return x + self.conv2(F.relu(self.norm2(h), inplace=True))


def channel_widths(base: int, count: int, maximum: int) -> list[int]:
    """Channels after 0, 1, ..., `count` halvings: `base * 2**i`, at most `maximum`."""
    return [min(maximum, base * 2**i) for i in range(count + 1)]


class PyramidEncoder(nn.Module):
    """`num_blocks` down blocks; returns the input `(B, in_channels, h, w)` and every level's output, finest first: level i is
    `(B, min(max_channels, base_channels * 2**i), h / 2**i, w / 2**i)`."""

    def __init__(self, in_channels: int, base_channels: int, num_blocks: int, max_channels: int):
        super().__init__()
        widths = channel_widths(base_channels, num_blocks, max_channels)
        widths[0] = in_channels
        self.down_blocks = nn.ModuleList(DownBlock2d(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: torch.Tensor, parts: Sequence[int] | None = None) -> list[torch.Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1], parts=parts))
        return levels


class Hourglass(nn.Module):
    """Encoder and decoder with a concatenated skip at every level, the raw input included.

    Maps `(B, in_channels, h, w)` to `(B, out_channels, h, w)` with `out_channels = base_channels + in_channels`;
    h and w must be divisible by `2**num_blocks`.
    """

    def __init__(self, in_channels: int, base_channels: int, num_blocks: int, max_channels: int):
        super().__init__()
        self.encoder = PyramidEncoder(in_channels, base_channels, num_blocks, max_channels)
        widths = channel_widths(base_channels, num_blocks, max_channels)
        self.up_blocks = nn.ModuleList(  # deepest first; all but the deepest see [up, skip]
            UpBlock2d(widths[i + 1] * (1 if i == num_blocks - 1 else 2), widths[i])
            for i in reversed(range(num_blocks))
        )
        self.out_channels = widths[0] + in_channels

    def forward(self, x: torch.Tensor, parts: Sequence[int] | None = None) -> torch.Tensor:
        levels = self.encoder(x, parts)
        out = levels.pop()
        for block in self.up_blocks:
            out = torch.cat((block(out, parts=parts), levels.pop()), dim=1)
        return out
