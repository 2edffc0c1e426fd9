"""Arrays by key, thousands to a file: a cache of a million clips is a thousand files.

    01796000000000000000-3fa2b7c1.tar    members KEY.npy, one after the other, as `tar` reads them
    01796000000000000000-3fa2b7c1.json   {KEY: [offset, bytes]}, beside a shard that is finished

Each process appends to shards of its own, so that any number may share a folder. A process that is killed leaves a shard without
its index and with all arrays but the last one whole; readers then go from member to member. Of arrays that are there twice the one in
the later shard counts.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import time
import uuid
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from .reading import UnreadableFileError, read_json
from .whole import write_json

SHARD_BYTES = 128 * 2**20
BLOCK = tarfile.BLOCKSIZE


class _Place(NamedTuple):
    """Where an array's .npy lies."""

    shard: Path
    offset: int
    size: int


class ArrayShards:
    """Arrays by key in a folder.

    Args:
        folder: made if missing; it may be deleted at any time between runs.
        shard_bytes: after which a shard is finished and the next begun.
    """

    def __init__(self, folder: str | Path, shard_bytes: int = SHARD_BYTES):
        self.folder, self.shard_bytes = Path(folder), shard_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        self._places: dict[str, _Place] = {}
        self._seen: dict[Path, int] = {}  # how much of each shard is known; -1: all of it
        self._writer: _Writer | None = None

    def get(self, key: str) -> np.ndarray | None:
        """The array of a key, of which only what is asked for is read; None if there is none that is known of, see `refresh`."""
        place = self._places.get(key)
        if place is None:
            return None
        try:
            return _mapped(place)
        except (ValueError, OSError):  # a power cut has left it empty or cut short; or the shard is gone
            del self._places[key]
            return None

    def add(self, key: str, array: np.ndarray) -> None:
        """Append an array.

        Raises:
            OSError: if it cannot be written (a full disk, say), in one sentence; what was there before is kept.
        """
        if self._writer is not None and self._writer.process != os.getpid():
            self._writer = None  # of the process that this one was forked from
        try:
            if self._writer is None:
                self._writer = _Writer(self.folder)
                self._seen[self._writer.path] = -1
            self._places[key] = self._writer.append(key, array)
        except OSError as error:
            raise OSError(f"{self.folder} could not be written: {error.strerror or error}.") from error
        if self._writer.size >= self.shard_bytes:
            self.finish()

    def finish(self) -> None:
        """Close the shard that is being written, with its index."""
        writer, self._writer = self._writer, None
        if writer is not None and writer.process == os.getpid():
            writer.close()

    def refresh(self) -> None:
        """Take notice of what others have added."""
        for path in sorted(self.folder.glob("*.tar")):
            if self._seen.get(path) == -1:
                continue
            with contextlib.suppress(FileNotFoundError):  # the folder is being deleted
                index = _read_index(path)
                if index is None:
                    found, end = _walked(path, self._seen.get(path, 0))
                    self._places.update(found)
                    self._seen[path] = end
                else:
                    self._places.update(index)
                    self._seen[path] = -1

    def __len__(self) -> int:
        return len(self._places)

    def __getstate__(self) -> dict:
        """For another process, which appends to shards of its own."""
        return self.__dict__ | {"_writer": None}


class _Writer:
    """A shard that one process appends to."""

    def __init__(self, folder: Path):
        self.process = os.getpid()
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.tar"
        # Closed by `close`.
        self.file: BinaryIO = open(self.path, "xb", buffering=0)  # noqa: SIM115
        self.size = 0
        self.index: dict[str, tuple[int, int]] = {}

    def append(self, key: str, array: np.ndarray) -> _Place:
        content = io.BytesIO()
        np.save(content, array)
        header = tarfile.TarInfo(f"{key}.npy")
        header.size = content.tell()
        padding = bytes(-header.size % BLOCK)
        member = memoryview(header.tobuf(tarfile.USTAR_FORMAT) + content.getvalue() + padding)
        try:
            written = 0
            while written < len(member):  # a disk that is nearly full takes a part
                written += self.file.write(member[written:])
        except OSError:
            self.file.truncate(self.size)
            self.file.seek(self.size)
            raise
        self.index[key] = self.size + BLOCK, header.size
        self.size += len(member)
        return _Place(self.path, *self.index[key])

    def close(self) -> None:
        with self.file:
            self.file.write(bytes(2 * BLOCK))  # the end of a tar
            os.fsync(self.file.fileno())
        write_json(self.path.with_suffix(".json"), self.index, indent=None)


def _read_index(shard: Path) -> dict[str, _Place] | None:
    """Of a finished shard."""
    path = shard.with_suffix(".json")
    if not path.is_file():
        return None
    try:
        return {key: _Place(shard, int(offset), int(size)) for key, (offset, size) in read_json(path).items()}
    except (UnreadableFileError, ValueError, TypeError):
        return None


def _walked(shard: Path, begin: int) -> tuple[dict[str, _Place], int]:
    """The whole members of a shard from `begin` on, and where they end."""
    found = {}
    with open(shard, "rb") as file:
        size, at = os.fstat(file.fileno()).st_size, begin
        while at + BLOCK <= size:
            file.seek(at)
            try:
                member = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "strict")
            except tarfile.HeaderError:  # the end, or what a power cut has left
                break
            end = at + BLOCK + member.size + -member.size % BLOCK
            if end > size:
                break
            found[member.name.removesuffix(".npy")] = _Place(shard, at + BLOCK, member.size)
            at = end
    return found, at


def _mapped(place: _Place) -> np.ndarray:
    """An array in a shard, mapped into memory.

    Raises:
        ValueError: if it is no whole array.
        OSError: if the shard cannot be read.
    """
    with open(place.shard, "rb") as file:
        file.seek(place.offset)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, order, dtype = read(file)
        begin = file.tell()
        if dtype.hasobject or begin + dtype.itemsize * int(np.prod(shape)) > place.offset + place.size:
            raise ValueError("no whole array")
        return np.memmap(file, dtype, "r", begin, shape, "F" if order else "C")
