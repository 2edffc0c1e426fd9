"""People as a data set on disk: what `lfdm data people` writes.

root/{train,test}/label/subject_take, and root/metadata.jsonl, one line a clip, which grows with every person.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ...whole_files import whole
from ..video_writing import SUFFIXES, write_clip
from .captions import captions
from .clip import PeopleClip, clip_number, people_clip, require_integer
from .expressions import ACTIONS, LABELS, perform
from .packages import required
from .person import Person
from .wear import Outfit

FORMATS = ("png", "webp", "mkv", "mp4", "webm")
SETTINGS = "people.json"  # of a data set, at its root
VERSION = 1  # raised whenever the same settings would draw other pixels
LEAST = 0.02  # strength from which on an action is listed in the metadata


def write_people(
    root: str | Path,
    num_subjects: int,
    num_test_subjects: int | None = None,
    test_fraction: float = 0.2,
    labels: tuple[str, ...] = LABELS,
    takes: int = 1,
    num_frames: int = 24,
    size: int = 128,
    seed: int = 0,
    format: str = "png",
    fps: int = 25,
    with_flow: bool = False,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Write a data set. A clip appears under its name only when it is complete, and clips that are there already are skipped, so
    that an interrupted call can simply be repeated. Test people never appear in the training split.

    Args:
        root: folder; it is made if missing.
        num_subjects: number of people, in both splits together.
        num_test_subjects: people of the test split, the last ones; `test_fraction` of all, rounded, if None.
        test_fraction: in [0, 1].
        labels: expressions to draw, from `LABELS`.
        takes: clips of each person and label.
        num_frames, size, seed: as in `people_clip`.
        format: "png" (a folder of lossless frames 0000.png ... per clip), "webp" (lossless animation), "mkv" (FFV1, lossless),
            "mp4" (H.264) or "webm" (VP9); the last two lose a little and need an even size.
        fps: frames a second of the animated formats.
        with_flow: also write subject_take.flow.npz per clip: flow (F, 2, H, W) float16, visibility (F, 1, H, W) uint8, both
            against frame 0 and as in `PeopleClip.flow`.
        workers: processes that draw people side by side; 0 draws in this one.
        progress: show a progress bar.

    Returns:
        The path of metadata.jsonl: see `metadata_row`.

    Raises:
        ValueError: if an argument is out of range, or root holds a data set of other settings.
        ImportError: if anny or numba is not installed.
    """
    for name, value, least in (
        ("num_subjects", num_subjects, 1), ("takes", takes, 1), ("num_frames", num_frames, 1), ("size", size, 16), ("seed", seed, 0),
        ("fps", fps, 1), ("workers", workers, 0),
    ):  # fmt: skip
        require_integer(name, value, least)
    if not 0 <= test_fraction <= 1:
        raise ValueError(f"test_fraction must be in [0, 1], got {test_fraction!r}")
    if num_test_subjects is None:
        num_test_subjects = round(num_subjects * test_fraction)
    require_integer("num_test_subjects", num_test_subjects, 0)
    if num_test_subjects > num_subjects:
        raise ValueError(f"num_test_subjects must be at most num_subjects = {num_subjects}, got {num_test_subjects}")
    labels = (labels,) if isinstance(labels, str) else tuple(labels)
    if any(label not in LABELS for label in labels) or not labels or len(set(labels)) < len(labels):
        raise ValueError(
            f"labels must be different ones of {', '.join(LABELS)}; got {', '.join(map(str, labels)) or 'none'}"
        )
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {format!r}")
    if format in ("mp4", "webm") and size % 2:
        raise ValueError(f"size must be even for {format}, got {size}")
    required("anny")

    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    settings = dict(
        version=VERSION, num_subjects=num_subjects, num_test_subjects=num_test_subjects, labels=list(labels), takes=takes,
        num_frames=num_frames, size=size, seed=seed, format=format, fps=fps, with_flow=bool(with_flow),
    )  # fmt: skip
    settle(root, settings)
    job = partial(write_subject, root, settings)
    rows: dict[int, list[dict]] = {}
    metadata = root / "metadata.jsonl"

    def note(subject: int, done: list[dict]) -> None:
        """Add a person to the metadata, which is complete for those listed at any time."""
        rows[subject] = done
        with whole(metadata) as part:
            part.write_text("".join(json.dumps(row) + "\n" for s in sorted(rows) for row in rows[s]), encoding="utf-8")

    from tqdm import tqdm

    order = drawing_order(num_subjects, num_test_subjects)
    with tqdm(total=num_subjects * len(labels) * takes, unit="clip", desc="people", disable=not progress) as bar:
        if workers == 0:
            for subject in order:
                note(subject, job(subject, tick=bar.update))
        else:
            # spawn: a forked child of a process with running threads (torch has some) may hang.
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                for subject, done in zip(order, pool.map(job, order)):
                    note(subject, done)
                    bar.update(len(done))
    return metadata


