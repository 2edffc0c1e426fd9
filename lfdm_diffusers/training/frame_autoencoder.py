"""Training of the frame auto-encoder that LDM diffuses in: its loss, its score, and the task."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import nn

from ..data.chance import draw_generator
from ..data.dataset import FramePair
from ..data.sampling import spread
from ..hub.cards import CardFacts, component_card
from ..metrics.reconstruction import reconstruction_l1
from ..visualization import contact_sheet
from .checkpoints import restore_weights
from .reconstruction_loss import PixelPyramidLoss
from .task import Examples, Losses, Result, Task, Validation


def build_frame_autoencoder(config: dict) -> AutoencoderKL:
    """An `AutoencoderKL` of given arguments, with as many plain blocks as `block_out_channels`."""
    levels = len(config["block_out_channels"])
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * levels, "up_block_types": ["UpDecoderBlock2D"] * levels}
    return AutoencoderKL(**blocks | config)


class FrameAutoencoderLoss(nn.Module):
    """A frame auto-encoder and its losses in one forward pass (after Rombach et al., CVPR 2022, section 3.1, whose
    adversarial and perceptual losses are left out).

    Args:
        vae: of pictures in [-1, 1].
        reconstruction: compares pictures in [0, 1], such as `PixelPyramidLoss`.
        kl_weight: of the divergence of the latents' distribution from N(0, 1), summed over a picture's latents.
    """

    def __init__(self, vae: AutoencoderKL, reconstruction: nn.Module, kl_weight: float = 1e-6):
        super().__init__()
        self.vae, self.reconstruction, self.kl_weight = vae, reconstruction, kl_weight

    def forward(self, pictures: torch.Tensor, noise: torch.Tensor) -> dict[str, torch.Tensor]:
        """Weighted losses by name, to be summed.

        Args:
            pictures: `(B, 3, H, W)` in [0, 1].
            noise: `(B, C, h, w)` from N(0, 1), for the latents.
        """
        found = self.vae.encode(pictures * 2 - 1).latent_dist
        decoded = self.vae.decode(found.mean + found.std * noise).sample
        return {
            "reconstruction": self.reconstruction(decoded / 2 + 0.5, pictures),
            "kl": self.kl_weight * found.kl().mean(),
        }


@torch.no_grad()
def evaluate_frame_autoencoder(
    vae: AutoencoderKL, pictures: torch.Tensor, batch_size: int = 32, columns: int = 8
) -> Validation:
    """Mean absolute error of `pictures` `(N, 3, H, W)` in [0, 1], encoded and decoded, and a sheet of some and theirs."""
    parts = []
    for part in pictures.split(batch_size):
        latents = vae.encode(part.to(vae.device) * 2 - 1).latent_dist.mode()
        parts.append((vae.decode(latents).sample.float() / 2 + 0.5).clamp(0, 1).cpu())
    decoded = torch.cat(parts)
    shown = spread(range(len(pictures)), columns)
    rows = [[x[i].permute(1, 2, 0).numpy() for i in shown] for x in (pictures, decoded)]
    sheet = contact_sheet(rows, [""] * len(shown), names=["picture", "decoded"])
    return Validation({"l1": reconstruction_l1(decoded, pictures)}, {"samples": sheet})


class FrameAutoencoderTask(Task):
    """The frame auto-encoder that LDM needs, of pairs of frames; a batch has two pictures for each.

    Args:
        vae: in training mode, channels-last, with the pictures' size in its configuration.
        dataset: `PairDataset`.
        held_out: pictures `(N, 3, H, W)` in [0, 1] to judge it by.
        kl_weight: as in `FrameAutoencoderLoss`.
        seed: of the latents' noise.
    """

    unit = "pairs of frames"

    def __init__(
        self, vae: AutoencoderKL, dataset: Examples, held_out: torch.Tensor, *, kl_weight: float = 1e-6, seed: int = 0
    ):
        self.vae, self.dataset, self.held_out, self.seed = vae, dataset, held_out, seed
        self.module, self.models = FrameAutoencoderLoss(vae, PixelPyramidLoss(), kl_weight), [vae]
        side = vae.config.sample_size // 2 ** (len(vae.config.block_out_channels) - 1)
        self.noise_shape = (2, vae.config.latent_channels, side, side)

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.vae.parameters()

    def load_state(self, state: dict) -> None:
        restore_weights(self.vae, state)

    def losses(self, module: nn.Module, batch: FramePair, draws: range) -> Losses:
        device = self.vae.device
        pictures = torch.cat((batch.reference, batch.driving)).to(device, memory_format=torch.channels_last)
        noise = [
            torch.randn(self.noise_shape, generator=draw_generator(self.seed, draw), dtype=torch.float32)
            for draw in draws
        ]
        return Losses(module(pictures, torch.stack(noise, dim=1).flatten(0, 1).to(device)), {})

    def validate(self) -> Validation:
        return evaluate_frame_autoencoder(self.vae, self.held_out)

    def save(self, folder: Path) -> None:
        self.vae.save_pretrained(folder / "vae")

    def state(self) -> dict:
        return self.vae.state_dict()

    def results(self) -> list[Result]:
        return [Result("vae", self.write, "AutoencoderKL.from_pretrained({})")]

    def write(self, folder: Path, facts: CardFacts, repo_id: str | None) -> None:
        self.vae.save_pretrained(folder)
        component_card(self.vae, repo_id=repo_id, facts=facts).save(folder / "README.md")
