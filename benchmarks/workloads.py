"""What `speed.py` measures: the cases, and for each the models and the call that is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import plain
import torch
from diffusers import DDIMScheduler

from lfdm_diffusers import LatentFlowAutoencoder, LFDMPipeline, UNet3DVideoModel
from lfdm_diffusers.ops.cpu import keep_freed_memory, lay_channels_last, reuse_freed_memory
from lfdm_diffusers.pipelines.loading import DTYPES
from lfdm_diffusers.pipelines.motion import beside
from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training.diffusion import DenoisingLoss
from lfdm_diffusers.training.equivariance import RandomTransform
from lfdm_diffusers.training.lfae import LFAELoss
from lfdm_diffusers.training.optimizer import build_optimizer
from lfdm_diffusers.training.presets import get_lfae_config, get_unet_config
from lfdm_diffusers.training.reconstruction_loss import PixelPyramidLoss

ITEMS = {
    "encode": "encode one picture",
    "flow": "flow between two pictures, and reconstruction",
    "decode": "decode all frames",
    "unet_step": "U-Net, one step",
    "video_ddim10": "a whole video, DDIM-10",
    "video_ddpm1000": "a whole video, DDPM-1000 (from 5 and 15 steps)",
    "train_lfae_step": "stage-one training step, without a perceptual network",
    "train_unet_step": "stage-two training step, cached flows, no averaged weights",
}
TRAINING = ("train_lfae_step", "train_unet_step")


@dataclass(frozen=True)
class Case:
    """What one process measures.

    Attributes:
        item: of `ITEMS`.
        model: a preset.
        dtype: of the models; in training, of autocast over float32 weights.
        batch: pictures, pairs or videos at once.
        compiled: whether models run under torch.compile.
        device: torch's name of it.
        frames, size: of a video; as trained where None.
        checkpointing: of gradients, in training.
        plain: whether it is computed as `plain.py` has it.
    """

    item: str
    model: str = "mug128"
    dtype: str = "float32"
    batch: int = 1
    compiled: bool = False
    device: str = "cpu"
    frames: int | None = None
    size: int | None = None
    checkpointing: bool = False
    plain: bool = False


class Workload:
    """The models of a case, loaded from `folder`, and a function to call again and again."""

    def __init__(self, case: Case, folder: Path):
        torch.manual_seed(0)
        self.case, self.device, self.dtype = case, torch.device(case.device), DTYPES[case.dtype]
        self.pixels = case.size or get_lfae_config(case.model)["sample_size"]
        self.frames = case.frames or get_unet_config(case.model).get("num_frames", 40)
        # No more than the item needs: models count in its memory.
        if case.item != "unet_step":
            self.lfae = self.ready(
                LatentFlowAutoencoder.from_pretrained(folder / "lfae", torch_dtype=weight_type(case))
            )
        if case.item not in ("encode", "flow", "decode", "train_lfae_step"):
            self.unet = self.ready(UNet3DVideoModel.from_pretrained(folder / "unet", torch_dtype=weight_type(case)))
        side = self.pixels // 2 ** get_lfae_config(case.model).get("num_down_blocks", 2)
        self.volume_shape = (case.batch, 3, self.frames, side, side)

    def ready(self, model: torch.nn.Module) -> torch.nn.Module:
        """Where, as what and how the case wants it."""
        if self.case.item not in TRAINING:
            reuse_freed_memory()  # as pipelines do
            return model.to(self.device).eval()
        keep_freed_memory()  # as the training scripts do
        if self.case.checkpointing:
            model.enable_gradient_checkpointing()
        return model.to(self.device).train()

    def call(self) -> Callable[[], object]:
        """What is timed."""
        return getattr(self, self.case.item)()

    def pictures(self, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (self.case.batch, 3, self.pixels, self.pixels)
        dtype = torch.float32 if self.case.item in TRAINING else self.dtype
        return torch.rand(shape, generator=generator).to(self.device, dtype)

    def compiled(self, module: torch.nn.Module) -> Callable:
        return torch.compile(module, dynamic=False) if self.case.compiled else module

    def encode(self) -> Callable[[], object]:
        encode, pictures = self.compiled(self.lfae.encode), self.pictures()
        return lambda: encode(pictures)

    def flow(self) -> Callable[[], object]:
        lfae, reference, driving = self.compiled(self.lfae), self.pictures(), self.pictures(1)
        return lambda: lfae(reference, driving)

    def decode(self) -> Callable[[], object]:
        encoded = self.lfae.encode(self.pictures())
        latents = torch.randn(self.volume_shape, device=self.device).float()
        flow, occlusion = 0.1 * latents[:, :2], latents[:, 2:].sigmoid()
        flow = flow + beside(flow, self.lfae.identity_grid(*flow.shape[-2:]))
        if self.case.plain:
            pictures, flow, occlusion = self.pictures(), flow.to(self.dtype), occlusion.to(self.dtype)
            levels = plain.encode(self.lfae, pictures)
            return lambda: plain.decode(self.lfae, pictures, levels, flow, occlusion)
        decode = self.compiled(self.lfae.decode)
        return lambda: decode(encoded, flow, occlusion)

    def unet_step(self) -> Callable[[], object]:
        unet, dtype = self.compiled(self.unet), self.dtype
        volume = torch.randn(self.volume_shape, device=self.device, dtype=dtype)
        embeds = torch.randn(self.case.batch, self.unet.config.text_embed_dim, device=self.device, dtype=dtype)
        shape = (self.case.batch, self.unet.config.image_latent_channels, *self.volume_shape[-2:])
        latent = torch.randn(shape, device=self.device, dtype=dtype)
        step = torch.full((self.case.batch,), 500, device=self.device)
        if self.case.plain:
            return lambda: plain.denoise(self.unet, volume, step, embeds, latent)
        projection = self.unet.project_image(latent)
        return lambda: unet(volume, step, embeds, image_projection=projection, return_dict=False)

    def pipeline(self) -> LFDMPipeline:
        pipe = LFDMPipeline(lfae=self.lfae, unet=self.unet, scheduler=released_scheduler())
        pipe.set_progress_bar_config(disable=True)
        if self.case.compiled:
            pipe.unet.compile(dynamic=False)
        return pipe

    def video(self, pipe: LFDMPipeline, steps: int) -> object:
        embeds = torch.zeros(self.case.batch, self.unet.config.text_embed_dim, device=self.device, dtype=self.dtype)
        size = {"height": self.pixels, "width": self.pixels, "num_frames": self.frames}
        generator = torch.Generator(self.device).manual_seed(0)  # noise from the host would be waited for
        return pipe(
            self.pictures().float(),
            prompt_embeds=embeds,
            num_inference_steps=steps,
            generator=generator,
            output_type="pt",
            **size,
        )

    def video_ddim10(self) -> Callable[[], object]:
        scheduler = DDIMScheduler.from_config(released_scheduler().config)
        if self.case.plain:
            return lambda: self.plain_video(scheduler, 10)
        pipe = self.pipeline()
        pipe.scheduler = scheduler
        return lambda: self.video(pipe, 10)

    def plain_video(self, scheduler: DDIMScheduler, steps: int) -> torch.Tensor:
        """What `video` makes, of models whose flow starts from nothing and is of any size."""
        pictures = self.pictures()
        levels = plain.encode(self.lfae, pictures)
        volume = torch.randn(self.volume_shape, device=self.device, dtype=self.dtype)
        embeds = torch.zeros(self.case.batch, self.unet.config.text_embed_dim, device=self.device, dtype=self.dtype)
        scheduler.set_timesteps(steps, device=self.device)
        for step in scheduler.timesteps:
            noise = plain.denoise(self.unet, volume, step, embeds, levels[-1])
            volume = scheduler.step(noise, step, volume).prev_sample
        return plain.decode(self.lfae, pictures, levels, volume[:, :2], (volume[:, 2:] + 1) / 2)

    def video_ddpm1000(self) -> Callable[[], object]:
        self.pipe = self.pipeline()
        return lambda: self.video(self.pipe, 15)

    def train_lfae_step(self) -> Callable[[], object]:
        lay_channels_last(self.lfae)
        optimizer = build_optimizer(self.lfae.parameters(), 2e-4, (0.5, 0.999))
        loss = self.compiled(LFAELoss(self.lfae, PixelPyramidLoss()).to(self.device))
        pictures = self.pictures(), self.pictures(1)
        transform = RandomTransform.sample(self.case.batch, device=self.device)

        def step() -> None:
            with self.autocast():
                losses, _ = loss(*pictures, transform)
            sum(losses.values()).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    def train_unet_step(self) -> Callable[[], object]:
        optimizer = build_optimizer(self.unet.parameters(), 2e-4, (0.9, 0.99))
        alphas = torch.cumprod(1 - released_scheduler().betas.double(), dim=0)
        loss = self.compiled(DenoisingLoss(self.unet, alphas).to(self.device))
        lfae = self.lfae.eval()
        volume, noise = (torch.randn(self.volume_shape, device=self.device) for _ in range(2))
        embeds = torch.randn(self.case.batch, self.unet.config.text_embed_dim, device=self.device)
        timesteps = torch.full((self.case.batch,), 500, device=self.device)
        null = torch.zeros(self.case.batch, dtype=torch.bool, device=self.device)
        pictures = self.pictures()

        def step() -> None:
            with self.autocast():
                with torch.no_grad():
                    latent = lfae.encode(pictures).latent
                value = loss(volume, noise, timesteps, embeds, null, latent)
            value.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)


def weight_type(case: Case) -> torch.dtype:
    """Of the files and the models; in training it is autocast that lowers precision."""
    return torch.float32 if case.item in TRAINING else DTYPES[case.dtype]


def save_models(case: Case, folder: Path) -> None:
    """The models of a case with random weights, for `Workload`, from a process that makes nothing else."""
    torch.manual_seed(0)
    torch.set_default_dtype(weight_type(case))
    lfae = LatentFlowAutoencoder(**get_lfae_config(case.model))
    unet = UNet3DVideoModel(**get_unet_config(case.model) | {"image_latent_channels": lfae.latent_channels})
    for name, model in (("lfae", lfae), ("unet", unet)):
        model.save_pretrained(folder / name)
