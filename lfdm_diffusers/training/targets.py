"""What the U-Nets of the pipelines are trained on: LFDM's on cached motion, the others' on frames."""

from __future__ import annotations

import torch

from ..data.dataset import ClipSample
from ..ops.warp import sampling_grid
from .diffusion import DiffusionTraining
from .motion_cache import MotionSample


class MotionTraining(DiffusionTraining):
    """Of an `LFDMPipeline`, by `MotionDataset`."""

    def targets(self, samples: MotionSample) -> tuple[torch.Tensor, torch.Tensor]:
        volume = self.volume(samples.motion.to(self.device, non_blocking=True))
        reference = samples.reference.to(self.device, non_blocking=True)
        return volume, self.pipe.lfae.encode(reference).latent

    def volume(self, motion: torch.Tensor) -> torch.Tensor:
        """Residual flow and occlusion `(B, 3, F, h, w)` as the U-Net's configuration wants them."""
        config = self.unet.config
        if config.flow_target == "absolute":
            grid = sampling_grid(*motion.shape[-2:], motion.device, centers=True).permute(2, 0, 1)[:, None]
            motion = torch.cat((motion[:, :2] + grid, motion[:, 2:]), dim=1)
        mean, std = (motion.new_tensor(x).view(-1, 1, 1, 1) for x in (config.target_mean, config.target_std))
        return (motion - mean) / std


class FrameTraining(DiffusionTraining):
    """Of a `FrameDiffusionPipeline`, by `ClipDataset`, whose first frame is the picture."""

    def targets(self, samples: ClipSample) -> tuple[torch.Tensor, torch.Tensor]:
        frames = samples.frames.to(self.device, non_blocking=True).transpose(1, 2)
        volume = self.pipe.scaled_latents(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(1, 2)
        return volume, volume[:, :, 0]
