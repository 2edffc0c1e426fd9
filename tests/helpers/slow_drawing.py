"""A job for processes of their own: quick for subject 0, slow for the others."""

from __future__ import annotations

import time
from pathlib import Path


def draw_slowly(folder: Path, subject: int) -> list[dict]:
    if subject:
        (folder / f"begun-{subject}").touch()
        time.sleep(10)
        (folder / f"done-{subject}").touch()
    return []
