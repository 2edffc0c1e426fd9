"""People of toon faces with all that is known of them, and pictures of what models make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.sampling import spread
from lfdm_diffusers.data.toon_faces import ToonClip, ToonSubject, toon_clip
from lfdm_diffusers.evaluation.reconstruction import evaluate_reconstruction
from lfdm_diffusers.visualization import contact_sheet


@dataclass
class Person:
    """An unseen person's real clips, one for each label.

    Attributes:
        subject: number in the population.
        frames: `(labels, F, 3, H, W)` uint8; the first frames are the same picture.
        flow, visibility: `(labels, F, 2, H, W)` and `(labels, F, 1, H, W)`, true, from frame 0.
        background: `(1, H, W)` bool, pixels 4 or more away from anything that moves in any of these clips.
        other_take: as frames, the same person acting again.
    """

    subject: int
    frames: torch.Tensor
    flow: torch.Tensor
    visibility: torch.Tensor
    background: torch.Tensor
    other_take: torch.Tensor

    @property
    def reference(self) -> torch.Tensor:
        """`(3, H, W)` in [0, 1]."""
        return self.frames[0, 0].float() / 255


def draw_person(seed: int, index: int, labels: Sequence[str], num_frames: int, size: int) -> Person:
    subject = ToonSubject.sample(seed, index)
    takes = [[toon_clip(seed, subject, label, take, num_frames, size) for label in labels] for take in (0, 1)]

    def frames_of(clips: list[ToonClip]) -> torch.Tensor:
        return torch.from_numpy(np.stack([clip.frames for clip in clips])).permute(0, 1, 4, 2, 3)

    motions = [clip.flow_from_first() for clip in takes[0]]
    flow, visibility = (torch.from_numpy(np.stack(maps)) for maps in zip(*motions))
    background = takes[0][0].part_names.index("backdrop")
    person = np.any([clip.parts != background for clip in takes[0]], axis=(0, 1))
    near = F.max_pool2d(torch.from_numpy(person).float()[None], 9, stride=1, padding=4)
    return Person(index, frames_of(takes[0]), flow, visibility.bool(), near == 0, frames_of(takes[1]))


def tiles(frames: torch.Tensor) -> list[np.ndarray]:
    """Frames `(F, 3, H, W)` uint8 as the contact sheet wants them."""
    return [frame.permute(1, 2, 0).numpy() / 255 for frame in frames]


def save_pictures(
    folder: Path, pipe: LFDMPipeline, people: list[Person], labels: Sequence[str], clips: torch.Tensor, count: int
) -> list[str]:
    """Sheets of `count` people: every label over time beside the real clip; every apex; and re-enactments."""
    folder.mkdir(parents=True, exist_ok=True)
    by_person = clips.unflatten(0, (len(people), len(labels)))
    shown = spread(range(len(people)), count)
    num_frames = clips.shape[1]
    times = spread(range(num_frames), 8)
    sheets = {}
    for i in shown:
        rows, titles = [], []
        for j, label in enumerate(labels):
            rows += [tiles(by_person[i, j, times]), tiles(people[i].frames[j, times])]
            titles += [label, "(real)"]
        columns = [f"frame {time}" for time in times]
        sheets[f"person-{people[i].subject:04d}.png"] = contact_sheet(rows, columns, tile=96, names=titles)
    apex = num_frames // 2
    rows, titles = [], []
    for i in shown:
        reference = tiles(people[i].frames[0, :1])
        rows += [reference + tiles(by_person[i, :, apex]), reference + tiles(people[i].frames[:, apex])]
        titles += [f"{people[i].subject}", "(real)"]
    sheets["apex.png"] = contact_sheet(rows, ["reference", *labels], tile=96, names=titles)
    driving = torch.stack([people[i].frames[k % len(labels), apex] for k, i in enumerate(shown)]).float() / 255
    reference = torch.stack([people[i].reference for i in shown])
    _, sheets["reconstruction.png"] = evaluate_reconstruction(pipe.lfae, reference, driving, rows=count)
    for name, sheet in sheets.items():
        sheet.save(folder / name)
    return [str(folder / name) for name in sheets]
