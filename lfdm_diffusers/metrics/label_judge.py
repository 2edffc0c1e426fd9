"""A small network that says which of its labels a clip shows; it is trained on the real clips of any data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .toon_judges import beside_the_first, convolutions


class LabelJudge(nn.Module):
    """Which label a clip shows: each frame with its difference from the first, then what neighbouring frames tell together.

    Unlike `ExpressionJudge` it knows the order of frames (to stand up is not to sit down), and any labels.
    `lfdm_diffusers.evaluation.judge_training` trains one.

    Args:
        labels: in the order of the logits.

    Attributes:
        facts: how it was trained.
    """

    facts: dict[str, Any]

    def __init__(self, labels: Sequence[str]):
        super().__init__()
        self.labels = tuple(labels)
        self.frame_features = convolutions(6, (24, 48, 96, 96), 96)
        self.between_frames = nn.Sequential(
            nn.Conv1d(96, 96, 3, padding=1), nn.ReLU(), nn.Conv1d(96, 96, 3, padding=2, dilation=2), nn.ReLU()
        )
        self.classify = nn.Sequential(
            nn.Linear(3 * 96, 96), nn.ReLU(), nn.Dropout(0.2), nn.Linear(96, len(self.labels))
        )

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Logits `(N, labels)` of clips `(N, F, 3, H, W)` in [0, 1]."""
        frames = clips.shape[1]
        features = (
            self.frame_features(beside_the_first(clips)).unflatten(0, clips.shape[:2]).transpose(1, 2)
        )  # (N, 96, F)
        # A convolution over time sees an order, the difference between the clip's halves the course of the whole.
        features = features + self.between_frames(features)
        half = (frames + 1) // 2
        course = features[..., frames - half :].mean(dim=2) - features[..., :half].mean(dim=2)
        return self.classify(torch.cat((features.mean(dim=2), features.amax(dim=2), course), dim=1))
