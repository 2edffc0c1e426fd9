"""`lfdm animate`: clips of pictures by a motion, saved or taken from a clip, and where asked for their grid, sheet and motion."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.names import printable
from .options import add_device_arguments, add_file_arguments, add_limits, add_motion_arguments, add_picture_arguments
from .subjects import Subjects, add_subject_argument, clip_names, subjects_of

if TYPE_CHECKING:
    import torch

    from ..pipelines import Box, LFDMPipelineOutput, Motion

EXAMPLES = """
examples:
  a motion that `lfdm generate --kinds clips,motion` has kept, for another picture:
    %(prog)s other.png --motion outputs/face/motion/happiness.safetensors
  the motion of a clip, stronger, only where a mask is white, forward and back:
    %(prog)s face.png --driving smile.mp4 --motion-scale 1.3 --motion-mask mouth.png --loop ping-pong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    # As in `lfdm generate`: pictures behind the options would be taken for more motions.
    parser.usage = "%(prog)s [IMAGE ...] (--motion FILE ... | --driving CLIP ...) [--model M] [--output DIR] [options]"
    what = parser.add_argument_group("what to animate, and how it moves")
    add_picture_arguments(what)
    source = what.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--motion",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="motions that `lfdm generate` or `Motion.save` wrote",
    )
    source.add_argument(
        "--driving", nargs="+", action="extend", metavar="CLIP", help="videos, animations or folders of frames"
    )
    what.add_argument(
        "--absolute",
        action="store_true",
        help="with --driving: go to where the clip's subject is, instead of moving as it does since its first frame",
    )
    add_subject_argument(what, "NAME")
    add_motion_arguments(what)
    add_device_arguments(what)
    add_file_arguments(parser)
    add_limits(parser)


def run(args: argparse.Namespace) -> int:
    """Animate; returns 0, or 1 if some pictures could not be used."""
    # Not before, so that `--help` does not wait for torch.
    from ..data.clips import Clip, iterate_frames
    from ..data.rates import frame_rate
    from ..files.names import printable
    from ..pipelines import Motion
    from ..pipelines.driving import face_of_clip
    from ..visualization.clip_files import kept_rate
    from .clips import (
        check_output,
        find_pictures,
        load_chosen_pipeline,
        make_files,
        plan_files,
        read_mask,
        read_picture,
    )

    pictures = find_pictures(args.images, args.model)
    check_output(Path(args.output))
    mask = read_mask(args.motion_mask)
    if args.absolute and not args.driving:
        raise ValueError("`--absolute` is about a clip; it needs `--driving`.")
    names = unique_names(args.motion or args.driving)
    lengths: dict[Any, int]
    rates: dict[Any, float | None]
    if args.motion:
        motions = {name: Motion.load(path) for name, path in names.items()}
        lengths = {name: len(motion) for name, motion in motions.items()}
        rates = {name: kept_rate(motion.about) for name, motion in motions.items()}
    else:
        clips = {name: Clip(Path(path)) for name, path in names.items()}
        lengths = {name: sum(1 for _ in iterate_frames(clip)) for name, clip in clips.items()}
        if empty := [name for name, count in lengths.items() if not count]:
            raise ValueError(f"{names[empty[0]]} has no frames.")
        rates = {name: frame_rate(clip.path) for name, clip in clips.items()}
    pipe, model = load_chosen_pipeline(args, pictures)
    shown, given = clip_names(args.subjects, list(names), lambda name: known_name(name, names))
    subjects = subjects_of(given, pictures, read_picture, pipe, args.output_size, args.image_fit)
    for moving in subjects.values():
        for name in shown:
            if len({lengths[own] for own in moving.named(name)}) > 1:
                raise ValueError(f"`--subjects` must have motions of one length in a clip, got {lengths}.")
    # A clip of several subjects is as fast as the fastest of their motions.
    moving = next(iter(subjects.values()))
    of_clips = {name: max(filter(None, (rates[own] for own in moving.named(name))), default=None) for name in shown}
    files = plan_files(args, pipe, pictures, shown, max(lengths.values()), rates=of_clips, subjects=subjects)
    fps = {name: next(iter(files.values())).rate(name) for name in shown}
    settings = {
        "model": model,
        "sources": names,
        "relative": None if args.motion else not args.absolute,
        "output_size": args.output_size,
        "motion_scale": args.motion_scale,
        "motion_mask": args.motion_mask,
        "loop": args.loop,
        "hold": args.hold,
        "fps": fps if len(set(fps.values())) > 1 else next(iter(fps.values())),
    }

    told: set[str] = set()

    def motion_of(picture: torch.Tensor, name: str, box: Box | None) -> Motion:
        if args.motion:
            return motions[name]
        # One after the other: a clip at its full size may be large.
        frames, face = face_of_clip(iterate_frames(clips[name]), pipe.outlook)
        if face is not None and name not in told:
            told.add(name)
            print(f"{printable(Path(names[name]).name)}: the motion of the face in it is taken.", file=sys.stderr)
        options = {"relative": not args.absolute, "image_fit": args.image_fit, "driving_subject": face}
        motion = pipe.transfer(picture, frames, subjects=None if box is None else [box], **options)
        return motion if isinstance(motion, Motion) else motion[0]

    def make(
        picture: torch.Tensor, moving: Subjects, name: str, seed: int, tick: Callable
    ) -> tuple[LFDMPipelineOutput, list[dict]]:
        boxes: list[Any] = moving.boxes or [None]
        own_names: list[Any] = moving.named(name)
        motion = [motion_of(picture, own, box) for own, box in zip(own_names, boxes)]
        hold = round(args.hold * next(iter(files.values())).rate(name))
        edit = {"motion_scale": args.motion_scale, "motion_mask": mask, "loop": args.loop, "hold": hold}
        size = {"image_fit": args.image_fit, "output_size": args.output_size, "subjects": moving.boxes}
        return pipe.animate(picture, motion, output_type="stream", **size, **edit), [{} for _ in boxes]

    return make_files(args, pipe, files, settings, make, subjects)


def known_name(name: str, names: dict[str, str]) -> str:
    """A name that `--subjects` has, if there is a motion or clip of it.

    Raises:
        ValueError: else.
    """
    if name not in names:
        raise ValueError(f"`--subjects`: there is no motion or clip {name!r}; there are {', '.join(names)}.")
    return name


def unique_names(paths: list[str]) -> dict[str, str]:
    """Each path once, by its name without suffix; numbered where names are the same."""
    names: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        stem = printable(Path(path).stem)
        same = sum(1 for name in names if name == stem or name.startswith(f"{stem} "))
        names[stem if not same else f"{stem} {same + 1}"] = path
    return names
