"""ImaGINator, a conditional GAN, called as the diffusion pipelines are."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..data.picture_fitting import Picture, to_rgb_tensors
from ..models import ImaginatorGenerator, LabelEmbeddings
from ..ops.cpu import advise_precision, reuse_freed_memory
from .checks import require_number, require_tensor
from .image_to_video import ImageToVideoPipeline, VideoPipelineOutput, eval_mode


class ImaginatorPipeline(ImageToVideoPipeline):
    r"""Image-to-video generation by ImaGINator (Wang et al., WACV 2020), as LFDM's paper compares itself with it: one pass of a
    generator, of the one size and length that it was trained on.

    Args:
        imaginator: the generator.
        text_encoder, tokenizer, label_embeddings: as in `LFDMPipeline`.
    """

    model_cpu_offload_seq = "text_encoder->label_embeddings->imaginator"
    title = "ImaGINator"
    method = (
        "by a conditional GAN after ImaGINator (Wang et al., WACV 2020): one pass of a generator, given the picture, the text and noise, "
        "a baseline of [latent flow diffusion](https://arxiv.org/abs/2303.13744)."
    )
    tags = ("gan",)
    part_names = {"imaginator": "generator"}
    imaginator: ImaginatorGenerator
    citation = """@inproceedings{wang2020imaginator,
  title     = {ImaGINator: Conditional Spatio-Temporal GAN for Video Generation},
  author    = {Wang, Yaohui and Bilinski, Piotr and Bremond, Francois and Dantcheva, Antitza},
  booktitle = {WACV},
  year      = {2020}
}"""

    def __init__(
        self,
        imaginator: ImaginatorGenerator,
        text_encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        label_embeddings: LabelEmbeddings | None = None,
    ):
        super().__init__()
        self.register_modules(
            imaginator=imaginator,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            label_embeddings=label_embeddings,
        )

    @property
    def sample_size(self) -> int:
        return self.imaginator.config.sample_size

    @property
    def num_frames(self) -> int:
        return self.imaginator.config.num_frames

    @property
    def stride(self) -> int:
        return self.sample_size

    @property
    def text_embed_dim(self) -> int:
        return self.imaginator.config.text_embed_dim

    @torch.no_grad()
    def __call__(
        self,
        image: Picture | Sequence[Picture],
        prompt: str | Sequence[str] | None = None,
        num_frames: int | None = None,
        num_videos_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        image_fit: str = "letterbox",
        height: int | None = None,
        width: int | None = None,
    ) -> VideoPipelineOutput | Any:
        """Generate videos; arguments as in `LFDMPipeline.__call__`, but for those of denoising and of motion.

        Args:
            num_frames, height, width: as trained, the only ones there are.
            latents: noise `(B, noise_dim)` to make the videos of.

        Returns:
            `VideoPipelineOutput`, or the tuple `(frames,)`.

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        pictures = to_rgb_tensors(image)
        height, width = self.frame_size(pictures, height, width)
        num_frames = self.num_frames if num_frames is None else num_frames
        self._check_texts(prompt, prompt_embeds)
        self._check_generator(generator)
        require_number("num_videos_per_prompt", num_videos_per_prompt, Integral, 1)
        fixed = {"num_frames": (num_frames, self.num_frames), "height": (height, self.sample_size)}
        for name, (asked, trained) in (fixed | {"width": (width, self.sample_size)}).items():
            if asked != trained:
                raise ValueError(f"`{name}` must be {trained}, as this model was trained, got {asked!r}.")
        self._check_output(height, width, image_fit, output_type)

        device, network = self._execution_device, self.imaginator
        advise_precision(device, network.dtype)
        reuse_freed_memory()
        batch_size, prompt_embeds = self._paired_prompts(
            len(pictures), prompt, prompt_embeds, num_videos_per_prompt, device
        )
        fitted = self.fit_pictures(pictures, height, width, image_fit, device).to(network.dtype) * 2 - 1
        if len(pictures) > 1:
            fitted = fitted.repeat_interleave(num_videos_per_prompt, dim=0)
        if isinstance(generator, list) and len(generator) != batch_size:
            raise ValueError(f"`generator` must be one generator or a list of {batch_size}, got {len(generator)}.")
        shape = (batch_size, network.config.noise_dim)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
        else:
            require_tensor("latents", latents, shape)
        embeds = prompt_embeds.to(network.dtype) if prompt_embeds is not None else None
        with eval_mode(network):
            made = network(fitted.expand(batch_size, -1, -1, -1), latents.to(device, network.dtype), embeds).sample
        frames = self._postprocess((made.float() / 2 + 0.5).clamp(0, 1), output_type)
        self.maybe_free_model_hooks()
        return VideoPipelineOutput(frames=frames) if return_dict else (frames,)
