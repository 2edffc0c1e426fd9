"""Where clips lie in a data set's folder -> a list of `Clip`, in a fixed order.

find_clips(root)                                   # whatever it is
find_clips(root, layout="mug", split="train")
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..files.names import printable
from .clips import Clip, ClipList
from .folders import is_passed_over, told_by_folders, walk
from .labels import normalized_label
from .left_out import left_out
from .named_sets import NamedSet, located
from .picture_files import frame_files, is_animated, natural_order
from .published_datasets import find_mhad, find_mug, find_natops
from .splits import SPLIT_NAMES
from .suffixes import ANIMATION_SUFFIXES, TAR_SUFFIX, VIDEO_SUFFIXES, is_gif, is_video, may_be_animated
from .tables import Row, clip_of_row, find_table, read_table
from .tars import clips_in_tars, find_tars, named_tars


def find_clips(
    root: str | Path | NamedSet | ClipList,
    layout: str = "auto",
    split: str | None = None,
    *,
    name: str = "root",
    split_name: str = "split",
) -> ClipList:
    """The clips of a data set, without opening more than it takes to tell clips from frames.

    Args:
        root: the data set's folder; tars of WebDataset, such as shards/train-{000..127}.tar; a data set by name; or what has
            been found by other means, as of a `StreamedSet`.
        layout: "metadata": `metadata.jsonl` or `metadata.csv` in root or in its folders, with `file_name` (relative to
            the metadata, and in root), and optionally `label` (or `text`, `caption`, `prompt`), `subject`, `split`. Several
            sentences, a list in `text`, `caption`, `captions` or `prompt`, are the clip's `texts`.
            "label": root/[split/]label/clip.
            "subject": root/[split/]subject/label/clip.
            "webdataset": tars below root, see `tars`; clips are read where they lie in them.
            "mug", "mhad", "natops": as downloaded, with the paper's splits and label texts; see `published_datasets`.
            "auto": the first that fits: metadata, mug, mhad, natops, webdataset, then by the depth of the folders.
        split: "train", "test" or "validation"; None is all.
        name, split_name: what errors call `root` and `split`, for callers whose users know them by other names.

    Returns:
        Clips in natural order of their paths (metadata: in the order of the rows). Clips that metadata name and that
        are not there are among them: the scan names them. What else there is to say is in `notes`.

    Raises:
        ValueError: if there is no such folder or layout, there are no clips, or there is no such split.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise ValueError(f"`layout` must be one of auto, {', '.join(LAYOUTS)}, got {layout!r}.")
    where = located(root, name) if isinstance(root, NamedSet) else root
    clips = where if isinstance(where, ClipList) else _below(Path(where), layout, name)
    clips = ClipList(_in_one_spelling(clips), clips.notes, clips.tables)
    if not clips:
        raise ValueError(
            f"`{name}` {str(root)!r} holds no clips{'' if layout == 'auto' else f' of the layout {layout!r}'}. Clips are "
            f"folders of pictures or files ending in {', '.join((*VIDEO_SUFFIXES, *ANIMATION_SUFFIXES))}."
            + "".join(f"\n{note}" for note in clips.notes)
        )
    return of_split(clips, split, split_name)


def _below(root: Path, layout: str, name: str) -> ClipList:
    """The clips of a folder, or of the tars that a pattern names, with notes about what is in none."""
    if layout in ("auto", "webdataset") and root.name.lower().endswith(TAR_SUFFIX) and not root.is_dir():
        tars = named_tars(root)
        if missing := next((tar for tar in tars if not tar.is_file()), None):
            raise ValueError(
                f"`{name}` must be a folder or tars, got {str(root)!r}: there is no {printable(missing)}."
            )
        return clips_in_tars(tars)
    if not root.is_dir():
        raise ValueError(
            f"`{name}` must be a folder, got {str(root)!r}, which is {'a file' if root.exists() else 'not'}."
        )
    clips = ClipList()
    for find in AUTO if layout == "auto" else [LAYOUTS[layout]]:
        found = find(root)
        clips = ClipList(found, getattr(found, "notes", ()), getattr(found, "tables", ()))
        if clips:
            break
    clips.notes += left_out(root, clips, clips.tables)
    return clips


def of_split(clips: ClipList, split: str | None, name: str = "split") -> ClipList:
    """The clips of a split; all, if it is None.

    Raises:
        ValueError: if there are none; names the splits that there are, and calls the argument `name`.
    """
    if split is None:
        return clips
    chosen = ClipList((clip for clip in clips if clip.split == SPLIT_NAMES.get(split, split)), clips.notes)
    if not chosen:
        there = sorted({clip.split for clip in clips if clip.split})
        raise ValueError(
            f"`{name}` must be one of {', '.join(there) or '(this data set has no splits)'}, got {split!r}."
        )
    return chosen


