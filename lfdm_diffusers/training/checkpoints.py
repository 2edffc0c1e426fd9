"""What the training scripts share: checkpoints written whole, chance that can be repeated, metrics, running statistics."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from ..data.clips import Clip
from ..data.layouts import find_clips

STATE_FILE = "training_state.pt"
# Draws of validation examples: far beyond any of training.
VALIDATION_DRAWS = 2**62


def choose_clips(
    root: Path, layout: str, train_split: str | None, validation_split: str | None
) -> tuple[list[Clip], list[Clip], str]:
    """Clips to train on, clips to validate on, and what the latter are, in words.

    Args:
        root, layout: as in `find_clips`.
        train_split: by default train, where there are splits; else all clips.
        validation_split: by default validation, else test; else the training clips.

    Raises:
        ValueError: if there are none.
    """
    try:
        splits = {clip.split for clip in find_clips(root, layout)}
        train_split = train_split or ("train" if "train" in splits else None)
        train = find_clips(root, layout, train_split)
        split = validation_split or next((s for s in ("validation", "test") if s in splits - {train_split}), None)
        if split is None:
            return train, train, "the training clips: the data have no split for validation"
        return train, find_clips(root, layout, split), f"the split {split}"
    except ValueError as error:
        raise ValueError(str(error).replace("`root`", "`--train_data_dir`")) from error


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that gets the name `path` when it is complete, in place of an earlier one; or leaves no trace.

    Raises:
        OSError: if it cannot be written (a full disk); says that nothing else was touched.
    """
    partial, old = (path.with_name(f".{path.name}.{kind}") for kind in ("partial", "old"))
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        partial.mkdir(parents=True)
        yield partial
        for file in partial.rglob("*"):  # on the disk before the name is, or a power cut could leave empty files
            if file.is_file():
                with open(file, "rb+") as opened:
                    os.fsync(opened.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():  # a folder cannot be renamed onto one that holds files
            os.replace(path, old)
        os.replace(partial, path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors report a full disk as their own
        raise OSError(f"{path} could not be written: {error}. What had been saved before is kept.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, by step."""
    found = [(int(m[1]), p) for p in folder.glob("checkpoint-*") if (m := re.fullmatch(r"checkpoint-(\d+)", p.name))]
    return [path for _, path in sorted(found)]


def prune_checkpoints(folder: Path, limit: int | None) -> None:
    """Delete the oldest checkpoints beyond `limit` (None keeps all), and what a killed process left half written."""
    for partial in folder.glob(".checkpoint-*.partial"):
        shutil.rmtree(partial)
    for path in checkpoints(folder)[: -limit if limit else 0]:
        # Renamed first: a process killed in between leaves no folder that looks like a checkpoint and is not.
        doomed = path.with_name(f".{path.name}.partial")
        os.replace(path, doomed)
        shutil.rmtree(doomed)


def find_checkpoint(output_dir: Path, resume_from: str | None) -> Path | None:
    """The checkpoint that `--resume_from_checkpoint` means: "latest", a path, or a name in `output_dir`.

    Returns:
        Its folder; None to start anew: nothing asked, or "latest" where there is none yet.

    Raises:
        ValueError: if it is not there, or `output_dir` holds checkpoints and the newest is not what is asked for.
    """
    there = checkpoints(output_dir)
    if resume_from is None:
        if there:
            raise ValueError(
                f"`--output_dir` {output_dir} holds {there[-1].name} of an earlier run: go on with "
                "`--resume_from_checkpoint latest`, or name another folder."
            )
        return None
    if resume_from == "latest":
        return there[-1] if there else None
    for path in (Path(resume_from), output_dir / resume_from):
        if (path / STATE_FILE).is_file():
            if there and path.resolve() != there[-1].resolve():  # later ones would be pruned last and found first
                raise ValueError(
                    f"`--output_dir` {output_dir} holds {there[-1].name}, so no run can go on from {path} there: name "
                    "another folder, or delete what lies beyond it."
                )
            return path
    raise ValueError(
        f"`--resume_from_checkpoint` must be 'latest' or a checkpoint's folder, got {resume_from!r}; "
        f"{output_dir} holds {', '.join(p.name for p in there) or 'none'}."
    )


def restore_weights(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """`load_state_dict` of a checkpoint.

    Raises:
        ValueError: if it is of another network.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ValueError(f"the checkpoint is of a run with another network: {first}") from error


def take_fitting_weights(model: nn.Module, source: nn.Module) -> list[str]:
    """Copy into `model` all weights of `source` that have a name and a shape of its own; returns the names of the others.

    Raises:
        ValueError: if none fits.
    """
    own, given = model.state_dict(), source.state_dict()
    fitting = {name: given[name] for name, value in own.items() if name in given and given[name].shape == value.shape}
    if not fitting:
        raise ValueError(f"no weights of the {type(source).__name__} fit the new {type(model).__name__}.")
    model.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]
