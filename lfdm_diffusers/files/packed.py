"""Files that lie in other files: read where they are, never unpacked.

A `Packed` stands wherever a function of `files` and `data` reads a plain file by its path: it has a name, by which messages and
suffixes go, and opens as a file does.
"""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast


class Packed(os.PathLike, ABC):
    """A file that the file system does not have under its own name.

    Attributes:
        path: its name, such as archive.tar/waving/anna.mp4; nothing lies there.
        size: in bytes.
    """

    path: Path
    size: int

    def __fspath__(self) -> str:
        return str(self.path)

    __str__ = __fspath__

    @abstractmethod
    def open(self) -> BinaryIO:
        """It, from its first byte; can be seeked in."""

    @abstractmethod
    def state(self) -> tuple:
        """What changes when its bytes do.

        Raises:
            OSError: if it is not there.
        """


@dataclass(frozen=True)
class FilePart(Packed):
    """A range of a plain file, such as a member of a tar.

    Attributes:
        file: that it lies in.
        offset, size: in bytes.
    """

    path: Path
    file: Path
    offset: int
    size: int

    def open(self) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Range(self)))

    def state(self) -> tuple:
        about = self.file.stat()
        return str(self.file.resolve()), about.st_size, about.st_mtime_ns, self.offset, self.size


class _Range(io.RawIOBase):
    """The bytes of a `FilePart`; those behind the file's own end are missing, as of a file that was cut off."""

    def __init__(self, part: FilePart):
        self.name = str(part.path)
        # Closed with this.
        self._file = open(part.file, "rb", buffering=0)  # noqa: SIM115
        self._begin, self._size, self._at = part.offset, part.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # the type of a buffer has no name before Python 3.12
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        if not len(view):
            return 0
        self._file.seek(self._begin + self._at)
        count = self._file.readinto(view) or 0
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError(f"a place before the beginning of {self.name}")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def open_file(path: str | os.PathLike) -> BinaryIO:
    """A plain file or a packed one, to be read."""
    return path.open() if isinstance(path, Packed) else open(path, "rb")
