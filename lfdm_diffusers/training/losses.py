"""Losses of stage one: equivariance of regions under a known transform, and pyramids of features or pixels.

Both follow MRAA (Siarohin et al., CVPR 2021), from which LFDM takes them (section 3.2, "the reconstruction loss").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..models.blocks_2d import AntiAliasDownsample
from ..models.geometry import RegionParameters, inverse_2x2, matmul_2x2
from ..models.latent_flow_autoencoder import DecodedFrames, LatentFlowAutoencoderOutput
from ..ops.warp import sampling_grid


@dataclass
class RandomTransform:
    """A random affine map with a thin-plate spline on top, in sampling-grid coordinates.

    T(z) = theta [z; 1] + sum_i w_i d_i^2 log(d_i + 1e-6), with d_i = |z - c_i|_1 the distance to control point i; the
    same sum is added to x and y.

    Attributes:
        theta: `(B, 2, 3)`.
        control_params: `(B, 1, n * n)`, the w_i of an n x n grid of control points over [-1, 1].
    """

    theta: torch.Tensor
    control_params: torch.Tensor

    @classmethod
    def sample(
        cls,
        batch_size: int,
        sigma_affine: float = 0.05,
        sigma_tps: float = 0.005,
        points_tps: int = 5,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
    ) -> RandomTransform:
        """Entries of theta - [I 0] from N(0, sigma_affine), spline weights from N(0, sigma_tps); drawn on the CPU."""
        theta = torch.eye(2, 3) + sigma_affine * torch.randn(batch_size, 2, 3, generator=generator)
        weights = sigma_tps * torch.randn(batch_size, 1, points_tps**2, generator=generator)
        return cls(theta.to(device), weights.to(device))

    def _offsets(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z - c_i `(B, N, n*n, 2)` and its L1 norm `(B, N, n*n)`."""
        side = round(self.control_params.shape[-1] ** 0.5)
        control_points = sampling_grid(side, side, points.device).flatten(0, 1)
        offset = points[:, :, None] - control_points
        return offset, offset.abs().sum(dim=-1)

    def warp_points(self, points: torch.Tensor) -> torch.Tensor:
        """T of points `(B, N, 2)`, or `(1, N, 2)` for all B."""
        _, distance = self._offsets(points)
        spline = (self.control_params * distance**2 * torch.log(distance + 1e-6)).sum(dim=-1, keepdim=True)
        affine = (self.theta[:, None, :, :2] * points[:, :, None]).sum(dim=-1) + self.theta[:, None, :, 2]
        return affine + spline

    def jacobian(self, points: torch.Tensor) -> torch.Tensor:
        """dT/dz at points `(B, N, 2)`: `(B, N, 2, 2)`, in closed form."""
        offset, distance = self._offsets(points)
        slope = 2 * distance * torch.log(distance + 1e-6) + distance**2 / (distance + 1e-6)
        gradient = ((self.control_params * slope)[..., None] * offset.sign()).sum(dim=2)  # (B, N, 2)
        return self.theta[:, None, :, :2] + gradient[:, :, None]

    def warp_picture(self, picture: torch.Tensor, centers: bool = False) -> torch.Tensor:
        """`picture` `(B, C, H, W)` read at T(z), with reflection at the borders; z as in `sampling_grid`."""
        height, width = picture.shape[-2:]
        # One grid for all pictures: distances to its control points are computed once.
        grid = self.warp_points(sampling_grid(height, width, picture.device, centers).flatten(0, 1)[None])
        grid = grid.unflatten(1, (height, width))
        return F.grid_sample(picture.float(), grid, padding_mode="reflection", align_corners=False).to(picture.dtype)


