"""Networks, as the papers write them: formulas only, no files of data, no command lines, no way to be fast."""

from .imaginator import ImaginatorGenerator
from .label_embeddings import LabelEmbeddings
from .latent_flow_autoencoder import LatentFlowAutoencoder
from .unet_3d_video import UNet3DVideoModel

__all__ = ["ImaginatorGenerator", "LabelEmbeddings", "LatentFlowAutoencoder", "UNet3DVideoModel"]
