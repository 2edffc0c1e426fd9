"""metrics.jsonl: one line a record, kept whole when an interrupted run resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files.reading import read_text
from ..files.whole import write_text

METRICS_FILE = "metrics.jsonl"


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file, in its order, without lines that are none: a kill cuts a line off."""
    for line in read_text(path).splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            yield record


class MetricsFile:
    """metrics.jsonl: one line a record. Going on at `first_step` drops what an interrupted run wrote beyond it."""

    def __init__(self, path: Path, first_step: int = 0):
        self.path = path
        kept = []
        if path.exists():
            kept = [json.dumps(record) + "\n" for record in records(path) if record["step"] <= first_step]
        write_text(path, "".join(kept))

    def write(self, step: int, values: dict[str, float]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def last_validation(path: Path) -> tuple[int | None, dict[str, float]]:
    """Step and numbers of the last validation in a `MetricsFile`; None and none if there was none yet."""
    for record in reversed(list(records(path))):
        numbers = {name: value for name, value in record.items() if isinstance(value, (int, float))}
        found = {k.removeprefix("validation/"): v for k, v in numbers.items() if k.startswith("validation/")}
        if found:
            return record["step"], found
    return None, {}
