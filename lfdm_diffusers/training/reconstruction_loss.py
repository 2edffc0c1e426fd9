"""How far a reconstructed picture is from the true one: pyramids of features or pixels, and the options that choose them.

After MRAA (Siarohin et al., CVPR 2021), from which LFDM takes it (section 3.2, "the reconstruction loss").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..metrics.feature_networks import UnknownLayers
from ..metrics.feature_weights import load_perceptual
from ..models.blocks_2d import AntiAliasDownsample
from ..models.latent_flow_autoencoder import DecodedFrames, LatentFlowAutoencoderOutput


class PerceptualPyramidLoss(nn.Module):
    """Sum over scales and layers of 10 * mean |features(prediction) - features(target)|.

    Args:
        features: maps pictures in [0, 1] to a list of feature maps (see `load_perceptual`); frozen here.
        scales: sizes of the anti-aliased pictures to compare, relative to the whole. A size under `MIN_SIZE` pixels is
            left out: VGG's fifth block has nothing to see there.
        gradient_checkpointing: compute the prediction's feature maps again in the backward pass instead of keeping them.
    """

    MIN_SIZE = 16

    def __init__(
        self,
        features: nn.Module,
        scales: Sequence[float] = (1.0, 0.5, 0.25, 0.125),
        gradient_checkpointing: bool = False,
    ):
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.scales = tuple(scales)
        self.pyramid = nn.ModuleList(AntiAliasDownsample(3, scale) for scale in scales)
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Both `(B, 3, H, W)` in [0, 1]; gradients flow to `prediction` only."""
        loss = prediction.new_zeros(())
        for scale, downsample in zip(self.scales, self.pyramid):
            if min(target.shape[-2:]) < self.MIN_SIZE * round(1 / scale):
                continue
            with torch.no_grad():
                wanted = self.features(downsample(target))
            if self.gradient_checkpointing:
                loss = loss + checkpoint(self._distance, downsample(prediction), wanted, use_reentrant=False)
            else:
                loss = loss + self._distance(downsample(prediction), wanted)
        return loss

    def _distance(self, prediction: torch.Tensor, wanted: list[torch.Tensor]) -> torch.Tensor:
        made = self.features(prediction)
        return sum(10 * (one.float() - other.float()).abs().mean() for one, other in zip(made, wanted))


class PixelPyramidLoss(nn.Module):
    """Where no VGG-19 is at hand: sum over scales of 10 * mean |prediction - target|, and the same of the gradients.

    Gradients are differences of neighbouring pixels at full size; without them small pictures come out blurred.

    Args:
        scales: as in `PerceptualPyramidLoss`.
    """

    def __init__(self, scales: Sequence[float] = (1.0, 0.5, 0.25, 0.125)):
        super().__init__()
        self.pyramid = nn.ModuleList(AntiAliasDownsample(3, scale) for scale in scales)

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Both `(B, 3, H, W)` in [0, 1]."""
        with torch.autocast(prediction.device.type, enabled=False):  # or the convolutions would lower it
            difference = prediction.float() - target.float()  # all that follows is linear, up to the absolute value
            loss = sum(10 * difference.diff(dim=dim).abs().mean() for dim in (-1, -2))
            return loss + sum(10 * downsample(difference).abs().mean() for downsample in self.pyramid)


def sharpness_loss(prediction: torch.Tensor, target: torch.Tensor, window: int = 8) -> torch.Tensor:
    """10 * mean |s(prediction) - s(target)| of pictures `(B, 3, H, W)`, summed over both directions.

    s is the mean absolute difference of neighbouring pixels over windows of `window` places. A picture that is as near as can be to what
    it does not know is a mean of all that it may be, and soft; this one has texture where the target has, wherever its edges fall.
    """
    loss = prediction.new_zeros(())
    for dim in (-1, -2):
        made, wanted = (
            F.avg_pool2d(x.float().diff(dim=dim).abs(), window, ceil_mode=True) for x in (prediction, target)
        )
        loss = loss + 10 * (made - wanted).abs().mean()
    return loss


def weighted_comparison(
    reconstruction: nn.Module, reference: torch.Tensor, driving: torch.Tensor, motion_weight: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What compares pictures with `driving`; errors count by `motion_weight` more where it differs from `reference`, as in `LFAELoss`."""
    weight = 1 + motion_weight * (driving - reference).abs().mean(dim=1, keepdim=True)
    weight = weight / weight.mean()

    def compare(picture: torch.Tensor) -> torch.Tensor:
        if motion_weight:
            picture = driving + weight * (picture.float() - driving)
        return reconstruction(picture.float(), driving)

    return compare


def picture_losses(
    reconstruction: nn.Module,
    output: DecodedFrames | LatentFlowAutoencoderOutput,
    reference: torch.Tensor,
    driving: torch.Tensor,
    inpainted_weight: float,
    motion_weight: float,
) -> dict[str, torch.Tensor]:
    """Weighted losses of an auto-encoder's result and of its decoder's own picture; arguments as in `LFAELoss`."""
    compare = weighted_comparison(reconstruction, reference, driving, motion_weight)
    losses = {"reconstruction": compare(output.sample)}
    if inpainted_weight:
        losses["inpainted"] = inpainted_weight * compare(output.inpainted)
    return losses


def build_reconstruction_loss(
    perceptual: str, layers: Sequence[str] | None, gradient_checkpointing: bool = False
) -> nn.Module:
    """What the options `--perceptual` and `--perceptual_layers` name.

    Raises:
        ValueError: if it cannot be had.
    """
    if perceptual == "none":
        return PixelPyramidLoss()
    try:
        network = load_perceptual(perceptual, layers, argument="--perceptual")
    except UnknownLayers as error:
        raise ValueError(
            f"{error.sentence('--perceptual_layers')} These are those of `--perceptual` {perceptual}."
        ) from error
    except ValueError as error:
        raise ValueError(f"`--perceptual` {perceptual}: {error} ('none' needs no download.)") from error
    return PerceptualPyramidLoss(network, gradient_checkpointing=gradient_checkpointing)
