"""Generates the clips to score: planned first, shared by processes, resumed after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from ..data.chance import draw_generator
from ..data.suffixes import GENERATED_SETTINGS
from ..data.video_writing import write_clip
from ..files.progress import progress_bar
from ..files.reading import read_json, read_text
from ..files.whole import sweep, write_json, write_text
from ..pipelines import ImageToVideoPipeline
from ..pipelines.animating import unjudged
from ..pipelines.checks import NotDenoisedError
from .choices import PLAN
from .video_sets import VideoSet, spread_draws

FORMAT, FPS = "mkv", 8
MOST_NAMED = 5  # clips in an error's message


@dataclass(frozen=True)
class Sampling:
    """How clips are generated; everything but the model, the pictures and the labels.

    Attributes:
        seed: of all noise.
        labels: whether the labels are given to the model; False is the null condition (LFDM, table 4).
        num_inference_steps, guidance_scale, eta: as the pipeline takes them; None where nothing is denoised.
    """

    seed: int = 0
    labels: bool = True
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    eta: float | None = None

    @property
    def arguments(self) -> dict[str, float]:
        """Those of the pipeline's call."""
        values = {name: getattr(self, name) for name in ("num_inference_steps", "guidance_scale", "eta")}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class PlannedClip:
    """One clip to generate: `file_name` from the first frame of the real clip `source`, called `picture`, and noise number `draw`."""

    file_name: str
    label: str
    subject: str
    picture: str
    source: int
    draw: int


def plan_clips(real: VideoSet, count: int) -> list[PlannedClip]:
    """`count` clips, each from the picture and with the label of a real one; with other noise where one comes again."""
    return [
        PlannedClip(
            f"{draw:06d}.mkv", real.labels[source], real.subjects[source], real.clips[source].name, source, draw
        )
        for draw, source in enumerate(spread_draws(count, len(real)))
    ]


def generate_clips(
    pipe: ImageToVideoPipeline,
    real: VideoSet,
    plan: Sequence[PlannedClip],
    sampling: Sampling,
    folder: Path,
    settings: dict,
    batch_size: int = 8,
    progress: bool = True,
) -> float:
    """Generate what is not in `folder` yet, as FFV1 video (lossless, and every frame its own), each process its share.

    Args:
        pipe: with its scheduler and devices as wanted.
        real: whose first frames are the pictures.
        plan: of `plan_clips`.
        sampling: see there.
        folder: gets the clips, `metadata.jsonl` and `settings.json`.
        settings: everything that decides what comes out, such as hashes of the model; a folder with others is refused.
        batch_size: clips at once.
        progress: whether to show a bar.

    Returns:
        Seconds that this call of the main process spent on a clip, NaN if there was nothing to do.

    Raises:
        ValueError: if the folder was begun with other settings; says which differ. If clips came to NaN, says which, when all the
            others are written.
    """
    state = PartialState(cpu=pipe.device.type == "cpu")
    settings = json.loads(json.dumps(settings | {"sampling": asdict(sampling), "num_videos": len(plan)}))
    with state.main_process_first():
        claim_folder(folder, settings, plan)
    missing = [clip for clip in plan if not (folder / clip.file_name).is_file()]
    state.wait_for_everyone()  # all have looked before the first one writes
    mine = missing[state.process_index :: state.num_processes]
    since = time.perf_counter()
    spoilt: list[str] = []

    def made(batch: list[PlannedClip]) -> list[tuple[PlannedClip, np.ndarray]]:
        """Each clip with its frames `(F, H, W, 3)`, without those that come to NaN."""
        if not batch:
            return []
        try:
            with unjudged():
                output = pipe(
                    [real.frames(clip.source)[0] for clip in batch],
                    [clip.label for clip in batch] if sampling.labels else None,
                    num_frames=real.num_frames,
                    **sampling.arguments,
                    generator=[draw_generator(sampling.seed, clip.draw) for clip in batch],
                    output_type="pt",
                    height=real.reader.height,
                    width=real.reader.width,
                )
        except NotDenoisedError as error:
            lost = [batch[row] for row in error.clips]
            spoilt.extend(f"{clip.file_name} ({clip.picture}, label {clip.label!r})" for clip in lost)
            return made([clip for clip in batch if clip not in lost])
        frames = (output.frames.float().cpu() * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()
        return list(zip(batch, frames))

    with progress_bar(
        total=len(plan), initial=len(plan) - len(missing), unit="clip", desc="generating", smoothing=0.05,
        disable=not (progress and state.is_main_process),
    ) as bar:  # fmt: skip
        for first in range(0, len(mine), batch_size):
            batch = mine[first : first + batch_size]
            for clip, frames in made(batch):
                write_clip(folder / clip.file_name, frames, FORMAT, FPS)
            bar.update(len(batch) * state.num_processes if first + batch_size < len(mine) else len(batch))
    seconds = (time.perf_counter() - since) / len(mine) if mine else float("nan")
    spoilt = sorted(gather_object(spoilt))  # all processes end, or none
    if spoilt:
        told = f"{', '.join(spoilt[:MOST_NAMED])}{' and others' if len(spoilt) > MOST_NAMED else ''}"
        raise ValueError(
            f"{len(spoilt)} of {len(plan)} clips came to NaN or infinite numbers: {told}. The others are in {folder}; with another "
            "`dtype`, `scheduler` or `guidance_scale` none may."
        )
    state.wait_for_everyone()
    return seconds


def claim_folder(folder: Path, settings: dict, plan: Sequence[PlannedClip]) -> None:
    """Begin a folder, or make sure that it was begun for the same clips."""
    path, planned = folder / GENERATED_SETTINGS, folder / PLAN
    sweep(folder)  # what a kill in these first moments has left
    rows = (
        {"file_name": clip.file_name, "label": clip.label, "subject": clip.subject, "picture": clip.picture}
        for clip in plan
    )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.is_file():
        before = read_json(path)
        changed = [name for name in sorted({*before, *settings}) if before.get(name) != settings.get(name)]
        if changed:
            told = "; ".join(f"{name} was {before.get(name)!r}, is {settings.get(name)!r}" for name in changed)
            raise ValueError(f"`output` {folder} holds clips made with other settings ({told}). Take another folder.")
        if not planned.is_file():
            write_text(planned, text)
        return
    begun = planned.is_file() and read_text(planned) == text  # killed between the two files
    if folder.is_dir() and {each.name for each in folder.iterdir()} - ({PLAN} if begun else set()):
        raise ValueError(f"`output` {folder} must be empty or hold clips of an earlier evaluation.")
    write_text(planned, text)
    write_json(path, settings, indent=2)
