"""What the CPU at hand has instructions for."""

from __future__ import annotations

import functools
import platform

import torch
from diffusers.utils import logging

logger = logging.get_logger(__name__)

CHECKS = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


def has_instructions(dtype: torch.dtype) -> bool:
    """Whether torch's library of convolutions and products computes in this type on the CPU at hand; else numbers are widened and
    rounded on the way, which takes several times as long as float32. True where torch cannot tell."""
    known = dtype in CHECKS and platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available()
    return getattr(torch.ops.mkldnn, CHECKS[dtype])() if known else True


@functools.cache
def advise_precision(device: torch.device, dtype: torch.dtype) -> None:
    """Warn, once, of a precision that makes a CPU slower instead of faster."""
    if device.type == "cpu" and not has_instructions(dtype):
        name = str(dtype).removeprefix("torch.")
        logger.warning(f"This processor has no instructions for {name}: float32 is several times as fast on it.")
