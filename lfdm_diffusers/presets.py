"""What no tensor of a released checkpoint tells: sizes, label texts, paddings; and auto-encoders to train. Tables of overrides."""

from __future__ import annotations

import copy
from dataclasses import dataclass

# The released YAML files agree in everything but the padding of the region predictor's last convolution.
MODEL_PARAMS = {
    "num_regions": 10,
    "num_channels": 3,
    "estimate_affine": True,
    "revert_axis_swap": True,
    "bg_predictor_params": {"block_expansion": 32, "max_features": 1024, "num_blocks": 5, "bg_type": "affine"},
    "region_predictor_params": {
        "temperature": 0.1,
        "block_expansion": 32,
        "max_features": 1024,
        "scale_factor": 0.25,
        "num_blocks": 5,
        "pca_based": True,
    },
    "generator_params": {
        "block_expansion": 64,
        "max_features": 512,
        "num_down_blocks": 2,
        "num_bottleneck_blocks": 6,
        "skips": True,
        "pixelwise_flow_predictor_params": {
            "block_expansion": 64,
            "max_features": 1024,
            "num_blocks": 5,
            "scale_factor": 0.25,
            "use_deformed_source": True,
            "use_covar_heatmap": True,
            "estimate_occlusion_map": True,
        },
    },
}

MUG_LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
MHAD_LABELS = (
    "right arm swipe to the left",
    "right arm swipe to the right",
    "right hand wave",
    "two hand front clap",
    "right arm throw",
    "cross arms in the chest",
    "basketball shooting",
    "draw x",
    "draw circle clockwise",
    "draw circle counter clockwise",
    "draw triangle",
    "right hand bowling",
    "front boxing",
    "baseball swing from right",
    "tennis forehand swing",
    "two arms curl",
    "tennis serve",
    "two hand push",
    "knock on door",
    "hand catch",
    "pick up and throw",
    "jogging",
    "walking",
    "sit to stand",
    "stand to sit",
    "forward lunge (left foot forward)",
    "squat",
)
NATOPS_LABELS = (
    "I Have Command",
    "All Clear",
    "Not Clear",
    "Spread Wings",
    "Fold Wings",
    "Lock Wings",
    "Up Hook",
    "Down Hook",
    "Remove Tiedowns",
    "Remove Chocks",
    "Insert Chocks",
    "Move Ahead",
    "Turn Left",
    "Turn Right",
    "Next Marshaller",
    "Slow Down",
    "Stop",
    "Nosegear Steering",
    "Hot Brakes",
    "Brakes On",
    "Brakes Off",
    "Install Tiedowns",
    "Fire",
    "Cut Engine",
)


@dataclass(frozen=True)
class Preset:
    """A released model, as far as its tensors do not tell.

    Attributes:
        name: what `--preset` takes.
        dataset: what it was trained on, in words.
        sample_size: side of its pictures in pixels.
        num_frames: F of its volumes; None for a model without a U-Net (MRAA's).
        labels: the texts it was trained with, in the data set's order.
        region_padding: `pad` of the region predictor. It changes no shape, so a wrong one goes unnoticed.
        padding_mode: of the U-Net's upsampling convolution.
        upsample_type, learned_null_embedding: what its U-Net's tensors must show; None where any will do.
        released_files: names that its files were published under (LFAE, DM).
    """

    name: str
    dataset: str
    sample_size: int = 128
    num_frames: int | None = 40
    labels: tuple[str, ...] = ()
    region_padding: int = 3
    padding_mode: str = "zeros"
    upsample_type: str | None = "deconv"
    learned_null_embedding: bool | None = False
    released_files: tuple[str, ...] = ()

    @property
    def model_params(self) -> dict:
        """The LFAE's parameters, named as in the released YAML files."""
        params = copy.deepcopy(MODEL_PARAMS)
        params["region_predictor_params"]["pad"] = self.region_padding
        return params

    @property
    def is_mraa(self) -> bool:
        """Whether it is one of MRAA's, an LFAE to start training from, without a U-Net."""
        return self.num_frames is None


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="mug128",
            dataset="MUG facial expressions",
            labels=MUG_LABELS,
            released_files=("RegionMM_0100_S046500.pth", "flowdiff_0005_S111600.pth"),
        ),
        Preset(
            name="mhad128",
            dataset="UTD-MHAD human actions",
            labels=MHAD_LABELS,
            region_padding=0,
            released_files=("RegionMM_0100_S043100.pth", "flowdiff_0006_S086400.pth"),
        ),
        Preset(
            name="natops128",
            dataset="NATOPS aircraft handling gestures",
            labels=NATOPS_LABELS,
            region_padding=0,
            padding_mode="reflect",
            upsample_type="nearest",
            learned_null_embedding=True,
            released_files=("RegionMM_0100_S024000.pth", "flowdiff_0020_S033600.pth"),
        ),
        Preset(
            name="vox256", dataset="VoxCeleb faces", sample_size=256, num_frames=None, released_files=("vox256.pth",)
        ),
        Preset(
            name="taichi256",
            dataset="Tai-Chi-HD people",
            sample_size=256,
            num_frames=None,
            region_padding=0,
            released_files=("taichi256.pth",),
        ),
    )
}


def get_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        ValueError: for an unknown one; lists all.
    """
    if name not in PRESETS:
        raise ValueError(f"`preset` must be one of {', '.join(PRESETS)}, got {name!r}.")
    return PRESETS[name]


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
LFAE_CONFIGS = {
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
}


# Overrides of `UNet3DVideoModel`'s arguments, and how clips are sampled; likewise (toon64: 7 million parameters).
UNET_CONFIGS = {
    "mug128": {"num_frames": 40},
    "mhad128": {"num_frames": 40},
    "natops128": {
        "num_frames": 40,
        "upsample_type": "nearest",
        "padding_mode": "reflect",
        "learned_null_embedding": True,
    },
    "toon64": {"num_frames": 16, "patch_size": 2, "block_out_channels": [48, 96, 192], "num_attention_heads": 4},
}
# The same U-Nets by the system that they are for: pixels (vdm), where patches of 4x4 bring toon64 to the places that LFDM's works
# on and to its cost, and the paper has 64x64 pixels; and latents of a frame auto-encoder with LFDM's latent grid (ldm).
FRAME_UNET_CONFIGS = {
    "vdm": {
        "mug128": {**UNET_CONFIGS["mug128"], "sample_size": 64},
        "toon64": {**UNET_CONFIGS["toon64"], "sample_size": 64, "patch_size": 4},
    },
    "ldm": {name: UNET_CONFIGS[name] for name in ("mug128", "toon64")},
}
# Of diffusers' `AutoencoderKL`: three channels on LFDM's latent grid (mug128: 32x32 of 128 pixels; toon64: 32x32 of 64).
AUTOENCODER_CONFIGS = {
    "mug128": {"sample_size": 128, "block_out_channels": [64, 128, 256], "layers_per_block": 2, "norm_num_groups": 32},
    "toon64": {"sample_size": 64, "block_out_channels": [32, 64], "layers_per_block": 1, "norm_num_groups": 8},
}
FRAME_SAMPLING = {"mug128": "very_random", "mhad128": "random", "natops128": "random", "toon64": "uniform"}


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
