"""Pictures moved by flow and occlusion: what an LFDM pipeline does with its auto-encoder alone, once there is a motion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import PIL.Image
import torch
from diffusers.utils import BaseOutput

from ..data.picture_fitting import Picture, fit_picture, to_rgb_tensors
from ..models.latent_flow_autoencoder import EncodedImage
from .checks import require_pairs
from .image_to_video import eval_mode
from .motion import Mask, Motion, MotionEdit, mask_tensor

# Of a driving clip, which may be long. More at once are hardly faster on a CPU, and take memory.
FRAMES_AT_ONCE = 16


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
    """The part of an `ImageToVideoPipeline` that encodes pictures by its `lfae` and moves them."""

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
        pictures = self.fit_pictures(pictures, height, width, image_fit, device)
        with eval_mode(self.lfae):
            return self.lfae.encode(pictures.to(self.lfae.dtype))

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
        finer = []
        if edit.changes:
            motions = [Motion(*row) for row in zip(flow, occlusion)]
            flow, occlusion = _stack([edit.of(motion) for motion in motions])
            centers = self.lfae.config.flow_grid == "centers"
            if output_type != "latent" and (edit.motion_mask is not None or (edit.scales and not centers)):
                # The decoder resizes motion to each feature map. A mask has finer edges than the flow, and a resized grid with corners
                # at -1 and 1 does not keep still pictures still, so these edits are made on each size instead.
                sizes = {tuple(feature.shape[-2:]) for feature in (*encoded.skips, encoded.image)} - {flow.shape[-2:]}
                finer = [_stack([edit.of(motion.resized(*size, centers)) for motion in motions]) for size in sizes]
        batch_size = max(len(encoded.image), len(flow))
        flow, occlusion = (x.expand(batch_size, -1, -1, -1, -1) for x in (flow, occlusion))
        frames = warped = None
        if output_type != "latent":
            maps = [
                tuple(x.expand(batch_size, -1, -1, -1, -1).transpose(1, 2) for x in pair)
                for pair in ((flow, occlusion), *finer)
            ]
            decoded = self.lfae.decode(encoded, *maps[0], chunk_size=decode_chunk_size, finer=maps[1:])
            frames, warped = (self._postprocess(video, output_type) for video in (decoded.sample, decoded.warped))
        return LFDMPipelineOutput(frames=frames, flow=flow, occlusion=occlusion, warped=warped)

    @staticmethod
    def _framed_mask(
        mask: Mask | None, pictures: list[torch.Tensor], size: tuple[int, int], image_fit: str
    ) -> Mask | None:
        """A mask that is as large as the pictures are is about them, and fitted as they are; another is about the frame."""
        if mask is None:
            return None
        values = mask_tensor(mask)
        if any(picture.shape[-2:] != values.shape for picture in pictures):
            return mask
        return fit_picture(values.expand(3, -1, -1), *size, image_fit)[0].clamp(0, 1)

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
        edit = replace(edit, motion_mask=self._framed_mask(motion_mask, pictures, (height, width), image_fit))
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
        driving: Iterable[Picture] | np.ndarray | torch.Tensor,
        relative: bool = True,
        image_fit: str = "letterbox",
        height: int | None = None,
        width: int | None = None,
    ) -> Motion:
        """The motion of a clip, for a picture, by the auto-encoder alone: no label and no denoising.

        Args:
            image: one picture, as in `__call__`.
            driving: the clip's frames in order: PIL images or arrays (also as they are decoded, by a generator: each is fitted as
                it comes), an array `(F, H, W, 3)` or a tensor `(F, 3, H, W)`.
            relative: the picture's regions move as the clip's do since its first frame, so that nothing of that frame's shape
                is taken over (as in MRAA); else they go to where the clip's are, which fits only if its first frame looks like
                the picture.
            image_fit, height, width: as in `__call__`; of the picture and of the clip.

        Returns:
            A motion of as many frames as the clip, to `animate` the picture with.

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        pictures = to_rgb_tensors(image)
        if len(pictures) != 1:
            raise ValueError(f"`image` must be one picture, got {len(pictures)}.")
        # A detour over regions needs sides that its networks can halve more often than the U-Net does.
        stride = math.lcm(self.stride, self.lfae.flow_stride)
        height, width = self.frame_size(pictures, height, width, stride=stride)
        self._check_output(height, width, image_fit, "pt", None, stride)

        def fitted(tensor: torch.Tensor) -> torch.Tensor:
            return fit_picture(tensor, height, width, image_fit).to(self._execution_device, self.lfae.dtype)

        whole = isinstance(driving, (np.ndarray, torch.Tensor, PIL.Image.Image)) or not isinstance(driving, Iterable)
        items = [driving] if whole else driving
        frames = [fitted(tensor) for item in items for tensor in to_rgb_tensors(item, "driving")]
        if not frames:
            raise ValueError("`driving` holds no frames; at least one is needed.")
        picture, first = fitted(pictures[0])[None], frames[0][None] if relative else None
        flow, occlusion = [], []
        with eval_mode(self.lfae):
            for start in range(0, len(frames), FRAMES_AT_ONCE):
                clip = torch.stack(frames[start : start + FRAMES_AT_ONCE], dim=1)[None]  # (1, 3, F, H, W)
                found = self.lfae.predict_flow(picture, clip, driving_reference=first)
                flow.append(found.flow[0].transpose(0, 1).float())
                occlusion.append(found.occlusion[0].transpose(0, 1).float())
        self.maybe_free_model_hooks()
        return Motion(torch.cat(flow), torch.cat(occlusion))


def _stack(motions: Sequence[Motion]) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow `(B, F, 2, h, w)` and occlusion `(B, F, 1, h, w)`."""
    return tuple(torch.stack([getattr(motion, name) for motion in motions]) for name in ("flow", "occlusion"))
