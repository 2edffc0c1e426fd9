"""Released LFDM and MRAA checkpoints into this package's models, and checks of what came out."""

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
