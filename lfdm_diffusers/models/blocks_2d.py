"""Convolutional parts of the latent flow auto-encoder, smallest first, and the sampling grid they share."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..ops.winograd import TILE, winograd_conv2d
from .checkpointing import CheckpointedBlock

# On a CPU, doubling and convolution are one transposed convolution for at least so many places; for fewer the sums of weights
# cost more than they save.
LEAST_DOUBLED_PLACES = 1024
# On a CPU a convolution is a matrix product where there are so many output channels, or more, for each place.
CHANNELS_A_PLACE = 8
# With no more output channels than this vectors of 8 numbers or 16 are mostly idle in the library's convolution. Kernels of as many
# columns, or more, fill them.
FEW_CHANNELS, MANY_COLUMNS = 4, 5
WIDE_VECTORS = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
# With so many channels on both sides, pairs of them, and tiles, `winograd_conv2d` is faster than the library's convolution on CPUs whose
# vectors are those of AVX2 (docs/performance.md, "Single convolutions", has how much). On those of AVX-512, where the library's convolutions
# surpass its own products of matrices, there is less to gain, and it was not measured.
LEAST_WINOGRAD_CHANNELS, LEAST_WINOGRAD_PAIRS, LEAST_WINOGRAD_TILES = 64, 64 * 128, 32
WINOGRAD_PROCESSOR = torch.backends.cpu.get_cpu_capability() == "AVX2"


@contextlib.contextmanager
def multiplied_in_full() -> Iterator[None]:
    """Convolutions meanwhile take all multiplications that they are defined by, so that they can be counted."""
    global WINOGRAD_PROCESSOR
    before, WINOGRAD_PROCESSOR = WINOGRAD_PROCESSOR, False
    try:
        yield
    finally:
        WINOGRAD_PROCESSOR = before


class AntiAliasDownsample(nn.Module):
    """Gaussian blur, then every (1/scale)-th pixel: sigma = (1/scale - 1)/2, 2*round(4*sigma) + 1 taps, zero padding."""

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
        taps = torch.exp(-(offset**2) / (2 * sigma**2)) if radius else torch.ones(1)
        kernel = taps[:, None] * taps[None, :]
        return (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.stride == 1:
            return image
        kernel = self.kernel.to(image)  # a half-precision checkpoint leaves this buffer in float32
        return F.conv2d(image, kernel, stride=self.stride, padding=self.radius, groups=image.shape[1])


class ReluPool(torch.autograd.Function):
    """ReLU in place, then 2x2 average pooling, whose gradient is laid out as the map is while it is still small."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        positive = x.relu_()
        ctx.save_for_backward(positive)
        return F.avg_pool2d(positive, 2)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
        (positive,) = ctx.saved_tensors
        last = positive.is_contiguous(memory_format=torch.channels_last)
        gradient = gradient.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        gradient = F.interpolate(gradient / 4, scale_factor=2, mode="nearest")
        return torch.ops.aten.threshold_backward.grad_input(gradient, positive, 0, grad_input=gradient)


