"""Toon faces: a labelled face-expression video data set that anyone can make, with the true motion.

Drawn people make the seven expressions of MUG (anger, disgust, fear, happiness, neutral, sadness, surprise) from
neutral to apex and back. Every pixel follows from (seed, subject, label, take), and because every painted part has
material coordinates, so do the true backward flow and visibility between any two frames of a clip.

    clip = toon_clip(seed=0, subject=3, label="happiness", num_frames=16, size=64)
    clip.frames                             # (16, 64, 64, 3) uint8
    flow, visibility = clip.flow(0, 8)      # (2, 64, 64), (1, 64, 64): frame 8 sampled from frame 0
    write_toon_faces("toon", num_subjects=60, num_test_subjects=10, size=64, num_frames=16)
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ...files.whole import whole
from ..video_writing import SUFFIXES, write_clip
from .expressions import LABELS, Performance, perform
from .people import ToonSubject
from .rendering import render
from .rig import Rig
from .styles import ENLARGED, STYLES, ink_drawing

__all__ = ["LABELS", "ToonClip", "ToonSubject", "toon_clip", "write_toon_faces"]

FORMATS = ("png", "webp", "mkv", "mp4", "webm")
SETTINGS = "toon_faces.json"  # of a data set, at its root
VERSION = 2  # raised whenever the same settings would draw other pixels


# A point is in a part where the part's bilinear share of the four pixels around it is this much or more. Against parts
# drawn at eight times the size, 0.4 errs on the fewest pixels (0.9% at 128), as often one way as the other.
SAME_PART = 0.4


@dataclass(frozen=True)
class ToonClip:
    """A clip and all that is known about it.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB.
        parts: (F, H, W) uint8, the top-most part at every pixel; `part_names` names them.
        label, subject, take, seed: what the clip was drawn from.
        performance: the state of the face in every frame.
    """

    frames: np.ndarray
    parts: np.ndarray
    label: str
    subject: ToonSubject
    take: int
    seed: int
    performance: Performance

    @property
    def part_names(self) -> tuple[str, ...]:
        return tuple(Rig(self.subject).number)

    def flow(self, reference: int = 0, driving: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """True dense backward flow: where in the reference frame each pixel of the driving frame comes from.

        A pixel takes the material coordinates of the part on top of it (opacity of half or more), and the part carries
        them to the reference frame. The pixel is visible if that point lies inside the picture and in the same part.

        Args:
            reference, driving: numbers of frames; negative ones count from the end.

        Returns:
            flow (2, H, W) float32, an absolute sampling grid, channels (x, y), in [-1, 1] between the outer edges of
            the picture (align_corners=False: pixel i has its centre at (2i + 1) / W - 1), beyond that outside.
            visibility (1, H, W) float32: 1 visible in the reference frame, 0 hidden there or outside.

        Raises:
            ValueError: if there is no such frame.
        """
        count, size = self.parts.shape[:2]
        for name, frame in (("reference", reference), ("driving", driving)):
            if not -count <= frame < count:
                raise ValueError(f"{name} must be a frame from {-count} to {count - 1}, got {frame}")
        reference, driving = reference % count, driving % count
        source, target = self.performance.at(reference), self.performance.at(driving)
        carriers = Rig(self.subject).carriers
        centres = (2 * np.arange(size) + 1) / size - 1.0
        y, x = np.meshgrid(centres, centres, indexing="ij")
        flow = np.stack([x, y])  # (2, H, W)
        parts = self.parts[driving]
        for part in np.unique(parts):
            here = parts == part
            material = carriers[part].inward(target, x[here], y[here])
            flow[:, here] = carriers[part].outward(source, *material)
        visible = np.all(np.abs(flow) < 1, axis=0) & (share_of(parts, self.parts[reference], flow) >= SAME_PART)
        return flow.astype(np.float32), visible[None].astype(np.float32)

    def flow_from_first(self) -> tuple[np.ndarray, np.ndarray]:
        """`flow` and visibility of all frames against frame 0, `(F, 2, H, W)` and `(F, 1, H, W)`."""
        pairs = [self.flow(0, frame) for frame in range(len(self.frames))]
        return np.stack([flow for flow, _ in pairs]), np.stack([visibility for _, visibility in pairs])


def share_of(wanted: np.ndarray, parts: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Bilinear share (H, W) of the wanted part (H, W) in a map of parts (H, W), sampled at a grid (2, H, W)."""
    size = parts.shape[0]
    x, y = np.clip((grid + 1) * size / 2 - 0.5, 0, size - 1.001)
    column, row = x.astype(np.int64), y.astype(np.int64)
    x, y = x - column, y - row
    top = (parts[row, column] == wanted) * (1 - x) + (parts[row, column + 1] == wanted) * x
    bottom = (parts[row + 1, column] == wanted) * (1 - x) + (parts[row + 1, column + 1] == wanted) * x
    return top + (bottom - top) * y


def toon_clip(
    seed: int,
    subject: ToonSubject | int,
    label: str,
    take: int = 0,
    num_frames: int = 40,
    size: int = 128,
    style: str = "painted",
) -> ToonClip:
    """Draw one clip. The same arguments give the same pixels on every machine.

    Args:
        seed: population and motion, an integer of 0 or more.
        subject: a person, or the number of one in the population of `seed`.
        label: one of `LABELS`.
        take: repetition; takes of a person differ in timing, strength, head motion, gaze and blinks.
        num_frames: 1 or more; the expression always takes the whole clip, so that 16 and 40 frames show the same.
        size: width and height in pixels, 16 or more.
        style: "painted", or "ink": outlines and flat washes; the motion is the same.

    Raises:
        ValueError: if an argument is out of range.
    """
    require_integer("seed", seed, 0)
    require_integer("size", size, 16)
    require_style(style)
    if not isinstance(subject, ToonSubject):
        require_integer("subject", subject, 0)
        subject = ToonSubject.sample(seed, int(subject))
    performance = perform(subject, label, take, num_frames, seed)
    frames, parts = render(subject, performance, int(size))
    if style == "ink":
        frames = ink_drawing(render(subject, performance, ENLARGED * int(size))[0])
    return ToonClip(frames, parts, label, subject, int(take), int(seed), performance)


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
    settle(root, settings)

    job = partial(write_subject, root, settings)
    subjects = range(num_subjects)
    per_subject = len(labels) * takes
    rows = []
    with progress_bar(num_subjects * per_subject, progress) as bar:
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


# ---- writing ----------------------------------------------------------------------------------------------------


def require_style(style: str) -> None:
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")


def require_integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of {least} or more, got {value!r}")


def settle(root: Path, settings: dict) -> None:
    """Write the settings into the folder, or check that those there are the same."""
    path = root / SETTINGS
    if path.exists():
        there = {"style": "painted"} | json.loads(path.read_text())  # there was no other once
        differing = [k for k in settings if there.get(k) != settings[k]]
        if differing:
            what = ", ".join(f"{k}: {there.get(k)} there, {settings[k]} now" for k in differing)
            raise ValueError(f"root {str(root)!r} holds a data set of other settings ({what}); choose an empty folder")
    write_text(path, json.dumps(settings, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text)


class progress_bar:
    """tqdm, or nothing, as a context."""

    def __init__(self, total: int, shown: bool):
        self.total, self.shown = total, shown

    def __enter__(self):
        from tqdm import tqdm

        self.bar = tqdm(total=self.total, unit="clip", desc="toon faces", disable=not self.shown)
        return self.bar

    def __exit__(self, *error) -> None:
        self.bar.close()


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
