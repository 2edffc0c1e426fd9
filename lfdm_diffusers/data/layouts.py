"""Where clips lie in a data set's folder -> a list of `Clip`, in a fixed order.

find_clips(root)                                   # whatever it is
find_clips(root, layout="mug", split="train")
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from .clips import Clip
from .picture_files import ANIMATION_SUFFIXES, frame_files, is_animated, natural_order
from .published_datasets import find_mhad, find_mug, find_natops
from .video_files import VIDEO_SUFFIXES

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}


def find_clips(
    root: str | Path,
    layout: str = "auto",
    split: str | None = None,
    *,
    name: str = "root",
    split_name: str = "split",
) -> list[Clip]:
    """The clips of a data set, without opening more than it takes to tell clips from frames.

    Args:
        root: the data set's folder.
        layout: "metadata": `metadata.jsonl` or `metadata.csv` in root or in its folders, with `file_name` (relative to
            the metadata), and optionally `label` (or `text`), `subject`, `split`.
            "label": root/[split/]label/clip.
            "subject": root/[split/]subject/label/clip.
            "mug", "mhad", "natops": as downloaded, with the paper's splits and label texts; see `published_datasets`.
            "auto": the first that fits: metadata, mug, mhad, natops, then by the depth of the folders.
        split: "train", "test" or "validation"; None is all.
        name, split_name: what errors call `root` and `split`, for callers whose users know them by other names.

    Returns:
        Clips in natural order of their paths (metadata: in the order of the rows). Clips that metadata name and that
        are not there are among them: the scan names them.

    Raises:
        ValueError: if there is no such folder or layout, there are no clips, or there is no such split.
    """
    root = Path(root)
    if layout != "auto" and layout not in LAYOUTS:
        raise ValueError(f"`layout` must be one of auto, {', '.join(LAYOUTS)}, got {layout!r}.")
    if not root.is_dir():
        raise ValueError(
            f"`{name}` must be a folder, got {str(root)!r}, which is {'a file' if root.exists() else 'not'}."
        )
    clips: list[Clip] = []
    for find in AUTO if layout == "auto" else [LAYOUTS[layout]]:
        clips = find(root)
        if clips:
            break
    if not clips:
        raise ValueError(
            f"`{name}` {str(root)!r} holds no clips{'' if layout == 'auto' else f' of the layout {layout!r}'}. Clips are "
            f"folders of pictures or files ending in {', '.join((*VIDEO_SUFFIXES, *ANIMATION_SUFFIXES))}."
        )
    if split is None:
        return clips
    chosen = [clip for clip in clips if clip.split == SPLIT_NAMES.get(split, split)]
    if not chosen:
        there = sorted({clip.split for clip in clips if clip.split})
        raise ValueError(
            f"`{split_name}` must be one of {', '.join(there) or '(this data set has no splits)'}, got {split!r}."
        )
    return chosen


# ---- folders --------------------------------------------------------------------------------------------------------


def clip_paths(root: Path) -> Iterator[Path]:
    """All clips below a folder. A folder of still pictures is a clip, unless videos lie beside the pictures.

    An empty folder is a clip too: the scan names it.
    """
    for folder, names, files in os.walk(root, followlinks=True):
        folder = Path(folder)
        names[:] = [name for name in names if not name.startswith((".", "__"))]
        files = sorted((folder / f for f in files if not f.startswith(".")), key=natural_order)
        videos = [f for f in files if f.suffix.lower() in (*VIDEO_SUFFIXES, ".gif")]
        pictures = frame_files(folder)
        # Opening every frame of every clip would take long: the first picture tells what the others are.
        animations = [p for p in pictures if p.suffix.lower() in ANIMATION_SUFFIXES]
        if videos:
            animations = [p for p in animations if is_animated(p) is not False]  # broken ones are for the scan to name
        elif not next((told for p in animations if (told := is_animated(p)) is not None), False):
            animations = []
        yield from videos + animations
        empty = not files and not names and folder != root
        if empty or (pictures and not videos and not animations):
            yield folder


def by_depth(root: Path, layout: str | None = None) -> list[Clip]:
    """root/[split/][subject/]label/clip; a clip in the root itself has no label.

    Args:
        layout: "label" or "subject": the folders that there must be. None: decide by the depth, and by whether the
            first folder bears the name of a split.
    """
    depth = {"label": 1, "subject": 2, None: None}[layout]
    clips = []
    for path in sorted(clip_paths(root), key=lambda path: [natural_order(Path(p)) for p in path.parts]):
        folders = path.relative_to(root).parts[:-1]
        may_split = bool(folders) if depth is None else len(folders) == depth + 1
        split = SPLIT_NAMES.get(folders[0].lower(), "") if may_split else ""
        rest = folders[1:] if split else folders
        if len(rest) > 2 or (depth is not None and len(rest) != depth):
            kind = {1: "label/clip", 2: "subject/label/clip", None: "[subject/]label/clip"}[depth]
            raise ValueError(f"clips must lie in folders root/[split/]{kind}, got {path}.")
        clips.append(
            Clip(path, label=rest[-1] if rest else "", subject=rest[0] if len(rest) == 2 else "", split=split)
        )
    return clips


# ---- metadata -------------------------------------------------------------------------------------------------------


def find_by_metadata(root: Path) -> list[Clip]:
    """Clips that `metadata.jsonl` or `metadata.csv` name, in root or in the folders of its splits."""
    clips = []
    for folder in (root, *sorted(f for f in root.iterdir() if f.is_dir())):
        tables = [folder / name for name in ("metadata.jsonl", "metadata.csv") if (folder / name).is_file()]
        if not tables:
            continue
        for place, row in read_table(tables[0]):
            name = row.get("file_name")
            if not name:
                raise ValueError(f"{place}: every row must have a `file_name`, got the columns {', '.join(row)}.")
            path = folder / str(name)
            split = row.get("split") or path.relative_to(root).parts[0]
            split = SPLIT_NAMES.get(str(split).lower(), str(split) if row.get("split") else "")
            label, subject = (next((str(row[k]) for k in keys if _given(row.get(k))), "") for keys in _COLUMNS)
            clips.append(Clip(path, label=label, subject=subject, split=split))
        if folder == root:
            break
    return clips


_COLUMNS = ("label", "text"), ("subject",)


def _given(value: object) -> bool:
    return value is not None and value != ""


def read_table(path: Path) -> Iterator[tuple[str, dict]]:
    """("file, line n", row) for each row of a .jsonl or .csv file with a header."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".csv":
            reader = csv.DictReader(file)
            yield from ((f"{path}, line {reader.line_num}", row) for row in reader)
            return
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{place}: not a JSON object: {error}.") from error
            if not isinstance(row, dict):
                raise ValueError(f"{place}: must be a JSON object, got {line.strip()[:40]}.")
            yield place, row


LAYOUTS: dict[str, Callable[[Path], list[Clip]]] = {
    "metadata": find_by_metadata,
    "mug": find_mug,
    "mhad": find_mhad,
    "natops": find_natops,
    "label": lambda root: by_depth(root, "label"),
    "subject": lambda root: by_depth(root, "subject"),
}
AUTO = find_by_metadata, find_mug, find_mhad, find_natops, by_depth
