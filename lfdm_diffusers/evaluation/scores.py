"""The scores of `lfdm evaluate` by name, and distances between features of real and generated clips, each with its floor."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..metrics import (
    FrameDetector,
    VideoDetector,
    bootstrap_interval,
    frechet_distance,
    grouped_distance,
    kernel_distance,
    seed_diversity,
    split_distance,
    train_test_gap,
)
from .choices import FEWEST
from .features import FeatureStore
from .video_sets import VideoSet

PAIRED = ("diversity", "timing")  # compare two clips of each picture and label


Distance = Callable[[torch.Tensor, torch.Tensor], float]


@dataclass(frozen=True)
class Rules:
    """How numbers are made of features.

    Attributes:
        ddof: covariances are divided by n - ddof; 1 as google-research's FVD, 0 as StyleGAN-V's, which the paper used.
        bootstrap: resamplings for the interval of a distance; 0 leaves it out.
        seed: of resampling and halving.
        batch_size: clips at once in the detectors.
    """

    ddof: int = 1
    bootstrap: int = 100
    seed: int = 0
    batch_size: int = 8

    @property
    def frechet(self) -> Distance:
        return functools.partial(frechet_distance, ddof=self.ddof)


def require_enough(names: list[str], real: VideoSet, generated_count: int, allow_few: bool) -> None:
    """Refuse numbers of clips that make a score meaningless, before anything is generated.

    Raises:
        ValueError: naming the score, how many there are, and what it would mean.
    """
    fewest = min(len(real), generated_count)
    if {"fvd", "fid", "gap"} & set(names) and fewest < FEWEST and not allow_few:
        raise ValueError(
            f"FVD and FID of {generated_count} generated and {len(real)} real clips are refused below {FEWEST}: even two sets "
            "of real clips so small are farther apart than models differ. Take more (`num_videos`), kvd, which is unbiased, or "
            "`allow_few`, and read the floor beside the score."
        )
    if (paired := [name for name in PAIRED if name in names]) and generated_count < 2 * len(real):
        raise ValueError(
            f"{' and '.join(paired)}: two clips of the same picture and label are compared, so `num_videos` must be at least "
            f"{2 * len(real)}, twice the real clips, got {generated_count}."
        )
    for name, what, groups in (
        ("cfvd", "label", real.labels),
        ("sfvd", "subject", real.subjects),
        ("sfid", "subject", real.subjects),
    ):
        if name not in names:
            continue
        sizes = Counter(groups)
        if "" in sizes:
            raise ValueError(f"{name} needs the {what} of every real clip; {sizes['']} have none.")
        small = [f"{group} ({size})" for group, size in sorted(sizes.items()) if size < 2]
        if small and name != "sfid":  # one clip has many frames
            raise ValueError(f"{name} needs two clips or more of each {what}; too few of {', '.join(small)}.")


def distance_scores(
    names: list[str],
    rules: Rules,
    real: VideoSet,
    generated: VideoSet,
    store: FeatureStore,
    video_detector: VideoDetector | None,
    frame_detector: FrameDetector | None,
) -> dict[str, Any]:
    """FVD, cFVD, sFVD, KVD, FID and sFID, as far as `names` asks for them.

    Each is a dict: `value`; for a whole set what else `distance_with_spread` finds; for groups `std` and `groups`; and the
    `detector`'s name.
    """
    scores: dict[str, Any] = {}
    for name in names:
        if name not in ("fvd", "cfvd", "sfvd", "kvd", "fid", "sfid"):
            continue
        detector = video_detector if name.endswith("vd") else frame_detector
        if detector is None:
            raise ValueError(f"{name} needs a detector of {'videos' if name.endswith('vd') else 'frames'}, got None.")
        a, b = store(detector, real, keep=True), store(detector, generated)
        distance = kernel_distance if name == "kvd" else rules.frechet
        if name in ("fvd", "kvd", "fid"):
            found = distance_with_spread(distance, b, a, rules)
        else:
            kind = "labels" if name == "cfvd" else "subjects"
            groups = [getattr(clips, kind) for clips in (generated, real)]
            if name == "sfid":  # a row for each frame
                groups = [
                    [group for group in each for _ in range(clips.num_frames)]
                    for each, clips in zip(groups, (generated, real))
                ]
            mean, std, each = grouped_distance(distance, b, groups[0], a, groups[1])
            found = {"value": mean, "std": std, "groups": each}
        scores[name] = found | {"detector": detector.name}
    return scores


def distance_with_spread(
    distance: Distance, generated: torch.Tensor, real: torch.Tensor, rules: Rules
) -> dict[str, Any]:
    """A distance of two sets of features: `value`, `interval` (95%), `standard_error`; and of halves, each of
    `real_against_real_clips`, since a distance of few clips is larger: `real_against_real`, the floor, and `value_of_halves`,
    of generated against real ones, to be compared with it."""
    found: dict[str, Any] = {"value": distance(generated, real)}
    if rules.bootstrap:
        interval = bootstrap_interval(distance, generated, real, rules.bootstrap, seed=rules.seed)
        found |= {"interval": [interval.low, interval.high], "standard_error": interval.std}
    half = min(len(real), len(generated)) // 2
    return found | {
        "real_against_real": split_distance(distance, real, count=half, seed=rules.seed),
        "value_of_halves": split_distance(distance, real, generated, count=half, seed=rules.seed),
        "real_against_real_clips": half,
    }


def places_by_source(sources: Sequence[int]) -> list[list[int]]:
    """The places of the clips that are made from one real clip, for each real clip that two or more are made from."""
    found: dict[int, list[int]] = {}
    for place, source in enumerate(sources):
        found.setdefault(source, []).append(place)
    return [places for places in found.values() if len(places) > 1]


def diversity_score(generated: VideoSet, sources: Sequence[int]) -> dict[str, Any]:
    """L1 between clips of one picture and label with other noise, mean over pictures and labels; `sources` says whose each is."""
    values = [
        seed_diversity(torch.stack([generated.frames(place) for place in places]).float() / 255)
        for places in places_by_source(sources)
    ]
    return {"value": sum(values) / len(values), "pictures_and_labels": len(values)}


def gap_score(
    rules: Rules,
    seen: tuple[VideoSet, VideoSet],
    unseen: tuple[VideoSet, VideoSet],
    store: FeatureStore,
    detector: VideoDetector,
) -> dict[str, Any]:
    """FVD of clips from pictures of the split `unseen` less that of the split trained on; each a pair (generated, real)."""
    a, b, c, d = (
        store(detector, clips, keep=keep) for pair in (seen, unseen) for clips, keep in zip(pair, (False, True))
    )
    gap = train_test_gap(rules.frechet, a, b, c, d, repeats=max(2, rules.bootstrap), seed=rules.seed)
    return {
        "value": gap.gap,
        "interval": [gap.gap - 1.96 * gap.std, gap.gap + 1.96 * gap.std],
        "standard_error": gap.std,
        "seen": gap.seen,
        "unseen": gap.unseen,
        "clips_each": len(seen[0]),
        "detector": detector.name,
    }
