"""What `generate` and `animate` share: find pictures, plan files, make one clip after the other, report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageOps
import torch

from ..data.picture_files import open_picture, picture_files
from ..data.picture_fitting import fitted_size, to_tensors
from ..data.picture_reading import reduced
from ..embedded import DRAWN_MODEL, embedded_model, embedded_photographs, embedded_pictures, model_for
from ..files.names import printable
from ..files.progress import progress_bar
from ..pipelines import Box, LFDMPipeline, LFDMPipelineOutput
from ..pipelines.loading import DTYPES, choose_device, first_line, load_pipeline
from ..pipelines.outlook import default_fit
from ..visualization.clip_files import PictureFiles, default_fps, default_scale, file_name
from ..visualization.clip_views import ClipViews, clip_views
from .subjects import Subjects


def load_chosen_pipeline(args: argparse.Namespace, pictures: Sequence[Path]) -> tuple[LFDMPipeline, str]:
    """The pipeline that the options of `add_model_argument` and `add_device_arguments` choose, else the package's for `pictures`, and
    its name. Pictures are fitted as it was trained, if `--image-fit` does not say.

    Raises:
        ValueError: as `load_pipeline`.
    """
    device = choose_device(args.device)
    model = args.model or embedded_model(model_for(pictures))
    pipe = load_pipeline(model, device, DTYPES[args.dtype])
    args.image_fit = args.image_fit or default_fit(pipe.config.get("face_frame"))
    return pipe, str(args.model or model.name)


def find_pictures(given: list[str], model: str | None = None) -> list[Path]:
    """The pictures that the arguments name, each once, those of folders in their natural order; where they name none, the
    package's photograph, or its first drawn face for its model of those.

    Raises:
        ValueError: if one is not there, or a folder holds none.
    """
    if not given:
        bundled = embedded_pictures() if model == DRAWN_MODEL else [*embedded_photographs()]
        if not bundled:
            raise ValueError("This installation holds no pictures; name one.")
        return bundled[:1]
    found: list[Path] = []
    for path in map(Path, given):
        if not path.exists():
            raise ValueError(f"There is no picture {path}.")
        inside = picture_files(path) if path.is_dir() else [path]
        if path.is_dir():
            _say_others(path, inside)
        if not inside:
            raise ValueError(f"There are no pictures in the folder {path}.")
        found += inside
    return list({path.resolve(): path for path in found}.values())


def _say_others(folder: Path, pictures: list[Path]) -> None:
    """Name what a folder of pictures holds besides them."""
    others = sorted(path for path in {*folder.iterdir()} - {*pictures} if not path.name.startswith("."))
    if others:
        names = ", ".join(printable(path.name) + "/" * path.is_dir() for path in others)
        print(f"left out of {printable(folder)}, as no pictures: {names}", file=sys.stderr)


def check_output(output: Path) -> None:
    """Check, before any work, that the output can be a folder.

    Raises:
        ValueError: if a file stands in the way.
    """
    blocking = next((p for p in (output, *output.absolute().parents) if p.exists()), None)
    if blocking is not None and not blocking.is_dir():
        raise ValueError(f"`--output` must be a folder, but {blocking} is a file.")


def plan_files(
    args: argparse.Namespace,
    pipe: LFDMPipeline,
    pictures: list[Path],
    labels: list[str | None],
    num_frames: int,
    seeds: Sequence[int] = (0,),
    rates: Mapping[Any, float | None] | None = None,
    subjects: Mapping[Path, Subjects] | None = None,
) -> dict[Path, PictureFiles]:
    """Where each picture's files will be.

    Args:
        labels: names of its clips.
        num_frames: of a clip; `default_fps` goes by it where there is no rate.
        seeds: of which each clip is made.
        rates: frames a second of what each is made of.
        subjects: of each picture.

    Raises:
        ValueError: if some are there already, without `--overwrite`.
    """
    small = args.output_size == "model" and not args.subjects  # subjects move in the picture
    taken = {"grid", "sheet", "motion"}
    by_label = {label: file_name(label or "no-label", taken) for label in labels}
    names = {
        seed: {label: f"{name}-seed{seed}" if len(seeds) > 1 else name for label, name in by_label.items()}
        for seed in seeds
    }
    folders: set[str] = set()
    files = {
        picture: PictureFiles(
            folder=Path(args.output, file_name(picture.stem, folders)),
            names=names,
            kinds=args.kinds,
            formats=args.formats,
            fps=args.fps or default_fps(num_frames),
            rates={} if args.fps else {label: default_fps(num_frames, rate) for label, rate in (rates or {}).items()},
            scale=args.scale or (default_scale(pipe.lfae.config.sample_size) if small else 1),
            tile_scale=args.scale if small else None,
            subjects=len(subjects[picture].labels) if subjects else 1,
            mark=args.mark,
        )
        for picture in pictures
    }
    there = [path for plan in files.values() for path in plan.planned() if path.exists()]
    if there and not args.overwrite:
        files_there = f"{there[0]}" if len(there) == 1 else f"{len(there)} files, {there[0]} among them,"
        raise ValueError(f"{files_there} would be replaced; name another `--output`, or give `--overwrite`.")
    return files


def read_picture(path: Path, frame: tuple[int, int, str] | None = None) -> torch.Tensor:
    """The picture, `(3, H, W)` in [0, 1], or `(4, H, W)` with alpha.

    Args:
        frame: height and width of all that is made of it, and how it is fitted: a large picture is then reduced while it is decoded.

    Raises:
        ValueError: if it cannot be read.
    """
    with _told_of(path), open_picture(Path(path)) as image:
        if frame is not None:
            image = reduced(image, *frame)
        image.load()
        return to_tensors(image)[0]


def only_frame(args: argparse.Namespace, pipe: LFDMPipeline) -> tuple[int, int, str] | None:
    """The `frame` of `read_picture` where the model's size is all that is asked for, and nothing is said in the picture's pixels."""
    in_pixels = args.subjects or args.motion_mask or getattr(args, "stroke", None)
    if args.output_size != "model" or in_pixels or pipe.sample_size is None:
        return None
    return *pipe.frame_size([]), args.image_fit


def check_picture(
    path: Path,
    picture: torch.Tensor,
    pipe: LFDMPipeline,
    args: argparse.Namespace,
    plan: PictureFiles,
    boxes: Sequence[Box] | None,
) -> None:
    """Raise a ValueError, before any work, unless a picture fits the model, its boxes, and the formats of `plan`."""
    with _told_of(path):
        source, frame = tuple(picture.shape[-2:]), pipe.frame_size([picture])
        fitted_size(source, *frame, args.image_fit)
        for box in boxes or []:
            box.check_inside(*source)
        own = {"picture": source, "model": source if boxes else frame}
        plan.check(*own.get(args.output_size, args.output_size))


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Turn any error into a ValueError that names the picture."""
    try:
        yield
    except Exception as error:  # Pillow raises many kinds for broken files
        raise ValueError(f"{path} cannot be used: {first_line(error)}.") from error


