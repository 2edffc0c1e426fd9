#!/usr/bin/env python
"""How well motion obeys strokes, by several ways of imposing them: the table of docs/motion.md.

    python reproduction/strokes.py
    python reproduction/strokes.py --people 1 --ways all

Toon faces of people whom the model has not seen make an expression. Three places that move most in one frame of the true clip
become strokes, and the model generates the clip from its first frame, its label and them. Distances are in pixels of 64.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from lfdm_diffusers import LFDMPipeline, Stroke
from lfdm_diffusers.data.toon_faces import LABELS, ToonClip, toon_clip
from lfdm_diffusers.embedded import embedded_model
from lfdm_diffusers.files.progress import progress_bar
from lfdm_diffusers.metrics.judge_files import load_judge
from lfdm_diffusers.ops.warp import sampling_grid
from lfdm_diffusers.pipelines.imposing import KnownMotion, NoiseLevel
from lfdm_diffusers.pipelines.windows import Windows

SIZE, FRAMES, STROKES = 64, 16, 3
FIRST_PERSON = 640  # the model was trained on people below 600
APART, MARGIN, RING = 10, 6, (6.4, 20)  # pixels
LARGEST_SPREAD = 2.5  # of motion within 5x5 pixels of a stroke's place: it shall lie in a part, not at the edge of one
COLUMNS = (
    "at the points",
    "around them",
    "whole frame",
    "a frame before and after",
    "whole clip",
    "jump",
    "label",
    "seconds",
)


class Repeated(KnownMotion):
    """Each step's volume is denoised, imposed on, given noise anew, and denoised again (RePaint, arXiv 2201.09865)."""

    def guided(self, predict: Callable, volume: torch.Tensor, level: NoiseLevel, windows: Windows) -> torch.Tensor:
        clean = self.imposed(level.clean(windows(predict, volume), volume))
        return level.signal * clean + level.noise * torch.randn(clean.shape)


class StudiedPipeline(LFDMPipeline):
    """Imposes strokes in the way that `way` names."""

    way = "guided and imposed"

    def _known(self, *given: object) -> KnownMotion | None:
        known = super()._known(*given)
        if known is None or self.way == "guided and imposed":
            return known
        frames = [replace(frame, guides=False) for frame in known.frames]
        if self.way == "imposed on their frame alone":
            frames = [replace(frame, reach=(frame.reach == 1).to(frame.reach)) for frame in frames]
        return (Repeated if self.way == "imposed, each step twice" else KnownMotion)(frames)

    def denoise(self, *given: object) -> torch.Tensor:
        *others, known = given
        if known is not None and self.way == "written in afterwards":
            return known.imposed(super().denoise(*others))
        return super().denoise(*given)


WAYS = (
    "no strokes",
    "written in afterwards",
    "imposed on their frame alone",
    "imposed",
    "imposed, each step twice",
    "guided and imposed",
)


