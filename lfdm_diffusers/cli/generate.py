"""`lfdm generate`: clips of pictures by labels, and where asked for their grid, sheet and motion."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments.types import stroke, whole_number
from ..files.names import printable
from .options import (
    add_file_arguments,
    add_limits,
    add_motion_arguments,
    add_picture_arguments,
    add_sampling_arguments,
)
from .subjects import Subjects, add_subject_argument, clip_names, subjects_of

# Functions import what loads torch, so that `--help` does not wait for it.
if TYPE_CHECKING:
    import torch

    from ..pipelines import LFDMPipeline, LFDMPipelineOutput, Stroke

EXAMPLES = """
examples:
  all labels on the photograph that comes with the package, or on its first drawn face:
    %(prog)s
    %(prog)s --model toon64
  your own picture, one label (or a word for it), or two of them; a smile that is held for five seconds:
    %(prog)s face.png smile
    %(prog)s face.png happiness surprise
    %(prog)s face.png smile --hold 5
  every picture of a folder, other timing, stronger motion, GIFs only; all that there is to see of it, the motion too:
    %(prog)s faces/ --seed 7 --motion-scale 1.3 --formats gif
    %(prog)s face.png smile --kinds all
  a photograph of two people, each doing something else; faces are found by themselves with `auto` (`pip install
  'lfdm_diffusers[subjects]'`):
    %(prog)s party.jpg --subjects 120,80,260,260:happiness 480,90,250,250:surprise
  a loop of two actions in a row; a mouth's corner, and 20 pixels around it, drawn up by a stroke:
    %(prog)s face.png --label happiness --loop --num-frames 32
    %(prog)s face.png --label happiness --stroke "160,196 180,176 @8 ~20"
  a model of your own, or one of the Hub; its scheduler in ten steps of another kind:
    %(prog)s face.png --model lfdm-mug128 --scheduler ddim --steps 10
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    # argparse's own would put the pictures behind the labels, which would take them for more labels.
    parser.usage = (
        "%(prog)s [IMAGE ...] [LABEL ...] [--label L ... | --all-labels] [--model M] [--output DIR] [options]"
    )
    what = parser.add_argument_group("what to generate")
    add_picture_arguments(what, "; a word that is no file's name is a label")
    labels = what.add_mutually_exclusive_group()
    labels.add_argument(
        "--label",
        nargs="+",
        action="extend",
        metavar="L",
        help="labels that the model knows; any text, if it has a text encoder",
    )
    labels.add_argument("--all-labels", action="store_true", help="all labels that the model knows (default)")
    what.add_argument(
        "--seed",
        type=whole_number(0, 2**62),
        default=0,
        metavar="N",
        help="another seed gives another motion (default: 0)",
    )
    what.add_argument(
        "--num-videos",
        type=whole_number(1, 1000),
        default=1,
        metavar="N",
        help="clips of each picture and label, with seeds SEED, SEED + 1, ... (default: 1)",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--num-frames",
        type=whole_number(1, 1000),
        metavar="N",
        help="frames of a clip (default: as trained); a longer one is the action several times in a row",
    )
    add_sampling_arguments(how)
    how.add_argument(
        "--negative-prompt",
        metavar="L",
        help="a label that guidance leads away from, such as what the face in the picture shows: happiness closes a smile (default: what "
        "the model sees that it shows, if it was taught to, and no --guidance-scale is given)",
    )
    add_subject_argument(what, "LABEL")
    add_motion_arguments(how, generated=True)
    how.add_argument(
        "--stroke",
        type=stroke,
        action="append",
        metavar='"X,Y X,Y ... @FRAME ~RADIUS"',
        help="where a place of the picture goes, in its pixels; in which frame it gets there (default: the middle one); and how far "
        "around it the picture goes along (default: a tenth of it); may be given several times",
    )
    add_file_arguments(parser)
    add_limits(parser)


