"""Adapting the decoder of an auto-encoder whose encoder and flow predictor are frozen."""

from __future__ import annotations

import torch
from torch import nn

from .losses import picture_losses
from .models import LatentFlowAutoencoder


class DecoderLoss(nn.Module):
    """A frozen auto-encoder whose decoder learns, and its losses in one forward pass: `LFAELoss` without equivariance.

    Args:
        lfae: all but its decoder is frozen here: no gradients, and BatchNorm in eval mode.
        reconstruction, inpainted_weight, motion_weight: as in `LFAELoss`.
    """

    def __init__(
        self,
        lfae: LatentFlowAutoencoder,
        reconstruction: nn.Module,
        inpainted_weight: float = 1.0,
        motion_weight: float = 0.0,
    ):
        super().__init__()
        self.lfae, self.reconstruction = lfae, reconstruction
        self.inpainted_weight, self.motion_weight = inpainted_weight, motion_weight
        lfae.requires_grad_(False).eval()
        lfae.decoder.requires_grad_(True).train()

    def forward(self, reference: torch.Tensor, driving: torch.Tensor) -> dict[str, torch.Tensor]:
        """Weighted losses by name, to be summed, for pictures `(B, 3, H, W)` in [0, 1]."""
        with torch.no_grad():
            motion = self.lfae.predict_flow(reference, driving)
            encoded = self.lfae.encode(reference)
        output = self.lfae.decode(encoded, motion.flow, motion.occlusion)
        return picture_losses(
            self.reconstruction, output, reference, driving, self.inpainted_weight, self.motion_weight
        )
