"""Lets diffusers find this package's classes by name: once it is imported, or by code saved beside a pipeline."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Collection, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..files.whole import write_text

PACKAGE = __name__.split(".")[0]
PIPELINE_INDEX = "model_index.json"
PIPELINE_CODE = "pipeline.py"
COMPONENT_CODE = f"{PACKAGE}.py"
BLOCKS_INDEX = "modular_model_index.json"
BLOCKS_CONFIG = "modular_config.json"
BLOCKS_CODE = "blocks.py"
# What diffusers imports before it looks any class up: the classes that it may load, by library.
TABLES = "diffusers.pipelines.pipeline_loading_utils"


def register_with_diffusers(pipelines: Collection[str], models: Collection[str], blocks: Collection[str] = ()) -> None:
    """Make diffusers resolve `["lfdm_diffusers", "<class>"]` in a `model_index.json`, and the pipelines by name.

    Without this `LFDMPipeline.from_pretrained` works from a folder only, and `DiffusionPipeline.from_pretrained` and
    `AutoModel.from_pretrained` not at all: they look names up in diffusers' own namespace.

    Nothing is imported for it. diffusers gets the names at once if it has loaded its tables, else when it loads them, and
    the classes when it asks for one.

    Args:
        pipelines, models, blocks: names of this package's classes; of `blocks` those that a `modular_model_index.json` names.
    """

    def register(tables: ModuleType) -> None:
        methods = {name: ["save_pretrained", "from_pretrained"] for name in models}
        for library in (PACKAGE, f"{PACKAGE}.models"):  # the second is what HubPipeline reads shipped code as
            tables.LOADABLE_CLASSES[library] = methods
        tables.ALL_IMPORTABLE_CLASSES.update(methods)
        _lend(sys.modules["diffusers"], {*pipelines, *models, *blocks})
        _lend(sys.modules["diffusers.pipelines"], pipelines)  # where diffusers' tests of pipelines look

    if TABLES in sys.modules:
        register(sys.modules[TABLES])
    else:
        sys.meta_path.insert(0, _AfterImport(TABLES, register))


def _lend(module: ModuleType, names: Collection[str]) -> None:
    """Let a module have attributes of this package, which are imported when they are asked for (PEP 562)."""
    earlier = vars(module).get("__getattr__")

    def __getattr__(name: str) -> Any:
        if name in names:
            return getattr(importlib.import_module(PACKAGE), name)
        if earlier is not None:
            return earlier(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    vars(module)["__getattr__"] = __getattr__


class _AfterImport:
    """A finder for `sys.meta_path` that calls `then` with the module `name` whenever that has been imported."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]):
        self.name, self.then = name, then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                if module.__name__ == self.name:  # a loader of archives may serve other modules too
                    self.then(module)

            loader.exec_module = exec_module
        return spec


def write_remote_code(folder: Path, class_name: str, wanted: bool) -> None:
    """Write the code that loads a saved pipeline in diffusers alone, or remove what an earlier save wrote.

    Args:
        folder: where the pipeline was saved, without code.
        class_name: of the pipeline.
        wanted: whether to write code.
    """
    index_file = folder / PIPELINE_INDEX
    index = json.loads(index_file.read_text(encoding="utf-8"))
    components = [name for name, value in index.items() if isinstance(value, list) and value[0] == PACKAGE]
    classes = sorted({index[name][1] for name in components})
    # diffusers copies all components' files to one name, so each must hold all classes.
    code = {folder / name / COMPONENT_CODE: f"from {PACKAGE} import {', '.join(classes)}\n" for name in components}
    code[folder / PIPELINE_CODE] = f"from {PACKAGE} import {class_name}\n"
    _write_or_remove(code, wanted)
    if wanted:
        index["_class_name"] = [Path(PIPELINE_CODE).stem, class_name]
        write_text(index_file, _json(index))


def write_blocks(folder: Path, pipeline: str, blocks: str, code: bool) -> None:
    """Write what loads a saved pipeline as modular blocks.

    Its index names no folder and no repository, so that it holds wherever the folder goes.

    Args:
        folder: where the pipeline was saved.
        pipeline, blocks: names of this package's `ModularPipeline` and of its blocks.
        code: whether to write code that imports them too, or to remove what an earlier save wrote.
    """
    index = json.loads((folder / PIPELINE_INDEX).read_text(encoding="utf-8"))
    entries: dict[str, Any] = {"_class_name": pipeline, "_blocks_class_name": blocks}
    for name, value in index.items():
        if name.startswith("_") and name != "_diffusers_version":
            continue
        if isinstance(value, list) and len(value) == 2 and None not in value:
            place = {"pretrained_model_name_or_path": None, "subfolder": name, "variant": _variant(folder / name)}
            entries[name] = [*value, {"type_hint": value, **place, "revision": None}]
        elif not isinstance(value, list):
            entries[name] = value
    config = {"_class_name": blocks, "auto_map": {"ModularPipelineBlocks": f"{Path(BLOCKS_CODE).stem}.{blocks}"}}
    write_text(folder / BLOCKS_INDEX, _json(entries))
    imported = f"from {PACKAGE}.blocks import {blocks}\n"
    _write_or_remove({folder / BLOCKS_CODE: imported, folder / BLOCKS_CONFIG: _json(config)}, code)


def _variant(folder: Path) -> str | None:
    """ "fp16" of a part whose weights were saved under that name only."""
    names = [file.name.split(".") for file in folder.glob("*.safetensors")]
    variants = {name[1].split("-")[0] if len(name) == 3 else None for name in names}
    return variants.pop() if len(variants) == 1 else None


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _write_or_remove(code: dict[Path, str], wanted: bool) -> None:
    """Write files, or remove those that an earlier save wrote: never what a person did."""
    for file, text in code.items():
        if wanted:
            write_text(file, text)
        elif file.is_file() and (file.name == COMPONENT_CODE or file.read_text(encoding="utf-8") == text):
            file.unlink()
