"""The noise schedule that LFDM was trained with, as a standard diffusers scheduler, and other schedulers by short names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, SchedulerMixin
from diffusers.schedulers.scheduling_ddpm import betas_for_alpha_bar
from diffusers.utils import logging

logger = logging.get_logger(__name__)

# Short names, as command lines take them: diffusers' class, and what sets it apart.
SCHEDULERS = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpm++-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++-single": ("DPMSolverSinglestepScheduler", {"algorithm_type": "dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "deis": ("DEISMultistepScheduler", {"algorithm_type": "deis"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}


def released_scheduler(
    trained_betas: Sequence[float] | None = None, prediction_type: str = "epsilon"
) -> DDPMScheduler:
    """The released models' sampler: DDPM, cosine schedule of 1,000 steps, dynamic thresholding at the 0.9 quantile.

    Other schedulers take over betas and thresholding with `from_config(pipe.scheduler.config)`.

    Args:
        trained_betas: another noise schedule.
        prediction_type: what the U-Net predicts.
    """
    if trained_betas is None:
        with torch.device("cpu"):  # whatever device a context makes tensors on
            # "squaredcos_cap_v2" would clip the last beta at 0.999, which makes the first denoising step another one.
            trained_betas = betas_for_alpha_bar(1000, max_beta=0.9999)
    betas = [float(beta) for beta in trained_betas]
    return DDPMScheduler(
        num_train_timesteps=len(betas),
        trained_betas=betas,
        prediction_type=prediction_type,
        variance_type="fixed_small",
        clip_sample=False,
        thresholding=True,
        dynamic_thresholding_ratio=0.9,
        # The default, 1.0, would cap the threshold and so turn dynamic thresholding into plain clamping.
        sample_max_value=1e9,
        timestep_spacing="trailing",  # sampling starts at the last step trained, whatever the number of steps
    )


def scheduler_by_name(name: str, like: Any) -> SchedulerMixin:
    """The scheduler with a short name, on another's noise schedule.

    Args:
        name: one of `SCHEDULERS`, whatever its case.
        like: a scheduler of diffusers, whose configuration it takes over.

    Raises:
        ValueError: for an unknown name; lists all.
    """
    key = name.strip().lower()
    if key not in SCHEDULERS:
        closest = difflib.get_close_matches(key, SCHEDULERS, n=1)
        hint = f" (did you mean {closest[0]}?)" if closest else ""
        raise ValueError(f"`scheduler` must be one of {', '.join(SCHEDULERS)}; got {name!r}{hint}.")
    class_name, options = SCHEDULERS[key]
    return getattr(diffusers, class_name).from_config(like.config, **options)


def flow_map_scheduler(like: Any) -> DPMSolverMultistepScheduler:
    """What samples a U-Net with `flow_map`: diffusers' DPM-Solver++ of the first order, which is DDIM with eta 0, trailing.

    Args:
        like: a scheduler of diffusers, whose noise schedule and thresholding it takes over.
    """
    return DPMSolverMultistepScheduler.from_config(
        like.config,
        algorithm_type="dpmsolver++",
        solver_order=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )


def step_ends(scheduler: SchedulerMixin, timesteps: torch.Tensor, eta: float) -> torch.Tensor | None:
    """Where each of a scheduler's steps leads, like `timesteps`; -1 is the clean volume.

    None for schedulers that do not take single straight steps, and where eta adds noise: they need the prediction for steps of no
    length. DPM-Solver++ of the first order and DDIM with an eta of 0 do.
    """
    config = scheduler.config
    straight = (isinstance(scheduler, DDIMScheduler) and eta == 0) or (
        isinstance(scheduler, DPMSolverMultistepScheduler)
        and config.solver_order == 1
        and config.algorithm_type == "dpmsolver++"
        and config.final_sigmas_type == "zero"
    )
    return torch.cat((timesteps[1:], timesteps.new_full((1,), -1))) if straight else None


def refine_schedule(scheduler: SchedulerMixin) -> None:
    """Recompute `alphas_cumprod` in float64 from the scheduler's betas, where it has both.

    In float32 the coefficients are off by up to 5.6e-4 at t = 1, and DDIM's noise-free share at t = 999 with eta 1, the
    square root of 1 - alpha' - sigma^2 = 2e-9, comes out as the root of a negative number: the video is then all NaN.
    """
    betas, stored = getattr(scheduler, "betas", None), getattr(scheduler, "alphas_cumprod", None)
    if torch.is_tensor(betas) and torch.is_tensor(stored) and stored.dtype == torch.float32:
        refined = torch.cumprod(1.0 - betas.cpu().double(), dim=0)
        # Not where the scheduler has changed its last value on purpose, as with rescale_betas_zero_snr.
        if refined.shape == stored.shape and torch.allclose(refined.float(), stored.cpu(), rtol=1e-2, atol=0):
            scheduler.alphas_cumprod = refined  # stays on the CPU: the schedulers take single numbers out of it


def check_scheduler(scheduler: SchedulerMixin, prediction_type: str) -> None:
    """Refuse a scheduler whose process is not the one that the U-Net was trained for, and warn of another prediction type.

    Raises:
        ValueError: for a flow-matching scheduler with a model of a diffusion process, or the other way round.
    """
    name = type(scheduler).__name__
    predicts_flow = "FlowMatch" in name or scheduler.config.get("prediction_type") == "flow_prediction"
    if predicts_flow and prediction_type != "flow_prediction":
        raise ValueError(
            f"`scheduler` is {name}, which integrates the velocity of a flow-matching model, but this U-Net was trained to "
            f"predict {prediction_type!r} of a diffusion process, so the result would be noise. Use a diffusion scheduler, "
            "for example DDIMScheduler.from_config(pipe.scheduler.config)."
        )
    if prediction_type == "flow_prediction" and not predicts_flow:
        raise ValueError(
            f"`scheduler` is {name}, but this U-Net was trained by flow matching. Use FlowMatchEulerDiscreteScheduler."
        )
    if not predicts_flow and not hasattr(scheduler, "alphas_cumprod"):
        logger.warning(
            f"{name} has no noise schedule of its own (alphas_cumprod): it was made for models of another parameterisation "
            "and does not denoise with this one. Use DDIM, DPM-Solver++, UniPC or Euler, for example."
        )
    expected = scheduler.config.get("prediction_type")
    if expected is not None and expected != prediction_type:
        logger.warning(
            f"{name} expects predictions of type {expected!r}; this U-Net was trained for {prediction_type!r}."
        )
