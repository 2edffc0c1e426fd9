"""`lfdm app`: the web app."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import ipaddress

from ..app import MOST_WAITING
from ..arguments.types import whole_number
from .options import add_device_arguments, add_limits, add_model_argument

EXAMPLES = """
examples:
  the package's models, on http://127.0.0.1:7860:
    %(prog)s
  a model of your own, for everybody in your network:
    %(prog)s --model lfdm-mug128 --host 0.0.0.0 --port 8000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_model_argument(parser)
    parser.add_argument("--only-this-model", action="store_true", help="remove the tab that loads other models")
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="M",
        help="folders or Hub ids of the other models that may be loaded (default: any where only this machine is listened to, else none)",
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="where to listen (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=whole_number(1, 65535), metavar="N", help="port (default: the first free one from 7860)"
    )
    parser.add_argument("--share", action="store_true", help="make a temporary public link by Gradio's servers")
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="also be a server of the Model Context Protocol: the API as tools for agents",
    )
    parser.add_argument("--browser", action="store_true", help="open the app in a browser")
    parser.add_argument(
        "--queue",
        type=whole_number(1, 10000),
        default=MOST_WAITING,
        metavar="N",
        help=f"most requests that may wait; further ones are told that the queue is full (default: {MOST_WAITING})",
    )
    add_device_arguments(parser)
    add_limits(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        from ..app.page import launch_options, make_page
    except ImportError as error:
        raise ValueError(f"The app needs Gradio: pip install 'lfdm_diffusers[app]' ({error}).") from error
    from ..app.engine import Engine
    from ..pipelines.loading import DTYPES, choose_device

    if args.mcp and importlib.util.find_spec("mcp") is None:
        raise ValueError("`--mcp` needs the package mcp: pip install 'lfdm_diffusers[mcp]'.")
    models = args.models
    if models is None and (args.share or not is_loopback(args.host)):
        models = []  # a stranger's model is a stranger's code path into this machine's disk and memory
    device, dtype = choose_device(args.device), DTYPES[args.dtype]
    engine = Engine(args.model, device, dtype, may_load=not args.only_this_model, models=models)
    page = make_page(engine).queue(max_size=args.queue, default_concurrency_limit=1)
    try:
        _, url, shared = page.launch(
            quiet=True,  # what Gradio says is about a script of one's own
            prevent_thread_lock=True,
            server_name=args.host,
            server_port=args.port,
            share=args.share,
            inbrowser=args.browser,
            mcp_server=args.mcp,
            **launch_options(),
        )
    except OSError as error:
        raise ValueError(f"`--port`: {error}") from error
    print(f"The app is at {shared or url} (Ctrl-C ends it).", flush=True)
    if args.mcp:
        print(f"Agents find its tools at {url}gradio_api/mcp/.", flush=True)
    page.block_thread()
    return 0


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address `host`."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
