"""The command `lfdm`: its subcommands, each in a module of its own, which is imported when it is chosen."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from functools import partial

from ..files.limits import set_limits
from ..files.names import print_anything
from ..version import __version__
from .errors import exit_code
from .parser import CommandParser

DESCRIPTION = "Animate a picture by a label: a short video of that very subject, with its motion."
# By name: the module, which has `add_arguments` and `run`, and what the command does.
COMMANDS = {
    "generate": ("generate", "animate pictures by labels"),
    "animate": ("animate", "animate pictures by a motion, saved or taken from a clip"),
    "app": ("app", "serve the web app"),
    "evaluate": ("evaluate", "score a model, or clips, against real clips"),
    "info": ("info", "show what is in a model"),
    "convert": ("convert", "convert released LFDM or MRAA checkpoints to a folder that from_pretrained loads"),
    "export": ("export", "export a model to ONNX files that run without torch"),
    "web": ("web", "make or serve a page that generates in the browser"),
    "push": ("push", "push a saved model, with its card, to the Hub"),
}
DATA_COMMANDS = {
    "toon-faces": ("toon_faces", "draw people making seven expressions, from a seed"),
    "people": ("people", "render people in three dimensions making seven expressions, from a seed"),
    "i3d": ("i3d", "prepare the network that measures FVD"),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command line (the program's own by default).

    Returns:
        The exit code: 0; 1 if part of a batch failed; 2 after one sentence on stderr for a mistake; 130 for Ctrl-C.
    """
    if argv is None:  # the program itself: a cluster's SIGTERM then cleans up as Ctrl-C does
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    print_anything()
    return exit_code(partial(_run, argv))


def _run(argv: list[str] | None) -> int:
    args = make_parser().parse_args(argv)
    set_limits(getattr(args, "max_megapixels", None), getattr(args, "max_gigabytes", None))
    return args.run(args)


def make_parser() -> CommandParser:
    """The parser of all subcommands; what it returns has the function to `run`."""
    parser = CommandParser(prog="lfdm", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"lfdm_diffusers {__version__}")
    commands = _add_commands(parser, "commands", "COMMAND", COMMANDS)
    data = commands.add_parser(
        "data",
        help="data sets, and the network that measures FVD",
        description="Data sets, and the network that measures FVD.",
    )
    _add_commands(data, "data sets", "NAME", DATA_COMMANDS)
    return parser


def _add_commands(
    parser: CommandParser, title: str, metavar: str, table: dict[str, tuple[str, str]]
) -> argparse._SubParsersAction:
    parser.set_defaults(run=partial(_show_help, parser))
    commands = parser.add_subparsers(title=title, metavar=metavar)
    for name, (module, what) in table.items():
        description = f"{what[0].upper()}{what[1:]}."
        commands.add_parser(name, help=what, description=description, fill=partial(_fill, module))
    return commands


def _fill(module_name: str, parser: CommandParser) -> None:
    """Give a command's parser its options, its examples, and the function to run."""
    module = importlib.import_module(f".{module_name}", __name__)
    parser.epilog, parser.formatter_class = module.EXAMPLES, argparse.RawDescriptionHelpFormatter
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


def _show_help(parser: CommandParser, args: argparse.Namespace) -> int:
    """What a command does that needs a subcommand and got none."""
    parser.print_help(sys.stderr)
    return 2