def _in_one_spelling(clips: Iterable[Clip]) -> Iterator[Clip]:
    """The clips, with each label as it is spelled where it stands first."""
    first: dict[str, str] = {}
    for clip in clips:
        yield replace(clip, label=first.setdefault(normalized_label(clip.label), clip.label))


# ---- folders --------------------------------------------------------------------------------------------------------


def clip_paths(root: Path) -> Iterator[Path]:
    """All clips below a folder. A folder of still pictures is a clip, unless videos lie beside the pictures.

    An empty folder is a clip too: the scan names it.
    """
    for folder, names, here in walk(root):
        files = sorted((folder / f for f in here if not f.startswith(".")), key=natural_order)
        videos, pictures = [f for f in files if is_video(f)], frame_files(folder)
        # Opening every frame of every clip would take long: the first picture tells what the others are.
        gifs = [f for f in files if is_gif(f)]
        if gifs and (videos or gifs != pictures or _first_told(gifs) is not False):
            videos += gifs
            pictures = [p for p in pictures if not is_gif(p)]
        animations = [p for p in pictures if may_be_animated(p) and not is_gif(p)]
        if videos:
            animations = [p for p in animations if is_animated(p) is not False]  # broken ones are for the scan to name
        elif not _first_told(animations):
            animations = []
        yield from videos + animations
        empty = not files and not names and folder != root
        if empty or (pictures and not videos and not animations):
            yield folder


def _first_told(pictures: list[Path]) -> bool | None:
    """Whether the first of the pictures that can be opened is animated; None if none can."""
    return next((told for path in pictures if (told := is_animated(path)) is not None), None)


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
        label, subject, split = told_by_folders([printable(folder) for folder in folders], may_split)
        rest = folders[1:] if split else folders
        if len(rest) > 2 or (depth is not None and len(rest) != depth):
            kind = {1: "label/clip", 2: "subject/label/clip", None: "[subject/]label/clip"}[depth]
            raise ValueError(f"clips must lie in folders root/[split/]{kind}, got {path}.")
        clips.append(Clip(path, label=label, subject=subject, split=split))
    return clips


# ---- metadata -------------------------------------------------------------------------------------------------------


def find_by_metadata(root: Path) -> ClipList:
    """Clips that `metadata.jsonl` or `metadata.csv` name, in root or in the folders of its splits."""
    clips = ClipList()
    for folder in (root, *sorted(f for f in root.iterdir() if f.is_dir() and not is_passed_over(f.name))):
        table = find_table(folder)
        if table is None:
            continue
        rows, notes = read_table(table)
        clips.notes += notes
        clips.tables.append(table)
        for row in rows:
            path = _named_path(root, folder, row)
            clips.append(clip_of_row(row, path, SPLIT_NAMES.get(path.relative_to(root).parts[0].lower(), "")))
        if folder == root:
            break
    return clips


def _named_path(root: Path, folder: Path, row: Row) -> Path:
    """Where the clip of a row is, which must be in root; links are not followed for it (a cache of the Hub is made of links).

    Raises:
        ValueError: naming the row.
    """
    name = row.text("file_name")
    if not name:
        raise ValueError(f"{row.place}: every row must have a `file_name`, got the columns {', '.join(row.columns)}.")
    roots = Path(os.path.normpath(root.absolute())), root.resolve()
    missing: list[Path] = []
    for written in dict.fromkeys((name, name.replace("\\", "/"))):  # as on Windows, last
        path = Path(os.path.normpath(folder.absolute() / written))
        inside = next((path.relative_to(each) for each in roots if path != each and path.is_relative_to(each)), None)
        if inside is None or "\0" in name:
            raise ValueError(f"{row.place}: `file_name` must lie in {root}, got {name!r}.")
        found = _existing(root, inside.parts)
        if found is not None:
            return found
        missing.append(root / inside)
    return missing[0]


def _existing(root: Path, parts: Sequence[str]) -> Path | None:
    """The path in root whose parts are these, however a Mac or another system keeps their accents; None if there is none."""
    path = root
    for part in parts:
        if os.path.lexists(path / part):
            path = path / part
            continue
        composed = unicodedata.normalize("NFC", part)
        names = sorted(os.listdir(path)) if path.is_dir() and not composed.isascii() else []
        found = next((name for name in names if unicodedata.normalize("NFC", name) == composed), None)
        if found is None:
            return None
        path = path / found
    return path


LAYOUTS: dict[str, Callable[[Path], list[Clip]]] = {
    "metadata": find_by_metadata,
    "mug": find_mug,
    "mhad": find_mhad,
    "natops": find_natops,
    "label": lambda root: by_depth(root, "label"),
    "subject": lambda root: by_depth(root, "subject"),
    "webdataset": find_tars,
}
AUTO = find_by_metadata, find_mug, find_mhad, find_natops, find_tars, by_depth
