"""The nodes: load, encode picture, generate motion, edit motion, render. Each runs one block; the words are the package's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from comfy.utils import ProgressBar
from comfy_api.latest import ComfyExtension, io

CATEGORY = "latent flow diffusion"
AS_TRAINED = 0  # of a number that may be left open: a widget has no None
FITS = ["as trained", "letterbox", "center_crop"]
LOOPS = ["none", "ping_pong", "ease"]
SIZES = ["picture", "model", "width x height"]
DEVICES = ["fastest", "cpu", "cuda", "mps"]

Model = io.Custom("LFDM_MODEL")
Picture = io.Custom("LFDM_PICTURE")
Motions = io.Custom("LFDM_MOTION")


@dataclass(frozen=True)
class EncodedPicture:
    """What `EncodePicture` made, by the names under which other blocks take it."""

    canvas: Any
    encoded: Any


@dataclass(frozen=True)
class MotionAndMask:
    """Motions, and what edits of them are for rendering too, by the names under which `RenderMotion` takes them."""

    motion: Any
    finer: Any = None
    motion_mask: torch.Tensor | None = None


def said(name: str) -> str:
    """What the package's documentation says of an argument of its call."""
    from lfdm_diffusers.blocks.base import call_arguments

    return call_arguments()[name][2]


class LFDMLoad(io.ComfyNode):
    """A pipeline of a folder or the Hub, as blocks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LFDMLoad",
            display_name="Load latent flow model",
            category=CATEGORY,
            description="A saved LFDMPipeline. Without a name: the package's model of photographs of people.",
            inputs=[
                io.String.Input("model", default="", tooltip="folder, Hub id, or name of a model of the package"),
                io.Combo.Input("device", options=DEVICES, default=DEVICES[0]),
            ],
            outputs=[Model.Output(display_name="model")],
        )

    @classmethod
    def execute(cls, model: str, device: str) -> io.NodeOutput:
        from lfdm_diffusers import LFDMBlocks
        from lfdm_diffusers.embedded import embedded_model, named_model
        from lfdm_diffusers.pipelines.loading import choose_device

        pipe = LFDMBlocks().init_pipeline(named_model(model.strip() or embedded_model()))
        pipe.load_components()
        if missing := [name for name in ("lfae", "unet", "scheduler") if getattr(pipe, name) is None]:
            raise ValueError(f"`model` {model!r} could not be loaded: it has no {', '.join(missing)}.")
        pipe.set_progress_bar_config(disable=True)
        return io.NodeOutput(pipe.to(choose_device(None if device == DEVICES[0] else device)))


class LFDMEncode(io.ComfyNode):
    """`EncodePicture`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LFDMEncode",
            display_name="Encode picture for motion",
            category=CATEGORY,
            description="Fits pictures to the model's frame and encodes each once, for any number of motions.",
            inputs=[
                Model.Input("model"),
                io.Image.Input("image", tooltip="a picture, or a batch of them"),
                io.Combo.Input("image_fit", options=FITS, default=FITS[0], tooltip=said("image_fit")),
                io.Boolean.Input(
                    "find_faces",
                    default=False,
                    tooltip="move each face that is found, and leave the rest of the picture as it is",
                ),
            ],
            outputs=[Picture.Output(display_name="picture")],
        )

    @classmethod
    def execute(cls, model: Any, image: torch.Tensor, image_fit: str, find_faces: bool) -> io.NodeOutput:
        from lfdm_diffusers import find_subjects

        pictures = image.movedim(-1, 1).float().clamp(0, 1).cpu()  # (N, C, H, W); other nodes leave [0, 1] a little
        subjects = find_subjects(pictures, model.config.get("face_frame")) if find_faces else None
        fit = None if image_fit == FITS[0] else image_fit
        state = model.part("encode")(image=pictures, image_fit=fit, subjects=subjects or None)
        return io.NodeOutput(EncodedPicture(state.canvas, state.encoded))


