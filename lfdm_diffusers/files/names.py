"""Names of files and texts of users, in a form that every terminal, file and tokenizer takes."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# Control characters (a terminal obeys them), marks that turn the direction of text, and the halves of characters that stand for
# bytes of a name which is not UTF-8.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    r"""`text` with everything that cannot be printed written out: \x1b, and \x83 for a byte of a name that is not UTF-8.

    Different texts stay different.
    """
    return UNPRINTABLE.sub(_written_out, str(text))


@contextlib.contextmanager
def utf8_name(path: str | os.PathLike) -> Iterator[str]:
    """A name of a file for libraries that take UTF-8 alone: its own, or that of a link to it while the block lasts."""
    name = os.fspath(path)
    if printable(name) == name:
        yield name
        return
    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, f"link{printable(os.path.splitext(name)[1])}")
        os.symlink(os.path.abspath(name), link)
        yield link


def print_anything() -> None:
    """From now on, characters that the terminal (or the file that it stands for) cannot take are printed written out."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def printable_lines(text: object) -> str:
    """`printable` of each line, for texts of several."""
    return "\n".join(map(printable, str(text).split("\n")))


def _written_out(match: re.Match) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a name that is not UTF-8 (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
