"""Clips in the rows of a data set of the library `datasets`: their bytes are read where they lie in its Arrow files.

The library downloads and converts (Parquet, say) once, into its own cache; its Arrow files hold each clip's bytes in one piece. So a
row is a range of a plain file, which any process reads without the library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..files.extras import required
from ..files.packed import FilePart
from ..files.reading import why
from .clips import Clip, ClipList
from .splits import SPLIT_NAMES
from .suffixes import ANIMATION_SUFFIXES, VIDEO_SUFFIXES
from .tables import LABEL_COLUMNS, TEXT_COLUMNS, clip_of_row, row_of

TOLD = {*LABEL_COLUMNS, *TEXT_COLUMNS, "subject", "split"}
# How files of clips begin that are no videos; those tell by themselves what they are.
HEADS = {b"GIF8": ".gif", b"RIFF": ".webp", b"\x89PNG": ".png"}


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` of the library has written a folder."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def clips_in_rows(name: str, config: str | None = None, revision: str | None = None) -> ClipList:
    """The clips of all splits, in the order of their rows.

    Args:
        name: Hub id, or a local folder: of Parquet or Arrow files, or of `save_to_disk`.
        config, revision: as `datasets.load_dataset` takes them.

    Raises:
        ValueError: if it cannot be loaded, or no column holds clips.
    """
    found = ClipList()
    for split, rows in splits_of(name, {"name": config, "revision": revision}):
        found += _clips(name, split, rows, found.notes)
    return found


def splits_of(name: str, options: dict[str, Any]) -> list[tuple[str, Any]]:
    """The name of each split and the library's data set of it; "" where there is only one, of all clips.

    Args:
        name: Hub id, or a local folder.
        options: of `datasets.load_dataset`.

    Raises:
        ValueError: if it cannot be loaded.
    """
    datasets = required("datasets", "datasets", f"The data set {name}")
    try:
        loaded = datasets.load_from_disk(name) if is_saved(Path(name)) else datasets.load_dataset(name, **options)
    except Exception as error:  # of many libraries: of the Hub, of Arrow, of each format
        raise ValueError(f"the data set {name!r} cannot be loaded: {why(error)}.") from error
    splits = loaded if isinstance(loaded, dict) else {str(loaded.split or ""): loaded}
    alone = list(splits) == ["train"]
    return [("" if alone else SPLIT_NAMES.get(split.lower(), split), rows) for split, rows in splits.items()]


def told_by(features: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says about its clip, by its columns; of numbers of classes their names."""
    told = {}
    for title, cell in row.items():
        if title.strip().casefold() in TOLD:
            classes = getattr(features[title], "int2str", None)
            told[title] = cell if classes is None else None if cell is None or cell < 0 else classes(cell)
    return told


def _clips(name: str, split: str, rows: Any, notes: list[str]) -> Iterator[Clip]:
    """The clips of one split; `notes` gets sentences about rows without any."""
    column = media_column(name, rows.features)
    told = [title for title in rows.features if title.strip().casefold() in TOLD]
    texts = {title: rows.data.column(title).to_pylist() for title in told}
    places = [place for each in rows.cache_files for place in _places(Path(each["filename"]), column)]
    if len(places) != len(rows):
        raise ValueError(f"the data set {name!r} holds other rows than its files: save it with `save_to_disk` again.")
    empty = 0
    for index, (own, file, offset, size) in enumerate(places):
        if file is None:
            empty += 1
            continue
        path = Path(name, *filter(None, [split]), f"{index:06d}{suffix_of(own, partial(_head, file, offset))}")
        about = told_by(rows.features, {title: values[index] for title, values in texts.items()})
        row = row_of(about, f"{path}")
        packed = FilePart(path, file, offset, size) if size >= 0 else None
        yield clip_of_row(row, path if packed else file, split, packed)
    if empty:
        notes.append(f"left out: {empty} rows of {name} {split}: nothing in the column {column}")


def media_column(name: str, features: Any) -> str:
    """The column that holds clips: of the library's type for videos, else for pictures, else bytes named as files of clips end.

    Raises:
        ValueError: if there is none; names those that there are.
    """
    datasets = required("datasets", "datasets", f"The data set {name}")
    for kind in (datasets.Video, datasets.Image):
        for title, feature in features.items():
            if isinstance(feature, kind):
                return str(title)
    for title, feature in features.items():
        ending = f".{title.rpartition('.')[2].lower()}"
        if getattr(feature, "dtype", "") in ("binary", "large_binary") and (
            ending in (*VIDEO_SUFFIXES, *ANIMATION_SUFFIXES) or title == "video"
        ):
            return str(title)
    raise ValueError(f"the data set {name!r} has no column of videos, only {', '.join(features)}.")


def _places(file: Path, column: str) -> Iterator[tuple[str, Path | None, int, int]]:
    """Of each row: the clip's own name, the file that holds it, where, and how many bytes; of a file of its own -1 bytes."""
    arrow = required("pyarrow", "datasets", f"The file {file}")
    whole = arrow.memory_map(str(file)).read_buffer()
    try:
        reader = arrow.ipc.open_stream(whole)
    except arrow.ArrowInvalid:  # the other of Arrow's two formats
        opened = arrow.ipc.open_file(whole)
        reader = (opened.get_batch(number) for number in range(opened.num_record_batches))
    for batch in reader:
        cells = batch.column(batch.schema.get_field_index(column))
        content, names = cells, [""] * len(cells)
        if arrow.types.is_struct(cells.type):
            content = cells.field("bytes")
            names = [each or "" for each in cells.field("path").to_pylist()]
        wide = arrow.types.is_large_binary(content.type)
        if len(content) == 0 or content.null_count == len(content):
            starts, data = memoryview(b""), None
        else:
            _, offsets, data = content.buffers()
            starts = memoryview(offsets).cast("q" if wide else "i")[content.offset :]
        for number, (name, valid, given) in enumerate(
            zip(names, content.is_valid().to_pylist(), cells.is_valid().to_pylist())
        ):
            if given and valid and data is not None:
                begin, end = starts[number], starts[number + 1]
                at = data.address - whole.address + begin
                if not 0 <= at <= at + end - begin <= whole.size:
                    raise ValueError(f"{file} is compressed: save the data set with `save_to_disk` again.")
                yield name, file, at, end - begin
            else:
                yield name, Path(name) if given and name else None, 0, -1


def suffix_of(name: str, head: Callable[[], bytes]) -> str:
    """The ending that tells what a clip is: its own name's, else by its first four bytes; most videos tell by themselves."""
    own = PurePosixPath(name).suffix.lower()
    if own in (*VIDEO_SUFFIXES, *ANIMATION_SUFFIXES):
        return own
    return HEADS.get(head(), ".mp4")


def _head(file: Path, offset: int) -> bytes:
    with open(file, "rb") as opened:
        opened.seek(offset)
        return opened.read(4)
