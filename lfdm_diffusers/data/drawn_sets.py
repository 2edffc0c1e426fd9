"""What data sets that are drawn from a seed share: arguments, settings in the folder, and people drawn side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Protocol

import numpy as np

from ..files.progress import progress_bar
from ..files.reading import read_json, read_text, reading
from ..files.whole import whole, write_json
from .video_writing import write_clip

FORMATS = ("png", "webp", "mkv", "mp4", "webm")
SPLITS = ("train", "test")


class DrawnClip(Protocol):
    """A clip whose true motion is known."""

    @property
    def frames(self) -> np.ndarray: ...

    def flow_from_first(self) -> tuple[np.ndarray, np.ndarray]: ...


def require_integer(name: str, value: object, least: int) -> None:
    """Raise a ValueError that names the argument unless it is a whole number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of {least} or more, got {value!r}")


def frame_number(name: str, frame: int, count: int) -> int:
    """A frame of a clip of `count`, counted from its start; negative ones count from the end.

    Raises:
        ValueError: if there is no such frame; `name` is the argument's.
    """
    if not -count <= frame < count:
        raise ValueError(f"{name} must be a frame from {-count} to {count - 1}, got {frame}")
    return frame % count


def checked_settings(settings: dict, known: Sequence[str], workers: int, test_fraction: float) -> dict:
    """The settings of a data set, checked, with the number of test people filled in.

    Args:
        settings: num_subjects, num_test_subjects (None: `test_fraction` of all, rounded), labels (one or several), takes,
            num_frames, size, seed, format, fps, and whatever else decides its pixels.
        known: the labels that there are.

    Raises:
        ValueError: naming the argument.
    """
    for name, least in (("num_subjects", 1), ("takes", 1), ("num_frames", 1), ("size", 16), ("seed", 0), ("fps", 1)):
        require_integer(name, settings[name], least)
    require_integer("workers", workers, 0)
    if not 0 <= test_fraction <= 1:
        raise ValueError(f"test_fraction must be in [0, 1], got {test_fraction!r}")
    people, testing = settings["num_subjects"], settings["num_test_subjects"]
    testing = round(people * test_fraction) if testing is None else testing
    require_integer("num_test_subjects", testing, 0)
    if testing > people:
        raise ValueError(f"num_test_subjects must be at most num_subjects = {people}, got {testing}")
    labels = [settings["labels"]] if isinstance(settings["labels"], str) else list(settings["labels"])
    if any(label not in known for label in labels) or not labels or len(set(labels)) < len(labels):
        raise ValueError(
            f"labels must be different ones of {', '.join(known)}; got {', '.join(map(str, labels)) or 'none'}"
        )
    if settings["format"] not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {settings['format']!r}")
    if settings["format"] in ("mp4", "webm") and settings["size"] % 2:
        raise ValueError(f"size must be even for {settings['format']}, got {settings['size']}")
    return settings | {"num_test_subjects": testing, "labels": labels}


def split_of(settings: dict, subject: int) -> str:
    """The split of a person: the last ones are for testing."""
    return "test" if subject >= settings["num_subjects"] - settings["num_test_subjects"] else "train"


def chosen_subjects(settings: dict, split: str | None) -> list[int]:
    """The people to draw: all, or those of one split.

    Raises:
        ValueError: if there is no such split, or nobody in it.
    """
    if split not in (None, *SPLITS):
        raise ValueError(f"split must be one of {', '.join(SPLITS)} or None for both, got {split!r}")
    chosen = [s for s in range(settings["num_subjects"]) if split in (None, split_of(settings, s))]
    if not chosen:
        raise ValueError(f"split {split!r} has nobody: num_test_subjects is {settings['num_test_subjects']}")
    return chosen


def rows_of_other_split(metadata: Path, split: str | None) -> list[dict]:
    """What metadata.jsonl lists already of the split that is not drawn now."""
    if split is None or not metadata.exists():
        return []
    text = read_text(metadata)
    with reading(metadata, "the list of a drawn data set"):
        return [row for row in map(json.loads, text.splitlines()) if row["split"] != split]


def keep_settings(path: Path, settings: dict, before: dict | None = None) -> None:
    """Write a data set's settings into its folder, or check that those there are the same; `before`: what older files left out."""
    if path.exists():
        there = (before or {}) | read_json(path)
        differing = [k for k in settings if there.get(k) != settings[k]]
        if differing:
            what = ", ".join(f"{k}: {there.get(k)} there, {settings[k]} now" for k in differing)
            raise ValueError(
                f"root {str(path.parent)!r} holds a data set of other settings ({what}); choose an empty folder"
            )
    write_json(path, settings, indent=2)


def write_flow(path: Path, flow: np.ndarray, visibility: np.ndarray) -> None:
    """True flow `(F, 2, H, W)`, as float16, and visibility `(F, 1, H, W)` of all frames against frame 0, compressed."""
    with whole(path) as part:
        np.savez_compressed(part, flow=flow.astype(np.float16), visibility=visibility.astype(np.uint8))


def write_missing(root: Path, row: dict, settings: dict, draw: Callable[[], DrawnClip]) -> None:
    """Draw and write the clip of a row of metadata, and its true motion if the settings ask for it, unless it is there."""
    target = root / row["file_name"]
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    clip = draw()
    if settings["with_flow"]:  # first: the clip's presence says that all is there
        write_flow(root / row["flow"], *clip.flow_from_first())
    write_clip(target, clip.frames, settings["format"], settings["fps"])


def drawn(
    job: Callable[..., list[dict]], subjects: Sequence[int], clips_each: int, workers: int, title: str, progress: bool
) -> Iterator[tuple[int, list[dict]]]:
    """Each subject and what `job(subject)` returned for it, in order; by `workers` processes, or by this one if 0."""
    with progress_bar(total=len(subjects) * clips_each, unit="clip", desc=title, disable=not progress) as bar:
        if workers == 0:
            for subject in subjects:
                yield subject, job(subject, tick=bar.update)
            return
        # spawn: a forked child of a process with running threads (torch has some) may hang.
        others = set(active_children())
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            try:
                for subject, done in zip(subjects, pool.map(job, subjects)):
                    yield subject, done
                    bar.update(clips_each)
            except BaseException:  # an interrupt or an error: what is begun would take minutes, what waits hours
                pool.shutdown(wait=False, cancel_futures=True)
                for process in set(active_children()) - others:
                    process.terminate()
                raise
