"""Blocks of the 3-D U-Net: convolutions within frames, attention over places and over frames, norms over whole videos."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .attention_3d import RotaryPositions, VideoAttention
from .blocks_2d import FastConv2d, convolve_doubled
from .text_attention import TextAttention, TextTokens


class FrameContext(NamedTuple):
    """What the layers of one forward pass share: the frame count, the frames' positions, and the text's tokens where a U-Net
    attends to them."""

    num_frames: int
    rotary: RotaryPositions
    bias: torch.Tensor
    text: TextTokens | None = None


class FrameGroupNorm(nn.GroupNorm):
    """GroupNorm over all frames of a video together, with FiLM and SiLU: silu(norm(x) * (scale + 1) + shift)."""

    def forward(  # type: ignore[override]  # it must know the frames
        self, x: torch.Tensor, num_frames: int, film: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`x` `(B * F, C, h, w)` channels-last; `film` `(B, 2C)`: scale, then shift."""
        _, channels, height, width = x.shape
        # (B*F, C, h, w) -> (B, C, F*h, w): the same memory, so that a group's statistics span all frames.
        volume = x.permute(0, 2, 3, 1).reshape(-1, num_frames * height, width, channels).permute(0, 3, 1, 2)
        if film is None:
            out = F.group_norm(volume, self.num_groups, self.weight, self.bias, self.eps)
        else:
            scale, shift = film.chunk(2, dim=1)
            gain, offset = self.weight * (scale + 1), self.bias * (scale + 1) + shift  # (B, C)
            if volume.shape[0] == 1:  # norm and FiLM are then one affine map, one pass over memory
                out = F.group_norm(volume, self.num_groups, gain[0], offset[0], self.eps)
            else:
                out = F.group_norm(volume, self.num_groups, None, None, self.eps)
                out = torch.addcmul(offset[:, :, None, None], out, gain[:, :, None, None])
        out = F.silu(out, inplace=not torch.is_grad_enabled()).to(x.dtype)  # norms may be kept in float32
        return out.permute(0, 2, 3, 1).reshape(-1, height, width, channels).permute(0, 3, 1, 2)


class ResnetBlock(nn.Module):
    """Two (1, 3, 3) convolutions with GroupNorm and SiLU, FiLM after the first norm, and a residual sum."""

    def __init__(self, in_channels: int, out_channels: int, groups: int, embed_dim: int | None = None):
        super().__init__()
        self.film = nn.Linear(embed_dim, 2 * out_channels) if embed_dim else None
        self.conv1 = FastConv2d(in_channels, out_channels, 3, padding=1)
        self.norm1 = FrameGroupNorm(groups, out_channels, eps=1e-5)
        self.conv2 = FastConv2d(out_channels, out_channels, 3, padding=1)
        self.norm2 = FrameGroupNorm(groups, out_channels, eps=1e-5)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: torch.Tensor, num_frames: int, embed: torch.Tensor | None = None) -> torch.Tensor:
        """`x` `(B * F, C, h, w)`; `embed` `(B, embed_dim)`, already through SiLU."""
        film = self.film(embed) if self.film is not None else None
        h = self.norm1(self.conv1(x), num_frames, film)
        h = self.norm2(self.conv2(h), num_frames)
        return h + (self.conv_shortcut(x) if self.conv_shortcut is not None else x)


class BlockSettings(NamedTuple):
    """What the blocks of all levels have in common: see the constructor of `UNet3DVideoModel`. `text_dim` is D of the tokens that
    they attend to, 0 for none."""

    groups: int
    embed_dim: int
    heads: int
    head_dim: int
    spatial_head_dim: int
    text_dim: int = 0


class AttentionPair(nn.Module):
    """Attention over the places of each frame, to the text where it is heard, then over the frames of each place: `(B * F, C, h, w)` in
    and out."""

    def __init__(self, channels: int, settings: BlockSettings, linear: bool):
        super().__init__()
        _, _, heads, head_dim, spatial_head_dim, text_dim = settings
        self.spatial = VideoAttention(channels, heads, spatial_head_dim, "places", linear=linear, out_bias=linear)
        self.text = TextAttention(channels, heads, head_dim, text_dim) if text_dim else None
        self.temporal = VideoAttention(channels, heads, head_dim, "frames")

    def forward(self, x: torch.Tensor, context: FrameContext) -> torch.Tensor:
        x = self.spatial(x, context.num_frames)
        if self.text is not None and context.text is not None:
            x = self.text(x, context.num_frames, context.text)
        return self.temporal(x, context.num_frames, context.rotary, context.bias)


