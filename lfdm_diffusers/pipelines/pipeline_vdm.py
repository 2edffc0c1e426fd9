"""Video diffusion in pixels (VDM), conditioned as LFDM is."""

from __future__ import annotations

import torch
from diffusers.schedulers import SchedulerMixin
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models import LabelEmbeddings, UNet3DVideoModel
from .frame_diffusion import FrameDiffusionPipeline


class VDMPipeline(FrameDiffusionPipeline):
    r"""Image-to-video generation by diffusion of RGB volumes (VDM, Ho et al., 2022, arXiv 2204.03458), as LFDM's paper
    compares itself with it (section 4.1): LFDM's U-Net, given the picture beside every frame and the text.

    Args:
        unet: with `image_latent_channels=3`, and `sample_size` in pixels.
        scheduler, text_encoder, tokenizer, label_embeddings, default_num_inference_steps: as in `LFDMPipeline`.
    """

    model_cpu_offload_seq = "text_encoder->label_embeddings->unet"
    downscale_factor = 1

    def __init__(
        self,
        unet: UNet3DVideoModel,
        scheduler: SchedulerMixin,
        text_encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        label_embeddings: LabelEmbeddings | None = None,
        default_num_inference_steps: int | None = None,
    ):
        super().__init__()
        self.register_modules(
            unet=unet,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            label_embeddings=label_embeddings,
        )
        if default_num_inference_steps is not None:
            self.register_to_config(default_num_inference_steps=default_num_inference_steps)

    @property
    def sample_size(self) -> int | None:
        return self.unet.config.sample_size

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        return frames

    def decode_frames(self, latents: torch.Tensor) -> torch.Tensor:
        return latents
