"""Which label's motion a face makes, by optical flow: it judges clips of rendered people, whatever made them.

Flow leaves out who it is, the light and the backdrop, so that some hundred clips of true expressions are enough to learn from, where a
network that sees pixels reads half of unseen people wrongly.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

SIDE = 256  # of the pictures that flow is found in; of this side are all pixels below
BOX = (44, 56, 168)  # left, top and side of the face, as `framing.frame_of_face` places it
OVAL = (128, 132, 68, 84)  # centre and half axes of what moves with the head
CELLS = 14  # to a side of the box
# Shares of a clip: an expression at its height, and what is left of it in the end.
HEIGHT, END = (0.25, 0.35, 0.42, 0.5, 0.6), (0.75, 0.87, 1.0)
SLACK = 0.8  # pixels off the head's motion that count half


def face_motion(clip: np.ndarray) -> np.ndarray:
    """How a face moves against the first frame, less its head: mean flow at the height of the expression, and in the end.

    Dense inverse search (Kroeger et al. 2016, OpenCV's) finds the flow. What fits one affine motion of the face's oval, found by
    reweighted least squares (Cauchy's weights), is the head's.

    Args:
        clip: frames `(F, H, W, 3)` uint8 of a face framed as in training.

    Returns:
        `(2, 2, CELLS, CELLS)`: when, along x and y, in pixels of 256 to a side.

    Raises:
        ValueError: where OpenCV is not installed.
    """
    cv2 = opencv()
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = {}

    def frame(number: int) -> np.ndarray:
        if number not in grey:
            picture = cv2.cvtColor(clip[number], cv2.COLOR_RGB2GRAY)
            grey[number] = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        return grey[number]

    found = []
    for shares in (HEIGHT, END):
        numbers = sorted({round(share * (len(clip) - 1)) for share in shares} - {0})
        moved = [_without_head(finder.calc(frame(number), frame(0), None)) for number in numbers]
        found.append(np.mean(moved, axis=0) if moved else np.zeros((2, CELLS, CELLS)))
    return np.stack(found).astype(np.float32)


@functools.cache
def _places_and_oval() -> tuple[np.ndarray, np.ndarray]:
    """1 and the place about the oval's centre, `(SIDE, SIDE, 3)`, and where the oval is, `(SIDE, SIDE)`."""
    x, y, across, down = OVAL
    rows, columns = np.mgrid[:SIDE, :SIDE]
    oval = ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 < 1
    return np.stack((np.ones((SIDE, SIDE)), (columns - x) / SIDE, (rows - y) / SIDE), axis=-1), oval


def _without_head(flow: np.ndarray) -> np.ndarray:
    """Flow `(SIDE, SIDE, 2)` at the face, less the head's, `(2, CELLS, CELLS)`."""
    places, oval = _places_and_oval()
    here, there = places[oval], flow[oval].astype(np.float64)
    weights = np.ones(len(here))
    for _ in range(3):
        weighted = here * weights[:, None]
        motion = np.linalg.solve(weighted.T @ here, weighted.T @ there)  # (3, 2)
        weights = 1 / (1 + np.square(there - here @ motion).sum(axis=1) / SLACK**2)
    left, top, side = BOX
    rest = (flow - places @ motion)[top : top + side, left : left + side]
    return rest.reshape(CELLS, side // CELLS, CELLS, side // CELLS, 2).mean(axis=(1, 3)).transpose(2, 0, 1)


def opencv() -> Any:
    """The library that finds flow.

    Raises:
        ValueError: where it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise ValueError(
            f"Judging labels of rendered people needs OpenCV: pip install 'lfdm_diffusers[subjects]' ({error})."
        ) from error
    return cv2


class FlowJudge(nn.Module):
    """Logits of labels as a linear function of `face_motion`.

    It does not know the order of frames within the height of an expression, nor anything but what moves at the face.

    Args:
        labels: in the order of the logits.

    Attributes:
        facts: how it was made.
    """

    facts: dict[str, Any]

    def __init__(self, labels: Sequence[str]):
        super().__init__()
        self.labels = tuple(labels)
        self.classify = nn.Linear(2 * 2 * CELLS * CELLS, len(self.labels))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Logits `(N, labels)` of clips `(N, F, 3, H, W)` in [0, 1]."""
        pixels = (clips * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2).cpu().numpy()
        motion = np.stack([face_motion(np.ascontiguousarray(clip)) for clip in pixels])
        return self.classify(torch.from_numpy(motion).flatten(1))


def fit_flow_judge(motion: torch.Tensor, truth: torch.Tensor, labels: Sequence[str], decay: float) -> FlowJudge:
    """Logistic regression of labels on motion: convex, so that nothing is left to chance.

    Args:
        motion: of clips, `(N, 2, 2, CELLS, CELLS)` as `face_motion` gives it.
        truth: their labels' places in `labels`, `(N,)`.
        labels: in the order of the logits.
        decay: of the squared weights, beside the mean cross-entropy.
    """
    judge = FlowJudge(labels)
    nn.init.zeros_(judge.classify.weight)
    nn.init.zeros_(judge.classify.bias)
    seen = motion.flatten(1)
    optimizer = torch.optim.LBFGS(judge.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(judge.classify(seen), truth) + decay * judge.classify.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return judge.requires_grad_(False).eval()
