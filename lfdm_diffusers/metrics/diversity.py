"""How different clips of one picture and label are."""

from __future__ import annotations

import itertools

import torch

from ..arguments.checked import checked


@checked()
def seed_diversity(clips: torch.Tensor) -> float:
    """Mean L1 between the clips of different seeds, over all pairs of seeds, frames, pixels and colours.

    Args:
        clips: `(S, F, 3, H, W)` in [0, 1]: S clips of one picture and label.

    Returns:
        0 if all clips are the same.
    """
    if clips.ndim != 5 or len(clips) < 2:
        raise ValueError(f"`clips` must be (seeds, F, 3, H, W) with two seeds or more, got {tuple(clips.shape)}.")
    pairs = [(a - b).abs().mean(dtype=torch.float64) for a, b in itertools.combinations(clips, 2)]
    return torch.stack(pairs).mean().item()
