"""One picture and one label in, a short video of that subject doing it out, with its motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.schedulers import SchedulerMixin
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..data.picture_fitting import Picture, to_rgb_tensors
from ..hub.cards import TAGS
from ..models import LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from ..models.latent_flow_autoencoder import EncodedImage
from .animation import AnimationMixin, LFDMPipelineOutput
from .image_to_video import eval_mode
from .motion import Mask, MotionEdit, volume_to_motion
from .video_diffusion import DenoisingArguments, VideoDiffusionPipeline


class LFDMPipeline(AnimationMixin, VideoDiffusionPipeline):
    r"""Image-to-video generation by latent flow diffusion (LFDM, CVPR 2023, arXiv 2303.13744).

    A flow + occlusion volume is denoised, given the picture's latent map and a text embedding; then the latent map is
    warped by each frame's flow, masked by its occlusion, and decoded. Every frame is made from the one given picture.

    Args:
        lfae: encodes the picture, warps and decodes.
        unet: denoises the volume.
        scheduler: any epsilon-, v- or sample-predicting scheduler of diffusers.
        text_encoder, tokenizer: a BERT-like encoder, for free text.
        label_embeddings: embeddings of a closed set of labels; a known label is looked up here first.
        default_num_inference_steps: denoising steps of a call that does not say; None leaves it to the scheduler: all
            trained steps for DDPM, at most 100 for others.
    """

    model_cpu_offload_seq = "text_encoder->label_embeddings->unet->lfae"
    title = "Latent flow diffusion"
    method = (
        "by [latent flow diffusion](https://arxiv.org/abs/2303.13744): a U-Net denoises a volume of optical flow and occlusion, and "
        "an auto-encoder warps, masks and decodes the picture's latent map by it."
    )
    tags = TAGS
    part_names = {"lfae": "latent flow auto-encoder"}
    limits = """* New domains (photographs for drawings, another drawing style): motion mostly carries over, painting does not; adapt the decoder
  with `training/finetune_decoder.py`, without labels.
