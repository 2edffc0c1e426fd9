"""Networks as the papers write them, their files and text encoders. What makes them faster on a CPU stands in `ops`."""

from .full_size_painter import FullSizePainter
from .imaginator import ImaginatorGenerator
from .label_embeddings import LabelEmbeddings
from .latent_flow_autoencoder import LatentFlowAutoencoder
from .unet_3d_video import UNet3DVideoModel

__all__ = ["FullSizePainter", "ImaginatorGenerator", "LabelEmbeddings", "LatentFlowAutoencoder", "UNet3DVideoModel"]
