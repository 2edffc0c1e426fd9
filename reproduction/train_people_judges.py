#!/usr/bin/env python
"""Make the two judges of clips of rendered people, and judge them: lfdm_diffusers/assets/people_judges.

    python reproduction/train_people_judges.py --data_dir people128 --test_dir unseen --output_dir judges

`labels` (`FlowJudge`) says which expression a clip shows, by optical flow; `identity` (`IdentityEncoder`, a small network) tells people
apart. Both learn from true clips of the split train alone, and are tested on the people of --test_dir. Writes labels.safetensors,
identity.safetensors and a report of each.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from train_toon_judges import first_pictures, keep, likeness, train_identity

from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.people.expressions import LABELS
from lfdm_diffusers.evaluation.judge_training import blur
from lfdm_diffusers.files.progress import progress_bar
from lfdm_diffusers.metrics.flow_judge import FlowJudge, face_motion, fit_flow_judge
from lfdm_diffusers.metrics.judge_files import load_judge, save_judge
from lfdm_diffusers.metrics.labels import confusion_matrix, label_accuracy
from lfdm_diffusers.metrics.toon_judges import IdentityEncoder

BOX, WHOLE = (0.172, 0.219, 0.656), (0.0, 0.0, 1.0)  # where the face is in a frame, and of frames that are cut to it
DECAYS, FOLDS = (0.003, 0.01, 0.03, 0.1, 0.3), 5


def read_people(root: Path, split: str) -> tuple[torch.Tensor, list[dict]]:
    """Frames `(N, F, 3, H, W)` uint8 and rows of metadata, of the clips that are there."""
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == split]
    frames = [read_clip(root / row["file_name"]) for row in progress_bar(rows, desc=f"reading {split}", unit="clip")]
    return torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3), rows


def labels_of(rows: list[dict]) -> torch.Tensor:
    return torch.tensor([LABELS.index(row["label"]) for row in rows])


def motions_of(frames: torch.Tensor, blurred: float = 1.0) -> torch.Tensor:
    """What the judge of labels goes by, of clips that may be blurred first."""
    clips = (blur(clip[None].float() / 255, blurred)[0] for clip in progress_bar(frames, desc="motion", unit="clip"))
    pixels = ((clip * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy() for clip in clips)
    return torch.from_numpy(np.stack([face_motion(clip) for clip in pixels]))


def train_labels(data: tuple[torch.Tensor, list[dict]]) -> tuple[FlowJudge, dict[str, float]]:
    """The judge, with the decay whose judges of four fifths of the people say most of the others; and what they said."""
    frames, rows = data
    motion, truth = motions_of(frames), labels_of(rows)
    fold = torch.tensor([int(row["subject"]) % FOLDS for row in rows])
    losses = {}
    for decay in DECAYS:
        of_folds = []
        for left_out in range(FOLDS):
            judge = fit_flow_judge(motion[fold != left_out], truth[fold != left_out], LABELS, decay)
            logits = judge.classify(motion[fold == left_out].flatten(1))
            of_folds.append(F.cross_entropy(logits, truth[fold == left_out], reduction="sum").item())
        losses[decay] = sum(of_folds) / len(rows)
        print(f"decay {decay}: cross-entropy {losses[decay]:.4f} of people left out", flush=True)
    return fit_flow_judge(motion, truth, LABELS, min(losses, key=losses.__getitem__)), losses


def train_likeness(data: tuple[torch.Tensor, list[dict]], args: argparse.Namespace) -> IdentityEncoder:
    """The identity judge: it sees the middle of the picture."""
    frames, rows = data
    left, top, side = (round(share * frames.shape[-1]) for share in BOX)
    torch.manual_seed(args.seed)
    encoder = IdentityEncoder(WHOLE)
    train_identity(
        encoder, frames[..., top : top + side, left : left + side], rows, stream=(args.seed,), pictures=args.batch_size,
        steps=args.identity_steps,
    )  # fmt: skip
    whole = IdentityEncoder(BOX)
    whole.load_state_dict(encoder.state_dict())
    return whole


@torch.no_grad()
def test_labels(judge: FlowJudge, data: tuple[torch.Tensor, list[dict]]) -> dict:
    """Accuracy on true clips of unseen people, as drawn and blurred, and the confusion of the former."""
    frames, rows = data
    truth = labels_of(rows)
    report: dict = {"clips": len(rows), "people": len({row["subject"] for row in rows})}
    for name, factor in (("as drawn", 1.0), ("blurred 2x", 2.0), ("blurred 3x", 3.0)):
        probabilities = judge.classify(motions_of(frames, factor).flatten(1)).softmax(dim=1)
        most, predicted = probabilities.max(dim=1)
        report[name] = {
            "accuracy": round(label_accuracy(predicted, truth), 4),
            "sure and right": round(((predicted == truth) & (most >= 0.9)).double().mean().item(), 4),
        }
        if name == "as drawn":
            matrix = confusion_matrix(predicted, truth, len(LABELS)).tolist()
            report["confusion"] = {label: str(row) for label, row in zip(LABELS, matrix)}
    return report


def test_likeness(encoder: IdentityEncoder, data: tuple[torch.Tensor, list[dict]]) -> dict:
    """Of unseen people: frames against the first frame of each one's first clip."""
    frames, rows = data
    subjects, gallery = first_pictures(encoder, frames, rows)
    return {"people": len(subjects), **likeness(encoder, frames, rows, gallery)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="people to learn from, its split train")
    parser.add_argument("--test_dir", type=Path, required=True, help="other people, its split test")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--identity_steps", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=64, help="pictures of a step of identity")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("labels", "identity"), help="train and test one judge only")
    args = parser.parse_args(argv)

    args.output_dir.mkdir(parents=True, exist_ok=True)
    data, unseen = read_people(args.data_dir, "train"), read_people(args.test_dir, "test")
    for name in [args.only] if args.only else ["labels", "identity"]:
        since = time.perf_counter()
        settings: dict = {"script": "reproduction/train_people_judges.py", "training_clips": len(data[1])}
        if name == "labels":
            judge, losses = train_labels(data)
            settings |= {"cross_entropy_of_people_left_out_by_decay": losses}
        else:
            judge = train_likeness(data, args)
            settings |= {"seed": args.seed, "batch_size": args.batch_size, "steps": args.identity_steps}
        settings |= {"torch": torch.__version__, "seconds": round(time.perf_counter() - since)}
        path = args.output_dir / f"{name}.safetensors"
        save_judge(judge, path, settings)
        again = load_judge("people" if name == "labels" else name, path)  # as it will be used, from half precision
        report = test_labels(again, unseen) if name == "labels" else test_likeness(again, unseen)
        settings |= {"unseen_people": report["as drawn"]}
        keep(judge, path, settings, report)


if __name__ == "__main__":
    main()
