"""The subjects of a picture, which each have a motion: boxes, masks, and faces found in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..data.framing import SIDE, frame_of_face
from ..data.picture_fitting import Picture, to_rgb_tensors
from .motion import Mask, mask_tensor
from .rendering import BORDER, Box

Subject = Box | Mask

LONGEST = 1280  # faces are looked for in a picture of at most so many pixels a side
SMALLEST = 1 / 25  # side of a face, as a share of the picture's shorter side
NEIGHBOURS = 5  # findings that agree on a face; fewer find more that is none
# A finding counts where an eye is found in its upper part as well: window blinds, emblems and hands have none. One that takes this
# share of the picture's shorter side counts by itself: a drawn face, whose eyes are not found, fills its picture.
LARGE = 1 / 3
UPPER = (0.12, 0.6)  # rows of a finding in which eyes are looked for
FINDING = 160  # its side for that, in pixels: eyes of 20 to 60 pixels
# Middles of the eyes and of the mouth in the square that OpenCV's detector of faces from the front gives, as shares of its side.
EYES = np.array([[0.31, 0.385], [0.69, 0.385]])
MOUTH = np.array([0.5, 0.81])
# So much smaller may a frame become, and so far be moved (training moves frames as far), as shares of its side, to stay in the
# picture: a portrait that is all face has no more around it.
SMALLER, MOVED = 0.3, 0.07

MOST_BEYOND = 4  # times as long as the picture's longer side a box may be


def find_subjects(image: Picture, face_frame: float | None = None) -> list[Box]:
    """Faces in a picture, framed as models of faces are trained, from the left to the right: `subjects` for a call.

    OpenCV's cascades of Haar features find faces that look towards the camera, and the eyes in them; `frame_of_face` says how much
    around them is framed.
    A frame that would reach beyond the picture is made a little smaller, and moved a little.

    Args:
        image: one picture, as in `LFDMPipeline.__call__`.
        face_frame: side of a frame in distances from the eyes to the mouth, as the model was trained: `pipe.config.get("face_frame")`.
            None is 4.3, as `lfdm data people` frames.

    Returns:
        Squares in the picture's pixels, which may reach beyond it; none where no face is found.

    Raises:
        ValueError: for several pictures, and where OpenCV is not installed.
    """
    pictures = to_rgb_tensors(image)
    if len(pictures) != 1:
        raise ValueError(f"`image` must be one picture, got {len(pictures)}.")
    try:
        import cv2
    except ImportError as error:
        raise ValueError(
            f"Finding faces needs OpenCV: pip install 'lfdm_diffusers[subjects]', or give boxes ({error})."
        ) from error
    (picture,) = pictures
    height, width = picture.shape[-2:]
    pixels = np.ascontiguousarray((picture * 255).round().byte().permute(1, 2, 0).numpy())
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    factor = min(1.0, LONGEST / max(height, width))
    if factor < 1:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    library: Any = cv2
    faces, eyes = (
        cv2.CascadeClassifier(f"{library.data.haarcascades}haarcascade_{name}.xml")
        for name in ("frontalface_alt2", "eye")
    )
    smallest = max(20, round(min(grey.shape) * SMALLEST))
    found = faces.detectMultiScale(grey, 1.1, NEIGHBOURS, minSize=(smallest, smallest))

    def is_face(x: int, y: int, side: int) -> bool:
        if side >= LARGE * min(grey.shape):
            return True
        face = cv2.resize(grey[y : y + side, x : x + side], (FINDING, FINDING))
        upper = face[round(UPPER[0] * FINDING) : round(UPPER[1] * FINDING)]
        return len(eyes.detectMultiScale(upper, 1.05, 3, minSize=(20, 20), maxSize=(60, 60))) > 0

    squares = sorted((x / factor, y / factor, side / factor) for x, y, side, _ in found if is_face(x, y, side))
    return [_framed(np.array([x, y]), side, height, width, face_frame or SIDE) for x, y, side in squares]


def _framed(corner: np.ndarray, side: float, height: int, width: int, face_frame: float = SIDE) -> Box:
    """The frame of a face that the detector found in a picture of this size."""
    middle, frame = frame_of_face(corner + EYES * side, corner + MOUTH * side, face_frame)
    frame = min(frame, max((1 - SMALLER) * frame, min(height, width)))
    far = MOVED * frame
    sides = []
    for centre, of_picture in zip(middle, (width, height)):
        low, high = frame / 2, of_picture - frame / 2  # where the centre of a frame in the picture is
        wanted = np.clip(centre, low, high) if low <= high else of_picture / 2
        sides.append(centre + np.clip(wanted - centre, -far, far))
    x, y = sides
    return Box(*(float(value) for value in (x - frame / 2, y - frame / 2, x + frame / 2, y + frame / 2)))


def check_subjects(subjects: Sequence[Subject] | None, pictures: Sequence[torch.Tensor]) -> list[torch.Tensor | None]:
    """For each subject its mask `(H, W)` of the picture's size, or None for a Box.

    Raises:
        ValueError: for what is no list of boxes and masks of one picture.
    """
    if subjects is None:
        return []
    if not isinstance(subjects, (list, tuple)) or not subjects:
        raise ValueError(f"`subjects` must be a non-empty list of Box and masks, got {subjects!r}.")
    if len(pictures) != 1:
        raise ValueError(f"`subjects` are of one picture, but `image` holds {len(pictures)}.")
    masks: list[torch.Tensor | None] = []
    size = tuple(pictures[0].shape[-2:])
    for subject in subjects:
        if isinstance(subject, Box):
            subject.check_inside(*size)
            longest, most = max(subject.right - subject.left, subject.bottom - subject.top), MOST_BEYOND * max(size)
            if longest > most:  # what the model sees of it is cut out, the continued border too
                raise ValueError(
                    f"`subjects` must be at most {most} pixels wide and high in this picture, got {subject}."
                )
            masks.append(None)
            continue
        if isinstance(subject, (tuple, list, str)):
            raise ValueError(f"`subjects` must be a non-empty list of Box and masks, got {subject!r} in it.")
        mask = mask_tensor(subject, "subjects")
        if tuple(mask.shape) != size or not mask.any():
            what = f"{tuple(mask.shape)}" if mask.any() else "one that is 0 everywhere"
            raise ValueError(f"`subjects`: a mask must have the picture's size {size} and show something, got {what}.")
        masks.append(mask)
    return masks


def box_of_mask(mask: torch.Tensor) -> Box:
    """The rectangle of all that a mask `(H, W)` shows, with room around it in which a motion fades out."""
    rows, columns = (mask.amax(dim=axis).nonzero().flatten() for axis in (1, 0))
    top, bottom, left, right = rows[0].item(), rows[-1].item() + 1, columns[0].item(), columns[-1].item() + 1
    x, y = (BORDER / (1 - BORDER) * side / 2 for side in (right - left, bottom - top))
    return Box(left - x, top - y, right + x, bottom + y)
