"""`lfdm generate`: pictures and labels in, clips with their grid, sheet and motion out."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from tqdm import tqdm

from .command_tools import (
    DTYPES,
    add_sampling_arguments,
    choose_device,
    first_line,
    load_pipeline,
    number,
    quiet_libraries,
    some_of,
    whole_number,
    with_exit_codes,
)
from .data.picture_files import frame_files
from .data.video_writing import SUFFIXES
from .embedded import embedded_model, embedded_pictures
from .generated_files import KINDS, PictureFiles, default_scale, file_name
from .models.label_embeddings import normalized_label
from .pipelines import LFDMPipeline
from .pipelines.picture_fitting import FITS, fit_picture, to_rgb_tensors
from .schedulers import scheduler_by_name

SECONDS = 1.6  # what a clip of the trained length takes by default: 10 frames a second for 16, 25 for 40
EXAMPLES = """
examples:
  all labels of the model that comes with the package, on a picture that comes with it:
    %(prog)s
  your own picture, two labels:
    %(prog)s face.png --label happiness surprise
  every picture of a folder, other timing, stronger motion, GIFs only:
    %(prog)s faces/ --seed 7 --motion-scale 1.3 --formats gif --kinds clips
  a model of your own, or one of the Hub; its scheduler in ten steps of another kind:
    %(prog)s face.png --model lfdm-mug128 --scheduler ddim --steps 10
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    # argparse's own would put the pictures behind the labels, which would take them for more labels.
    parser.usage = "%(prog)s [IMAGE ...] [--label L ... | --all-labels] [--model M] [--output DIR] [options]"
    what = parser.add_argument_group("what to generate")
    what.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="pictures, or folders of pictures (default: one that comes with the package)",
    )
    labels = what.add_mutually_exclusive_group()
    labels.add_argument(
        "--label", nargs="+", action="extend", metavar="L", help="labels; or text, if the model reads it"
    )
    labels.add_argument("--all-labels", action="store_true", help="all labels the model knows (default)")
    what.add_argument(
        "--model", metavar="FOLDER|HUB_ID", help="pipeline (default: the one that comes with the package)"
    )
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
        help="clips of each picture and label, of seed, seed + 1, ... (default: 1)",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--num-frames", type=whole_number(1, 1000), metavar="N", help="default: as trained")
    add_sampling_arguments(how)
    how.add_argument(
        "--motion-scale",
        type=number(-100, 100),
        default=1.0,
        metavar="S",
        help="0 is still, 1 as generated, more exaggerates (default: 1)",
    )
    how.add_argument(
        "--image-fit",
        choices=FITS,
        default=FITS[0],
        help="how pictures of other proportions are fitted: whole on black, or cut (default: letterbox)",
    )
    files = parser.add_argument_group("the files")
    files.add_argument(
        "--output", default="outputs", metavar="DIR", help="gets a folder for each picture (default: outputs)"
    )
    files.add_argument(
        "--formats",
        type=some_of(tuple(SUFFIXES)),
        default=["gif", "mp4"],
        metavar="A,B",
        help=f"of what moves, some of {','.join(SUFFIXES)}; png is a folder of frames (default: gif,mp4)",
    )
    files.add_argument(
        "--kinds",
        type=some_of(KINDS),
        default=list(KINDS),
        metavar="A,B",
        help="clips, grid (all labels side by side), sheet (frames of all labels), motion (flow and occlusion as "
        "safetensors and as pictures); default: all",
    )
    files.add_argument(
        "--fps", type=whole_number(1, 50), metavar="N", help="default: so that a clip takes 1.6 seconds"
    )
    files.add_argument(
        "--scale",
        type=whole_number(1, 64),
        metavar="N",
        help="each pixel becomes NxN (default: what brings a clip nearest to 256 pixels)",
    )
    files.add_argument("--overwrite", action="store_true", help="replace files of an earlier run")
    files.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


@with_exit_codes
def run(args: argparse.Namespace) -> int:
    """Generate; returns 0, or 1 if some pictures could not be used."""
    pictures = find_pictures(args.images)
    check_output(Path(args.output))
    device = choose_device(args.device)
    model = args.model or embedded_model()
    pipe = load_pipeline(model, device, DTYPES[args.dtype])
    labels = choose_labels(pipe, args.label)
    if args.scheduler is not None:
        with quiet_libraries():
            pipe.scheduler = scheduler_by_name(args.scheduler, pipe.scheduler)
    steps = plan_steps(pipe, args.steps)
    files = plan_files(args, pipe, pictures, labels)
    settings = {
        "model": str(args.model or model.name),
        "scheduler": type(pipe.scheduler).__name__,
        "steps": steps,
        "guidance_scale": args.guidance_scale,
        "eta": args.eta,
        "motion_scale": args.motion_scale,
        "num_frames": args.num_frames or pipe.unet.config.num_frames,
        "fps": next(iter(files.values())).fps,
    }
    failed = generate(pipe, pictures, files, settings, args.image_fit)
    report(args, settings, files, failed)
    return 1 if failed else 0


