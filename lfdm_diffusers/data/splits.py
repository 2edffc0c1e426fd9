"""Which part of a data set clips belong to, by the names that people give it."""

from __future__ import annotations

import re
from pathlib import Path

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}


def split_of_name(file: Path) -> str:
    """The split that the words of a file's name tell, else that of its folder's; "" if neither does: faces-train-000.tar, test/7.tar."""
    for name in (file.stem, file.parent.name):
        for word in re.split(r"[^a-z]+", name.lower()):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return ""
