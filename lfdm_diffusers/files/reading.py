"""Reads users' files. Any fault of a file becomes one sentence that names it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .names import printable
from .packed import Packed

MOST_TEXT = 64 << 20  # bytes of a configuration or a table; the largest honest ones have a few megabytes
KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


class UnreadableFileError(ValueError):
    """A file of the user's that cannot be used; the message names it, and says why, in characters that can be printed: parts of it may
    be the file's own."""

    def __init__(self, message: str):
        super().__init__(printable(message))


def require_plain_file(path: str | os.PathLike) -> int:
    """Refuse anything but a plain file: reading a pipe or a device may never end.

    Returns:
        Its size in bytes.

    Raises:
        UnreadableFileError: says what it is instead, or that it is not there.
    """
    shown = printable(os.fspath(path))
    try:
        if isinstance(path, Packed):
            path.state()
            return path.size
        found = os.stat(path)
    except FileNotFoundError:
        raise UnreadableFileError(f"{shown} does not exist.") from None
    except (OSError, ValueError) as error:  # a link in a circle, no permission; a zero byte in the name
        raise UnreadableFileError(f"{shown} cannot be read: {why(error)}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFileError(f"{shown} is {kind_of(found.st_mode)}, not a file.")
    return found.st_size


def kind_of(mode: int) -> str:
    """What it is that has a `st_mode` and is no plain file, in words."""
    return next((word for test, word in KINDS.items() if test(mode)), "something else")


@contextlib.contextmanager
def reading(path: str | os.PathLike, what: str) -> Iterator[None]:
    """Around calls of libraries that read the plain file `path`: whatever they raise becomes one sentence.

    Only such calls belong into the block, since decoders raise anything on damaged bytes, and a mistake of this package there
    would be told as the file's.

    Args:
        what: it should be, such as "a PyTorch checkpoint".

    Raises:
        UnreadableFileError: naming the file.
        MemoryError: as it comes.
    """
    require_plain_file(path)
    try:
        yield
    except (UnreadableFileError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableFileError(f"{printable(os.fspath(path))} cannot be read as {what}: {why(error)}.") from error


def read_text(path: str | os.PathLike, what: str = "a text", most: int = MOST_TEXT, errors: str = "strict") -> str:
    """A plain file's text in UTF-8, with or without a byte-order mark; `errors` as for `open`.

    Raises:
        UnreadableFileError: also for a file of more than `most` bytes.
    """
    size = require_plain_file(path)
    if size > most:
        raise UnreadableFileError(
            f"{printable(os.fspath(path))} has {size} bytes, too many for {what}: at most {most}."
        )
    with reading(path, what):
        return Path(path).read_text(encoding="utf-8-sig", errors=errors)


def read_json(path: str | os.PathLike, kind: type = dict) -> Any:
    """What a JSON file holds, which must be of the type `kind`.

    Raises:
        UnreadableFileError: naming the file.
    """
    text = read_text(path, "JSON")
    with reading(path, "JSON"):
        content = json.loads(text)
    if not isinstance(content, kind):
        names: dict[type, str] = {dict: "an object", list: "a list"}
        raise UnreadableFileError(
            f"{printable(os.fspath(path))} must hold {names[kind]} of JSON, got {type(content).__name__}."
        )
    return content


def why(error: BaseException) -> str:
    """What an error says, as one line without a full stop, for the end of a sentence."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [printable(line).strip() for line in str(error).replace("\r", "\n").split("\n") if line.strip()]
    text = next((line for line in lines if not line.endswith(":")), lines[0] if lines else "")
    if isinstance(error, KeyError):
        text = f"{text} is missing"
    return text[:300].rstrip(".:") or type(error).__name__
