"""The first step of a training is the same whatever torch's default type is."""

from __future__ import annotations

import torch
from same_bits import require_same_bits
from tiny import tiny_baseline, tiny_discriminators, tiny_lfae, tiny_pipeline, tiny_vae

from lfdm_diffusers.data.dataset import ClipSample, FramePair
from lfdm_diffusers.training.adversarial import AdversarialTask
from lfdm_diffusers.training.diffusion import MotionTask
from lfdm_diffusers.training.frame_autoencoder import FrameAutoencoderTask
from lfdm_diffusers.training.lfae import LFAETask
from lfdm_diffusers.training.motion_cache import MotionSample
from lfdm_diffusers.training.reconstruction_loss import PixelPyramidLoss


def losses(task, batch):
    """Of the first step, before anything is learned."""

    def call():
        with torch.no_grad():
            return list(task.losses(task.module, batch, range(2)).parts.values())

    return call


def test_pairs_of_frames():
    pair = FramePair(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), [""] * 2, [""] * 2)
    held_out = (torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))
    task = LFAETask(tiny_lfae(), PixelPyramidLoss(), [], held_out, concentration_weight=1.0, motion_weight=1.0)
    require_same_bits(losses(task, pair))
    torch.set_default_dtype(torch.float32)
    require_same_bits(lambda: torch.tensor(list(task.validate().numbers.values()), dtype=torch.float64))


def test_pairs_of_frames_for_a_frame_auto_encoder():
    pair = FramePair(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), [""] * 2, [""] * 2)
    require_same_bits(losses(FrameAutoencoderTask(tiny_vae(), [], torch.rand(1, 3, 32, 32)), pair))


def test_motion():
    samples = MotionSample(torch.rand(2, 3, 32, 32), torch.randn(2, 3, 4, 8, 8), ["surprise", "anger"])
    require_same_bits(losses(MotionTask(tiny_pipeline()), samples))


def test_clips_against_discriminators():
    samples = ClipSample(torch.rand(2, 3, 4, 32, 32), torch.arange(4).expand(2, 4), ["surprise", ""], ["", ""])
    task = AdversarialTask(tiny_baseline("imaginator"), tiny_discriminators())

    def call():
        torch.manual_seed(0)
        return [x for x in task.arguments(samples, range(2)) if x is not None]

    require_same_bits(call)