* Every frame is made from the one given picture: what it does not show (an open mouth's teeth, the back of a hand) is invented, and blurred."""

    @property
    def target(self) -> str:
        return f"{self.unet.config.flow_target} flow and occlusion"

    def __init__(
        self,
        lfae: LatentFlowAutoencoder,
        unet: UNet3DVideoModel,
        scheduler: SchedulerMixin,
        text_encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        label_embeddings: LabelEmbeddings | None = None,
        default_num_inference_steps: int | None = None,
    ):
        super().__init__()
        self.register_modules(
            lfae=lfae,
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
        return super().sample_size or self.lfae.config.sample_size

    @property
    def downscale_factor(self) -> int:
        return self.lfae.downscale_factor

    def _image_latents(self, encoded: EncodedImage) -> torch.Tensor:
        return encoded.latent

    def _repeated(self, encoded: EncodedImage, times: int) -> EncodedImage:
        latent, *_ = skips = tuple(skip.repeat_interleave(times, dim=0) for skip in reversed(encoded.skips))
        return EncodedImage(latent=latent, skips=skips[::-1], image=encoded.image.repeat_interleave(times, dim=0))

    def decode_latents(
        self,
        latents: torch.Tensor,
        encoded: EncodedImage,
        motion_scale: float | Sequence[float] = 1.0,
        decode_chunk_size: int | None = None,
        output_type: str = "pt",
        motion_mask: Mask | None = None,
        loop: str | None = None,
    ) -> LFDMPipelineOutput:
        """Denoised volumes `(B, 3, F, h, w)` to videos: eq. 5 of the LFDM paper for every frame."""
        flow, occlusion = (x.transpose(1, 2) for x in volume_to_motion(latents, self.unet.config))
        edit = MotionEdit(motion_scale, motion_mask, loop)
        output = self._moved(encoded, flow, occlusion, edit, decode_chunk_size, output_type)
        return replace(output, frames=latents) if output_type == "latent" else output

    @torch.no_grad()
    def __call__(
        self,
        image: Picture | Sequence[Picture],
        prompt: str | Sequence[str] | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float = 1.0,
        eta: float = 1.0,
        num_videos_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        decode_chunk_size: int | None = None,
        motion_scale: float | Sequence[float] = 1.0,
        callback_on_step_end: Callable | PipelineCallback | MultiPipelineCallbacks | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],
        image_fit: str = "letterbox",
        height: int | None = None,
        width: int | None = None,
        motion_mask: Mask | None = None,
        loop: str | None = None,
    ) -> LFDMPipelineOutput | tuple:
        r"""Generate videos.

        Pictures and prompts pair up: n pictures with n prompts, or one of either with many of the other.

        Args:
            image: PIL image, array `(H, W, 3)` or `(N, H, W, 3)`, tensor `(3, H, W)` or `(N, 3, H, W)`, uint8 or float
                in [0, 1], or a list of these.
            prompt: label or sentence, or a list of them; None generates without a condition.
            num_frames: F; as trained by default (or as `latents` say), but others work.
            num_inference_steps: denoising steps; see `default_num_inference_steps`.
            guidance_scale: w of classifier-free guidance, null + w (cond - null); 1 uses the condition alone, 0 the
                null condition alone.
            eta: noise of DDIM and its kin (TCD's gamma too), from 0 (deterministic) to 1 (as DDPM); ignored by other
                schedulers.
            num_videos_per_prompt: videos for each picture-prompt pair.
            generator: for reproducible results; a list gives each video its own seed. On a GPU one of that device: noise drawn by a
                CPU's, which is the same everywhere, is waited for in every step that draws some.
            latents: initial noise `(B, 3, F, h, w)` to start from.
            prompt_embeds: text embeddings `(B, D)`, instead of `prompt`.
            output_type: "pil", "np", "pt", or "latent" for the denoised volume without decoding (edits show in flow and occlusion alone).
            return_dict: whether to return an `LFDMPipelineOutput` rather than a tuple of its fields.
            decode_chunk_size: frames of each video to decode at once; by default as many as suit the device.
            motion_scale: 0 is still, 1 as generated, more exaggerates; or one for each frame (`Motion.scaled`).
            callback_on_step_end: called as `callback(pipe, step, timestep, tensors)` after each step; may return
                changed tensors, and stop the loop by setting `pipe._interrupt = True`.
            callback_on_step_end_tensor_inputs: tensors that the callback gets: "latents", "prompt_embeds".
            image_fit: how pictures of other proportions are fitted: "letterbox" (whole, on black) or "center_crop".
            height, width: size of the videos in pixels; as trained by default (see `frame_size`).
            motion_mask: only this region moves: `(H, W)` in [0, 1], or a grey picture (`Motion.masked`). One that is as large as the
                picture is fitted as the picture is; any other is stretched over the frame.
            loop: "ping_pong" plays forward and back in 2 F - 2 frames, "ease" lets the last quarter of the frames glide back to
                the first, so that the video can be repeated without a jump.

        Returns:
            `LFDMPipelineOutput`, or the tuple `(frames, flow, occlusion, warped)`, the last None for "latent".

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        pictures, edit = to_rgb_tensors(image), MotionEdit(motion_scale, motion_mask, loop)
        asked = DenoisingArguments(
            prompt=prompt,
            num_frames=num_frames,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            eta=eta,
            num_videos_per_prompt=num_videos_per_prompt,
            generator=generator,
            latents=latents,
            prompt_embeds=prompt_embeds,
            output_type=output_type,
            decode_chunk_size=decode_chunk_size,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            image_fit=image_fit,
            height=height,
            width=width,
        )
        asked = self.settle(pictures, asked)
        self.check_inputs(asked)
        edit.check(asked.num_frames)
        motion_mask = self._framed_mask(motion_mask, pictures, (asked.height, asked.width), image_fit)
        latents, encoded = self.denoise(pictures, asked)
        with eval_mode(self.lfae):
            output = self.decode_latents(
                latents, encoded, motion_scale, decode_chunk_size, output_type, motion_mask, loop
            )
        self.maybe_free_model_hooks()
        return output if return_dict else (output.frames, output.flow, output.occlusion, output.warped)
