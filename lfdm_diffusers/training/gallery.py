"""Clips that a trained pipeline shows of itself, beside its weights and on its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import torch

from ..data.video_writing import write_clips
from ..pipelines import ImageToVideoPipeline
from ..visualization.clip_files import default_fps, file_name
from ..visualization.pixels import as_pixels

FOLDER = "gallery"  # in the model's


def write_gallery(
    pipe: ImageToVideoPipeline,
    folder: Path,
    picture: PIL.Image.Image,
    labels: Sequence[str | None],
    seed: int = 0,
    most_labels: int = 12,
) -> dict[str, str]:
    """Write a clip of one picture for each of `labels` (None: without a condition; at most `most_labels`).

    Args:
        pipe: its default number of steps and settings are used.
        folder: the model's.
        seed: of the noise, the same for all.

    Returns:
        The path in `folder` of each clip, by its label: `CardFacts.gallery`.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for label in list(labels)[:most_labels]:
        frames = pipe(picture, label, generator=torch.Generator().manual_seed(seed), output_type="np").frames[0]
        path = f"{FOLDER}/{file_name(label or 'no label', taken)}.webp"
        write_clips({folder / path: "webp"}, as_pixels(frames), default_fps(len(frames)), generated=True)
        found[label or ""] = path
    return found
