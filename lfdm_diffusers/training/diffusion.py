"""Training of a pipeline's U-Net to denoise: its loss, and a task for LFDM's motion and one for frames."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import default_collate

from ..data.dataset import ClipSample
from ..hub.cards import CardFacts, facts_of_base
from ..models import UNet3DVideoModel
from ..ops.warp import sampling_grid
from ..pipelines.video_diffusion import VideoDiffusionPipeline
from .expression_motion import middle, without_affine
from .motion_cache import MotionSample
from .pipeline_task import VALIDATION_DRAWS, HeldOut, PipelineTask
from .task import Examples, Losses


class DenoisingLoss(nn.Module):
    """Stage two's loss, and the U-Net in one forward pass, as DistributedDataParallel needs it (LFDM, eq. 4).

    Args:
        unet: its `prediction_type` says what it predicts.
        alphas_cumprod: `(T,)` of the noise schedule.
        snr_gamma: min-SNR weights (Hang et al., ICCV 2023) with this gamma; None weighs all timesteps alike.
        expression_weight: of the error in the middle (`expression_motion`) that no affine motion explains, beside the whole error:
            of the flow less its affine part, and of the occlusion. A head that turns moves far more than a mouth, and what it does
            no picture tells. What is best to predict stays the same: both terms are least for the mean of all that may be.
    """

    alphas_cumprod: torch.Tensor

    def __init__(
        self,
        unet: UNet3DVideoModel,
        alphas_cumprod: torch.Tensor,
        snr_gamma: float | None = None,
        expression_weight: float = 0.0,
    ):
        super().__init__()
        self.unet, self.snr_gamma, self.expression_weight = unet, snr_gamma, expression_weight
        self.prediction_type = unet.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(
                f"`prediction_type` must be 'epsilon', 'v_prediction' or 'sample', got {self.prediction_type!r}."
            )
        self.register_buffer("alphas_cumprod", alphas_cumprod.double(), persistent=False)

    def forward(
        self,
        volume: torch.Tensor,
        noise: torch.Tensor,
        timesteps: torch.Tensor,
        text_embeds: torch.Tensor | None,
        null_mask: torch.Tensor | None,
        image_latents: torch.Tensor,
    ) -> torch.Tensor:
        """Mean over the batch of w_t |prediction - target|^2 (mean over all entries of a volume).

        Args:
            volume: `(B, 3, F, h, w)` x0, standardised.
            noise: like `volume`.
            timesteps: `(B,)` int64.
            text_embeds, null_mask, image_latents: as in `UNet3DVideoModel.forward`.
        """
        signal = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1, 1)
        a, b = signal.sqrt().float(), (1 - signal).sqrt().float()
        prediction = self.unet(
            a * volume + b * noise, timesteps, text_embeds, image_latents, null_mask=null_mask, return_dict=False
        )[0]
        target = {"epsilon": noise, "sample": volume, "v_prediction": a * noise - b * volume}[self.prediction_type]
        difference = prediction.float() - target
        error = difference.square().mean(dim=(1, 2, 3, 4))
        if self.expression_weight:
            rest = middle(torch.cat((without_affine(difference[:, :2]), difference[:, 2:]), dim=1))
            error = error + self.expression_weight * rest.square().mean(dim=(1, 2, 3, 4))
        return (self.weights(timesteps) * error).mean()

    def weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        """w_t `(B,)`: min(SNR, gamma), for x0, in units of what is predicted."""
        if self.snr_gamma is None:
            return torch.ones_like(timesteps, dtype=torch.float32)
        signal = self.alphas_cumprod[timesteps]
        snr = signal / (1 - signal)
        unit = {"epsilon": snr, "sample": torch.ones_like(snr), "v_prediction": snr + 1}[self.prediction_type]
        return (snr.clamp(max=self.snr_gamma) / unit).float()


class DiffusionTask(PipelineTask):
    """A pipeline whose U-Net is being trained; a subclass says by `targets` what an example holds.

    Args:
        pipe: with its U-Net in training mode, on the device to train on, like its auto-encoder, which is frozen.
        dataset, held_out: as in `PipelineTask`.
        seed: of all chance.
        null_condition_prob: share of examples that are shown without their label.
        snr_gamma: as in `DenoisingLoss`.
        ema_decay: of the averaged weights, which are those validated and saved; 0: none.
        expression_weight: as in `DenoisingLoss`.
        timestep_bias: timesteps are T u^(1 / timestep_bias) for u uniform in [0, 1); 1: all alike.

    Attributes:
        weights: the trained ones by name.
    """

    def __init__(
        self,
        pipe: VideoDiffusionPipeline,
        dataset: Examples | None = None,
        held_out: HeldOut | None = None,
        *,
        seed: int = 0,
        null_condition_prob: float = 0.1,
        snr_gamma: float | None = None,
        ema_decay: float = 0.999,
        timestep_bias: float = 1.0,
        expression_weight: float = 0.0,
    ):
        super().__init__(pipe, pipe.unet, dataset, held_out, seed, null_condition_prob, ema_decay)
        self.unet, self.weights, self.models = pipe.unet, self.average.weights, [pipe.unet]
        alphas_cumprod = torch.cumprod(1 - pipe.scheduler.betas.double(), dim=0)
        self.timestep_bias = timestep_bias
        self.module: DenoisingLoss = DenoisingLoss(self.unet, alphas_cumprod, snr_gamma, expression_weight).to(
            self.device
        )

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.weights.values()

    @abc.abstractmethod
    def targets(self, samples: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a batch, the volumes to diffuse, `(B, C, F, h, w)`, and what the pictures give the U-Net, `(B, C', h, w)`."""

    def arguments(self, samples: Any, draws: Sequence[int]) -> tuple[torch.Tensor | None, ...]:
        """The arguments of `DenoisingLoss.forward` for a batch with labels in `label`; each example has its own random numbers."""
        with torch.no_grad():
            volume, latents = self.targets(samples)
        noise, timesteps, null = [], [], []
        for generator, label in zip(self.chance(draws), samples.label):
            timesteps.append(self.timestep(generator))
            null.append(self.drops_label(label, generator))
            noise.append(torch.randn(volume.shape[1:], generator=generator, dtype=torch.float32))
        chance = (torch.stack(noise), torch.stack(timesteps), torch.tensor(null))
        noises, times, nulls = (x.to(self.device) for x in chance)
        return volume, noises, times, self.text_embeds(samples.label), nulls, latents

    def timestep(self, generator: torch.Generator) -> torch.Tensor:
        """A random timestep, int64 `()`, as `timestep_bias` says."""
        count = len(self.module.alphas_cumprod)
        if self.timestep_bias == 1:
            return torch.randint(count, (), generator=generator)
        drawn = torch.rand((), generator=generator, dtype=torch.float64) ** (1 / self.timestep_bias)
        return (drawn * count).long().clamp(max=count - 1)

    def losses(self, module: nn.Module, batch: Any, draws: range) -> Losses:
        return Losses({"denoising": module(*self.arguments(batch, draws))}, {})

    def judge(self, held_out: HeldOut) -> dict[str, float]:
        """The loss of the held-out examples."""
        total, count = 0.0, len(held_out.dataset)
        for first in range(0, count, held_out.batch_size):
            items = range(first, min(first + held_out.batch_size, count))
            samples = default_collate([held_out.dataset[i] for i in items])
            total += self.module(*self.arguments(samples, [VALIDATION_DRAWS + i for i in items])).item() * len(items)
        return {"loss": total / count}

    def save(self, folder: Path) -> None:
        """The averaged weights: unet/, or lora/ where only adapters are trained."""
        with self.average.in_place():
            if hasattr(self.unet, "peft_config"):
                self.unet.save_lora_adapter(folder / "lora")
            else:
                self.unet.save_pretrained(folder / "unet")

    @property
    def _space(self) -> tuple[str, str, list[float]]:
        """What the U-Net predicts and how that is scaled; a resumed run must have the same."""
        config = self.unet.config
        return config.prediction_type, self.pipe.target, [*config.target_mean, *config.target_std]

    def state(self) -> dict:
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

    def write(self, folder: Path, facts: CardFacts, repo_id: str | None) -> None:
        """As every pipeline; adapters are merged, and kept beside it in lora/."""
        if hasattr(self.unet, "peft_config"):
            self.average.keep()
            self.unet.save_lora_adapter(folder / "lora")
            self.unet.fuse_lora()
            self.unet.unload_lora()
        super().write(folder, facts, repo_id)


