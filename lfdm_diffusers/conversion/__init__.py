"""Released LFDM and MRAA checkpoints into this package's models, and checks of what came out.

Functions are imported at their first use, so that the presets' names can be had without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tensors import (
        add_texts,
        convert_lfae,
        convert_lfae_checkpoint,
        convert_pipeline,
        convert_unet,
        convert_unet_checkpoint,
        join_pipeline,
        lfae_config,
        read_betas,
        unet_config,
    )

__all__ = [
    "add_texts",
    "convert_lfae",
    "convert_lfae_checkpoint",
    "convert_pipeline",
    "convert_unet",
    "convert_unet_checkpoint",
    "join_pipeline",
    "lfae_config",
    "read_betas",
    "unet_config",
]


def __getattr__(name: str) -> Any:
    """A function of `__all__`, imported at its first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".tensors", __name__), name)