def find_pictures(given: list[str]) -> list[Path]:
    """The pictures that the arguments name, each once, those of folders in their natural order.

    Raises:
        ValueError: if one is not there, or a folder holds none.
    """
    if not given:
        if not (bundled := embedded_pictures()):
            raise ValueError("This installation holds no pictures; name one.")
        return bundled[:1]
    found: list[Path] = []
    for path in map(Path, given):
        if not path.exists():
            raise ValueError(f"There is no picture {path}.")
        inside = frame_files(path) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"There are no pictures in the folder {path}.")
        found += inside
    return list({path.resolve(): path for path in found}.values())


def check_output(output: Path) -> None:
    """Refuse a folder that cannot be one, before any work is done.

    Raises:
        ValueError: if a file stands in the way.
    """
    blocking = next((p for p in (output, *output.absolute().parents) if p.exists()), None)
    if blocking is not None and not blocking.is_dir():
        raise ValueError(f"`--output` must be a folder, but {blocking} is a file.")


def choose_labels(pipe: LFDMPipeline, given: list[str] | None) -> list[str | None]:
    """The labels to generate, written as the model writes them, each once; [None] for a model that takes none.

    Raises:
        ValueError: for a label that the model does not know; names the closest one and lists all.
    """
    table, free_text = pipe.label_embeddings, pipe.text_encoder is not None
    if not given:
        if table is None and free_text:
            raise ValueError("This model reads text and has no labels of its own; name some with `--label`.")
        return list(pipe.labels or [None])
    if table is None and not free_text:
        raise ValueError("This model takes no labels; leave out `--label`.")
    chosen = {}
    for label in given:
        if table is not None and (table.knows(label) or not free_text):
            try:
                label = table.labels[table.label_ids(label)[0]]
            except ValueError as error:
                hint = " (Pictures stand before `--label`.)" if Path(label).exists() else ""
                raise ValueError(f"`--label`: {error}{hint}") from error
        elif not label.strip():
            raise ValueError("`--label` must not be empty.")
        chosen.setdefault(normalized_label(label), label)
    return list(chosen.values())


def plan_steps(pipe: LFDMPipeline, steps: int | None) -> int:
    """The number of denoising steps: as asked for, else the pipeline's default; tried on the scheduler.

    Raises:
        ValueError: if the scheduler cannot take so many.
    """
    steps = pipe.default_steps() if steps is None else steps
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


def plan_files(
    args: argparse.Namespace, pipe: LFDMPipeline, pictures: list[Path], labels: list[str | None]
) -> dict[Path, PictureFiles]:
    """Where each picture's files will be.

    Raises:
        ValueError: if some are there already, without `--overwrite`.
    """
    seeds = range(args.seed, args.seed + args.num_videos)
    taken = {"grid", "sheet", "motion"}
    by_label = {label: file_name(label or "no-label", taken) for label in labels}
    names = {
        seed: {label: f"{name}-seed{seed}" if len(seeds) > 1 else name for label, name in by_label.items()}
        for seed in seeds
    }
    side = pipe.lfae.config.sample_size or 128
    folders: set[str] = set()
    files = {
        picture: PictureFiles(
            folder=Path(args.output, file_name(picture.stem, folders)),
            names=names,
            kinds=args.kinds,
            formats=args.formats,
            fps=args.fps or min(50, max(1, round(pipe.unet.config.num_frames / SECONDS))),
            scale=args.scale or default_scale(side),
        )
        for picture in pictures
    }
    there = [path for plan in files.values() for path in plan.planned() if path.exists()]
    if there and not args.overwrite:
        files_there = f"{there[0]}" if len(there) == 1 else f"{len(there)} files, {there[0]} among them,"
        raise ValueError(f"{files_there} would be replaced; name another `--output`, or give `--overwrite`.")
    return files


