"""Sizes of networks to train, by name: tables of overrides of their constructors, and how clips are sampled for them."""

from __future__ import annotations

import copy
from typing import Any

from ..conversion.presets import PRESETS

TOON64_LFAE = {
    "sample_size": 64,
    "num_regions": 32,
    "base_channels": 32,
    "max_channels": 128,
    "flow_base_channels": 32,
    "flow_max_channels": 256,
    "flow_num_blocks": 4,
    "region_base_channels": 16,
    "region_max_channels": 256,
    "region_num_blocks": 4,
    "region_scale": 0.5,
    "flow_grid": "centers",
    "warp_padding": "border",
    "background_base_channels": 16,
    "background_max_channels": 256,
    "background_num_blocks": 4,
}


# Overrides of `LatentFlowAutoencoder`'s arguments, for training one: the released models', and a small one of our own
# (4.4 million parameters) for 64x64 pictures.
LFAE_CONFIGS: dict[str, dict[str, Any]] = {
    preset.name: {"sample_size": preset.sample_size, "region_padding": preset.region_padding}
    for preset in PRESETS.values()
} | {
    "toon64": {
        **TOON64_LFAE,
        # A quarter of 64 pixels is too coarse for a mouth: two places. Half is the released models' 32x32 latent maps.
        "num_down_blocks": 1,
        "num_bottleneck_blocks": 5,
        "flow_scale": 0.5,
    },
    # Of regions and their flow at a quarter of the size; `toon64` can start from what it has learned.
    "toon64-coarse": {**TOON64_LFAE, "num_down_blocks": 2, "num_bottleneck_blocks": 4, "flow_scale": 0.25},
    # Regions and flow of toon64's sizes (32x32 places), from which it can start; with its U-Net 24 MB in half precision.
    "people128": {
        **TOON64_LFAE,
        "sample_size": 128,
        "region_scale": 0.25,
        "num_down_blocks": 2,
        "num_bottleneck_blocks": 4,
        "flow_scale": 0.25,
    },
}


# Overrides of `UNet3DVideoModel`'s arguments, and how clips are sampled; likewise (toon64: 7 million parameters).
UNET_CONFIGS: dict[str, dict[str, Any]] = {
    "mug128": {"num_frames": 40},
    "mhad128": {"num_frames": 40},
    "natops128": {
        "num_frames": 40,
        "upsample_type": "nearest",
        "padding_mode": "reflect",
        "learned_null_embedding": True,
    },
    "toon64": {"num_frames": 16, "patch_size": 2, "block_out_channels": [48, 96, 192], "num_attention_heads": 4},
    "people128": {"num_frames": 24, "patch_size": 2, "block_out_channels": [40, 80, 160], "num_attention_heads": 4},
}


# The same U-Nets by the system that they are for: pixels (vdm), where patches of 4x4 bring toon64 to the places that LFDM's works
# on and to its cost, and the paper has 64x64 pixels; and latents of a frame auto-encoder with LFDM's latent grid (ldm).
FRAME_UNET_CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "vdm": {
        "mug128": {**UNET_CONFIGS["mug128"], "sample_size": 64},
        "toon64": {**UNET_CONFIGS["toon64"], "sample_size": 64, "patch_size": 4},
    },
    "ldm": {name: UNET_CONFIGS[name] for name in ("mug128", "toon64")},
}


# Of diffusers' `AutoencoderKL`: three channels on LFDM's latent grid (mug128: 32x32 of 128 pixels; toon64: 32x32 of 64).
AUTOENCODER_CONFIGS: dict[str, dict[str, Any]] = {
    "mug128": {"sample_size": 128, "block_out_channels": [64, 128, 256], "layers_per_block": 2, "norm_num_groups": 32},
    "toon64": {"sample_size": 64, "block_out_channels": [32, 64], "layers_per_block": 1, "norm_num_groups": 8},
}


FRAME_SAMPLING = {
    "mug128": "very_random",
    "mhad128": "random",
    "natops128": "random",
    "toon64": "uniform",
    "people128": "uniform",
}


def get_lfae_config(name: str) -> dict:
    """Overrides of `LatentFlowAutoencoder`'s arguments for the preset called `name`.

    Raises:
        ValueError: for an unknown one; lists all.
    """
    return _named(name, LFAE_CONFIGS)


def get_unet_config(name: str, system: str | None = None) -> dict:
    """Overrides of `UNet3DVideoModel`'s arguments for the preset called `name`, of LFDM or a system of `FRAME_UNET_CONFIGS`;
    raises as `get_lfae_config`."""
    return _named(name, FRAME_UNET_CONFIGS[system] if system else UNET_CONFIGS)


def get_autoencoder_config(name: str) -> dict:
    """Arguments of diffusers' `AutoencoderKL` for the preset called `name`, but for the types of its blocks, which are as many as
    `block_out_channels`; raises as `get_lfae_config`."""
    return _named(name, AUTOENCODER_CONFIGS) | {"latent_channels": 3, "mid_block_add_attention": False}


def _named(name: str, table: dict[str, dict]) -> dict:
    if name not in table:
        raise ValueError(f"`preset` must be one of {', '.join(table)}, got {name!r}.")
    return copy.deepcopy(table[name])