def true_departure(clip: ToonClip) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel has come, `(F, 2, H, W)` in pixels from it to where it comes from, and whether that is seen, `(F, H, W)`."""
    still = sampling_grid(SIZE, SIZE, centers=True).permute(2, 0, 1).numpy()
    flow, visible = zip(*(clip.flow(0, frame) for frame in range(FRAMES)))
    return (np.stack(flow) - still) * SIZE / 2, np.stack(visible).reshape(FRAMES, SIZE, SIZE).astype(bool)


def chosen_places(departure: np.ndarray, visible: np.ndarray) -> tuple[int, list[tuple[int, int]]]:
    """The frame of the middle half that moves most, and the rows and columns of three far-moved places in it."""
    size = np.linalg.norm(departure, axis=1)
    field = torch.from_numpy(departure).float()
    spread = (F.max_pool2d(field, 5, 1, 2) + F.max_pool2d(-field, 5, 1, 2)).norm(dim=1).numpy()
    inner = np.zeros((SIZE, SIZE), dtype=bool)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    worth = np.where(visible & inner & (spread < LARGEST_SPREAD), size, 0)
    frame = FRAMES // 4 + int(worth[FRAMES // 4 : -FRAMES // 4].mean(axis=(1, 2)).argmax())
    left, places = worth[frame].copy(), []
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for _ in range(STROKES):
        row, column = np.unravel_index(left.argmax(), left.shape)
        places.append((int(row), int(column)))
        left[np.hypot(rows - row, columns - column) < APART] = 0
    return frame, places


def measured(
    departure: np.ndarray, truth: np.ndarray, visible: np.ndarray, frame: int, places: list[tuple[int, int]]
) -> list[float]:
    """The first six of `COLUMNS`, of one clip."""
    error = np.linalg.norm(departure - truth, axis=1)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    near = np.min([np.hypot(rows - row, columns - column) for row, column in places], axis=0)
    around = (near > RING[0]) & (near < RING[1]) & visible[frame]
    row, column = np.array(places).T
    steps = [departure[frame + side] - departure[frame + side - 1] for side in (0, 1)]
    return [
        error[frame, row, column].mean(),
        error[frame][around].mean(),
        error[frame][visible[frame]].mean(),
        np.mean([error[frame + side, row, column] for side in (-1, 1)]),
        error[visible].mean(),
        np.mean([np.linalg.norm(step, axis=0)[row, column] for step in steps]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=6, help="each makes all seven expressions (default: 6)")
    parser.add_argument(
        "--ways", choices=("shipped", "all"), default="shipped", help="of imposing strokes (default: shipped)"
    )
    args = parser.parse_args()
    people = range(FIRST_PERSON, FIRST_PERSON + args.people)
    ways = WAYS if args.ways == "all" else (WAYS[0], WAYS[-1])
    pipe = StudiedPipeline.from_pretrained(embedded_model("toon64"))
    pipe.set_progress_bar_config(disable=True)
    judge = load_judge("expression")
    rows: dict[str, list[list[float]]] = {way: [] for way in ("the true clip", *ways)}
    sizes = []
    for person, label in progress_bar([(person, label) for person in people for label in LABELS]):
        clip = toon_clip(0, person, label, num_frames=FRAMES, size=SIZE)
        truth, visible = true_departure(clip)
        frame, places = chosen_places(truth, visible)
        strokes = []
        for row, column in places:
            there = np.array([column + 0.5, row + 0.5])
            here = (there + truth[frame, :, row, column]).clip(0, SIZE)
            strokes.append(Stroke([tuple(map(float, here)), tuple(map(float, there))], frames=frame))
            sizes.append(np.linalg.norm(there - here))
        seen = judge(torch.from_numpy(clip.frames).permute(0, 3, 1, 2)[None] / 255).logits.argmax()
        rows["the true clip"].append([*measured(truth, truth, visible, frame, places), judge.labels[seen] == label, 0])
        for way in ways:
            pipe.way = way
            start = time.perf_counter()
            output = pipe(
                PIL.Image.fromarray(clip.frames[0]),
                label,
                strokes=None if way == "no strokes" else strokes,
                generator=torch.Generator().manual_seed(person),
                output_type="pt",
            )
            seconds = time.perf_counter() - start
            still = output.motion().still
            moved = F.interpolate(output.flow[0] - still, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
            seen = judge(output.frames).logits.argmax()
            numbers = measured(moved.numpy() * SIZE / 2, truth, visible, frame, places)
            rows[way].append([*numbers, judge.labels[seen] == label, seconds])
    print(f"{len(sizes) // STROKES} clips, strokes of {np.mean(sizes):.2f} pixels on average\n")
    print("| way | " + " | ".join(COLUMNS) + " |\n| --- |" + " ---: |" * len(COLUMNS))
    for way, numbers in rows.items():
        *means, label, seconds = np.mean(numbers, axis=0)
        print(f"| {way} | " + " | ".join(f"{number:.2f}" for number in means) + f" | {label:.3f} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
