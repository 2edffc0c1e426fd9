"""The method as its formulas read, with the weights of this package's models and none of its ways of being fast.

`speed.py` times it beside the models, on the same machine: volumes (B, C, F, h, w) and convolutions over three axes, the picture
repeated for every frame and convolved at every step, attention by sums over named axes, frames decoded one by one. `tests/benchmarks/test_benchmarks.py`
asks it for the models' own numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from lfdm_diffusers import LatentFlowAutoencoder, UNet3DVideoModel
from lfdm_diffusers.models.attention_3d import LinearAttnProcessor, RotaryPositions, VideoAttention
from lfdm_diffusers.models.blocks_3d import AttentionPair, FrameGroupNorm, OutputHead, ResnetBlock


def convolve(layer: nn.Conv2d | nn.ConvTranspose2d, x: torch.Tensor) -> torch.Tensor:
    """A layer of frames on a volume."""
    convolution = F.conv_transpose3d if isinstance(layer, nn.ConvTranspose2d) else F.conv3d
    stride, padding = ((1, *layer.stride), (0, *layer.padding))
    return convolution(x, layer.weight.contiguous()[:, :, None], layer.bias, stride, padding)


def normalise(norm: FrameGroupNorm, x: torch.Tensor) -> torch.Tensor:
    return F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


def residual(block: ResnetBlock, x: torch.Tensor, embed: torch.Tensor | None = None) -> torch.Tensor:
    h = normalise(block.norm1, convolve(block.conv1, x))
    if block.film is not None:
        scale, shift = block.film(embed)[:, :, None, None, None].chunk(2, dim=1)
        h = h * (scale + 1) + shift
    h = F.silu(normalise(block.norm2, convolve(block.conv2, F.silu(h))))
    return h + (x if block.conv_shortcut is None else convolve(block.conv_shortcut, x))


def attend(layer: VideoAttention, x: torch.Tensor, rotary: RotaryPositions, bias: torch.Tensor) -> torch.Tensor:
    """Attention and the residual sum, of a volume."""
    mean, variance = x.mean(dim=1, keepdim=True), x.var(dim=1, keepdim=True, unbiased=False)
    normed = (x - mean) / (variance + layer.norm.eps).sqrt() * layer.norm.weight[:, None, None, None]
    over_frames = layer.axis == "frames"
    # (B, C, F, h, w) -> (B, places, F, C) or (B, F, places, C)
    tokens = normed.flatten(3).permute((0, 3, 2, 1) if over_frames else (0, 2, 3, 1)).contiguous()
    query, key, value = (
        y.unflatten(-1, (layer.heads, -1)) for y in (layer.to_q(tokens), layer.to_k(tokens), layer.to_v(tokens))
    )
    query_scale = query.shape[-1] ** -0.5
    if isinstance(layer.processor, LinearAttnProcessor):
        context = torch.einsum("bslhd,bslhe->bshde", key.softmax(dim=2), value)
        out = torch.einsum("bslhd,bshde->bslhe", query.softmax(dim=-1) * query_scale, context)
    else:
        query = query * query_scale
        if over_frames:
            query, key = (y * rotary.cos + (y @ rotary.swap) * rotary.sin for y in (query, key))
        logits = torch.einsum("bslhd,bsmhd->bshlm", query, key)
        weights = (logits + bias if over_frames else logits).softmax(dim=-1)
        out = torch.einsum("bshlm,bsmhd->bslhd", weights, value)
    out = layer.to_out[0](out.flatten(-2))
    return x + (out.permute(0, 3, 2, 1) if over_frames else out.permute(0, 3, 1, 2)).reshape(x.shape)


def denoise(
    unet: UNet3DVideoModel, sample: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor, latent: torch.Tensor
) -> torch.Tensor:
    """`unet(sample, timestep, text, latent).sample`, of U-Nets without patches, with heads of at most 32 features, whose doublings
    are transposed convolutions."""
    frames, config = sample.shape[2], unet.config
    rotary = RotaryPositions.create(
        frames,
        config.num_attention_heads,
        config.attention_head_dim,
        config.attention_head_dim,
        sample.device,
        sample.dtype,
    )
    bias = unet.position_bias(frames, sample.device)
    time = unet.time_embedding(unet.time_proj(timestep.reshape(-1).expand(len(sample))))
    embed = F.silu(torch.cat((time, text), dim=1))

    def both(pair: AttentionPair, x: torch.Tensor) -> torch.Tensor:
        return attend(pair.temporal, attend(pair.spatial, x, rotary, bias), rotary, bias)

    picture = latent[:, :, None].expand(-1, -1, frames, -1, -1)
    first = torch.cat((unet.conv_in.weight, unet.conv_image.weight), dim=1)[:, :, None]
    x = F.conv3d(torch.cat((sample, picture), dim=1), first, unet.conv_in.bias, padding=(0, 3, 3))
    start, skips = x, []
    x = attend(unet.temporal_in, x, rotary, bias)
    for block in unet.down_blocks:
        for resnet in block.resnets:
            x = residual(resnet, x, embed)
        x = both(block.attention, x)
        skips.append(x)
        x = x if block.downsample is None else convolve(block.downsample, x)
    x = residual(unet.mid_block.resnets[0], x, embed)
    x = residual(unet.mid_block.resnets[1], both(unet.mid_block.attention, x), embed)
    for block in unet.up_blocks:
        x = torch.cat((x, skips.pop()), dim=1)
        for resnet in block.resnets:
            x = residual(resnet, x, embed)
        x = both(block.attention, x)
        x = x if block.upsample is None else convolve(block.upsample, x)
    x = torch.cat((x, start), dim=1)

    def head(part: OutputHead) -> torch.Tensor:
        return convolve(part.conv, residual(part.resnet, x))

    return torch.cat((head(unet.flow_head), head(unet.occlusion_head)), dim=1)


def convolve_frame(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """A layer of the auto-encoder on one frame."""
    return F.conv2d(x, conv.weight.contiguous(), conv.bias, padding=conv.padding)


def layer(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Convolution, norm and ReLU of the auto-encoder."""
    return F.relu(block.norm(convolve_frame(block.conv, x)))


