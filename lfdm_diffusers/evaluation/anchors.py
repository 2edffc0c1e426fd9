"""Anchors beside which generated clips are scored: changed copies of the real clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ..data.chance import draw_generator
from ..data.video_writing import write_clip
from ..files.progress import progress_bar
from .generation import FORMAT, FPS, PlannedClip, claim_folder
from .video_sets import VideoSet

Change = Callable[[torch.Tensor, PlannedClip], torch.Tensor]


def anchor(kind: str, seed: int) -> Change:
    """The change that makes an anchor: "static" repeats a clip's first frame; "shuffled" puts the others in random order."""

    def change(frames: torch.Tensor, clip: PlannedClip) -> torch.Tensor:
        if kind == "static":
            return frames[:1].expand_as(frames)
        order = 1 + torch.randperm(len(frames) - 1, generator=draw_generator(seed, clip.draw))
        return torch.cat((frames[:1], frames[order]))

    return change


def write_changed(
    change: Change,
    real: VideoSet,
    plan: Sequence[PlannedClip],
    folder: Path,
    settings: dict,
    progress: bool = True,
) -> None:
    """Write real clips, changed, as `generate_clips` writes a model's; resumes in a folder that was begun.

    Args:
        change: `(frames, clip) -> frames`, `(F, 3, H, W)` uint8.
        real, plan, folder, settings: as in `generate_clips`; the settings say everything that `change` depends on.
        progress: whether to show a bar.
    """
    claim_folder(folder, settings | {"num_videos": len(plan)}, plan)
    for clip in progress_bar(plan, unit="clip", desc="changing", disable=not progress):
        if not (folder / clip.file_name).is_file():
            frames = change(real.frames(clip.source), clip)
            write_clip(folder / clip.file_name, frames.permute(0, 2, 3, 1).numpy(), FORMAT, FPS)
