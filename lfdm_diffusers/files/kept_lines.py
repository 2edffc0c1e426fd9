"""A file of JSON lines that is written one by one, and says at its end that it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .reading import read_text

MOST = 1 << 33  # bytes: tens of millions of lines
END = "lines"


class KeptLines:
    """The lines that are there, of which a kill has cut off the last, and those to come.

    Args:
        path: read if it is there.

    Attributes:
        lines: objects, without the last that says how many there are.
        finished: whether that one is there.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lines: list[dict[str, Any]] = []
        self.finished = False
        self._end = 0  # of the last whole line, in bytes
        if path.is_file():
            for line in read_text(path, most=MOST, errors="replace").splitlines(keepends=True):
                try:
                    told = json.loads(line)
                except (ValueError, RecursionError):
                    break
                if not line.endswith("\n") or not isinstance(told, dict):
                    break
                if told == {END: len(self.lines)}:
                    self.finished = True
                    break
                self.lines.append(told)
                self._end += len(line.encode())

    def add(self, told: dict[str, Any]) -> None:
        """Append a line.

        Raises:
            OSError: if it cannot be written.
        """
        self._append(told)
        self.lines.append(told)

    def finish(self) -> None:
        """Say that there are no more."""
        self._append({END: len(self.lines)})
        self.finished = True

    def _append(self, told: dict[str, Any]) -> None:
        line = (json.dumps(told) + "\n").encode()
        with open(self.path, "ab", buffering=0) as file:
            file.truncate(self._end)
            file.write(line)
        self._end += len(line)