def run(args: argparse.Namespace) -> int:
    """Generate; returns 0, or 1 if some pictures could not be used."""
    import torch

    from ..pipelines.loading import quiet_libraries
    from ..schedulers import scheduler_by_name
    from .clips import (
        check_output,
        find_pictures,
        load_chosen_pipeline,
        make_files,
        plan_files,
        read_mask,
        read_picture,
    )

    args.images, words = apart(args.images)
    if words and args.all_labels:
        raise ValueError(f"`--all-labels` leaves no room for labels, got {', '.join(words)}.")
    args.label = [*words, *(args.label or [])] or None
    pictures = find_pictures(args.images, args.model)
    check_output(Path(args.output))
    mask = read_mask(args.motion_mask)
    pipe, model = load_chosen_pipeline(args, pictures)
    try:
        chosen = choose_labels(pipe, args.label)
    except ValueError as error:
        if missing := [word for word in words if repr(word) in str(error)]:
            raise ValueError(f"{error} (Nor is there a picture {missing[0]}.)") from error
        raise
    labels, given = clip_names(args.subjects, chosen, lambda label: choose_labels(pipe, [label], "--subjects")[0])
    if args.scheduler is not None:
        with quiet_libraries():
            pipe.scheduler = scheduler_by_name(args.scheduler, pipe.scheduler)
    steps = plan_steps(pipe, args.steps)
    away = plan_away(pipe, args.guidance_scale, args.negative_prompt)
    strokes = plan_strokes(args.stroke, len(pictures), args.num_frames or pipe.unet.config.num_frames)
    subjects = subjects_of(given, pictures, read_picture, pipe, args.output_size, args.image_fit, strokes)
    subjects = what_they_show(pipe, subjects, labels, away, args.guidance_scale, args.image_fit, read_picture)
    seeds = range(args.seed, args.seed + args.num_videos)
    files = plan_files(args, pipe, pictures, labels, pipe.unet.config.num_frames, seeds, subjects=subjects)
    rate = next(iter(files.values())).fps
    settings = {
        "model": model,
        "scheduler": type(pipe.scheduler).__name__,
        "steps": steps,
        "guidance_scale": pipe.guidance_of(args.guidance_scale),
        "negative_prompt": away,
        "eta": args.eta,
        "output_size": args.output_size,
        "motion_scale": args.motion_scale,
        "motion_mask": args.motion_mask,
        "loop": args.loop,
        "strokes": args.stroke,
        "num_frames": args.num_frames or pipe.unet.config.num_frames,
        "hold": args.hold,
        "fps": rate,
    }

    def make(
        picture: torch.Tensor, moving: Subjects, label: str | None, seed: int, tick: Callable
    ) -> tuple[LFDMPipelineOutput, list[dict]]:
        prompts: Any = moving.named(label)
        guidance = pipe.guidance_away(prompts, moving.shown, args.guidance_scale)
        output = pipe(
            picture,
            None if None in prompts else prompts,
            num_frames=settings["num_frames"],
            num_inference_steps=steps,
            **guidance,
            eta=args.eta,
            motion_scale=args.motion_scale,
            motion_mask=mask,
            loop=args.loop,
            strokes=strokes,
            hold=round(args.hold * rate),
            generator=torch.Generator().manual_seed(seed),
            image_fit=args.image_fit,
            output_size=args.output_size,
            subjects=moving.boxes,
            output_type="stream",
            callback_on_step_end=tick,
        )
        if not math.isfinite(output.flow.sum()):
            raise ValueError(
                f"The motion came out as NaN or infinite with {settings['scheduler']} in {steps} steps and {pipe.unet.dtype}; take "
                "another scheduler, more steps, or float32."
            )
        away_from = guidance["negative_prompt"] or [None] * len(prompts)
        return output, [{"guidance_scale": guidance["guidance_scale"], "negative_prompt": own} for own in away_from]

    return make_files(args, pipe, files, settings, make, subjects, len(pipe.scheduler.timesteps))


def apart(given: list[str]) -> tuple[list[str], list[str]]:
    """What stands before the options, as pictures and labels: a label is no file, and has neither a suffix nor a folder."""
    labels = [word for word in given if not Path(word).exists() and not Path(word).suffix and Path(word).name == word]
    return [word for word in given if word not in labels], labels


