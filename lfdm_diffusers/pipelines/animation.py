"""Pictures moved by flow and occlusion: what an LFDM pipeline does with its auto-encoder alone, once there is a motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import PIL.Image
import torch
from diffusers.utils import BaseOutput

from ..models.latent_flow_autoencoder import EncodedImage
from .checks import require_number, require_pairs
from .motion import Mask, Motion, MotionEdit
from .picture_fitting import FITS, Picture, fit_picture, to_rgb_tensors


@dataclass
class LFDMPipelineOutput(BaseOutput):
    """Generated videos and their motion.

    Attributes:
        frames: the videos: a list of lists of PIL images, an array `(B, F, H, W, 3)`, a tensor `(B, F, 3, H, W)` in
            [0, 1], or with `output_type="latent"` the denoised volumes `(B, 3, F, h, w)`.
        flow: `(B, F, 2, h, w)` tensor: for each place of a frame, where in the picture it comes from; absolute
            sampling grid (x, y) in [-1, 1].
        occlusion: `(B, F, 1, h, w)` tensor in [0, 1]: 1 keeps the warped picture, 0 inpaints.
        warped: the picture warped by the flow alone, in the form of `frames`; None for "latent".
    """

    frames: list[list[PIL.Image.Image]] | np.ndarray | torch.Tensor
    flow: torch.Tensor
    occlusion: torch.Tensor
    warped: list[list[PIL.Image.Image]] | np.ndarray | torch.Tensor | None

    def motion(self, index: int = 0) -> Motion:
        """The motion of one video, to change, to save, or to animate other pictures with (`LFDMPipeline.animate`)."""
        return Motion(self.flow[index].float(), self.occlusion[index].float())


class AnimationMixin:
    """The part of a pipeline that encodes pictures and moves them; it needs `lfae`, `unet` (for its sizes) and
    `video_processor`."""

    def encode_image(
        self,
        image: Picture | Sequence[Picture],
        height: int | None = None,
        width: int | None = None,
        image_fit: str = "letterbox",
        device: torch.device | None = None,
    ) -> EncodedImage:
        """Fit pictures to `height` x `width` (see `frame_size`) and encode each once."""
        pictures = to_rgb_tensors(image)
        height, width = self.frame_size(pictures, height, width)
        pictures = torch.stack([fit_picture(picture, height, width, image_fit) for picture in pictures])
        return self.lfae.encode(pictures.to(device or self._execution_device, self.lfae.dtype))

    def frame_size(
        self,
        pictures: Sequence[torch.Tensor],
        height: int | None = None,
        width: int | None = None,
        latents: torch.Tensor | None = None,
    ) -> tuple[int, int]:
        """Height and width of the videos: as asked for, else as `latents` say, else as trained.

        Where the trained size is unknown (`sample_size` None), pictures `(3, H, W)` of one allowed size keep it, and
        others are fitted to the allowed size nearest to 128 pixels.
        """
        stride = self.lfae.downscale_factor * self.unet.size_stride
        default = (self.lfae.config.sample_size,) * 2
        if torch.is_tensor(latents) and latents.ndim == 5:
            default = tuple(side * self.lfae.downscale_factor for side in latents.shape[-2:])
        elif default[0] is None:
            sizes = {tuple(picture.shape[-2:]) for picture in pictures}
            allowed = len(sizes) == 1 and all(side % stride == 0 for size in sizes for side in size)
            default = sizes.pop() if allowed else (max(round(128 / stride), 1) * stride,) * 2
        return default[0] if height is None else height, default[1] if width is None else width

    def _check_output(
        self, height: int, width: int, image_fit: str, output_type: str, decode_chunk_size: int | None
    ) -> None:
        for name, value in (("height", height), ("width", width)):
            require_number(name, value, Integral, 1)
        stride = self.lfae.downscale_factor * self.unet.size_stride
        for name, value in (("height", height), ("width", width)):
            if value < stride or value % stride:
                down = max(value // stride, 1) * stride
                raise ValueError(
                    f"`{name}` must be a multiple of {stride}, got {value}; the nearest are {down} and {down + stride}."
                )
        if image_fit not in FITS:
            raise ValueError(f"`image_fit` must be one of {', '.join(map(repr, FITS))}, got {image_fit!r}.")
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ValueError(f"`output_type` must be 'pil', 'np', 'pt' or 'latent', got {output_type!r}.")
        if decode_chunk_size is not None:
            require_number("decode_chunk_size", decode_chunk_size, Integral, 1)

    def _moved(
        self,
        encoded: EncodedImage,
        flow: torch.Tensor,
        occlusion: torch.Tensor,
        edit: MotionEdit,
        decode_chunk_size: int | None,
        output_type: str,
    ) -> LFDMPipelineOutput:
        """Videos of encoded pictures, `(B, F, 2, h, w)` and `(B, F, 1, h, w)` of motion for all or for each, edited first."""
        shown = flow, occlusion
        if edit.changes:
            motions = [Motion(*row) for row in zip(flow, occlusion)]
            flow, occlusion = shown = _stack([edit.of(motion) for motion in motions])
            centers = self.lfae.config.flow_grid == "centers"
            if edit.motion_mask is not None or not centers:
                # As the decoder's last warp resizes it: a smaller map holds neither the edge of a mask nor, where the grid
                # itself is resized, stillness up to the picture's borders.
                size = encoded.image.shape[-2:]
                shown = _stack([edit.of(motion.resized(*size, centers)) for motion in motions])
        batch_size = max(len(encoded.image), len(flow))
        flow, occlusion, *shown = (x.expand(batch_size, -1, -1, -1, -1) for x in (flow, occlusion, *shown))
        frames = warped = None
        if output_type != "latent":
            decoded = self.lfae.decode(encoded, *(x.transpose(1, 2) for x in shown), chunk_size=decode_chunk_size)
            frames, warped = (
                self.video_processor.postprocess_video(video.float(), output_type)
                for video in (decoded.sample, decoded.warped)
            )
        return LFDMPipelineOutput(frames=frames, flow=flow, occlusion=occlusion, warped=warped)

    @torch.no_grad()
    def animate(
        self,
        image: Picture | Sequence[Picture],
        motion: Motion | Sequence[Motion],
        output_type: str = "pil",
        return_dict: bool = True,
        decode_chunk_size: int | None = None,
        image_fit: str = "letterbox",
        height: int | None = None,
        width: int | None = None,
        motion_scale: float | Sequence[float] = 1.0,
        motion_mask: Mask | None = None,
        loop: str | None = None,
    ) -> LFDMPipelineOutput | tuple:
        """Give a motion to pictures: eq. 5 of the LFDM paper without denoising.

        Args:
            image: as in `__call__`.
            motion: generated before (`output.motion()`), loaded (`Motion.load`), changed, or of `transfer`. Pictures and motions
                pair up: n of each, or one of either.
            output_type, return_dict, decode_chunk_size, image_fit, height, width: as in `__call__`, but "latent" is none.
            motion_scale, motion_mask, loop: as in `__call__`; what they make of the motion is in the output's.

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        pictures = to_rgb_tensors(image)
        motions = [motion] if isinstance(motion, Motion) else motion
        if not isinstance(motions, (list, tuple)) or not motions or not all(isinstance(m, Motion) for m in motions):
            raise ValueError(f"`motion` must be a Motion or a non-empty list of them, got {type(motion).__name__}.")
        if len({m.flow.shape for m in motions}) > 1:
            raise ValueError(
                f"`motion` must hold motions of one length and size, got {', '.join(map(repr, motions))}."
            )
        require_pairs(len(pictures), "motion", len(motions))
        edit = MotionEdit(motion_scale, motion_mask, loop)
        edit.check(len(motions[0]))
        height, width = self.frame_size(pictures, height, width)
        if output_type == "latent":
            raise ValueError("`output_type` must be 'pil', 'np' or 'pt', got 'latent': nothing is denoised here.")
        self._check_output(height, width, image_fit, output_type, decode_chunk_size)
        device = self._execution_device
        with eval_mode(self.lfae):
            encoded = self.encode_image(pictures, height, width, image_fit, device)
            motion = (x.to(device, torch.float32) for x in _stack(motions))
            output = self._moved(encoded, *motion, edit, decode_chunk_size, output_type)
        self.maybe_free_model_hooks()
        return output if return_dict else output.to_tuple()

    @torch.no_grad()
    def transfer(
        self,
        image: Picture,
        driving: Sequence[Picture] | np.ndarray | torch.Tensor,
        relative: bool = True,
        image_fit: str = "letterbox",
        height: int | None = None,
        width: int | None = None,
    ) -> Motion:
        """The motion of a clip, for a picture, by the auto-encoder alone: no label and no denoising.

        Args:
            image: one picture, as in `__call__`.
            driving: the clip's frames in order: PIL images, an array `(F, H, W, 3)` or a tensor `(F, 3, H, W)`.
            relative: the picture's regions move as the clip's do since its first frame, so that nothing of that frame's shape
                is taken over (as in MRAA); else they go to where the clip's are, which fits only if its first frame looks like
                the picture.
            image_fit, height, width: as in `__call__`; of the picture and of the clip.

        Returns:
            A motion of as many frames as the clip, to `animate` the picture with.

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        pictures, clip = to_rgb_tensors(image), to_rgb_tensors(driving, "driving")
        if len(pictures) != 1:
            raise ValueError(f"`image` must be one picture, got {len(pictures)}.")
        height, width = self.frame_size(pictures, height, width)
        self._check_output(height, width, image_fit, "pt", None)
        picture, *clip = (
            fit_picture(each, height, width, image_fit).to(self._execution_device, self.lfae.dtype)
            for each in (*pictures, *clip)
        )
        clip = torch.stack(clip, dim=1)[None]  # (1, 3, F, H, W)
        with eval_mode(self.lfae):
            found = self.lfae.predict_flow(picture[None], clip, driving_reference=clip[:, :, 0] if relative else None)
        self.maybe_free_model_hooks()
        return Motion(found.flow[0].transpose(0, 1).float(), found.occlusion[0].transpose(0, 1).float())


def _stack(motions: Sequence[Motion]) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow `(B, F, 2, h, w)` and occlusion `(B, F, 1, h, w)`."""
    return tuple(torch.stack([getattr(motion, name) for motion in motions]) for name in ("flow", "occlusion"))


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """BatchNorm must use its running statistics here even if the model is being trained around the pipeline."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
