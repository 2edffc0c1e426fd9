"""The scheduler that a training run gives its pipeline."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training.starting_unet import build_scheduler


def arguments() -> argparse.Namespace:
    return argparse.Namespace(objective="denoise", prediction_type="v_prediction")


def trained_before(cls: type) -> SimpleNamespace:
    """A pipeline of which only the scheduler is asked for."""
    config = released_scheduler(prediction_type="v_prediction").config
    assert config.thresholding
    return SimpleNamespace(scheduler=cls.from_config(config))


@pytest.mark.parametrize("pipe", [None, *map(trained_before, (DDIMScheduler, DPMSolverMultistepScheduler))])
@pytest.mark.parametrize("standardised", [True, False])
def test_rare_large_values_of_standardised_motion_are_kept(pipe, standardised):
    """An opening mouth: a hundredth of the volume lies ten times further from the mean than the rest."""
    scheduler = build_scheduler(arguments(), pipe, standardised)
    clean = torch.full((1, 3, 2, 10, 10), 0.2, dtype=torch.float32)
    clean[:, 2, :, 4, 4] = -2.3
    scheduler.set_timesteps(1)
    (time,) = scheduler.timesteps
    noisy = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    share = scheduler.alphas_cumprod[time]
    velocity = (share.sqrt() * noisy - clean) / (1 - share).sqrt()  # of the `noisy` that `clean` is the truth of
    found = scheduler.step(velocity, time, noisy, return_dict=True).prev_sample
    expected = clean if standardised else clean.clamp(-1, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)


def test_scheduler_without_thresholding_stays_itself():
    own = DDIMScheduler.from_config(released_scheduler().config, thresholding=False)
    assert build_scheduler(arguments(), SimpleNamespace(scheduler=own), True) is own
