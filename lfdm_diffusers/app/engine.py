"""The app without its page: it loads models by name, does one piece of work at a time, and writes files to its own folder."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from ..data.clips import Clip, iterate_frames
from ..data.picture_fitting import FITS, to_tensors
from ..data.picture_reading import bounded_picture
from ..data.rates import frame_rate
from ..embedded import DRAWN_MODEL, embedded_model, embedded_models
from ..pipelines import Box, LFDMPipeline, LFDMPipelineOutput, Motion, Stroke, find_subjects
from ..pipelines.driving import face_of_clip
from ..pipelines.loading import load_pipeline
from ..schedulers import scheduler_by_name
from ..visualization.clip_files import PictureFiles, default_fps, default_scale, file_name, kept_rate
from ..visualization.clip_views import ClipViews, clip_views
from .clip_options import MOST_DRAWN, MOST_FRAMES, MOST_STEPS, SIZE, ClipOptions, require_short
from .progress import Progress, part_of, quiet
from .turns import in_turn

MOST_PIXELS = 8_500_000  # of a picture in a clip of its own size; a larger one is halved until it has no more
KEPT = 3600  # seconds that files are kept; a page has copied them long before

# What takes so much of a clip's time, about; the rest decodes, draws and writes it.
SAMPLED, FOUND = 0.3, 0.4
DRAWN = 0.55  # when frames begin to be drawn

Upload = str | Path | PIL.Image.Image


@dataclass(frozen=True)
class Made:
    """Files of one clip.

    Attributes:
        clip: mp4.
        views: mp4 of reference | output | warped | flow | occlusion.
        sheet: the same as a still PNG, with keys to its colours.
        downloads: files to download: mp4, GIF, and the motion (of each subject) as safetensors.
    """

    clip: str
    views: str
    sheet: str
    downloads: list[str]


class Engine:
    """Loads models and makes clips with them. Threads may call its methods at once; calls run one after the other.

    Args:
        model: folder or Hub id of the pipeline to begin with; by default the package's `people128`, with `toon64` beside it.
        device, dtype: of all pipelines.
        may_load: whether `pipeline` may load models other than the first.
        models: the only ones it may load. None allows any; use that only where every user may run code on the machine.

    Attributes:
        both: whether both of the package's models are at hand, as they are by default, whatever else may be loaded.

    Raises:
        ValueError: if the model cannot be loaded.
    """

    def __init__(
        self,
        model: str | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        may_load: bool = True,
        models: Sequence[str] | None = None,
    ):
        self.models = None if models is None else [str(name) for name in models]
        self.both = model is None and DRAWN_MODEL in embedded_models()
        may_load = may_load and self.models != []
        self.model, self.device, self.dtype, self.may_load = str(model or embedded_model()), device, dtype, may_load
        self._pipelines: dict[str, LFDMPipeline] = {}
        # A thread, and two locks: a picture can be framed, and the page shown, while another visitor's clip is sampled; but one
        # picture is read at a time, whoever sent it, since a large one takes memory until it is reduced.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lfdm")
        self._loading, self._reading = threading.RLock(), threading.RLock()
        # Visitors whose work is being done, and those who want it to end.
        self.working: set[str | None] = set()
        self.stopped: set[str | None] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="lfdm-")  # goes with the engine
        self.pipeline()

    def pipeline(self, model: str | None = None) -> LFDMPipeline:
        """The pipeline of a folder or Hub id ("" is the first one), loaded if it is not at hand.

        Raises:
            ValueError: if it cannot be loaded, or may not be.
        """
        require_short(model)
        name = (model or "").strip() or self.model
        own = name == self.model or (self.both and name == DRAWN_MODEL)
        if not own and not self.may_load:
            raise ValueError("This app stays with the model that it was started with.")
        if not own and self.models is not None and name not in self.models:
            raise ValueError(f"This app loads {', '.join(self.models)}, and no other model.")
        with self._loading:
            if name not in self._pipelines:
                self._pipelines[name] = load_pipeline(name, self.device, self.dtype)
            for other in [each for each in self._pipelines if each not in (self.model, name)]:
                del self._pipelines[other]  # two in memory, the first and the latest
            return self._pipelines[name]

    def usable(self, picture: Upload | None) -> torch.Tensor:
        """The picture as clips of its own size have it, `(3, H, W)` in [0, 1], or `(4, H, W)` with alpha.

        One of more than `MOST_PIXELS` is halved until it has no more.

        Raises:
            ValueError: if there is none, or it cannot be used.
        """
        if picture is None:
            raise ValueError("Choose a picture first.")
        with self._reading:
            (tensor,) = to_tensors(bounded_picture(picture, MOST_PIXELS))
        return tensor

    def faces(self, picture: Upload | None, model: str | None = None) -> list[Box]:
        """Boxes around the faces in a picture, as the model frames them.

        Raises:
            ValueError: if there is none, or no picture, or the detector is not installed.
        """
        boxes = find_subjects(self.usable(picture), self.pipeline(model).config.get("face_frame"))
        if not boxes:
            raise ValueError(
                "No face was found; write boxes into the table, or leave it empty to frame the picture whole."
            )
        return boxes

    def generate(
        self,
        picture: Upload | None,
        label: str | None,
        model: str | None = None,
        fit: str = FITS[0],
        progress: Progress = quiet,
        **options: Any,
    ) -> Made:
        """One clip of a picture and a label (or a text).

        Args:
            options: those of `ClipOptions`.

        Raises:
            ValueError: for bad input.
        """
        pipe, asked = self.pipeline(model), ClipOptions(**options)
        require_short(label, *(own for _, own in asked.subjects))
        table = pipe.label_embeddings
        if table is not None and pipe.text_encoder is None:  # looked for before anybody else has to wait
            names: dict[str | None, str | None] = {text: table.own_label(text) for text in asked.labels(label) if text}
            label = names.get(label, label)
            asked = replace(asked, subjects=[(box, names.get(own, own)) for box, own in asked.subjects])
        return self._generated(picture, label, pipe, asked, fit, progress)

    @in_turn
    def all_labels(
        self,
        picture: Upload | None,
        model: str | None = None,
        fit: str = FITS[0],
        progress: Progress = quiet,
        **options: Any,
    ) -> tuple[str, list[str]]:
        """All labels of a model side by side as mp4; downloads are the mp4, a GIF, and a zip of all clips and motions.

        Args:
            options: those of `ClipOptions`.

        Raises:
            ValueError: for bad input, and for a model without labels.
        """
        pipe, asked = self.pipeline(model), ClipOptions(**options)
        if not pipe.labels:
            raise ValueError("This model has no list of labels: write a text instead.")
        tensor = self.usable(picture)
        asked = self._foreseen(pipe, tensor, asked)
        make = self._sampler(pipe, asked, fit)
        clips: dict[str | None, ClipViews] = {}
        size = "picture" if asked.subjects else asked.output_size
        files = self.files(pipe, pipe.labels, asked.seed, ["clips", "grid", "motion"], size, subjects=asked.subjects)
        for i, label in enumerate(pipe.labels):  # written one after the other: they may be large
            each = part_of(progress, i / len(pipe.labels), (i + 1) / len(pipe.labels))
            views = clip_views(make(tensor, label, part_of(each, 0, SAMPLED)), tensor, fit)
            facts = _facts(asked.labels(label), asked.seed)
            files.write_one(label, asked.seed, views, facts, part_of(each, DRAWN, 1))
            clips[label] = views.beside()
        files.write_all(asked.seed, clips)
        mp4, gif = (str(file["path"]) for file in files.written if file["kind"] == "grid")
        packed = files.folder / "all-labels.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            for file in files.written:
                if file["kind"] == "clips" or file["path"].endswith(".safetensors"):
                    archive.write(file["path"], Path(file["path"]).relative_to(files.folder))
        return mp4, [mp4, gif, str(packed)]

    @in_turn
    def transfer(
        self,
        picture: Upload | None,
        driving: str | None,
        relative: bool = True,
        model: str | None = None,
        motion_scale: float = 1.0,
        loop: str | None = None,
        fit: str = FITS[0],
        progress: Progress = quiet,
        output_size: str = SIZE,
    ) -> Made:
        """Move a picture as a clip moves.

        Args:
            driving: file of the clip; of its frames at most `MOST_FRAMES` are read.

        Raises:
            ValueError: for bad input.
        """
        if driving is None:
            raise ValueError("Choose a driving clip first.")
        pipe = self.pipeline(model)
        tensor = self.usable(picture)

        def read() -> Iterator[np.ndarray]:
            for number, frame in enumerate(itertools.islice(iterate_frames(Clip(Path(driving))), MOST_FRAMES)):
                progress(0, f"reading frame {number + 1} of the clip")
                yield frame

        def found(done: int, total: int) -> None:
            progress(FOUND * done / total, "finding the motion of the clip")

        frames, face = face_of_clip(read(), pipe.outlook)
        boxes = self.moving(pipe, tensor, output_size)
        motion = pipe.transfer(
            tensor, frames, relative, fit, subjects=boxes, driving_subject=face, callback_on_frames_end=found
        )
        output = pipe.animate(tensor, motion, subjects=boxes, **self._shown(fit, output_size, motion_scale, loop))
        rate = frame_rate(Path(driving))
        files = self.files(pipe, ["transfer"], 0, ["clips", "motion"], output_size, rate, boxes)
        return self._made(files, tensor, fit, "transfer", output, 0, part_of(progress, DRAWN, 1))

    @in_turn
    def animate(
        self,
        picture: Upload | None,
        motion: str | None,
        model: str | None = None,
        motion_scale: float = 1.0,
        loop: str | None = None,
        fit: str = FITS[0],
        output_size: str = SIZE,
        progress: Progress = quiet,
    ) -> Made:
        """Move a picture by a motion saved as safetensors.

        Raises:
            ValueError: for bad input.
        """
        if motion is None:
            raise ValueError("Choose a motion file first.")
        pipe = self.pipeline(model)
        tensor, loaded = self.usable(picture), Motion.load(motion)
        if len(loaded) > MOST_FRAMES:
            raise ValueError(f"The motion has {len(loaded)} frames; at most {MOST_FRAMES} are taken.")
        boxes = self.moving(pipe, tensor, output_size)
        options = self._shown(fit, output_size, motion_scale, loop)
        output = pipe.animate(tensor, [loaded] * len(boxes or [0]), subjects=boxes, **options)
        files = self.files(pipe, ["animated"], 0, ["clips", "motion"], output_size, kept_rate(loaded.about), boxes)
        return self._made(files, tensor, fit, "animated", output, 0, progress)

    # ---- parts ------------------------------------------------------------------------------------------------------

    @in_turn
    def _generated(
        self,
        picture: Upload | None,
        label: str | None,
        pipe: LFDMPipeline,
        asked: ClipOptions,
        fit: str,
        progress: Progress,
    ) -> Made:
        tensor = self.usable(picture)
        asked = self._foreseen(pipe, tensor, asked)
        make = self._sampler(pipe, asked, fit)
        size = "picture" if asked.subjects else asked.output_size
        files = self.files(pipe, [label or "clip"], asked.seed, ["clips", "motion"], size, subjects=asked.subjects)
        labels = asked.labels(label)
        output, drawing = make(tensor, label, part_of(progress, 0, SAMPLED)), part_of(progress, DRAWN, 1)
        return self._made(files, tensor, fit, label or "clip", output, asked.seed, drawing, labels)

    @staticmethod
    def moving(
        pipe: LFDMPipeline, tensor: torch.Tensor, output_size: str = SIZE, strokes: Sequence[Stroke] = ()
    ) -> list[Box] | None:
        """What moves in a picture where nobody said it: faces, if the model finds some, and strokes stay in them; None is the whole picture.

        Faces count from the left, and at most `MOST_DRAWN` of them.
        """
        found = None if output_size != "picture" else pipe.outlook(tensor, strokes=strokes).subjects
        return found[:MOST_DRAWN] if found else None

    def _foreseen(self, pipe: LFDMPipeline, tensor: torch.Tensor, asked: ClipOptions) -> ClipOptions:
        """With the faces that the model finds as subjects, where nobody said what moves."""
        if asked.subjects:
            return asked
        found = self.moving(pipe, tensor, asked.output_size, asked.strokes)
        return replace(asked, subjects=[(box, None) for box in found or []])

    def _sampler(
        self, pipe: LFDMPipeline, asked: ClipOptions, fit: str
    ) -> Callable[[torch.Tensor, str | None, Progress], LFDMPipelineOutput]:
        """A function that samples a clip; the checks are done before the first one."""
        steps = int(pipe.steps_of(asked.steps or None))
        for name, value, most in (("steps", steps, MOST_STEPS), ("frames", asked.num_frames or 1, MOST_FRAMES)):
            if not 1 <= value <= most:
                raise ValueError(f"{name} must be from 1 to {most}, got {value}.")
        if asked.scheduler:  # a pipeline of its own, so that nobody else's changes
            pipe = pipe.with_scheduler(scheduler_by_name(asked.scheduler, pipe.scheduler))

        def sample(tensor: torch.Tensor, label: str | None, progress: Progress) -> LFDMPipelineOutput:
            def tick(pipe: LFDMPipeline, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
                total = len(pipe.scheduler.timesteps)
                progress((step + 1) / total, f"{label or 'denoising'}, step {step + 1} of {total}")
                return {}

            progress(0, label or "denoising")
            prompts: Any = asked.labels(label)
            boxes = [box for box, _ in asked.subjects] or None
            if asked.away_from is None and asked.guidance_scale is None:
                shown = pipe.labels_shown(tensor, boxes, fit)
            else:
                shown = self.shown(pipe, tensor, boxes, asked.away_from, fit)
            return pipe(
                tensor,
                None if None in prompts else prompts,
                num_frames=asked.num_frames,
                num_inference_steps=steps,
                **pipe.guidance_away(prompts, shown, asked.guidance_scale),
                generator=torch.Generator().manual_seed(asked.seed),
                motion_mask=None if asked.mask is None else asked.mask.resize((tensor.shape[-1], tensor.shape[-2])),
                subjects=boxes,
                strokes=list(asked.strokes) or None,
                **self._shown(fit, asked.output_size, asked.motion_scale, asked.loop),
                callback_on_step_end=tick,
            )

        return sample

    @staticmethod
    def shown(
        pipe: LFDMPipeline,
        tensor: torch.Tensor,
        boxes: Sequence[Box] | None,
        label: str | None,
        fit: str | None = None,
    ) -> list[str | None]:
        """What each of several faces shows already, where somebody says that it is `label`: that, of those in which the model sees it;
        of all, if it sees it in none."""
        if label not in (pipe.labels or []):
            return [None] * len(boxes or [tensor])
        seen = pipe.labels_shown(tensor, boxes, fit)
        return [label if found == label or label not in seen else None for found in seen]

    @staticmethod
    def _shown(fit: str, output_size: str, motion_scale: float, loop: str | bool | None) -> dict[str, Any]:
        """Arguments of the pipeline about what becomes of a motion."""
        return {
            "image_fit": fit,
            "output_size": output_size,
            "motion_scale": motion_scale,
            "loop": loop or None,
            "output_type": "stream",
        }

    def files(
        self,
        pipe: LFDMPipeline,
        names: list[str],
        seed: int,
        kinds: list[str],
        output_size: str,
        rate: float | None = None,
        subjects: Sequence[Any] | None = None,
    ) -> PictureFiles:
        """Files to be written to a new folder; old ones are deleted. Each of several `subjects` has a motion of its own."""
        for folder in Path(self._folder.name).iterdir():
            if time.time() - folder.stat().st_mtime > KEPT:
                shutil.rmtree(folder, ignore_errors=True)
        taken = {"grid", "motion"}
        return PictureFiles(
            folder=Path(tempfile.mkdtemp(dir=self._folder.name)),
            names={seed: {name: file_name(name, taken) for name in names}},
            kinds=kinds,
            formats=["mp4", "gif"],
            fps=default_fps(pipe.unet.config.num_frames, rate),
            scale=default_scale(pipe.lfae.config.sample_size) if output_size == "model" else 1,
            subjects=max(1, len(subjects or ())),
        )

    @staticmethod
    def _made(
        files: PictureFiles,
        tensor: torch.Tensor,
        fit: str,
        name: str,
        output: LFDMPipelineOutput,
        seed: int,
        progress: Progress,
        labels: Sequence[str | None] | None = None,
    ) -> Made:
        files.write_one(name, seed, clip_views(output, tensor, fit), _facts(labels or [name], seed), progress)
        found: dict[tuple[str, str], list[str]] = {}
        for file in files.written:
            found.setdefault((file["kind"], Path(file["path"]).suffix), []).append(str(file["path"]))
        (clip,), (gif,), kept = found["clips", ".mp4"], found["clips", ".gif"], found["motion", ".safetensors"]
        return Made(clip, found["motion", ".mp4"][0], found["motion", ".png"][0], [clip, gif, *kept])


def _facts(labels: Sequence[str | None], seed: int) -> list[dict[str, object]]:
    """What the files of motion say about themselves, one for each label."""
    return [{"label": label, "seed": seed} for label in labels]
