"""What a model is compared with besides real clips: clips that keep still, and real frames in a wrong order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ..data.video_writing import write_clip
from ..training_utils import draw_generator
from .generation import FORMAT, FPS, PlannedClip, claim_folder
from .video_sets import VideoSet

ANCHORS = ("static", "shuffled")


def make_anchor(
    kind: str,
    real: VideoSet,
    plan: Sequence[PlannedClip],
    seed: int,
    folder: Path,
    settings: dict,
    progress: bool = True,
) -> None:
    """Write the clips of an anchor as `generate_clips` writes a model's.

    Args:
        kind: "static" repeats a real clip's first frame; "shuffled" keeps the first frame of a real clip, and puts the
            others in random order.
        real, plan, folder, settings: as in `generate_clips`.
        seed: of the order.
        progress: whether to show a bar.
    """
    claim_folder(folder, settings | {"anchor": kind, "seed": seed, "num_videos": len(plan)}, plan)
    for clip in tqdm(plan, unit="clip", desc=kind, disable=not progress):
        if (folder / clip.file_name).is_file():
            continue
        frames = real.frames(clip.source)
        if kind == "static":
            frames = frames[:1].expand_as(frames)
        else:
            order = 1 + torch.randperm(len(frames) - 1, generator=draw_generator(seed, clip.draw))
            frames = torch.cat((frames[:1], frames[order]))
        write_clip(folder / clip.file_name, frames.permute(0, 2, 3, 1).numpy(), FORMAT, FPS)
