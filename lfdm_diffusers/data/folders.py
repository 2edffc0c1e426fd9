"""Walks folders of data, without hidden folders, those of storage systems, and circles of links."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .splits import SPLIT_NAMES

# Of Synology and QNAP, of Windows and of ext4: they hold thumbnails, deleted files and older states.
SYSTEM_FOLDERS = {
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "system volume information",
    "lost+found",
}  # fmt: skip


def is_passed_over(name: str) -> bool:
    """Whether a folder of this name holds no data."""
    return name.startswith((".", "__")) or name.lower() in SYSTEM_FOLDERS


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As `os.walk`: each folder below `root`, its folders (of which the caller may take out some) and its files, both sorted.

    Links are followed, but for those that lead back to a folder that they lie in, and those behind another link that lead to a
    folder that has been reached by links before: folders linked with each other have more ways than anybody can go.
    """
    above = {str(root): (frozenset(map(_identity, root.resolve().parents)), False)}
    linked: set[tuple[int, int]] = set()
    for folder, names, files in os.walk(str(root), followlinks=True):
        ids, behind = above.pop(folder)
        ids |= {_identity(folder)}
        if behind:
            linked.add(_identity(folder))
        kept = []
        for name in sorted(names):
            at = os.path.join(folder, name)
            is_link = os.path.islink(at)
            if is_passed_over(name) or (is_link and _identity(at) in (ids | linked if behind else ids)):
                continue
            kept.append(name)
            if behind and is_link:
                linked.add(_identity(at))
            above[at] = ids, behind or is_link
        names[:] = kept
        yield Path(folder), names, sorted(files)


def told_by_folders(folders: Sequence[str], may_split: bool = True) -> tuple[str, str, str]:
    """Label, subject and split by the folders that a clip lies in, [split/][subject/]label; more than the last two tell nothing."""
    split = SPLIT_NAMES.get(folders[0].lower(), "") if may_split and folders else ""
    rest = folders[1:] if split else folders
    return rest[-1] if rest else "", rest[-2] if len(rest) > 1 else "", split


def _identity(folder: str | Path) -> tuple[int, int]:
    about = os.stat(folder)
    return about.st_dev, about.st_ino
