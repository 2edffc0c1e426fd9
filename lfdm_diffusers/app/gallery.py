"""What plays when the page opens: pictures of the package and what its models made of them (`reproduction/draw_gallery.py`).

A click on one takes its picture and its label.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..embedded import ASSETS, DRAWN_MODEL, embedded_photographs, embedded_pictures

HTML = (
    '<figure role="button" tabindex="0" data-tile="{number}" title="take this picture and label" style="margin: 0; text-align: center; '
    'flex: 0 0 auto; cursor: pointer"><img src="data:image/webp;base64,{data}" width="96" height="96" alt="{label}" '
    'style="border-radius: 10px"><figcaption style="font-size: .8em; opacity: .7">{label}</figcaption></figure>'
)


class Tile(NamedTuple):
    """A picture of the package and what became of it.

    Attributes:
        file: moving WebP.
        picture: the file that it was made of.
        label: what it does.
        model: that made it: "" is the package's first.
    """

    file: Path
    picture: str
    label: str
    model: str


def tiles() -> list[Tile]:
    """All that the package has, in their order."""
    found, drawn = [], {path.stem: path for path in embedded_pictures()}
    for file in _files("*.webp"):
        name, label = file.stem.partition("-")[2].rsplit("-", 1)
        picture = drawn.get(name) or next(iter(embedded_photographs()))
        found.append(Tile(file, str(picture), label, DRAWN_MODEL if name in drawn else ""))
    return found


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
    shown = [
        HTML.format(number=number, data=base64.b64encode(tile.file.read_bytes()).decode(), label=tile.label)
        for number, tile in enumerate(tiles())
    ]
    return f'<div style="display: flex; gap: 10px; overflow-x: auto">{"".join(shown)}</div>' if shown else ""
