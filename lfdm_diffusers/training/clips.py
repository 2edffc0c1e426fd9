"""Clips to train on and to validate on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import PIL.Image
import torch

from ..data.cache import ClipReader
from ..data.clips import Clip
from ..data.dataset import to_tensor
from ..data.layouts import find_clips, of_split
from ..visualization.generation_sheet import first_pictures


class TrainingClips(NamedTuple):
    """The checked clips of a run, and their reader."""

    train: list[Clip]
    held_out: list[Clip]
    reader: ClipReader

    @property
    def labels(self) -> list[str]:
        """Of the clips to train on."""
        return label_texts(self.train)

    def frames(self, clip: Clip) -> torch.Tensor:
        """All of a clip, `(T, 3, H, W)` float32 in [0, 1]."""
        length = self.reader.count(clip) if clip.num_frames is None else clip.num_frames
        return to_tensor(self.reader.place(self.reader.read(clip, range(length)))).transpose(0, 1)

    def pictures(self, count: int) -> list[PIL.Image.Image]:
        """First pictures of held-out clips."""
        return first_pictures(self.held_out, self.reader, count)


def label_texts(clips: list[Clip]) -> list[str]:
    """The labels of clips, each once, in order."""
    return sorted({clip.label for clip in clips if clip.label})


def choose_clips(
    root: Path, layout: str, train_split: str | None, validation_split: str | None
) -> tuple[list[Clip], list[Clip], str]:
    """Clips to train on, clips to validate on, and what the latter are, in words.

    Args:
        root, layout: as in `find_clips`.
        train_split: by default train, where there are splits; else all clips.
        validation_split: by default validation, else test; else the training clips.

    Raises:
        ValueError: if there are none; names the options of the scripts.
    """
    found = find_clips(root, layout, name="--train_data_dir")
    splits = {clip.split for clip in found}
    train_split = train_split or ("train" if "train" in splits else None)
    train = of_split(found, train_split, "--train_split")
    split = validation_split or next((s for s in ("validation", "test") if s in splits - {train_split}), None)
    if split is None:
        return train, list(train), "the training clips: the data have no split for validation"
    held_out = of_split(found, split, "--validation_split")
    return train, list(held_out), f"the split {split}"  # what there is to say is said of `train`
