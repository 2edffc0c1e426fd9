"""All four blocks one after the other, and the modular pipeline that loads them from a saved `LFDMPipeline`."""

from __future__ import annotations

import os
from typing import Any

from diffusers import ModularPipeline, ModularPipelineBlocks, SequentialPipelineBlocks
from diffusers.modular_pipelines import ComponentsManager
from diffusers.modular_pipelines.modular_pipeline import MODULAR_PIPELINE_MAPPING

from ..pipelines.adapted import AdaptedPipeline
from .base import MODEL_NAME, LFDMBlock
from .encoding import EncodePicture
from .motions import EditMotion, GenerateMotion
from .rendering import RenderMotion


class LFDMBlocks(SequentialPipelineBlocks):
    """A picture and a prompt in, a video out, as `LFDMPipeline` makes it, to the bit: encode, generate, edit, render."""

    model_name = MODEL_NAME
    block_classes: list[type[LFDMBlock]] = [EncodePicture, GenerateMotion, EditMotion, RenderMotion]
    block_names = ["encode", "generate", "edit", "render"]

    @property
    def description(self) -> str:
        return "Latent flow diffusion (arXiv 2303.13744): one picture and one label to a short video of that subject doing it."


def _placed(value: Any, here: str | None) -> Any:
    """An entry of a `modular_model_index.json`, of which a part that lies nowhere lies beside it."""
    if isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[2], dict):
        *named, spec = value
        return [*named, spec | {"pretrained_model_name_or_path": spec.get("pretrained_model_name_or_path") or here}]
    return value


class LFDMModularPipeline(AdaptedPipeline, ModularPipeline):
    """A modular pipeline of these blocks, or some of them.

    What it loads lies beside its index, wherever that is now: a saved `modular_model_index.json` names no folder or repository.
    """

    default_blocks_name = LFDMBlocks.__name__

    def __init__(
        self,
        blocks: ModularPipelineBlocks | None = None,
        pretrained_model_name_or_path: str | os.PathLike | None = None,
        components_manager: ComponentsManager | None = None,
        collection: str | None = None,
        modular_config_dict: dict[str, Any] | None = None,
        config_dict: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        here = None if pretrained_model_name_or_path is None else os.fspath(pretrained_model_name_or_path)
        if here is not None and modular_config_dict is None and config_dict is None:
            names = ("cache_dir", "force_download", "proxies", "token", "local_files_only", "revision")
            options = {name: kwargs.pop(name) for name in names if name in kwargs}
            modular_config_dict, config_dict = self._load_pipeline_config(here, **options)
        if modular_config_dict is not None:
            modular_config_dict = {name: _placed(value, here) for name, value in modular_config_dict.items()}
        if config_dict is not None:  # of a `model_index.json`; a part that was not saved is no part to load
            config_dict = {name: value for name, value in config_dict.items() if value != [None, None]}
        super().__init__(
            blocks=LFDMBlocks() if blocks is None else blocks,
            pretrained_model_name_or_path=here,
            components_manager=components_manager,
            collection=collection,
            modular_config_dict=modular_config_dict,
            config_dict=config_dict,
            **kwargs,
        )

    def part(self, *names: str) -> LFDMModularPipeline:
        """Some of its blocks, as a pipeline of the same components.

            state = pipe.part("encode")(image=picture)
            state = pipe.part("generate")(state=state, prompt="happiness")

        Raises:
            ValueError: for a block that it does not have.
        """
        known = self._blocks.sub_blocks
        if not names or any(name not in known for name in names):
            raise ValueError(f"`names` must be among {', '.join(map(repr, known))} (at least one), got {names!r}.")
        chosen = SequentialPipelineBlocks.from_blocks_dict({name: known[name] for name in names})
        pipe = LFDMModularPipeline(chosen)
        pipe.register_components(**{name: self.components.get(name) for name in pipe.components})
        pipe.register_to_config(**{name: self.config.get(name) for name in pipe._config_specs})
        return pipe


# What `blocks.init_pipeline` makes of blocks of this name.
MODULAR_PIPELINE_MAPPING[MODEL_NAME] = lambda config_dict=None: LFDMModularPipeline.__name__
