"""What the denoising loop hands to schedulers: noise of their scale, and a schedule without rounding."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from tiny import tiny_pipeline, tiny_unet

from lfdm_diffusers.schedulers import flow_map_scheduler, refine_schedule, released_scheduler

SHAPE = (1, 3, 4, 8, 8)


@pytest.mark.parametrize("kind", [EulerDiscreteScheduler, DDIMScheduler])
def test_noise_has_the_schedulers_scale(kind):
    """Euler's noise has the standard deviation of its first sigma, near 1/sqrt(alphas_cumprod[-1]); DDIM's has 1."""
    pipe = tiny_pipeline()
    pipe.scheduler = kind.from_config(pipe.scheduler.config, timestep_spacing="linspace")
    pipe.scheduler.set_timesteps(4)
    side = 8 * pipe.downscale_factor  # in pixels
    given = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    alpha = pipe.scheduler.alphas_cumprod[-1].item()
    scale = math.sqrt((1 - alpha) / alpha) if kind is EulerDiscreteScheduler else 1.0
    assert (scale > 10) == (kind is EulerDiscreteScheduler)
    expected = {"latents": given, "generator": torch.Generator().manual_seed(0)}
    for name, value in expected.items():  # noise that is given, and noise that is drawn
        found = pipe.prepare_latents(1, 4, side, side, **{name: value})
        torch.testing.assert_close(found, given * scale, rtol=1e-5, atol=0)


def test_the_schedule_is_refined_in_float64():
    """In float32 1 - alphas_cumprod[1] is off by 2e-4, and DDIM's noise-free share at the last step below 0."""
    scheduler = released_scheduler()
    refine_schedule(scheduler)
    betas = scheduler.betas.double()
    first = betas[0] + betas[1] - betas[0] * betas[1]  # 1 - (1 - b0) (1 - b1)
    assert 1 - scheduler.alphas_cumprod[1].item() == pytest.approx(first.item(), rel=1e-10)
    assert scheduler.alphas_cumprod[-1].item() == pytest.approx((1 - betas).log().sum().exp().item(), rel=1e-10)
    now, before = scheduler.alphas_cumprod[999], scheduler.alphas_cumprod[998]
    share = 1 - before - (1 - before) / (1 - now) * (1 - now / before)  # with eta 1
    assert share.item() == pytest.approx((now * (1 - before) ** 2 / before / (1 - now)).item(), rel=1e-3)


def test_a_schedule_that_was_changed_on_purpose_stays():
    scheduler = DDIMScheduler(rescale_betas_zero_snr=True)
    scheduler.alphas_cumprod[-1] = 2.0**-24
    before = scheduler.alphas_cumprod.clone()
    refine_schedule(scheduler)
    assert scheduler.alphas_cumprod.dtype == torch.float32 and torch.equal(scheduler.alphas_cumprod, before)


def test_a_flow_map_is_told_where_steps_end(monkeypatch):
    """By schedulers that take single straight steps, which come to the same; by no other."""
    unet = tiny_unet(flow_map=True, prediction_type="v_prediction")
    torch.nn.init.normal_(unet.span_embedding.linear_2.weight, std=0.3)
    pipe, told, forward = tiny_pipeline(unet=unet), [], unet.forward

    def listening(*args, **kwargs):
        told.append(kwargs["timestep_end"] if kwargs["timestep_end"] is None else int(kwargs["timestep_end"]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(unet, "forward", listening)

    def sampled(scheduler, **changes) -> torch.Tensor:
        told.clear()
        pipe.scheduler = scheduler
        noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
        settings = {"num_inference_steps": 4, "output_type": "latent", "generator": torch.Generator().manual_seed(0)}
        return pipe(torch.full((3, 32, 32), 0.5), "anger", latents=noise, **settings | changes).frames

    own = flow_map_scheduler(released_scheduler())
    assert own.config.thresholding and own.config.solver_order == 1
    plain = DDIMScheduler.from_config(own.config, thresholding=False)
    found = sampled(DPMSolverMultistepScheduler.from_config(own.config, thresholding=False))
    assert told == [749, 499, 249, -1]
    assert "eta" not in pipe.sampling_facts()["sampling by default"]
    torch.testing.assert_close(sampled(plain, eta=0), found, atol=1e-4, rtol=1e-4)
    assert told == [749, 499, 249, -1]
    sampled(plain, num_inference_steps=1, eta=0.0)
    assert told == [-1]
    sampled(plain)
    assert told == [None] * 4
    others = {"solver_order": 2}, {"algorithm_type": "sde-dpmsolver++"}, {"final_sigmas_type": "sigma_min"}
    for options in others:
        sampled(DPMSolverMultistepScheduler.from_config(own.config, **options))
        assert told == [None] * 4