class MotionTask(DiffusionTask):
    """Of an `LFDMPipeline`, by `MotionDataset`.

    Args:
        base: folder or Hub id of the pipeline that it goes on from, for the card; None for a new U-Net.
        others: as in `DiffusionTask`.
    """

    def __init__(self, *args: Any, base: str | None = None, **others: Any):
        super().__init__(*args, **others)
        self.base = base

    def facts(self) -> CardFacts:
        return super().facts() | (facts_of_base(self.base) if self.base else CardFacts())

    def targets(self, samples: MotionSample) -> tuple[torch.Tensor, torch.Tensor]:
        volume = self.volume(samples.motion.to(self.device, non_blocking=True))
        reference = samples.reference.to(self.device, non_blocking=True)
        return volume, self.pipe.lfae.encode(reference).latent

    def volume(self, motion: torch.Tensor) -> torch.Tensor:
        """Residual flow and occlusion `(B, 3, F, h, w)` as the U-Net's configuration wants them."""
        config = self.unet.config
        if config.flow_target == "absolute":
            height, width = motion.shape[-2:]
            grid = sampling_grid(height, width, motion.device, centers=True).permute(2, 0, 1)[:, None]
            motion = torch.cat((motion[:, :2] + grid, motion[:, 2:]), dim=1)
        mean, std = (motion.new_tensor(x).view(-1, 1, 1, 1) for x in (config.target_mean, config.target_std))
        return (motion - mean) / std


class FrameTask(DiffusionTask):
    """Of a `FrameDiffusionPipeline`, by `ClipDataset`, whose first frame is the picture."""

    def targets(self, samples: ClipSample) -> tuple[torch.Tensor, torch.Tensor]:
        frames = samples.frames.to(self.device, non_blocking=True).transpose(1, 2)
        volume = self.pipe.scaled_latents(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(1, 2)
        return volume, volume[:, :, 0]
