"""Adapting a trained auto-encoder's decoder to other pictures: its losses in one forward pass, and the task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..data.dataset import FramePair
from ..evaluation.reconstruction import motion_between
from ..hub.cards import CardFacts
from ..models import LatentFlowAutoencoder
from .lfae import ReenactmentTask
from .reconstruction_loss import picture_losses
from .task import Examples, Losses, Result, Validation

NEXT = "load it in a pipeline as above, then pipe(picture, label), or pipe.save_pretrained(FOLDER) for `lfdm generate --model FOLDER`"
COMPARISON = (
    "L1 errors of re-enacted validation pairs: over all pixels, over those that move, and over those that are painted rather than "
    "warped (the occlusion is under 1/2). `inpainted` is the decoder's picture before the last blend.\n"
)


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

    def forward(
        self, reference: torch.Tensor, driving: torch.Tensor, true: Sequence[torch.Tensor] = ()
    ) -> dict[str, torch.Tensor]:
        """Weighted losses by name, to be summed, for pictures `(B, 3, H, W)` in [0, 1]; `true` is their true motion, batched as in
        `FramePair`, to decode by in the place of the auto-encoder's own."""
        with torch.no_grad():
            flow, occlusion = motion_between(self.lfae, reference, driving, true)
            encoded = self.lfae.encode(reference)
        output = self.lfae.decode(encoded, flow, occlusion)
        return picture_losses(
            self.reconstruction, output, reference, driving, self.inpainted_weight, self.motion_weight
        )


class DecoderTask(ReenactmentTask):
    """The decoder of a trained auto-encoder.

    Args:
        lfae: on the device to train on; see `DecoderLoss`.
        reconstruction, inpainted_weight, motion_weight: as in `DecoderLoss`.
        dataset, pairs, freeze_batchnorm_after, batch_size: as in `ReenactmentTask`.
        base_model: Hub id of what is adapted, for the cards; None if it has none.
        of_pipeline: whether that is a pipeline, rather than an auto-encoder.
    """

    def __init__(
        self,
        lfae: LatentFlowAutoencoder,
        reconstruction: nn.Module,
        dataset: Examples,
        pairs: tuple[torch.Tensor, ...] | None,
        *,
        inpainted_weight: float = 1.0,
        motion_weight: float = 0.0,
        freeze_batchnorm_after: float = 0.0,
        batch_size: int = 16,
        base_model: str | None = None,
        of_pipeline: bool = True,
    ):
        module = DecoderLoss(lfae, reconstruction, inpainted_weight, motion_weight)
        super().__init__(lfae, lfae.decoder, module, dataset, pairs, freeze_batchnorm_after, batch_size)
        self.base_model, self.of_pipeline = base_model, of_pipeline
        # By name, the error of the base model, which has to be beaten, and of the adapted one.
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}

    def start(self) -> Validation:
        base = self.validate()
        self.before = base.numbers
        return base

    def load(self, checkpoint: Path) -> None:
        self.lfae.load_decoder(checkpoint / "decoder")

    def losses(self, module: nn.Module, batch: FramePair, draws: range) -> Losses:
        return Losses(module(*self.pictures(batch), self.motion(batch)), {})

    def save(self, folder: Path) -> None:
        self.lfae.save_decoder(folder / "decoder", self.base_model)

    def facts(self) -> CardFacts:
        """A table of errors before and after."""
        found = self.validate().numbers
        self.after = {name: found[name] for name in self.before if "l1" in name and "static" not in name}
        rows = [f"| {name} | {self.before[name]:.4f} | {value:.4f} |" for name, value in self.after.items()]
        table = "\n".join([COMPARISON, "| | base model | adapted |", "|-|-|-|", *rows])
        return CardFacts(notes=[table], **({"base_model": self.base_model} if self.base_model else {}))

    def summary(self) -> str:
        return "; ".join(f"{name} {self.before[name]:.4f} -> {value:.4f}" for name, value in self.after.items())

    def results(self) -> list[Result]:
        return [
            Result("lfae", self.write_lfae, "LatentFlowAutoencoder.from_pretrained({})"),
            Result("decoder", self.write_decoder, "pipe.lfae.load_decoder({})", NEXT),
        ]

    def write_decoder(self, folder: Path, facts: CardFacts, repo_id: str | None) -> None:
        """The decoder by itself, and its card."""
        self.lfae.save_decoder(folder, self.base_model)
        self.lfae.decoder_card(repo_id=repo_id, facts=facts, pipeline=self.of_pipeline).save(folder / "README.md")
