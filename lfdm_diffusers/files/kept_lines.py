"""A file of JSON lines that are numbered, written one by one, and followed by one that says that there are no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .reading import read_text

MOST = 1 << 33  # bytes: tens of millions of lines
NUMBER, COUNT = "line", "lines"


class KeptLines:
    """The lines that are there, and those to come.

    A kill cuts off a line, and two writers of the same lines write each of them twice: neither counts.

    Args:
        path: read if it is there.

    Attributes:
        lines: objects, in their order, without their numbers and without the last that says how many there are.
        finished: whether that one is there.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lines: list[dict[str, Any]] = []
        self.finished = False
        self._cut = False  # whether the file ends within a line
        if path.is_file():
            text = read_text(path, most=MOST, errors="replace")
            self._cut = bool(text) and not text.endswith("\n")
            for line in text.splitlines():
                try:
                    told = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(told, dict) and told.pop(NUMBER, None) == len(self.lines):
                    self.lines.append(told)
                self.finished = self.finished or told == {COUNT: len(self.lines)}

    def add(self, told: dict[str, Any]) -> None:
        """Append a line.

        Raises:
            OSError: if it cannot be written.
        """
        self._append({NUMBER: len(self.lines)} | told)
        self.lines.append(told)

    def finish(self) -> None:
        """Say that there are no more."""
        self._append({COUNT: len(self.lines)})
        self.finished = True

    def _append(self, told: dict[str, Any]) -> None:
        with open(self.path, "ab", buffering=0) as file:
            file.write(("\n" * self._cut + json.dumps(told) + "\n").encode())
        self._cut = False
