"""Diffusion of a video's frames themselves, each in the same space of its own: pixels, or an auto-encoder's latents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from diffusers import ModelMixin
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

from ..data.picture_fitting import Picture, to_rgb_tensors
from .call_arguments import DenoisingArguments, ResolvedArguments
from .image_to_video import VideoPipelineOutput, Videos
from .video_diffusion import VideoDiffusionPipeline

# Frames that are encoded or decoded at once, unless a call says otherwise.
FRAMES_AT_ONCE = 32


class FrameDiffusionPipeline(VideoDiffusionPipeline):
    """A pipeline that denoises frames, given the first one and a text: what LFDM is compared with.

    The U-Net's input is the noisy volume beside the picture, in the same space, at every frame. A new space is a subclass
    with `encode_frames`, `decode_frames`, `latent_channels`, `downscale_factor` and `target`. One with networks of its own has
    `load_space` too, and a constructor that registers them; `LDMVideoPipeline` is an example. Training, evaluation and cards take
    it as it is. How it is scaled for the diffusion stands in the U-Net's configuration, `target_mean` and `target_std` of each
    channel.

    Attributes:
        latent_channels: C of the space.
        bounded: whether `statistics` bring the space to [-1, 1], where it ends, as pixels do, instead of to a deviation of 1:
            samplers clip it there.
    """

    bounded: ClassVar[bool] = False

    @property
    def latent_channels(self) -> int:
        raise NotImplementedError

    @classmethod
    def load_space(cls, source: str | None) -> dict[str, ModelMixin]:
        """Networks of the space, by the names of the pipeline's components, frozen; of a folder or Hub repository.

        Raises:
            ValueError: if it needs a source and has none, or has one and needs none, or that is of another kind.
            OSError: if there is no such source.
        """
        if source is not None:
            raise ValueError(f"it has no networks besides the U-Net, got {source}.")
        return {}

    @torch.no_grad()
    def statistics(self, frames: Iterable[torch.Tensor]) -> tuple[list[float], list[float]]:
        """What is subtracted from each channel of the space, and what it is divided by, over batches of frames `(N, 3, H, W)`: its mean
        and standard deviation, where the space has no ends."""
        latents = torch.cat([self._encoded(batch).double().cpu() for batch in frames]).transpose(0, 1).flatten(1)
        return latents.mean(dim=1).tolist(), latents.std(dim=1).tolist()

    def check_inputs(self, asked: ResolvedArguments) -> None:
        config = self.unet.config
        for name in ("in_channels", "out_channels", "image_latent_channels"):
            if config[name] != self.latent_channels:
                raise ValueError(
                    f"`unet` must have {name} {self.latent_channels}, as {self.target} have, got {config[name]}."
                )
        super().check_inputs(asked)

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames `(N, 3, H, W)` in [0, 1] to `(N, C, h, w)`, not scaled yet."""
        raise NotImplementedError

    def decode_frames(self, latents: torch.Tensor) -> torch.Tensor:
        """`(N, C, h, w)` to frames `(N, 3, H, W)`, about [0, 1]; whatever lies outside is cut off."""
        raise NotImplementedError

    def _encoded(self, frames: torch.Tensor) -> torch.Tensor:
        """`encode_frames` of any number of frames."""
        return torch.cat([self.encode_frames(part) for part in frames.split(FRAMES_AT_ONCE)])

    def _statistics(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, std = (like.new_tensor(self.unet.config[name]) for name in ("target_mean", "target_std"))
        return mean.view(-1, 1, 1), std.view(-1, 1, 1)

    def scaled_latents(self, frames: torch.Tensor) -> torch.Tensor:
        """What the U-Net sees of frames `(N, 3, H, W)` in [0, 1]: `(N, C, h, w)`, standardised."""
        latents = self._encoded(frames).float()
        mean, std = self._statistics(latents)
        return (latents - mean) / std

    @torch.no_grad()
    def encode_image(
        self,
        image: Picture | Sequence[Picture],
        height: int | None = None,
        width: int | None = None,
        image_fit: str = "letterbox",
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Fit pictures to `height` x `width` (see `frame_size`) and encode each once: `(N, C, h, w)`."""
        pictures = to_rgb_tensors(image)
        height, width = self.frame_size(pictures, height, width)
        return self.scaled_latents(self.fit_pictures(pictures, height, width, image_fit, device))

    @torch.no_grad()
    def decode_latents(self, latents: torch.Tensor, decode_chunk_size: int | None = None) -> torch.Tensor:
        """Denoised volumes `(B, C, F, h, w)` to videos `(B, 3, F, H, W)` in [0, 1], by default as many frames at once as suit."""
        mean, std = self._statistics(latents)
        frames = latents.transpose(1, 2)
        batch, count = frames.shape[:2]
        at_once = batch * decode_chunk_size if decode_chunk_size else FRAMES_AT_ONCE
        parts = (frames.flatten(0, 1) * std + mean).split(at_once)
        decoded = torch.cat([self.decode_frames(part).float().clamp(0, 1) for part in parts])
        return decoded.unflatten(0, (batch, count)).transpose(1, 2)

    @torch.no_grad()
    def __call__(
        self,
        image: Picture | Sequence[Picture],
        prompt: str | Sequence[str] | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        eta: float = 1.0,
        num_videos_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        decode_chunk_size: int | None = None,
        callback_on_step_end: Callable | PipelineCallback | MultiPipelineCallbacks | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],
        image_fit: str = "letterbox",
        height: int | None = None,
        width: int | None = None,
    ) -> VideoPipelineOutput | Any:
        """Generate videos; arguments as in `LFDMPipeline.__call__`, but for those of motion, which there is none of.

        Returns:
            `VideoPipelineOutput`, or the tuple `(frames,)`.

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        # 1. Resolve defaults, and check all arguments before any work is done.
        pictures = to_rgb_tensors(image)
        given = DenoisingArguments(
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
        asked = self.resolve_defaults(pictures, given)
        self.check_inputs(asked)

        # 2. Encode pictures and texts, each once.
        _, condition = self.encode_inputs(pictures, asked)

        # 3. Prepare the schedule and the initial noise.
        timesteps = self.prepare_timesteps(asked.num_inference_steps)
        size = (asked.height, asked.width)
        latents = self.prepare_latents(condition.batch_size, asked.num_frames, *size, generator, latents)

        # 4. Denoise the frames, and decode them.
        frames: Videos = self.denoise(latents, timesteps, condition, asked)
        if output_type != "latent":
            frames = self._postprocess(self.decode_latents(frames, decode_chunk_size), output_type)

        # 5. Offload all models.
        self.maybe_free_model_hooks()
        return VideoPipelineOutput(frames=frames) if return_dict else (frames,)
