"""Clips to train on and to validate on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import PIL.Image
import torch
from accelerate.utils import gather_object

from ..data.cache import ClipReader
from ..data.clips import Clip, ClipList
from ..data.dataset import to_tensor
from ..data.layouts import find_clips, of_split
from ..data.named_sets import NamedSet
from ..data.scan import ScanReport, look_at_clips, report_of
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
        length = self.reader.length(clip)
        return to_tensor(self.reader.place(self.reader.read(clip, range(length)))).transpose(0, 1)

    def pictures(self, count: int) -> list[PIL.Image.Image]:
        """First pictures of held-out clips."""
        return first_pictures(self.held_out, self.reader, count)


def label_texts(clips: list[Clip]) -> list[str]:
    """The labels of clips, each once, in order."""
    return sorted({clip.label for clip in clips if clip.label})


def data_set_of(args: argparse.Namespace) -> tuple[Path | NamedSet, str]:
    """Which data set the options of `add_data_arguments` name, and the option that does.

    Raises:
        ValueError: if options do not go together.
    """
    if args.dataset_name is not None:
        return NamedSet(args.dataset_name, args.dataset_config_name, args.dataset_revision), "--dataset_name"
    if given := [name for name in ("dataset_config_name", "dataset_revision", "streaming") if getattr(args, name)]:
        raise ValueError(f"`--{given[0]}` goes with `--dataset_name`.")
    return args.train_data_dir, "--train_data_dir"


def choose_clips(
    root: Path | NamedSet | ClipList,
    layout: str,
    train_split: str | None,
    validation_split: str | None,
    name: str = "--train_data_dir",
) -> tuple[list[Clip], list[Clip], str]:
    """Clips to train on, clips to validate on, and what the latter are, in words.

    Args:
        root, layout, name: as in `find_clips`.
        train_split: by default train, where there are splits; else all clips.
        validation_split: by default validation, else test; else the training clips.

    Raises:
        ValueError: if there are none; names the options of the scripts.
    """
    found = find_clips(root, layout, name=name)
    splits = {clip.split for clip in found}
    train_split = train_split or ("train" if "train" in splits else None)
    train = of_split(found, train_split, "--train_split")
    split = validation_split or next((s for s in ("validation", "test") if s in splits - {train_split}), None)
    if split is None:
        return train, list(train), "the training clips: the data have no split for validation"
    held_out = of_split(found, split, "--validation_split")
    return train, list(held_out), f"the split {split}"  # what there is to say is said of `train`


def scan_together(
    clips: Sequence[Clip],
    reader: ClipReader,
    min_frames: int,
    strict: bool,
    workers: int,
    rank: int,
    processes: int,
) -> ScanReport:
    """`scan_clips`, of which each process decodes its share, and all know the whole.

    Args:
        clips, reader, min_frames, strict, workers: as there.
        rank, processes: which of how many this is.

    Raises:
        ValueError: as there, in every process.
    """
    seen = look_at_clips(clips[rank::processes], reader, min_frames, workers, progress=rank == 0)
    shares = gather_object([seen])
    whole: list[int | str] = [0] * len(clips)
    for at, share in enumerate(shares):
        whole[at::processes] = share
    return report_of(clips, whole, min_frames, strict)
