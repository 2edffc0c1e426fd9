"""Options that several commands share. They load nothing, so `--help` does not wait for torch."""

from __future__ import annotations

import argparse
from typing import Any

from ..arguments.choices import DTYPES, FITS, FORMATS, KINDS, LOOPS, MOST_FPS, SCHEDULERS
from ..arguments.types import add_limit_arguments, frame_size, number, some_of, whole_number
from ..embedded import DRAWN_MODEL, MODEL, embedded_models


def add_sampling_arguments(group: argparse._ArgumentGroup) -> None:
    """How a pipeline samples, and where it runs (`add_device_arguments`)."""
    group.add_argument("--steps", type=whole_number(1), metavar="N", help="denoising steps (default: the model's)")
    group.add_argument("--scheduler", metavar="NAME", help=f"{', '.join(SCHEDULERS)} (default: the model's)")
    group.add_argument(
        "--guidance-scale",
        type=number(-100, 100),
        metavar="W",
        help="classifier-free guidance: 1 is none, more follows the label more closely (default: the model's)",
    )
    group.add_argument(
        "--eta",
        type=number(0, 1),
        default=1.0,
        metavar="E",
        help="share of fresh noise in DDIM, from 0 to 1 (default: 1)",
    )
    add_device_arguments(group)


def add_model_argument(group: argparse._ActionsContainer, default: str = MODEL) -> None:
    """Which pipeline; `default` is what the help says of leaving it out."""
    group.add_argument(
        "--model",
        metavar="FOLDER|HUB_ID",
        help=f"pipeline, or the name of one that comes with the package: {', '.join(embedded_models())} (default: {default})",
    )


def add_json_argument(group: argparse._ActionsContainer) -> None:
    """For scripts."""
    group.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def add_device_arguments(group: argparse._ActionsContainer) -> None:
    """Where a pipeline runs."""
    group.add_argument("--device", metavar="D", help="cuda, cuda:1, mps, cpu, ... (default: the fastest there is)")
    group.add_argument("--dtype", choices=DTYPES, default="float32", help="precision of the models (default: float32)")


def _underscored(word: str) -> str:
    """A word as Python's arguments have it: `ping-pong` is `ping_pong`."""
    return word.replace("-", "_")


def add_picture_arguments(group: argparse._ArgumentGroup, labels: str = "") -> None:
    """Which pictures, by which model; `labels` is what the help says about labels beside them."""
    group.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help=f"pictures, or folders of pictures (default: a photograph that comes with the package){labels}",
    )
    add_model_argument(group, f"{MODEL}, and {DRAWN_MODEL} for the drawn faces that come with the package")
    group.add_argument(
        "--image-fit",
        type=_underscored,
        choices=FITS,
        help="how to fit pictures of other proportions to the model: whole on black, or cropped (default: letterbox; center_crop "
        "for a model of faces)",
    )
    group.add_argument(
        "--output-size",
        type=frame_size,
        default="picture",
        metavar="SIZE",
        help="of clips: picture (each picture's own: it is warped itself), model (what the model decodes), or HEIGHTxWIDTH "
        "(default: picture)",
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Bounds of what is read."""
    add_limit_arguments(parser.add_argument_group("how large pictures and clips may be"))


def add_motion_arguments(group: argparse._ArgumentGroup, generated: bool = False) -> None:
    """How a motion is edited. With `generated`, a bare `--loop` generates a motion that loops."""
    group.add_argument(
        "--motion-scale",
        type=number(-100, 100),
        default=1.0,
        metavar="S",
        help="strength of the motion: 0 is still, 1 as generated, more exaggerates, until faces tear beyond about 1.5; below 0 everything "
        "moves the other way (default: 1)",
    )
    group.add_argument(
        "--motion-mask",
        metavar="FILE",
        help="grey picture; only its white places move. One of the picture's size is kept to its pixels",
    )
    group.add_argument(
        "--hold",
        type=number(0, 600),
        default=0.0,
        metavar="SECONDS",
        help="how long the fullest moment of the motion stays before it is let go (default: not at all)",
    )
    ways = "ping-pong (forward and back) or ease (glide back to the first frame at the end)"
    bare: dict[str, Any] = {"nargs": "?", "const": True} if generated else {}
    group.add_argument(
        "--loop",
        type=_underscored,
        choices=LOOPS,
        metavar="HOW",
        help=f"a motion that comes back to its beginning, with no jump; or a usual one, made to: {ways}"
        if generated
        else f"repeat without a jump: {ways}",
        **bare,
    )


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, and where."""
    files = parser.add_argument_group("the files")
    files.add_argument(
        "--output", default="outputs", metavar="DIR", help="where each picture gets a folder (default: outputs)"
    )
    files.add_argument(
        "--formats",
        type=some_of(FORMATS),
        default=["mp4"],
        metavar="A,B",
        help=f"formats of clips, some of {','.join(FORMATS)}; png is a folder of frames; a gif of a clip has at most 480 pixels a "
        "side; gif and mp4 have white behind transparent pictures (default: mp4)",
    )
    files.add_argument(
        "--kinds",
        type=some_of(KINDS),
        default=["clips"],
        metavar="A,B",
        help="what to write: clips, grid (all labels side by side), sheet (frames of all labels), motion (flow and occlusion as "
        "safetensors, to be given to other pictures, and as pictures), or all (default: clips)",
    )
    files.add_argument(
        "--fps",
        type=number(0.1, MOST_FPS),
        metavar="N",
        help="frames a second, of which a GIF has 50 at most (default: as fast as the driving clip or the kept motion; else a clip "
        "takes 1.6 seconds)",
    )
    files.add_argument(
        "--scale",
        type=whole_number(1, 64),
        metavar="N",
        help="enlarge clips N times (default: those of the model's size to about 256 pixels, others not)",
    )
    files.add_argument(
        "--no-mark",
        dest="mark",
        action="store_false",
        help="leave out the metadata that say that clips and pictures were generated",
    )
    files.add_argument("--overwrite", action="store_true", help="replace files of an earlier run")
    add_json_argument(files)
