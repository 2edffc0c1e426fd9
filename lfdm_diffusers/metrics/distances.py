"""Distances between two sets of features, their spread, and their mean over classes or subjects."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch

from ..arguments.checked import checked

Distance = Callable[[torch.Tensor, torch.Tensor], float]


def _check(features_a: torch.Tensor, features_b: torch.Tensor, least: int) -> None:
    for name, features in (("features_a", features_a), ("features_b", features_b)):
        if features.ndim != 2 or len(features) < least or features.shape[1] != features_b.shape[1]:
            raise ValueError(
                f"`{name}` must be (at least {least}, D) with one D for both sets, got {tuple(features.shape)}."
            )
        if not features.isfinite().all():
            raise ValueError(f"`{name}` must be finite.")


@checked()
def frechet_distance(features_a: torch.Tensor, features_b: torch.Tensor, ddof: int = 1) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets: |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2).

    With C = X^T X (X centred, divided by the root of n - ddof) and X = QR, the last trace is the sum of the singular
    values of R_a R_b^T: no square root of a matrix, exact for fewer samples than features too. All in float64.

    Args:
        features_a, features_b: `(N, D)` and `(M, D)`; more than `ddof` rows each.
        ddof: covariances are divided by n - ddof: 1 is unbiased, 0 what StyleGAN-V's code does.

    Returns:
        0 for the same set, else more. It is biased: two small sets of one distribution are far apart (`split_distance`).

    Raises:
        ValueError: for other shapes, too few rows, or numbers that are not finite.
    """
    if ddof not in (0, 1):
        raise ValueError(f"`ddof` must be 0 or 1, got {ddof!r}.")
    _check(features_a, features_b, ddof + 1)
    means, roots = [], []
    for features in (features_a.double(), features_b.double()):
        means.append(features.mean(dim=0))
        roots.append(torch.linalg.qr((features - means[-1]) / (len(features) - ddof) ** 0.5, mode="r").R)
    traces = sum(root.square().sum() for root in roots)
    cross = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    return max(((means[0] - means[1]).square().sum() + traces - 2 * cross).item(), 0.0)