def equivariance_losses(
    driving: RegionParameters, transformed: RegionParameters, transform: RandomTransform
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far regions of a transformed picture are from the transformed regions (weights of 10 included).

    Args:
        driving: regions of the picture.
        transformed: regions of `transform.warp_picture(picture)`.

    Returns:
        Shift loss 10 mean |p - T(p')| and affine loss 10 mean |I - A^-1 J_T(p') A'|, the latter up to a common sign.
    """
    shift = (driving.shift - transform.warp_points(transformed.shift)).abs().mean()
    value = matmul_2x2(
        inverse_2x2(driving.affine), matmul_2x2(transform.jacobian(transformed.shift), transformed.affine)
    )
    value = value * value[..., :1, :1].sign()
    affine = (torch.eye(2, device=value.device) - value).abs().mean()
    return 10 * shift, 10 * affine


# Standard deviations (a tenth of half the picture) and distances that `concentration_loss` asks for, in grid units.
CONCENTRATED, SEPARATE = 0.1, 0.08


def concentration_loss(regions: RegionParameters) -> torch.Tensor:
    """How spread out each region is, and how near to each other they are: mean_k relu(tr S_k - 2 c^2) + s / 10.

    c is `CONCENTRATED`, and s the mean over k of the sum over l != k of exp(-|p_k - p_l|^2 / (2 d^2)), with d `SEPARATE`.
    After Zhang et al., "Unsupervised Discovery of Object Landmarks as Structural Representations", CVPR 2018. Heatmaps
    start out flat: a region that is everywhere hardly moves when something in the picture does, and it takes a long
    time until training from scratch finds out what to follow.
    """
    spread = regions.covar.diagonal(dim1=-2, dim2=-1).sum(-1) - 2 * CONCENTRATED**2
    distance = (regions.shift[:, :, None] - regions.shift[:, None]).square().sum(-1)  # (B, K, K)
    crowding = torch.exp(distance / (-2 * SEPARATE**2)).sum(-1) - 1
    return spread.relu().mean() + crowding.mean() / 10


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
        self.pyramid = nn.ModuleList(AntiAliasDownsample(3, scale) for scale in scales)
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Both `(B, 3, H, W)` in [0, 1]; gradients flow to `prediction` only."""
        loss = prediction.new_zeros(())
        for downsample in self.pyramid:
            if min(target.shape[-2:]) < self.MIN_SIZE * downsample.stride:
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


def picture_losses(
    reconstruction: nn.Module,
    output: DecodedFrames | LatentFlowAutoencoderOutput,
    reference: torch.Tensor,
    driving: torch.Tensor,
    inpainted_weight: float,
    motion_weight: float,
) -> dict[str, torch.Tensor]:
    """Weighted losses of an auto-encoder's result and of its decoder's own picture; arguments as in `LFAELoss`."""
    weight = 1 + motion_weight * (driving - reference).abs().mean(dim=1, keepdim=True)
    weight = weight / weight.mean()

    def compare(picture: torch.Tensor) -> torch.Tensor:
        if motion_weight:
            picture = driving + weight * (picture.float() - driving)
        return reconstruction(picture.float(), driving)

    losses = {"reconstruction": compare(output.sample)}
    if inpainted_weight:
        losses["inpainted"] = inpainted_weight * compare(output.inpainted)
    return losses


class LFAELoss(nn.Module):
    """The auto-encoder and its losses in one forward pass, as DistributedDataParallel needs it.

    The last three arguments are not in the paper, which starts from weights trained on other data; with 0 each the losses
    are the published ones.

    Args:
        lfae: in training mode.
        reconstruction: a `PerceptualPyramidLoss` or `PixelPyramidLoss`.
        inpainted_weight: of the same loss on `output.inpainted`, the decoder's own picture before the last blend.
            Trained from scratch without it, the occlusion goes to 1 everywhere: warped pixels are copied, and the
            decoder, which gets almost no gradient, never learns to inpaint.
        concentration_weight: of `concentration_loss` of the driving picture's regions.
        motion_weight: compare pictures with errors weighted by 1 + motion_weight |driving - reference| (mean over the
            colours; scaled to mean 1 over each batch): where little moves, the motion would be a small share of the loss.
    """

    def __init__(
        self,
        lfae: nn.Module,
        reconstruction: nn.Module,
        inpainted_weight: float = 1.0,
        concentration_weight: float = 0.0,
        motion_weight: float = 0.0,
    ):
        super().__init__()
        self.lfae, self.reconstruction = lfae, reconstruction
        self.inpainted_weight, self.concentration_weight = inpainted_weight, concentration_weight
        self.motion_weight = motion_weight

    def forward(
        self, reference: torch.Tensor, driving: torch.Tensor, transform: RandomTransform
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Weighted losses by name, to be summed, and the mean occlusion (without a gradient).

        Args:
            reference, driving: `(B, 3, H, W)` in [0, 1].
            transform: of B pictures, for the equivariance losses.
        """
        transformed = transform.warp_picture(driving, self.lfae.config.flow_grid == "centers")
        output = self.lfae(reference, driving, others=transformed)
        losses = picture_losses(
            self.reconstruction, output, reference, driving, self.inpainted_weight, self.motion_weight
        )
        with torch.autocast(driving.device.type, enabled=False):
            shift, affine = equivariance_losses(output.driving_regions, output.other_regions, transform)
            losses |= {"equivariance_shift": shift, "equivariance_affine": affine}
            if self.concentration_weight:
                losses["concentration"] = self.concentration_weight * concentration_loss(output.driving_regions)
        return losses, output.occlusion.detach().mean()


class DenoisingLoss(nn.Module):
    """Stage two's loss, and the U-Net in one forward pass, as DistributedDataParallel needs it (LFDM, eq. 4).

    Args:
        unet: its `prediction_type` says what it is asked for.
        alphas_cumprod: `(T,)` of the noise schedule.
        snr_gamma: min-SNR weights (Hang et al., ICCV 2023) with this gamma; None weighs all timesteps alike.
    """

    def __init__(self, unet: nn.Module, alphas_cumprod: torch.Tensor, snr_gamma: float | None = None):
        super().__init__()
        self.unet, self.snr_gamma = unet, snr_gamma
        self.prediction_type = unet.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(
                f"`prediction_type` must be 'epsilon', 'v_prediction' or 'sample', got {self.prediction_type!r}."
            )
        self.register_buffer("alphas_cumprod", alphas_cumprod.double(), persistent=False)

    def forward(
        self,
        volume: torch.Tensor,
        noise: torch.Tensor,
        timesteps: torch.Tensor,
        text_embeds: torch.Tensor | None,
        null_mask: torch.Tensor | None,
        image_latents: torch.Tensor,
    ) -> torch.Tensor:
        """Mean over the batch of w_t |prediction - target|^2 (mean over all entries of a volume).

        Args:
            volume: `(B, 3, F, h, w)` x0, standardised.
            noise: like `volume`.
            timesteps: `(B,)` int64.
            text_embeds, null_mask, image_latents: as in `UNet3DVideoModel.forward`.
        """
        signal = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1, 1)
        a, b = signal.sqrt().float(), (1 - signal).sqrt().float()
        prediction = self.unet(
            a * volume + b * noise, timesteps, text_embeds, image_latents, null_mask=null_mask, return_dict=False
        )[0]
        target = {"epsilon": noise, "sample": volume, "v_prediction": a * noise - b * volume}[self.prediction_type]
        error = (prediction.float() - target).square().mean(dim=(1, 2, 3, 4))
        return (self.weights(timesteps) * error).mean()

    def weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        """w_t `(B,)`: min(SNR, gamma), for x0, in units of what is predicted."""
        if self.snr_gamma is None:
            return torch.ones_like(timesteps, dtype=torch.float32)
        signal = self.alphas_cumprod[timesteps]
        snr = signal / (1 - signal)
        unit = {"epsilon": snr, "sample": torch.ones_like(snr), "v_prediction": snr + 1}[self.prediction_type]
        return (snr.clamp(max=self.snr_gamma) / unit).float()
