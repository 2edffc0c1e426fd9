"""The released networks once more, plain and slow: what a converted model is held against.

The released code cannot be run beside ours, so this takes its place: both networks written from the checkpoint's own
tensors under their own names, in float64, with 5-D convolutions, one attention at a time and nothing folded, split,
fused or shared. It shares no code with `models/` and no table with `names.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F


class PlainTensors(dict[str, torch.Tensor]):
    """A state dict in float64, with the layers that read it by name."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], prefix: str = ""):
        kept = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        super().__init__({k: v.detach().cpu().double() for k, v in kept.items()})

    def conv(self, name: str, x: torch.Tensor, **options: Any) -> torch.Tensor:
        convolve = F.conv3d if self[f"{name}.weight"].ndim == 5 else F.conv2d
        return convolve(x, self[f"{name}.weight"], self.get(f"{name}.bias"), **options)

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight = self[f"{name}.weight"]
        return F.linear(x, weight.reshape(weight.shape[:2]), self.get(f"{name}.bias"))

    def count(self, pattern: str) -> int:
        """How many of `pattern % 0`, `pattern % 1`, ... there are."""
        n = 0
        while any(key.startswith(pattern % n) for key in self):
            n += 1
        return n


# --- The U-Net, volumes (B, C, F, h, w) -------------------------------------------------------------------------------


def _rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions on `(..., F, d)`: pairs (2i, 2i + 1) of at most 32 features turn by frame * 10000^(-2i / r)."""
    frames, r = x.shape[-2], min(32, x.shape[-1])
    rates = 10000.0 ** (-torch.arange(0, r, 2, dtype=torch.float64) / r)
    turn = torch.polar(torch.ones(frames, r // 2, dtype=torch.float64), torch.arange(frames)[:, None] * rates)
    pairs = torch.view_as_complex(x[..., :r].unflatten(-1, (-1, 2)).contiguous())
    return torch.cat((torch.view_as_real(pairs * turn).flatten(-2), x[..., r:]), dim=-1)


def _position_bias(t: PlainTensors, frames: int) -> torch.Tensor:
    """T5's relative position bias `(heads, F, F)`, bucket by bucket."""
    table = t["time_rel_pos_bias.relative_attention_bias.weight"]
    bias = torch.empty(table.shape[1], frames, frames, dtype=torch.float64)
    for query in range(frames):
        for key in range(frames):
            n = abs(query - key)
            bucket = n if n < 8 else min(15, 8 + int(math.log(n / 8) / math.log(32 / 8) * 8))
            bias[:, query, key] = table[bucket + (16 if query < key else 0)]
    return bias


def _attend(t: PlainTensors, name: str, x: torch.Tensor, axis: str, heads: int) -> torch.Tensor:
    """x + attention(norm(x)) over the frames of each place, the places of each frame, or linearly over the latter."""
    mean, var = x.mean(dim=1, keepdim=True), x.var(dim=1, unbiased=False, keepdim=True)
    normed = (x - mean) / (var + 1e-5).sqrt() * t[f"{name}.fn.norm.gamma"]
    inner = f"{name}.fn.fn" if axis == "linear" else f"{name}.fn.fn.fn"
    tokens = normed.flatten(3).permute(0, 2, 3, 1)  # (B, F, N, C)
    if axis == "frames":
        tokens = tokens.transpose(1, 2)  # (B, N, F, C)
    qkv = t.linear(f"{inner}.to_qkv", tokens).chunk(3, dim=-1)
    q, k, v = (a.unflatten(-1, (heads, -1)).transpose(2, 3) for a in qkv)  # (B, ., heads, tokens, d)
    scale = q.shape[-1] ** -0.5
    if axis == "linear":
        context = k.softmax(dim=-2).transpose(-1, -2) @ v
        out = (q.softmax(dim=-1) * scale) @ context
    else:
        q = q * scale
        if axis == "frames":
            q, k = _rotate(q), _rotate(k)
        logits = q @ k.transpose(-1, -2)
        out = (logits + _position_bias(t, x.shape[2]) if axis == "frames" else logits).softmax(dim=-1) @ v
    out = t.linear(f"{inner}.to_out", out.transpose(2, 3).flatten(3))
    if axis == "frames":
        out = out.transpose(1, 2)
    return x + out.permute(0, 3, 1, 2).reshape(x.shape)