@checked()
def kernel_distance(features_a: torch.Tensor, features_b: torch.Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x . y / D + 1)^3, unbiased (Binkowski et al., ICLR 2018), in float64.

    KVD where the features are I3D's (Unterthiner et al. 2018), KID where they are Inception's. Its expectation does not depend
    on the number of samples, so it suits sets too small for a Fréchet distance; it may fall below 0.

    Args:
        features_a, features_b: `(N, D)` and `(M, D)`, at least 2 rows each.
    """
    _check(features_a, features_b, 2)
    a, b = features_a.double(), features_b.double()

    def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: torch.Tensor) -> torch.Tensor:  # the mean over pairs of different rows
        values = kernel(x, x)
        return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))

    return (within(a) + within(b) - 2 * kernel(a, b).mean()).item()


class GroupedDistance(NamedTuple):
    """A distance in each class or subject by itself.

    Attributes:
        mean, std: over the groups; `std` divides by their number, and is 0 for one.
        groups: the distance of each.
    """

    mean: float
    std: float
    groups: dict[Hashable, float]


@checked()
def grouped_distance(
    distance: Distance,
    features_a: torch.Tensor,
    groups_a: Sequence[Hashable],
    features_b: torch.Tensor,
    groups_b: Sequence[Hashable],
) -> GroupedDistance:
    """Mean and standard deviation over groups: cFVD over classes and sFVD over subjects (LFDM, table 1), sFID likewise.

    Args:
        distance: `frechet_distance`, `kernel_distance` or another.
        features_a, features_b: `(N, D)` and `(M, D)`.
        groups_a, groups_b: the class or subject of each row.

    Raises:
        ValueError: if the two sets do not have the same groups, or a group is too small for the distance; names them.
    """
    for name, features, groups in (("groups_a", features_a, groups_a), ("groups_b", features_b, groups_b)):
        if len(groups) != len(features):
            raise ValueError(f"`{name}` must name the group of each of {len(features)} rows, got {len(groups)} names.")
    if alone := set(groups_a) ^ set(groups_b):
        raise ValueError(f"both sets must have the same groups; only one has {', '.join(sorted(map(str, alone)))}.")
    values = {}
    for group in sorted(set(groups_a), key=str):
        a, b = (
            features[torch.tensor([each == group for each in groups])]
            for features, groups in ((features_a, groups_a), (features_b, groups_b))
        )
        try:
            values[group] = distance(a, b)
        except ValueError as error:
            raise ValueError(f"group {group!r} has {len(a)} and {len(b)} rows: {error}") from error
    numbers = torch.tensor(list(values.values()), dtype=torch.float64)
    return GroupedDistance(numbers.mean().item(), numbers.std(correction=0).item(), values)


class Interval(NamedTuple):
    """`low` and `high` around a distance that `std` is the standard error of."""

    low: float
    high: float
    std: float


def bootstrap_interval(
    distance: Distance,
    features_a: torch.Tensor,
    features_b: torch.Tensor,
    repeats: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """How far a distance would move with other samples of the same size, from resampling both sets with replacement.

    Rows that are drawn twice make a Fréchet distance larger as a rule, so the resampled values lie above the distance itself:
    their standard deviation is taken, not their percentiles, and laid around the distance as a normal distribution's.

    Args:
        distance, features_a, features_b: as in `grouped_distance`.
        repeats: resamplings, at least 2.
        level: share of such intervals that hold the expected value.
        seed: of the resampling.
    """
    if repeats < 2:
        raise ValueError(f"`repeats` must be at least 2, got {repeats}.")
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1, got {level}.")
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(repeats):
        a, b = (
            features[torch.randint(len(features), (len(features),), generator=generator)]
            for features in (features_a, features_b)
        )
        values.append(distance(a, b))
    std = torch.tensor(values, dtype=torch.float64).std().item()
    value, reach = (
        distance(features_a, features_b),
        math.sqrt(2) * torch.erfinv(torch.tensor(level, dtype=torch.float32)).item() * std,
    )
    return Interval(value - reach, value + reach, std)


def split_distance(
    distance: Distance,
    features: torch.Tensor,
    other: torch.Tensor | None = None,
    *,
    count: int | None = None,
    repeats: int = 10,
    seed: int = 0,
) -> float:
    """The mean distance between random halves: of one set, the floor that samples of half its size come from; of two sets,
    what is to be compared with that floor, since distances of few clips are larger.

    Args:
        distance: as in `grouped_distance`.
        features: `(N, D)`, of real clips.
        other: `(M, D)`, whose halves are compared with halves of `features`; None: with the other half of those.
        count: clips of a half, at most N // 2 and M; by default as many as there are.
        repeats: ways of halving, at least 1.
        seed: of the halving.
    """
    most = len(features) // 2 if other is None else min(len(features) // 2, len(other))
    half = most if count is None else count
    if repeats < 1:
        raise ValueError(f"`repeats` must be at least 1, got {repeats}.")
    if not 0 <= half <= most:
        raise ValueError(f"`count` must be at most {most} for these sets, got {count}.")
    generator, total = torch.Generator().manual_seed(seed), 0.0
    for _ in range(repeats):
        order = torch.randperm(len(features), generator=generator)
        if other is None:
            opposite = features[order[half : 2 * half]]
        else:
            opposite = other[torch.randperm(len(other), generator=generator)[:half]]
        total += distance(features[order[:half]], opposite)
    return total / repeats


class TrainTestGap(NamedTuple):
    """Two distances and how far apart they are.

    Attributes:
        seen, unseen: the distance for pictures of people (or scenes) of the training split, and of others.
        gap: unseen - seen; near 0 for a model that has not learnt its training set by heart.
        std: standard error of the gap.
    """

    seen: float
    unseen: float
    gap: float
    std: float


def train_test_gap(
    distance: Distance,
    generated_seen: torch.Tensor,
    real_seen: torch.Tensor,
    generated_unseen: torch.Tensor,
    real_unseen: torch.Tensor,
    repeats: int = 100,
    seed: int = 0,
) -> TrainTestGap:
    """How much farther generated clips are from real ones where the model had not seen the picture (LFDM, table 2).

    A Fréchet distance depends on how many clips there are, so both sides must have as many.

    Args:
        distance: as in `grouped_distance`.
        generated_seen, real_seen: `(N, D)` and `(M, D)`, of the training split.
        generated_unseen, real_unseen: `(N, D)` and `(M, D)`, of another.
        repeats, seed: of `bootstrap_interval`, whose standard errors are those of two independent sets.

    Raises:
        ValueError: if the two sides differ in their numbers.
    """
    for name, seen, unseen in (
        ("generated", generated_seen, generated_unseen),
        ("real", real_seen, real_unseen),
    ):
        if len(seen) != len(unseen):
            raise ValueError(
                f"`{name}_seen` and `{name}_unseen` must have as many rows, got {len(seen)} and {len(unseen)}."
            )
    on_seen, on_unseen = distance(generated_seen, real_seen), distance(generated_unseen, real_unseen)
    errors = [
        bootstrap_interval(distance, *pair, repeats, seed=seed).std
        for pair in ((generated_seen, real_seen), (generated_unseen, real_unseen))
    ]
    return TrainTestGap(on_seen, on_unseen, on_unseen - on_seen, math.hypot(*errors))
