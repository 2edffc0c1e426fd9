"""The command `lfdm`: its subcommands, each in a module of its own."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from functools import partial

from . import (
    animate_command,
    app_command,
    convert_command,
    data_command,
    evaluate_command,
    generate_command,
    info_command,
    push_command,
)
from .command_tools import CommandParser
from .version import __version__

DESCRIPTION = "One picture and one label in, a short video of that very subject doing it out, with its motion."


def main(argv: list[str] | None = None) -> int:
    """Run a command line (the program's own by default).

    Returns:
        The exit code: 0; 1 if part of a batch failed; 2 after one sentence on stderr for a mistake; 130 for Ctrl-C.
    """
    if argv is None:  # the program itself: a cluster's SIGTERM then cleans up as Ctrl-C does
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = make_parser()
    args = parser.parse_args(argv)
    return args.run(args)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands; what it returns has the function to `run`."""
    parser = CommandParser(prog="lfdm", description=DESCRIPTION)
    parser.set_defaults(run=partial(_show_help, parser))
    parser.add_argument("--version", action="version", version=f"lfdm_diffusers {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add(
        commands, "generate", "pictures and labels in, clips out", generate_command.add_arguments, generate_command.run
    )
    _add(
        commands,
        "animate",
        "pictures and a motion (saved, or a clip's) in, clips out",
        animate_command.add_arguments,
        animate_command.run,
    )
    _add(commands, "app", "a web app: pictures, labels, motion", app_command.add_arguments, app_command.run)
    _add(
        commands,
        "evaluate",
        "a model or clips in, their scores against real clips out",
        evaluate_command.add_arguments,
        evaluate_command.run,
    )
    _add(commands, "info", "what is in a model", info_command.add_arguments, info_command.run)
    _add(
        commands,
        "convert",
        "released LFDM or MRAA checkpoints in, a folder that from_pretrained loads out",
        convert_command.add_arguments,
        convert_command.run,
    )
    _add(commands, "push", "a saved model, with its card, to the Hub", push_command.add_arguments, push_command.run)
    data = commands.add_parser(
        "data", help="data sets, and the detector of FVD", description="Data sets and detectors."
    )
    data.set_defaults(run=partial(_show_help, data))
    sets = data.add_subparsers(title="data sets", metavar="NAME")
    _add(
        sets,
        "toon-faces",
        "draw people making seven expressions, from a seed",
        data_command.add_toon_faces_arguments,
        data_command.run_toon_faces,
    )
    _add(
        sets,
        "people",
        "render people in three dimensions making seven expressions, from a seed",
        data_command.add_people_arguments,
        data_command.run_people,
    )
    _add(
        sets,
        "i3d",
        "make the network ready that FVD is measured with",
        data_command.add_i3d_arguments,
        data_command.run_i3d,
    )
    return parser


def _show_help(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    """What a command does that needs a subcommand and got none."""
    parser.print_help(sys.stderr)
    return 2


def _add(
    commands: argparse._SubParsersAction,
    name: str,
    what: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
) -> None:
    parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    add_arguments(parser)
    parser.set_defaults(run=run)
