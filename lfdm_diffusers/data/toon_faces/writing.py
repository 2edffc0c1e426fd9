"""Toon faces as a data set in files: splits, labels, settings, and the true motion beside each clip.

write_toon_faces("toon", num_subjects=60, num_test_subjects=10, size=64, num_frames=16)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...files.whole import write_text
from ..captions import Action, Specification, captions
from ..captions.timing import specification_of
from ..chance import random_stream
from ..drawn_sets import (
    checked_settings,
    chosen_subjects,
    drawn,
    keep_settings,
    require_integer,
    rows_of_other_split,
    split_of,
    write_missing,
)
from ..suffixes import TOON_FACES_SETTINGS as SETTINGS
from ..video_writing import SUFFIXES
from .actions import act
from .clips import VERSION, require_style, toon_clip
from .expressions import LABELS
from .people import ToonSubject

ACTIONS_FOLDER = "actions"
NUM_CAPTIONS = 6  # sentences of each clip


def planned(settings: dict, person: ToonSubject) -> Iterator[tuple[str, str | Specification, int]]:
    """Folder, what is done, and take of each clip of a person."""
    for label in settings["labels"]:
        for take in range(settings["takes"]):
            yield label, label, take
    for take in range(settings["actions"]):
        yield ACTIONS_FOLDER, specification_of(settings["seed"], person.index, take), take


def sentences_about(settings: dict, person: ToonSubject, what: str | Specification, take: int) -> list[str]:
    """Several sentences that say what a clip does."""
    number = len(LABELS) if isinstance(what, Specification) else LABELS.index(what)
    if not isinstance(what, Specification):
        what = Specification(() if what == "neutral" else (Action(what),))
    return captions(what, random_stream(settings["seed"], person.index, 33, number, take), NUM_CAPTIONS)


def write_subject(
    root: Path, settings: dict, subject: int, tick: Callable[[int], object] = lambda clips: None
) -> list[dict]:
    """Write all clips of a person that are missing; their metadata rows."""
    split = split_of(settings, subject)
    suffix = SUFFIXES[settings["format"]]
    person = ToonSubject.sample(settings["seed"], subject)
    rows = []
    for folder, what, take in planned(settings, person):
        stem = f"{split}/{folder}/{subject:04d}_{take:02d}"
        row: dict[str, Any] = dict(file_name=stem + suffix)
        if isinstance(what, str):
            row["label"] = what
        row |= dict(subject=subject, split=split, take=take)
        if settings["with_flow"]:
            row["flow"] = stem + ".flow.npz"
        if settings["actions"]:
            row["text"] = sentences_about(settings, person, what, take)
        if isinstance(what, Specification):
            _, strengths = act(person, what, take, settings["num_frames"], settings["seed"])
            row["specification"] = what.to_json()
            row["actions"] = {name: [round(float(v), 3) for v in curve] for name, curve in strengths.items()}
        sizes = (settings["num_frames"], settings["size"], settings["style"])
        write_missing(root, row, settings, partial(toon_clip, settings["seed"], person, what, take, *sizes))
        rows.append(row)
        tick(1)
    return rows


def write_toon_faces(
    root: str | Path,
    num_subjects: int,
    num_test_subjects: int | None = None,
    test_fraction: float = 0.2,
    labels: tuple[str, ...] = LABELS,
    takes: int = 1,
    num_frames: int = 40,
    size: int = 128,
    seed: int = 0,
    format: str = "png",
    fps: int = 25,
    with_flow: bool = False,
    workers: int = 0,
    progress: bool = True,
    style: str = "painted",
    split: str | None = None,
    actions: int = 0,
) -> Path:
    """Write a data set: root/{train,test}/label/subject_take, and root/metadata.jsonl.

    A clip appears under its name only when it is complete, and clips that are there already are skipped, so that an
    interrupted call can simply be repeated. Test people never appear in the training split.

    Args:
        root: folder; it is made if missing.
        num_subjects: number of people, in both splits together.
        num_test_subjects: people of the test split, the last ones; `test_fraction` of all, rounded, if None.
        test_fraction: in [0, 1].
        labels: expressions to draw, from `LABELS`.
        takes: clips of each person and label.
        num_frames, size, seed: as in `toon_clip`.
        format: "png" (a folder of lossless frames 0000.png ... per clip), "webp" (lossless animation), "mp4" (H.264)
            or "webm" (VP9); the video formats lose a little and need an even size.
        fps: frames a second of the animated formats.
        with_flow: also write subject_take.flow.npz per clip: flow (F, 2, H, W) float16, visibility (F, 1, H, W) uint8,
            both against frame 0 and as in `ToonClip.flow`.
        workers: processes that draw people side by side; 0 draws in this one. A script that asks for workers needs the
            usual `if __name__ == "__main__":`.
        progress: show a progress bar.
        style: as in `toon_clip`.
        split: "train" or "test" draws that split alone, as if the other were drawn later.
        actions: so many more clips of each person, in the folder "actions", each of single actions, combinations or sequences
            (`captions.draw_specification`); all clips then come with sentences. 0: the seven expressions alone, without sentences.

    Returns:
        The path of metadata.jsonl: one line a clip with file_name, label, subject, split, take (and flow). With `actions` also
        text, several sentences; clips of actions have no label, and specification, what they do, and actions, the strength of
        each action in each frame.

    Raises:
        ValueError: if an argument is out of range, or root holds a data set of other settings.
    """
    require_style(style)
    require_integer("actions", actions, 0)
    settings: dict[str, Any] = dict(
        version=VERSION, num_subjects=num_subjects, num_test_subjects=num_test_subjects, labels=labels, takes=takes,
        num_frames=num_frames, size=size, seed=seed, format=format, fps=fps, with_flow=bool(with_flow), style=style,
        actions=actions,
    )  # fmt: skip
    settings = checked_settings(settings, LABELS, workers, test_fraction)
    subjects = chosen_subjects(settings, split)
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    keep_settings(root / SETTINGS, settings, before={"style": "painted", "actions": 0})  # there was no other once
    job, clips_each = partial(write_subject, root, settings), len(settings["labels"]) * takes + actions
    metadata = root / "metadata.jsonl"
    rows = rows_of_other_split(metadata, split)
    for _, done in drawn(job, subjects, clips_each, workers, "toon faces", progress):
        rows += done
    rows.sort(key=lambda row: row["subject"])
    write_text(metadata, "".join(json.dumps(row) + "\n" for row in rows))
    return metadata
