#!/usr/bin/env python
"""Whom people128 serves worse: label accuracy and likeness of its clips by skin, age and sex of rendered people.

    python reproduction/paper_tables.py people --work tables     # makes the people and the clips
    python reproduction/people_groups.py --work tables           # judges them by group, and writes docs/results/people-groups.json

Beside each number stands that of the true clips whose pictures and labels were taken, which says how well the judges themselves do on a group.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from paper_tables import PEOPLE, RESULTS

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.evaluation.judged import pictures_of_subjects
from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.evaluation.video_sets import VideoSet, find_generated_clips, find_real_clips
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.metrics import identity_similarity, load_judge

TRAITS = ("skin", "years", "sex", "glasses", "beard")
SIDE, FRAMES = 128, 24


@torch.inference_mode()
def judged(clips: VideoSet, pictures: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each clip, whether it is called by its label, and the mean likeness of its later frames to its person's picture, `(N,)`."""
    judge, encoder = load_judge("people"), load_judge("people-identity")
    gallery = {subject: encoder(picture[None].float() / 255) for subject, picture in pictures.items()}
    right, alike = [], []
    for index, (label, subject) in enumerate(zip(clips.labels, clips.subjects)):
        frames = clips.frames(index).float() / 255
        right.append(judge.labels[int(judge(frames[None]).argmax())] == label)
        alike.append(identity_similarity(encoder(frames[1:]), gallery[subject]).mean())
    return torch.tensor(right).double(), torch.stack(alike).double()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("tables"), help="as of paper_tables.py (default: tables)")
    parser.add_argument("--output", type=Path, default=RESULTS / "people-groups.json")
    args = parser.parse_args(argv)

    root = args.work / "unseen"
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    about = {str(row["subject"]): row for row in rows}
    real = find_real_clips(root, "test", "auto", ClipReader(SIDE, SIDE), FRAMES, PEOPLE.arguments["num_real"])
    made = find_generated_clips(args.work / PEOPLE.name / "generated", SIDE, SIDE, FRAMES)
    pictures = pictures_of_subjects(real)
    of_sets = [(clips.subjects, *judged(clips, pictures)) for clips in (made, real)]

    def scores_where(chosen: Callable[[str], bool]) -> dict[str, float]:
        found: dict[str, float] = {}
        for prefix, (subjects, right, alike) in zip(("", "real_"), of_sets):
            where = torch.tensor([chosen(subject) for subject in subjects])
            found[f"{prefix}clips"] = int(where.sum())
            found[f"{prefix}accuracy"] = round(right[where].mean().item(), 4)
            found[f"{prefix}identity"] = round(alike[where].mean().item(), 4)
        return found

    groups = {
        trait: {
            value: scores_where(lambda subject, trait=trait, value=value: str(about[subject][trait]) == value)
            for value in sorted({str(row[trait]) for row in rows})
        }
        for trait in TRAITS
    }
    results = {
        "people": len(pictures),
        "all": scores_where(lambda subject: True),
        "groups": groups,
        "receipt": {"generated_sha256": made.fingerprint, "data_sha256": real.fingerprint}
        | {"command": "python reproduction/people_groups.py --work tables"}
        | {"software": software(), "hardware": hardware(torch.device("cpu"))},
    }
    write_json(args.output, results)
    for trait, values in groups.items():
        for value, scores in values.items():
            print(f"{trait} {value}: {scores}")


if __name__ == "__main__":
    main()
