"""Losses of a generator and its discriminators that one backward pass and one optimizer minimise together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .models.imaginator import ImaginatorDiscriminators, ImaginatorGenerator


class AdversarialLoss(nn.Module):
    """ImaGINator and its losses in one forward pass (Wang et al., WACV 2020), as DistributedDataParallel needs it.

    The sum of all losses has for each weight the gradient of its own player's loss alone: the discriminators judge made videos
    once without the generator's graph, and once, for the generator, with weights that get no gradient. One step of one
    optimizer is so a simultaneous step of both players, each from the same weights; GANs usually take turns. For GANs of this
    kind that optimizer is Adam with a learning rate of 2e-4 and betas (0.5, 0.999) (DCGAN, Radford et al., 2016). The form of the
    paper's adversarial losses and the weight of its reconstruction loss could not be checked against its text.

    The generator runs once, so that its BatchNorm statistics move once a step; the discriminators keep none.

    Args:
        generator: in training mode.
        discriminators: of the same sizes.
        reconstruction_weight: of the mean absolute difference from the true video, in [-1, 1].
    """

    def __init__(
        self,
        generator: ImaginatorGenerator,
        discriminators: ImaginatorDiscriminators,
        reconstruction_weight: float = 100.0,
    ):
        super().__init__()
        for name in ("sample_size", "num_frames", "in_channels", "text_embed_dim"):
            ours, theirs = generator.config[name], discriminators.config[name]
            if ours != theirs:
                raise ValueError(f"`discriminators` must have the generator's {name}, {ours}, got {theirs}.")
        self.generator, self.discriminators = generator, discriminators
        self.reconstruction_weight = reconstruction_weight

    def forward(
        self,
        videos: torch.Tensor,
        pictures: torch.Tensor,
        text_embeds: torch.Tensor | None,
        noise: torch.Tensor,
        frame_indices: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Weighted losses by name, to be summed; cross-entropies of logits, non-saturating for the generator.

        Args:
            videos: `(B, 3, F, H, W)` in [0, 1].
            pictures: `(B, 3, H, W)` in [0, 1], from which the videos shall be made.
            text_embeds: `(B, D)` or None; rows of zeros are the null condition.
            noise: `(B, noise_dim)` from N(0, 1).
            frame_indices: `(B,)` int64 in [0, F): the frame of each true and made video that D_I judges.
        """
        true = 2 * videos - 1
        made = self.generator(2 * pictures - 1, noise, text_embeds).sample
        frozen = {name: weight.detach() for name, weight in self.discriminators.named_parameters()}
        fooled = torch.func.functional_call(self.discriminators, frozen, (made, frame_indices, text_embeds))
        on_true = self.discriminators(true, frame_indices, text_embeds)
        on_made = self.discriminators(made.detach(), frame_indices, text_embeds)
        reconstruction = (made.float() - true).abs().mean()
        return {
            "generator_image": cross_entropy(fooled.image, True),
            "generator_video": cross_entropy(fooled.video, True),
            "reconstruction": self.reconstruction_weight * reconstruction,
            "discriminator_image": cross_entropy(on_true.image, True) + cross_entropy(on_made.image, False),
            "discriminator_video": cross_entropy(on_true.video, True) + cross_entropy(on_made.video, False),
        }


def cross_entropy(logits: torch.Tensor, true: bool) -> torch.Tensor:
    """Mean of -log p, where p is the probability that `logits` give to what is claimed: a true video, or a made one."""
    return F.softplus(-logits.float() if true else logits.float()).mean()