def drawing_order(num_subjects: int, num_test_subjects: int) -> list[int]:
    """All subjects, those for testing spread among the others: what is there of an unfinished data set has both."""
    first_test = num_subjects - num_test_subjects
    place = [
        (s + 0.5) / max(first_test, 1) if s < first_test else (s - first_test + 0.5) / num_test_subjects
        for s in range(num_subjects)
    ]
    return sorted(range(num_subjects), key=lambda s: (place[s], s))


def settle(root: Path, settings: dict) -> None:
    """Write the settings into the folder, or check that those there are the same."""
    path = root / SETTINGS
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        differing = [k for k in settings if there.get(k) != settings[k]]
        if differing:
            what = ", ".join(f"{k}: {there.get(k)} there, {settings[k]} now" for k in differing)
            raise ValueError(f"root {str(root)!r} holds a data set of other settings ({what}); choose an empty folder")
    with whole(path) as part:
        part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def metadata_row(settings: dict, person: Person, label: str, take: int) -> dict:
    """What metadata.jsonl says of a clip.

    file_name, label, subject, split, take (and flow) as for toon faces; sex, years, skin (light, medium, dark) and style of the
    person; before, the label and strength of the face in the first frame; level, the strength of the label's expression in each
    frame; actions, the strength of each action in each frame, for those that move; head, yaw, pitch and roll in degrees in each
    frame; captions, sentences.
    """
    split = "test" if person.index >= settings["num_subjects"] - settings["num_test_subjects"] else "train"
    stem = f"{split}/{label}/{person.index:04d}_{take:02d}"
    row = dict(
        file_name=stem + SUFFIXES[settings["format"]], label=label, subject=person.index, split=split, take=take
    )
    if settings["with_flow"]:
        row["flow"] = stem + ".flow.npz"
    number = clip_number(label, take)
    performance = perform(person, label, number, settings["num_frames"], settings["seed"])
    outfit = Outfit.sample(person, number)
    moving = [i for i in range(len(ACTIONS)) if performance.actions[:, i].max() >= LEAST]
    return row | dict(
        sex=person.sex, years=person.years, skin=person.group, hair=person.hair_style, beard=person.beard, glasses=person.glasses,
        hat=person.hat, before=dict(label=performance.before[0], strength=round(performance.before[1], 3)),
        level=[round(float(v), 3) for v in performance.level],
        actions={ACTIONS[i]: [round(float(v), 2) for v in performance.actions[:, i]] for i in moving},
        head=[[round(float(v), 1) for v in np.degrees(turn)] for turn in performance.head],
        captions=captions(person, outfit, label, performance, settings["seed"], take),
    )  # fmt: skip


def write_subject(root: Path, settings: dict, subject: int, tick=lambda clips: None) -> list[dict]:  # noqa: ANN001
    """Write all clips of a person that are missing; their metadata rows."""
    person = Person.sample(settings["seed"], subject)
    rows = []
    for label in settings["labels"]:
        for take in range(settings["takes"]):
            row = metadata_row(settings, person, label, take)
            target = root / row["file_name"]
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                clip = people_clip(settings["seed"], person, label, take, settings["num_frames"], settings["size"])
                if settings["with_flow"]:
                    write_flow(root / row["flow"], clip)  # first: the clip's presence says that all is there
                write_clip(target, clip.frames, settings["format"], settings["fps"])
            rows.append(row)
            tick(1)
    return rows


def write_flow(path: Path, clip: PeopleClip) -> None:
    """True flow and visibility of all frames against frame 0, compressed."""
    flow, visibility = clip.flow_from_first()
    with whole(path) as part:
        np.savez_compressed(part, flow=flow.astype(np.float16), visibility=visibility.astype(np.uint8))
