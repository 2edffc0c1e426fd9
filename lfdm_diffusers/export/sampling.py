"""DDIM as a table of numbers, so that a runner needs no scheduler.

Before each step, with the network's prediction p of the volume x:

    clean = c_x x + c_p p, thresholded (Imagen: divided by its quantile where that is above 1)
    noise = n_x x + n_p p
    x     = t_clean clean + t_noise noise + t_fresh e,    e fresh Gaussian noise

which is eq. 12 of Song et al., "Denoising diffusion implicit models" (ICLR 2021).
"""

from __future__ import annotations

import math
from typing import Any

from diffusers import DDIMScheduler, SchedulerMixin


def ddim_table(scheduler: SchedulerMixin, num_inference_steps: int, eta: float = 1.0) -> list[dict[str, Any]]:
    """The steps of DDIM over a scheduler's noise schedule.

    Args:
        scheduler: whose betas, spacing and prediction type are taken over.
        num_inference_steps: rows of the table.
        eta: 0 for no fresh noise, 1 for as much as DDPM.

    Returns:
        For each step `timestep`, `clean` and `noise` ([c_x, c_p], [n_x, n_p]) and `next` ([t_clean, t_noise, t_fresh]).

    Raises:
        ValueError: if the U-Net predicts neither noise, velocity nor the clean volume.
    """
    ddim = DDIMScheduler.from_config(scheduler.config)
    kind = ddim.config.prediction_type
    if kind not in ("epsilon", "v_prediction", "sample"):
        raise ValueError(
            f"`scheduler` must be of a U-Net that predicts epsilon, v_prediction or sample, got {kind!r}."
        )
    ddim.set_timesteps(num_inference_steps)
    stride = ddim.config.num_train_timesteps // num_inference_steps
    rows = []
    for timestep in ddim.timesteps.tolist():
        before = timestep - stride
        kept = float(ddim.alphas_cumprod[timestep])
        kept_next = float(ddim.alphas_cumprod[before] if before >= 0 else ddim.final_alpha_cumprod)
        signal, noise = math.sqrt(kept), math.sqrt(1 - kept)
        of_clean, of_noise = {
            "epsilon": ([1 / signal, -noise / signal], [0.0, 1.0]),
            "v_prediction": ([signal, -noise], [noise, signal]),
            "sample": ([0.0, 1.0], [1 / noise, -signal / noise]),
        }[kind]
        fresh = eta * math.sqrt((1 - kept_next) / (1 - kept)) * math.sqrt(max(0.0, 1 - kept / kept_next))
        rest = math.sqrt(max(0.0, 1 - kept_next - fresh**2))
        rows.append(
            {"timestep": timestep, "clean": of_clean, "noise": of_noise, "next": [math.sqrt(kept_next), rest, fresh]}
        )
    return rows


def thresholding(scheduler: SchedulerMixin) -> dict[str, float] | None:
    """Quantile and largest divisor of dynamic thresholding; None where clean volumes stay as they are.

    Raises:
        ValueError: for clean volumes that are clipped, which no table says.
    """
    config = scheduler.config
    if config.get("thresholding"):
        return {"quantile": config["dynamic_thresholding_ratio"], "largest": config["sample_max_value"]}
    if config.get("clip_sample"):
        raise ValueError("`scheduler` must not clip samples (`clip_sample`): volumes of flow are not in [-1, 1].")
    return None
