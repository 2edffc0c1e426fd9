"""What released checkpoints call their tensors, and what we call them: a table, read in both directions."""

from __future__ import annotations

import re

# Names in released checkpoints and ours, one row each, the first that fits is used. A row that ends in "." is the beginning
# of a name, any other the whole of it; {} stands for a number.
Rows = list[tuple[str, str]]

# The state dicts of an LFAE checkpoint.
LFAE_MODULES = ("generator", "region_predictor", "bg_predictor")
LFAE_NAMES: Rows = [
    ("generator.pixelwise_flow_predictor.hourglass.encoder.", "flow_predictor.hourglass.encoder."),
    ("generator.pixelwise_flow_predictor.hourglass.decoder.", "flow_predictor.hourglass."),
    ("generator.pixelwise_flow_predictor.down.weight", "flow_predictor.downsample.kernel"),
    ("generator.pixelwise_flow_predictor.", "flow_predictor."),
    ("generator.first.", "conv_in."),
    ("generator.final.", "conv_out."),
    ("generator.bottleneck.r{}.", "bottleneck.{}."),
    ("generator.down_blocks.", "down_blocks."),
    ("generator.up_blocks.", "up_blocks."),
    ("region_predictor.predictor.encoder.", "region_predictor.hourglass.encoder."),
    ("region_predictor.predictor.decoder.", "region_predictor.hourglass."),
    ("region_predictor.down.weight", "region_predictor.downsample.kernel"),
    ("region_predictor.", "region_predictor."),
    ("bg_predictor.", "background_predictor."),
]

RESNETS = [
    *((f"downs.{{}}.{i}.", f"down_blocks.{{}}.resnets.{i}.") for i in (0, 1)),
    *((f"ups.{{}}.{i}.", f"up_blocks.{{}}.resnets.{i}.") for i in (0, 1)),
    ("mid_block1.", "mid_block.resnets.0."),
    ("mid_block2.", "mid_block.resnets.1."),
    ("final_conv.0.", "flow_head.resnet."),
    ("occlusion_map.0.", "occlusion_head.resnet."),
]
RESNET_LAYERS = [
    ("mlp.1.", "film."),
    *((f"block{i}.proj.", f"conv{i}.") for i in (1, 2)),
    *((f"block{i}.norm.", f"norm{i}.") for i in (1, 2)),
    ("res_conv.", "conv_shortcut."),
]
# Residual and norm are a wrapper each there, and so is the folding of all but linear attention.
ATTENTIONS = [
    ("init_temporal_attn.", "temporal_in.", "fn.fn.fn."),
    ("downs.{}.2.", "down_blocks.{}.attention.spatial.", "fn.fn."),
    ("downs.{}.3.", "down_blocks.{}.attention.temporal.", "fn.fn.fn."),
    ("mid_spatial_attn.", "mid_block.attention.spatial.", "fn.fn.fn."),
    ("mid_temporal_attn.", "mid_block.attention.temporal.", "fn.fn.fn."),
    ("ups.{}.2.", "up_blocks.{}.attention.spatial.", "fn.fn."),
    ("ups.{}.3.", "up_blocks.{}.attention.temporal.", "fn.fn.fn."),
]
UNET_NAMES: Rows = [
    ("time_rel_pos_bias.relative_attention_bias.", "position_bias.embedding."),
    ("null_cond_emb", "null_text_embed"),
    ("init_conv.", "conv_in."),
    ("time_mlp.1.", "time_embedding.linear_1."),
    ("time_mlp.3.", "time_embedding.linear_2."),
    *((theirs + layer, ours + ours_layer) for theirs, ours in RESNETS for layer, ours_layer in RESNET_LAYERS),
    *((f"{theirs}fn.norm.gamma", f"{ours}norm.weight") for theirs, ours, _ in ATTENTIONS),
    *((f"{theirs}{inner}to_qkv.", f"{ours}to_qkv.") for theirs, ours, inner in ATTENTIONS),
    *((f"{theirs}{inner}to_out.", f"{ours}to_out.0.") for theirs, ours, inner in ATTENTIONS),
    ("downs.{}.4.", "down_blocks.{}.downsample."),
    ("ups.{}.4.1.", "up_blocks.{}.upsample.conv."),
    ("ups.{}.4.", "up_blocks.{}.upsample."),
    ("final_conv.1.", "flow_head.conv."),
    ("occlusion_map.1.", "occlusion_head.conv."),
]
# Beside the U-Net in a DM checkpoint.
SCHEDULE_BUFFERS = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)


def renamed(name: str, rows: Rows) -> str | None:
    """`name` as the second column of `rows` has it, None if no row fits."""
    for old, new in rows:
        if match := re.match(re.escape(old).replace(r"\{\}", r"(\d+)"), name):
            rest = name[match.end() :]
            if old.endswith(".") or not rest:
                return new.format(*match.groups()) + rest
    return None


def released_lfae_name(ours: str) -> str:
    """What released checkpoints call one of our tensors, for error messages."""
    return renamed(ours, [(new, old) for old, new in LFAE_NAMES]) or ours


def released_unet_name(ours: str) -> str:
    """What released checkpoints call one of our tensors, for error messages."""
    whole = re.sub(r"\.to_[qkv]\.", ".to_qkv.", ours).replace("conv_image.", "conv_in.")
    return "denoise_fn." + (renamed(whole, [(new, old) for old, new in UNET_NAMES]) or whole)
