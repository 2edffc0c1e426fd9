#!/usr/bin/env python
"""Whether a model does what sentences say: a reader of actions, trained on true clips, reads them back.

    lfdm data toon-faces acts --num-subjects 136 --num-test-subjects 16 --labels neutral --actions 10 --size 64 \
        --num-frames 16 --format webp
    python reproduction/sentences.py train --data_dir acts --output_dir reader
    python reproduction/sentences.py score --reader reader/actions.safetensors --model MODEL --output_dir scores

`train` trains the reader on the training people's clips of actions and says how well it reads the others'. `score` lets people
whom nobody was trained on do what sentences in held-out wordings, of held-out pairs of actions, and of nothing say, and reads
the clips; beside them stand true clips of the same people that do the same. Without `--model` true clips alone are scored.
With `--kind people` all of it is of rendered people, of 24 frames (the extra [people] renders them):

    lfdm data people acts --num-subjects 340 --num-test-subjects 40 --labels neutral --actions 8 --format webp --seed 4
    python reproduction/sentences.py train --kind people --data_dir acts --output_dir reader
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from lfdm_diffusers.data.captions import ACTIONS, SLOTS, STRENGTHS, Action, Specification, captions, draw_specification
from lfdm_diffusers.data.chance import random_stream
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.evaluation.judge_training import LEARNING_RATE, fit
from lfdm_diffusers.files.progress import progress_bar
from lfdm_diffusers.files.whole import write_text
from lfdm_diffusers.metrics.action_reader import ActionReader, load_reader, read_actions, save_reader

# People of seed 0 from here on: beyond all that documented commands draw.
UNSEEN = 5000


class Kind(NamedTuple):
    """Who acts: `num_frames` frames of `size` pixels, which the reader sees at `read_size`.

    `draw(person, what, num_frames)` gives the frames (F, H, W, 3) of a person who does what is said, a label or a specification.
    """

    num_frames: int
    size: int
    read_size: int
    draw: Callable[[int, str | Specification, int], np.ndarray]


def draw_toon(person: int, what: str | Specification, num_frames: int) -> np.ndarray:
    from lfdm_diffusers.data.toon_faces import toon_clip

    return toon_clip(0, person, what, 0, num_frames, 64).frames


def draw_person(person: int, what: str | Specification, num_frames: int) -> np.ndarray:
    from lfdm_diffusers.data.people.clip import people_clip

    return people_clip(0, person, what, 0, num_frames, 128).frames


KINDS = {"toon-faces": Kind(16, 64, 64, draw_toon), "people": Kind(24, 128, 96, draw_person)}


# ---- the reader -----------------------------------------------------------------------------------------------------


def read_data(root: Path, split: str, size: int) -> tuple[torch.Tensor, torch.Tensor, list[dict]]:
    """Clips `(N, F, 3, size, size)` uint8, their true strengths `(N, F, slots)`, and their rows."""
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == split and row.get("label") in (None, "neutral")]
    keys = ["_".join(filter(None, slot)) for slot in SLOTS]
    frames, strengths = [], []
    for row in progress_bar(rows, desc=f"reading {split}", unit="clip"):
        clip = torch.from_numpy(read_clip(root / row["file_name"])).permute(0, 3, 1, 2)
        frames.append(resized(clip[None], size)[0])
        strengths.append(torch.zeros(len(clip), len(SLOTS)))
        if "specification" in row:
            for key, curve in row.get("strengths", row["actions"]).items():
                strengths[-1][:, keys.index(key)] = torch.tensor(curve)
    return torch.stack(frames), torch.stack(strengths), rows


def resized(clips: torch.Tensor, size: int) -> torch.Tensor:
    """Clips `(N, F, 3, H, W)`, uint8 or in [0, 1], at the size that is read."""
    if clips.shape[-1] == size:
        return clips
    small = F.interpolate(clips.flatten(0, 1).float(), (size, size), mode="bilinear", antialias=True)
    small = small.view(*clips.shape[:3], size, size)
    return small.round().to(torch.uint8) if clips.dtype == torch.uint8 else small


def changed(clips: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Clips as a generator may give them: other colours, blurred by up to half their pixels, noise, moved a little."""
    count = len(clips)
    gain, level = (
        torch.from_numpy(rng.uniform(low, high, (count, 1, 3, 1, 1))).float()
        for low, high in ((0.8, 1.2), (-0.1, 0.1))
    )
    clips = (clips * gain + level).clamp(0, 1)
    if rng.random() < 0.5:
        small = F.interpolate(
            clips.flatten(0, 1), scale_factor=float(rng.uniform(0.5, 1)), mode="bilinear", antialias=True
        )
        soft = F.interpolate(small, clips.shape[-2:], mode="bilinear").view(clips.shape)
        clips = torch.cat((clips[:, :1] if rng.random() < 0.5 else soft[:, :1], soft[:, 1:]), dim=1)
    clips = clips.roll(tuple(rng.integers(-3, 4, 2).tolist()), dims=(-2, -1))
    return (clips + 0.015 * torch.from_numpy(rng.standard_normal(clips.shape, np.float32))).clamp(0, 1)


