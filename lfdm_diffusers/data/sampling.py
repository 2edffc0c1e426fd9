"""Which frames of a clip are used, and the generators that draw them.

Every draw comes from a generator made of (seed, purpose, epoch, item), so that item i of epoch e is the same whatever
was drawn before it, in whichever process: an interrupted run that goes on repeats exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STRATEGIES = ("uniform", "random", "very_random")


def sample_indices(strategy: str, length: int, count: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """`count` ascending numbers of frames of a clip of `length` frames; the first is always 0, the reference frame.

    As the published stage two does:
        uniform: evenly spaced from the first to the last frame, rounded down.
        random: uniform, with every interior frame moved by chance as far as its neighbours' places, then sorted.
        very_random: drawn with replacement, sorted, the first set to 0.
    uniform and random of a clip shorter than `count` are all its frames, the last one repeated.

    Args:
        length, count: 1 or more.
        rng: for random and very_random.

    Returns:
        (count,) int64 in [0, length - 1].
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {', '.join(STRATEGIES)}, got {strategy!r}.")
    for name, value in (("length", length), ("count", count)):
        if value < 1:
            raise ValueError(f"`{name}` must be 1 or more, got {value}.")
    if rng is None:
        if strategy != "uniform":
            raise ValueError(f"`rng` must be a numpy Generator for the strategy {strategy!r}, got None.")
    elif strategy == "very_random":
        indices = np.sort(rng.choice(length, count, replace=True))
        indices[0] = 0
        return indices
    if length < count:
        return np.minimum(np.arange(count), length - 1)
    # In floats, as published: a few of these, such as number 13 of 40 from 46, are one less than exact division gives.
    indices = np.linspace(0, length - 1, count).astype(np.int64)
    if rng is not None and strategy == "random" and count > 2:
        steps = np.diff(indices)
        indices[1:-1] += rng.integers(1 - steps[:-1], steps[1:])
        indices.sort()
    return indices


def spread(items: Sequence, count: int) -> list:
    """`count` of `items`, evenly spaced, the first and the last among them; all, if there are no more."""
    return [items[i] for i in dict.fromkeys(np.linspace(0, len(items) - 1, count).round().astype(int).tolist())]


def sample_pair(length: int, rng: np.random.Generator, from_first: bool = False) -> tuple[int, int]:
    """Reference and driving frame of stage one: two draws with replacement, the earlier first.

    The published loader sorts the draws for all data sets, but lists the frames of MHAD and NATOPS in whatever order
    the file system gives; here frames are always in the order of time.

    Args:
        from_first: the reference is frame 0, as it is when clips are generated, and the driving frame any later one.
    """
    if length < 1:
        raise ValueError(f"`length` must be 1 or more, got {length}.")
    if from_first:
        return 0, int(rng.integers(min(1, length - 1), length))
    first, second = np.sort(rng.integers(0, length, 2))
    return int(first), int(second)
