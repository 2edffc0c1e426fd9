"""Arguments of public functions: what is refused, by one sentence that names them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_lfae, tiny_painter, tiny_pipeline, tiny_unet

from lfdm_diffusers import Box, LabelEmbeddings, Motion, metrics, visualization
from lfdm_diffusers.arguments.checked import POSITIVE, checked

RECURSIVE: list = []
RECURSIVE.append(RECURSIVE)
WRONG = [None, "x", [], RECURSIVE, {}, object(), True, float("nan"), 1e308, 10**400, np.array([None], object)]
WRONG += [torch.eye(4).to_sparse(), torch.ones(2, 2, device="meta"), torch.ones(2, 2, dtype=torch.complex64)]
WRONG += [torch.ones(2, 2).to(torch.float8_e4m3fn), torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])]


def half(share: float, pixels: torch.Tensor | None = None, many: int = 1) -> float:
    return share / many


def test_kinds_are_those_of_the_annotations():
    function = checked(pixels="N 3", many=POSITIVE)(half)
    assert function(1, torch.ones(2, 3), many=2) == 0.5 and function(np.float32(1), None) == 1
    with pytest.raises(ValueError, match=r"^`share` must be a number from -1e\+06 to 1e\+06, got nan\.$"):
        function(float("nan"))
    with pytest.raises(
        ValueError, match=r"^`pixels` must hold floats of shape \(N, 3\) with N = 2, got a tensor \(2, 4\)"
    ):
        function(1.0, torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"^`pixels` must be a dense tensor of real numbers or None, got 'x'"):
        function(1.0, "x")
    with pytest.raises(ValueError, match=r"^`many` must be more than 0, got 0"):
        function(1.0, many=0)
    with pytest.raises(TypeError):  # a mistake in the program, as Python tells it
        function()


features, clips, flow, motion = (
    torch.rand(4, 6),
    torch.rand(2, 10, 3, 8, 8),
    torch.zeros(2, 8, 8),
    np.zeros((4, 2, 8, 8)),
)
still = Motion(torch.zeros(4, 2, 8, 8), torch.ones(4, 1, 8, 8))
CALLS = {
    "frechet": (metrics.frechet_distance, {"features_a": features, "features_b": features}),
    "kernel": (metrics.kernel_distance, {"features_a": features, "features_b": features}),
    "similarity": (metrics.identity_similarity, {"features": features, "reference_features": features}),
    "accuracy": (metrics.label_accuracy, {"predicted": torch.arange(2), "labels": torch.arange(2)}),
    "confusion": (metrics.confusion_matrix, {"predicted": torch.arange(2), "labels": torch.arange(2), "count": 2}),
    "profile": (metrics.motion_profile, {"clips": clips}),
    "timing": (metrics.expression_timing, {"strength": features, "least": 0.25}),
    "l1": (metrics.reconstruction_l1, {"frames": clips, "target": clips}),
    "diversity": (metrics.seed_diversity, {"clips": clips}),
    "occlusion": (metrics.occlusion_statistics, {"occlusion": torch.ones(1, 4, 4)}),
    "error": (metrics.end_point_error, {"flow": flow, "true_flow": flow}),
    "colours": (visualization.flow_to_color, {"flow": motion[0]}),
    "wheel": (visualization.flow_wheel, {"size": 8}),
    "pictures": (visualization.motion_pictures, {"flow": motion, "occlusion": motion[:, :1], "height": 8, "width": 8}),
    "enlarge": (visualization.enlarge, {"frames": np.zeros((2, 4, 4, 3), np.uint8), "scale": 2}),
    "box": (Box, {"left": 0, "top": 0, "right": 4, "bottom": 4}),
    "motion": (Motion, {"flow": still.flow, "occlusion": still.occlusion}),
    "scaled": (still.scaled, {"scale": 1.0}),
    "blended": (still.blended, {"other": still, "weight": 0.5}),
    "masked": (still.masked, {"mask": torch.ones(8, 8)}),
    "resampled": (still.resampled, {"num_frames": 3}),
    "resized": (still.resized, {"height": 4, "width": 4}),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_kinds_are_refused_by_name(name):
    function, arguments = CALLS[name]
    function(**arguments)
    for argument in arguments:
        for wrong in WRONG:
            if wrong is None and argument == "mask":  # everything
                continue
            with pytest.raises(ValueError, match=f"`{argument}`"):
                function(**arguments | {argument: wrong})


def test_absurd_numbers_are_refused_where_each_frame_has_one():
    with pytest.raises(
        ValueError, match=r"`weight` must be a finite number from -1e\+06 to 1e\+06, or one for each of 4"
    ):
        still.blended(still, [1e30] * 4)
    with pytest.raises(ValueError, match="`other` must be a Motion, got int"):
        still.blended(5, 0.5)


NETWORK_INPUTS = {
    "unet": lambda: (
        tiny_unet(),
        {
            "sample": torch.zeros(1, 3, 2, 8, 8),
            "timestep": 3,
            "text_embeds": torch.zeros(1, tiny_unet().config.text_embed_dim),
            "image_latents": torch.zeros(1, tiny_unet().config.image_latent_channels, 8, 8),
            "null_mask": torch.zeros(1, dtype=torch.bool),
        },
    ),
    "encode": lambda: (tiny_lfae().encode, {"image": torch.zeros(1, 3, 64, 64)}),
    "flow": lambda: (tiny_lfae().predict_flow, {"reference": torch.zeros(1, 3, 64, 64), "driving": torch.zeros(1, 3, 64, 64)}),
    "decode": lambda: (
        tiny_lfae().decode,
        {
            "encoded": tiny_lfae().encode(torch.zeros(1, 3, 64, 64)),
            "flow": torch.zeros(1, 2, 16, 16),
            "occlusion": torch.ones(1, 1, 16, 16),
        },
    ),
    "painter": lambda: (
        tiny_painter(),
        {
            "picture": torch.zeros(1, 3, 8 * tiny_painter().config.scale, 8 * tiny_painter().config.scale),
            "flow": torch.zeros(1, 2, 4, 4),
            "occlusion": torch.ones(1, 1, 4, 4),
            "decoded": torch.zeros(1, 3, 8, 8),
            "warped": torch.zeros(1, 3, 8, 8),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORK_INPUTS)
def test_networks_refuse_what_is_no_tensor_by_name(name):
    network, arguments = NETWORK_INPUTS[name]()
    network(**arguments)
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    wrong = [
        nested,
        torch.zeros(1, 3, 8, 8).to(torch.float8_e5m2),
        "x",
        [],
        object(),
        float("nan"),
        torch.eye(4).to_sparse(),
        torch.ones(1, 3, 8, dtype=torch.complex64),
    ]
    for argument in arguments:
        for value in wrong:
            with pytest.raises(ValueError, match=f"`{argument}`"):
                network(**arguments | {argument: value})


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e30])
def test_embeddings_and_noise_are_finite(wrong):
    pipe = tiny_pipeline()
    embeds = torch.full((1, pipe.text_embed_dim), wrong)
    with pytest.raises(ValueError, match="`prompt_embeds` must hold"):
        pipe.encode_prompt(prompt_embeds=embeds)
    shape = pipe.prepare_latents(1, 2, 64, 64).shape
    with pytest.raises(ValueError, match="`latents` must hold"):
        pipe.prepare_latents(1, 2, 64, 64, latents=torch.full(shape, wrong))
    with pytest.raises(ValueError, match="`timestep` must be"):
        image_latents = torch.zeros(1, pipe.unet.config.image_latent_channels, 8, 8)
        pipe.unet(torch.zeros(1, 3, 2, 8, 8), wrong, image_latents=image_latents)
    if wrong != 1e30:
        with pytest.raises(ValueError, match="`embeddings` must hold finite"):
            LabelEmbeddings.from_embeddings(["a"], embeds)


def test_encoding_a_prompt_checks_what_generating_checks():
    pipe = tiny_pipeline()
    for arguments, name in (
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt_embeds": "x"}, "prompt_embeds"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            pipe.encode_prompt(**arguments)
    with pytest.raises(ValueError, match="`num_videos_per_prompt` must be a whole number of at least 1, got 0"):
        pipe.encode_prompt(prompt_embeds=torch.zeros(1, pipe.text_embed_dim), num_videos_per_prompt=0)
    assert pipe.encode_prompt() == (None,)
