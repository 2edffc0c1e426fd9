"""metrics.jsonl: one line a record, kept whole when an interrupted run resumes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ..files.whole import write_text

METRICS_FILE = "metrics.jsonl"


class MetricsFile:
    """metrics.jsonl: one line a record. Going on at `first_step` drops what an interrupted run wrote beyond it."""

    def __init__(self, path: Path, first_step: int = 0):
        self.path = path
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # cut off by a kill
                    if json.loads(line)["step"] <= first_step:
                        kept.append(line + "\n")
        write_text(path, "".join(kept))

    def write(self, step: int, values: dict[str, float]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def last_validation(path: Path) -> tuple[int | None, dict[str, float]]:
    """Step and numbers of the last validation in a `MetricsFile`; None and none if there was none yet."""
    for record in map(json.loads, reversed(path.read_text(encoding="utf-8").splitlines())):
        numbers = {name: value for name, value in record.items() if isinstance(value, (int, float))}
        found = {k.removeprefix("validation/"): v for k, v in numbers.items() if k.startswith("validation/")}
        if found:
            return record["step"], found
    return None, {}
