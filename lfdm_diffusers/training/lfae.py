"""Training of the latent flow auto-encoder, stage one: its losses in one forward pass, and the task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from ..data.chance import draw_generator
from ..data.dataset import FramePair
from ..evaluation.reconstruction import evaluate_reconstruction
from ..hub.cards import CardFacts
from ..models import LatentFlowAutoencoder
from .batchnorm import set_batchnorm_training
from .equivariance import RandomTransform, concentration_loss, equivariance_losses
from .motion_loss import still_loss, true_motion_losses
from .reconstruction_loss import picture_losses
from .task import Examples, Losses, Result, Task, Validation, needed

# Stage two learns to generate this auto-encoder's motion.
NEXT = "python training/train_unet.py --lfae {} --train_data_dir DATA --output_dir lfdm"


class LFAELoss(nn.Module):
    """The auto-encoder and its losses in one forward pass, as DistributedDataParallel needs it.

    The last five arguments are not in the paper, which starts from weights trained on other data; with 0 each the losses
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
        true_motion_weight: of `true_motion_losses`.
        still_weight: of `still_loss`.
    """

    def __init__(
        self,
        lfae: LatentFlowAutoencoder,
        reconstruction: nn.Module,
        inpainted_weight: float = 1.0,
        concentration_weight: float = 0.0,
        motion_weight: float = 0.0,
        true_motion_weight: float = 0.0,
        still_weight: float = 0.0,
    ):
        super().__init__()
        self.lfae, self.reconstruction = lfae, reconstruction
        self.inpainted_weight, self.concentration_weight = inpainted_weight, concentration_weight
        self.motion_weight, self.true_motion_weight, self.still_weight = (
            motion_weight,
            true_motion_weight,
            still_weight,
        )

    def forward(
        self,
        reference: torch.Tensor,
        driving: torch.Tensor,
        transform: RandomTransform,
        motion: Sequence[torch.Tensor] = (),
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Weighted losses by name, to be summed, and the mean occlusion (without a gradient).

        Args:
            reference, driving: `(B, 3, H, W)` in [0, 1].
            transform: of B pictures, for the equivariance losses.
            motion: the true one, batched as in `FramePair`.
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
            centers = self.lfae.config.flow_grid == "centers"
            if self.true_motion_weight:
                true_flow, visibility = motion
                losses |= true_motion_losses(
                    output.flow, output.occlusion, true_flow, visibility, centers, self.true_motion_weight
                )
            if self.still_weight:
                losses["still"] = self.still_weight * still_loss(output.flow, reference, driving, centers)
        return losses, output.occlusion.detach().mean()


class ReenactmentTask(Task):
    """An auto-encoder, a part of it, or a network beside it, that learns to re-enact pairs of frames.

    Args:
        lfae: the auto-encoder.
        trained: the part of it that learns, whose BatchNorm follows the batches.
        module: gives the losses of pairs.
        dataset: `PairDataset`.
        pairs: held-out pictures, as `reconstruction_pairs` gives them (with their true motion, they are decoded by that); None in
            processes that do not validate.
        freeze_batchnorm_after: share of the training after which `trained` uses BatchNorm's running statistics.
        batch_size: of validation.
    """

    unit = "pairs of frames"

    def __init__(
        self,
        lfae: LatentFlowAutoencoder,
        trained: nn.Module,
        module: nn.Module,
        dataset: Examples,
        pairs: tuple[torch.Tensor, ...] | None,
        freeze_batchnorm_after: float,
        batch_size: int,
    ):
        self.lfae, self.trained, self.module, self.models = lfae, trained, module, [trained]
        self.dataset, self.pairs, self.batch_size = dataset, pairs, batch_size
        self.freeze_batchnorm_after = freeze_batchnorm_after

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.trained.parameters()

    def before_step(self, progress: float) -> None:
        if progress >= self.freeze_batchnorm_after:
            set_batchnorm_training(self.trained, False)

    def pictures(self, pair: FramePair) -> tuple[torch.Tensor, torch.Tensor]:
        """Reference and driving pictures where the auto-encoder is."""
        device = self.lfae.device
        return pair.reference.to(device, non_blocking=True), pair.driving.to(device, non_blocking=True)

    def motion(self, pair: FramePair) -> list[torch.Tensor]:
        """The true motion, likewise; empty where it was not asked for."""
        return [each.to(self.lfae.device, non_blocking=True) for each in pair.motion]

    def validate(self) -> Validation:
        numbers, sheet = evaluate_reconstruction(self.lfae, *needed("pairs", self.pairs), batch_size=self.batch_size)
        return Validation(numbers, {"samples": sheet})

    def write_lfae(self, folder: Path, facts: CardFacts, repo_id: str | None) -> None:
        """The whole auto-encoder and its card."""
        self.lfae.save_pretrained(folder)
        self.lfae.card(repo_id=repo_id, facts=facts).save(folder / "README.md")


class LFAETask(ReenactmentTask):
    """A latent flow auto-encoder.

    Args:
        lfae: in training mode.
        reconstruction, inpainted_weight, concentration_weight, motion_weight, true_motion_weight, still_weight: as in `LFAELoss`.
        dataset, pairs, freeze_batchnorm_after, batch_size: as in `ReenactmentTask`.
        seed: of the equivariance losses' transforms.
    """

    def __init__(
        self,
        lfae: LatentFlowAutoencoder,
        reconstruction: nn.Module,
        dataset: Examples,
        pairs: tuple[torch.Tensor, ...] | None,
        *,
        inpainted_weight: float = 1.0,
        concentration_weight: float = 0.0,
        motion_weight: float = 0.0,
        true_motion_weight: float = 0.0,
        still_weight: float = 0.0,
        freeze_batchnorm_after: float = 1.0,
        seed: int = 0,
        batch_size: int = 16,
    ):
        module = LFAELoss(
            lfae,
            reconstruction,
            inpainted_weight,
            concentration_weight,
            motion_weight,
            true_motion_weight,
            still_weight,
        )
        super().__init__(lfae, lfae, module, dataset, pairs, freeze_batchnorm_after, batch_size)
        self.seed = seed

    def losses(self, module: nn.Module, batch: FramePair, draws: range) -> Losses:
        transform = RandomTransform.sample(
            len(batch.driving), generator=draw_generator(self.seed, draws.start), device=self.lfae.device
        )
        parts, occlusion = module(*self.pictures(batch), transform, self.motion(batch))
        return Losses(parts, {"occlusion_mean": occlusion})

    def save(self, folder: Path) -> None:
        self.lfae.save_pretrained(folder / "lfae")

    def results(self) -> list[Result]:
        return [Result("lfae", self.write_lfae, "LatentFlowAutoencoder.from_pretrained({})", NEXT)]
