"""Found by name: diffusers resolves this package's classes, with the package imported or by code that a saved pipeline carries."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
from diffusers import DiffusionPipeline
from diffusers import pipelines as diffusers_pipelines
from diffusers.pipelines import pipeline_loading_utils

from ..files.whole import write_text

PACKAGE = __name__.split(".")[0]
PIPELINE_CODE = "pipeline.py"
COMPONENT_CODE = f"{PACKAGE}.py"


def register_with_diffusers(pipeline_classes: list[type], model_classes: list[type]) -> None:
    """Make diffusers resolve `["lfdm_diffusers", "<class>"]` in a `model_index.json`, and the pipelines by name.

    Without this `LFDMPipeline.from_pretrained` works from a folder only, and `DiffusionPipeline.from_pretrained` and
    `AutoModel.from_pretrained` not at all: they look names up in diffusers' own namespace.
    """
    methods = {cls.__name__: ["save_pretrained", "from_pretrained"] for cls in model_classes}
    for library in (PACKAGE, f"{PACKAGE}.models"):  # the second is what HubPipeline reads shipped code as
        pipeline_loading_utils.LOADABLE_CLASSES[library] = methods
    pipeline_loading_utils.ALL_IMPORTABLE_CLASSES.update(methods)
    for cls in pipeline_classes + model_classes:
        setattr(diffusers, cls.__name__, cls)
    for cls in pipeline_classes:
        setattr(diffusers_pipelines, cls.__name__, cls)


def write_remote_code(folder: Path, class_name: str, wanted: bool) -> None:
    """Write the code that loads a saved pipeline in diffusers alone, or remove what an earlier save wrote.

    Args:
        folder: where the pipeline was saved, without code.
        class_name: of the pipeline.
        wanted: whether there shall be code.
    """
    index_file = folder / DiffusionPipeline.config_name
    index = json.loads(index_file.read_text(encoding="utf-8"))
    components = [name for name, value in index.items() if isinstance(value, list) and value[0] == PACKAGE]
    classes = sorted({index[name][1] for name in components})
    # diffusers copies all components' files to one name, so each must hold all classes.
    code = {folder / name / COMPONENT_CODE: f"from {PACKAGE} import {', '.join(classes)}\n" for name in components}
    code[folder / PIPELINE_CODE] = f"from {PACKAGE} import {class_name}\n"
    for file, text in code.items():
        if wanted:
            file.write_text(text, encoding="utf-8")
        elif file.is_file() and (file.name == COMPONENT_CODE or file.read_text(encoding="utf-8") == text):
            file.unlink()
    if wanted:
        index["_class_name"] = [Path(PIPELINE_CODE).stem, class_name]
        write_text(index_file, json.dumps(index, indent=2, sort_keys=True) + "\n")
