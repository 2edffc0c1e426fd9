"""Image-to-video generation by latent flow diffusion (LFDM), for the Hugging Face ecosystem."""

from .hub.registration import register_with_diffusers
from .models import ImaginatorGenerator, LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from .pipelines import (
    PIPELINES,
    ImaginatorPipeline,
    LDMVideoPipeline,
    LFDMPipeline,
    LFDMPipelineOutput,
    Motion,
    VDMPipeline,
    VideoPipelineOutput,
)
from .version import __version__

__all__ = [
    "ImaginatorGenerator",
    "ImaginatorPipeline",
    "LDMVideoPipeline",
    "LFDMPipeline",
    "LFDMPipelineOutput",
    "LabelEmbeddings",
    "LatentFlowAutoencoder",
    "Motion",
    "UNet3DVideoModel",
    "VDMPipeline",
    "VideoPipelineOutput",
    "__version__",
]

register_with_diffusers(
    list(PIPELINES.values()), [LatentFlowAutoencoder, UNet3DVideoModel, LabelEmbeddings, ImaginatorGenerator]
)
