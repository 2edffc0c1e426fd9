"""Toon faces as a data set in files: splits, labels, settings, and the true motion beside each clip.

write_toon_faces("toon", num_subjects=60, num_test_subjects=10, size=64, num_frames=16)
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...files.whole import whole, write_json, write_text
from ..video_writing import SUFFIXES, write_clip
from .clips import VERSION, ToonClip, require_integer, require_style, toon_clip
from .expressions import LABELS
from .people import ToonSubject

FORMATS = ("png", "webp", "mkv", "mp4", "webm")
SETTINGS = "toon_faces.json"  # of a data set, at its root


def keep_settings(root: Path, settings: dict) -> None:
    """Write the settings into the folder, or check that those there are the same."""
    path = root / SETTINGS
    if path.exists():
        there = {"style": "painted"} | json.loads(path.read_text())  # there was no other once
        differing = [k for k in settings if there.get(k) != settings[k]]
        if differing:
            what = ", ".join(f"{k}: {there.get(k)} there, {settings[k]} now" for k in differing)
            raise ValueError(f"root {str(root)!r} holds a data set of other settings ({what}); choose an empty folder")
    write_json(path, settings, indent=2)


def write_subject(root: Path, settings: dict, subject: int, tick=lambda clips: None) -> list[dict]:
    """Write all clips of a person that are missing; their metadata rows."""
    split = "test" if subject >= settings["num_subjects"] - settings["num_test_subjects"] else "train"
    suffix = SUFFIXES[settings["format"]]
    person = ToonSubject.sample(settings["seed"], subject)
    rows = []
    for label in settings["labels"]:
        for take in range(settings["takes"]):
            stem = f"{split}/{label}/{subject:04d}_{take:02d}"
            row = dict(file_name=stem + suffix, label=label, subject=subject, split=split, take=take)
            if settings["with_flow"]:
                row["flow"] = stem + ".flow.npz"
            target = root / row["file_name"]
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                clip = toon_clip(
                    settings["seed"], person, label, take, settings["num_frames"], settings["size"], settings["style"]
                )
                if settings["with_flow"]:
                    write_flow(root / row["flow"], clip)  # first: the clip's presence says that all is there
                write_clip(target, clip.frames, settings["format"], settings["fps"])
            rows.append(row)
            tick(1)
    return rows


def write_flow(path: Path, clip: ToonClip) -> None:
    """True flow and visibility of all frames against frame 0, compressed."""
    flow, visibility = clip.flow_from_first()
    with whole(path) as part:
        np.savez_compressed(part, flow=flow.astype(np.float16), visibility=visibility.astype(np.uint8))


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

    Returns:
        The path of metadata.jsonl: one line a clip with file_name, label, subject, split, take (and flow).

    Raises:
        ValueError: if an argument is out of range, or root holds a data set of other settings.
    """
    require_integer("num_subjects", num_subjects, 1)
    require_integer("takes", takes, 1)
    require_integer("num_frames", num_frames, 1)
    require_integer("size", size, 16)
    require_integer("seed", seed, 0)
    require_integer("fps", fps, 1)
    require_integer("workers", workers, 0)
    require_style(style)
    if not 0 <= test_fraction <= 1:
        raise ValueError(f"test_fraction must be in [0, 1], got {test_fraction!r}")
    if num_test_subjects is None:
        num_test_subjects = round(num_subjects * test_fraction)
    require_integer("num_test_subjects", num_test_subjects, 0)
    if num_test_subjects > num_subjects:
        raise ValueError(f"num_test_subjects must be at most num_subjects = {num_subjects}, got {num_test_subjects}")
    labels = (labels,) if isinstance(labels, str) else tuple(labels)
    unknown = [label for label in labels if label not in LABELS]
    if unknown or not labels or len(set(labels)) < len(labels):
        raise ValueError(
            f"labels must be different ones of {', '.join(LABELS)}; got {', '.join(map(str, labels)) or 'none'}"
        )
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {format!r}")
    if format in ("mp4", "webm") and size % 2:
        raise ValueError(f"size must be even for {format}, got {size}")

    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    settings = dict(
        version=VERSION, num_subjects=num_subjects, num_test_subjects=num_test_subjects, labels=list(labels),
        takes=takes, num_frames=num_frames, size=size, seed=seed, format=format, fps=fps, with_flow=bool(with_flow), style=style,
    )  # fmt: skip
    keep_settings(root, settings)

    job = partial(write_subject, root, settings)
    subjects = range(num_subjects)
    per_subject = len(labels) * takes
    rows = []
    with tqdm(total=num_subjects * per_subject, unit="clip", desc="toon faces", disable=not progress) as bar:
        if workers == 0:
            for subject in subjects:
                rows += job(subject, tick=bar.update)
        else:
            # spawn: a forked child of a process with running threads (torch has some) may hang.
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                for done in pool.map(job, subjects):
                    rows += done
                    bar.update(per_subject)
    metadata = root / "metadata.jsonl"
    write_text(metadata, "".join(json.dumps(row) + "\n" for row in rows))
    return metadata