class FastConv2d(nn.Conv2d):
    """`nn.Conv2d`, faster on CPUs where it keeps the size: stride 1, an odd kernel, zeros around the map; or where it doubles it.

    Few places with many channels are one matrix product, two to three times faster, backward too: reading the weights is all
    the work, and the library's convolution copies them around first. Many places with many channels are multiplied less
    (`winograd.py`), in float32. Few channels, as those of a picture, are convolved column by column.
    """

    def may_be_shortened(self, x: torch.Tensor) -> bool:
        """Whether the shorter ways are ways to compute this."""
        plain = (self.stride, self.dilation, self.groups, self.padding_mode) == ((1, 1), (1, 1), 1, "zeros")
        size = self.kernel_size[0]
        same = self.kernel_size == (size, size) and size % 2 == 1 and self.padding == (size // 2,) * 2
        return x.device.type == "cpu" and plain and same

    def may_be_multiplied_less(self, x: torch.Tensor) -> bool:
        """Whether `winograd_conv2d` computes this, sooner."""
        if not WINOGRAD_PROCESSOR or torch.compiler.is_compiling() or not self.is_single(x):
            return False
        few = min(self.in_channels, self.out_channels) < LEAST_WINOGRAD_CHANNELS
        few = few or self.in_channels * self.out_channels < LEAST_WINOGRAD_PAIRS
        small = min(x.shape[2:]) < TILE or x[:, 0].numel() < LEAST_WINOGRAD_TILES * TILE**2
        return self.kernel_size == (3, 3) and not few and not small

    def is_single(self, x: torch.Tensor) -> bool:
        """Whether all is float32, and the weight what it seems to be."""
        single = x.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        return single and type(self.weight) is nn.Parameter

    def forward(self, x: torch.Tensor, doubled: bool = False) -> torch.Tensor:
        """The convolution of `x` `(N, C, h, w)`, or of `x` doubled by its nearest neighbours, `(N, C, 2h, 2w)`."""
        shorter = self.may_be_shortened(x)
        if doubled and shorter and self.kernel_size == (3, 3) and x[:, 0].numel() >= LEAST_DOUBLED_PLACES:
            return F.conv_transpose2d(x, self.doubled_weight(), self.bias, stride=2, padding=1)
        if doubled:
            x = double(x)
        if shorter and self.may_be_multiplied_less(x):
            return winograd_conv2d(x, self.weight, self.bias)
        if shorter and self.is_of_few_channels(x):
            return self.by_columns(x)
        if not shorter or not self.is_of_few_places(x):
            return super().forward(x)
        size, (around, _) = self.kernel_size[0], self.padding
        near = F.pad(x, (around,) * 4).unfold(2, size, 1).unfold(3, size, 1)  # (N, C, h, w, size, size)
        near, weight = near.permute(0, 2, 3, 1, 4, 5), self.weight
        if not weight.is_contiguous():  # channels-last: in the order of its memory, so that it is not copied
            near, weight = near.permute(0, 1, 2, 4, 5, 3), weight.permute(0, 2, 3, 1)
        out = F.linear(near.reshape(x[:, 0].numel(), -1), weight.flatten(1), self.bias)
        return out.view(x.shape[0], *x.shape[2:], -1).permute(0, 3, 1, 2)

    def is_of_few_channels(self, x: torch.Tensor) -> bool:
        """Whether `by_columns` computes this sooner. (In half precision its sums would be rounded one by one.)"""
        few = self.out_channels <= FEW_CHANNELS and self.kernel_size[1] >= MANY_COLUMNS
        return WIDE_VECTORS and few and self.is_single(x)

    def is_of_few_places(self, x: torch.Tensor) -> bool:
        """Whether one matrix product computes this sooner."""
        return x[:, 0].numel() * CHANNELS_A_PLACE <= self.out_channels

    def by_columns(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of what each column of the kernel gives: all are output channels of one convolution, then moved to their places."""
        size, (around, _) = self.kernel_size[0], self.padding
        columns = self.weight.permute(3, 0, 1, 2).flatten(0, 1)[..., None]  # (size * C_out, C_in, size, 1)
        out = F.conv2d(x, columns, padding=(around, 0)).unflatten(1, (size, -1))  # (N, size, C_out, h, w)
        out = F.pad(out, (around, around))
        out = sum(out[:, i, ..., i : i + x.shape[-1]] for i in range(size))
        return out if self.bias is None else out + self.bias[:, None, None]

    def doubled_weight(self) -> torch.Tensor:
        """The kernel `(C_in, C_out, 4, 4)` of a transposed convolution of stride 2 that doubles and convolves at once.

        Of the nine places that an output reads after doubling, some are copies of each other: with their weights summed there
        are four products instead of nine, and the doubled map is never written.
        """
        spread = self.weight.new_tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=torch.float32)
        kernel = spread.T @ self.weight.float().flip(-1, -2) @ spread
        return kernel.transpose(0, 1).to(self.weight.dtype).contiguous(memory_format=torch.channels_last)


def double(x: torch.Tensor) -> torch.Tensor:
    """Nearest-neighbour doubling of `(N, C, h, w)`."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def convolve_doubled(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """`conv` of `x` doubled by its nearest neighbours."""
    # What stands in its place, such as a convolution with an adapter, need not know of doubling.
    return conv(x, doubled=True) if isinstance(conv, FastConv2d) else conv(double(x))


class ConvBlock(CheckpointedBlock):
    """Convolution, BatchNorm, ReLU.

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
    """`ConvBlock`, then 2x2 average pooling."""

    def compute(self, x: torch.Tensor, parts: Sequence[int] | None = None) -> torch.Tensor:
        x = self.normalised(x, parts)
        if x.device.type == "cpu" and x.requires_grad and x.shape[-2] % 2 == x.shape[-1] % 2 == 0:
            return ReluPool.apply(x)  # in place: BatchNorm keeps what it was given, not this
        return F.avg_pool2d(F.relu(x, inplace=True), 2)


class UpBlock2d(ConvBlock):
    """Nearest-neighbour doubling, then `ConvBlock`."""

    def convolved(self, x: torch.Tensor) -> torch.Tensor:
        return convolve_doubled(self.conv, x)


class ResBlock2d(CheckpointedBlock):
    """Pre-activation residual block: x + conv(relu(bn(conv(relu(bn(x))))))."""

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
    """`num_blocks` down blocks; returns the input and every level's output, finest first."""

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
