"""`lfdm web`: a page that generates in the browser."""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from pathlib import Path

from ..arguments.types import whole_number
from ..embedded import DRAWN_MODEL, embedded_model, embedded_pictures, named_model
from .options import add_json_argument

EXAMPLES = """
examples:
  the package's model of drawn faces, on http://127.0.0.1:7870:
    %(prog)s
  a folder to be pushed as a static Space, from a model exported before:
    lfdm export toon64 --output toon64-onnx
    %(prog)s toon64-onnx --output page

npm fetches two pinned packages (onnxruntime-web, gifenc) the first time; --runtime names a folder that has them already.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="folder that lfdm export wrote, or a pipeline (folder or Hub id), which is exported first, in a few minutes "
        f"(default: {DRAWN_MODEL}, which comes with the package)",
    )
    parser.add_argument("--output", metavar="DIR", help="folder to write, instead of serving")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that was written so before")
    parser.add_argument(
        "--port",
        type=whole_number(1, 65535),
        metavar="N",
        help="serve here; with --output, serve what was written (default: the first free one from 7870)",
    )
    parser.add_argument(
        "--runtime",
        metavar="DIR",
        help="folder with onnxruntime-web/ and gifenc/ unpacked, such as a node_modules (default: npm fetches them)",
    )
    parser.add_argument(
        "--examples", nargs="+", metavar="FILE", help="pictures that the page offers (default: those of the package)"
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the folder, serve it until Ctrl-C, or both."""
    from ..web.folder import compose
    from ..web.runtime import runtime_files
    from ..web.serving import make_server

    def say(line: str) -> None:
        if not args.json:
            print(line, flush=True)

    examples = embedded_pictures() if args.examples is None else [Path(file) for file in args.examples]
    for file in examples:
        if not file.is_file():
            raise ValueError(f"`--examples`: there is no file {file}.")
    runtime = runtime_files(args.runtime, say=say)
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = Path(named_model(args.model)) if args.model else embedded_model(DRAWN_MODEL)
        if not (model / "runner.json").is_file():
            from ..export.folder import export_onnx
            from ..pipelines.loading import load_pipeline

            say("exporting the model, which takes a few minutes")
            pipe = load_pipeline(model)
            model = work / "model"
            export_onnx(pipe, model, say=say)
        folder = Path(args.output) if args.output else work / "page"
        sizes = compose(folder, model, runtime, examples, overwrite=args.overwrite)
        if args.output:
            if args.json:
                print(json.dumps({"folder": args.output, "bytes": sizes}, indent=2))
            say(f"wrote {folder}: " + ", ".join(f"{part} {size / 1e6:.1f} MB" for part, size in sizes.items()))
            if args.port is None:
                return 0
        with make_server(folder, args.port) as server:
            host, port = server.server_address[:2]
            say(f"http://{host!s}:{port} (Ctrl-C ends it)")
            server.serve_forever()
    return 0
