"""Checks converted models against the plain networks of `reference.py`, which compute from the checkpoint itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..files.fingerprints import weights_sha256
from ..models import LatentFlowAutoencoder, UNet3DVideoModel
from ..pipelines import LFDMPipeline
from .reference import plain_decode, plain_flow, plain_grid, plain_unet


@dataclass
class Verification:
    """The outputs compared, and their differences.

    Attributes:
        differences: for each output, the largest difference from the plain computation relative to the largest value
            there (at least 1), and what is allowed.
        facts: other lines worth printing.
    """

    differences: dict[str, tuple[float, float]] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)

    def compare(self, name: str, ours: torch.Tensor, plain: torch.Tensor, allowed: float = 1e-3) -> None:
        difference = (ours.double() - plain).abs().max() / plain.abs().max().clamp(min=1)
        self.differences[name] = (difference.item(), allowed)

    @property
    def failures(self) -> list[str]:
        """The outputs that differ by more than is allowed, or are not finite."""
        return [name for name, (difference, allowed) in self.differences.items() if not difference <= allowed]

    def lines(self) -> list[str]:
        """The report, for printing."""
        checks = [
            f"{name}: differs by {difference:.1e}, allowed {allowed:.0e}{'  FAILED' if name in self.failures else ''}"
            for name, (difference, allowed) in self.differences.items()
        ]
        return checks + self.facts


def _picture(size: int, rates: tuple[float, float, float], phase: float) -> torch.Tensor:
    """A fixed smooth picture `(1, 3, size, size)` in [0, 1]."""
    pixel = torch.arange(size, dtype=torch.float64) * (64 / size)
    angle = rates[0] * pixel[None, None, :] + rates[1] * pixel[None, :, None]
    angle = angle + rates[2] * torch.arange(3, dtype=torch.float64)[:, None, None] + phase
    return (0.5 + 0.5 * angle.sin()).float()[None]


def _wave(shape: tuple[int, ...], rate: float) -> torch.Tensor:
    """Fixed numbers like noise, in [-1, 1]."""
    return torch.sin(rate * torch.arange(math.prod(shape), dtype=torch.float64) ** 1.5).reshape(shape).float()


@torch.no_grad()
def verify_lfae(lfae: LatentFlowAutoencoder, checkpoint: Mapping, report: Verification | None = None) -> Verification:
    """Hold a converted LFAE against the plain computation, on two fixed pictures of its size (128 if unknown)."""
    report = report or Verification()
    size = lfae.config.sample_size or 128
    reference, driving = _picture(size, (0.13, 0.21, 1.7), 0.0), _picture(size, (0.17, -0.11, 1.1), 0.4)
    motion = lfae.predict_flow(reference, driving)
    flow, occlusion = plain_flow(checkpoint, reference, driving, lfae.config)
    report.compare("LFAE flow", motion.flow, flow)
    report.compare("LFAE occlusion", motion.occlusion, occlusion)
    encoded = lfae.encode(reference)
    frame, latent = plain_decode(checkpoint, reference, motion.flow, motion.occlusion, lfae.config.use_skips)
    report.compare("LFAE latent map", encoded.latent, latent)
    report.compare("LFAE frame", lfae.decode(encoded, motion.flow, motion.occlusion).sample, frame)
    still = lfae.predict_flow(reference, reference).flow
    away = (still - plain_grid(*still.shape[-2:]).permute(2, 0, 1)).abs().mean() * still.shape[-1] / 2
    report.facts.append(f"flow of the fixed picture to itself: {away:.2f} latent pixels from the identity on average")
    report.facts.append(f"LFAE fingerprint: {weights_sha256(lfae)}")
    return report


@torch.no_grad()
def verify_unet(unet: UNet3DVideoModel, checkpoint: Mapping, report: Verification | None = None) -> Verification:
    """Hold a converted U-Net against the plain computation: a fixed volume of ten frames, with and without a text."""
    report = report or Verification()
    config = unet.config
    side = min(config.sample_size or 32, 32)
    sample = 1.5 * _wave((1, config.in_channels, 10, side, side), 0.37)
    image = _wave((1, config.image_latent_channels, side, side), 0.53).abs()
    text = 0.5 * _wave((1, config.text_embed_dim), 0.91)
    for name, step, embeds in (("with a text", 640, text), ("without a text", 7, None)):
        timestep = torch.tensor([step])
        ours = unet(sample, timestep, embeds, image).sample
        plain = plain_unet(
            checkpoint["diffusion"], sample, timestep, embeds, image, config.padding_mode, config.norm_num_groups
        )
        report.compare(f"U-Net noise {name}", ours, plain)
    report.facts.append(f"U-Net fingerprint: {weights_sha256(unet)}")
    return report


@torch.no_grad()
def verify_folder(
    folder: Path, original: LFDMPipeline | LatentFlowAutoencoder, lfae_checkpoint: dict, unet_checkpoint: dict | None
) -> list[str]:
    """Load a converted folder and check it against what was converted, and against the checkpoints themselves.

    Returns:
        The report, line by line.

    Raises:
        ValueError: if anything differs by more than rounding; says what.
    """
    kind = LatentFlowAutoencoder if unet_checkpoint is None else LFDMPipeline
    loaded = kind.from_pretrained(folder)
    pairs: dict[str, tuple[Any, Any]] = {"lfae": (loaded, original)}
    if unet_checkpoint is not None:
        pairs = {
            name: (model, original.components[name])
            for name, model in loaded.components.items()
            if isinstance(model, torch.nn.Module)
        }
    changed = [name for name, (ours, theirs) in pairs.items() if weights_sha256(ours) != weights_sha256(theirs)]
    report = verify_lfae(pairs["lfae"][0], lfae_checkpoint)
    if unet_checkpoint is not None:
        verify_unet(loaded.unet, unet_checkpoint, report)
        betas = torch.tensor(loaded.scheduler.config.trained_betas, dtype=torch.float32)
        if not torch.equal(betas, unet_checkpoint["diffusion"]["betas"].float().cpu()):
            changed.append("scheduler")
        report.facts.append(f"noise schedule: the checkpoint's own, {len(betas)} steps")
    report.facts.append(f"saved and loaded again, bit by bit the same: {', '.join(pairs)}")
    if failures := report.failures + [f"{name} saved and loaded again" for name in changed]:
        raise ValueError(f"`verify` found differences in: {', '.join(failures)}. {'; '.join(report.lines())}.")
    return report.lines()