class LFDMGenerate(io.ComfyNode):
    """`GenerateMotion`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LFDMGenerate",
            display_name="Generate motion",
            category=CATEGORY,
            description="Denoises the motion of a prompt for each encoded picture.",
            inputs=[
                Model.Input("model"),
                Picture.Input("picture"),
                io.String.Input("prompt", default="", tooltip="a label or a sentence; without one the motion is any"),
                io.Int.Input("seed", default=0, min=0, max=2**64 - 1, control_after_generate=True),
                io.Int.Input("steps", default=AS_TRAINED, min=0, max=1000, tooltip="0 is as the model says"),
                io.Float.Input(
                    "guidance_scale",
                    default=AS_TRAINED,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    tooltip="0 is as the model says; 1 is none",
                ),
                io.Int.Input("num_frames", default=AS_TRAINED, min=0, max=1024, tooltip="0 is as trained"),
                io.Boolean.Input("loop", default=False, tooltip="whether the first frame follows on the last"),
            ],
            outputs=[Motions.Output(display_name="motion")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        picture: EncodedPicture,
        prompt: str,
        seed: int,
        steps: int,
        guidance_scale: float,
        num_frames: int,
        loop: bool,
    ) -> io.NodeOutput:
        bar: list[ProgressBar] = []

        def show(pipe: Any, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
            if not bar:
                bar.append(ProgressBar(pipe.num_timesteps))
            bar[0].update_absolute(step + 1)  # and it is here that ComfyUI stops what a user cancels
            return {}

        state = model.part("generate")(
            **vars(picture),
            prompt=prompt.strip() or None,
            generator=torch.Generator().manual_seed(seed),  # a CPU's: the same clip on every device
            num_inference_steps=steps or None,
            guidance_scale=guidance_scale or None,
            num_frames=num_frames or None,
            loop=loop or None,
            callback_on_step_end=show,
        )
        return io.NodeOutput(MotionAndMask(state.motion))


class LFDMEdit(io.ComfyNode):
    """`EditMotion`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LFDMEdit",
            display_name="Edit motion",
            category=CATEGORY,
            description="Holds, scales, masks and loops a motion.",
            inputs=[
                Model.Input("model"),
                Picture.Input("picture"),
                Motions.Input("motion"),
                io.Float.Input(
                    "motion_scale", default=1.0, min=-4.0, max=4.0, step=0.05, tooltip=said("motion_scale")
                ),
                io.Combo.Input("loop", options=LOOPS, default=LOOPS[0], tooltip=said("loop")),
                io.Int.Input("hold", default=0, min=0, max=1024, tooltip=said("hold")),
                io.Mask.Input("mask", optional=True, tooltip=said("motion_mask")),
            ],
            outputs=[Motions.Output(display_name="edited")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        picture: EncodedPicture,
        motion: MotionAndMask,
        motion_scale: float,
        loop: str,
        hold: int,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        if mask is not None:
            mask = mask.float().clamp(0, 1).cpu()
            mask = mask[0] if mask.ndim == 3 and len(mask) == 1 else mask
        state = model.part("edit")(
            **vars(picture),
            motion=motion.motion,
            motion_scale=motion_scale,
            loop=None if loop == LOOPS[0] else loop,
            hold=hold,
            motion_mask=mask,
        )
        kept = motion.motion_mask
        if mask is not None and kept is not None:
            if kept.shape != mask.shape:
                raise ValueError(
                    f"`mask` must be as large as the one before it, {tuple(kept.shape)}, got {tuple(mask.shape)}."
                )
            mask = mask * kept
        return io.NodeOutput(MotionAndMask(state.motion, state.finer, kept if mask is None else mask))


class LFDMRender(io.ComfyNode):
    """`RenderMotion`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LFDMRender",
            display_name="Render motion",
            category=CATEGORY,
            description="Moves encoded pictures by a motion: a list of videos, each a batch of frames.",
            inputs=[
                Model.Input("model"),
                Picture.Input("picture"),
                Motions.Input("motion"),
                io.Combo.Input("size", options=SIZES, default=SIZES[0], tooltip=said("output_size")),
                io.Int.Input("width", default=512, min=1, max=8192, tooltip="of the frames, where `size` says so"),
                io.Int.Input("height", default=512, min=1, max=8192, tooltip="of the frames, where `size` says so"),
            ],
            outputs=[io.Image.Output(display_name="frames", is_output_list=True)],
        )

    @classmethod
    def execute(
        cls, model: Any, picture: EncodedPicture, motion: MotionAndMask, size: str, width: int, height: int
    ) -> io.NodeOutput:
        frames = model.part("render")(
            **vars(picture),
            **vars(motion),
            output_size=size if size in ("picture", "model") else (height, width),
            output_type="pt",
            output="frames",
        )
        return io.NodeOutput([video.movedim(1, -1).float().cpu() for video in frames])


class LatentFlowDiffusion(ComfyExtension):
    """The nodes of this folder."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [LFDMLoad, LFDMEncode, LFDMGenerate, LFDMEdit, LFDMRender]


async def comfy_entrypoint() -> LatentFlowDiffusion:
    return LatentFlowDiffusion()
