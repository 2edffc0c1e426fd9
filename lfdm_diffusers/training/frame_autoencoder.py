"""Training of the frame auto-encoder that LDM diffuses in: its loss, and how well it does."""

from __future__ import annotations

import PIL.Image
import torch
from diffusers import AutoencoderKL
from torch import nn

from ..data.sampling import spread
from ..metrics.reconstruction import reconstruction_l1
from ..visualization import contact_sheet


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
) -> tuple[dict[str, float], PIL.Image.Image]:
    """Mean absolute error of `pictures` `(N, 3, H, W)` in [0, 1], encoded and decoded, and a sheet of some and theirs."""
    parts = []
    for part in pictures.split(batch_size):
        latents = vae.encode(part.to(vae.device) * 2 - 1).latent_dist.mode()
        parts.append((vae.decode(latents).sample.float() / 2 + 0.5).clamp(0, 1).cpu())
    decoded = torch.cat(parts)
    shown = spread(range(len(pictures)), columns)
    rows = [[x[i].permute(1, 2, 0).numpy() for i in shown] for x in (pictures, decoded)]
    sheet = contact_sheet(rows, [""] * len(shown), names=["picture", "decoded"])
    return {"l1": reconstruction_l1(decoded, pictures)}, sheet
