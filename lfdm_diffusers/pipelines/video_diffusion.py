"""Denoising of whole volumes, given a picture and a text: what pipelines share, whatever space they diffuse in."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.schedulers import DDPMScheduler, SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..arguments.checked import described
from ..data.picture_fitting import Picture
from ..hub.cards import parameter_count
from ..models import LabelEmbeddings, UNet3DVideoModel
from ..models.text_attention import batch_texts
from ..ops.cpu import advise_precision, reuse_freed_memory
from ..ops.number_types import float32_by_default
from ..schedulers import check_scheduler, refine_schedule, step_ends
from .adapted import AdaptedPipeline
from .call_arguments import Condition, DenoisingArguments, Negative, ResolvedArguments
from .checks import require_denoised, require_negative, require_number, require_room, require_tensor
from .image_to_video import ImageToVideoPipeline
from .imposing import KnownMotion, NoiseLevel
from .scheduler_settings import require_settings
from .windows import Windows

if TYPE_CHECKING:
    from typing_extensions import Self


class VideoDiffusionPipeline(AdaptedPipeline, ImageToVideoPipeline):
    """A pipeline whose `unet` (`UNet3DVideoModel`) and `scheduler` denoise a volume `(B, C, F, h, w)`.

    The steps of a call stand here in the order in which they are taken: `resolve_defaults`, `check_inputs`, `encode_inputs`,
    `prepare_timesteps`, `prepare_latents`, `denoise`. A subclass says what the volume is: `downscale_factor`, `encode_image`,
    and what its `__call__` makes of the denoised volume. What `encode_image` returns is given to the U-Net by `_image_latents`,
    and repeated by `_repeated`.
    """

    _callback_tensor_inputs = ["latents", "prompt_embeds"]
    output_types: ClassVar[tuple[str, ...]] = ("pil", "np", "pt", "latent")

    _guidance_scale, _interrupt, _num_timesteps, _current_timestep = 1.0, False, 0, None

    unet: UNet3DVideoModel
    scheduler: Any  # diffusers' SchedulerMixin tells a type checker neither of `config` nor of `step`

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
    def target(self) -> str:
        """What is diffused, in words."""
        raise NotImplementedError

    @property
    def downscale_factor(self) -> int:
        """Pixels of a frame's side for one place of the volume."""
        raise NotImplementedError

    @property
    def sample_size(self) -> int | None:
        grid = self.unet.config.sample_size
        return None if grid is None else grid * self.downscale_factor

    @property
    def num_frames(self) -> int:
        return self.unet.config.num_frames

    @property
    def stride(self) -> int:
        return self.downscale_factor * self.unet.size_stride

    @property
    def text_embed_dim(self) -> int:
        return self.unet.config.text_embed_dim

    @property
    def hears_tokens(self) -> bool:
        return self.unet.config.text_attention

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
        """Whether a call that runs is to stop after its step, with what it has; a callback, or another thread, may set it."""
        return self._interrupt

    @interrupt.setter
    def interrupt(self, stop: bool) -> None:
        self._interrupt = bool(stop)

    def encode_image(
        self,
        image: Picture | Sequence[Picture],
        height: int | None = None,
        width: int | None = None,
        image_fit: str = "letterbox",
        device: torch.device | None = None,
    ) -> Any:
        """Fit pictures to `height` x `width` (see `frame_size`) and encode each once."""
        raise NotImplementedError

    def _image_latents(self, encoded: Any) -> torch.Tensor:
        """Of what `encode_image` returned, the map `(N, C, h, w)` that conditions the U-Net."""
        return encoded

    def _repeated(self, encoded: Any, times: int) -> Any:
        """Each encoded picture `times` times in a row."""
        return encoded.repeat_interleave(times, dim=0)

    def default_steps(self) -> int:
        """Denoising steps of a call that does not say how many."""
        default = self.config.get("default_num_inference_steps")
        if default is not None:
            return default
        trained = self.scheduler.config.num_train_timesteps
        return trained if isinstance(self.scheduler, DDPMScheduler) else min(100, trained)

    def default_guidance(self) -> float:
        """`guidance_scale` of a call that does not say."""
        return self.config.get("default_guidance_scale", 1.0)

    def steps_of(self, asked: int | None) -> int:
        """`num_inference_steps` as asked for, else the default."""
        return self.default_steps() if asked is None else asked

    def guidance_of(self, asked: float | None) -> float:
        """`guidance_scale` as asked for, else the default."""
        return self.default_guidance() if asked is None else asked

    def with_scheduler(self, scheduler: SchedulerMixin) -> Self:
        """The same pipeline, its networks shared and its configuration kept, with another scheduler; this one stays as it is."""
        other = copy.copy(self)
        other.register_modules(scheduler=scheduler)
        return other

    def sampling_facts(self) -> dict[str, str]:
        scheduler, guidance = self.scheduler, self.default_guidance()
        guided = "no guidance (`guidance_scale=1`)" if guidance == 1 else f"`guidance_scale={guidance:g}`"
        noise = ", eta 1" if self.prepare_extra_step_kwargs(None, 1.0).keys() & {"eta"} else ""
        return {
            "U-Net": f"{parameter_count(self.unet)}, predicts {self.unet.config.prediction_type}, of {self.target}",
            **super().sampling_facts(),
            "scheduler": f"{type(scheduler).__name__}, {scheduler.config.num_train_timesteps} training steps",
            "sampling by default": f"{self.default_steps()} steps, {guided}{noise}",
        }

    def sampling_advice(self) -> list[str]:
        if not isinstance(self.scheduler, DDPMScheduler):
            return []
        steps = "pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)"
        return [f"Fewer steps: `{steps}`, then `pipe(..., num_inference_steps=50)`."]

    def size_asked(
        self, height: int | None, width: int | None, latents: torch.Tensor | None
    ) -> tuple[int | None, int | None]:
        """Height and width of the frame as a call has them, else as its initial noise has."""
        if not torch.is_tensor(latents) or latents.ndim != 5:
            return height, width
        down, across = (side * self.downscale_factor for side in latents.shape[3:])
        return down if height is None else height, across if width is None else width

    def resolve_defaults(self, pictures: Sequence[torch.Tensor], asked: DenoisingArguments) -> ResolvedArguments:
        """Fill in what was left open: sizes as `latents` say, else as trained, else as `pictures` `(3, H, W)` are."""
        height, width, num_frames, callback = asked.height, asked.width, asked.num_frames, asked.callback_on_step_end
        if torch.is_tensor(asked.latents) and asked.latents.ndim == 5:
            num_frames = asked.latents.shape[2] if num_frames is None else num_frames
        height, width = self.frame_size(pictures, *self.size_asked(height, width, asked.latents))
        resolved = {
            "height": height,
            "width": width,
            "num_frames": self.num_frames if num_frames is None else num_frames,
            "num_inference_steps": self.steps_of(asked.num_inference_steps),
            "guidance_scale": self.guidance_of(asked.guidance_scale),
        }
        if isinstance(callback, (PipelineCallback, MultiPipelineCallbacks)):
            resolved["callback_on_step_end_tensor_inputs"] = callback.tensor_inputs
        return ResolvedArguments(**{**vars(asked), **resolved})

    def check_inputs(self, asked: ResolvedArguments) -> None:
        """Raise a ValueError that names the argument, what came and what is allowed, before any work is done."""
        require_settings(self.scheduler)
        check_scheduler(self.scheduler, self.unet.config.prediction_type)
        self._check_texts(asked.prompt, asked.prompt_embeds)
        if asked.latents is not None:
            channels = self.unet.config.in_channels
            require_tensor("latents", asked.latents, ("batch", channels, "frames", "height", "width"))
        self._check_generator(asked.generator)
        for name in ("num_frames", "num_inference_steps", "num_videos_per_prompt"):
            require_number(name, getattr(asked, name), Integral, 1)
        require_number("guidance_scale", asked.guidance_scale, Real)
        require_number("eta", asked.eta, Real, 0, 1)
        self._check_output(asked.height, asked.width, asked.image_fit, asked.output_type, asked.decode_chunk_size)
        require_room("num_frames", asked.num_frames * asked.num_videos_per_prompt, asked.height, asked.width)
        if asked.negative_prompt is not None:
            require_negative(asked.negative_prompt, asked.prompt, asked.prompt_embeds, asked.guidance_scale)
        callback, names = asked.callback_on_step_end, asked.callback_on_step_end_tensor_inputs
        if callback is not None and not callable(callback):
            raise ValueError(f"`callback_on_step_end` must be a function or None, got {described(callback)}.")
        if not isinstance(names, (list, tuple)):
            raise ValueError(f"`callback_on_step_end_tensor_inputs` must be a list, got {names!r}.")
        if unknown := [n for n in names if not isinstance(n, str) or n not in self._callback_tensor_inputs]:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` must be among {self._callback_tensor_inputs}, got {unknown}."
            )

    def encode_inputs(self, pictures: Sequence[torch.Tensor], asked: ResolvedArguments) -> tuple[Any, Condition]:
        """Pair pictures and texts, and encode each once.

        Args:
            pictures: each `(3, H, W)` in [0, 1].
            asked: with its defaults resolved, and checked.

        Returns:
            What `encode_image` returned, for each video or one for all; and what the U-Net is given at every step.
        """
        texts = self.encode_texts(len(pictures), asked)
        encoded = self.encode_image(pictures, asked.height, asked.width, asked.image_fit, self._execution_device)
        return self.condition(encoded, len(pictures), texts, asked)

    def encode_texts(
        self, num_pictures: int, asked: ResolvedArguments
    ) -> tuple[int, torch.Tensor | None, Negative | None]:
        """Number of videos, and for each a row of text embeddings, and what guidance goes away from; see `Condition`."""
        device, repeats = self._execution_device, asked.num_videos_per_prompt
        advise_precision(device, self.unet.dtype)
        reuse_freed_memory()
        batch_size, prompt_embeds = self._paired_prompts(
            num_pictures, asked.prompt, asked.prompt_embeds, repeats, device
        )
        texts = [asked.negative_prompt] if isinstance(asked.negative_prompt, str) else asked.negative_prompt
        away = None if texts is None else Negative.of(partial(self._embed, device=device), texts, batch_size, repeats)
        return batch_size, prompt_embeds, away

    def condition(
        self,
        encoded: Any,
        num_pictures: int,
        texts: tuple[int, torch.Tensor | None, Negative | None],
        asked: ResolvedArguments,
    ) -> tuple[Any, Condition]:
        """What `encode_image` returned, for each video or one for all, and what the U-Net is given; `texts` of `encode_texts`."""
        batch_size, prompt_embeds, negative = texts
        # A single picture stays a batch of one, which serves all videos; several are repeated as often as needed.
        image_projection = self.unet.project_image(self._image_latents(encoded).to(self.unet.dtype))
        if num_pictures > 1 and asked.num_videos_per_prompt > 1:
            encoded = self._repeated(encoded, asked.num_videos_per_prompt)
            image_projection = image_projection.repeat_interleave(asked.num_videos_per_prompt, dim=0)
        return encoded, Condition(batch_size, prompt_embeds, image_projection, negative)

    def prepare_timesteps(self, num_inference_steps: int) -> torch.Tensor:
        """The scheduler's timesteps, on the host: schedulers look up tables and branch by them, and there that never waits for
        an accelerator."""
        refine_schedule(self.scheduler)
        with float32_by_default():
            self.scheduler.set_timesteps(num_inference_steps)
        if hasattr(self.scheduler, "set_begin_index"):
            # Karras sigmas repeat the first timestep, which a search by value would skip.
            self.scheduler.set_begin_index(0)
        return self.scheduler.timesteps

    def prepare_latents(
        self,
        batch_size: int,
        num_frames: int,
        height: int,
        width: int,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Initial noise `(batch_size, C, num_frames, height / downscale_factor, width / downscale_factor)`, scaled for the scheduler.

        It stays float32 in a half-precision pipeline: what LFDM diffuses are sampling coordinates, which bfloat16 places a
        quarter of a latent pixel off.

        Args:
            height, width: of the videos, in pixels.
            generator: one, or one for each video.
            latents: noise of that shape, instead of noise drawn here; not scaled yet.

        Raises:
            ValueError: if `generator` or `latents` are of another number or shape.
        """
        places = (side // self.downscale_factor for side in (height, width))
        shape = (batch_size, self.unet.config.in_channels, num_frames, *places)
        if isinstance(generator, list) and len(generator) != batch_size:
            raise ValueError(f"`generator` must be one generator or a list of {batch_size}, got {len(generator)}.")
        device = self._execution_device
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
        else:
            require_tensor("latents", latents, shape)
        return latents.to(device, torch.float32) * getattr(self.scheduler, "init_noise_sigma", 1.0)

    def prepare_extra_step_kwargs(
        self, generator: torch.Generator | list[torch.Generator] | None, eta: float
    ) -> dict[str, Any]:
        """`eta` and `generator`, for those schedulers whose `step` takes them."""
        accepted = inspect.signature(self.scheduler.step).parameters
        return {k: v for k, v in (("eta", eta), ("generator", generator)) if k in accepted}

    def denoise(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        condition: Condition,
        asked: ResolvedArguments,
        known: KnownMotion | None = None,
    ) -> torch.Tensor:
        """The denoising loop: noise `(B, C, F, h, w)` to the volumes that it stands for.

        Volumes of more frames than the U-Net was trained on are denoised in windows (see `windows`).

        Args:
            latents: of `prepare_latents`.
            timesteps: of `prepare_timesteps`.
            condition: of `encode_inputs`.
            asked: says the guidance, the noise of each step, and who is called after it.
            known: what the volumes must hold.
        """
        self._guidance_scale = float(asked.guidance_scale)  # it may be a fraction
        # A callback that sets the scale to 0 later on means "no more guidance", as everywhere in diffusers.
        self._only_null = asked.guidance_scale == 0
        self._interrupt = False
        self._current_timestep = None
        self._num_timesteps = len(timesteps)
        prompt_embeds = condition.prompt_embeds
        device_timesteps = timesteps.to(latents.device)
        ends = step_ends(self.scheduler, device_timesteps, asked.eta) if self.unet.config.flow_map else None
        extra_step_kwargs = self.prepare_extra_step_kwargs(asked.generator, asked.eta)
        callback, order = asked.callback_on_step_end, self.scheduler.order
        num_warmup_steps = len(timesteps) - asked.num_inference_steps * order
        windows = Windows(latents.shape[2], self.num_frames, asked.loop, latents.device)
        with self.progress_bar(total=asked.num_inference_steps) as progress_bar:
            for i, t in enumerate(timesteps):
                if self.interrupt:
                    continue
                self._current_timestep = t
                predict = partial(
                    self._predict,
                    timestep=t,
                    device_timestep=device_timesteps[i],
                    prompt_embeds=prompt_embeds,
                    image_projection=condition.image_projection,
                    negative=condition.negative,
                    timestep_end=None if ends is None else ends[i],
                )
                if known is not None:
                    level = NoiseLevel.before_step(self.scheduler, t, self.unet.config.prediction_type)
                    latents = known.guided(predict, latents, level, windows)
                noise_pred = windows(predict, latents)
                if known is not None:
                    noise_pred = known.imposed_on_prediction(noise_pred, latents, level)
                with float32_by_default():
                    latents = self.scheduler.step(noise_pred, t, latents, **extra_step_kwargs, return_dict=False)[0]

                if callback is not None:
                    tensors = {"latents": latents, "prompt_embeds": prompt_embeds}
                    given = {name: tensors[name] for name in asked.callback_on_step_end_tensor_inputs}
                    changed = callback(self, i, t, given) or {}
                    latents = changed.pop("latents", latents)
                    prompt_embeds = changed.pop("prompt_embeds", prompt_embeds)
                if i == len(timesteps) - 1 or (i + 1 > num_warmup_steps and (i + 1) % order == 0):
                    progress_bar.update()
        self._current_timestep = None
        require_denoised(latents, type(self.scheduler).__name__)
        # Once more, as thresholding schedulers change what they are given.
        return latents if known is None else known.imposed(latents)

    def _predict(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        device_timestep: torch.Tensor,
        prompt_embeds: torch.Tensor | None,
        image_projection: torch.Tensor,
        negative: Negative | None = None,
        timestep_end: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The U-Net's prediction, guided: null + w (cond - null), both by one batched pass, where null is the prediction of the
        negative prompt if there is one; the timestep is on the host, and where the U-Net is, as is the step's end."""
        null_mask = None
        if self.do_classifier_free_guidance and prompt_embeds is not None:
            batch_size = latents.shape[0]
            latents = torch.cat((latents, latents))
            without = prompt_embeds if negative is None else negative.embeds.to(prompt_embeds.dtype)
            prompt_embeds = batch_texts([*without, *prompt_embeds])
            if image_projection.shape[0] > 1:
                image_projection = torch.cat((image_projection, image_projection))
            null_mask = torch.arange(2 * batch_size, device=latents.device) < batch_size  # the first rows
            if negative is not None:
                null_mask[:batch_size] = negative.is_null
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
            timestep_end=timestep_end,
        )[0].to(latents.dtype)
        if null_mask is not None:
            null, conditional = prediction.chunk(2)
            prediction = null + self.guidance_scale * (conditional - null)
        return prediction
