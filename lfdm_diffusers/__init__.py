"""Image-to-video generation by latent flow diffusion (LFDM), for the Hugging Face ecosystem."""

from .hub import register_with_diffusers
from .models import LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from .pipelines import LFDMPipeline, LFDMPipelineOutput, Motion
from .version import __version__

__all__ = [
    "LFDMPipeline",
    "LFDMPipelineOutput",
    "LabelEmbeddings",
    "LatentFlowAutoencoder",
    "Motion",
    "UNet3DVideoModel",
    "__version__",
]

register_with_diffusers([LFDMPipeline], [LatentFlowAutoencoder, UNet3DVideoModel, LabelEmbeddings])
