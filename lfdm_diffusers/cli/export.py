"""`lfdm export`: a pipeline as ONNX files that run without torch."""

from __future__ import annotations

import argparse
import json

from ..arguments.types import whole_number
from ..embedded import MODEL, embedded_model, embedded_models
from .options import add_json_argument

EXAMPLES = """
examples:
  a model that comes with the package:
    %(prog)s toon64 --output toon64-onnx
  a model of your own, in full precision, for clips of any length:
    %(prog)s lfdm-mug128 --output mug128-onnx --dtype float32 --dynamic
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help=f"pipeline: folder, Hub id, or the name of one that comes with the package: {', '.join(embedded_models())} (default: {MODEL})",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder to write; it appears whole or not at all"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that an earlier export wrote")
    parser.add_argument(
        "--dtype",
        choices=("float16", "float32"),
        default="float16",
        help="of the weights in the files; numbers are computed in float32 with either (default: float16)",
    )
    parser.add_argument(
        "--opset", type=int, choices=(18, 19), default=18, help="version of ONNX's operators (default: 18)"
    )
    parser.add_argument(
        "--dynamic", action="store_true", help="clips of any length, rather than the trained one alone"
    )
    parser.add_argument(
        "--dynamic-size", action="store_true", help="pictures of any size, in steps, rather than the trained one alone"
    )
    parser.add_argument(
        "--num-inference-steps",
        type=whole_number(1),
        nargs="+",
        metavar="N",
        help="numbers of steps to write tables for (default: the model's own, and 1, 2, 4, 8)",
    )
    parser.add_argument(
        "--eta", type=float, default=1.0, metavar="E", help="share of fresh noise in DDIM, from 0 to 1 (default: 1)"
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export; returns 0."""
    from ..export.folder import export_onnx
    from ..pipelines.loading import load_pipeline

    pipe = load_pipeline(args.model or embedded_model())
    found = export_onnx(
        pipe,
        args.output,
        opset=args.opset,
        dtype=args.dtype,
        dynamic=args.dynamic,
        dynamic_size=args.dynamic_size,
        num_inference_steps=args.num_inference_steps,
        eta=args.eta,
        overwrite=args.overwrite,
        say=lambda line: None if args.json else print(line, flush=True),
    )
    if args.json:
        print(json.dumps({"folder": args.output, "difference_from_torch": found}, indent=2))
    else:
        print(f"wrote {args.output}; runner.json says how the files go together")
    return 0
