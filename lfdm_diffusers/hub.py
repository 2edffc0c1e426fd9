"""Registration with diffusers, so that its base classes find this package's classes by name."""

from __future__ import annotations

import diffusers
from diffusers import pipelines as diffusers_pipelines
from diffusers.pipelines import pipeline_loading_utils


def register_with_diffusers(pipeline_classes: list[type], model_classes: list[type]) -> None:
    """Make diffusers resolve `["lfdm_diffusers", "<class>"]` in a `model_index.json`, and the pipelines by name.

    Without this `LFDMPipeline.from_pretrained` works from a folder only, and `DiffusionPipeline.from_pretrained` and
    `AutoModel.from_pretrained` not at all: they look names up in diffusers' own namespace.
    """
    methods = {cls.__name__: ["save_pretrained", "from_pretrained"] for cls in model_classes}
    pipeline_loading_utils.LOADABLE_CLASSES["lfdm_diffusers"] = methods
    pipeline_loading_utils.ALL_IMPORTABLE_CLASSES.update(methods)
    for cls in pipeline_classes + model_classes:
        setattr(diffusers, cls.__name__, cls)
    for cls in pipeline_classes:
        setattr(diffusers_pipelines, cls.__name__, cls)
