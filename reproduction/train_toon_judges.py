#!/usr/bin/env python
"""Train the two networks that judge clips of toon faces (lfdm_diffusers/metrics/toon_judges.py), and judge them.

    python reproduction/train_toon_judges.py --data_dir toon64 --output_dir judges

Draws the data set into `--data_dir` if it is not there (64 pixels, 16 frames), trains on the training people, and tests
on the others: on their clips as drawn, on damaged ones, and on clips that show their label only in part. The networks
never see a generated clip. Writes expression.safetensors and .json (the report), identity.safetensors and .json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageSequence
from torch import nn

from lfdm_diffusers.data.toon_faces import LABELS, ToonSubject, toon_clip, write_toon_faces
from lfdm_diffusers.data.toon_faces.expressions import BROWS, EYES, TARGETS, Performance, perform
from lfdm_diffusers.data.toon_faces.rendering import render
from lfdm_diffusers.evaluation.judge_training import blur, blur_some, fit, move, recolour, uniform
from lfdm_diffusers.files.progress import progress_bar
from lfdm_diffusers.files.whole import write_text
from lfdm_diffusers.metrics.identity import identity_retrieval, identity_similarity
from lfdm_diffusers.metrics.judge_files import load_judge, save_judge
from lfdm_diffusers.metrics.labels import confusion_matrix, label_accuracy
from lfdm_diffusers.metrics.motion import expression_timing
from lfdm_diffusers.metrics.toon_judges import SIZE, ExpressionJudge, IdentityEncoder

JUDGES = ["expression", "identity"]
FRAMES = 16
NEUTRAL = LABELS.index("neutral")
# What of a person another one's takes the place of, to see how much of it the identity judge notices.
CHANGES = {
    "another's eyes and brows": "eye_gap eye_width eye_height eye_tilt eye_roundness iris iris_size lashes brow_height "
    "brow_thickness brow_arch brow_tilt",
    "another's nose and mouth": "nose nose_width nose_length mouth_width mouth_height lip_thickness",
    "another's shape of the face": "face_width face_top chin taper squareness ear_size",
    "another's skin": "skin lip blush freckles",
    "another's hair": "hair hair_style brow",
    "another's clothes and background": "clothes accent background clothes_style backdrop earrings",
}


# ---- data -----------------------------------------------------------------------------------------------------------


def mix_performances(a: Performance, b: Performance, share: float, names: set[str] | None = None) -> Performance:
    """a + share (b - a), in the named fields only if names are given."""
    return replace(
        a,
        **{
            f.name: getattr(a, f.name) + share * (getattr(b, f.name) - getattr(a, f.name))
            for f in fields(a)
            if names is None or f.name in names
        },
    )


def expression_strength(performance: Performance, neutral: Performance, label: str) -> np.ndarray:
    """How much of a label's expression each frame shows, `(F,)`: 0 none, 1 its target; 0 for neutral.

    What a label adds to the same person's and take's neutral face, projected onto the label's targets.
    """
    total, norm = np.zeros(FRAMES), 1e-12
    for name, target in TARGETS[label].items():
        added = getattr(performance, name) - getattr(neutral, name)
        total += target * (added.mean(axis=0) if added.ndim == 2 else added)
        norm += target**2
    return total / norm


def read_clips(root: Path, split: str) -> tuple[torch.Tensor, list[dict], torch.Tensor]:
    """Frames `(N, F, 3, H, W)` uint8, metadata rows, and the strength of the expression in every frame `(N, F)`."""
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["split"] == split]
    seed = json.loads((root / "toon_faces.json").read_text())["seed"]
    frames = torch.empty(len(rows), FRAMES, 3, SIZE, SIZE, dtype=torch.uint8)
    strength = torch.zeros(len(rows), FRAMES)
    for i, row in enumerate(progress_bar(rows, desc=f"reading {split}", unit="clip")):
        with Image.open(root / row["file_name"]) as file:
            pictures = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(file)]
        frames[i] = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        person = ToonSubject.sample(seed, row["subject"])
        show = partial(perform, person, take=row["take"], num_frames=FRAMES, seed=seed)
        strength[i] = torch.from_numpy(expression_strength(show(row["label"]), show("neutral"), row["label"]))
    return frames, rows, strength


# ---- training -------------------------------------------------------------------------------------------------------


def train_expression(
    frames: torch.Tensor, rows: list[dict], strength: torch.Tensor, args: argparse.Namespace
) -> ExpressionJudge:
    torch.manual_seed(args.seed)
    judge = ExpressionJudge(LABELS).to(memory_format=torch.channels_last)
    labels = torch.tensor([LABELS.index(row["label"]) for row in rows])
    order = np.random.default_rng(args.seed)
    batches = [order.permutation(len(rows))[: args.batch_size] for _ in range(args.expression_steps)]

    def loss_of_batch(step: int) -> torch.Tensor:
        rng = np.random.default_rng((args.seed, 1, step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        clip = torch.from_numpy(batches[step])
        # Frame 0 and half of the others: cheaper, and the judge learns to need no particular frames.
        shown = np.concatenate(([0], np.sort(rng.choice(np.arange(1, FRAMES), 8, replace=False))))
        clips = frames[clip][:, shown].float() / 255
        clips = blur_some(recolour(move(clips, generator), 0.25, generator), rng, generator)
        with torch.autocast("cpu", torch.bfloat16):
            seen = judge(clips)
        loss = F.cross_entropy(seen.logits.float(), labels[clip], label_smoothing=0.02)
        return loss + F.smooth_l1_loss(seen.strength.float(), strength[clip][:, shown], beta=0.1)

    fit(judge, loss_of_batch, args.expression_steps, 3e-3, "expression")
    return judge


def train_identity(
    encoder: IdentityEncoder,
    frames: torch.Tensor,
    rows: list[dict],
    *,
    stream: tuple[int, ...],
    pictures: int,
    steps: int,
    half: bool = False,
) -> None:
    """Pictures of one person to one direction: cross-entropy over people with a margin on cosines (CosFace).

    Args:
        encoder: what is trained.
        frames: (N, F, 3, H, W) uint8, of the clips of `rows`.
        stream: of random numbers; the step is added to it.
        pictures: in a batch.
        half: run the encoder in bfloat16.
    """
    encoder.to(memory_format=torch.channels_last)
    subjects, people = np.unique([row["subject"] for row in rows], return_inverse=True)
    who = torch.from_numpy(people)
    network = nn.ModuleDict({"encoder": encoder, "directions": nn.Linear(64, len(subjects), bias=False)})

    def loss_of_batch(step: int) -> torch.Tensor:
        rng = np.random.default_rng((*stream, step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        clips = torch.from_numpy(rng.integers(0, len(rows), pictures))
        seen = frames[clips, torch.from_numpy(rng.integers(0, frames.shape[1], len(clips)))].float()[:, None] / 255
        seen = blur_some(recolour(move(seen, generator), 0.3, generator), rng, generator)[:, 0]
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features = encoder(seen)
        cosines = features.float() @ F.normalize(network["directions"].weight, dim=1).T
        own = F.one_hot(who[clips], len(subjects))
        return F.cross_entropy(20 * (cosines - 0.2 * own), who[clips])

    fit(network, loss_of_batch, steps, 3e-3, "identity")


# ---- tests ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def judge_clips(judge: ExpressionJudge, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities `(N, labels)` and strength `(N, F)` of clips `(N, F, 3, H, W)` in [0, 1]."""
    parts = [judge(part) for part in clips.split(32)]
    return torch.cat([part.logits.softmax(dim=1) for part in parts]), torch.cat([part.strength for part in parts])


