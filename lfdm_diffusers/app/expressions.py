"""Expressions that answer at once: the motion of every label of a picture is made once, then mixed and held without denoising."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..data.picture_fitting import FITS
from ..pipelines import Box, LFDMPipeline, Motion
from ..visualization.clip_files import default_fps
from ..visualization.clip_views import clip_views
from .clip_options import SIZE
from .engine import Engine, Upload
from .progress import Progress, quiet
from .turns import in_turn

MOST_KEPT = 16  # pictures whose expressions are kept


class Made(NamedTuple):
    """What was made of a picture.

    Attributes:
        boxes: of its faces, which move; None if the picture does as a whole.
        motions: of each label, one of each face.
    """

    boxes: Sequence[Box] | None
    motions: dict[str, list[Motion]]


class Expressions:
    """The expressions of pictures, and mixtures of them; an engine does the work, in its thread."""

    def __init__(self, engine: Engine):
        self.engine, self._worker = engine, engine._worker
        self._made: dict[str, Made] = {}  # by picture, model and what the face shows already

    @in_turn
    def make(
        self, picture: Upload | None, model: str | None = None, progress: Progress = quiet, away_from: str = ""
    ) -> list[str]:
        """Make the motion of every label of a model for a picture, once, for `mixed`; returns the labels. Guidance leads all other
        labels away from `away_from`, what the face shows already, if it says that.

        Raises:
            ValueError: for bad input, and for a model without labels.
        """
        pipe, tensor = self.engine.pipeline(model), self.engine.usable(picture)
        if not pipe.labels:
            raise ValueError("This model has no list of labels, so there are no expressions to mix.")
        key = self._key(tensor, model, away_from)
        if key not in self._made:
            boxes, steps = self.engine.moving(pipe, tensor), pipe.default_steps()
            shown = self.engine.shown(pipe, tensor, boxes, away_from)
            made: dict[str, list[Motion]] = {}
            for i, label in enumerate(pipe.labels):

                def tick(pipe: LFDMPipeline, step: int, *others: Any, i: int = i, label: str = label) -> dict:
                    progress((i + (step + 1) / steps) / len(pipe.labels or []), label)
                    return {}

                prompts = [label] * len(boxes or [tensor])
                output = pipe(
                    tensor, prompts, subjects=boxes, output_type="stream", generator=torch.Generator().manual_seed(0),
                    callback_on_step_end=tick, **pipe.guidance_away(prompts, shown),
                )  # fmt: skip
                made[label] = [output.motion(number) for number in range(len(boxes or [0]))]
            self._made[key] = Made(boxes, made)
            for old in list(self._made)[:-MOST_KEPT]:
                del self._made[old]
        return list(pipe.labels)

    @in_turn
    def mixed(
        self,
        picture: Upload | None,
        weights: dict[str, float],
        model: str | None = None,
        hold: float = 0.0,
        still: bool = False,
        output_size: str = SIZE,
        away_from: str = "",
    ) -> str:
        """A clip, or with `still` one picture at its fullest, of expressions that `make` has made, without denoising.

        Args:
            weights: how much of each label: 0 is none of it, 1 as generated.
            hold: seconds for which the fullest moment stays.
            away_from: as `make` was told.

        Raises:
            ValueError: for bad input, and where `make` was not asked for first.
        """
        pipe, tensor = self.engine.pipeline(model), self.engine.usable(picture)
        found = self._made.get(self._key(tensor, model, away_from))
        if found is None:
            raise ValueError("Make this picture's expressions first.")
        boxes, motions = found
        fps = default_fps(pipe.unet.config.num_frames)
        if unknown := set(weights) - set(motions):
            raise ValueError(f"There is no expression {', '.join(sorted(unknown))}.")
        asked = {label: weight for label, weight in weights.items() if weight} or {next(iter(motions)): 0.0}
        each = []
        for number in range(len(boxes or [0])):
            parts = [motions[label][number] for label in asked]
            if still:
                parts = [replace(motion, flow=motion.flow[[at]], occlusion=motion.occlusion[[at]])
                         for motion, at in zip(parts, map(Motion.apex, parts))]  # fmt: skip
            each.append(Motion.mixed(parts, list(asked.values())).held(0 if still else round(hold * fps)))
        output = pipe.animate(tensor, each, output_size=output_size, subjects=boxes, output_type="stream")
        files = self.engine.files(pipe, ["mixed"], 0, ["clips"], output_size)
        files.formats = ["png"] if still else ["mp4"]
        files.write_one("mixed", 0, clip_views(output, tensor, FITS[0]), [])
        path = Path(str(files.written[0]["path"]))
        return str(path / "0000.png" if still else path)

    @staticmethod
    def _key(tensor: torch.Tensor, model: str | None, away_from: str) -> str:
        """What tells a picture, a model and what is led away from, from others."""
        return f"{(model or '').strip()} {away_from} {tuple(tensor.shape)} {hashlib.sha256(tensor.numpy().tobytes()).hexdigest()}"
