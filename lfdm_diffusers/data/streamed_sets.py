"""Data sets that come by row after row, in the streaming mode of the library `datasets`, and are never on this disk.

Each clip is decoded as it comes. Its frames at training size go into the folder of a `CachedClipReader`, and a line about it beside
them:

    streamed/3fa2b7c1.../data_set.json        which data set it is, at which commit, and how many files each split has
    streamed/3fa2b7c1.../0000-00003.jsonl     a line for each row of the fourth file of the first split

From then on any example is made from its number alone, in any process, as of clips on a disk: so order, resuming and sharing are those
of a folder. A stream that was stopped goes on behind its last line; a finished one needs neither the data set nor the library.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from accelerate.utils import broadcast_object_list, gather_object
from huggingface_hub import HfApi

from ..files.extras import required
from ..files.kept_lines import KeptLines
from ..files.limits import TooLargeError, require_bytes
from ..files.packed import Packed
from ..files.progress import progress_bar
from ..files.reading import read_json, why
from ..files.whole import write_json
from .cache import CachedClipReader
from .clips import Clip, ClipList, UnreadableClipError
from .dataset_rows import media_column, splits_of, suffix_of, told_by
from .folders import told_by_folders
from .named_sets import NamedSet, files_of, in_tables, not_had
from .tables import clip_of_row, row_of
from .tars import TEXTS

VERSION = 1  # raised whenever the same rows would give other clips
ABOUT = "data_set.json"
GONE = "it is no longer in the cache, and came by only once"


@dataclass(frozen=True)
class StreamedFile(Packed):
    """A clip that came by; its frames are in the cache.

    Attributes:
        place: the data set's state, split, file and row.
        reason: why it cannot be read.
        content: its bytes, while it comes by.
    """

    path: Path
    place: tuple[str, str, int, int]
    reason: str = ""
    size: int = 0
    content: bytes | None = field(default=None, compare=False, repr=False)

    def open(self) -> BinaryIO:
        if self.content is None:
            raise OSError(self.reason or GONE)
        return io.BytesIO(self.content)

    def state(self) -> tuple:
        return "streamed", *self.place


@dataclass(frozen=True)
class StreamedSet:
    """A data set, as far as it has come by.

    Attributes:
        named: which.
        state: what changes with its files: the commit, on the Hub.
        options: of `datasets.load_dataset`.
        files: the splits, and how many files each has.
        folder: of the lines about its clips.
    """

    named: NamedSet
    state: str
    options: dict[str, Any]
    files: dict[str, int]
    folder: Path

    def stream(
        self, reader: CachedClipReader, rank: int = 0, processes: int = 1, workers: int = 0, progress: bool = True
    ) -> None:
        """Decode every clip that has not been, into the reader's cache.

        Args:
            reader: the one that the stream was opened for.
            rank, processes: which of how many this is; each takes its share of the files.
            workers: threads that fetch and decode side by side; 0 takes one clip after the other.
            progress: show a progress bar.

        Raises:
            ValueError: if it breaks off, in which case what came before is kept; or naming a row that says what nobody can read.
        """
        files = [(split, file) for split, count in self.files.items() for file in range(count)]
        mine = [(*each, self._lines(*each)) for each in files[rank::processes]]
        wanted = [each for each in mine if not each[-1].finished]
        if not wanted:
            return
        splits = _splits(self.named, self.options)
        with progress_bar(unit="clip", desc="stream", disable=not progress) as bar:
            for split, file, lines in wanted:
                for _ in self._stream(splits[split], split, file, lines, reader, workers):
                    bar.update()

    def _stream(
        self, rows: Any, split: str, file: int, lines: KeptLines, reader: CachedClipReader, workers: int
    ) -> Iterator[None]:
        """The rows of one file that are new; yields after each."""
        column = media_column(self.named.name, rows.features)
        coming: deque = deque()  # rows in their order, as their clips are looked at
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for cells in self._rows(rows, split, file, len(lines.lines)):
                number = len(lines.lines) + len(coming)
                clip = self._clip(rows.features, cells, column, (self.state, split, file, number))
                coming.append((clip, pool.submit(self._look, clip, cells[column], reader)))
                if len(coming) > workers:
                    lines.add(_told(*coming.popleft()))
                    yield
            for clip, seen in coming:
                lines.add(_told(clip, seen))
                yield
        lines.finish()

    def _rows(self, rows: Any, split: str, file: int, first: int) -> Iterator[dict[str, Any]]:
        """The rows of one file from `first` on."""
        try:
            yield from rows.shard(num_shards=rows.num_shards, index=file).skip(first)
        except Exception as error:  # of many libraries: of the Hub, of Arrow, of each format
            raise self._broken_off(error) from error

    def _broken_off(self, error: Exception) -> ValueError:
        return ValueError(
            f"the data set {self.named.name!r} broke off: {why(error)}. What came before is kept, and the same command goes on there."
        )

    def _clip(
        self, features: Any, cells: Mapping[str, Any], column: str, place: tuple[str, str, int, int]
    ) -> Clip | None:
        """The clip of a row, without its bytes; None if it holds none."""
        content, name = _cell(cells[column])
        if content is None and not name:
            return None
        _, split, file, row = place
        suffix = suffix_of(name, lambda: (content or b"")[:4])
        path = Path(self.named.name, *filter(None, [split]), f"{file:05d}-{row:06d}{suffix}")
        about = told_by(features, cells)
        in_tar = PurePosixPath(str(cells.get("__key__") or ""))  # of the library's reader of WebDataset
        if in_tar.name:
            beside = cells.get("json")
            about |= beside if isinstance(beside, dict) else {}
            about |= {column: cells[title] for title, column in TEXTS.items() if cells.get(title) is not None}
        packed = StreamedFile(path, place)
        if in_tar.name and not about:
            label, subject, told = told_by_folders(in_tar.parent.parts)
            return Clip(path, label, subject, told or split, packed=packed)
        return clip_of_row(row_of(about, str(path)), path, split, packed)

    def _look(self, clip: Clip | None, cell: Any, reader: CachedClipReader) -> dict[str, Any]:
        """Decode a clip into the cache: how many frames it has, or why it cannot be read."""
        if clip is None:
            return {}
        try:
            content = _fetched(cell)
        except (FileNotFoundError, TooLargeError) as error:
            return {"reason": why(error)}
        except Exception as error:  # of many libraries
            raise self._broken_off(error) from error
        packed = replace(cast(StreamedFile, clip.packed), content=content, size=len(content))
        try:
            return {"frames": reader.check(replace(clip, packed=packed))}
        except UnreadableClipError as error:
            return {"reason": str(error).removeprefix(f"{clip.name}: ")}

    def clips(self) -> ClipList:
        """All clips, in the order of their rows; those that cannot be read are among them, for a scan to name.

        Raises:
            ValueError: if there are none.
        """
        found = ClipList()
        for split, count in self.files.items():
            empty = 0
            for file in range(count):
                for row, told in enumerate(self._lines(split, file).lines):
                    if "path" not in told:
                        empty += 1
                        continue
                    packed = StreamedFile(Path(told["path"]), (self.state, split, file, row), told.get("reason", ""))
                    clip = Clip(packed.path, told["label"], told["subject"], told["split"], packed=packed)
                    found.append(replace(clip, texts=tuple(told["texts"])))
            if empty:
                found.notes.append(f"left out: {empty} rows of {self.named} {split}: they hold no clip")
        if not found:
            raise ValueError(f"the data set {self.named.name!r} holds no clips.")
        return found

    def _lines(self, split: str, file: int) -> KeptLines:
        return KeptLines(self.folder / f"{list(self.files).index(split):04d}-{file:05d}.jsonl")


def stream_together(
    named: NamedSet, reader: CachedClipReader, argument: str, workers: int, rank: int, processes: int
) -> ClipList:
    """All clips of a data set, once all have come by; of several processes each decodes its share.

    Args:
        named, reader, argument: as in `open_stream`.
        workers, rank, processes: as in `StreamedSet.stream`.

    Raises:
        ValueError: as those do.
    """
    (opened,) = broadcast_object_list([open_stream(named, reader, argument) if rank == 0 else None])
    opened.stream(reader, rank, processes, workers, progress=rank == 0)
    gather_object([rank])  # each waits for all
    return cast(StreamedSet, opened).clips()


def open_stream(named: NamedSet, reader: CachedClipReader, argument: str = "name") -> StreamedSet:
    """Find out what there is to stream, or what has been.

    Args:
        named: a data set of the Hub, or a local folder of tables, tars or videos.
        reader: into whose cache its clips go.
        argument: what errors call the data set's name.

    Raises:
        ValueError: if it is not there, or holds no clips.
    """
    below = reader.folder / "streamed"
    folder = Path(named.name)
    try:
        state = (
            _state_of_folder(folder)
            if folder.is_dir()
            else HfApi().dataset_info(named.name, revision=named.revision).sha
        )
    except OSError as error:  # no such data set, no network, no permission
        kept = _kept(named, reader, below) if getattr(error, "response", None) is None else None
        if kept is None:
            raise not_had(named, argument, error) from error
        return kept
    about = _about(named, reader, str(state))
    kept_in = below / hashlib.sha256(repr(sorted(about.items())).encode()).hexdigest()[:32]
    if not (kept_in / ABOUT).is_file():
        options = _options(named, str(state), argument)
        files = {split: rows.num_shards for split, rows in _splits(named, options).items()}
        kept_in.mkdir(parents=True, exist_ok=True)
        write_json(kept_in / ABOUT, about | {"options": options, "files": files})
    return _read(named, kept_in)


def _state_of_folder(folder: Path) -> str:
    files = files_of(folder)
    states = [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(states).encode()).hexdigest()[:40]


def _about(named: NamedSet, reader: CachedClipReader, state: str) -> dict[str, Any]:
    """What decides which frames are kept of which clips."""
    name = str(Path(named.name).resolve()) if Path(named.name).is_dir() else named.name
    kept_as = {"height": reader.height, "width": reader.width, "fit": reader.fit, "compress": reader.compress}
    return {"version": VERSION, **asdict(named), "name": name, "state": state, **kept_as}


def _kept(named: NamedSet, reader: CachedClipReader, below: Path) -> StreamedSet | None:
    """What came by last of a data set, for where the Hub cannot be asked."""
    for path in sorted(below.glob(f"*/{ABOUT}"), key=lambda path: path.stat().st_mtime, reverse=True):
        about = read_json(path)
        if about.items() >= _about(named, reader, about.get("state", "")).items():
            return _read(named, path.parent)
    return None


def _read(named: NamedSet, folder: Path) -> StreamedSet:
    about = read_json(folder / ABOUT)
    return StreamedSet(named, about["state"], about["options"], about["files"], folder)


def _options(named: NamedSet, state: str, argument: str) -> dict[str, Any]:
    """Of `datasets.load_dataset`; `config` is one of tables, but a folder of files of clips.

    Raises:
        ValueError: if it holds no clips.
    """
    revision = None if Path(named.name).is_dir() else state
    tables = in_tables(replace(named, revision=revision), argument)
    return {"name" if tables else "data_dir": named.config, "revision": revision, "streaming": True}


def _splits(named: NamedSet, options: dict[str, Any]) -> dict[str, Any]:
    """The rows of each split, whose clips are not decoded by the library."""
    splits: dict[str, Any] = {}
    for split, rows in splits_of(named.name, options):
        if split in splits:
            raise ValueError(f"the data set {named.name!r} has two splits that both mean {split!r}.")
        streamed = rows if hasattr(rows, "decode") else rows.to_iterable_dataset()  # of `save_to_disk`
        splits[split] = streamed.decode(False)
    return splits


def _cell(cell: Any) -> tuple[bytes | None, str]:
    """The bytes that a cell holds, and the name or the place that it gives them."""
    if isinstance(cell, Mapping):
        return cell.get("bytes"), str(cell.get("path") or "")
    return cell, ""


def _fetched(cell: Any) -> bytes:
    """The bytes of a cell, wherever they are."""
    content, place = _cell(cell)
    if content is None:
        with required("fsspec", "datasets", f"The clip {place}").open(place, "rb") as file:
            require_bytes(file.size or 0, f"{place} takes")
            content = file.read()
    return content


def _told(clip: Clip | None, seen: Future[dict[str, Any]]) -> dict[str, Any]:
    """The line about a row."""
    if clip is None:
        return {}
    about = {"path": str(clip.path), "label": clip.label, "subject": clip.subject, "split": clip.split}
    return about | {"texts": clip.texts} | seen.result()
