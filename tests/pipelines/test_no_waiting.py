"""Nothing that an accelerator computes is read on the way: on torch's meta device there are no numbers, so that reading one fails.

The same calls run there as on a GPU, but for autocast, which that device has none of.
"""

from __future__ import annotations

import contextlib

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from tiny import (
    IMAGE_SIZE,
    LATENT_CHANNELS,
    LATENT_SIZE,
    NUM_FRAMES,
    TEXT_DIM,
    tiny_image,
    tiny_lfae,
    tiny_pipeline,
    tiny_unet,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training.diffusion import DenoisingLoss
from lfdm_diffusers.training.equivariance import RandomTransform
from lfdm_diffusers.training.lfae import LFAELoss
from lfdm_diffusers.training.reconstruction_loss import PixelPyramidLoss


class Watch(TorchDispatchMode):
    """`found` holds the operations that tensors on both sides take part in; single numbers of the host are a kernel's arguments."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        kinds = {x.device.type for x in tensors if x.ndim or x.device.type == "meta"}
        if len(kinds) > 1:
            self.found.append(f"{func}: {', '.join(f'{x.device.type} {tuple(x.shape)}' for x in tensors)}")
        return out


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device_type="cuda": False)
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())


def on_meta(*shape: int) -> torch.Tensor:
    return torch.rand(shape, device="meta")


def test_what_is_read_or_brought_is_seen():
    with pytest.raises(RuntimeError):
        on_meta(3).sum().item()
    with pytest.raises(NotImplementedError):
        on_meta(3).cpu()
    with Watch() as watch:
        on_meta(3) + torch.tensor(2.0)
    assert not watch.found
    with Watch() as watch:
        torch.ones(3).to("meta")
    assert len(watch.found) == 1


@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
@pytest.mark.parametrize("scheduler", [None, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler])
def test_between_steps(scheduler, guidance_scale):
    """A host that waits in every step leaves the accelerator idle while the next step is prepared."""
    # The network is the same code whatever the scheduler: with all its levels it runs once, with one level for the others.
    unet = tiny_unet() if scheduler is None else tiny_unet(block_out_channels=(16,))
    pipe = tiny_pipeline(unet=unet).to("meta")
    pipe.set_progress_bar_config(disable=True)
    if scheduler is not None:
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    watch, steps = Watch(), []

    def after_step(pipe, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
        steps.append(step)
        if step == 0:
            watch.__enter__()
        if step == 2:
            watch.__exit__(None, None, None)
        return {}

    found = pipe(
        tiny_image(),
        "anger",
        num_inference_steps=3,
        guidance_scale=guidance_scale,
        callback_on_step_end=after_step,
        output_type="latent",
    )
    assert steps == [0, 1, 2] and found.frames.device.type == "meta"
    assert not watch.found


@torch.no_grad()
def test_autoencoder():
    lfae = tiny_lfae().to("meta")
    with Watch() as watch:
        picture, clip = on_meta(1, 3, IMAGE_SIZE, IMAGE_SIZE), on_meta(1, 3, NUM_FRAMES, IMAGE_SIZE, IMAGE_SIZE)
        motion = lfae.predict_flow(picture, clip, driving_reference=picture)
        decoded = lfae.decode(lfae.encode(picture), motion.flow, motion.occlusion)
    assert decoded.sample.shape == clip.shape and decoded.sample.device.type == "meta"
    assert not watch.found


def test_training_steps():
    lfae, unet = tiny_lfae().to("meta").train(), tiny_unet().to("meta").train()
    of_pictures = LFAELoss(lfae, PixelPyramidLoss().to("meta"))
    alphas = torch.cumprod(1 - released_scheduler().betas.double(), dim=0)
    of_motion = DenoisingLoss(unet, alphas).to("meta")
    transform = RandomTransform.sample(2, device="meta")
    pair = [on_meta(2, 3, IMAGE_SIZE, IMAGE_SIZE) for _ in range(2)]
    volume, noise = (on_meta(2, 3, NUM_FRAMES, LATENT_SIZE, LATENT_SIZE) for _ in range(2))
    latent = on_meta(2, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)
    timesteps = torch.zeros(2, dtype=torch.long, device="meta")
    null = torch.zeros(2, dtype=torch.bool, device="meta")
    with Watch() as watch:
        losses, _ = of_pictures(*pair, transform)
        sum(losses.values()).backward()
        of_motion(volume, noise, timesteps, on_meta(2, TEXT_DIM), null, latent).backward()
    assert not watch.found
    assert unet.conv_in.weight.grad.device.type == lfae.conv_out.weight.grad.device.type == "meta"
