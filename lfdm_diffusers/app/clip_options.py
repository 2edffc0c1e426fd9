"""What a visitor may ask of a clip, and the bounds of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import PIL.Image

from ..pipelines import Box, Stroke

MOST_STEPS = 1000
MOST_FRAMES = 160
MOST_DRAWN = 32  # boxes of a picture, and strokes on it
MOST_CHARACTERS = 200  # of a label or a text
SIZE = "picture"  # of clips, by default


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is sampled: the pipeline's arguments, where None (or 0, or "") leaves it to the model.

    `away_from` is a label that faces show already, which guidance leads other labels away from; None is what the model sees that they
    show, if no guidance is asked for. `subjects` are boxes with labels, of which None
    (or "") is that of the clip. These, and `strokes`, are in pixels of `Engine.usable`; `mask`, grey, is of the whole picture.

    Raises:
        ValueError: for more than `MOST_DRAWN` of them.
    """

    scheduler: str | None = None
    steps: int | None = None
    seed: int = 0
    guidance_scale: float | None = None
    motion_scale: float = 1.0
    loop: str | bool | None = None
    mask: PIL.Image.Image | None = None
    num_frames: int | None = None
    output_size: str = SIZE
    subjects: Sequence[tuple[Box, str | None]] = ()
    strokes: Sequence[Stroke] = ()
    away_from: str | None = None

    def __post_init__(self) -> None:
        for what in ("subjects", "strokes"):
            if len(getattr(self, what)) > MOST_DRAWN:
                raise ValueError(f"There may be at most {MOST_DRAWN} {what}, got {len(getattr(self, what))}.")

    def labels(self, label: str | None) -> list[str | None]:
        """Of each subject, its own or that of the clip."""
        return [own or label or None for _, own in self.subjects] or [label or None]


def require_short(*texts: str | None) -> None:
    """Refuse texts longer than any label, before work starts.

    Raises:
        ValueError: says how long it is.
    """
    for text in texts:
        if text is not None and (not isinstance(text, str) or len(text) > MOST_CHARACTERS):
            long = f"{len(text)} characters" if isinstance(text, str) else type(text).__name__
            raise ValueError(f"A label must be a text of at most {MOST_CHARACTERS} characters, got {long}.")