def score(judge: ExpressionJudge, clips: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Accuracy, accuracy where only answers of a probability of .9 count, and the label's mean probability."""
    probabilities, _ = judge_clips(judge, clips)
    sure, predicted = probabilities.max(dim=1)
    return {
        "accuracy": round(label_accuracy(predicted, labels), 4),
        "accuracy_sure": round(((predicted == labels) & (sure >= 0.9)).double().mean().item(), 4),
        "probability": round(probabilities.gather(1, labels[:, None]).mean().item(), 4),
    }


def damaged(clips: torch.Tensor, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Clips as a generator might spoil them, without changing what they show."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    yield "blurred 2x", blur(clips, 2.0)
    yield "blurred 3x", blur(clips, 3.0)
    yield "blurred 2x after frame 0", torch.cat((clips[:, :1], blur(clips[:, 1:], 2.0)), dim=1)
    yield "noise 0.03", (clips + 0.03 * torch.randn(clips.shape, generator=generator)).clamp(0, 1)
    yield "colours", recolour(clips, 0.25, generator)
    flicker = uniform(-0.03, 0.03, *clips.shape[:2], 1, 1, 1, generator=generator)
    yield "brightness +-0.03, frame by frame", (clips + flicker).clamp(0, 1)
    when = torch.from_numpy(np.sort(rng.integers(-2, 3, (len(clips), FRAMES)) + np.arange(FRAMES), axis=1))
    when[:, 0] = 0
    yield "frames up to 2 early or late", clips[torch.arange(len(clips))[:, None], when.clamp(0, FRAMES - 1)]
    shuffled = np.concatenate(([0], rng.permutation(FRAMES - 1) + 1))
    yield "shuffled after frame 0", clips[:, shuffled]


def half_wrong(seed: int, people: range) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Clips that show their label only in part, of each person in all labels; labels; and the labels mixed in."""
    clips = {}
    labels, others = [], []
    upper = set(BROWS) | set(EYES)
    for subject in progress_bar(people, desc="drawing half-wrong clips", unit="person"):
        person = ToonSubject.sample(seed, subject)
        shown = {label: perform(person, label, 0, FRAMES, seed) for label in LABELS}
        for i, label in enumerate(LABELS):
            other = LABELS[(i + 1 + subject % (len(LABELS) - 1)) % len(LABELS)]
            labels.append(i)
            others.append(LABELS.index(other))
            variants = {
                f"{round(100 * share)}% of the expression": mix_performances(shown["neutral"], shown[label], share)
                for share in (0.2, 0.35, 0.5, 0.75)
            }
            variants["eyes and brows of another label"] = mix_performances(shown[label], shown[other], 1.0, upper)
            variants["mouth, nose and cheeks of another label"] = mix_performances(
                shown[other], shown[label], 1.0, upper
            )
            for name, performance in variants.items():
                clips.setdefault(name, []).append(render(person, performance, SIZE)[0])
            halves = [render(person, shown[which], SIZE)[0] for which in (label, other)]
            clips.setdefault("another label from frame 8 on", []).append(
                np.concatenate((halves[0][:8], halves[1][8:]))
            )
    clips = {name: torch.from_numpy(np.stack(found)).permute(0, 1, 4, 2, 3) for name, found in clips.items()}
    return clips, torch.tensor(labels), torch.tensor(others)


def test_expression(judge: ExpressionJudge, root: Path, seed: int) -> dict:
    frames, rows, strength = read_clips(root, "test")
    labels = torch.tensor([LABELS.index(row["label"]) for row in rows])
    clips = frames.float() / 255
    report = {
        "clips": len(clips),
        "people": len({row["subject"] for row in rows}),
        "as drawn": score(judge, clips, labels),
    }
    probabilities, seen = judge_clips(judge, clips)
    report["confusion"] = {"labels": LABELS, "matrix": confusion_matrix(probabilities.argmax(1), labels, 7).tolist()}
    moving = labels != NEUTRAL
    timing, truth = (torch.stack(expression_timing(curve[moving])) for curve in (seen, strength))
    error = (timing - truth).abs()
    report["timing"] = {
        "onset, mean error in frames": round(error[0].nanmean().item(), 3),
        "offset, mean error in frames": round(error[1].nanmean().item(), 3),
        "clips without timing": int(error[0].isnan().sum()),
        "strength, mean error": round((seen - strength).abs().mean().item(), 4),
        "strength of neutral clips, largest in each clip, mean": round(seen[~moving].amax(1).mean().item(), 4),
    }
    report["damaged"] = {name: score(judge, spoilt, labels) for name, spoilt in damaged(clips, seed)}
    people = sorted({row["subject"] for row in rows})[:20]
    report["label in part"] = {}
    partly, labels, others = half_wrong(json.loads((root / "toon_faces.json").read_text())["seed"], people)
    moving = labels != NEUTRAL
    for name, found in partly.items():
        probabilities, seen = judge_clips(judge, found.float() / 255)
        numbers = score(judge, found[moving].float() / 255, labels[moving])
        predicted = probabilities.argmax(1)[moving]
        numbers["called neutral"] = round((predicted == NEUTRAL).double().mean().item(), 4)
        if "another" in name:
            numbers["called the other label"] = round((predicted == others[moving]).double().mean().item(), 4)
        numbers["strength"] = round(seen[moving].amax(1).mean().item(), 3)
        report["label in part"][name] = numbers
    return report


@torch.no_grad()
def likeness(encoder: IdentityEncoder, frames: torch.Tensor, rows: list[dict], gallery: torch.Tensor) -> dict:
    """Of unseen people: frames (N, F, 3, H, W), but the first, against the gallery (P, 64) of `first_pictures`; as drawn, blurred."""
    people = np.unique([row["subject"] for row in rows], return_inverse=True)[1]
    who = torch.from_numpy(people).repeat_interleave(frames.shape[1] - 1)
    report = {}
    for name, factor in (("as drawn", 1.0), ("blurred 2x", 2.0), ("blurred 3x", 3.0)):
        features = torch.cat([encoder(blur(clip[None, 1:].float() / 255, factor)[0]) for clip in frames])
        cosines = identity_similarity(features[:, None], gallery[None])  # (N * (F - 1), P)
        own = cosines.gather(1, who[:, None])[:, 0]
        others = cosines.masked_fill(F.one_hot(who, len(gallery)).bool(), -math.inf)
        report[name] = {
            "retrieval": round(identity_retrieval(features, who, gallery), 4),
            "similarity to oneself": round(own.mean().item(), 4),
            "to the most similar other": round(others.amax(dim=1).mean().item(), 4),
            "to others": round(others[others.isfinite()].mean().item(), 4),
        }
    return report


@torch.no_grad()
def first_pictures(
    encoder: IdentityEncoder, frames: torch.Tensor, rows: list[dict]
) -> tuple[np.ndarray, torch.Tensor]:
    """The people of clips, in order, and the features (P, 64) of the first frame of each one's first clip."""
    subjects, first = np.unique([row["subject"] for row in rows], return_index=True)
    return subjects, encoder(frames[first.tolist(), 0].float() / 255)


@torch.no_grad()
def test_identity(encoder: IdentityEncoder, root: Path) -> dict:
    frames, rows, _ = read_clips(root, "test")
    subjects, gallery = first_pictures(encoder, frames, rows)
    report = likeness(encoder, frames, rows, gallery)
    seed = json.loads((root / "toon_faces.json").read_text())["seed"]
    report["similarity to the same person with"] = changes = {}
    for name, names in CHANGES.items():
        pictures = []
        for subject, other in zip(subjects, np.roll(subjects, 1)):
            person, donor = (ToonSubject.sample(seed, int(number)) for number in (subject, other))
            person = replace(person, **{field: getattr(donor, field) for field in names.split()})
            pictures.append(toon_clip(seed, person, "neutral", 0, 1, SIZE).frames[0])
        pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
        changes[name] = round(identity_similarity(encoder(pictures), gallery).mean().item(), 4)
    return {"people": len(subjects), **report}


def keep(judge: nn.Module, path: Path, settings: dict, report: dict) -> None:
    """Write a judge that knows how it was made, and beside it, and to the screen, also what it says of unseen people."""
    save_judge(judge, path, settings)
    text = json.dumps({"training": settings, **report}, indent=2)
    write_text(path.with_suffix(".json"), text + "\n")
    print(f"{text}\nwrote {path} and {path.with_suffix('.json')}", flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="drawn into if it holds no data set")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--num_people", type=int, default=640)
    parser.add_argument("--num_test_people", type=int, default=40, help="the last ones")
    parser.add_argument("--expression_steps", type=int, default=1500)
    parser.add_argument("--identity_steps", type=int, default=2000)
    parser.add_argument("--batch_size", type=int, default=32, help="clips; identity takes four pictures for each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes that draw")
    parser.add_argument("--only", choices=("expression", "identity"), help="train and test one judge only")
    args = parser.parse_args(argv)

    if not (args.data_dir / "metadata.jsonl").is_file():
        write_toon_faces(
            args.data_dir, args.num_people, args.num_test_people, num_frames=FRAMES, size=SIZE, format="webp",
            workers=args.workers,
        )  # fmt: skip
    args.output_dir.mkdir(parents=True, exist_ok=True)
    frames, rows, strength = read_clips(args.data_dir, "train")
    for name in [args.only] if args.only else JUDGES:
        settings = {
            "script": "reproduction/train_toon_judges.py", "seed": args.seed, "batch_size": args.batch_size,
            "steps": getattr(args, f"{name}_steps"), "training_clips": len(rows), "torch": torch.__version__,
        }  # fmt: skip
        since = time.perf_counter()
        if name == "expression":
            judge = train_expression(frames, rows, strength, args)
        else:
            torch.manual_seed(args.seed)
            judge = IdentityEncoder()
            train_identity(
                judge,
                frames,
                rows,
                stream=(args.seed, 2),
                pictures=4 * args.batch_size,
                steps=args.identity_steps,
                half=True,
            )
        settings["seconds"] = round(time.perf_counter() - since)
        path = args.output_dir / f"{name}.safetensors"
        save_judge(judge, path, settings)
        judge = load_judge(name, path)  # as it will be used, from half precision
        if name == "expression":
            report = test_expression(judge, args.data_dir, args.seed)
            settings["unseen_people_accuracy"] = report["as drawn"]["accuracy"]
        else:
            report = test_identity(judge, args.data_dir)
            settings["unseen_people_retrieval"] = report["as drawn"]["retrieval"]
        keep(judge, path, settings, report)


if __name__ == "__main__":
    main()
