"""What the blocks share: the pipeline that they are parts of, and what its call says of their inputs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

import torch
from diffusers import ModularPipeline, ModularPipelineBlocks
from diffusers.modular_pipelines import BlockState, ComponentSpec, ConfigSpec, InputParam, OutputParam, PipelineState
from diffusers.schedulers import SchedulerMixin
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models import FullSizePainter, LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from ..models.latent_flow_autoencoder import EncodedImage
from ..pipelines import LFDMPipeline
from ..pipelines.canvas import Canvas

MODEL_NAME = "lfdm"
COMPONENTS: Mapping[str, type] = {
    "lfae": LatentFlowAutoencoder,
    "unet": UNet3DVideoModel,
    "scheduler": SchedulerMixin,
    "text_encoder": PreTrainedModel,
    "tokenizer": PreTrainedTokenizerBase,
    "label_embeddings": LabelEmbeddings,
    "painter": FullSizePainter,
}
CONFIGS = {
    "face_frame": "how faces were framed in training; see `find_subjects`",
    "default_num_inference_steps": "denoising steps of a call that does not say",
    "default_guidance_scale": "classifier-free guidance of a call that does not say",
}
# Between the blocks, and to be kept by whoever runs them one by one.
CANVAS = InputParam("canvas", Canvas, required=True, description="the pictures, as `EncodePicture` made them ready")
ENCODED = InputParam(
    "encoded", EncodedImage, required=True, description="the pictures, as `EncodePicture` encoded them"
)


def pipeline_of(components: Any) -> LFDMPipeline:
    """The pipeline whose methods the blocks call, of those of its parts that `components` holds; the others are None."""
    parts: dict[str, Any] = {name: getattr(components, name, None) for name in COMPONENTS}
    config: dict[str, Any] = {name: components.config.get(name) for name in CONFIGS}
    return LFDMPipeline(**parts, **config)


@cache
def call_arguments() -> dict[str, tuple[Any, Any, str]]:
    """Type, default and description of each argument of `LFDMPipeline.__call__`, of its signature and its docstring."""
    call = LFDMPipeline.__call__
    types = get_type_hints(call)
    arguments = re.split(r"\n\s*Args:\n", inspect.getdoc(call) or "")[1].split("\nReturns:")[0]
    said: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \w)", arguments):
        names, _, text = entry.strip().partition(":")
        said |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return {
        name: (types[name], parameter.default, said.get(name, ""))
        for name, parameter in inspect.signature(call).parameters.items()
        if name in types
    }


def argument(name: str, **changes: Any) -> InputParam:
    """An argument of `LFDMPipeline.__call__` as a block's input."""
    kind, default, description = call_arguments()[name]
    required = default is inspect.Parameter.empty
    given = {"type_hint": kind, "default": None if required else default, "description": description}
    return InputParam(name, required=required, **(given | changes))


# None is as the canvas has it.
OUTPUT_SIZE = argument("output_size", default=None)


class LFDMBlock(ModularPipelineBlocks):
    """Base of the blocks.

    A subclass says its `parts` and `configs`, inputs and outputs, and what it does in `run`.
    """

    model_name = MODEL_NAME
    parts: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        return (inspect.getdoc(type(self)) or "").split("\n\n")[0]

    @property
    def expected_components(self) -> list[ComponentSpec]:
        return [ComponentSpec(name, COMPONENTS[name]) for name in self.parts]

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        return [ConfigSpec(name, None, CONFIGS[name]) for name in self.configs]

    def run(self, pipe: LFDMPipeline, given: BlockState) -> None:
        """Read inputs of `given`, and set its outputs."""
        raise NotImplementedError

    @torch.no_grad()
    def __call__(self, components: ModularPipeline, state: PipelineState) -> tuple[ModularPipeline, PipelineState]:
        given = self.get_block_state(state)
        self.run(pipeline_of(components), given)
        self.set_block_state(state, given)
        return components, state


def output(name: str, kind: Any, description: str) -> OutputParam:
    return OutputParam(name, type_hint=kind, description=description)
