"""What no tensor of a released checkpoint tells: sizes, label texts, paddings; and auto-encoders to train. Tables of overrides."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from ..data.published_labels import MHAD_LABELS, MUG_LABELS, NATOPS_LABELS

# The released YAML files agree in everything but the padding of the region predictor's last convolution.
MODEL_PARAMS: dict[str, Any] = {
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
