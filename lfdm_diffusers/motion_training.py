"""Training of a U-Net on cached motion: examples to losses, averaged weights, validation, what a checkpoint keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import PIL.Image
import torch
from diffusers.training_utils import EMAModel
from torch.utils.data import default_collate

from .generation_sheet import generation_sheet
from .losses import DenoisingLoss
from .models.blocks_2d import sampling_grid
from .motion_cache import MotionDataset, MotionSample
from .pipelines import LFDMPipeline
from .training_utils import draw_generator

# Draws of validation examples: far beyond any of training.
VALIDATION_DRAWS = 2**62


class MotionTraining:
    """A pipeline whose U-Net is being trained.

    Args:
        pipe: with its U-Net in training mode, on the device to train on, like its LFAE, which is frozen.
        seed: of all chance.
        null_condition_prob: share of examples that are shown without their label.
        snr_gamma: as in `DenoisingLoss`.
        ema_decay: of the averaged weights, which are those validated and saved; 0: none.
    """

    def __init__(
        self,
        pipe: LFDMPipeline,
        seed: int = 0,
        null_condition_prob: float = 0.1,
        snr_gamma: float | None = None,
        ema_decay: float = 0.999,
    ):
        self.pipe, self.seed, self.null_condition_prob = pipe, seed, null_condition_prob
        self.unet, self.device = pipe.unet, pipe.unet.device
        alphas_cumprod = torch.cumprod(1 - pipe.scheduler.betas.double(), dim=0)
        self.loss = DenoisingLoss(self.unet, alphas_cumprod, snr_gamma).to(self.device)
        self.weights = {name: weight for name, weight in self.unet.named_parameters() if weight.requires_grad}
        self.ema = EMAModel(self.weights.values(), decay=ema_decay) if ema_decay else None

    def arguments(self, samples: MotionSample, draws: Sequence[int]) -> tuple[torch.Tensor | None, ...]:
        """What `DenoisingLoss.forward` takes for a batch; the chance of each example comes from its own draw."""
        volume, noise, timesteps, null = self.volume(samples.motion.to(self.device, non_blocking=True)), [], [], []
        for draw, label in zip(draws, samples.label):
            generator = draw_generator(self.seed, draw)
            timesteps.append(torch.randint(len(self.loss.alphas_cumprod), (), generator=generator))
            null.append(not label or torch.rand((), generator=generator).item() < self.null_condition_prob)
            noise.append(torch.randn(volume.shape[1:], generator=generator))
        table, embeds = self.pipe.label_embeddings, None
        if table is not None:
            rows = table.label_ids([label or table.labels[0] for label in samples.label])
            embeds = table.embedding.weight[rows].float().to(self.device)
        with torch.no_grad():
            latents = self.pipe.lfae.encode(samples.reference.to(self.device, non_blocking=True)).latent
        noise, timesteps, null = torch.stack(noise), torch.stack(timesteps), torch.tensor(null)
        return volume, noise.to(self.device), timesteps.to(self.device), embeds, null.to(self.device), latents

    def volume(self, motion: torch.Tensor) -> torch.Tensor:
        """Residual flow and occlusion `(B, 3, F, h, w)` as the U-Net's configuration wants them."""
        config = self.unet.config
        if config.flow_target == "absolute":
            grid = sampling_grid(*motion.shape[-2:], motion.device, centers=True).permute(2, 0, 1)[:, None]
            motion = torch.cat((motion[:, :2] + grid, motion[:, 2:]), dim=1)
        mean, std = (motion.new_tensor(x).view(-1, 1, 1, 1) for x in (config.target_mean, config.target_std))
        return (motion - mean) / std

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in the place of the trained ones, in eval mode."""
        self.unet.eval()
        if self.ema is not None:
            self.ema.store(self.weights.values())
            self.ema.copy_to(self.weights.values())
        try:
            yield
        finally:
            if self.ema is not None:
                self.ema.restore(self.weights.values())
            self.unet.train()

    def after_step(self) -> None:
        if self.ema is not None:
            self.ema.step(self.weights.values())

    @torch.no_grad()
    def validate(
        self, held_out: MotionDataset, pictures: Sequence[PIL.Image.Image], labels: Sequence[str], batch_size: int
    ) -> tuple[dict[str, float], dict[str, PIL.Image.Image]]:
        """Loss of `held_out` (the same timesteps and noise each time), and a sheet of clips of all labels."""
        total = 0.0
        with self.averaged():
            for first in range(0, len(held_out), batch_size):
                items = range(first, min(first + batch_size, len(held_out)))
                samples = MotionSample(*default_collate([held_out[i] for i in items]))
                total += self.loss(*self.arguments(samples, [VALIDATION_DRAWS + i for i in items])).item() * len(items)
            sheet = generation_sheet(self.pipe, pictures, labels or [None], held_out.num_frames, self.seed)
        return {"loss": total / len(held_out)}, {"samples": sheet}

    def save(self, folder: Path) -> None:
        """The averaged weights: unet/, or lora/ where only adapters are trained."""
        with self.averaged():
            if hasattr(self.unet, "peft_config"):
                self.unet.save_lora_adapter(folder / "lora")
            else:
                self.unet.save_pretrained(folder / "unet")

    def state(self) -> dict:
        """What a checkpoint needs to go on exactly."""
        state = {"weights": {name: weight.detach() for name, weight in self.weights.items()}}
        return state | ({"ema": self.ema.state_dict()} if self.ema is not None else {})

    @torch.no_grad()
    def load_state(self, state: dict) -> None:
        """Raises ValueError if `state` is of another training."""
        if state["weights"].keys() != self.weights.keys() or ("ema" in state) != (self.ema is not None):
            raise ValueError("the checkpoint is of a run with other weights: `--lora_rank` or `--ema_decay` differ.")
        for name, weight in self.weights.items():
            weight.copy_(state["weights"][name])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
            self.ema.to(self.device)

    def finish(self, folder: Path) -> None:
        """Save the whole pipeline with the averaged weights; adapters are merged, and kept beside it in lora/."""
        if self.ema is not None:
            self.ema.copy_to(self.weights.values())
        if hasattr(self.unet, "peft_config"):
            self.unet.save_lora_adapter(folder / "lora")
            self.unet.fuse_lora()
            self.unet.unload_lora()
        self.pipe.to("cpu").save_pretrained(folder)
