"""Scores of clips of toon faces, whose labels, motion and people are known; docs/evaluation.md says what each means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from toon_people import Person
from tqdm import tqdm

from lfdm_diffusers import LatentFlowAutoencoder
from lfdm_diffusers.evaluation.reconstruction import reenact
from lfdm_diffusers.metrics import (
    EndPointScores,
    ExpressionJudge,
    IdentityEncoder,
    ReconstructionScores,
    RunningMean,
    confusion_matrix,
    expression_timing,
    frechet_distance,
    identity_retrieval,
    identity_similarity,
    label_accuracy,
    motion_profile,
    moving_pixels,
    occlusion_statistics,
    reconstruction_l1_per_frame,
    seed_diversity,
)


@torch.no_grad()
def measure_reconstruction(lfae: LatentFlowAutoencoder, people: list[Person]) -> tuple[dict, torch.Tensor]:
    """Every clip re-enacted from its first frame: numbers, and the reconstructions `(N, F, 3, H, W)` uint8."""
    scores, errors = ReconstructionScores(), EndPointScores()
    per_frame, occlusions, visibilities, rebuilt = [], [], [], []
    for person in tqdm(people, desc="reconstruction", unit="person"):
        for i, frames in enumerate(person.frames):
            clip = reenact(lfae, frames)
            target, sample, inpainted = clip.target, clip.sample, clip.inpainted
            scores.update(target[:, :1], target, sample, inpainted)
            per_frame.append(reconstruction_l1_per_frame(sample, target))
            rebuilt.append((sample[0] * 255).round().to(torch.uint8))
            # Frame 0 is the reference itself, and tells nothing about motion.
            occlusions.append(clip.occlusion[1:])
            visibilities.append(person.visibility[i, 1:])
            moving = moving_pixels(target[0, :1], target[0, 1:])
            errors.update(clip.flow[1:], person.flow[i, 1:], visibilities[-1], moving, lfae.config.flow_grid)
    numbers = scores.compute()
    numbers["l1_per_frame"] = np.mean(per_frame, axis=0).tolist()
    numbers["l1_summed_over_frames"] = float(np.sum(numbers["l1_per_frame"]))
    numbers["l1_moving_over_static"] = numbers["l1_moving"] / numbers["static_l1_moving"]
    numbers["inpainted_l1_moving_over_static"] = numbers["inpainted_l1_moving"] / numbers["static_l1_moving"]
    return {
        "reconstruction": numbers,
        "end_point_error_in_pixels": errors.compute(),
        "occlusion": occlusion_statistics(torch.cat(occlusions), torch.cat(visibilities)),
    }, torch.stack(rebuilt)


@dataclass
class Judged:
    """What the expression judge says of N clips: probabilities, strength `(N, F)` and features `(N, D)`."""

    probabilities: torch.Tensor
    strength: torch.Tensor
    features: torch.Tensor


@torch.no_grad()
def judge_clips(judge: ExpressionJudge, clips: torch.Tensor, labels: Sequence[str]) -> Judged:
    """Clips `(N, F, 3, H, W)` uint8; probabilities are among `labels` only."""
    seen = [judge(part.float() / 255) for part in clips.split(16)]
    columns = [judge.labels.index(label) for label in labels]
    logits = torch.cat([part.logits for part in seen])[:, columns]
    strength, features = (torch.cat([getattr(part, name) for part in seen]) for name in ("strength", "features"))
    return Judged(logits.softmax(dim=1), strength, features)


def label_scores(judged: Judged, truth: torch.Tensor, count: int) -> dict:
    sure, predicted = judged.probabilities.max(dim=1)
    matrix = confusion_matrix(predicted, truth, count)
    return {
        "accuracy": label_accuracy(predicted, truth),
        "accuracy_with_probability_of_0.9": ((predicted == truth) & (sure >= 0.9)).double().mean().item(),
        "mean_probability_of_label": judged.probabilities.gather(1, truth[:, None]).mean().item(),
        "per_label": (matrix.diag() / matrix.sum(dim=1).clamp(min=1)).tolist(),
        "confusion": matrix.tolist(),
    }


def pair_timing(a: Judged, b: Judged, expressive: torch.Tensor) -> dict[str, float]:
    """How differently timed two sets of clips of the same people and labels are; neutral clips are left out."""
    one, two = (torch.stack(expression_timing(judged.strength[expressive])) for judged in (a, b))
    difference = (one - two).abs()
    return {
        "onset_difference_in_frames": difference[0].nanmean().item(),
        "offset_difference_in_frames": difference[1].nanmean().item(),
        "onset_mean": one[0].nanmean().item(),
        "offset_mean": one[1].nanmean().item(),
        "apex_strength": a.strength[expressive].amax(dim=1).mean().item(),
        "clips_without_expression": one[0].isnan().double().mean().item(),
        "clips_back_to_rest": (a.strength[expressive][:, -1] < a.strength[expressive].amax(1) / 2)
        .double()
        .mean()
        .item(),
    }


def profile_correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Mean correlation over time of how much two clips `(N, F, 3, H, W)` uint8 move from frame to frame."""
    profiles = []
    for clips in (a, b):
        profile = torch.cat([motion_profile(part.float() / 255) for part in clips.split(16)])
        profile = profile - profile.mean(dim=1, keepdim=True)
        profiles.append(profile / profile.norm(dim=1, keepdim=True).clamp(min=1e-9))
    return (profiles[0] * profiles[1]).sum(dim=1).mean().item()


