#!/usr/bin/env python
"""Measure a pipeline for toon faces on people it has never seen.

    python scripts/evaluate_toon.py MODEL_FOLDER --output results.json

Draws unseen people, re-enacts their clips with the LFAE, generates every label for each of them, and writes
results.json (numbers, and a receipt of all that made them) and a folder of pictures beside it. docs/evaluation.md says
what every number means.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.checkpoint_files import file_sha256
from lfdm_diffusers.data.toon_faces import LABELS, VERSION, ToonClip, ToonSubject, toon_clip
from lfdm_diffusers.evaluation.report import rounded, software
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
    load_judge,
    motion_profile,
    moving_pixels,
    occlusion_statistics,
    reconstruction_l1_per_frame,
    seed_diversity,
)
from lfdm_diffusers.metrics.toon_judges import JUDGES, judge_file
from lfdm_diffusers.reconstruction import evaluate_reconstruction, reenact
from lfdm_diffusers.schedulers import SCHEDULERS, scheduler_by_name
from lfdm_diffusers.training_utils import draw_generator
from lfdm_diffusers.visualization import contact_sheet
from lfdm_diffusers.whole_files import whole

REFERENCE = "ddim:100:1"
CANDIDATES = (
    "ddim:10:1", "ddim:8:1", "ddim:6:1", "ddim:4:1", "ddim:10:0", "ddim:6:0", "dpm++:10", "dpm++:6", "dpm++:4",
    "unipc:10", "unipc:6",
)  # fmt: skip
WITHIN = 1.1  # a setting is as good as the reference if it loses no more than this factor


# ---- settings of the sampler ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """How to sample: `SAMPLER:STEPS[:ETA[:GUIDANCE]]`, or "default", which is the pipeline as it is."""

    name: str
    sampler: str | None
    steps: int
    eta: float = 1.0
    guidance_scale: float = 1.0

    @classmethod
    def parse(cls, text: str, pipe: LFDMPipeline) -> Setting:
        if text == "default":
            return cls(text, None, pipe.default_steps())
        sampler, _, numbers = text.partition(":")
        try:
            steps, *eta = numbers.split(":")
            setting = cls(text, sampler, int(steps), *map(float, eta))
        except (TypeError, ValueError):
            setting = None
        if setting is None or sampler not in SCHEDULERS or setting.steps < 1 or not 0 <= setting.eta <= 1:
            raise ValueError(
                f"a setting must be default or SAMPLER:STEPS[:ETA[:GUIDANCE]] with a sampler of {', '.join(SCHEDULERS)} and eta in "
                f"[0, 1], got {text!r}"
            )
        return setting


# ---- real clips -----------------------------------------------------------------------------------------------------


@dataclass
class Person:
    """An unseen person's real clips, one for each label.

    Attributes:
        subject: number in the population.
        frames: `(labels, F, 3, H, W)` uint8; the first frames are the same picture.
        flow, visibility: `(labels, F, 2, H, W)` and `(labels, F, 1, H, W)`, true, from frame 0.
        background: `(1, H, W)` bool, pixels 4 or more away from anything that moves in any of these clips.
        other_take: as frames, the same person acting again.
    """

    subject: int
    frames: torch.Tensor
    flow: torch.Tensor
    visibility: torch.Tensor
    background: torch.Tensor
    other_take: torch.Tensor

    @property
    def reference(self) -> torch.Tensor:
        """`(3, H, W)` in [0, 1]."""
        return self.frames[0, 0].float() / 255


def draw_person(seed: int, index: int, labels: Sequence[str], num_frames: int, size: int) -> Person:
    subject = ToonSubject.sample(seed, index)
    takes = [[toon_clip(seed, subject, label, take, num_frames, size) for label in labels] for take in (0, 1)]

    def frames_of(clips: list[ToonClip]) -> torch.Tensor:
        return torch.from_numpy(np.stack([clip.frames for clip in clips])).permute(0, 1, 4, 2, 3)

    motions = [clip.flow_from_first() for clip in takes[0]]
    flow, visibility = (torch.from_numpy(np.stack(maps)) for maps in zip(*motions))
    background = takes[0][0].part_names.index("backdrop")
    person = np.any([clip.parts != background for clip in takes[0]], axis=(0, 1))
    near = F.max_pool2d(torch.from_numpy(person).float()[None], 9, stride=1, padding=4)
    return Person(index, frames_of(takes[0]), flow, visibility.bool(), near == 0, frames_of(takes[1]))


# ---- stage one ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def measure_reconstruction(pipe: LFDMPipeline, people: list[Person]) -> tuple[dict, torch.Tensor]:
    """Every clip re-enacted from its first frame: numbers, and the reconstructions `(N, F, 3, H, W)` uint8."""
    lfae = pipe.lfae
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


# ---- stage two ------------------------------------------------------------------------------------------------------


@dataclass
class Generated:
    """Clips `(N, F, 3, H, W)` uint8 of all people and labels, their occlusion `(N, F, 1, h, w)`, and what they took."""

    frames: torch.Tensor
    occlusion: torch.Tensor
    seconds: float


def generate(
    pipe: LFDMPipeline,
    people: list[Person],
    labels: Sequence[str],
    setting: Setting,
    seed: int,
    repeat: int,
    bar: tqdm,
) -> Generated:
    """One clip of each person and label."""
    own, frames, occlusion, since = pipe.scheduler, [], [], time.perf_counter()
    if setting.sampler is not None:
        pipe.scheduler = scheduler_by_name(setting.sampler, own)
    bar.set_description(f"{setting.name}, seed {repeat}")
    try:
        for person in people:
            out = pipe(
                person.reference,
                list(labels),
                num_inference_steps=setting.steps,
                eta=setting.eta,
                guidance_scale=setting.guidance_scale,
                generator=[draw_generator(seed, repeat, person.subject, i) for i in range(len(labels))],
                output_type="pt",
            )
            frames.append((out.frames.float().cpu() * 255).round().to(torch.uint8))
            occlusion.append(out.occlusion.float().cpu())
            bar.update(setting.steps * len(labels))
    finally:
        pipe.scheduler = own
    return Generated(torch.cat(frames), torch.cat(occlusion), time.perf_counter() - since)


# ---- judges ---------------------------------------------------------------------------------------------------------


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


# ---- pictures -------------------------------------------------------------------------------------------------------


def tiles(frames: torch.Tensor) -> list[np.ndarray]:
    """Frames `(F, 3, H, W)` uint8 as the contact sheet wants them."""
    return [frame.permute(1, 2, 0).numpy() / 255 for frame in frames]


def save_pictures(
    folder: Path, pipe: LFDMPipeline, people: list[Person], labels: Sequence[str], clips: torch.Tensor, count: int
) -> list[str]:
    """Sheets of `count` people: every label over time beside the real clip; every apex; and re-enactments."""
    folder.mkdir(parents=True, exist_ok=True)
    by_person = clips.unflatten(0, (len(people), len(labels)))
    shown = np.unique(np.linspace(0, len(people) - 1, count).round().astype(int))
    num_frames = clips.shape[1]
    times = np.unique(np.linspace(0, num_frames - 1, 8).round().astype(int))
    sheets = {}
    for i in shown:
        rows, titles = [], []
        for j, label in enumerate(labels):
            rows += [tiles(by_person[i, j, times]), tiles(people[i].frames[j, times])]
            titles += [label, "(real)"]
        columns = [f"frame {time}" for time in times]
        sheets[f"person-{people[i].subject:04d}.png"] = contact_sheet(rows, columns, tile=96, names=titles)
    apex = num_frames // 2
    rows, titles = [], []
    for i in shown:
        reference = tiles(people[i].frames[0, :1])
        rows += [reference + tiles(by_person[i, :, apex]), reference + tiles(people[i].frames[:, apex])]
        titles += [f"{people[i].subject}", "(real)"]
    sheets["apex.png"] = contact_sheet(rows, ["reference", *labels], tile=96, names=titles)
    driving = torch.stack([people[i].frames[k % len(labels), apex] for k, i in enumerate(shown)]).float() / 255
    reference = torch.stack([people[i].reference for i in shown])
    _, sheets["reconstruction.png"] = evaluate_reconstruction(pipe.lfae, reference, driving, rows=count)
    for name, sheet in sheets.items():
        sheet.save(folder / name)
    return [str(folder / name) for name in sheets]


# ---- all of it ------------------------------------------------------------------------------------------------------


def evaluate(args: argparse.Namespace) -> dict:
    since = time.perf_counter()
    pipe = LFDMPipeline.from_pretrained(args.model).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.to(getattr(torch, args.unet_dtype))
    judges = {name: load_judge(name) for name in JUDGES}
    labels = [name for name in LABELS if pipe.labels is None or pipe.label_embeddings.knows(name)]
    if not labels:
        raise ValueError(
            f"the model must know some of the labels {', '.join(LABELS)}; it knows {', '.join(pipe.labels)}"
        )
    settings = [Setting.parse(text, pipe) for text in args.settings]
    has_default = pipe.config.get("default_num_inference_steps") is not None
    main = Setting.parse(args.main or ("default" if has_default else CANDIDATES[0]), pipe)
    reference = Setting.parse(args.reference, pipe)
    size, _ = pipe.frame_size([torch.zeros(3, 64, 64)])
    num_frames = pipe.unet.config.num_frames
    numbers = range(args.first_person, args.first_person + args.num_people)
    people = [
        draw_person(args.data_seed, number, labels, num_frames, size)
        for number in tqdm(numbers, desc="drawing", unit="person")
    ]
    truth = torch.arange(len(labels)).repeat(len(people))
    real, other_take = (torch.cat([getattr(person, name) for person in people]) for name in ("frames", "other_take"))

    stage_one, rebuilt = measure_reconstruction(pipe, people)

    runs = {(main, 0), (main, 1), *((setting, 0) for setting in (reference, *settings))}
    with tqdm(total=sum(setting.steps for setting, _ in runs) * len(truth), unit="clip-step", smoothing=0.02) as bar:
        clips, seconds, judged, settled = {}, {}, {}, {}
        for setting, repeat in sorted(runs, key=lambda run: (run[0] != main, run[0].steps, run[0].name, run[1])):
            generated = generate(pipe, people, labels, setting, args.seed, repeat, bar)
            judged[setting, repeat] = judge_clips(judges["expression"], generated.frames, labels)
            seconds[setting, repeat] = generated.seconds / len(truth)
            if setting == main:
                clips[repeat], settled[repeat] = generated.frames, generated.occlusion

    def judge(frames: torch.Tensor) -> Judged:
        return judge_clips(judges["expression"], frames, labels)

    as_drawn, again = judge(real), judge(other_take)
    still = judge(real[:, :1].expand_as(real))
    expressive = truth != (labels.index("neutral") if "neutral" in labels else -1)

    def scores_of(found: Judged) -> dict[str, float]:
        return {
            "accuracy": label_accuracy(found.probabilities.argmax(1), truth),
            "mean_probability_of_label": found.probabilities.gather(1, truth[:, None]).mean().item(),
            "judge_features_frechet_distance": frechet_distance(found.features, as_drawn.features),
        }

    samplers = {
        setting.name: {"steps": setting.steps, "seconds_a_clip": seconds[setting, repeat]} | scores_of(found)
        for (setting, repeat), found in judged.items()
        if repeat == 0
    }
    goal = samplers[reference.name]
    good = [
        name
        for name, row in samplers.items()
        if row["steps"] <= 10
        and row["judge_features_frechet_distance"] <= WITHIN * goal["judge_features_frechet_distance"]
        and row["accuracy"] >= goal["accuracy"] / WITHIN
    ]
    fastest = min(
        good,
        key=lambda name: (samplers[name]["steps"], samplers[name]["judge_features_frechet_distance"]),
        default=None,
    )
    first, second = judged[main, 0], judged[main, 1]
    by_prompt = torch.stack((clips[0], clips[1]), dim=1)  # (N, 2, F, 3, H, W)
    results = stage_one | {
        "occlusion_of_generated_clips": occlusion_statistics(settled[0]),
        "labels": {
            "names": labels,
            "real": label_scores(as_drawn, truth, len(labels)),
            "real_other_take": label_scores(again, truth, len(labels)),
            "reconstructed": label_scores(judge(rebuilt), truth, len(labels)),
            "generated": label_scores(first, truth, len(labels)),
        },
        "timing": {
            "generated_two_seeds": pair_timing(first, second, expressive)
            | {"motion_profile_correlation": profile_correlation(clips[0], clips[1])},
            "real_two_takes": pair_timing(as_drawn, again, expressive)
            | {"motion_profile_correlation": profile_correlation(real, other_take)},
        },
        "diversity": {
            "l1_between_two_seeds": float(np.mean([seed_diversity(pair.float() / 255) for pair in by_prompt])),
            "l1_to_reference": float(np.mean([(c.float() - c[:1]).abs().mean().item() / 255 for c in clips[0]])),
            "real_l1_to_reference": float(np.mean([(c.float() - c[:1]).abs().mean().item() / 255 for c in real])),
        },
        "identity": {
            name: identity_scores(judges["identity"], frames, people)
            | {"background_l1": background_l1(frames, people)}
            for name, frames in (("real", real), ("reconstructed", rebuilt), ("generated", clips[0]))
        },
        "samplers": {
            "main": main.name,
            "reference": reference.name,
            "fastest_within_10_percent": fastest,
            "settings": samplers,
            "main_second_seed": scores_of(second),
            "anchors": {"real_other_take": scores_of(again), "static_reference": scores_of(still)},
        },
    }
    pictures = save_pictures(args.pictures, pipe, people, labels, clips[0], args.num_pictures)
    files = sorted(path for path in Path(args.model).rglob("*") if path.is_file())
    receipt = {
        "command": "python scripts/evaluate_toon.py " + " ".join(args.argv),
        "seconds": time.perf_counter() - since,
        "seed": args.seed,
        "people": f"numbers {numbers[0]} to {numbers[-1]} of toon faces, seed {args.data_seed}, version {VERSION}, takes 0 and 1",
        "clips": len(truth), "frames": num_frames, "size": size,
        "guidance_scale": main.guidance_scale, "scheduler": type(pipe.scheduler).__name__,
        "device": str(pipe.device), "unet_dtype": args.unet_dtype, "threads": torch.get_num_threads(), "machine": platform.machine(),
        "software": software(),
        "model_sha256": {str(path.relative_to(args.model)): file_sha256(path) for path in files},
        "judges_sha256": {name: file_sha256(judge_file(name)) for name in JUDGES},
        "pictures": [os.path.relpath(path, args.output.parent) for path in pictures],
    }  # fmt: skip
    return rounded({"receipt": receipt} | results)


def as_json(results: dict) -> str:
    """Indented, with lists of numbers on one line."""
    return (
        re.sub(
            r"\[[^\[\]{}\"]*\]",
            lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"),
            json.dumps(results, indent=2),
        )
        + "\n"
    )


def summary(results: dict) -> str:
    """The numbers that a reader asks for first, as a few lines."""
    l1, flow, labels = (results[name] for name in ("reconstruction", "end_point_error_in_pixels", "labels"))
    timing, samplers = results["timing"], results["samplers"]
    identity, occlusion = results["identity"], results["occlusion"]
    return "\n".join(
        (
            f"L1 over moving pixels {l1['l1_moving']}, inpainted {l1['inpainted_l1_moving']}, static {l1['static_l1_moving']}",
            f"occlusion: mean {occlusion['occlusion_mean']}, least {occlusion['occlusion_min']}",
            f"end-point error, visible and moving: {flow['predicted']['visible_moving']}, zero flow {flow['zero']['visible_moving']} pixels",
            f"label accuracy: generated {labels['generated']['accuracy']}, real {labels['real']['accuracy']}, "
            f"reconstructed {labels['reconstructed']['accuracy']}",
            f"onset differs between seeds by {timing['generated_two_seeds']['onset_difference_in_frames']} frames, "
            f"between real takes by {timing['real_two_takes']['onset_difference_in_frames']}",
            f"identity: similarity {identity['generated']['similarity']} (real {identity['real']['similarity']}), "
            f"retrieval {identity['generated']['retrieval']}",
            f"fastest sampler within 10% of {samplers['reference']}: {samplers['fastest_within_10_percent']}",
        )
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "model", metavar="MODEL_FOLDER", help="a folder with an LFDMPipeline that knows toon faces' labels"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--pictures", type=Path, help="folder of contact sheets (default: OUTPUT without its ending)")
    parser.add_argument("--num_pictures", type=int, default=6, help="people on contact sheets")
    parser.add_argument("--num_people", type=int, default=20)
    parser.add_argument("--first_person", type=int, default=600, help="people from here on were not trained on")
    parser.add_argument("--data_seed", type=int, default=0, help="the population's")
    parser.add_argument("--seed", type=int, default=0, help="of all noise")
    parser.add_argument(
        "--main", help="setting that is measured in full (default: the pipeline's own, else ddim:10:1)"
    )
    parser.add_argument("--reference", default=REFERENCE, help="setting that the others are compared with")
    parser.add_argument(
        "--settings", nargs="*", default=list(CANDIDATES), help="others, as SAMPLER:STEPS[:ETA[:GUIDANCE]]"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--unet_dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    args = parser.parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else argv
    for name, least in (("num_pictures", 1), ("num_people", 2), ("first_person", 0), ("data_seed", 0), ("seed", 0)):
        if getattr(args, name) < least:
            parser.error(f"--{name} must be {least} or more, got {getattr(args, name)}")
    if not Path(args.model, "model_index.json").is_file():
        parser.error(f"MODEL_FOLDER must hold a pipeline (model_index.json), got {args.model}")
    args.pictures = args.pictures or args.output.with_suffix("")
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        results = evaluate(args)
        with whole(args.output) as part:
            part.write_text(as_json(results), encoding="utf-8")
    except (ValueError, OSError) as error:
        raise SystemExit(f"evaluate_toon: {error}") from error
    print(summary(results))
    print(f"wrote {args.output} and the pictures in {args.pictures}")


if __name__ == "__main__":
    main()
