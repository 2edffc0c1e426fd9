"""Video diffusion in the latents of a frame auto-encoder (LDM), conditioned as LFDM is."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from diffusers.schedulers import SchedulerMixin
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models import LabelEmbeddings, UNet3DVideoModel
from ..ops.cpu import lay_channels_last
from .frame_diffusion import FrameDiffusionPipeline


class LDMVideoPipeline(FrameDiffusionPipeline):
    r"""Image-to-video generation by diffusion of a frame auto-encoder's latents (LDM, Rombach et al., CVPR 2022, arXiv
    2112.10752), as LFDM's paper compares itself with it (section 4.1): LFDM's U-Net, given the picture's latents beside those
    of every frame and the text.

    Args:
        vae: encodes and decodes single frames; its mean is used, without noise.
        unet: whose `in_channels`, `out_channels` and `image_latent_channels` are the latents'.
        scheduler, text_encoder, tokenizer, label_embeddings, default_num_inference_steps: as in `LFDMPipeline`.
    """

    model_cpu_offload_seq = "text_encoder->label_embeddings->unet->vae"
    title = "Video diffusion in latents"
    method = (
        "by [latent diffusion](https://arxiv.org/abs/2112.10752): a U-Net denoises the latents of all frames, which a frame "
        "auto-encoder decodes, given the picture and the text as in [latent flow diffusion](https://arxiv.org/abs/2303.13744), which "
        "it is a baseline of."
    )
    tags = ("video-diffusion", "latent-diffusion")
    citation = """@inproceedings{rombach2022high,
  title     = {High-Resolution Image Synthesis with Latent Diffusion Models},
  author    = {Rombach, Robin and Blattmann, Andreas and Lorenz, Dominik and Esser, Patrick and Ommer, Bj{\\"o}rn},
  booktitle = {CVPR},
  year      = {2022}
}"""
    part_names = {"vae": "frame auto-encoder"}
    target = "a frame auto-encoder's latents"
    vae: AutoencoderKL

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: UNet3DVideoModel,
        scheduler: SchedulerMixin,
        text_encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        label_embeddings: LabelEmbeddings | None = None,
        default_num_inference_steps: int | None = None,
    ):
        self.register_modules(vae=vae)  # first, as in the list of parts
        super().__init__(unet, scheduler, text_encoder, tokenizer, label_embeddings, default_num_inference_steps)

    @classmethod
    def load_space(cls, source: str | None) -> dict[str, AutoencoderKL]:
        if source is None:
            raise ValueError("it diffuses the latents of a frame auto-encoder, which must be given.")
        found = AutoencoderKL.load_config(source).get("_class_name")
        if found != "AutoencoderKL":  # diffusers would only warn, and draw the weights anew
            raise ValueError(f"it must be an AutoencoderKL, {source} is {found or 'nothing of diffusers'}.")
        vae = AutoencoderKL.from_pretrained(source).requires_grad_(False).eval()
        return {"vae": lay_channels_last(vae)}

    @property
    def latent_channels(self) -> int:
        return self.vae.config.latent_channels

    @property
    def downscale_factor(self) -> int:
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        return self.vae.encode(frames.to(self.vae.dtype) * 2 - 1).latent_dist.mode()

    def decode_frames(self, latents: torch.Tensor) -> torch.Tensor:
        return self.vae.decode(latents.to(self.vae.dtype)).sample / 2 + 0.5
