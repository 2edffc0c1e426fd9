"""What will become of a picture, said before anything is made of it: which subject is found, how it is framed, what moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from .rendering import Box
from .strokes import Stroke, stay_in
from .subjects import find_subjects

FILLS = 0.7  # of the picture's area; a face with a larger frame is the picture
SMALL = 1.0  # times the model's size that a frame must have at least to be sharp


@dataclass(frozen=True)
class Outlook:
    """What will become of one picture.

    Attributes:
        subjects: boxes to give to a call; None frames the picture whole.
        image_fit: how the picture is framed where there are no boxes.
        found: how many faces were found; None where nobody looked.
        sentence: all of it, in one line.
        unlike: distance from the pictures that the model knows (`KnownPictures`), of the furthest subject; beyond 1 lies hardly any of
            them. None where the model does not say what it knows.
    """

    subjects: list[Box] | None
    image_fit: str
    found: int | None
    sentence: str
    unlike: float | None = None

    def judged(self, distances: Sequence[float]) -> Outlook:
        """With how far each subject (or the whole picture) is from those that the model knows."""
        said = unknown_kind(distances)
        return replace(self, unlike=max(distances, default=None), sentence=f"{self.sentence} {said}".strip())


def unknown_kind(distances: Sequence[float]) -> str:
    """A sentence about pictures that are not of the kind that a model knows; "" where there are none."""
    far = [distance for distance in distances if distance > 1]
    if not far:
        return ""
    which = "this picture is" if len(distances) == 1 else f"{len(far)} of {len(distances)} subjects are"
    which = which[:1].upper() + which[1:]
    return f"{which} not of the kind that the model knows ({max(far):.1f} times the limit): expect a worse clip."


def outlook(
    picture: torch.Tensor,
    face_frame: float | None,
    sample_size: int | None,
    image_fit: str | None = None,
    strokes: Sequence[Stroke] | None = None,
    whole: bool = False,
) -> Outlook:
    """What a model makes of a picture `(3 or 4, H, W)` if nothing else is asked for.

    A model of faces moves every face that is found, and leaves the rest as it is; it never sees black bars. Other models see the whole
    picture.

    Args:
        face_frame: how faces were framed in training; None for a model of something else.
        sample_size: side of the model's frames in pixels.
        image_fit: as asked for; None is `default_fit`.
        strokes: what is drawn on it; one that leaves the faces takes the whole picture along.
        whole: look for no faces, as where clips have the model's size.
    """
    height, width = picture.shape[-2:]
    fit = image_fit or default_fit(face_frame)
    square = abs(height - width) <= 0.02 * max(height, width)
    if square:
        framed = "the whole picture is framed"
    elif fit == "center_crop":
        framed = "the middle square of the picture is framed, and the rest of it " + (
            "is cut off" if whole else "stays"
        )
    else:
        framed = "the whole picture is framed, on black for the model, which does not come back"
    side = min(height, width) if fit == "center_crop" else max(height, width)
    if face_frame is None:
        return Outlook(None, fit, None, f"{framed}.{_soft(side, sample_size)}")
    framed = f"{framed}, as if a face filled it"
    if whole:
        return Outlook(None, fit, None, f"{framed}.{_soft(side, sample_size)}")
    try:
        boxes = find_subjects(picture, face_frame)
    except ValueError:  # there is no detector
        why = "faces are not looked for, which needs `pip install 'lfdm_diffusers[subjects]'`"
        return Outlook(None, fit, None, f"{why}; {framed}.{_soft(side, sample_size)}")
    if not boxes:
        none = f"no face was found; {framed}, and this model knows faces alone."
        return Outlook(None, fit, 0, f"{none}{_soft(side, sample_size)}")
    areas = [(box.right - box.left) * (box.bottom - box.top) / (height * width) for box in boxes]
    if len(boxes) == 1 and areas[0] >= FILLS:
        filled = f"a face fills the picture; {framed.removesuffix(', as if a face filled it')}."
        return Outlook(None, fit, 1, f"{filled}{_soft(side, sample_size)}")
    if strokes and not stay_in(strokes, boxes):
        left = f"a stroke leaves the faces that were found; {framed}."
        return Outlook(None, fit, len(boxes), f"{left}{_soft(side, sample_size)}")
    where = ", ".join(
        f"{max(0, box.left):.0f},{max(0, box.top):.0f},{box.right - box.left:.0f},{box.bottom - box.top:.0f}"
        for box in boxes
    )
    what = "a face was found and moves" if len(boxes) == 1 else f"{len(boxes)} faces were found and move"
    few = _soft(min(box.right - box.left for box in boxes), sample_size)
    return Outlook(boxes, fit, len(boxes), f"{what}, the rest of the picture stays ({where}).{few}")


def _soft(side: float, sample_size: int | None) -> str:
    """A sentence about a frame that has fewer pixels than the model's; "" for others."""
    return f" A frame of {side:.0f} pixels is small: it will be soft." if side < SMALL * (sample_size or 0) else ""


def default_fit(face_frame: float | None) -> str:
    """How a picture is framed if nobody says: a model of faces has never seen black bars."""
    return "letterbox" if face_frame is None else "center_crop"
