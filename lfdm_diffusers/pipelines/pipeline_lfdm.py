"""One picture and one label in, a short video of that subject doing it out, with its motion."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.schedulers import SchedulerMixin
from diffusers.utils import logging
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..data.labels import normalized_label
from ..data.picture_fitting import Picture, to_rgb_tensors
from ..hub.cards import TAGS
from ..models import FullSizePainter, LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from ..models.latent_flow_autoencoder import EncodedImage
from .animating import AnimatingPipeline
from .call_arguments import Condition, DenoisingArguments, ResolvedArguments
from .checks import either, require_room, require_word
from .full_size import FullSize
from .image_to_video import eval_mode
from .imposing import KnownMotion
from .known_pictures import KnownPictures
from .lfdm_output import LFDMPipelineOutput
from .motion import Mask, MotionEdit, volume_to_motion
from .shown_labels import ShownLabels
from .strokes import DrawnStrokes, Stroke, first_frame
from .subjects import Subject
from .video_diffusion import VideoDiffusionPipeline
from .windows import Windows

logger = logging.get_logger(__name__)


class LFDMPipeline(AnimatingPipeline):
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
        face_frame: how faces were framed in training, for `find_subjects`.
        known_pictures: what the auto-encoder makes of the pictures that it knows (`KnownPictures.to_config`); a call warns of others.
        shown_labels: how to tell which label a picture shows already (`ShownLabels.to_config`), for `labels_shown`: of this very U-Net.
        default_guidance_scale: `guidance_scale` of a call that does not say; None is 1, none.
        painter: makes what is painted as sharp as the picture where `output_size` is asked for.
    """

    model_cpu_offload_seq = "text_encoder->label_embeddings->unet->lfae->painter"
    _optional_components = [*VideoDiffusionPipeline._optional_components, "painter"]
    blocks = ("LFDMModularPipeline", "LFDMBlocks")
    title = "Latent flow diffusion"
    method = (
        "by [latent flow diffusion](https://arxiv.org/abs/2303.13744): a U-Net denoises a volume of optical flow and occlusion, and "
        "an auto-encoder warps, masks and decodes the picture's latent map by it."
    )
    tags = TAGS
    output_types = ("pil", "np", "pt", "latent", "stream")
    part_names = {"lfae": "latent flow auto-encoder", "painter": "full-size painter"}
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
        *,
        painter: FullSizePainter | None = None,
        face_frame: float | None = None,
        known_pictures: dict[str, Any] | None = None,
        shown_labels: dict[str, Any] | None = None,
        default_guidance_scale: float | None = None,
    ):
        self.register_modules(lfae=lfae)  # first, as in the list of parts
        if "painter" in inspect.signature(type(self).__init__).parameters:  # some subclass may not know of it
            self.register_modules(painter=painter)
        super().__init__(unet, scheduler, text_encoder, tokenizer, label_embeddings, default_num_inference_steps)
        if face_frame is not None:
            self.register_to_config(face_frame=face_frame)
        if known_pictures is not None:
            KnownPictures.of_config(known_pictures)
            self.register_to_config(known_pictures=known_pictures)
        if shown_labels is not None:
            if unfit := ShownLabels.of_config(shown_labels).unfit(self.unet.config.image_summary, self.labels):
                logger.warning(f"{unfit} What pictures show is not told.")
            else:
                self.register_to_config(shown_labels=shown_labels)
        if default_guidance_scale is not None:
            self.register_to_config(default_guidance_scale=default_guidance_scale)

    def encode_image(
        self,
        image: Picture | Sequence[Picture],
        height: int | None = None,
        width: int | None = None,
        image_fit: str = "letterbox",
        device: torch.device | None = None,
    ) -> EncodedImage:
        """Fit pictures to `height` x `width` (see `frame_size`) and encode each once."""
        pictures = to_rgb_tensors(image)
        height, width = self.frame_size(pictures, height, width)
        fitted = self.fit_pictures(pictures, height, width, image_fit, device)
        with eval_mode(self.lfae):
            return self.lfae.encode(fitted.to(self.lfae.dtype))

    @torch.no_grad()
    def labels_shown(
        self, image: Picture, subjects: Sequence[Subject] | None = None, image_fit: str | None = None
    ) -> list[str | None]:
        """Which label each subject shows already, or the picture where there are none: of those that the model was taught to see
        (`shown_labels`), else None. `guidance_away` says what to make of it.

        Args:
            image, subjects, image_fit: as in `__call__`, of one picture.

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        canvas = self.prepare_canvas(image, image_fit=image_fit, output_size="picture", subjects=subjects)
        if len(canvas.pictures) != 1:
            raise ValueError(f"`image` must be one picture, got {len(canvas.pictures)}.")
        told = self.told_labels
        if told is None:
            return [None] * len(subjects or [image])
        encoded = self.encode_canvas(canvas.framed(*self.frame_size(canvas.pictures)))
        with eval_mode(self.unet):
            summary = self.unet.summarize_image(self._image_latents(encoded).to(self.unet.dtype))
        self.maybe_free_model_hooks()
        return told.told(summary)

    @property
    def told_labels(self) -> ShownLabels | None:
        """What tells which labels a picture shows, of `shown_labels` in the configuration."""
        about = self.config.get("shown_labels")
        return None if about is None else ShownLabels.of_config(about)

    def guidance_away(
        self, prompts: Sequence[str | None], shown: Sequence[str | None], guidance_scale: float | None = None
    ) -> dict[str, Any]:
        """Arguments of a call, `guidance_scale` and `negative_prompt`, that lead the label of each subject away from what it shows.

        A model without guidance leads away from nothing, and no label is led away from itself.

        Args:
            prompts: labels or sentences, one for each subject; None for a clip without.
            shown: of `labels_shown`, as many. None leads away from no label, as ever.
            guidance_scale: as asked for. None is `default_guidance_away` where something is led away, else the default.
        """
        scale = self.guidance_of(guidance_scale)
        away = [
            None if text is None or (there is not None and self._means(text, there)) else there
            for text, there in zip(prompts, shown, strict=True)
        ]
        if scale in (0, 1) or not any(away):
            return {"guidance_scale": scale, "negative_prompt": None}
        return {
            "guidance_scale": self.default_guidance_away() if guidance_scale is None else scale,
            "negative_prompt": away,
        }

    def default_guidance_away(self) -> float:
        """`guidance_scale` that leads away from what is shown, if nobody says."""
        return self.default_guidance() if self.told_labels is None else self.told_labels.guidance_scale

    def _means(self, text: str, label: str) -> bool:
        """Whether a text is a label, or one of its synonyms."""
        try:
            own = (
                text if self.label_embeddings is None else self.label_embeddings.own_label(text, say=lambda told: None)
            )
        except ValueError:  # a sentence
            own = text
        return normalized_label(own) == normalized_label(label)

    def _image_latents(self, encoded: EncodedImage) -> torch.Tensor:
        return encoded.latent

    def _repeated(self, encoded: EncodedImage, times: int) -> EncodedImage:
        latent, *_ = skips = tuple(skip.repeat_interleave(times, dim=0) for skip in reversed(encoded.skips))
        return EncodedImage(latent=latent, skips=skips[::-1], image=encoded.image.repeat_interleave(times, dim=0))

    def generate_volume(
        self, condition: Condition, asked: ResolvedArguments, strokes: DrawnStrokes | None = None
    ) -> torch.Tensor:
        """Denoised volumes `(B, 3, F, h, w)`; arguments of `encode_inputs` or `condition`."""
        timesteps = self.prepare_timesteps(asked.num_inference_steps)
        latents = self.prepare_latents(
            condition.batch_size, asked.num_frames, asked.height, asked.width, asked.generator, asked.latents
        )
        return self.denoise(latents, timesteps, condition, asked, self._known(latents, asked, strokes))

    def generated_motion(self, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Flow `(B, F, 2, h, w)` and occlusion `(B, F, 1, h, w)` of denoised volumes."""
        flow, occlusion = volume_to_motion(volume, self.unet.config)
        return flow.transpose(1, 2), occlusion.transpose(1, 2)

    def decode_latents(
        self,
        latents: torch.Tensor,
        encoded: EncodedImage,
        motion_scale: float | Sequence[float] = 1.0,
        decode_chunk_size: int | None = None,
        output_type: str = "pt",
        motion_mask: Mask | None = None,
        loop: str | None = None,
        full_size: FullSize | None = None,
        hold: int = 0,
    ) -> LFDMPipelineOutput:
        """Denoised volumes `(B, 3, F, h, w)` to videos: eq. 5 of the LFDM paper for every frame."""
        flow, occlusion = self.generated_motion(latents)
        edit = MotionEdit(motion_scale, motion_mask, loop, hold)
        moved = self.edit_motion(flow, occlusion, edit, None if output_type == "latent" else encoded)
        output = self.render_motion(encoded, moved, decode_chunk_size, output_type, full_size)
        return replace(output, frames=latents) if output_type == "latent" else output

    def _known(
        self, volume: torch.Tensor, asked: ResolvedArguments, strokes: DrawnStrokes | None
    ) -> KnownMotion | None:
        """What is known of a volume `(B, 3, F, h, w)` before it is denoised: what strokes say, and that the first frame is the
        picture, where windows are blended or the U-Net was trained so."""
        config, centers = self.unet.config, self.lfae.config.flow_grid == "centers"
        known = []
        if config.first_frame_is_picture or not Windows(volume.shape[2], self.num_frames, asked.loop).is_whole:
            known.append(first_frame(volume, config, centers, asked.loop))
        if strokes is not None:
            known += strokes.known(volume, config, centers, asked.loop)
        return KnownMotion(known) if known else None

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
        motion_scale: float | Sequence[float] = 1.0,
        callback_on_step_end: Callable | PipelineCallback | MultiPipelineCallbacks | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],
        image_fit: str | None = None,
        height: int | None = None,
        width: int | None = None,
        motion_mask: Mask | None = None,
        loop: str | bool | None = None,
        output_size: str | tuple[int, int] = "model",
        subjects: Sequence[Subject] | None = None,
        strokes: Sequence[Stroke] | None = None,
        hold: int = 0,
        negative_prompt: str | Sequence[str | None] | None = None,
        mask_image: Mask | None = None,
    ) -> LFDMPipelineOutput | Any:
        r"""Generate videos.

        Pictures and prompts pair up: n pictures with n prompts, or one of either with many of the other.

        Args:
            image: PIL image, array `(H, W, 3)` or `(N, H, W, 3)`, tensor `(3, H, W)` or `(N, 3, H, W)`, uint8 or float
                in [0, 1], or a list of these.
            prompt: label or sentence, or a list of them; None generates without a condition.
            num_frames: F; as trained by default (or as `latents` say). A longer clip is the label's action several times in a row,
                denoised in windows of about the trained length.
            num_inference_steps: denoising steps; see `default_num_inference_steps`.
            guidance_scale: w of classifier-free guidance, null + w (cond - null); see `default_guidance_scale`. 1 uses the condition
                alone, 0 the null condition alone.
            eta: noise of DDIM and its kin (TCD's gamma too), from 0 (deterministic) to 1 (as DDPM); ignored by other
                schedulers.
            num_videos_per_prompt: videos for each picture-prompt pair.
            generator: for reproducible results; a list gives each video its own seed. On a GPU one of that device: noise drawn by a
                CPU's, which is the same everywhere, is waited for in every step that draws some.
            latents: initial noise `(B, 3, F, h, w)` to start from.
            prompt_embeds: text embeddings `(B, D)`, or as `encode_prompt` returns them, instead of `prompt`.
            output_type: "pil", "np", "pt", "latent" for the denoised volume without decoding (edits show in flow and occlusion alone),
                or "stream": each video a sequence of arrays `(H, W, C)`, uint8, whose frames are rendered when they are asked for
                (`RenderedVideo`), so that large ones need not all be in memory. The picture must not be changed meanwhile.
            return_dict: whether to return an `LFDMPipelineOutput` rather than a tuple of its fields.
            decode_chunk_size: frames of each video to decode at once; by default as many as suit the device.
            motion_scale: 0 is still, 1 as generated, more exaggerates, until faces tear beyond about 1.5; below 0 everything moves the
                other way. Or one for each frame (`Motion.scaled`).
            callback_on_step_end: called as `callback(pipe, step, timestep, tensors)` after each step; may return
                changed tensors, and stop the loop by setting `pipe.interrupt = True`.
            callback_on_step_end_tensor_inputs: tensors that the callback gets: "latents", "prompt_embeds".
            image_fit: how pictures of other proportions are fitted: "letterbox" (whole, on black) or "center_crop"; None
                is "center_crop" for a model of faces (`face_frame`), else "letterbox".
            height, width: size of the videos in pixels; as trained by default (see `frame_size`). At another size the picture is fitted
                to that, motion is made at the trained size, and the picture is moved at its own; they are the model's frame only with
                `latents`, `subjects`, `strokes`, another `output_size` or "latent".
            motion_mask: only this region moves: `(H, W)` in [0, 1], or a grey picture (`Motion.masked`). One that is as large as the
                picture is fitted as the picture is; any other is stretched over the frame.
            loop: True generates a motion whose first frame, the picture, follows on its last one. "ping_pong" plays a motion forward
                and back in 2 F - 2 frames, "ease" lets its last quarter glide back to the first frame.
            output_size: "model" (`height` x `width`), "picture" (each picture's own size: it is warped itself, see `rendering`) or
                (height, width). A letterbox's bars do not come back, and what a crop cuts off stays as it is.
            subjects: boxes or masks (as large as the picture, soft or not) of parts of the one picture, which move each by its own
                prompt and come back in one video, without a seam (`find_subjects` proposes boxes; of a mask the rest is kept). Each is
                widened to the model's proportions. With "model" the video has the picture's size.
            strokes: which places of the one picture are where in which frame (`Stroke`), before `motion_scale`; the rest moves with
                them. With `subjects` each belongs to the one that it starts in. A step then takes about three times as long.
            negative_prompt: label or sentence that guidance goes away from, instead of the null condition: one, or as many as
                prompts, in which None is the null condition. It needs a `guidance_scale` other than 0 and 1.
            mask_image: `motion_mask`, by the name that it has in diffusers.
            hold: frames for which the fullest one stays before it is let go (`Motion.held`); they are not denoised.

        Returns:
            `LFDMPipelineOutput`, or the tuple `(frames, flow, occlusion, warped)`, the last None for "latent".

        Raises:
            ValueError: for bad input; names the argument, what came and what is allowed.
        """
        # 1. Resolve defaults, and check all arguments before any work is done.
        require_word("output_type", output_type, self.output_types)
        latent = output_type == "latent"
        canvas = self.prepare_canvas(
            image, height, width, image_fit, output_size, None if latent else subjects,
            as_given=latents is not None or latent or strokes is not None,
        )  # fmt: skip
        motion_mask = canvas.on_pictures(either("motion_mask", motion_mask, "mask_image", mask_image))
        around, loop = loop is True, None if isinstance(loop, bool) else loop
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
            image_fit=canvas.image_fit,
            height=canvas.height,
            width=canvas.width,
            loop=around,
            negative_prompt=negative_prompt,
        )
        asked = self.resolve_defaults(canvas.pictures, given)
        self.check_inputs(asked)
        MotionEdit(motion_scale, motion_mask, loop, hold).check(asked.num_frames)
        require_room("hold", (asked.num_frames + hold) * num_videos_per_prompt, asked.height, asked.width)
        canvas = canvas.framed(asked.height, asked.width)
        full_size = canvas.full_size(output_type, motion_mask)
        drawn = None if strokes is None else DrawnStrokes(strokes, canvas.pictures, asked, full_size)

        # 2. Encode pictures and texts, each once.
        encoded, condition = self.encode_inputs(canvas.model_pictures, asked)
        self.warn_of_unknown(encoded)

        # 3. Denoise the volume of flow and occlusion.
        latents = self.generate_volume(condition, asked, drawn)

        # 4. Edit the motion; warp, mask and decode the picture's latent map by it.
        output = self.decode_latents(
            latents, encoded, motion_scale, decode_chunk_size, output_type, canvas.in_frame(motion_mask), loop, full_size, hold
        )  # fmt: skip

        # 5. Offload all models.
        self.maybe_free_model_hooks()
        return output if return_dict else (output.frames, output.flow, output.occlusion, output.warped)
