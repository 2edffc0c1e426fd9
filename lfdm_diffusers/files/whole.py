"""Files and folders that appear under their name when they are complete, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path`, of the same suffix, to write a file or a folder under.

    At the end of the block it is renamed to `path`, in place of what was there; if the block raises, it vanishes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, old = path.with_name(f".part.{path.name}"), path.with_name(f".old.{path.name}")
    _remove(part)  # of a process that was killed
    try:
        yield part
        if path.is_dir():  # nothing can be renamed onto a folder that holds files
            _remove(old)
            os.replace(path, old)
        os.replace(part, path)
    finally:
        _remove(part)
        _remove(old)


def write_json(path: Path, content: object) -> None:
    """JSON that people can read, whole or not at all."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
