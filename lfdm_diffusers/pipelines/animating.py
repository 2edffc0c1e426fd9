"""Pictures moved by a motion that is there already: eq. 5 of the LFDM paper, without denoising."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging

from ..arguments.checked import described
from ..data.picture_fitting import Picture, fit_picture, to_tensors
from ..models import FullSizePainter, LatentFlowAutoencoder
from ..models.latent_flow_autoencoder import EncodedImage
from ..ops.cpu import reuse_freed_memory
from .canvas import Canvas
from .checks import either, require_pairs, require_room, require_word
from .driving import driven_motion, driving_frames
from .full_size import FullSize, crop
from .image_to_video import eval_mode
from .known_pictures import KnownPictures, facts_of_reconstruction
from .lfdm_output import LFDMPipelineOutput
from .motion import EditedMotion, Mask, Motion, MotionEdit, motion_list, stacked
from .outlook import Outlook, default_fit, outlook, unknown_kind
from .rendering import Box
from .strokes import Stroke
from .subjects import Subject
from .video_diffusion import VideoDiffusionPipeline

logger = logging.get_logger(__name__)


def _key(encoded: EncodedImage) -> str:
    """What tells pictures from others."""
    return hashlib.sha256(encoded.image.float().cpu().numpy().tobytes()).hexdigest()


_UNJUDGED: ContextVar[bool] = ContextVar("unjudged", default=False)


@contextmanager
def unjudged() -> Iterator[None]:
    """Calls inside do not ask whether their pictures are known, which takes an eighth of the time of a call of four steps."""
    before = _UNJUDGED.set(True)
    try:
        yield
    finally:
        _UNJUDGED.reset(before)


class AnimatingPipeline(VideoDiffusionPipeline):
    """A pipeline whose `lfae` moves pictures: by the motion that it generates, by one that was kept (`animate`), or by that of a clip
    (`transfer`)."""

    painter: FullSizePainter | None = None
    lfae: LatentFlowAutoencoder
    _told: str | None = None  # the pictures of which was said last whether their kind is known

    # A pipeline of blocks may have no U-Net: pictures are then of any size that the auto-encoder takes.

    @property
    def sample_size(self) -> int | None:
        trained = super().sample_size if self.unet is not None else None
        return trained or self.lfae.config.sample_size

    @property
    def downscale_factor(self) -> int:
        return self.lfae.downscale_factor

    @property
    def stride(self) -> int:
        return super().stride if self.unet is not None else self.downscale_factor

    def outlook(
        self,
        image: Picture,
        image_fit: str | None = None,
        strokes: Sequence[Stroke] | None = None,
        whole: bool = False,
    ) -> Outlook:
        """What will become of a picture, before anything is made of it: `pipe(image, label, subjects=outlook.subjects)`.

        Args:
            image, image_fit, strokes: as in `__call__`.
            whole: look for no subjects, as `__call__` does where it is given none.

        Raises:
            ValueError: for several pictures, and for what is none.
        """
        pictures = to_tensors(image)
        if len(pictures) != 1:
            raise ValueError(f"`image` must be one picture, got {len(pictures)}.")
        face_frame, fit = self.config.get("face_frame"), self.fit_of(image_fit)
        seen = outlook(pictures[0], face_frame, self.sample_size, fit, strokes, whole)
        if self.config.get("known_pictures") is None:
            return seen
        canvas = self.prepare_canvas(image, image_fit=seen.image_fit, output_size="picture", subjects=seen.subjects)
        canvas = canvas.framed(*self.frame_size(canvas.pictures))
        encoded = self.encode_canvas(canvas)
        self._told = _key(encoded)
        return seen.judged(self._distances(encoded))

    def warn_of_unknown(self, encoded: EncodedImage) -> None:
        """Warn, once for the same pictures, if some are not of the kind that the model knows and `outlook` has not said so."""
        known = self.config.get("known_pictures")
        if known is None or _UNJUDGED.get() or (key := _key(encoded)) == self._told:
            return
        self._told = key
        if said := unknown_kind(self._distances(encoded)):
            logger.warning(f"{said} `outlook` says so before a call.")

    def _distances(self, encoded: EncodedImage) -> list[float]:
        """Of each picture from those that the model knows (`KnownPictures.distances`); of a size that it was not trained on, none."""
        if any(
            side != self.lfae.config.sample_size or side % self.lfae.flow_stride for side in encoded.image.shape[-2:]
        ):
            return []
        known = KnownPictures.of_config(self.config["known_pictures"])
        with eval_mode(self.lfae):
            return known.distances(facts_of_reconstruction(self.lfae, encoded)).tolist()

    def fit_of(self, image_fit: str | None) -> str:
        """How pictures are fitted: as asked for, else as those that it was trained on."""
        return default_fit(self.config.get("face_frame")) if image_fit is None else image_fit

    def prepare_canvas(
        self,
        image: Picture | Sequence[Picture],
        height: int | None = None,
        width: int | None = None,
        image_fit: str | None = None,
        output_size: str | tuple[int, int] = "model",
        subjects: Sequence[Subject] | None = None,
        as_given: bool = False,
    ) -> Canvas:
        """Pictures as a call moves them; arguments as in `__call__`, and of `Canvas.asked`."""
        as_given = as_given or subjects is not None
        return Canvas.asked(
            to_tensors(image), self.sample_size, height, width, self.fit_of(image_fit), output_size, subjects, as_given
        )

    def encode_canvas(self, canvas: Canvas) -> EncodedImage:
        """What the model sees of a canvas, each picture or subject encoded once."""
        reuse_freed_memory()
        return self.encode_image(canvas.model_pictures, *canvas.frame, canvas.image_fit, self._execution_device)

    def edit_motion(
        self, flow: torch.Tensor, occlusion: torch.Tensor, edit: MotionEdit, encoded: EncodedImage | None = None
    ) -> EditedMotion:
        """Motions `(B, F, 2, h, w)` and `(B, F, 1, h, w)`, edited, as the decoder of encoded pictures takes them."""
        maps = () if encoded is None else (*encoded.skips, encoded.image)
        return edit.of(flow, occlusion, [x.shape[-2:] for x in maps], self.lfae.config.flow_grid == "centers")

    def render_motion(
        self,
        encoded: EncodedImage,
        moved: EditedMotion,
        decode_chunk_size: int | None = None,
        output_type: str = "pt",
        full_size: FullSize | None = None,
    ) -> LFDMPipelineOutput:
        """Videos of encoded pictures and motions: as many of each, or one of either. "latent" renders none."""
        moved = moved.expanded(max(len(encoded.image), len(moved.flow)))
        frames = warped = None
        if output_type != "latent":
            maps, *finer = (
                (flow.transpose(1, 2), occlusion.transpose(1, 2))
                for flow, occlusion in ((moved.flow, moved.occlusion), *moved.finer)
            )
            with eval_mode(self.lfae):
                decoded = self.lfae.decode(encoded, *maps, chunk_size=decode_chunk_size, finer=finer)
            warped = self._postprocess(decoded.warped, output_type)
            frames = (
                self._postprocess(decoded.sample, output_type)
                if full_size is None
                else full_size.videos(
                    moved.flow,
                    moved.occlusion,
                    decoded.sample,
                    decoded.warped,
                    encoded.image,
                    output_type,
                    self.painter,
                    self.lfae.config.paint_below,
                )
            )
        return LFDMPipelineOutput(frames=frames, flow=moved.flow, occlusion=moved.occlusion, warped=warped)

    @torch.no_grad()
    def animate(
        self,
        image: Picture | Sequence[Picture],
        motion: Motion | Sequence[Motion],
        output_type: str = "pil",
        return_dict: bool = True,
        decode_chunk_size: int | None = None,
        image_fit: str | None = None,
        height: int | None = None,
        width: int | None = None,
        motion_scale: float | Sequence[float] = 1.0,
        motion_mask: Mask | None = None,
        loop: str | None = None,
        output_size: str | tuple[int, int] = "model",
        subjects: Sequence[Subject] | None = None,
        hold: int = 0,
        mask_image: Mask | None = None,
    ) -> LFDMPipelineOutput | Any:
        """Give a motion to pictures: eq. 5 of the LFDM paper without denoising.

        Args:
            image: as in `__call__`.
            motion: generated before (`output.motion()`), loaded (`Motion.load`), changed, or of `transfer`. Pictures and motions
                pair up: n of each, or one of either.
            output_type, return_dict, decode_chunk_size, image_fit, height, width: as in `__call__`, but "latent" is none.
            motion_scale, motion_mask, loop, hold, mask_image: as in `__call__`; what they make of the motion is in the output's.
            output_size, subjects: as in `__call__`; each box has a motion, or all the same.

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        require_word("output_type", output_type, self.output_types)
        canvas = self.prepare_canvas(image, height, width, image_fit, output_size, subjects)
        motion_mask = canvas.on_pictures(either("motion_mask", motion_mask, "mask_image", mask_image))
        motions = motion_list(motion)
        edit = MotionEdit(motion_scale, motion_mask, loop, hold)
        edit.check(len(motions[0]))
        canvas = canvas.framed(*self.frame_size(canvas.pictures, canvas.height, canvas.width))
        if output_type == "latent":
            raise ValueError(
                "`output_type` must be 'pil', 'np', 'pt' or 'stream', got 'latent': nothing is denoised here."
            )
        self._check_output(*canvas.frame, canvas.image_fit, output_type, decode_chunk_size)
        count = max(len(canvas.pictures), len(motions)) * (len(motions[0]) + hold)
        require_room("motion", count, *canvas.frame)
        full_size = canvas.full_size(output_type, motion_mask)
        require_pairs(len(canvas.model_pictures), "motion", len(motions))
        encoded = self.encode_canvas(canvas)
        flow, occlusion = (x.to(self._execution_device, torch.float32) for x in stacked(motions))
        moved = self.edit_motion(flow, occlusion, replace(edit, motion_mask=canvas.in_frame(motion_mask)), encoded)
        output = self.render_motion(encoded, moved, decode_chunk_size, output_type, full_size)
        self.maybe_free_model_hooks()
        return output if return_dict else output.to_tuple()

    @torch.no_grad()
    def transfer(
        self,
        image: Picture,
        driving: Iterable[Picture] | np.ndarray | torch.Tensor | None = None,
        relative: bool = True,
        image_fit: str | None = None,
        height: int | None = None,
        width: int | None = None,
        subjects: Sequence[Subject] | None = None,
        video: Iterable[Picture] | np.ndarray | torch.Tensor | None = None,
        driving_subject: Box | None = None,
        callback_on_frames_end: Callable[[int, int], None] | None = None,
    ) -> Motion | list[Motion]:
        """The motion of a clip, for a picture, by the auto-encoder alone: no label and no denoising.

        Args:
            image: one picture, as in `__call__`.
            driving: the clip's frames in order: PIL images or arrays (also as they are decoded, by a generator: each is fitted as
                it comes), an array `(F, H, W, 3)` or a tensor `(F, 3, H, W)`.
            relative: the picture's regions move as the clip's do since its first frame, so that nothing of that frame's shape
                is taken over (as in MRAA); else they go to where the clip's are, which fits only if its first frame looks like
                the picture.
            image_fit, height, width: as in `__call__`; of the picture and of the clip.
            video: `driving`, by the name that it has in diffusers.
            subjects: as in `__call__`, each of which is to move as the clip does.
            driving_subject: the part of the clip's frames that the motion is found in; `outlook` of the first one finds a face. None is
                all of them.
            callback_on_frames_end: called, each time when some frames are done, with how many are, of all subjects, and how many there
                are to do; what it raises ends the work.

        Returns:
            A motion of as many frames as the clip, to `animate` the picture with, at any `output_size`; with `subjects`, to be given
            to `animate` too, a list of one for each.

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        image_fit = self.fit_of(image_fit)
        driving = either("driving", driving, "video", video)
        if driving is None:
            raise ValueError("`driving` must be the frames of a clip, got None.")
        pictures = to_tensors(image)
        if len(pictures) != 1:
            raise ValueError(f"`image` must be one picture, got {len(pictures)}.")
        # A detour over regions needs sides that its networks can halve more often than the U-Net does.
        stride = math.lcm(self.stride, self.lfae.flow_stride)
        height, width = self.frame_size(pictures, height, width, stride=stride)
        self._check_output(height, width, image_fit, "pt", None, stride)
        asked = FullSize.asked(pictures, "picture", (height, width), image_fit, subjects, None, "stream")
        parts = pictures if asked is None else asked.model_pictures()
        if driving_subject is not None and not isinstance(driving_subject, Box):
            raise ValueError(
                f"`driving_subject` must be a Box, or None for the whole frames, got {described(driving_subject)}."
            )
        reuse_freed_memory()

        def fitted(tensor: torch.Tensor) -> torch.Tensor:
            return fit_picture(tensor, height, width, image_fit).to(self._execution_device, self.lfae.dtype)

        frames: list[torch.Tensor] = []
        for frame in driving_frames(driving):
            require_room("driving", len(frames) + 1, height, width)  # as they come: there may be no end of them
            if driving_subject is not None:
                driving_subject.check_inside(*frame.shape[-2:], argument="driving_subject")
                frame = crop(frame, driving_subject)
            frames.append(fitted(frame))
        if not frames:
            raise ValueError("`driving` holds no frames; at least one is needed.")
        motions: list[Motion] = []

        def found_more(done: int) -> None:
            if callback_on_frames_end is not None:
                callback_on_frames_end(len(motions) * len(frames) + done, len(parts) * len(frames))

        with eval_mode(self.lfae):
            for part in parts:
                motions.append(driven_motion(self.lfae, fitted(part), frames, relative, found_more))
        self.maybe_free_model_hooks()
        return motions[0] if subjects is None else motions
