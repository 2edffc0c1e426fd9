"""Graphs into ONNX files, checked against torch where they are made."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ..files.extras import required
from ..ops import plain
from .graphs import FRAMES, Graph

# GridSample is 4-D in all of these, and ONNX Runtime Web has no later one on WebGPU.
OPSETS = (18, 19)
RUN_WITH = "2.13"
DTYPES = ("float16", "float32")
NEEDED_BY = "onnx", "exporting to ONNX"
# Half precision is for weights of some size: a bias is a few bytes, and shapes and scales must stay exact.
LEAST_HALVED = 256


def write_graph(graph: Graph, path: Path, opset: int, dtype: str) -> None:
    """One ONNX file.

    Args:
        graph: what to write; the axes in `graph.free` may have any length.
        path: of the file.
        opset: version of ONNX's operators.
        dtype: of the weights in the file; "float16" keeps those in half precision that `round_weights` has rounded.

    Raises:
        ValueError: if this torch cannot export it.
    """
    onnx = required("onnx", *NEEDED_BY)
    required("onnxscript", *NEEDED_BY)
    try:
        with _quiet(), plain(), torch.no_grad():
            program = torch.onnx.export(
                graph.module,
                tuple(graph.inputs.values()),
                dynamo=True,
                opset_version=opset,
                input_names=list(graph.inputs),
                output_names=graph.outputs,
                dynamic_shapes=_dynamic_shapes(graph) if graph.free else None,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:  # torch 2.6 has no BatchNorm that it can convert
        raise ValueError(
            f"torch {torch.__version__} cannot write {path.name}; torch {RUN_WITH} can, and newer ones should."
        ) from error
    model = cast(torch.onnx.ONNXProgram, program).model_proto
    if dtype == "float16":
        halve_weights(model)
    model.producer_name, model.doc_string = "lfdm_diffusers", ""
    for node in model.graph.node:  # where in this machine's files each line of the model stands
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    for value in model.graph.value_info:
        del value.metadata_props[:]
    onnx.save(model, str(path))


def round_weights(module: torch.nn.Module) -> None:
    """Round large weights to what half precision holds."""
    for weight in [*module.parameters(), *module.buffers()]:
        if weight.is_floating_point() and weight.numel() >= LEAST_HALVED:
            weight.data = weight.data.half().float()


def halve_weights(model: Any) -> None:
    """Keep large weights that half precision holds exactly in it, each behind a cast that runtimes fold when they load the file.

    The rest are those that the exporter has folded a BatchNorm into.
    """
    onnx = required("onnx", *NEEDED_BY)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims, dtype=int) < LEAST_HALVED:
            continue
        name, values = weight.name, onnx.numpy_helper.to_array(weight)
        halved = values.astype(np.float16)
        if (halved != values).any():
            continue
        weight.CopyFrom(onnx.numpy_helper.from_array(halved, f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


def check_graph(graph: Graph, path: Path) -> float:
    """The largest difference between what ONNX Runtime and torch make of a graph's example, over all outputs."""
    runtime = required("onnxruntime", *NEEDED_BY)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(graph.outputs, {name: value.numpy() for name, value in graph.inputs.items()})
    with torch.no_grad():
        wanted = graph.module(*graph.inputs.values())
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(got, wanted))


def _dynamic_shapes(graph: Graph) -> tuple:
    """`graph.free` as torch.export takes it: by position; `*skips` are one position. Which sides go together it finds by itself."""
    length = torch.export.Dim(FRAMES, min=2)
    shapes = [
        {
            axis: length if what == FRAMES else torch.export.Dim.DYNAMIC
            for axis, what in graph.free.get(each, {}).items()
        }
        for each in graph.inputs
    ]
    fixed = [shape for name, shape in zip(graph.inputs, shapes) if not name.startswith("skip_")]
    skips = tuple(shape for name, shape in zip(graph.inputs, shapes) if name.startswith("skip_"))
    return (*fixed, skips) if skips else tuple(fixed)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's talk of packages that are not installed and of its own plans."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.onnx._internal.exporter", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
