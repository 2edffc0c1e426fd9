"""Random generators made from numbers, so that a draw does not depend on those before it."""

from __future__ import annotations

import numpy as np
import torch

PURPOSES = ("order", "item")


def random_stream(*key: int) -> np.random.Generator:
    """The generator of a key of whole numbers of 0 or more. Its draws are the same on every machine and with every numpy;
    `default_rng` may change."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))


def draws(seed: int, purpose: str, epoch: int, item: int = 0) -> np.random.Generator:
    """The generator for the order of an epoch, or for one item in it.

    Raises:
        ValueError: for a number below 0, or an unknown purpose.
    """
    for name, value in (("seed", seed), ("epoch", epoch), ("item", item)):
        if value < 0:
            raise ValueError(f"`{name}` must be 0 or more, got {value}.")
    if purpose not in PURPOSES:
        raise ValueError(f"`purpose` must be one of {', '.join(PURPOSES)}, got {purpose!r}.")
    # Always four numbers: numpy gives the same stream to (1, 2) and (1, 2, 0).
    return random_stream(int(seed), PURPOSES.index(purpose), int(epoch), int(item))


def draw_generator(*numbers: int) -> torch.Generator:
    """torch's generator for some numbers, such as a seed and a place in the line of all items."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))  # manual_seed takes 63 bits