def choose_labels(pipe: LFDMPipeline, given: list[str] | None, option: str = "--label") -> list[str | None]:
    """The labels to generate, written as the model writes them, each once; [None] for a model that takes none.

    Raises:
        ValueError: for a label that the model does not know; names the closest one and lists all.
    """
    from ..data.labels import normalized_label

    table, free_text = pipe.label_embeddings, pipe.text_encoder is not None
    if not given:
        if table is None and free_text:
            raise ValueError("This model reads text and has no labels of its own; name some with `--label`.")
        return [*pipe.labels] if pipe.labels else [None]
    if table is None and not free_text:
        raise ValueError(f"This model takes no labels; leave them out of `{option}`.")
    chosen: dict[str, str] = {}
    for label in given:
        if table is not None and (table.knows(label) or not free_text):
            try:
                label = table.own_label(label, say=partial(print, file=sys.stderr))
            except ValueError as error:
                hint = " (Pictures stand before `--label`.)" if Path(label).exists() else ""
                raise ValueError(f"`{option}`: {error}{hint}") from error
        elif not label.strip():
            raise ValueError(f"`{option}`: a label must not be empty.")
        chosen.setdefault(normalized_label(label), label)
    return list(chosen.values())


def plan_strokes(given: list | None, pictures: int, num_frames: int) -> list[Stroke] | None:
    """What `--stroke` asks for.

    Raises:
        ValueError: for strokes on several pictures, or at frames that a clip has not.
    """
    from ..pipelines import Stroke

    if given is None:
        return None
    if pictures > 1:
        raise ValueError(f"`--stroke` draws on one picture, got {pictures}.")
    try:
        strokes = [Stroke(*each) for each in given]
        for each in strokes:
            each.arrivals(num_frames)
    except ValueError as error:
        raise ValueError(f"`--stroke`: {error}") from error
    return strokes


def plan_away(pipe: LFDMPipeline, scale: float | None, away_from: str | None) -> str | None:
    """The label of `--negative-prompt`, as the model writes it.

    Raises:
        ValueError: for no guidance, which leads away from nothing, and for a label that the model does not know.
    """
    own = pipe.guidance_of(scale)
    if away_from is None:
        return None
    if own in (0, 1):
        raise ValueError(
            f"`--negative-prompt` needs a `--guidance-scale` other than 0 and 1, by which to lead away from it, got {own:g}."
        )
    return choose_labels(pipe, [away_from], "--negative-prompt")[0]


def what_they_show(
    pipe: LFDMPipeline,
    subjects: Mapping[Path, Subjects],
    names: Sequence[str | None],
    away: str | None,
    scale: float | None,
    image_fit: str,
    read: Callable[[Path], torch.Tensor],
) -> dict[Path, Subjects]:
    """Subjects with what they show already: as `away` says, else as the model sees it where no guidance is asked for, which is said if
    it changes a clip."""
    found = {}
    for picture, moving in subjects.items():
        shown = [away] * len(moving.labels)
        if away is None and scale is None and pipe.guidance_of(None) not in (0, 1):
            with suppress(ValueError):  # it will be left out, and named, with others that cannot be used
                shown = pipe.labels_shown(read(picture), moving.boxes, image_fit)
            plans = [pipe.guidance_away(moving.named(name), shown) for name in names]
            if plan := next((plan for plan in plans if plan["negative_prompt"]), None):
                there = ", ".join(sorted({label for label in shown if label}))
                number = len([label for label in shown if label])
                of_all = f"its {number}" if number == len(shown) else f"{number} of its {len(shown)}"
                whose = "it shows" if len(shown) == 1 else f"{of_all} subjects show"
                print(
                    f"{printable(picture.name)}: {whose} {there} already, and other labels are led away from that: --negative-prompt "
                    f"{there} --guidance-scale {plan['guidance_scale']:g} (`--guidance-scale {pipe.guidance_of(None):g}` does not)",
                    file=sys.stderr,
                )
        found[picture] = replace(moving, shown=shown)
    return found


def plan_steps(pipe: LFDMPipeline, steps: int | None) -> int:
    """The number of denoising steps: as asked for, else the pipeline's default; tried on the scheduler.

    Raises:
        ValueError: if the scheduler cannot take so many.
    """
    from ..pipelines.loading import first_line

    steps = pipe.steps_of(steps)
    trained, name = pipe.scheduler.config.num_train_timesteps, type(pipe.scheduler).__name__
    if steps > trained:
        raise ValueError(
            f"`--steps` must be from 1 to {trained}, the steps that the model was trained for, got {steps}."
        )
    try:
        pipe.scheduler.set_timesteps(steps)
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"`--steps` {steps} does not suit {name}: {first_line(error)}.") from error
    return steps
