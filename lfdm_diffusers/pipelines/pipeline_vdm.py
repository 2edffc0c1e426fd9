"""Video diffusion in pixels (VDM), conditioned as LFDM is."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .frame_diffusion import FrameDiffusionPipeline


class VDMPipeline(FrameDiffusionPipeline):
    r"""Image-to-video generation by diffusion of RGB volumes (VDM, Ho et al., 2022, arXiv 2204.03458), as LFDM's paper
    compares itself with it (section 4.1): LFDM's U-Net, given the picture beside every frame and the text.

    Args:
        unet: with `image_latent_channels=3`, and `sample_size` in pixels.
        scheduler, text_encoder, tokenizer, label_embeddings, default_num_inference_steps: as in `LFDMPipeline`.
    """

    model_cpu_offload_seq = "text_encoder->label_embeddings->unet"
    title = "Video diffusion in pixels"
    method = (
        "by [video diffusion](https://arxiv.org/abs/2204.03458): a U-Net denoises all pixels of all frames, given the picture and the "
        "text as in [latent flow diffusion](https://arxiv.org/abs/2303.13744), which it is a baseline of."
    )
    tags = ("video-diffusion",)
    citation = """@inproceedings{ho2022video,
  title     = {Video Diffusion Models},
  author    = {Ho, Jonathan and Salimans, Tim and Gritsenko, Alexey and Chan, William and Norouzi, Mohammad and Fleet, David J.},
  booktitle = {NeurIPS},
  year      = {2022}
}"""
    target = "pixels"
    downscale_factor = 1
    latent_channels = 3
    bounded = True

    def statistics(self, frames: Iterable[torch.Tensor]) -> tuple[list[float], list[float]]:
        """Those that bring pixels to [-1, 1], whatever the frames."""
        return [0.5] * 3, [0.5] * 3

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        return frames

    def decode_frames(self, latents: torch.Tensor) -> torch.Tensor:
        return latents