@torch.no_grad()
def identity_scores(encoder: IdentityEncoder, clips: torch.Tensor, people: list[Person]) -> dict[str, float]:
    """Frames after the first of clips `(N, F, 3, H, W)` uint8 against every person's reference picture."""
    gallery = encoder(torch.stack([person.reference for person in people]))  # (P, D)
    features = torch.cat([encoder(clip[1:].float() / 255) for clip in clips])  # (N * (F - 1), D)
    who = torch.arange(len(people)).repeat_interleave(len(features) // len(people))
    cosines = identity_similarity(features[:, None], gallery[None])  # (N * (F - 1), P)
    own = cosines.gather(1, who[:, None])
    numbers = {"similarity": own.mean().item(), "retrieval": identity_retrieval(features, who, gallery)}
    if len(people) > 1:
        others = cosines[~F.one_hot(who, len(people)).bool()].view(len(who), -1)
        numbers["similarity_to_most_similar_other"] = others.amax(dim=1).mean().item()
    return numbers


def background_l1(clips: torch.Tensor, people: list[Person]) -> float:
    """Mean |frame - reference| where, in the real clips, nothing but background ever comes near."""
    mean = RunningMean()
    for person, own in zip(people, clips.unflatten(0, (len(people), -1))):
        mean.add((own.float() / 255 - person.reference).abs(), person.background)
    return mean.value


def diversity_scores(one: torch.Tensor, two: torch.Tensor, real: torch.Tensor) -> dict[str, float]:
    """How much clips `(N, F, 3, H, W)` uint8 of two seeds differ, and how far they and real ones go from their first frame."""

    def to_reference(clips: torch.Tensor) -> float:
        return float(np.mean([(clip.float() - clip[:1]).abs().mean().item() / 255 for clip in clips]))

    pairs = torch.stack((one, two), dim=1)  # (N, 2, F, 3, H, W)
    return {
        "l1_between_two_seeds": float(np.mean([seed_diversity(pair.float() / 255) for pair in pairs])),
        "l1_to_reference": to_reference(one),
        "real_l1_to_reference": to_reference(real),
    }


def sampler_scores(judged: Judged, real: Judged, truth: torch.Tensor) -> dict[str, float]:
    """What samplers are compared by: labels, and the distance of the judge's features from those of real clips."""
    return {
        "accuracy": label_accuracy(judged.probabilities.argmax(1), truth),
        "mean_probability_of_label": judged.probabilities.gather(1, truth[:, None]).mean().item(),
        "judge_features_frechet_distance": frechet_distance(judged.features, real.features),
    }
