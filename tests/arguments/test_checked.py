"""Arguments of public functions: what is refused, by one sentence that names them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfdm_diffusers import Box, Motion, metrics, visualization
from lfdm_diffusers.arguments.checked import POSITIVE, checked

RECURSIVE: list = []
RECURSIVE.append(RECURSIVE)
WRONG = [None, "x", [], RECURSIVE, {}, object(), True, float("nan"), 1e308, 10**400, np.array([None], object)]
WRONG += [torch.eye(4).to_sparse(), torch.ones(2, 2, device="meta"), torch.ones(2, 2, dtype=torch.complex64)]


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
