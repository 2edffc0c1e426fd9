"""`lfdm data people`: people in three dimensions, rendered, making expressions or moving their bodies; for photographs."""

from __future__ import annotations

import argparse

from ..arguments.choices import BODY_ACTIONS
from ..files.extras import required
from .toon_faces import add_actions_argument, add_set_arguments, write_and_tell

EXAMPLES = """
examples:
  two hundred people, forty of them for testing (the extra [people] has what this needs):
    %(prog)s people --num-subjects 200 --num-test-subjects 40 --format webp --workers 2
  one label, with the true flow, to look at as videos:
    %(prog)s people --num-subjects 4 --labels happiness --size 256 --format mp4 --with-flow
  twelve more of each person who winks, nods, smiles on one side or looks up, then laughs, with sentences:
    %(prog)s people --num-subjects 200 --num-test-subjects 40 --actions 12 --format webp --workers 2
  whole bodies, twenty actions of each person:
    %(prog)s bodies --body --num-subjects 120 --num-test-subjects 20 --num-frames 16 --format webp --with-flow --workers 2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_set_arguments(parser, num_frames=24, more_labels=f"; with --body, of {', '.join(BODY_ACTIONS)}")
    parser.add_argument(
        "--body", action="store_true", help="people from head to foot who act with their bodies (default: faces)"
    )
    add_actions_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Render; returns 0."""
    for name in ("anny", "numba"):
        required(name, "people", "rendering people")
    from ..data.people.dataset import write_people  # compiled by numba

    return write_and_tell(args, write_people)