def train_reader(data: Path, size: int, steps: int, batch_size: int, seed: int) -> tuple[ActionReader, list[dict]]:
    frames, strengths, _ = read_data(data, "train", size)
    torch.manual_seed(seed)
    reader = ActionReader().to(memory_format=torch.channels_last)

    def loss_of_batch(step: int) -> torch.Tensor:
        rng = random_stream(seed, 7, step)
        rows = torch.from_numpy(rng.integers(0, len(frames), batch_size))
        wanted = strengths[rows]
        error = F.smooth_l1_loss(reader(changed(frames[rows].float() / 255, rng)), wanted, beta=0.1, reduction="none")
        # Most actions are absent from most frames: those that are there count more.
        return (error * (1 + 6 * (wanted > 0.05))).mean()

    curve = fit(reader, loss_of_batch, steps, LEARNING_RATE, "actions")
    return reader, curve


@torch.no_grad()
def strengths_of(reader: ActionReader, clips: torch.Tensor, size: int) -> torch.Tensor:
    """`(N, F, slots)` of clips `(N, F, 3, H, W)`, uint8 or in [0, 1]."""
    parts = (part.float() / 255 if part.dtype == torch.uint8 else part for part in resized(clips, size).split(16))
    return torch.cat([reader(part) for part in parts])


# ---- scores ---------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """What a person is to do, and a sentence that says it."""

    specification: Specification
    sentence: str
    person: int


def cases(group: str, count: int, seed: int) -> list[Case]:
    """Of "training wordings", "held-out wordings", "held-out pairs" or "nothing"."""
    rng = random_stream(seed, 41, GROUPS.index(group))
    found = []
    while len(found) < count:
        if group == "held-out pairs":
            does = draw_specification(rng, held_out_pairs=True)
        elif group == "nothing":
            does = draw_specification(rng, "still")
        else:
            does = draw_specification(rng)
        if said := captions(
            does, rng, 1, held_out=group in ("held-out wordings", "nothing") and bool(rng.integers(4))
        ):
            found.append(Case(does, said[0], UNSEEN + len(found) % 50))
    return found


GROUPS = ["training wordings", "held-out wordings", "held-out pairs", "nothing"]


def graded_cases(count: int, seed: int) -> list[list[Case]]:
    """Triples of one action at its three strengths, of one person."""
    rng, found = random_stream(seed, 42), []
    graded = [slot for slot in SLOTS if ACTIONS[slot[0]].graded]
    for number in range(count):
        name, side = graded[int(rng.integers(len(graded)))]
        does = [Specification((Action(name, side, how),)) for how in STRENGTHS]
        found.append([Case(s, captions(s, rng, 1, held_out=True)[0], UNSEEN + number % 50) for s in does])
    return found


def marks(case: Case, strengths: torch.Tensor) -> dict[str, list[bool]]:
    """What is right about a clip that was to be the case's."""
    seen = read_actions(strengths)
    if not case.specification.actions:
        return {"nothing moves": [not seen]}
    names, said = {action.name for action in seen}, {action.name for action in case.specification.actions}
    out: dict[str, list[bool]] = {
        "actions": [name in names for name in said],
        "nothing else": [names <= said],
        "left or right": [],
        "order": [],
    }
    for action in case.specification.actions:
        if action.side:
            sides = {other.side: other.strength for other in seen if other.name == action.name}
            out["left or right"].append(bool(sides) and max(sides, key=lambda side: sides[side]) == action.side)
    if case.specification.is_sequence:
        first, second = (
            [o.centre for o in seen if (o.name, o.side) == (a.name, a.side)] for a in case.specification.actions
        )
        out["order"].append(bool(first and second) and first[0] < second[0])
    return out


def summed(found: Sequence[dict[str, list[bool]]]) -> dict[str, float]:
    names = dict.fromkeys(name for marks_ in found for name in marks_)
    every = {name: [right for marks_ in found for right in marks_.get(name, [])] for name in names}
    return {name: round(float(np.mean(rights)), 4) for name, rights in every.items() if rights}


