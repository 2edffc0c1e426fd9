"""Settings of a scheduler, as a file or its maker gave them: of the kinds that its class takes, or refused by name."""

from __future__ import annotations

import inspect
import math
from typing import Any

from ..arguments.checked import described


def require_settings(scheduler: Any) -> None:
    """Refuse settings that are not what the scheduler's class takes by default: its steps would stumble over them, or make NaN.

    Raises:
        ValueError: names the setting, what is allowed, and what came.
    """
    config = scheduler.config
    for name, parameter in inspect.signature(type(scheduler).__init__).parameters.items():
        value, default = config.get(name), parameter.default
        if value is None and (default is None or "None" in str(parameter.annotation)):
            continue
        if isinstance(default, bool):
            fits, wanted = isinstance(value, bool), "True or False"
        elif isinstance(default, (int, float)):
            fits = isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
            fits, wanted = fits and (math.isfinite(value) or not math.isfinite(default)), "a number"
        elif isinstance(default, str):
            fits, wanted = isinstance(value, str), "a text"
        else:
            continue
        if name == "dynamic_thresholding_ratio":
            fits, wanted = fits and 0 <= value <= 1, "a number from 0 to 1"
        if not fits:
            raise ValueError(f"`scheduler` must have {wanted} as {name}, got {described(value)}.")
    betas = config.get("trained_betas")
    if betas is not None:
        numbers = betas.tolist() if hasattr(betas, "tolist") else betas
        fits = isinstance(numbers, (list, tuple)) and len(numbers) == config.num_train_timesteps
        if not fits or not all(isinstance(beta, (int, float)) and 0 <= beta <= 1 for beta in numbers):
            raise ValueError(
                f"`scheduler` must have {config.num_train_timesteps} numbers from 0 to 1 as trained_betas, one for each step, got "
                f"{described(betas)}."
            )