def read_mask(path: str | None) -> PIL.Image.Image | None:
    """The picture that `--motion-mask` names.

    Raises:
        ValueError: if it cannot be read.
    """
    if path is None:
        return None
    try:
        with open_picture(Path(path)) as image:
            return PIL.ImageOps.exif_transpose(image)  # a copy, with all its numbers
    except Exception as error:  # Pillow raises many kinds for broken files
        raise ValueError(f"`--motion-mask` {path} cannot be used: {first_line(error)}.") from error


def make_files(
    args: argparse.Namespace,
    pipe: LFDMPipeline,
    files: dict[Path, PictureFiles],
    settings: dict,
    make: Callable[[torch.Tensor, Subjects, Any, int, Callable], tuple[LFDMPipelineOutput, list[dict]]],
    subjects: Mapping[Path, Subjects],
    steps: int = 0,
) -> int:
    """Make and write all clips, and report; a picture that cannot be read is left out.

    Args:
        files: of each picture (`plan_files`).
        settings: what the files of motion say about themselves.
        make: called with a picture `(3 or 4, H, W)`, its subjects, a name (a label), a seed, and a callback for each of `steps`
            denoising steps; returns one clip, to be streamed, and settings of each subject's own. Each clip is a call of its own: no bit of it
            depends on what else is made.
        subjects: of each picture.

    Returns:
        The command's exit code: 1 if a picture was left out, else 0.
    """
    failed: dict[Path, str] = {}
    per_clip = steps + 1  # the last is for decoding and writing
    per_picture = per_clip * sum(len(names) for names in next(iter(files.values())).names.values())
    bar_format = "{l_bar}{bar}| {elapsed}<{remaining}"
    with progress_bar(total=per_picture * len(files), unit="step", bar_format=bar_format) as bar, Behind() as behind:

        def tick(pipe: LFDMPipeline, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
            bar.update()
            return {}

        for picture, plan in files.items():
            try:
                tensor, moving = read_picture(picture, only_frame(args, pipe)), subjects[picture]
                check_picture(picture, tensor, pipe, args, plan, moving.boxes)
            except ValueError as error:
                failed[picture] = str(error)
                bar.update(per_picture)
                continue
            for seed, names in plan.names.items():
                clips: dict[str | None, ClipViews] = {}
                for label in names:
                    bar.set_description(printable(f"{picture.name}, {label or 'no label'}"))
                    output, of_subjects = make(tensor, moving, label, seed, tick)
                    same = {"picture": picture.name, "seed": seed, **settings}
                    about = [{"label": own, **same, **more} for own, more in zip(moving.named(label), of_subjects)]
                    # Frames are rendered and written while the next clip is denoised.
                    behind.do(write_clip_of, plan, label, seed, output, tensor, args.image_fit, about, clips)
                    bar.update()
                behind.do(plan.write_all, seed, clips)
        behind.wait()
        bar.set_description("done")
    report(args, settings, files, failed, subjects)
    return 1 if failed else 0


def write_clip_of(
    plan: PictureFiles,
    label: str | None,
    seed: int,
    output: LFDMPipelineOutput,
    picture: torch.Tensor,
    image_fit: str,
    about: Sequence[dict],
    clips: dict[str | None, ClipViews],
) -> None:
    """Write one clip; what others are shown beside is kept in `clips`."""
    views = clip_views(output, picture, image_fit)
    plan.write_one(label, seed, views, about)
    clips[label] = views.beside()


class Behind:
    """A second thread that runs tasks in order while the first goes on; at most one task waits.

    A task's exception is raised by the next `do` or `wait`, or at the end of the block.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._last: Future[Any] | None = None

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def do(self, function: Callable, *arguments: object) -> None:
        """Wait for the task before, then start this one."""
        self.wait()
        self._last = self._pool.submit(function, *arguments)

    def wait(self) -> None:
        """Wait until all tasks are done."""
        if self._last is not None:
            self._last.result()


def report(
    args: argparse.Namespace,
    settings: dict,
    files: dict[Path, PictureFiles],
    failed: dict[Path, str],
    subjects: Mapping[Path, Subjects],
) -> None:
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
                    "subjects": [astuple(box) for box in subjects[picture].boxes or []],
                    "files": plan.written,
                }
                for picture, plan in done.items()
            ],
            "failed": [{"picture": str(picture), "error": error} for picture, error in failed.items()],
        }
        print(json.dumps(content, indent=2))
    else:
        for picture, plan in done.items():
            print("\n".join(summary(picture, plan, "steps" in settings)))
    for error in failed.values():
        print(f"error: {error}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(files)} pictures could not be used", file=sys.stderr)


def summary(picture: Path, plan: PictureFiles, seeded: bool) -> list[str]:
    """Lines that say what was made of a picture, and by which seeds, if by any."""
    count, seeds = sum(len(names) for names in plan.names.values()), list(plan.names)
    seed = "" if not seeded else f", seed {seeds[0]}" if len(seeds) == 1 else f", seeds {seeds[0]} to {seeds[-1]}"
    clips = "clip" if count == 1 else "clips"
    lines = [f"wrote {count} {clips} of {printable(picture.name)} to {printable(plan.folder)}/{seed}"]
    for kind, what in {"grid": "all labels side by side", "sheet": "frames of all labels", "clips": ""}.items():
        names = [Path(file["path"]).name for file in plan.written if file["kind"] == kind]
        if names:
            lines.append(f"  {', '.join(names)}{what and ': '}{what}")
    grown = {
        Path(file["path"]).suffix[1:]: file["added_rows_and_columns"]
        for file in plan.written
        if "added_rows_and_columns" in file and file["kind"] == "clips"
    }
    for format, (rows, columns) in grown.items():
        what = " and ".join(filter(None, ["a row" if rows else "", "a column" if columns else ""]))
        lines.append(
            f"  {format} has {what} more than the clip, its last one twice: H.264 takes even sides alone, webm and others any"
        )
    if "motion" in plan.kinds:
        lines.append("  motion/: flow and occlusion of each clip, as .safetensors and as pictures")
    return lines