Maker = Callable[[list[Case]], torch.Tensor]


def true_clips(kind: Kind) -> Maker:
    """What the people do who are drawn to do it, `(N, F, 3, H, W)` uint8."""

    def make(chosen: list[Case]) -> torch.Tensor:
        clips = [kind.draw(c.person, c.specification, kind.num_frames) for c in chosen]
        return torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3)

    return make


def model_clips(model: str, kind: Kind, steps: int | None, guidance: float | None) -> Maker:
    """What a model makes of people's first pictures and the sentences, `(N, F, 3, H, W)`."""
    from lfdm_diffusers.pipelines.loading import load_pipeline

    pipe = load_pipeline(model)

    def make(chosen: list[Case]) -> torch.Tensor:
        pictures = [Image.fromarray(kind.draw(c.person, "neutral", 1)[0]) for c in chosen]
        seeds = [torch.Generator().manual_seed(c.person) for c in chosen]
        return pipe(
            pictures, [c.sentence for c in chosen], num_frames=kind.num_frames, num_inference_steps=steps,
            guidance_scale=guidance, generator=seeds, output_type="pt",
        ).frames.float().cpu()  # fmt: skip

    return make


def score(
    reader: ActionReader, make: Maker, size: int, count: int, seed: int, batch: int = 8
) -> dict[str, dict[str, float]]:
    """Shares that are right, by group."""
    report = {}
    for group in GROUPS:
        chosen = iter(cases(group, count, seed))
        found = []
        while some := list(islice(chosen, batch)):
            found += [marks(case, row) for case, row in zip(some, strengths_of(reader, make(some), size))]
        report[group] = summed(found) | {"clips": len(found)}
    right = []
    for triple in graded_cases(max(count // 3, 1), seed):
        action = triple[0].specification.actions[0]
        slot = SLOTS.index((action.name, action.side))
        slight, plain, strong = strengths_of(reader, make(triple), size)[..., slot].amax(1).tolist()
        right.append(slight < plain < strong)
    report["strength"] = {"slight < plain < strong": round(float(np.mean(right)), 4), "clips": 3 * len(right)}
    return report


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("--data_dir", type=Path, required=True)
    train.add_argument("--steps", type=int, default=900)
    train.add_argument("--batch_size", type=int, default=12)
    scoring = commands.add_parser("score")
    scoring.add_argument("--reader", type=Path, required=True)
    scoring.add_argument("--model", help="pipeline that takes sentences: folder or Hub id; none: true clips alone")
    scoring.add_argument("--num_inference_steps", type=int)
    scoring.add_argument("--guidance_scale", type=float, help="default: the model's own")
    scoring.add_argument("--count", type=int, default=120, help="clips of each group")
    for command in (train, scoring):
        command.add_argument("--kind", choices=KINDS, default="toon-faces", help="who acts (default: toon-faces)")
        command.add_argument("--output_dir", type=Path, required=True)
        command.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    since, kind = time.perf_counter(), KINDS[args.kind]
    if args.command == "train":
        reader, curve = train_reader(args.data_dir, kind.read_size, args.steps, args.batch_size, args.seed)
        frames, _, rows = read_data(args.data_dir, "test", kind.read_size)
        found = []
        for row, seen in zip(rows, strengths_of(reader, frames, kind.read_size)):
            does = Specification.from_json(row["specification"]) if "specification" in row else Specification()
            found.append(marks(Case(does, "", row["subject"]), seen))
        facts = {"kind": args.kind, "steps": args.steps, "batch_size": args.batch_size, "seed": args.seed, "torch": torch.__version__,
                 "seconds": round(time.perf_counter() - since), "test clips": len(rows), "test people": summed(found)}  # fmt: skip
        save_reader(reader, args.output_dir / "actions.safetensors", facts)
        write_text(args.output_dir / "actions.jsonl", "".join(json.dumps(line) + "\n" for line in curve))
        report: dict = facts
    else:
        reader = load_reader(args.reader)
        report = {"true clips": score(reader, true_clips(kind), kind.read_size, args.count, args.seed)}
        if args.model:
            make = model_clips(args.model, kind, args.num_inference_steps, args.guidance_scale)
            report["model"] = score(reader, make, kind.read_size, args.count, args.seed)
        report["settings"] = {
            "kind": args.kind,
            "count": args.count,
            "seed": args.seed,
            "steps": args.num_inference_steps,
            "guidance_scale": args.guidance_scale,
        }
    write_text(args.output_dir / f"{args.command}.json", json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
