"""One picture and one label in, a short video of that subject doing it out, with its motion."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.schedulers import DDPMScheduler, SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..hub import HubPipeline
from ..models import LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from ..models.label_embeddings import embed_text
from ..models.latent_flow_autoencoder import EncodedImage
from ..schedulers import check_scheduler, refine_schedule
from .animation import AnimationMixin, LFDMPipelineOutput, eval_mode
from .checks import require_number, require_pairs, require_tensor
from .motion import Mask, MotionEdit, volume_to_motion
from .picture_fitting import Picture, to_rgb_tensors


class LFDMPipeline(AnimationMixin, HubPipeline):
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
    _optional_components = ["text_encoder", "tokenizer", "label_embeddings"]
    _callback_tensor_inputs = ["latents", "prompt_embeds"]

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
        self.video_processor = VideoProcessor(do_resize=False, do_normalize=False)

    @property
    def labels(self) -> list[str] | None:
        """The labels that need no text encoder; None if this model has no table of them."""
        return self.label_embeddings.labels if self.label_embeddings is not None else None

    @property
    def guidance_scale(self) -> float:
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether a step needs both the conditional and the null prediction."""
        return self._guidance_scale not in (0.0, 1.0)

    @property
    def num_timesteps(self) -> int:
        return self._num_timesteps

    @property
    def current_timestep(self) -> torch.Tensor | None:
        return self._current_timestep

    @property
    def interrupt(self) -> bool:
        return self._interrupt

    def check_inputs(
        self,
        prompt: str | Sequence[str] | None,
        prompt_embeds: torch.Tensor | None,
        latents: torch.Tensor | None,
        generator: torch.Generator | list[torch.Generator] | None,
        num_frames: int,
        num_inference_steps: int,
        num_videos_per_prompt: int,
        guidance_scale: float,
        eta: float,
        motion_scale: float | Sequence[float],
        motion_mask: Mask | None,
        loop: str | None,
        height: int,
        width: int,
        image_fit: str,
        output_type: str,
        decode_chunk_size: int | None,
        callback_on_step_end_tensor_inputs: Sequence[str],
    ) -> None:
        """Raise a ValueError that names the argument, what came and what is allowed, before any work is done."""
        check_scheduler(self.scheduler, self.unet.config.prediction_type)
        if prompt is not None and prompt_embeds is not None:
            raise ValueError("Pass either `prompt` or `prompt_embeds`, not both.")
        texts = [prompt] if isinstance(prompt, str) else prompt
        if texts is not None and (
            not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(text, str) for text in texts)
        ):
            raise ValueError(
                f"`prompt` must be a string, a non-empty list of strings, or None (no condition), got {prompt!r}."
            )
        dim = self.unet.config.text_embed_dim
        if prompt_embeds is not None:
            require_tensor("prompt_embeds", prompt_embeds, ("batch", dim))
        if latents is not None:
            require_tensor("latents", latents, ("batch", self.unet.config.in_channels, "frames", "height", "width"))
        generators = generator if isinstance(generator, list) else [generator]
        if not all(isinstance(g, torch.Generator) for g in generators) and generator is not None:
            raise ValueError(f"`generator` must be a torch.Generator or a list of them, got {generator!r}.")
        counts = {
            "num_frames": num_frames,
            "num_inference_steps": num_inference_steps,
            "num_videos_per_prompt": num_videos_per_prompt,
        }
        for name, value in counts.items():
            require_number(name, value, Integral, 1)
        require_number("guidance_scale", guidance_scale, Real)
        require_number("eta", eta, Real, 0, 1)
        MotionEdit(motion_scale, motion_mask, loop).check(num_frames)
        self._check_output(height, width, image_fit, output_type, decode_chunk_size)
        if not isinstance(callback_on_step_end_tensor_inputs, (list, tuple)):
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` must be a list, got {callback_on_step_end_tensor_inputs!r}."
            )
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` must be among {self._callback_tensor_inputs}, got {sorted(unknown)}."
            )

    def encode_prompt(
        self,
        prompt: str | Sequence[str] | None = None,
        device: torch.device | None = None,
        num_videos_per_prompt: int = 1,
        prompt_embeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor | None]:
        """Embed labels or sentences, `(len(prompt) * num_videos_per_prompt, D)`; None stays None, the null condition.

        A label of the table `label_embeddings` is looked up; any other text goes through the text encoder.

        Raises:
            ValueError: for an unknown label where there is no text encoder, naming the closest one and all.
        """
        device = device or self._execution_device
        if prompt is not None and prompt_embeds is None:
            texts = [prompt] if isinstance(prompt, str) else list(prompt)
            prompt_embeds = self._embed(texts, device)
        if prompt_embeds is not None:
            prompt_embeds = prompt_embeds.to(device).repeat_interleave(num_videos_per_prompt, dim=0)
        return (prompt_embeds,)

    def _embed(self, texts: list[str], device: torch.device) -> torch.Tensor:
        free_text = self.text_encoder is not None and self.tokenizer is not None
        if self.label_embeddings is None and not free_text:
            raise ValueError(
                "`prompt` needs either `label_embeddings` or both `text_encoder` and `tokenizer`, and this pipeline has "
                "neither. Pass `prompt_embeds`, or no prompt for stochastic generation."
            )
        table = self.label_embeddings
        # Text by text: an embedding must not depend on its neighbours.
        known = [text for text in texts if table is not None and (table.knows(text) or not free_text)]
        other = [text for text in texts if text not in known]
        embeds: dict[str, torch.Tensor] = {}
        if other:
            embeds.update(zip(other, embed_text(self.text_encoder, self.tokenizer, other, device)))
        if known:
            embeds.update(zip(known, table(torch.tensor(table.label_ids(known), device=device)).text_embeds))
        dtype = embeds[texts[0]].dtype
        return torch.stack([embeds[text].to(dtype) for text in texts])

    def prepare_latents(
        self,
        batch_size: int,
        num_frames: int,
        height: int,
        width: int,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Initial noise `(batch_size, 3, num_frames, height, width)` (in latent places), scaled for the scheduler.

        It stays float32 in a half-precision pipeline: it holds sampling coordinates, which bfloat16 places a quarter of
        a latent pixel off.
        """
        shape = (batch_size, self.unet.config.in_channels, num_frames, height, width)
        if isinstance(generator, list) and len(generator) != batch_size:
            raise ValueError(f"`generator` must be one generator or a list of {batch_size}, got {len(generator)}.")
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device)
        elif tuple(latents.shape) != shape:
            raise ValueError(f"`latents` must have shape {shape}, got {tuple(latents.shape)}.")
        return latents.to(device, torch.float32) * getattr(self.scheduler, "init_noise_sigma", 1.0)

    def prepare_extra_step_kwargs(
        self, generator: torch.Generator | list[torch.Generator] | None, eta: float
    ) -> dict[str, Any]:
        """`eta` and `generator`, for those schedulers whose `step` takes them."""
        accepted = inspect.signature(self.scheduler.step).parameters
        return {k: v for k, v in (("eta", eta), ("generator", generator)) if k in accepted}

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
            generator: for reproducible results; a list gives each video its own seed.
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
        if isinstance(callback_on_step_end, (PipelineCallback, MultiPipelineCallbacks)):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        pictures = to_rgb_tensors(image)
        height, width = self.frame_size(pictures, height, width, latents)
        if num_frames is None:
            given = torch.is_tensor(latents) and latents.ndim == 5
            num_frames = latents.shape[2] if given else self.unet.config.num_frames
        num_inference_steps = self.default_steps() if num_inference_steps is None else num_inference_steps

        # 1. Check inputs.
        self.check_inputs(
            prompt,
            prompt_embeds,
            latents,
            generator,
            num_frames,
            num_inference_steps,
            num_videos_per_prompt,
            guidance_scale,
            eta,
            motion_scale,
            motion_mask,
            loop,
            height,
            width,
            image_fit,
            output_type,
            decode_chunk_size,
            callback_on_step_end_tensor_inputs,
        )
        self._guidance_scale = guidance_scale
        # A callback that sets the scale to 0 later on means "no more guidance", as everywhere in diffusers.
        self._only_null = guidance_scale == 0
        self._interrupt = False
        self._current_timestep = None
        device = self._execution_device
        motion_mask = self._framed_mask(motion_mask, pictures, (height, width), image_fit)

        # 2. Pair pictures and prompts, and encode each once.
        num_pictures = len(pictures)
        if prompt_embeds is not None:
            num_prompts = prompt_embeds.shape[0]
        else:
            num_prompts = len(prompt) if isinstance(prompt, (list, tuple)) else 1
        require_pairs(num_pictures, "prompt", num_prompts)
        batch_size = max(num_pictures, num_prompts) * num_videos_per_prompt
        (prompt_embeds,) = self.encode_prompt(prompt, device, num_videos_per_prompt, prompt_embeds)
        if prompt_embeds is not None and prompt_embeds.shape[0] < batch_size:
            prompt_embeds = prompt_embeds[:1].expand(batch_size, -1)
        with eval_mode(self.lfae):
            encoded = self.encode_image(pictures, height, width, image_fit, device)
        # A single picture stays a batch of one, which serves all videos; several are repeated as often as needed.
        image_projection = self.unet.project_image(encoded.latent.to(self.unet.dtype))
        if num_pictures > 1 and num_videos_per_prompt > 1:
            encoded = _repeat(encoded, num_videos_per_prompt)
            image_projection = image_projection.repeat_interleave(num_videos_per_prompt, dim=0)

        # 3. Prepare the schedule and the initial noise.
        refine_schedule(self.scheduler)
        # Schedulers look up tables and branch by the timestep. On the host that never waits for an accelerator.
        self.scheduler.set_timesteps(num_inference_steps)
        if hasattr(self.scheduler, "set_begin_index"):
            # Karras sigmas repeat the first timestep, which a search by value would skip.
            self.scheduler.set_begin_index(0)
        timesteps = self.scheduler.timesteps
        device_timesteps = timesteps.to(device)
        self._num_timesteps = len(timesteps)
        latent_size = [side // self.lfae.downscale_factor for side in (height, width)]
        latents = self.prepare_latents(batch_size, num_frames, *latent_size, device, generator, latents)
        extra_step_kwargs = self.prepare_extra_step_kwargs(generator, eta)

        # 4. Denoise.
        num_warmup_steps = len(timesteps) - num_inference_steps * self.scheduler.order
        with self.progress_bar(total=num_inference_steps) as progress_bar:
            for i, t in enumerate(timesteps):
                if self.interrupt:
                    continue
                self._current_timestep = t
                noise_pred = self._predict(latents, t, device_timesteps[i], prompt_embeds, image_projection)
                latents = self.scheduler.step(noise_pred, t, latents, **extra_step_kwargs, return_dict=False)[0]

                if callback_on_step_end is not None:
                    callback_kwargs = {}
                    for name in callback_on_step_end_tensor_inputs:
                        callback_kwargs[name] = locals()[name]
                    changed = callback_on_step_end(self, i, t, callback_kwargs) or {}
                    latents = changed.pop("latents", latents)
                    prompt_embeds = changed.pop("prompt_embeds", prompt_embeds)
                if i == len(timesteps) - 1 or (i + 1 > num_warmup_steps and (i + 1) % self.scheduler.order == 0):
                    progress_bar.update()
        self._current_timestep = None

        # 5. Warp, mask and decode.
        with eval_mode(self.lfae):
            output = self.decode_latents(
                latents, encoded, motion_scale, decode_chunk_size, output_type, motion_mask, loop
            )
        self.maybe_free_model_hooks()
        return output if return_dict else (output.frames, output.flow, output.occlusion, output.warped)

    def default_steps(self) -> int:
        """Denoising steps of a call that does not say how many."""
        default = self.config.get("default_num_inference_steps")
        if default is not None:
            return default
        trained = self.scheduler.config.num_train_timesteps
        return trained if isinstance(self.scheduler, DDPMScheduler) else min(100, trained)

    def _predict(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        device_timestep: torch.Tensor,
        prompt_embeds: torch.Tensor | None,
        image_projection: torch.Tensor,
    ) -> torch.Tensor:
        """The U-Net's prediction, guided: null + w (cond - null), both by one batched pass; the timestep is on the host, and where
        the U-Net is."""
        guided = self.do_classifier_free_guidance and prompt_embeds is not None
        null_mask = None
        if guided:
            batch_size = latents.shape[0]
            latents = torch.cat((latents, latents))
            prompt_embeds = torch.cat((prompt_embeds, prompt_embeds))
            if image_projection.shape[0] > 1:
                image_projection = torch.cat((image_projection, image_projection))
            null_mask = torch.arange(2 * batch_size, device=latents.device) < batch_size
        elif self._only_null:
            prompt_embeds = None
        model_input = latents
        if hasattr(self.scheduler, "scale_model_input"):  # flow matching has none
            model_input = self.scheduler.scale_model_input(latents, timestep)
        prediction = self.unet(
            model_input.to(self.unet.dtype),
            device_timestep,
            prompt_embeds,
            null_mask=null_mask,
            image_projection=image_projection,
            return_dict=False,
        )[0].to(latents.dtype)
        if guided:
            null, conditional = prediction.chunk(2)
            prediction = null + self.guidance_scale * (conditional - null)
        return prediction


def _repeat(encoded: EncodedImage, times: int) -> EncodedImage:
    """Each picture `times` times in a row."""
    latent, *_ = skips = tuple(skip.repeat_interleave(times, dim=0) for skip in reversed(encoded.skips))
    return EncodedImage(latent=latent, skips=skips[::-1], image=encoded.image.repeat_interleave(times, dim=0))