def _resnet(t: PlainTensors, name: str, x: torch.Tensor, embed: torch.Tensor | None, groups: int) -> torch.Tensor:
    h = x
    for block in (1, 2):
        h = t.conv(f"{name}.block{block}.proj", h, padding=(0, 1, 1))
        norm = f"{name}.block{block}.norm"
        h = F.group_norm(h, groups, t[f"{norm}.weight"], t[f"{norm}.bias"], eps=1e-5)
        if block == 1 and embed is not None:
            scale, shift = t.linear(f"{name}.mlp.1", F.silu(embed))[:, :, None, None, None].chunk(2, dim=1)
            h = h * (scale + 1) + shift
        h = F.silu(h)
    return h + (t.conv(f"{name}.res_conv", x) if f"{name}.res_conv.weight" in t else x)


def plain_unet(
    tensors: Mapping[str, torch.Tensor],
    sample: torch.Tensor,
    timestep: torch.Tensor,
    text_embeds: torch.Tensor | None,
    image_latents: torch.Tensor,
    padding_mode: str = "zeros",
    groups: int = 8,
) -> torch.Tensor:
    """The released U-Net from its own tensors, float64.

    Args:
        tensors: the `diffusion` state dict.
        sample: `(B, 3, F, h, w)` noisy volume. timestep: `(B,)`. text_embeds: `(B, D)`, None for the null condition.
        image_latents: `(B, C, h, w)`, repeated here for every frame and concatenated, as the paper's eq. 4 is written.

    Returns:
        `(B, 3, F, h, w)` predicted noise.
    """
    t = PlainTensors(tensors, "denoise_fn.")
    sample, image_latents = sample.double(), image_latents.double()
    heads = t["time_rel_pos_bias.relative_attention_bias.weight"].shape[1]
    half = t["time_mlp.1.weight"].shape[1] // 2
    angles = timestep.double()[:, None] * torch.exp(
        -torch.arange(half, dtype=torch.float64) * math.log(10000) / (half - 1)
    )
    time = t.linear("time_mlp.1", torch.cat((angles.sin(), angles.cos()), dim=1))
    time = t.linear("time_mlp.3", F.gelu(time))
    if text_embeds is None:
        width = t["downs.0.0.mlp.1.weight"].shape[1] - time.shape[1]
        text_embeds = t.get("null_cond_emb", torch.zeros(1, width, dtype=torch.float64)).expand(len(sample), -1)
    embed = torch.cat((time, text_embeds.double()), dim=1)

    volume = image_latents[:, :, None].expand(-1, -1, sample.shape[2], -1, -1)
    x = first = t.conv("init_conv", torch.cat((sample, volume), dim=1), padding=(0, 3, 3))
    x = _attend(t, "init_temporal_attn", x, "frames", heads)
    skips, levels = [], t.count("downs.%d.")
    for i in range(levels):
        for j in (0, 1):
            x = _resnet(t, f"downs.{i}.{j}", x, embed, groups)
        x = _attend(t, f"downs.{i}.2", x, "linear", heads)
        x = _attend(t, f"downs.{i}.3", x, "frames", heads)
        skips.append(x)
        if i < levels - 1:
            x = t.conv(f"downs.{i}.4", x, stride=(1, 2, 2), padding=(0, 1, 1))
    x = _resnet(t, "mid_block1", x, embed, groups)
    x = _attend(t, "mid_spatial_attn", x, "places", heads)
    x = _attend(t, "mid_temporal_attn", x, "frames", heads)
    x = _resnet(t, "mid_block2", x, embed, groups)
    for i in range(levels):
        x = torch.cat((x, skips.pop()), dim=1)
        for j in (0, 1):
            x = _resnet(t, f"ups.{i}.{j}", x, embed, groups)
        x = _attend(t, f"ups.{i}.2", x, "linear", heads)
        x = _attend(t, f"ups.{i}.3", x, "frames", heads)
        if i < levels - 1 and f"ups.{i}.4.1.weight" in t:
            x = x.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
            mode = "constant" if padding_mode == "zeros" else padding_mode
            x = t.conv(f"ups.{i}.4.1", F.pad(x, (1, 1, 1, 1, 0, 0), mode=mode))
        elif i < levels - 1:
            weight, bias = t[f"ups.{i}.4.weight"], t[f"ups.{i}.4.bias"]
            x = F.conv_transpose3d(x, weight, bias, stride=(1, 2, 2), padding=(0, 1, 1))
    x = torch.cat((x, first), dim=1)
    heads_out = [
        t.conv(f"{head}.1", _resnet(t, f"{head}.0", x, None, groups)) for head in ("final_conv", "occlusion_map")
    ]
    return torch.cat(heads_out, dim=1)