class DownBlock(nn.Module):
    """Two residual blocks, attention, and a halving (none at the deepest level).

    Maps `(B * F, in_channels, h, w)` and an embedding `(B, embed_dim)` to `(B * F, out_channels, h / 2, w / 2)` and the skip, which
    has the size from before the halving.
    """

    def __init__(self, in_channels: int, out_channels: int, settings: BlockSettings, downsample: bool):
        super().__init__()
        self.resnets = nn.ModuleList(
            ResnetBlock(channels, out_channels, settings.groups, settings.embed_dim)
            for channels in (in_channels, out_channels)
        )
        self.attention = AttentionPair(out_channels, settings, linear=True)
        self.downsample = nn.Conv2d(out_channels, out_channels, 4, stride=2, padding=1) if downsample else None

    def forward(
        self, x: torch.Tensor, embed: torch.Tensor, context: FrameContext
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for resnet in self.resnets:
            x = resnet(x, context.num_frames, embed)
        skip = self.attention(x, context)
        return (self.downsample(skip) if self.downsample is not None else skip), skip


class MidBlock(nn.Module):
    """Residual block, full attention, residual block, at the smallest size: `(B * F, C, h, w)` in and out."""

    def __init__(self, channels: int, settings: BlockSettings):
        super().__init__()
        self.resnets = nn.ModuleList(
            ResnetBlock(channels, channels, settings.groups, settings.embed_dim) for _ in range(2)
        )
        self.attention = AttentionPair(channels, settings, linear=False)

    def forward(self, x: torch.Tensor, embed: torch.Tensor, context: FrameContext) -> torch.Tensor:
        x = self.resnets[0](x, context.num_frames, embed)
        return self.resnets[1](self.attention(x, context), context.num_frames, embed)


PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class NearestUpsample(nn.Module):
    """Nearest-neighbour doubling and a convolution with a padding mode of choice: `(N, C, h, w)` to `(N, C, 2h, 2w)`."""

    def __init__(self, channels: int, padding_mode: PaddingMode):
        super().__init__()
        self.conv = FastConv2d(channels, channels, 3, padding=1, padding_mode=padding_mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return convolve_doubled(self.conv, x)


class UpBlock(nn.Module):
    """The skip concatenated, two residual blocks, attention, and a doubling (none at the finest level).

    Maps `(B * F, in_channels, h, w)`, a skip like it and an embedding `(B, embed_dim)` to `(B * F, out_channels, 2h, 2w)`.
    """

    def __init__(self, in_channels: int, out_channels: int, settings: BlockSettings, upsample: nn.Module | None):
        super().__init__()
        self.resnets = nn.ModuleList(
            ResnetBlock(channels, out_channels, settings.groups, settings.embed_dim)
            for channels in (2 * in_channels, out_channels)
        )
        self.attention = AttentionPair(out_channels, settings, linear=True)
        self.upsample = upsample

    def forward(self, x: torch.Tensor, skip: torch.Tensor, embed: torch.Tensor, context: FrameContext) -> torch.Tensor:
        x = torch.cat((x, skip), dim=1)
        for resnet in self.resnets:
            x = resnet(x, context.num_frames, embed)
        x = self.attention(x, context)
        return self.upsample(x) if self.upsample is not None else x


class OutputHead(nn.Module):
    """An unconditioned residual block and a 1x1 convolution that gives all pixels of a patch of p * p.

    Maps `(B * F, in_channels, h, w)` to `(B * F, out_channels, p * h, p * w)`.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int, groups: int, patch_size: int):
        super().__init__()
        self.patch_size = patch_size
        self.resnet = ResnetBlock(in_channels, channels, groups)
        self.conv = nn.Conv2d(channels, out_channels * patch_size**2, 1)

    def forward(self, x: torch.Tensor, num_frames: int) -> torch.Tensor:
        return F.pixel_shuffle(self.conv(self.resnet(x, num_frames)), self.patch_size)
