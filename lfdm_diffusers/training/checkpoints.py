"""Finds and prunes a run's checkpoints, and restores weights from them."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn

from ..files.whole import remove, sweep

STATE_FILE = "training_state.pt"


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, by step."""
    found = [(int(m[1]), p) for p in folder.glob("checkpoint-*") if (m := re.fullmatch(r"checkpoint-(\d+)", p.name))]
    return [path for _, path in sorted(found)]


def prune_checkpoints(folder: Path, limit: int | None) -> None:
    """Delete the oldest checkpoints beyond `limit` (None keeps all); none ever stands there half deleted."""
    for path in checkpoints(folder)[: -limit if limit else 0]:
        remove(path)


def find_checkpoint(output_dir: Path, resume_from: str | None) -> Path | None:
    """The checkpoint that `--resume_from_checkpoint` means: "latest", a path, or a name in `output_dir`.

    Returns:
        Its folder; None to start anew: nothing asked, or "latest" where there is none yet.

    Raises:
        ValueError: if it is not there, or `output_dir` holds checkpoints and the newest is not what is asked for.
    """
    sweep(output_dir)  # a run that was killed may have been about to replace a checkpoint
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
