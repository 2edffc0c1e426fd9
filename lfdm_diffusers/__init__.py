"""Image-to-video generation by latent flow diffusion (LFDM), for the Hugging Face ecosystem.

Importing the package makes its classes known to diffusers and loads none of them: each is imported when it is first used, so
that the command `lfdm` can answer before torch is there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .hub.registration import register_with_diffusers
from .version import __version__

if TYPE_CHECKING:
    from .blocks import LFDMBlocks, LFDMModularPipeline
    from .models import FullSizePainter, ImaginatorGenerator, LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
    from .pipelines import (
        Box,
        FrameDiffusionPipeline,
        ImageToVideoPipeline,
        ImaginatorPipeline,
        LDMVideoPipeline,
        LFDMPipeline,
        LFDMPipelineOutput,
        Motion,
        Stroke,
        VDMPipeline,
        VideoPipelineOutput,
        find_subjects,
    )

__all__ = [
    "Box",
    "FrameDiffusionPipeline",
    "FullSizePainter",
    "ImageToVideoPipeline",
    "ImaginatorGenerator",
    "ImaginatorPipeline",
    "LDMVideoPipeline",
    "LFDMBlocks",
    "LFDMModularPipeline",
    "LFDMPipeline",
    "LFDMPipelineOutput",
    "LabelEmbeddings",
    "LatentFlowAutoencoder",
    "Motion",
    "Stroke",
    "UNet3DVideoModel",
    "VDMPipeline",
    "VideoPipelineOutput",
    "__version__",
    "find_subjects",
]

_MODELS = ("FullSizePainter", "ImaginatorGenerator", "LabelEmbeddings", "LatentFlowAutoencoder", "UNet3DVideoModel")
_BLOCKS = ("LFDMBlocks", "LFDMModularPipeline")
_ROOMS = (
    "blocks",
    "conversion",
    "data",
    "embedded",
    "evaluation",
    "metrics",
    "models",
    "ops",
    "pipelines",
    "schedulers",
    "visualization",
)

register_with_diffusers(("ImaginatorPipeline", "LDMVideoPipeline", "LFDMPipeline", "VDMPipeline"), _MODELS, _BLOCKS)


def __getattr__(name: str) -> Any:
    """A class, or a room such as `lfdm_diffusers.schedulers`, imported at its first use (PEP 562)."""
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = ".models" if name in _MODELS else ".blocks" if name in _BLOCKS else ".pipelines"
    value = getattr(importlib.import_module(room, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
