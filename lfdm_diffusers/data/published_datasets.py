"""MUG, UTD-MHAD and NATOPS as downloaded, with the splits, label texts, crops and segments of the LFDM paper.

Each function returns an empty list where the data set is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files.reading import read_text
from .clips import Clip
from .folders import is_passed_over, walk
from .picture_files import frame_files, natural_order
from .published_labels import MHAD_LABELS, MUG_LABELS, NATOPS_LABELS

# Subjects of the paper's splits: those of the other split are never seen in training.
# fmt: off
MUG_TRAIN = (8, 17, 21, 28, 30, 31, 34, 36, 37, 38, 39, 42, 43, 44, 45, 55, 60, 61, 62, 63, 71, 75, 76, 77, 83, 84)
MUG_TEST = (1, 2, 6, 7, 10, 13, 14, 20, 27, 32, 33, 40, 46, 48, 49, 52, 64, 65, 66, 70, 72, 73, 74, 78, 79, 82)
# fmt: on
MHAD_TRAIN, MHAD_TEST = (1, 2, 3, 5), (4, 6, 7, 8)
NATOPS_TRAIN, NATOPS_TEST = (3, 4, 8, 9, 12, 13, 15, 17, 19, 20), (2, 5, 6, 7, 10, 11, 14, 16, 18)

# Left, top, right, bottom in pixels of the 640x480 video: where depth cameras see anybody in any clip, as published.
MHAD_CROP = (156, 0, 492, 480)
# Of the 320x240 video.
NATOPS_CROP = (30, 10, 290, 239)

MHAD_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)(_color\.avi|_depth\.mat|)", re.IGNORECASE)
NATOPS_NAME = re.compile(r"g(\d\d)s(\d\d)(?:p(\d\d)|\.avi)", re.IGNORECASE)


def find_mug(root: Path) -> list[Clip]:
    """MUG: root/subject/[session0/]expression/take/*.jpg; subjects are three digits.

    A video beside the pictures of a take is left out, and so is session1, as in the paper. (The published loader lists
    the takes of session0 twice; here they are listed once. Only subjects of the test split have sessions.)
    """
    clips = []
    for person in _folders(root):
        if not re.fullmatch(r"\d{3}", person.name):
            continue
        number = int(person.name)
        split = "train" if number in MUG_TRAIN else "test" if number in MUG_TEST else ""
        session = person / "session0"
        for expression in _folders(session if session.is_dir() else person):
            if expression.name not in MUG_LABELS:
                continue
            for take in _folders(expression):
                # An empty take is kept, for the scan to name.
                if frame_files(take) or not any(take.iterdir()):
                    clips.append(Clip(take, label=expression.name, subject=person.name, split=split))
    return clips


def find_mhad(root: Path) -> list[Clip]:
    """UTD-MHAD: videos a1_s2_t3_color.avi at any depth, to be cropped; or folders a1_s2_t3 of cropped frames.

    Where the depth recordings (a1_s2_t3_depth.mat) are there too, videos without one are left out, as in the paper.
    """
    found: dict[tuple[int, int, int], tuple[Path, tuple | None]] = {}
    depths = set()
    for path, match in _named(root, MHAD_NAME):
        key, kind = (int(match[1]), int(match[2]), int(match[3])), match[4].lower()
        if kind == "_depth.mat":
            depths.add(key)
        elif kind == "_color.avi":
            found.setdefault(key, (path, MHAD_CROP))
        elif path.is_dir():
            found[key] = (path, None)
    clips = []
    for (action, subject, take), (path, crop) in sorted(found.items()):
        if not 1 <= action <= len(MHAD_LABELS):
            raise ValueError(f"UTD-MHAD has the actions 1 to {len(MHAD_LABELS)}, got {path}.")
        if crop is not None and depths and (action, subject, take) not in depths:
            continue
        split = "train" if subject in MHAD_TRAIN else "test" if subject in MHAD_TEST else ""
        clips.append(Clip(path, label=MHAD_LABELS[action - 1], subject=str(subject), split=split, crop=crop))
    return clips


def find_natops(root: Path) -> list[Clip]:
    """NATOPS: [data/]gesture01/g01s02.avi with [data/]segmentation.txt; or folders g01s02p03 of uncropped frames.

    Subject 1 is left out, as in the paper.
    """
    tables = [path for path in (root / "segmentation.txt", root / "data" / "segmentation.txt") if path.is_file()]
    segments = read_natops_segments(tables[0]) if tables else {}
    clips = {}
    for path, match in _named(root, NATOPS_NAME):
        gesture, subject = int(match[1]), int(match[2])
        split = "train" if subject in NATOPS_TRAIN else "test" if subject in NATOPS_TEST else ""
        if not split:
            continue
        if not 1 <= gesture <= len(NATOPS_LABELS):
            raise ValueError(f"NATOPS has the gestures 1 to {len(NATOPS_LABELS)}, got {path}.")
        about: dict[str, Any] = {
            "label": NATOPS_LABELS[gesture - 1],
            "subject": str(subject),
            "split": split,
            "crop": NATOPS_CROP,
        }
        if match[3] and path.is_dir():
            clips[gesture, subject, int(match[3])] = Clip(path, **about)
        elif not match[3]:
            for take, (first, last) in segments.get((gesture, subject), {}).items():
                clips.setdefault((gesture, subject, take), Clip(path, start=first - 1, stop=last, **about))
    return [clip for _, clip in sorted(clips.items())]


def read_natops_segments(path: Path) -> dict[tuple[int, int], dict[int, tuple[int, int]]]:
    """{(gesture, subject): {take: (first frame, last frame)}} of segmentation.txt; frames from 1, both inclusive.

    A line `// Subject n` begins a subject, a line of three numbers begins the next gesture of that subject (they stand
    in order), and a line `take:first,last` is a segment.

    Raises:
        ValueError: naming the line that does not fit.
    """
    segments: dict[tuple[int, int], dict[int, tuple[int, int]]] = {}
    subject = gesture = 0
    for number, line in enumerate(read_text(path, errors="replace").splitlines(), 1):
        line = line.strip()
        if line.lower().startswith("// subject"):
            named = re.search(r"\d{1,9}", line)
            subject, gesture = int(named[0]) if named else subject + 1, 0
        elif re.match(r"\d+\s*,\s*\d+\s*,\s*\d+", line):
            gesture += 1
            segments[gesture, subject] = {}
        elif match := re.match(r"(\d{1,9})\s*:\s*(\d{1,9})\s*,\s*(\d{1,9})\b", line):
            take, first, last = (int(value) for value in match.groups())
            if not subject or not gesture or not 1 <= first <= last:
                raise ValueError(
                    f"{path}, line {number}: a segment must be take:first,last with 1 <= first <= last, below a "
                    f"subject and a gesture; got {line!r}."
                )
            segments[gesture, subject][take] = (first, last)
    return segments


def _folders(root: Path) -> list[Path]:
    return sorted((f for f in root.iterdir() if f.is_dir() and not is_passed_over(f.name)), key=natural_order)


def _named(root: Path, pattern: re.Pattern) -> Iterator[tuple[Path, re.Match]]:
    """Files and folders below root whose whole name fits the pattern, in a fixed order; not what is inside of those."""
    for folder, names, files in walk(root):
        matched = []
        for name in sorted((*names, *files)):
            if match := pattern.fullmatch(name):
                matched.append(name)
                yield folder / name, match
        names[:] = sorted(set(names) - set(matched))
