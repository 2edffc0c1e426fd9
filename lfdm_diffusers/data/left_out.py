"""Names every file of a data set's folder that is in no clip, with the reason."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from ..files.names import printable
from ..files.reading import UnreadableFileError, kind_of, read_json, why
from .clips import Clip
from .folders import walk
from .picture_files import frame_files
from .suffixes import (
    GENERATED_KEYS,
    GENERATED_SETTINGS,
    PEOPLE_SETTINGS,
    TAR_SUFFIX,
    TOON_FACES_SETTINGS,
    is_picture,
    is_video,
)
from .tables import TABLES

NAMED = 50  # files of one kind, by name; there may be a hundred thousand
PACKED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
BESIDE = (".flow.npz",)  # what belongs to the clip beside it
OURS = {TOON_FACES_SETTINGS, PEOPLE_SETTINGS}  # written with the clips


def left_out(root: Path, clips: Iterable[Clip], tables: Collection[Path] = ()) -> list[str]:
    """A sentence for each kind of files below `root` that are neither hidden nor of a clip, which names them.

    Args:
        clips: all of the data set.
        tables: those that were read.
    """
    paths = {clip.path for clip in clips}
    has_rows = any(path.suffix.lower() != TAR_SUFFIX for path in tables)
    kinds: dict[tuple[str, str], list[Path]] = {}
    for folder, _, names in walk(root):
        files = [folder / name for name in names if not name.startswith(".") and not name.endswith(BESIDE)]
        frames = set(frame_files(folder)) if folder in paths else set()
        for path in files:
            known = path in paths or path in frames or path in tables or (folder == root and _is_ours(path))
            if not known:
                kinds.setdefault((_reason(path, has_rows), path.suffix.lower()), []).append(path)
    return [_sentence(root, reason, suffix, files) for (reason, suffix), files in kinds.items()]


def _is_ours(path: Path) -> bool:
    """Whether a file at the root of a data set is the settings that this package has written with its clips."""
    if path.name == GENERATED_SETTINGS:  # a name that others give as well
        with contextlib.suppress(UnreadableFileError):
            return set(read_json(path)) >= GENERATED_KEYS
    return path.name in OURS


def _reason(path: Path, has_tables: bool) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:  # a link that leads nowhere, or in a circle
        return why(error)
    if not stat.S_ISREG(mode):
        return f"{kind_of(mode)}, not a file"
    if path.name.lower() in TABLES:
        return "another table is read"
    if path.name.lower().endswith(PACKED_TARS):
        return "clips are read from tars that are not compressed"
    if path.suffix.lower() == TAR_SUFFIX:
        return "a tar beside clips; the layout webdataset reads it"
    if not is_video(path) and not is_picture(path):
        return "no picture, animation or video"
    if has_tables:
        return "no row of the table names it"
    return "not part of this layout" if is_video(path) else "a picture beside clips"


def _sentence(root: Path, reason: str, suffix: str, files: list[Path]) -> str:
    names = [printable(path.relative_to(root).as_posix()) for path in files[:NAMED]]
    if len(files) > NAMED:
        names.append(f"and {len(files) - NAMED} more")
    what = (
        "" if len(files) == 1 else f"{len(files)} files {f'ending in {suffix}' if suffix else 'without an ending'}, "
    )
    return f"left out: {what}{', '.join(names)}: {reason}"
