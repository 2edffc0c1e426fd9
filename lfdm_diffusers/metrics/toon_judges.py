"""Two small networks that judge clips of toon faces: which expression they show and when, and who the person is.

`reproduction/train_toon_judges.py` trained them on drawn clips of the training people; docs/evaluation.md says how well they
judge, and what they overlook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

SIZE = 64  # side of the pictures that judges see


def convolutions(in_channels: int, widths: Sequence[int], features: int) -> nn.Sequential:
    """Halvings by 3x3 convolutions of stride 2, then one that takes the whole 4x4 map: `(B, C, 64, 64)` -> `(B, D)`."""
    layers = []
    for width in widths:
        layers += [nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        in_channels = width
    layers += [
        nn.Conv2d(in_channels, features, 4, bias=False),
        nn.BatchNorm2d(features),
        nn.ReLU(),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers)


def cut(pictures: torch.Tensor, box: tuple[float, float, float]) -> torch.Tensor:
    """The part of pictures `(..., H, W)` that a box names: left, top and side as shares of the width, the height and both."""
    height, width = pictures.shape[-2:]
    left, top, side = box
    x, y = round(left * width), round(top * height)
    return pictures[..., y : y + round(side * height), x : x + round(side * width)]


def at_judges_size(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures `(B, 3, H, W)` as `(B, 3, 64, 64)`: means over areas, or bilinear where they are smaller."""
    if pictures.shape[-2:] == (SIZE, SIZE):
        return pictures
    return F.interpolate(pictures, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)


def beside_the_first(clips: torch.Tensor) -> torch.Tensor:
    """What judges see of clips `(N, F, 3, H, W)` in [0, 1]: every frame, and its difference from the first, `(N * F, 6, 64, 64)`."""
    clips = at_judges_size(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    # The first frame's mean colours are taken out: light and skin are no expression, and no action.
    level = clips[:, :1].mean(dim=(3, 4), keepdim=True)
    seen = torch.cat((clips - level, 4 * (clips - clips[:, :1])), dim=2)  # (N, F, 6, 64, 64)
    return seen.flatten(0, 1).contiguous(memory_format=torch.channels_last)


@dataclass
class ExpressionJudgement:
    """What `ExpressionJudge` says of N clips of F frames.

    Attributes:
        logits: `(N, labels)`; their softmax are the labels' probabilities.
        strength: `(N, F)`, how much of an expression, whichever it is, every frame shows: 0 none, about 1 the apex.
        features: `(N, 64)`, what the logits are computed from.
    """

    logits: torch.Tensor
    strength: torch.Tensor
    features: torch.Tensor


class ExpressionJudge(nn.Module):
    """Which expression a clip shows: every frame is compared with the first, and the clip judged by mean and maximum.

    It does not know the order of the frames after the first, so the label is judged alike in a shuffled clip, and
    `strength` is measured in each frame by itself.

    Args:
        labels: the expressions, in the order of the logits.
    """

    def __init__(self, labels: Sequence[str]):
        super().__init__()
        self.labels = tuple(labels)
        self.frame_features = convolutions(6, (24, 48, 96, 96), 96)
        self.strength = nn.Linear(96, 1)
        self.clip_features = nn.Sequential(nn.Linear(2 * 96, 64), nn.ReLU())
        self.classify = nn.Linear(64, len(self.labels))

    def forward(self, clips: torch.Tensor) -> ExpressionJudgement:
        """Judge clips `(N, F, 3, H, W)` in [0, 1]."""
        per_frame = self.frame_features(beside_the_first(clips)).unflatten(0, clips.shape[:2])  # (N, F, 96)
        features = self.clip_features(torch.cat((per_frame.mean(dim=1), per_frame.amax(dim=1)), dim=1))
        return ExpressionJudgement(self.classify(features), self.strength(per_frame)[..., 0], features)


class IdentityEncoder(nn.Module):
    """Features of a face by which people are told apart, whatever their expression.

    It sees an oval from brows to chin, in grey and at one contrast: hair, clothes, background and the colour of the skin
    would tell people apart so easily that nothing else were looked at.

    Args:
        box: left, top and side of the square around the oval, as shares of the frame; by default that of toon faces.

    Attributes:
        facts: how it was trained.
    """

    oval: torch.Tensor
    facts: dict[str, Any]

    def __init__(self, box: tuple[float, float, float] = (5 / SIZE, 7 / SIZE, 54 / SIZE)) -> None:
        super().__init__()
        self.box = box
        self.face_features = convolutions(1, (32, 64, 96, 96), 128)
        self.project = nn.Linear(128, 64)
        x = (torch.arange(SIZE, dtype=torch.float32) + 0.5) / SIZE * 2 - 1
        radius = torch.hypot(x[:, None], x / 0.92)
        self.register_buffer("oval", ((1 - radius) * 8).clamp(0, 1), persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Features `(B, 64)` of length 1 of pictures `(B, 3, H, W)` in [0, 1]."""
        faces = at_judges_size(cut(pictures, self.box).mean(dim=1, keepdim=True))  # (B, 1, 64, 64)
        share = self.oval / self.oval.sum()
        faces = faces - (faces * share).sum(dim=(2, 3), keepdim=True)
        contrast = (faces.square() * share).sum(dim=(2, 3), keepdim=True).sqrt()
        faces = (faces / (contrast + 0.02) * self.oval).contiguous(memory_format=torch.channels_last)
        return F.normalize(self.project(self.face_features(faces)), dim=1)
