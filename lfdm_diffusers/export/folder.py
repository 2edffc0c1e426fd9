"""A folder that a runner without torch needs: the graphs of a pipeline, and `runner.json`, which says all else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.labels import normalized_label
from ..files.whole import require_free_or_ours, whole, write_json
from ..models import UNet3DVideoModel
from ..models.full_size_painter import AGREEMENT
from ..models.text_encoders import text_limit
from ..ops.warp import sampling_grid
from ..pipelines import LFDMPipeline
from ..version import __version__
from .graphs import Graph, pipeline_graphs
from .onnx_files import DTYPES, OPSETS, check_graph, round_weights, write_graph
from .sampling import ddim_table, thresholding

RUNNER, TOKENIZER = "runner.json", "tokenizer.json"
FORMAT = 2
# Largest difference between ONNX Runtime and torch that is passed.
TOLERANCE = 1e-3


def export_onnx(
    pipe: LFDMPipeline,
    output: str | Path,
    opset: int = 18,
    dtype: str = "float16",
    dynamic: bool = False,
    dynamic_size: bool = False,
    num_inference_steps: Sequence[int] | None = None,
    eta: float = 1.0,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, float]:
    """Write a pipeline as ONNX files with `runner.json`, each checked against torch.

    Args:
        pipe: the pipeline; it is put on the CPU, in float32, and with `dtype` "float16" its weights are rounded.
        output: the folder; it appears whole or not at all.
        opset: version of ONNX's operators, one of `OPSETS`.
        dtype: of the weights in the files. "float16" halves them; runtimes compute in float32 all the same.
        dynamic: whether clips may have any length.
        dynamic_size: whether pictures may have any size, in multiples of the pipeline's `stride`. Motion is best at the trained one.
        num_inference_steps: numbers of steps to write tables for; by default the pipeline's own, and 1, 2, 4, 8.
        eta: noise of DDIM, from 0 to 1.
        overwrite: whether to replace a folder that an earlier export wrote.
        say: called with a line about each file.

    Returns:
        The largest difference from torch, by graph.

    Raises:
        ValueError: for options out of range, a folder that holds something else, a pipeline that cannot be exported, or a file
            that gives other numbers than torch.
        MissingPackageError: without the extra `onnx`.
    """
    output = Path(output)
    _check(output, opset, dtype, eta, overwrite)
    default = pipe.config.get("default_num_inference_steps") or 10
    steps = sorted({*(num_inference_steps or (default, 1, 2, 4, 8))})
    if steps[0] < 1 or steps[-1] > pipe.scheduler.config.num_train_timesteps:
        raise ValueError(
            f"`num_inference_steps` must be from 1 to {pipe.scheduler.config.num_train_timesteps}, got {steps}."
        )
    for part in (pipe.lfae, pipe.unet, pipe.painter, pipe.text_encoder):
        if part is not None:
            part.to("cpu").float().eval().requires_grad_(False)
            if dtype == "float16":
                round_weights(part)
    about = describe(pipe, steps, default if default in steps else steps[-1], eta)
    differences = {}
    with whole(output, replace=overwrite) as folder:
        folder.mkdir()
        # Where sides are free, another size is checked, too.
        trained, stride = pipe.lfae.config.sample_size, pipe.stride
        painted = 2 if dynamic else 1  # of an example of one frame the exporter takes the number for fixed
        others = pipeline_graphs(pipe, painted, (trained, trained + stride)) if dynamic_size else {}
        for name, whole_graph in pipeline_graphs(pipe, painted).items():
            file, graph = folder / f"{name}.onnx", whole_graph.with_free(dynamic, dynamic_size)
            write_graph(graph, file, opset, dtype)
            differences[name] = max(check_graph(each, file) for each in (graph, *filter(None, [others.get(name)])))
            if not differences[name] <= TOLERANCE:
                raise ValueError(
                    f"{file.name} gives other numbers than torch: the largest difference is {differences[name]:.2g}, allowed is "
                    f"{TOLERANCE:g}."
                )
            about["graphs"][name] = _signature(graph, file.name)
            say(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB, {differences[name]:.1g} from torch at most")
        if about["text"] is not None and pipe.tokenizer is not None:
            (folder / TOKENIZER).write_text(pipe.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        if pipe.label_embeddings is not None:
            rows = pipe.label_embeddings.rows(pipe.label_embeddings.labels).detach().numpy()
            (folder / about["labels"]["file"]).write_bytes(np.ascontiguousarray(rows, dtype="<f4").tobytes())
        write_json(folder / RUNNER, about)
    return differences


def describe(pipe: LFDMPipeline, steps: Sequence[int], default_steps: int, eta: float) -> dict[str, Any]:
    """What `runner.json` says, but for the graphs.

    Raises:
        ValueError: for a pipeline whose tokenizer is of Python alone, and as `thresholding` and `ddim_table`.
    """
    lfae, unet = pipe.lfae, pipe.unet
    if pipe.text_encoder is not None and not getattr(pipe.tokenizer, "is_fast", False):
        raise ValueError("`pipe.tokenizer` must be one of the library tokenizers (a fast one), which others can read.")
    places = lfae.config.sample_size // lfae.downscale_factor
    table, shown = pipe.label_embeddings, pipe.config.get("shown_labels")
    return {
        "format": FORMAT,
        "made_by": f"lfdm_diffusers {__version__}",
        "picture": {
            "size": lfae.config.sample_size,
            "stride": pipe.stride,
            "range": [0, 1],
            "layout": "NCHW",
            "face_frame": pipe.config.get("face_frame"),
        },
        "volume": {
            "channels": unet.config.in_channels,
            "frames": unet.config.num_frames,
            "height": places,
            "width": places,
            "mean": list(unet.config.target_mean),
            "std": list(unet.config.target_std),
            # What is added to the flow channels: a grid of x and y, each row and column of it.
            "flow_is_added_to": _grid(places) if unet.config.flow_target == "residual" else None,
            "first_frame_is_picture": bool(unet.config.get("first_frame_is_picture", False)),
        },
        "sampling": {
            "eta": eta,
            "default_num_inference_steps": default_steps,
            "guidance_scale": pipe.default_guidance(),
            "thresholding": thresholding(pipe.scheduler),
            "steps": {str(count): ddim_table(pipe.scheduler, count, eta) for count in steps},
        },
        "labels": None
        if table is None
        else {
            "texts": list(table.config.labels),
            "normalized": [normalized_label(label) for label in table.config.labels],
            "file": "labels.bin",
            "shape": list(table.rows(table.labels).shape),
        },
        # Of labels that a picture may show already, whose scores the encoder gives: above 0 it does, and guidance leads others away from
        # the highest, by this scale, in the place of no label.
        "shown": None if shown is None else {"labels": shown["labels"], "guidance_scale": shown["guidance_scale"]},
        # Of a text that is no label: the graph that embeds it, the file that the library tokenizers reads, how many tokens it has at most, and
        # some of the sentences that the model learned from.
        "text": None
        if pipe.text_encoder is None
        else {
            "graph": "text_encoder",
            "tokenizer": TOKENIZER,
            "max_tokens": text_limit(pipe.text_encoder, pipe.tokenizer),
            "examples": list((table is not None and table.config.examples) or []),
        },
        # Of no text; of a model that attends to tokens, beside a token of zeros, which is none.
        "null_embedding": _null(unet),
        "painter": None if pipe.painter is None else {"scale": pipe.painter.config.scale},
        "agreement": AGREEMENT if pipe.painter is None else pipe.painter.config.agreement,
        "paint_below": pipe.lfae.config.paint_below,
        "graphs": {},
    }


def _null(unet: UNet3DVideoModel) -> list[Any]:
    """The embedding of no text, `(D)`, or `(2, D)` of a U-Net that attends to tokens."""
    null = unet.null_text_embed
    pooled = torch.zeros(1, unet.config.text_embed_dim, dtype=torch.float32) if null is None else null.detach()
    packed = torch.cat((pooled, torch.zeros_like(pooled))) if unet.config.text_attention else pooled[0]
    return packed.tolist()


def _grid(places: int) -> list[float]:
    """The coordinate of each column, and of each row, in [-1, 1]."""
    return sampling_grid(1, places, centers=True)[0, :, 0].tolist()


def _signature(graph: Graph, file: str) -> dict[str, Any]:
    """Names, shapes and types of what goes in; a free axis is what it is called. Names of what comes out."""
    inputs = {}
    for name, value in graph.inputs.items():
        shape = [graph.free.get(name, {}).get(axis, length) for axis, length in enumerate(value.shape)]
        inputs[name] = {"shape": shape, "type": str(value.dtype).removeprefix("torch.")}
    return {"file": file, "inputs": inputs, "outputs": graph.outputs}


def _check(output: Path, opset: int, dtype: str, eta: float, overwrite: bool) -> None:
    if opset not in OPSETS:
        raise ValueError(f"`opset` must be one of {', '.join(map(str, OPSETS))}, got {opset}.")
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    if not 0 <= eta <= 1:
        raise ValueError(f"`eta` must be from 0 to 1, got {eta}.")
    require_free_or_ours(output, overwrite, lambda folder: (folder / RUNNER).is_file(), "an export")
