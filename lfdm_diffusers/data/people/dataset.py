"""People as a data set on disk: what `lfdm data people` writes.

root/{train,test}/label/subject_take (clips of actions in a folder "actions"), and root/metadata.jsonl, one line a clip, which grows with every person.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...files.extras import required
from ...files.whole import write_text
from ..captions import Specification
from ..captions import captions as sentences
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
from ..suffixes import PEOPLE_SETTINGS as SETTINGS
from ..video_writing import SUFFIXES
from .actions import ACTIONS
from .body_captions import body_captions
from .captions import captions, described
from .clip import PeopleClip, clip_number, people_clip, performed
from .expressions import LABELS, Performance
from .garments import Attire
from .moves import BODY_LABELS, perform_body
from .moves import strengths as body_strengths
from .person import Person
from .standing import body_clip, body_number
from .wear import Outfit

VERSION = 1  # raised whenever the same settings would draw other pixels
ACTIONS_FOLDER = "actions"
NUM_CAPTIONS = 6  # sentences of each clip of actions
LEAST = 0.02  # strength from which on an action is listed in the metadata


def write_people(
    root: str | Path,
    num_subjects: int,
    num_test_subjects: int | None = None,
    test_fraction: float = 0.2,
    labels: tuple[str, ...] | None = None,
    takes: int = 1,
    num_frames: int = 24,
    size: int = 128,
    seed: int = 0,
    format: str = "png",
    fps: int = 25,
    with_flow: bool = False,
    workers: int = 0,
    progress: bool = True,
    split: str | None = None,
    body: bool = False,
    actions: int = 0,
) -> Path:
    """Write a data set. A clip appears under its name only when it is complete, and clips that are there already are skipped, so
    that an interrupted call can simply be repeated. Test people never appear in the training split.

    Args:
        root: folder; it is made if missing.
        num_subjects: number of people, in both splits together.
        num_test_subjects: people of the test split, the last ones; `test_fraction` of all, rounded, if None.
        test_fraction: in [0, 1].
        labels: expressions to draw, from `LABELS`, or, with `body`, actions from `BODY_LABELS`; all if None.
        takes: clips of each person and label.
        num_frames, size, seed: as in `people_clip`.
        format: "png" (a folder of lossless frames 0000.png ... per clip), "webp" (lossless animation), "mkv" (FFV1, lossless),
            "mp4" (H.264) or "webm" (VP9); the last two lose a little and need an even size.
        fps: frames a second of the animated formats.
        with_flow: also write subject_take.flow.npz per clip: flow (F, 2, H, W) float16, visibility (F, 1, H, W) uint8, both
            against frame 0 and as in `PeopleClip.flow`.
        workers: processes that draw people side by side; 0 draws in this one.
        progress: show a progress bar.
        split: "train" or "test" draws that split alone, as if the other were drawn later.
        body: draw people from head to foot who act with their bodies, instead of faces.
        actions: so many more clips of each person's face, in the folder "actions", each of single actions, combinations or
            sequences (`captions.draw_specification`), with sentences and without a label.

    Returns:
        The path of metadata.jsonl: see `metadata_row`.

    Raises:
        ValueError: if an argument is out of range, or root holds a data set of other settings.
        ImportError: if anny or numba is not installed.
    """
    require_integer("actions", actions, 0)
    if body and actions:
        raise ValueError(f"actions must be 0 with body, whose sentences are its labels', got {actions}")
    settings: dict[str, Any] = dict(
        version=VERSION, num_subjects=num_subjects, num_test_subjects=num_test_subjects, labels=labels, takes=takes,
        num_frames=num_frames, size=size, seed=seed, format=format, fps=fps, with_flow=bool(with_flow), body=bool(body),
        actions=actions,
    )  # fmt: skip
    known = BODY_LABELS if body else LABELS
    settings["labels"] = known if labels is None else labels
    settings = checked_settings(settings, known, workers, test_fraction)
    subjects = set(chosen_subjects(settings, split))
    required("anny", "people", "rendering people")
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    keep_settings(root / SETTINGS, settings, before={"body": False, "actions": 0})  # there was no other once
    job, clips_each = partial(write_subject, root, settings), len(settings["labels"]) * takes + actions
    order = [s for s in drawing_order(num_subjects, settings["num_test_subjects"]) if s in subjects]
    rows: dict[int, list[dict]] = {}
    metadata = root / "metadata.jsonl"
    for row in rows_of_other_split(metadata, split):
        rows.setdefault(row["subject"], []).append(row)
    for subject, done in drawn(job, order, clips_each, workers, "people", progress):
        rows[subject] = done  # the metadata is complete for those listed at any time
        write_text(metadata, "".join(json.dumps(row) + "\n" for s in sorted(rows) for row in rows[s]))
    return metadata


def drawing_order(num_subjects: int, num_test_subjects: int) -> list[int]:
    """All subjects, those for testing spread among the others: what is there of an unfinished data set has both."""
    first_test = num_subjects - num_test_subjects
    place = [
        (s + 0.5) / max(first_test, 1) if s < first_test else (s - first_test + 0.5) / num_test_subjects
        for s in range(num_subjects)
    ]
    return sorted(range(num_subjects), key=lambda s: (place[s], s))


def planned(settings: dict, person: Person) -> Iterator[tuple[str | Specification, int]]:
    """What is done, and take, of each clip of a person."""
    for label in settings["labels"]:
        for take in range(settings["takes"]):
            yield label, take
    for take in range(settings["actions"]):
        yield specification_of(settings["seed"], person.index, take), take


def metadata_row(settings: dict, person: Person, label: str | Specification, take: int) -> dict:
    """What metadata.jsonl says of a clip.

    file_name, label, subject, split, take (and flow) as for toon faces; sex, years, skin (light, medium, dark) and style of the
    person; before, the label and strength of the face in the first frame; level, the strength of the label's expression in each
    frame; actions, the strength of each action in each frame, for those that move; head, yaw, pitch and roll in degrees in each
    frame; captions, sentences. Clips of actions have no label; specification, what they do, and strengths, how strong each
    action of the language is in each frame (`acting.act`). Of whole figures, `body_row` says the rest.
    """
    split = split_of(settings, person.index)
    acted = isinstance(label, Specification)
    stem = f"{split}/{ACTIONS_FOLDER if acted else label}/{person.index:04d}_{take:02d}"
    row: dict[str, Any] = dict(file_name=stem + SUFFIXES[settings["format"]])
    if not acted:
        row["label"] = label
    row |= dict(subject=person.index, split=split, take=take)
    if settings["with_flow"]:
        row["flow"] = stem + ".flow.npz"
    if settings["body"] and not isinstance(label, Specification):
        return row | body_row(settings, person, label, take)
    performance, strengths = performed(person, label, take, settings["num_frames"], settings["seed"])
    outfit = Outfit.sample(person, clip_number(label, take))
    row |= face_row(person, performance)
    if isinstance(label, Specification):
        row["specification"] = label.to_json()
        row["strengths"] = {name: [round(float(v), 3) for v in curve] for name, curve in strengths.items()}
        rng = random_stream(settings["seed"], person.index, 33, take)
        row["captions"] = [
            *sentences(label, rng, NUM_CAPTIONS - 1),
            *sentences(label, rng, 1, who=f"{described(person, outfit)},"),
        ]
    else:
        row["captions"] = captions(person, outfit, label, performance, settings["seed"], take)
    return row


def face_row(person: Person, performance: Performance) -> dict:
    """Who is seen, and what moves."""
    moving = [i for i in range(len(ACTIONS)) if performance.actions[:, i].max() >= LEAST]
    return dict(
        sex=person.sex, years=person.years, skin=person.group, hair=person.hair_style, beard=person.beard, glasses=person.glasses,
        hat=person.hat, before=dict(label=performance.before[0], strength=round(performance.before[1], 3)),
        level=[round(float(v), 3) for v in performance.level],
        actions={ACTIONS[i]: [round(float(v), 2) for v in performance.actions[:, i]] for i in moving},
        head=[[round(float(v), 1) for v in np.degrees(turn)] for turn in performance.head],
    )  # fmt: skip


def body_row(settings: dict, person: Person, label: str, take: int) -> dict:
    """What metadata.jsonl says of a clip of a whole figure beside its file.

    As of faces: sex, years, skin and style of the person, level, captions. Also clothes (top, bottom); side that does what one
    side does, and times, how often; facing, degrees turned to the person's left in each frame; actions, for each parameter of
    the rig that moves (`rig.LIMITS`), its change since the first frame over the span of its limits, in each frame.
    """
    number = body_number(label, take)
    performance = perform_body(person, label, number, settings["num_frames"], settings["seed"])
    attire = Attire.sample(person, number)
    return dict(
        sex=person.sex, years=person.years, skin=person.group, hair=person.hair_style, beard=person.beard, glasses=person.glasses,
        hat=person.hat, clothes=dict(top=attire.kind, bottom=attire.lower), side=performance.side.lower(), times=performance.times,
        level=[round(float(v), 3) for v in performance.level], facing=[round(float(v), 1) for v in performance.facing],
        actions={name: [round(float(v), 2) for v in values] for name, values in body_strengths(performance).items()},
        captions=body_captions(person, attire, label, performance, settings["seed"], take),
    )  # fmt: skip


def write_subject(
    root: Path, settings: dict, subject: int, tick: Callable[[int], object] = lambda clips: None
) -> list[dict]:
    """Write all clips of a person that are missing; their metadata rows."""
    person = Person.sample(settings["seed"], subject)
    shoot: Callable[..., PeopleClip] = body_clip if settings["body"] else people_clip
    rows = []
    for what, take in planned(settings, person):
        row = metadata_row(settings, person, what, take)
        sizes = (settings["num_frames"], settings["size"])
        write_missing(root, row, settings, partial(shoot, settings["seed"], person, what, take, *sizes))
        rows.append(row)
        tick(1)
    return rows