def encode(lfae: LatentFlowAutoencoder, picture: torch.Tensor) -> list[torch.Tensor]:
    """Feature maps, finest first: `lfae.encode(picture).skips`."""
    levels = [layer(lfae.conv_in, picture)]
    for block in lfae.down_blocks:
        levels.append(F.avg_pool2d(layer(block, levels[-1]), 2))
    return levels


def decode(
    lfae: LatentFlowAutoencoder,
    picture: torch.Tensor,
    levels: list[torch.Tensor],
    flow: torch.Tensor,
    occlusion: torch.Tensor,
) -> torch.Tensor:
    """`lfae.decode(lfae.encode(picture), flow, occlusion).sample`, of auto-encoders with skips and released warps; levels are `encode`'s."""
    frames = [decode_frame(lfae, picture, levels, *motion) for motion in zip(flow.unbind(2), occlusion.unbind(2))]
    return torch.stack(frames, dim=2)


def decode_frame(
    lfae: LatentFlowAutoencoder,
    picture: torch.Tensor,
    levels: list[torch.Tensor],
    flow: torch.Tensor,
    occlusion: torch.Tensor,
) -> torch.Tensor:
    def warp(feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size = feature.shape[-2:]
        grid, mask = (F.interpolate(y, size=size, mode="bilinear") for y in (flow, occlusion))
        return F.grid_sample(feature, grid.permute(0, 2, 3, 1), align_corners=False), mask

    warped, mask = warp(levels[-1])
    x = warped * mask
    for block in lfae.bottleneck:
        h = convolve_frame(block.conv1, F.relu(block.norm1(x)))
        x = x + convolve_frame(block.conv2, F.relu(block.norm2(h)))
    for level, block in zip(reversed(levels[1:]), lfae.up_blocks):
        warped, mask = warp(level)
        x = layer(block, F.interpolate(x * (1 - mask) + warped * mask, scale_factor=2))
    warped, mask = warp(levels[0])
    x = convolve_frame(lfae.conv_out, x * (1 - mask) + warped * mask).sigmoid()
    warped, mask = warp(picture)
    return x * (1 - mask) + warped * mask
