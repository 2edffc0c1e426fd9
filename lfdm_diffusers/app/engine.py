"""What the app does, without a page: models by name, one piece of work at a time, files in a folder of their own."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from ..clip_command import SECONDS, as_uint8
from ..command_tools import load_pipeline
from ..data.clips import Clip, iterate_frames
from ..embedded import embedded_model
from ..generated_files import PictureFiles, default_scale, file_name
from ..pipelines import LFDMPipeline, LFDMPipelineOutput, Motion
from ..pipelines.motion import Mask
from ..pipelines.picture_fitting import fit_picture, to_rgb_tensors
from ..schedulers import scheduler_by_name
from ..visualization import enlarge

MOST_STEPS = 1000
MOST_FRAMES = 160
MOST_PIXELS = 50_000_000  # of a picture that is read

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Made:
    """Files of one clip.

    Attributes:
        clip: mp4.
        views: mp4 of reference | output | warped | flow | occlusion.
        sheet: the same as a still PNG, with keys to its colours.
        downloads: everything to take home: mp4, GIF, and the motion as safetensors.
    """

    clip: str
    views: str
    sheet: str
    downloads: list[str]


class Engine:
    """Models, and what is made with them. Its methods may be called from many threads; they wait for each other.

    Args:
        model: folder or Hub id of the pipeline to begin with; the one that comes with the package by default.
        device, dtype: of all pipelines.
        may_load: whether `pipeline` takes other models than the first.

    Raises:
        ValueError: if the model cannot be loaded.
    """

    def __init__(
        self,
        model: str | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        may_load: bool = True,
    ):
        self.model, self.device, self.dtype, self.may_load = str(model or embedded_model()), device, dtype, may_load
        self._pipelines: dict[str, LFDMPipeline] = {}
        self._lock = threading.RLock()
        self.pipeline()

    def pipeline(self, model: str | None = None) -> LFDMPipeline:
        """The pipeline of a folder or Hub id ("" is the first one), loaded if it is not at hand.

        Raises:
            ValueError: if it cannot be loaded, or may not be.
        """
        name = (model or "").strip() or self.model
        if name != self.model and not self.may_load:
            raise ValueError("This app stays with the model that it was started with.")
        with self._lock:
            if name not in self._pipelines:
                self._pipelines[name] = load_pipeline(name, self.device, self.dtype)
            for other in [each for each in self._pipelines if each not in (self.model, name)]:
                del self._pipelines[other]  # two in memory, the first and the latest
            return self._pipelines[name]

    def side(self, model: str | None = None) -> int:
        """Pixels of a side of the model's pictures."""
        return self.pipeline(model).lfae.config.sample_size or 128

    def framed(self, picture: PIL.Image.Image, fit: str, model: str | None = None) -> PIL.Image.Image:
        """The picture as the model will see it, enlarged to be looked at.

        Raises:
            ValueError: if it is too large, or cannot be used.
        """
        pixels = as_uint8(self._fitted(picture, fit, self.pipeline(model)).permute(1, 2, 0).numpy())
        return PIL.Image.fromarray(enlarge(pixels, default_scale(self.side(model)) * 2))

    def generate(
        self,
        picture: PIL.Image.Image | None,
        label: str | None,
        model: str | None = None,
        scheduler: str | None = None,
        steps: int | None = None,
        seed: int = 0,
        guidance_scale: float = 1.0,
        motion_scale: float = 1.0,
        loop: str | None = None,
        mask: Mask | None = None,
        fit: str = "letterbox",
        num_frames: int | None = None,
        progress: Progress = lambda share, what: None,
    ) -> Made:
        """One clip of a picture and a label (or a text); arguments as the pipeline's.

        Raises:
            ValueError: for bad input.
        """
        make = self._sampler(
            model, scheduler, steps, seed, guidance_scale, motion_scale, loop, mask, num_frames, progress
        )
        with self._lock:
            tensor = self._fitted(picture, fit, self.pipeline(model))
            return self._made(self.pipeline(model), tensor, label or "clip", make(tensor, label, 0, 1), seed)

    def all_labels(
        self,
        picture: PIL.Image.Image | None,
        model: str | None = None,
        scheduler: str | None = None,
        steps: int | None = None,
        seed: int = 0,
        guidance_scale: float = 1.0,
        motion_scale: float = 1.0,
        loop: str | None = None,
        mask: Mask | None = None,
        fit: str = "letterbox",
        num_frames: int | None = None,
        progress: Progress = lambda share, what: None,
    ) -> tuple[str, list[str]]:
        """All labels of a model side by side: the grid as mp4, and it and all clips to take home.

        Raises:
            ValueError: for bad input, and for a model without labels.
        """
        make = self._sampler(
            model, scheduler, steps, seed, guidance_scale, motion_scale, loop, mask, num_frames, progress
        )
        with self._lock:
            pipe = self.pipeline(model)
            if not pipe.labels:
                raise ValueError("This model has no list of labels: write a text instead.")
            tensor = self._fitted(picture, fit, pipe)
            outputs = {label: make(tensor, label, i, len(pipe.labels)) for i, label in enumerate(pipe.labels)}
            files = self._files(pipe, list(outputs), seed, ["clips", "grid", "motion"])
            self._write(files, tensor, outputs, seed)
            downloads = [str(file["path"]) for file in files.written if file["kind"] != "motion"]
            return downloads[-2], downloads

    def transfer(
        self,
        picture: PIL.Image.Image | None,
        driving: str | None,
        relative: bool = True,
        model: str | None = None,
        motion_scale: float = 1.0,
        loop: str | None = None,
        fit: str = "letterbox",
        progress: Progress = lambda share, what: None,
    ) -> Made:
        """A picture that moves as a clip does.

        Args:
            driving: file of the clip; of its frames at most `MOST_FRAMES` are read.

        Raises:
            ValueError: for bad input.
        """
        if driving is None:
            raise ValueError("Choose a driving clip first.")
        with self._lock:
            pipe = self.pipeline(model)
            tensor = self._fitted(picture, fit, pipe)
            progress(0.1, "reading the clip")
            frames = []
            for frame in iterate_frames(Clip(Path(driving))):
                frames.append(fit_picture(*to_rgb_tensors(frame), *tensor.shape[1:], fit))
                if len(frames) == MOST_FRAMES:
                    break
            progress(0.3, "finding its motion")
            motion = pipe.transfer(tensor, torch.stack(frames), relative=relative).edited(motion_scale, None, loop)
            progress(0.7, "animating the picture")
            return self._animated(pipe, tensor, motion, "transfer", _frames_per_second(Path(driving)))

    def animate(
        self, picture: PIL.Image.Image | None, motion: str | None, model: str | None = None, fit: str = "letterbox"
    ) -> Made:
        """A picture with a motion that was kept as safetensors.

        Raises:
            ValueError: for bad input.
        """
        if motion is None:
            raise ValueError("Choose a motion file first.")
        with self._lock:
            pipe = self.pipeline(model)
            return self._animated(pipe, self._fitted(picture, fit, pipe), Motion.load(motion), "animated")

    # ---- parts ------------------------------------------------------------------------------------------------------

    def _sampler(
        self,
        model: str | None,
        scheduler: str | None,
        steps: int | None,
        seed: int,
        guidance_scale: float,
        motion_scale: float,
        loop: str | None,
        mask: Mask | None,
        num_frames: int | None,
        progress: Progress,
    ) -> Callable[[torch.Tensor, str | None, int, int], LFDMPipelineOutput]:
        """A function that samples clip `i` of `count`; the checks are done before the first one."""
        pipe = self.pipeline(model)
        if scheduler:  # a pipeline of its own, so that nobody else's changes
            parts = pipe.components | {"scheduler": scheduler_by_name(scheduler, pipe.scheduler)}
            steps = steps or pipe.default_steps()
            pipe = LFDMPipeline(**parts)
            pipe.set_progress_bar_config(disable=True)
        steps = pipe.default_steps() if not steps else int(steps)
        for name, value, most in (("steps", steps, MOST_STEPS), ("frames", num_frames or 1, MOST_FRAMES)):
            if not 1 <= value <= most:
                raise ValueError(f"{name} must be from 1 to {most}, got {value}.")

        def sample(tensor: torch.Tensor, label: str | None, i: int, count: int) -> LFDMPipelineOutput:
            def tick(pipe: LFDMPipeline, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
                total = len(pipe.scheduler.timesteps) + 1
                progress((i + (step + 1) / total) / count, f"{label or 'denoising'}, step {step + 1} of {total - 1}")
                return {}

            progress(i / count, label or "denoising")
            return pipe(
                tensor,
                label or None,
                num_frames=num_frames,
                num_inference_steps=steps,
                guidance_scale=guidance_scale,
                generator=torch.Generator().manual_seed(int(seed)),
                motion_scale=motion_scale,
                motion_mask=mask,
                loop=loop or None,
                output_type="np",
                callback_on_step_end=tick,
            )

        return sample

    def _fitted(self, picture: PIL.Image.Image | None, fit: str, pipe: LFDMPipeline) -> torch.Tensor:
        """`(3, H, W)` in [0, 1] of the model's size."""
        if picture is None:
            raise ValueError("Choose a picture first.")
        if picture.width * picture.height > MOST_PIXELS:
            raise ValueError(
                f"The picture has {picture.width}x{picture.height} pixels; at most {MOST_PIXELS // 10**6} million are taken."
            )
        (tensor,) = to_rgb_tensors(picture)
        return fit_picture(tensor, *pipe.frame_size([tensor]), fit)

    def _animated(
        self, pipe: LFDMPipeline, tensor: torch.Tensor, motion: Motion, name: str, fps: int | None = None
    ) -> Made:
        return self._made(pipe, tensor, name, pipe.animate(tensor, motion, output_type="np"), 0, fps)

    def _files(
        self, pipe: LFDMPipeline, names: list[str], seed: int, kinds: list[str], fps: int | None = None
    ) -> PictureFiles:
        """Files in a new folder."""
        taken = {"grid", "motion"}
        return PictureFiles(
            folder=Path(tempfile.mkdtemp(prefix="lfdm-")),
            names={seed: {name: file_name(name, taken) for name in names}},
            kinds=kinds,
            formats=["mp4", "gif"],
            fps=fps or max(1, round(pipe.unet.config.num_frames / SECONDS)),
            scale=default_scale(pipe.lfae.config.sample_size or 128),
        )

    @staticmethod
    def _write(files: PictureFiles, tensor: torch.Tensor, outputs: dict[str, LFDMPipelineOutput], seed: int) -> None:
        reference, clips = as_uint8(tensor.permute(1, 2, 0).numpy()), {}
        for name, output in outputs.items():
            clips[name], motion = as_uint8(output.frames[0]), output.motion()
            maps = motion.flow.cpu(), motion.occlusion.cpu()
            files.write_one(
                name, seed, reference, clips[name], as_uint8(output.warped[0]), *maps, {"label": name, "seed": seed}
            )
        files.write_all(seed, reference, clips)

    def _made(
        self,
        pipe: LFDMPipeline,
        tensor: torch.Tensor,
        name: str,
        output: LFDMPipelineOutput,
        seed: int,
        fps: int | None = None,
    ) -> Made:
        files = self._files(pipe, [name], seed, ["clips", "motion"], fps)
        self._write(files, tensor, {name: output}, seed)
        found = {(file["kind"], Path(file["path"]).suffix): str(file["path"]) for file in files.written}
        clip, gif, kept = found["clips", ".mp4"], found["clips", ".gif"], found["motion", ".safetensors"]
        return Made(clip, found["motion", ".mp4"], found["motion", ".png"], [clip, gif, kept])


def painted_mask(layers: Sequence[np.ndarray]) -> PIL.Image.Image | None:
    """What was painted on a picture, white where it was; None if nothing was.

    Args:
        layers: `(H, W, 4)` uint8 each.
    """
    painted = [layer[..., 3] for layer in layers if layer is not None and layer.ndim == 3]
    alpha = np.max(painted, axis=0).astype(np.float32) if painted else np.zeros(1)
    return PIL.Image.fromarray(np.uint8(alpha * (255 / alpha.max()))) if alpha.any() else None


def _frames_per_second(path: Path) -> int | None:
    """Of a video file, at most 50; None where it is not known."""
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            rate = container.streams.video[0].average_rate
            return min(50, max(1, round(rate))) if rate else None
    except (av.FFmpegError, IndexError):
        return None
