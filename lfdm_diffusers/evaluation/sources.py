"""Sources of the clips to score: a model, its auto-encoder, changed real clips, or a folder of clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from diffusers import ModelMixin

from ..data.clips import Clip, iterate_frames
from ..data.labels import normalized_label
from ..data.layouts import find_clips
from ..data.named_sets import NamedSet
from ..files.fingerprints import configurations_sha256, weights_sha256
from ..pipelines import ImageToVideoPipeline, LFDMPipeline
from ..pipelines.video_diffusion import VideoDiffusionPipeline
from ..schedulers import scheduler_by_name
from .anchors import Change, anchor, write_changed
from .choices import ANCHORS
from .generation import PlannedClip, Sampling, generate_clips, plan_clips
from .reconstruction import has_autoencoder, reconstruct
from .video_sets import VideoSet, find_generated_clips

Settings = dict[str, Any]
OF_DENOISING = "`scheduler`, `steps`, `guidance_scale` and `eta`"


def kind_of(source: str | Path | None) -> str:
    """What a source is: "anchor", "clips" or "model"."""
    if source is None:
        return "model"
    if str(source) in ANCHORS:
        return "anchor"
    path = Path(source)
    if path.is_dir() and not any((path / name).is_file() for name in ("model_index.json", "config.json")):
        return "clips"
    return "model"


class ClipSource(ABC):
    """One clip for each real one, or as many as are asked for, all of one size and length.

    Attributes:
        num_frames, height, width: of its clips.
        sampling: how a model samples, else None.
        model_sha256: of a model's networks by their names, else empty.
    """

    sampling: Sampling | None = None

    def __init__(self, num_frames: int, height: int, width: int):
        self.num_frames, self.height, self.width = num_frames, height, width
        self.model_sha256: dict[str, str] = {}

    @abstractmethod
    def clips_for(self, real: VideoSet, count: int, folder: Path) -> tuple[VideoSet, float | None]:
        """`count` clips from the pictures of `real`, in `folder`, and seconds for each if a model made them just now."""

    def settings(self, real: VideoSet) -> Settings:
        """What decides the clips, whichever source it is; a folder that was begun for others is refused."""
        return {"data": real.fingerprint, "height": self.height, "width": self.width, "frames": self.num_frames}

    def found(self, folder: Path, allow_lossy: bool = False) -> VideoSet:
        return find_generated_clips(folder, self.height, self.width, self.num_frames, allow_lossy)

    def write_real_changed(
        self, change: Change, about: Settings, real: VideoSet, count: int, folder: Path
    ) -> tuple[VideoSet, None]:
        """`clips_for` of real clips that were changed; `about` says all that `change` depends on."""
        state = PartialState()
        if state.is_main_process:
            write_changed(change, real, plan_clips(real, count), folder, self.settings(real) | about)
        state.wait_for_everyone()
        return self.found(folder), None


class ClipFolder(ClipSource):
    """Clips that something else has made before."""

    def __init__(self, folder: Path, allow_lossy: bool):
        clips = find_clips(folder)
        super().__init__(*size_of(clips[0]))
        self.folder, self.allow_lossy, self.count = folder, allow_lossy, len(clips)

    def clips_for(self, real: VideoSet, count: int, folder: Path) -> tuple[VideoSet, None]:
        return self.found(self.folder, self.allow_lossy), None


class Anchor(ClipSource):
    """Real clips whose first frame is repeated ("static"), or whose frames are out of order ("shuffled").

    Args:
        like: the model beside which they are scored, whose size and length they get; None: those of the first real clip.
    """

    def __init__(
        self,
        kind: str,
        seed: int,
        data: Path | NamedSet,
        layout: str,
        split: str | None,
        like: ImageToVideoPipeline | None = None,
    ):
        if like is None:
            found = find_clips(data, layout, name="data")
            clips = [clip for clip in found if split is None or clip.split == split] or found
            super().__init__(*size_of(clips[0]))
        else:
            super().__init__(*size_of_model(like))
        self.kind, self.seed = kind, seed

    def clips_for(self, real: VideoSet, count: int, folder: Path) -> tuple[VideoSet, None]:
        about = {"anchor": self.kind, "seed": self.seed}
        return self.write_real_changed(anchor(self.kind, self.seed), about, real, count, folder)


class Model(ClipSource):
    """What the two sources that are models share.

    Attributes:
        pipe: the pipeline, on its device.
    """

    def __init__(self, pipe: ImageToVideoPipeline, name: object):
        super().__init__(*size_of_model(pipe, name))
        self.pipe, self.name = pipe, name
        networks = {name: part for name, part in pipe.components.items() if isinstance(part, ModelMixin)}
        networks.pop("label_embeddings", None)
        self.model_sha256 = {name: weights_sha256(network) for name, network in networks.items()}

    def configurations_sha256(self) -> str:
        """Of the networks and the scheduler: the same weights make other clips by other settings."""
        parts = sorted(self.pipe.components.items())
        return configurations_sha256(
            part.config for name, part in parts if name in self.model_sha256 or (name == "scheduler" and part)
        )

    def require(self, metrics: list[str]) -> None:
        """Refuse scores that the model has no parts for.

        Raises:
            ValueError: naming the score, and the kind of pipeline.
        """
        if "l1" in metrics and not has_autoencoder(self.pipe):
            raise ValueError(f"`metrics` l1 needs an auto-encoder, which {type(self.pipe).__name__} has not.")
        for name in ("epe", "occlusion"):
            if name in metrics and not isinstance(self.pipe, LFDMPipeline):
                raise ValueError(
                    f"`metrics` {name} needs a latent flow auto-encoder, which {type(self.pipe).__name__} has not."
                )


class Generator(Model):
    """A model that generates from the first frames of real clips, and with their labels."""

    sampling: Sampling

    def __init__(
        self,
        pipe: ImageToVideoPipeline,
        name: object,
        *,
        dtype: str,
        batch_size: int,
        seed: int,
        labels: bool,
        scheduler: str | None,
        steps: int | None,
        guidance_scale: float | None,
        eta: float,
    ):
        super().__init__(pipe, name)
        self.dtype, self.batch_size = dtype, batch_size
        if isinstance(pipe, VideoDiffusionPipeline):
            if scheduler:
                pipe.scheduler = scheduler_by_name(scheduler, pipe.scheduler)
            self.sampling = Sampling(seed, labels, pipe.steps_of(steps), pipe.guidance_of(guidance_scale), eta)
        elif scheduler or steps or guidance_scale is not None or eta != 1:
            raise ValueError(f"{OF_DENOISING} are of diffusion; {name} is a {type(pipe).__name__}.")
        else:
            self.sampling = Sampling(seed, labels)

    def clips_for(self, real: VideoSet, count: int, folder: Path) -> tuple[VideoSet, float]:
        settings = self.settings(real) | {"model": self.model_sha256} | self.surroundings()
        plan = plan_clips(real, count)
        seconds = generate_clips(self.pipe, real, plan, self.sampling, folder, settings, self.batch_size)
        return self.found(folder), seconds

    def surroundings(self) -> Settings:
        """What decides its clips besides its weights and its sampling."""
        scheduler = self.pipe.components.get("scheduler")
        return {
            "scheduler": type(scheduler).__name__ if scheduler else None,
            "configurations_sha256": self.configurations_sha256(),
            "dtype": self.dtype,
        }

    def require_labels(self, labels: list[str]) -> None:
        """Refuse labels that the model cannot take, before the first clip.

        Raises:
            ValueError: naming those that it knows, and those that it does not.
        """
        if not self.sampling.labels or self.pipe.text_encoder is not None:
            return
        known = self.pipe.labels or ()
        if unknown := sorted(set(map(normalized_label, labels)) - set(map(normalized_label, known))):
            raise ValueError(
                f"the model knows {', '.join(known) or 'no labels'}, and has no text encoder for those of the data: "
                f"{', '.join(map(repr, unknown))}. `no_label` generates from pictures alone."
            )


class Reconstructor(Model):
    """A model's auto-encoder, which gives real clips back: what a perfect denoiser would get."""

    def __init__(self, pipe: ImageToVideoPipeline, name: object, dtype: str):
        if not has_autoencoder(pipe):
            raise ValueError(f"`reconstruct` needs an auto-encoder, which {type(pipe).__name__} has not.")
        super().__init__(pipe, name)
        self.dtype = dtype

    def clips_for(self, real: VideoSet, count: int, folder: Path) -> tuple[VideoSet, None]:
        def reconstructed(frames: torch.Tensor, clip: PlannedClip) -> torch.Tensor:
            return (reconstruct(self.pipe, frames) * 255).round().to(torch.uint8)

        about = {
            "reconstructed": self.model_sha256,
            "configurations_sha256": self.configurations_sha256(),
            "dtype": self.dtype,
        }
        return self.write_real_changed(reconstructed, about, real, count, folder)


def size_of_model(pipe: ImageToVideoPipeline, name: object = "`like`") -> tuple[int, int, int]:
    """Frames, height and width of what a model generates.

    Raises:
        ValueError: naming it, if it does not say.
    """
    if pipe.sample_size is None:
        raise ValueError(f"{name} does not say how large its clips are: its configuration has no sample_size.")
    return pipe.num_frames, pipe.sample_size, pipe.sample_size


def size_of(clip: Clip) -> tuple[int, int, int]:
    """Frames, height and width."""
    frames = list(iterate_frames(clip))
    return len(frames), *frames[0].shape[:2]
