"""`runner.json` of an exported model: which files stand beside it. It may come from a stranger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .names import printable
from .reading import UnreadableFileError, read_json, require_plain_file

RUNNER = "runner.json"


def read_runner(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What `runner.json` says, and the names of the files that it needs, each a plain file of that very folder.

    Raises:
        UnreadableFileError: naming the entry that is none; for files elsewhere, which would be read or copied for a stranger.
    """
    path = folder / RUNNER
    about = read_json(path)
    graphs, labels, text = (about.get(name) for name in ("graphs", "labels", "text"))
    parts = list(graphs.values()) if isinstance(graphs, dict) else [None]
    names = [part.get("file") if isinstance(part, dict) else None for part in (*parts, *([labels] if labels else []))]
    names += [text.get("tokenizer") if isinstance(text, dict) else None] if text else []
    for name in names:
        if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
            raise UnreadableFileError(
                f"{printable(path)} must name a file beside it for each of its `graphs`, for its `labels` and its `text`, got "
                f"{printable(repr(name))[:80]}."
            )
        require_plain_file(folder / name)
    return about, [str(name) for name in names]
