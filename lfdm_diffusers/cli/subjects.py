"""`--subjects` of `generate` and `animate`: which parts of a picture move, and which of them by a label of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..embedded import DRAWN_MODEL, embedded_photographs
from ..files.names import printable

# Functions import what loads torch, so that `--help` does not wait for it.
if TYPE_CHECKING:
    import torch

    from ..pipelines import Box, LFDMPipeline, Stroke

AUTO, WHOLE = "auto", "whole"


@dataclass(frozen=True)
class Subjects:
    """The parts of one picture that move.

    Attributes:
        boxes: theirs; None where the picture is framed whole.
        labels: of each box, its own; None for that of the clip.
        shown: what each shows already (`LFDMPipeline.labels_shown`), or is said to.
    """

    boxes: list[Box] | None = None
    labels: list[str | None] = field(default_factory=lambda: [None])
    shown: list[str | None] = field(default_factory=lambda: [None])

    def named(self, name: str | None) -> list[str | None]:
        """The label of each subject in the clip of this name."""
        return [name if own is None else own for own in self.labels]


def subject(text: str) -> str | tuple[tuple[float, ...], str | None]:
    """The option's `type`: "auto", "whole", or left, top, width, height and any label of X,Y,W,H:LABEL."""
    if text.strip().lower() in (AUTO, WHOLE):
        return text.strip().lower()
    numbers, _, label = text.partition(":")
    try:
        x, y, width, height = (float(number) for number in numbers.split(","))
    except ValueError:
        x, y, width, height = 0.0, 0.0, 0.0, 0.0
    if width > 0 and height > 0 and max(map(abs, (x, y, width, height))) < 1e6:
        return (x, y, width, height), label.strip() or None
    raise argparse.ArgumentTypeError(
        f"must be auto, whole, or X,Y,WIDTH,HEIGHT in pixels with or without :LABEL, got {text!r}"
    )


def add_subject_argument(group: argparse._ArgumentGroup, what: str) -> None:
    """Which parts of a picture move; `what` is what a part may have of its own."""
    group.add_argument(
        "--subjects",
        nargs="+",
        action="extend",
        type=subject,
        metavar=f"auto|whole|X,Y,W,H[:{what}]",
        help="parts of the picture that move, the rest stays: faces that are found (auto), or boxes in pixels (left, top, width, "
        f"height), each with its own {what.lower()} or that of the clip (default: faces, if the model is one of "
        "faces and the clip has not the model's size; else the whole picture)",
    )


def subjects_of(
    given: Sequence[Any] | None,
    pictures: Sequence[Path],
    read: Callable[[Path], torch.Tensor],
    pipe: LFDMPipeline,
    output_size: str | tuple[int, int],
    image_fit: str | None = None,
    strokes: Sequence[Stroke] | None = None,
) -> dict[Path, Subjects]:
    """The subjects of each picture, and one line on stderr for each of what becomes of it, where nobody said.

    Args:
        given: of the option.
        read: reads a picture; a ValueError is none of this function's.
        pipe: says how its pictures were framed.
        output_size, image_fit, strokes: as asked for. For clips of the model's size faces are not looked for unasked.

    Raises:
        ValueError: for `auto` beside boxes, and where the detector of faces is not installed.
    """
    from ..pipelines import Box, find_subjects

    face_frame = pipe.config.get("face_frame")
    if not given or given == [WHOLE]:
        whole = bool(given) or output_size == "model"
        return {picture: _foreseen(picture, read, pipe, image_fit, strokes, whole) for picture in pictures}
    if AUTO not in given and WHOLE not in given:
        boxes = [Box(x, y, x + width, y + height) for (x, y, width, height), _ in given]
        return {picture: Subjects(boxes, [label for _, label in given]) for picture in pictures}
    if len(given) > 1:
        raise ValueError("`--subjects` must be auto alone, whole alone, or boxes alone.")
    found = {}
    for picture in pictures:
        try:
            tensor = read(picture)
        except ValueError:  # it will be left out, and named, with others that cannot be used
            found[picture] = Subjects()
            continue
        boxes = find_subjects(tensor, face_frame)
        if not boxes:
            print(
                f"no face was found in {picture}, which is framed whole; say where its subjects are with --subjects X,Y,WIDTH,HEIGHT",
                file=sys.stderr,
            )
        found[picture] = Subjects(boxes, [None] * len(boxes)) if boxes else Subjects()
    return found


def _foreseen(
    path: Path,
    read: Callable[[Path], torch.Tensor],
    pipe: LFDMPipeline,
    image_fit: str | None,
    strokes: Sequence[Stroke] | None,
    whole: bool,
) -> Subjects:
    """What becomes of a picture by itself (`LFDMPipeline.outlook`), which is said."""
    from ..pipelines.strokes import stay_in

    own = None if whole else own_face(path)
    if own is not None and stay_in(strokes or [], [own]):  # needs no detector
        print(f"{printable(path.name)}: its face moves, the rest of the picture stays.", file=sys.stderr)
        return Subjects([own])
    try:
        seen = pipe.outlook(read(path), image_fit, strokes, whole)
    except ValueError:  # it will be left out, and named, with others that cannot be used
        return Subjects()
    told = f"{printable(path.name)}: {seen.sentence}"
    if seen.found == 0 and seen.unlike is None:  # this model does not say what it knows
        told += f" (`--model {DRAWN_MODEL}` knows drawn faces, and says how like them a picture is.)"
    print(told, file=sys.stderr)
    return Subjects(seen.subjects, [None] * len(seen.subjects)) if seen.subjects else Subjects()


def own_face(path: Path) -> Box | None:
    """Where the face is in a photograph of the package; None for any other picture."""
    from ..pipelines import Box

    faces = {photograph.resolve(): face for photograph, face in embedded_photographs().items()}
    face = faces.get(path.resolve())
    return None if face is None else Box(*face)


def clip_names(
    given: Sequence[Any] | None, names: Sequence[str | None], known: Callable[[str], str | None]
) -> tuple[list[Any], Sequence[Any] | None]:
    """The clips of a picture, one for each name, or a single one where every subject has its own.

    Args:
        given: of the option.
        names: labels, or what else clips are called by.
        known: a name as the model (or the command) writes it; raises a ValueError for one that there is none of.

    Returns:
        The names of the clips, and `given` with its names as `known` writes them.
    """
    if not given or AUTO in given or WHOLE in given:
        return list(names), given
    given = [(box, None if label is None else known(label)) for box, label in given]
    own = [label for _, label in given]
    return ([" + ".join(own)] if all(own) else list(names)), given
