"""What plays when the page opens: pictures of the package and what its model made of them (`reproduction/draw_gallery.py`)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from ..embedded import ASSETS

TILE = (
    '<figure style="margin: 0; text-align: center; flex: 0 0 auto"><img src="data:image/webp;base64,{data}" width="96" height="96" '
    'alt="{what}" style="border-radius: 10px"><figcaption style="font-size: .8em; opacity: .7">{what}</figcaption></figure>'
)


def _files(pattern: str) -> list[Path]:
    return sorted((ASSETS / "gallery").glob(pattern))


def first_clip(photograph: bool = False) -> str | None:
    """The clip that plays when the page opens, of the package's photograph or of a drawn face; None where the package has none."""
    return next((str(path) for path in _files("*-photograph-*.mp4" if photograph else "*-face-*.mp4")), None)


def first_label(labels: Sequence[str]) -> str | None:
    """The label to begin with: that of the first clip, if the model knows it."""
    played = [path.stem.split("-")[-1] for path in _files("*.mp4")]
    return next((label for label in (*played, *labels) if label in labels), None)


def gallery() -> str:
    """A row of pictures that move, each with its label, as HTML; "" where the package has none."""
    tiles = [
        TILE.format(data=base64.b64encode(path.read_bytes()).decode(), what=path.stem.split("-")[-1])
        for path in _files("*.webp")
    ]
    return f'<div style="display: flex; gap: 10px; overflow-x: auto">{"".join(tiles)}</div>' if tiles else ""
