"""Training of ImaGINator: losses that one backward pass and one optimizer minimise together, and the task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..data.chance import draw_generator
from ..data.dataset import ClipSample
from ..metrics.reconstruction import reconstruction_l1
from ..models.imaginator import ImaginatorDiscriminators, ImaginatorGenerator
from ..pipelines import ImaginatorPipeline
from .checkpoints import restore_weights
from .pipeline_task import VALIDATION_DRAWS, HeldOut, PipelineTask
from .task import Examples, Losses


class AdversarialLoss(nn.Module):
    """ImaGINator and its losses in one forward pass (Wang et al., WACV 2020), as DistributedDataParallel needs it.

    The sum of all losses has for each weight the gradient of its own player's loss alone: the discriminators judge made videos
    once without the generator's graph, and once, for the generator, with weights that get no gradient. So one step of one
    optimizer is a simultaneous step of both players, each from the same weights; GANs usually take turns. For GANs of this
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
            pictures: `(B, 3, H, W)` in [0, 1], from which the videos are made.
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


class AdversarialTask(PipelineTask):
    """An `ImaginatorPipeline` whose generator is being trained against its discriminators.

    Args:
        pipe: with its generator in training mode, on the device to train on.
        discriminators: likewise.
        dataset, held_out: as in `PipelineTask`.
        seed: of all chance.
        null_condition_prob: share of examples that are shown without their label.
        reconstruction_weight: as in `AdversarialLoss`.
        discriminator_lr_scale: the discriminators' learning rate, as a multiple of the generator's: players that step together
            may still learn at their own rates (Heusel et al., 2017).
        ema_decay: of the generator's averaged weights, which are those validated and saved; 0: none.
    """

    def __init__(
        self,
        pipe: ImaginatorPipeline,
        discriminators: ImaginatorDiscriminators,
        dataset: Examples | None = None,
        held_out: HeldOut | None = None,
        *,
        seed: int = 0,
        null_condition_prob: float = 0.1,
        reconstruction_weight: float = 100.0,
        discriminator_lr_scale: float = 1.0,
        ema_decay: float = 0.999,
    ):
        super().__init__(pipe, pipe.imaginator, dataset, held_out, seed, null_condition_prob, ema_decay)
        self.discriminator_lr_scale = discriminator_lr_scale
        self.module: AdversarialLoss = AdversarialLoss(pipe.imaginator, discriminators, reconstruction_weight).to(
            self.device
        )
        self.models = [self.module.generator, self.module.discriminators]

    def parameters(self) -> list[dict]:
        return [
            {"params": list(player.parameters()), "lr_scale": scale}
            for player, scale in zip(self.models, (1.0, self.discriminator_lr_scale))
        ]

    def arguments(self, samples: ClipSample, draws: Sequence[int]) -> tuple[torch.Tensor | None, ...]:
        """The arguments of `AdversarialLoss.forward` for a batch; each example has its own random numbers."""
        noise, frames, null = [], [], []
        for generator, label in zip(self.chance(draws), samples.label):
            noise.append(torch.randn(self.pipe.imaginator.config.noise_dim, generator=generator, dtype=torch.float32))
            frames.append(torch.randint(samples.frames.shape[2], (), generator=generator))
            null.append(self.drops_label(label, generator))
        embeds = self.text_embeds(samples.label)
        if embeds is not None:
            embeds = embeds.masked_fill(torch.tensor(null, device=self.device)[:, None], 0)
        videos = samples.frames.to(self.device, non_blocking=True)
        return videos, videos[:, :, 0], embeds, torch.stack(noise).to(self.device), torch.stack(frames).to(self.device)

    def losses(self, module: nn.Module, batch: ClipSample, draws: range) -> Losses:
        return Losses(module(*self.arguments(batch, draws)), {})

    def judge(self, held_out: HeldOut) -> dict[str, float]:
        """L1 of the held-out clips, made from their first frames."""
        total, count = 0.0, len(held_out.dataset)
        for i in range(count):
            frames, label = held_out.dataset[i].frames, held_out.dataset[i].label
            noise = draw_generator(self.seed, VALIDATION_DRAWS + i)
            video = self.pipe(frames[:, 0], label or None, generator=noise, output_type="pt").frames[0]
            total += reconstruction_l1(video.cpu(), frames.transpose(0, 1))
        return {"l1": total / count}

    def save(self, folder: Path) -> None:
        """Both players, the generator with its averaged weights."""
        with self.average.in_place():
            self.module.generator.save_pretrained(folder / "imaginator")
        self.module.discriminators.save_pretrained(folder / "discriminators")

    def state(self) -> dict:
        return {"players": self.module.state_dict(), **self.average.state()}

    def load_state(self, state: dict) -> None:
        restore_weights(self.module, state["players"])
        self.average.load_state(state)
