"""The output of `LFDMPipeline`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.utils import BaseOutput

from .image_to_video import Videos
from .motion import Motion


@dataclass
class LFDMPipelineOutput(BaseOutput):
    """Generated videos and their motion.

    Attributes:
        frames: the videos: a list of lists of PIL images, an array `(B, F, H, W, 3)`, a tensor `(B, F, 3, H, W)` in
            [0, 1], with "stream" a list of sequences of uint8 arrays `(H, W, C)`, or with "latent" the denoised volumes
            `(B, 3, F, h, w)`. Frames of pictures with transparency have alpha too, unless they have the model's size.
        flow: `(B, F, 2, h, w)` tensor: for each place of a frame, where in the picture it comes from; absolute
            sampling grid (x, y) in [-1, 1].
        occlusion: `(B, F, 1, h, w)` tensor in [0, 1]: 1 keeps the warped picture, 0 inpaints.
        warped: the picture warped by the flow alone, in the form of `frames`; None for "latent".
    """

    frames: Videos
    flow: torch.Tensor
    occlusion: torch.Tensor
    warped: Videos

    def motion(self, index: int = 0) -> Motion:
        """The motion of one video, to change, to save, or to animate other pictures with (`LFDMPipeline.animate`)."""
        return Motion(self.flow[index].float(), self.occlusion[index].float())
