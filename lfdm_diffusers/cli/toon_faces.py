"""`lfdm data toon-faces`: people making expressions, drawn; the data set that anyone can have."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from ..arguments.choices import EXPRESSIONS, SET_FORMATS, SPLITS, STYLES
from ..arguments.types import whole_number
from .options import add_json_argument

EXAMPLES = """
examples:
  what the small model of this package is trained on (4,480 clips of 64 pixels and 16 frames):
    %(prog)s toon --num-subjects 640 --num-test-subjects 40 --size 64 --num-frames 16 --format webp --workers 4
  its 40 people for testing alone, to evaluate a model on:
    %(prog)s toon --num-subjects 640 --num-test-subjects 40 --size 64 --num-frames 16 --format webp --split test
  twelve more of each person who winks, nods, smiles on one side or looks up, then laughs, with sentences:
    %(prog)s toon --num-subjects 640 --num-test-subjects 40 --actions 12 --size 64 --num-frames 16 --format webp --workers 4
  two labels, five takes of each person, with the true flow, to look at as videos:
    %(prog)s toon --num-subjects 10 --labels happiness surprise --takes 5 --format mp4 --with-flow
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_set_arguments(parser, num_frames=40)
    parser.add_argument(
        "--style",
        choices=STYLES,
        default="painted",
        help="painted, or ink: the same people and motion in outlines and flat washes (default: painted)",
    )
    add_actions_argument(parser)


def add_actions_argument(parser: argparse.ArgumentParser) -> None:
    """The option of sets whose clips also act what sentences say."""
    parser.add_argument(
        "--actions",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="clips of each person by single actions, combinations and sequences, and sentences about all clips (default: 0)",
    )


def add_set_arguments(parser: argparse.ArgumentParser, num_frames: int, more_labels: str = "") -> None:
    """The options of a data set of people making the seven expressions; `more_labels`, what else labels may be."""
    parser.add_argument("output", metavar="OUTPUT", help="folder to write; an interrupted run resumes there")
    count = whole_number(1)
    parser.add_argument(
        "--num-subjects", type=count, default=60, metavar="N", help="people, of all splits together (default: 60)"
    )
    parser.add_argument(
        "--num-test-subjects",
        type=whole_number(0),
        metavar="N",
        help="how many of them are for testing (default: a fifth)",
    )
    parser.add_argument(
        "--split", choices=SPLITS, help="draw this split alone, such as the people to evaluate on (default: both)"
    )
    parser.add_argument(
        "--labels", nargs="+", metavar="L", help=f"some of {', '.join(EXPRESSIONS)}{more_labels} (default: all)"
    )
    parser.add_argument(
        "--takes", type=count, default=1, metavar="N", help="clips of each person and label (default: 1)"
    )
    parser.add_argument(
        "--num-frames",
        type=count,
        default=num_frames,
        metavar="N",
        help=f"frames of a clip (default: {num_frames})",
    )
    parser.add_argument(
        "--size", type=whole_number(16), default=128, metavar="N", help="pixels of a side (default: 128)"
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="another seed draws other people with other motion (default: 0)",
    )
    parser.add_argument(
        "--format", choices=SET_FORMATS, default="png", help="png is a folder of frames for each clip (default: png)"
    )
    parser.add_argument(
        "--fps", type=count, default=25, metavar="N", help="frames a second of the animated formats (default: 25)"
    )
    parser.add_argument(
        "--with-flow", action="store_true", help="also write the true flow and visibility of each clip"
    )
    parser.add_argument(
        "--workers", type=whole_number(0), default=0, metavar="N", help="processes (default: this one alone)"
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Draw; returns 0."""
    from ..data.toon_faces import write_toon_faces

    return write_and_tell(args, write_toon_faces)


def write_and_tell(args: argparse.Namespace, write: Callable[..., Path]) -> int:
    """Have a data set written by `write`, and say what is there; returns 0."""
    output = Path(args.output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"OUTPUT must be a folder, but {output} is a file.")
    metadata = write(
        output,
        num_subjects=args.num_subjects,
        num_test_subjects=args.num_test_subjects,
        **({} if args.labels is None else {"labels": tuple(args.labels)}),
        takes=args.takes,
        num_frames=args.num_frames,
        size=args.size,
        seed=args.seed,
        format=args.format,
        fps=args.fps,
        with_flow=args.with_flow,
        **{name: getattr(args, name) for name in ("style", "actions", "body") if name in args},
        workers=args.workers,
        split=args.split,
    )
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    splits = []
    for split, what in (("train", "training"), ("test", "testing")):
        subjects = [row["subject"] for row in rows if row["split"] == split]
        people = len(set(subjects))
        splits.append(f"{len(subjects)} for {what} ({people} {'person' if people == 1 else 'people'})")
    if args.json:
        counts = {split: sum(row["split"] == split for row in rows) for split in ("train", "test")}
        print(json.dumps({"folder": str(output), "metadata": str(metadata), "clips": counts}, indent=2))
        return 0
    flow = ", with their true flow" if args.with_flow else ""
    print(
        f"wrote {len(rows)} clips of {args.num_frames} frames, {args.size}x{args.size} pixels{flow}, to {output}/: "
        f"{', '.join(splits)}; {metadata} lists them"
    )
    return 0
