"""Checkpoints of a run: written whole, found, pruned, and weights taken from them."""

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

STATE_FILE = "training_state.pt"


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
