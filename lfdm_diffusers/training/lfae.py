"""The losses between pictures by which auto-encoders and decoders are trained, as the training scripts' arguments choose them."""

from __future__ import annotations

import argparse

import torch
from torch import nn

from ..metrics.feature_networks import load_perceptual
from ..models import LatentFlowAutoencoder
from .losses import PerceptualPyramidLoss, PixelPyramidLoss, picture_losses


def add_loss_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """By what pictures are compared, and what counts for how much."""
    group = parser.add_argument_group("losses")
    group.add_argument(
        "--perceptual",
        default="vgg19",
        help="network whose features are compared: vgg19 or vgg16 (from the Hub), a file, another backbone's Hub\n"
        "repository or folder, see docs/training.md; 'none': pixels and their gradients",
    )
    group.add_argument(
        "--perceptual_layers", nargs="+", metavar="NAME", help="feature maps; default: five of each network"
    )
    group.add_argument(
        "--inpainted_loss_weight",
        type=float,
        default=1.0,
        help="of the picture before the last blend; 0 as in the paper, see docs/training.md",
    )
    group.add_argument(
        "--motion_loss_weight",
        type=float,
        default=0.0,
        help="errors count more where pictures differ; small motion: 5",
    )
    return group


def build_reconstruction_loss(args: argparse.Namespace) -> nn.Module:
    """What `--perceptual` names.

    Raises:
        ValueError: if it cannot be had.
    """
    if args.perceptual == "none":
        return PixelPyramidLoss()
    try:
        network = load_perceptual(args.perceptual, args.perceptual_layers)
    except ValueError as error:
        message = str(error).replace("`name_or_path`", "it").replace("`layers`", "`--perceptual_layers`")
        raise ValueError(f"`--perceptual` {args.perceptual}: {message} ('none' needs no download.)") from error
    return PerceptualPyramidLoss(network, gradient_checkpointing=args.gradient_checkpointing)


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
