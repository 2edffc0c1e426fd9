"""The scores of `lfdm evaluate`: each from features of real and generated clips, with its spread and its floor."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from tqdm.auto import tqdm

from ..data.true_motion import true_motion
from ..files.whole import whole
from ..metrics import (
    EndPointScores,
    ReconstructionScores,
    VideoDetector,
    bootstrap_interval,
    confusion_matrix,
    frame_features,
    frechet_distance,
    grouped_distance,
    kernel_distance,
    label_accuracy,
    load_judge,
    moving_pixels,
    reconstruction_l1_per_frame,
    seed_diversity,
    split_distance,
    train_test_gap,
    video_features,
)
from ..pipelines import ImageToVideoPipeline, LFDMPipeline
from .reconstruction import reconstruct, reenact
from .video_sets import VideoSet

# What each score needs besides clips.
METRICS = {
    "fvd": "video detector",
    "cfvd": "video detector",
    "sfvd": "video detector",
    "kvd": "video detector",
    "gap": "video detector",
    "fid": "frame detector",
    "sfid": "frame detector",
    "accuracy": "judge",
    "diversity": "",
    "l1": "model",
    "epe": "model",
}
FEWEST = 50  # clips for a Fréchet distance of 400 features; below, the floor is higher than models differ


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
    def frechet(self) -> Callable[[torch.Tensor, torch.Tensor], float]:
        return functools.partial(frechet_distance, ddof=self.ddof)


class FeatureStore:
    """Features of sets of clips by detector, computed once; those of a folder's sets are kept in files.

    Args:
        folder: for features of real clips, which many evaluations share; None keeps nothing.
        batch_size: clips at once.
        progress: whether to show bars.
    """

    def __init__(self, folder: Path | None, batch_size: int = 8, progress: bool = True):
        self.folder, self.batch_size, self.progress = folder, batch_size, progress
        self._known: dict[tuple[int, int], torch.Tensor] = {}

    def __call__(self, detector: nn.Module, clips: VideoSet, keep: bool = False) -> torch.Tensor:
        """`(N, D)` of a video detector, `(N * F, D)` of a frame detector; `keep` stores them in the folder."""
        known = (id(detector), id(clips))
        if known not in self._known:
            self._known[known] = (
                self._stored(detector, clips) if keep and self.folder else self._compute(detector, clips)
            )
        return self._known[known]

    def _compute(self, detector: nn.Module, clips: VideoSet) -> torch.Tensor:
        batches = -(-len(clips) // self.batch_size)
        bar = tqdm(
            clips.batches(self.batch_size), total=batches, desc=detector.name, unit="batch", disable=not self.progress
        )
        if isinstance(detector, VideoDetector):
            return torch.cat([video_features(detector, batch, self.batch_size) for batch in bar])
        return torch.cat([frame_features(detector, batch.flatten(0, 1)) for batch in bar])

    def _stored(self, detector: nn.Module, clips: VideoSet) -> torch.Tensor:
        about = json.dumps([clips.fingerprint, detector.name, detector.sha256])
        path = self.folder / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.safetensors"
        try:
            with safe_open(path, "pt") as file:
                return file.get_tensor("features")
        except (OSError, SafetensorError):  # not there, or cut short
            pass
        features = self._compute(detector, clips)
        with whole(path) as part:
            save_file({"features": features}, part, {"about": about})
        return features


def require_enough(names: list[str], real: VideoSet, generated_count: int, allow_few: bool) -> None:
    """Refuse numbers of clips that make a score meaningless, before anything is generated.

    Raises:
        ValueError: naming the score, how many there are, and what it would mean.
    """
    fewest = min(len(real), generated_count)
    if {"fvd", "fid", "gap"} & set(names) and fewest < FEWEST and not allow_few:
        raise ValueError(
            f"FVD and FID of {generated_count} generated and {len(real)} real clips are refused below {FEWEST}: even two sets "
            "of real clips so small are farther apart than models differ. Take more (--num-videos), kvd, which is unbiased, or "
            "--allow-few, and read the floor beside the score."
        )
    if "diversity" in names and generated_count < 2 * len(real):
        raise ValueError(
            f"diversity compares two clips of the same picture and label: --num-videos must be at least {2 * len(real)}, twice "
            f"the real clips, got {generated_count}."
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
    video_detector: nn.Module | None,
    frame_detector: nn.Module | None,
) -> dict[str, Any]:
    """FVD, cFVD, sFVD, KVD, FID and sFID, as far as `names` asks for them.

    Each is a dict: `value`; for a whole set `interval` (95%), `standard_error` and `real_against_real`, the same distance
    between halves of the real clips, which have half as many; for groups `std` and `groups`; and the `detector`'s name.
    """
    scores: dict[str, Any] = {}
    for name in names:
        if name not in ("fvd", "cfvd", "sfvd", "kvd", "fid", "sfid"):
            continue
        detector = video_detector if name.endswith("vd") else frame_detector
        a, b = store(detector, real, keep=True), store(detector, generated)
        distance = kernel_distance if name == "kvd" else rules.frechet
        if name in ("fvd", "kvd", "fid"):
            found = {"value": distance(b, a)}
            if rules.bootstrap:
                interval = bootstrap_interval(distance, b, a, rules.bootstrap, seed=rules.seed)
                found |= {"interval": [interval.low, interval.high], "standard_error": interval.std}
            found["real_against_real"] = split_distance(distance, a, seed=rules.seed)
            found["real_against_real_clips"] = len(real) // 2
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


@torch.no_grad()
def accuracy_score(real: VideoSet, generated: VideoSet, batch_size: int = 8) -> dict[str, Any]:
    """Share of clips that the judge of toon faces calls by their label, of generated and of real ones; by label too.

    Raises:
        ValueError: for labels that the judge does not know.
    """
    judge = load_judge("expression")
    unknown = sorted({*real.labels, *generated.labels} - set(judge.labels))
    if unknown:
        raise ValueError(
            f"accuracy needs a judge that knows the labels; the one here knows toon faces ({', '.join(judge.labels)}), "
            f"not {', '.join(unknown)}."
        )
    found: dict[str, Any] = {"judge": "expression"}
    for name, clips in (("", generated), ("real_", real)):
        truth = torch.tensor([judge.labels.index(label) for label in clips.labels])
        predicted = torch.cat([judge(batch.float() / 255).logits.argmax(1) for batch in clips.batches(batch_size)])
        found[f"{name}value"] = label_accuracy(predicted, truth)
        matrix = confusion_matrix(predicted, truth, len(judge.labels))
        found[f"{name}groups"] = {
            label: (matrix[i, i] / matrix[i].sum()).item() for i, label in enumerate(judge.labels) if matrix[i].sum()
        }
    return found


def diversity_score(generated: VideoSet, sources: Sequence[int]) -> dict[str, Any]:
    """L1 between clips of one picture and label with other noise, mean over pictures and labels; `sources` says whose each is."""
    by_source: dict[int, list[int]] = {}
    for place, source in enumerate(sources):
        by_source.setdefault(source, []).append(place)
    values = [
        seed_diversity(torch.stack([generated.frames(place) for place in places]).float() / 255)
        for places in by_source.values()
        if len(places) > 1
    ]
    return {"value": sum(values) / len(values), "pictures_and_labels": len(values)}


def gap_score(
    rules: Rules,
    seen: tuple[VideoSet, VideoSet],
    unseen: tuple[VideoSet, VideoSet],
    store: FeatureStore,
    detector: nn.Module,
) -> dict[str, Any]:
    """FVD of clips from pictures of the split `unseen` less that of the split trained on; each a pair (generated, real)."""
    features = [
        store(detector, clips, keep=keep) for pair in (seen, unseen) for clips, keep in zip(pair, (False, True))
    ]
    gap = train_test_gap(rules.frechet, *features, repeats=max(2, rules.bootstrap), seed=rules.seed)
    return {
        "value": gap.gap,
        "interval": [gap.gap - 1.96 * gap.std, gap.gap + 1.96 * gap.std],
        "standard_error": gap.std,
        "seen": gap.seen,
        "unseen": gap.unseen,
        "clips_each": len(seen[0]),
        "detector": detector.name,
    }


def require_true_motion(real: VideoSet) -> None:
    """Refuse clips whose true flow cannot be compared, by the first one.

    Raises:
        ValueError: if it is not known, or of another size than the model's pictures.
    """
    flow, _ = true_motion(real.clips[0])
    if flow.shape[2:] != (real.reader.height, real.reader.width):
        raise ValueError(
            f"epe needs clips of the model's {real.reader.width}x{real.reader.height} pixels, as flow is not stretched; those of "
            f"the data have {flow.shape[3]}x{flow.shape[2]}."
        )


def reconstruction_scores(
    names: list[str], pipe: ImageToVideoPipeline, real: VideoSet, progress: bool = True
) -> dict[str, Any]:
    """Real clips as a pipeline's auto-encoder gives them back: "l1" and "epe", as far as `names` asks for them.

    LFDM's re-enacts them from their first frame (LFDM, table 3), the others' give back every frame by itself.

    l1: L1 over all pixels and by frame, and over what moves. epe, of LFDM's: end-point error against the true flow, in
    pixels, over what is visible and moves; by place, and of no motion.
    """
    scores, errors = ReconstructionScores(), EndPointScores()
    by_frame = torch.zeros(real.num_frames, dtype=torch.float64)
    for index in tqdm(range(len(real)), desc="reconstruction", unit="clip", disable=not progress):
        frames = real.frames(index)
        if isinstance(pipe, LFDMPipeline):
            clip = reenact(pipe.lfae, frames)
            target, sample, inpainted = clip.target, clip.sample, clip.inpainted
        else:
            target, sample, inpainted = (frames.float() / 255)[None], reconstruct(pipe, frames)[None], None
        scores.update(target[:, :1], target, sample, inpainted)
        by_frame += torch.tensor(reconstruction_l1_per_frame(sample, target))
        if "epe" in names:
            flow, visible = (torch.from_numpy(each) for each in true_motion(real.clips[index]))
            shown = real.indices(index)[1:]  # the first frame is the reference itself
            moving = moving_pixels(clip.target[0, :1], clip.target[0, 1:])
            errors.update(clip.flow[1:], flow[shown], visible[shown], moving, pipe.lfae.config.flow_grid)
    found: dict[str, Any] = {}
    if "l1" in names:
        numbers = scores.compute()
        found["l1"] = {"value": numbers["l1"], **numbers, "per_frame": (by_frame / len(real)).tolist()}
    if "epe" in names:
        places = errors.compute()
        place = "visible_moving"
        found["epe"] = {"value": places["predicted"][place], "no_motion": places["zero"][place], "places": places}
    return found
