"""WebDataset: clips in tars, read where they lie in them, with what stands beside each of them.

train-000.tar: waving/anna-1.mp4, waving/anna-1.json, nodding/anna-1.mp4, nodding/anna-1.txt, ...

Members whose names are alike up to the first dot of the last part are one sample (webdataset's rule). Its label is in its .json (by
the columns of a table, see `tables`), .cls or .txt; where it has none of those, in the folders of its name.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any, cast

from ..files.names import printable
from ..files.packed import FilePart
from ..files.reading import why
from .clips import Clip, ClipList
from .folders import told_by_folders, walk
from .splits import split_of_name
from .suffixes import ANIMATION_SUFFIXES, TAR_SUFFIX, VIDEO_SUFFIXES
from .tables import clip_of_row, json_row, row_of

MOST_TEXT = 1 << 20  # bytes of what is told about one clip
TEXTS = {"cls": "label", "txt": "text"}  # endings of texts, and the columns that they stand for
NAMED = 5


@dataclass
class _Sample:
    """What a tar holds of one name: members by their endings, each (name, offset, size), and the texts among them."""

    members: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)


def find_tars(root: Path) -> ClipList:
    """Clips in the tars below a folder, in natural order of their names and in the order of each."""
    files = [folder / name for folder, _, names in walk(root) for name in names if name.lower().endswith(TAR_SUFFIX)]
    return clips_in_tars(file for file in files if file.is_file())  # opening a named pipe would never end


def named_tars(pattern: Path) -> list[Path]:
    """The tars that a pattern names, such as shards/{train,more}-{000..127}.tar; of a plain name that one.

    Raises:
        ValueError: for braces that are no pattern.
    """
    parts = re.split(r"\{([^{}]*)\}", str(pattern))
    if any("{" in part or "}" in part for part in parts):
        raise ValueError(f"{printable(pattern)}: braces hold a range such as {{000..127}} or words parted by commas.")
    choices = [[part] if i % 2 == 0 else _expanded(part, pattern) for i, part in enumerate(parts)]
    return [Path("".join(chosen)) for chosen in product(*choices)]


def _expanded(inside: str, pattern: Path) -> list[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if numbers is None:
        words = inside.split(",")
        if len(words) < 2:
            raise ValueError(
                f"{printable(pattern)}: braces hold a range such as {{000..127}} or words parted by commas."
            )
        return words
    first, last = int(numbers[1]), int(numbers[2])
    width = len(numbers[1]) if numbers[1].startswith("0") else 0
    return [str(number).zfill(width) for number in range(first, last + 1)]


def clips_in_tars(files: Iterable[Path]) -> ClipList:
    """The clips of tars, with notes about what is in none.

    Raises:
        ValueError: naming a tar that cannot be read, or a member that says what nobody can read.
    """
    found = ClipList()
    for file in files:
        samples, notes = _samples(file)
        empty, before = [], len(found)
        for key, sample in samples.items():
            clip = _clip(file, key, sample)
            empty.append(key) if clip is None else found.append(clip)
        if empty:
            told = ", ".join(printable(key) for key in empty[:NAMED]) + (", ..." if len(empty) > NAMED else "")
            notes.append(f"left out: {len(empty)} of {printable(file)}, {told}: no animation or video among its files")
        found.notes += notes
        if len(found) > before:
            found.tables.append(file)
    return found


def _samples(file: Path) -> tuple[dict[str, _Sample], list[str]]:
    """What a tar holds, by the names of samples, and sentences about what it lacks."""
    samples: dict[str, _Sample] = {}
    notes: list[str] = []
    try:
        with tarfile.open(file, "r:") as tar:
            for member in _whole_members(tar, file, notes):
                name = PurePosixPath(member.name)
                stem, _, ending = name.name.partition(".")
                if not member.isreg() or not stem or not ending:
                    continue
                sample = samples.setdefault(str(name.with_name(stem)), _Sample())
                ending = ending.lower()
                sample.members.setdefault(ending, (member.name, member.offset_data, member.size))
                if ending in ("json", *TEXTS) and member.size <= MOST_TEXT:
                    content = tar.extractfile(member)
                    sample.texts[ending] = content.read() if content else b""
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{printable(file)} cannot be read as a tar that is not compressed: {why(error)}.") from error
    return samples, notes


def _whole_members(tar: tarfile.TarFile, file: Path, notes: list[str]) -> Iterator[tarfile.TarInfo]:
    """The members of a tar up to where it is cut off, less those with holes; `notes` tells of both."""
    size, last = file.stat().st_size, ""
    holes: list[str] = []
    cut = True
    while True:
        try:
            member = tar.next()
        except tarfile.ReadError:
            if not last:
                raise
            break
        if member is None:
            cut = 0 < size - tar.offset < tarfile.BLOCKSIZE  # the module passes over half a header
            break
        cast(Any, tar).members = []  # it would keep all of them
        if member.issparse():  # its bytes do not lie one after the other
            holes.append(member.name)
            last = member.name
            continue
        if member.offset_data + member.size > size:
            break
        last = member.name
        yield member
    if cut:
        notes.append(f"{printable(file)} is cut off: nothing behind {printable(last) or 'its beginning'} can be read")
    if holes:
        more = f" and {len(holes) - 1} more are" if holes[1:] else " is"
        notes.append(
            f"{printable(file)}: {printable(holes[0])}{more} stored with holes (`tar --sparse`), which is not read"
        )


def _clip(file: Path, key: str, sample: _Sample) -> Clip | None:
    """The clip of a sample; None if no file of it is one."""
    for suffixes in (VIDEO_SUFFIXES, ANIMATION_SUFFIXES):
        ending = next((each for each in sample.members if PurePosixPath(f"x.{each}").suffix in suffixes), None)
        if ending is not None:
            break
    else:
        return None
    name, offset, size = sample.members[ending]
    # A name in an archive may begin with a slash or lead out of it; here it is a name alone.
    inside = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    path = file.joinpath(*inside)
    packed = FilePart(path, file, offset, size)
    label, subject, split = told_by_folders([printable(part) for part in inside[:-1]])
    split = split or split_of_name(file)
    if not sample.texts:
        return Clip(path, label=label, subject=subject, split=split, packed=packed)
    place = printable(f"{file}, {key}")
    cells: dict[str, object] = {}
    for ending, content in sample.texts.items():
        text = _decoded(content, f"{place}.{ending}").strip()
        cells |= json_row(text, f"{place}.json").cells if ending == "json" else {TEXTS[ending]: text}
    return clip_of_row(row_of(cells, place), path, split, packed)


def _decoded(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: not UTF-8 text.") from error