def read_picture(path: Path, pipe: LFDMPipeline, fit: str) -> torch.Tensor:
    """The picture as the model sees it, `(3, H, W)` in [0, 1].

    Raises:
        ValueError: if it cannot be read or fitted.
    """
    try:
        with PIL.Image.open(path) as image:
            image.load()
            (picture,) = to_rgb_tensors(image)
            return fit_picture(picture, *pipe.frame_size([picture]), fit)
    except Exception as error:  # Pillow raises many kinds for broken files
        raise ValueError(f"{path} cannot be used: {first_line(error)}.") from error


def generate(
    pipe: LFDMPipeline, pictures: list[Path], files: dict[Path, PictureFiles], settings: dict, fit: str
) -> dict[Path, str]:
    """Generate and write all clips; a picture that cannot be read is left out.

    Each clip is a call of the pipeline of its own, with a generator of its own: so it does not depend, in any bit, on
    what else is generated.

    Returns:
        What is wrong, by picture.
    """
    failed: dict[Path, str] = {}
    per_clip = len(pipe.scheduler.timesteps) + 1  # the last is for decoding and writing
    per_picture = per_clip * sum(len(names) for names in next(iter(files.values())).names.values())
    with tqdm(total=per_picture * len(pictures), unit="step", bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:

        def tick(pipe: LFDMPipeline, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
            bar.update()
            return {}

        for picture in pictures:
            plan = files[picture]
            try:
                tensor = read_picture(picture, pipe, fit)
            except ValueError as error:
                failed[picture] = str(error)
                bar.update(per_picture)
                continue
            reference = as_uint8(tensor.permute(1, 2, 0).numpy())
            for seed, names in plan.names.items():
                clips = {}
                for label in names:
                    bar.set_description(f"{picture.name}, {label or 'no label'}")
                    output = pipe(
                        tensor,
                        label,
                        num_frames=settings["num_frames"],
                        num_inference_steps=settings["steps"],
                        guidance_scale=settings["guidance_scale"],
                        eta=settings["eta"],
                        motion_scale=settings["motion_scale"],
                        generator=torch.Generator().manual_seed(seed),
                        output_type="np",
                        callback_on_step_end=tick,
                    )
                    if not math.isfinite(output.flow.sum()):
                        raise ValueError(
                            f"The motion came out as NaN or infinite with {settings['scheduler']} in {settings['steps']} "
                            f"steps and {pipe.unet.dtype}; take another scheduler, more steps, or float32."
                        )
                    clips[label] = as_uint8(output.frames[0])
                    about = {"picture": picture.name, "label": label, "seed": seed, **settings}
                    motion = output.flow[0].float().cpu(), output.occlusion[0].float().cpu()
                    plan.write_one(label, seed, reference, clips[label], as_uint8(output.warped[0]), *motion, about)
                    bar.update()
                plan.write_all(seed, reference, clips)
        bar.set_description("done")
    return failed


def as_uint8(pictures: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] as uint8."""
    return np.round(pictures * 255).astype(np.uint8)


def report(args: argparse.Namespace, settings: dict, files: dict[Path, PictureFiles], failed: dict[Path, str]) -> None:
    """Say what was written and where, and which pictures were left out."""
    done = {picture: plan for picture, plan in files.items() if picture not in failed}
    if args.json:
        content = {
            **settings,
            "output": str(args.output),
            "pictures": [
                {
                    "picture": str(picture),
                    "folder": str(plan.folder),
                    "files": plan.written,
                }
                for picture, plan in done.items()
            ],
            "failed": [{"picture": str(picture), "error": error} for picture, error in failed.items()],
        }
        print(json.dumps(content, indent=2))
    else:
        for picture, plan in done.items():
            print("\n".join(summary(picture, plan)))
    for error in failed.values():
        print(f"error: {error}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(files)} pictures could not be used", file=sys.stderr)


def summary(picture: Path, plan: PictureFiles) -> list[str]:
    """Lines that say what was made of a picture."""
    count = sum(len(names) for names in plan.names.values())
    lines = [f"wrote {count} {'clip' if count == 1 else 'clips'} of {picture.name} to {plan.folder}/"]
    for kind, what in {"grid": "all labels side by side", "sheet": "frames of all labels", "clips": ""}.items():
        names = [Path(file["path"]).name for file in plan.written if file["kind"] == kind]
        if names:
            lines.append(f"  {', '.join(names)}{what and ': '}{what}")
    if "motion" in plan.kinds:
        lines.append("  motion/: flow and occlusion of each clip, as .safetensors and as pictures")
    return lines
