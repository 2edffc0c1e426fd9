"""Decides when two labels are the same."""

from __future__ import annotations

import unicodedata


def normalized_label(label: str) -> str:
    """What labels are compared by: one case, one way of writing accents, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())