# --- The LFAE, pictures (B, C, H, W) ----------------------------------------------------------------------------------


def _norm(t: PlainTensors, name: str, x: torch.Tensor) -> torch.Tensor:
    mean, var, weight, bias = (t[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.relu(F.batch_norm(x, mean, var, weight, bias, training=False, eps=1e-5))


def _block(t: PlainTensors, name: str, x: torch.Tensor, padding: int = 1) -> torch.Tensor:
    return _norm(t, f"{name}.norm", t.conv(f"{name}.conv", x, padding=padding))


def _encode(t: PlainTensors, name: str, x: torch.Tensor) -> list[torch.Tensor]:
    levels = [x]
    for i in range(t.count(f"{name}.down_blocks.%d.")):
        levels.append(F.avg_pool2d(_block(t, f"{name}.down_blocks.{i}", levels[-1]), 2))
    return levels


def _hourglass(t: PlainTensors, name: str, x: torch.Tensor) -> torch.Tensor:
    levels = _encode(t, f"{name}.encoder", x)
    x = levels.pop()
    for i in range(len(levels)):
        x = _block(t, f"{name}.decoder.up_blocks.{i}", x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
        x = torch.cat((x, levels.pop()), dim=1)
    return x


def _smaller(t: PlainTensors, name: str, image: torch.Tensor, scale: float) -> torch.Tensor:
    if scale == 1:
        return image
    kernel, step = t[f"{name}.weight"], round(1 / scale)
    return F.conv2d(image, kernel, padding=kernel.shape[-1] // 2, groups=image.shape[1])[..., ::step, ::step]


def plain_grid(height: int, width: int) -> torch.Tensor:
    """Every place's own coordinates `(height, width, 2)`, x before y, from -1 to 1 at the outermost centres."""
    y, x = (2 * torch.arange(n, dtype=torch.float64) / (n - 1) - 1 for n in (height, width))
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1)


def _read(feature: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(feature, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def plain_regions(t: PlainTensors, image: torch.Tensor, config: Mapping) -> tuple[torch.Tensor, ...]:
    """Centres `(B, K, 2)`, covariances and principal axes `(B, K, 2, 2)` of a picture's regions."""
    x = _hourglass(t, "predictor", _smaller(t, "down", image, config["region_scale"]))
    logits = t.conv("regions", x, padding=config["region_padding"])
    heatmap = (logits.flatten(2) / config["region_temperature"]).softmax(dim=-1)  # (B, K, hw)
    grid = plain_grid(*logits.shape[-2:]).flatten(0, 1)  # (hw, 2)
    shift = heatmap @ grid
    d = grid - shift[:, :, None]  # (B, K, hw, 2)
    covar = (d * heatmap[..., None]).transpose(-1, -2) @ d
    u, s, _ = torch.linalg.svd(covar)
    return shift, covar, u * s.sqrt()[:, :, None]


def plain_flow(
    checkpoint: Mapping, reference: torch.Tensor, driving: torch.Tensor, config: Mapping
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow `(B, 2, h, w)` and occlusion `(B, 1, h, w)` of an LFAE checkpoint, float64.

    Args:
        checkpoint: as `torch.load` gives it.
        reference, driving: `(B, 3, H, W)` in [0, 1].
        config: of the converted `LatentFlowAutoencoder`.
    """
    regions, background = PlainTensors(checkpoint["region_predictor"]), PlainTensors(checkpoint["bg_predictor"])
    t = PlainTensors(checkpoint["generator"], "pixelwise_flow_predictor.")
    reference, driving = reference.double(), driving.double()
    ref_shift, ref_covar, ref_affine = plain_regions(regions, reference, config)
    drv_shift, drv_covar, drv_affine = plain_regions(regions, driving, config)
    batch, count = ref_shift.shape[:2]

    small = _smaller(t, "down", reference, config["flow_scale"])
    grid = plain_grid(*small.shape[-2:])  # (h, w, 2)
    matrix = torch.eye(3, dtype=torch.float64).flatten().repeat(batch, 1)
    if background:
        features = _encode(background, "encoder", torch.cat((reference, driving), dim=1))[-1].mean(dim=(2, 3))
        given = background.linear("fc", features)
        matrix[:, [2, 5] if given.shape[1] == 2 else list(range(given.shape[1]))] = given
    moved = torch.cat((grid, torch.ones_like(grid[..., :1])), dim=-1) @ matrix.view(batch, 1, 3, 3).transpose(-1, -2)
    motions, maps = [moved[..., :2] / moved[..., 2:]], [torch.zeros_like(small[:, 0])]
    for k in range(count):
        affine = ref_affine[:, k] @ drv_affine[:, k].inverse()
        if config["revert_axis_swap"]:
            affine = affine * affine[:, :1, :1].sign()
        offset = grid - drv_shift[:, None, None, k]
        motions.append(offset @ affine[:, None].transpose(-1, -2) + ref_shift[:, None, None, k])
        pair = []
        for shift, covar in ((drv_shift, drv_covar), (ref_shift, ref_covar)):
            d = grid - shift[:, None, None, k]
            precision = (
                covar[:, k].inverse()
                if config["use_covar_heatmap"]
                else torch.eye(2, dtype=torch.float64)[None] / 0.01
            )
            pair.append(torch.exp(-0.5 * ((d @ precision[:, None]) * d).sum(dim=-1)))
        maps.append(pair[0] - pair[1])
    seen = []
    for heatmap, motion in zip(maps, motions):
        seen.append(heatmap[:, None])
        if config["use_deformed_source"]:
            seen.append(_read(small, motion))
    features = _hourglass(t, "hourglass", torch.cat(seen, dim=1))
    mask = t.conv("mask", features, padding=3).softmax(dim=1)
    flow = sum(
        (mask[:, k, ..., None] * motion for k, motion in enumerate(motions)),
        start=torch.zeros((), dtype=torch.float64),
    )
    return flow.permute(0, 3, 1, 2), t.conv("occlusion", features, padding=3).sigmoid()


def plain_decode(
    checkpoint: Mapping, image: torch.Tensor, flow: torch.Tensor, occlusion: torch.Tensor, use_skips: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """The frame `(B, 3, H, W)` that an LFAE checkpoint makes of a picture, and its latent map, float64.

    Args:
        checkpoint: as `torch.load` gives it.
        image: `(B, 3, H, W)` in [0, 1]. flow: `(B, 2, h, w)`. occlusion: `(B, 1, h, w)`.
        use_skips: whether warped features and the warped picture are blended in.
    """
    t = PlainTensors(checkpoint["generator"])
    image, flow, occlusion = image.double(), flow.double(), occlusion.double()

    def warped(feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        motion = F.interpolate(torch.cat((flow, occlusion), dim=1), feature.shape[-2:], mode="bilinear")
        return _read(feature, motion[:, :2].permute(0, 2, 3, 1)), motion[:, 2:]

    skips = [_block(t, "first", image, padding=3)]
    for i in range(t.count("down_blocks.%d.")):
        skips.append(F.avg_pool2d(_block(t, f"down_blocks.{i}", skips[-1]), 2))
    moved, kept = warped(skips[-1])
    x = moved * kept
    for i in range(t.count("bottleneck.r%d.")):
        name = f"bottleneck.r{i}"
        h = t.conv(f"{name}.conv1", _norm(t, f"{name}.norm1", x), padding=1)
        x = x + t.conv(f"{name}.conv2", _norm(t, f"{name}.norm2", h), padding=1)
    for i in range(len(skips)):
        if use_skips:
            moved, kept = warped(skips[-(i + 1)])
            x = moved * kept + x * (1 - kept)
        if i < len(skips) - 1:
            x = _block(t, f"up_blocks.{i}", x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    x = t.conv("final", x, padding=3).sigmoid()
    moved, kept = warped(image)
    return (moved * kept + x * (1 - kept) if use_skips else x), skips[-1]
