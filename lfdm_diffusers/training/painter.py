"""Training of a `FullSizePainter` beside a frozen auto-encoder: its losses in one forward pass, and the task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..data.dataset import FramePair
from ..evaluation.full_size import evaluate_painter, small_motion
from ..hub.cards import CardFacts
from ..models import FullSizePainter, LatentFlowAutoencoder
from ..models.full_size_painter import composed
from .lfae import ReenactmentTask
from .reconstruction_loss import sharpness_loss, weighted_comparison
from .task import Examples, Losses, Result, Validation, needed

NEXT = "give it to a pipeline, LFDMPipeline.from_pretrained(MODEL, painter=painter), and save that for `lfdm generate --model`"


class PainterLoss(nn.Module):
    """A frozen auto-encoder, the painter, and its losses in one forward pass.

    Args:
        lfae: finds the motion between pictures made smaller by the painter's scale, and decodes.
        painter: learns.
        reconstruction: a `PerceptualPyramidLoss` or `PixelPyramidLoss`.
        painted_weight: of the same loss where all is painted that is active: what is painted is good before it is trusted.
        motion_weight: as in `LFAELoss`.
        sharpness_weight: of `sharpness_loss`, of both.
    """

    def __init__(
        self,
        lfae: LatentFlowAutoencoder,
        painter: FullSizePainter,
        reconstruction: nn.Module,
        painted_weight: float = 0.25,
        motion_weight: float = 0.0,
        sharpness_weight: float = 0.0,
    ):
        super().__init__()
        self.lfae, self.painter, self.reconstruction = lfae.requires_grad_(False).eval(), painter, reconstruction
        self.painted_weight, self.motion_weight, self.sharpness_weight = (
            painted_weight,
            motion_weight,
            sharpness_weight,
        )

    def forward(
        self, reference: torch.Tensor, driving: torch.Tensor, true: Sequence[torch.Tensor] = ()
    ) -> dict[str, torch.Tensor]:
        """Weighted losses by name, to be summed, for pictures `(B, 3, S h, S w)` in [0, 1]; `true` is their true motion, batched as
        in `FramePair`, in the place of the auto-encoder's own."""
        scale = self.painter.config.scale
        details = self.painter(reference, *small_motion(self.lfae, reference, driving, scale, true))
        compare = weighted_comparison(self.reconstruction, reference, driving, self.motion_weight)
        frames = composed(reference, details)
        losses = {"reconstruction": compare(frames)}
        if self.sharpness_weight:
            losses["sharpness"] = self.sharpness_weight * sharpness_loss(frames, driving)
        if self.painted_weight:
            active = (details.share.detach() > 0.05).float()
            painted = driving + active * (details.painted - driving)
            losses["painted"] = self.painted_weight * compare(painted)
            if self.sharpness_weight:
                losses["painted"] += self.painted_weight * self.sharpness_weight * sharpness_loss(painted, driving)
        return losses


class PainterTask(ReenactmentTask):
    """A painter of an auto-encoder's pictures.

    Args:
        lfae, painter, reconstruction, painted_weight, motion_weight, sharpness_weight: as in `PainterLoss`.
        dataset, pairs: as in `ReenactmentTask`, of pictures of S times the auto-encoder's size.
        batch_size: of validation.
    """

    def __init__(
        self,
        lfae: LatentFlowAutoencoder,
        painter: FullSizePainter,
        reconstruction: nn.Module,
        dataset: Examples,
        pairs: tuple[torch.Tensor, ...] | None,
        *,
        painted_weight: float = 0.25,
        motion_weight: float = 0.0,
        sharpness_weight: float = 0.0,
        batch_size: int = 8,
    ):
        module = PainterLoss(lfae, painter, reconstruction, painted_weight, motion_weight, sharpness_weight)
        # A painter has no BatchNorm to freeze.
        super().__init__(lfae, painter, module, dataset, pairs, freeze_batchnorm_after=1.0, batch_size=batch_size)
        self.painter = painter

    def start(self) -> Validation:
        return self.validate()

    def load(self, checkpoint: Path) -> None:
        saved = FullSizePainter.from_pretrained(checkpoint / "painter")
        self.painter.load_state_dict(saved.state_dict())

    def losses(self, module: nn.Module, batch: FramePair, draws: range) -> Losses:
        return Losses(module(*self.pictures(batch), self.motion(batch)), {})

    def validate(self) -> Validation:
        pairs = needed("pairs", self.pairs)
        numbers, sheet = evaluate_painter(self.lfae, self.painter, *pairs, batch_size=self.batch_size)
        return Validation(numbers, {"samples": sheet})

    def save(self, folder: Path) -> None:
        self.painter.save_pretrained(folder / "painter")

    def results(self) -> list[Result]:
        return [Result("painter", self.write_painter, "FullSizePainter.from_pretrained({})", NEXT)]

    def write_painter(self, folder: Path, facts: CardFacts, repo_id: str | None) -> None:
        """The painter and its card."""
        self.painter.save_pretrained(folder)
        self.painter.card(repo_id=repo_id, facts=facts).save(folder / "README.md")
