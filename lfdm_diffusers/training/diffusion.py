"""Training of a pipeline's U-Net: examples to losses, averaged weights, validation, what a checkpoint keeps."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch.utils.data import Dataset, default_collate

from ..data.chance import draw_generator
from ..pipelines.video_diffusion import VideoDiffusionPipeline
from ..visualization.generation_sheet import generation_sheet
from .averaged_weights import AveragedWeights
from .checkpoints import VALIDATION_DRAWS
from .losses import DenoisingLoss


class DiffusionTraining(abc.ABC):
    """A pipeline whose U-Net is being trained; a subclass says by `targets` what an example holds.

    Args:
        pipe: with its U-Net in training mode, on the device to train on, like its auto-encoder, which is frozen.
        seed: of all chance.
        null_condition_prob: share of examples that are shown without their label.
        snr_gamma: as in `DenoisingLoss`.
        ema_decay: of the averaged weights, which are those validated and saved; 0: none.
    """

    def __init__(
        self,
        pipe: VideoDiffusionPipeline,
        seed: int = 0,
        null_condition_prob: float = 0.1,
        snr_gamma: float | None = None,
        ema_decay: float = 0.999,
    ):
        self.pipe, self.seed, self.null_condition_prob = pipe, seed, null_condition_prob
        self.unet, self.device = pipe.unet, pipe.unet.device
        alphas_cumprod = torch.cumprod(1 - pipe.scheduler.betas.double(), dim=0)
        self.loss = DenoisingLoss(self.unet, alphas_cumprod, snr_gamma).to(self.device)
        self.average = AveragedWeights(self.unet, ema_decay)
        self.weights = self.average.weights

    @property
    def _space(self) -> tuple[str, str, list[float]]:
        """What the U-Net predicts, of what, and how that is scaled: a network that has learned one cannot go on with another."""
        config = self.unet.config
        return config.prediction_type, self.pipe.target, [*config.target_mean, *config.target_std]

    @abc.abstractmethod
    def targets(self, samples: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a batch, the volumes to diffuse, `(B, C, F, h, w)`, and what the pictures give the U-Net, `(B, C', h, w)`."""

    def arguments(self, samples: Any, draws: Sequence[int]) -> tuple[torch.Tensor | None, ...]:
        """What `DenoisingLoss.forward` takes for a batch with labels in `label`; the chance of each example comes from its own
        draw."""
        with torch.no_grad():
            volume, latents = self.targets(samples)
        noise, timesteps, null = [], [], []
        for draw, label in zip(draws, samples.label):
            generator = draw_generator(self.seed, draw)
            timesteps.append(torch.randint(len(self.loss.alphas_cumprod), (), generator=generator))
            null.append(not label or torch.rand((), generator=generator).item() < self.null_condition_prob)
            noise.append(torch.randn(volume.shape[1:], generator=generator))
        table = self.pipe.label_embeddings
        embeds = table.rows(samples.label).to(self.device) if table is not None else None
        noise, timesteps, null = torch.stack(noise), torch.stack(timesteps), torch.tensor(null)
        return volume, noise.to(self.device), timesteps.to(self.device), embeds, null.to(self.device), latents

    def after_step(self) -> None:
        self.average.step()

    @torch.no_grad()
    def validate(
        self, held_out: Dataset, pictures: Sequence[PIL.Image.Image], labels: Sequence[str], batch_size: int
    ) -> tuple[dict[str, float], dict[str, PIL.Image.Image]]:
        """Loss of `held_out` (the same timesteps and noise each time), and a sheet of clips of all labels."""
        total = 0.0
        with self.average.in_place():
            for first in range(0, len(held_out), batch_size):
                items = range(first, min(first + batch_size, len(held_out)))
                samples = default_collate([held_out[i] for i in items])
                total += self.loss(*self.arguments(samples, [VALIDATION_DRAWS + i for i in items])).item() * len(items)
            sheet = generation_sheet(self.pipe, pictures, labels or [None], held_out.num_frames, self.seed)
        return {"loss": total / len(held_out)}, {"samples": sheet}

    def save(self, folder: Path) -> None:
        """The averaged weights: unet/, or lora/ where only adapters are trained."""
        with self.average.in_place():
            if hasattr(self.unet, "peft_config"):
                self.unet.save_lora_adapter(folder / "lora")
            else:
                self.unet.save_pretrained(folder / "unet")

    def state(self) -> dict:
        """What a checkpoint needs to go on exactly."""
        state = {"weights": {name: weight.detach() for name, weight in self.weights.items()}, "space": self._space}
        return state | self.average.state()

    @torch.no_grad()
    def load_state(self, state: dict) -> None:
        """Raises ValueError if `state` is of another training."""
        *was, scales_were = state.get("space", self._space)
        *now, scales = self._space
        # Another device may sum up the statistics of the same clips a little differently.
        if was != now or len(scales_were) != len(scales) or not np.allclose(scales_were, scales, rtol=1e-3, atol=1e-3):
            raise ValueError(
                f"the checkpoint's U-Net was trained in another space: it predicted {', '.join(was)}, of channels with means and "
                f"deviations {scales_were}; now it is {', '.join(now)}, with {scales}."
            )
        if state["weights"].keys() != self.weights.keys():
            raise ValueError("the checkpoint is of a run with other weights: `--lora_rank` differs.")
        for name, weight in self.weights.items():
            if state["weights"][name].shape != weight.shape:
                raise ValueError(f"the checkpoint is of a run with another network: {name} has another shape.")
        for name, weight in self.weights.items():
            weight.copy_(state["weights"][name])
        self.average.load_state(state)

    def finish(self, folder: Path) -> None:
        """Save the whole pipeline with the averaged weights; adapters are merged, and kept beside it in lora/."""
        self.average.keep()
        if hasattr(self.unet, "peft_config"):
            self.unet.save_lora_adapter(folder / "lora")
            self.unet.fuse_lora()
            self.unet.unload_lora()
        self.pipe.to("cpu").save_pretrained(folder)
