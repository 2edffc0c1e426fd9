"""How a face is framed, in made data, training and use alike."""

from __future__ import annotations

import numpy as np

SIDE = 4.3  # of the square, in distances from the middle of the eyes to the mouth
DOWN = 0.22  # how far the square's middle lies below the middle of the eyes, in the same unit
EYES_APART = 0.95  # distance of the eyes that stands for one of eyes and mouth, when the face looks up or down


def frame_of_face(eyes: np.ndarray, mouth: np.ndarray, side: float = SIDE) -> tuple[np.ndarray, float]:
    """The upright square around a face.

    The unit is the distance of the middle of the eyes and the middle of the mouth, or 0.95 times the distance of the eyes if that
    is more (it is when the face looks up or down); the square's side is 4.3 units, and its middle lies 0.22 units from the eyes
    towards the mouth. For a face from the front that gives the head with hair, chin and neck.

    Args:
        eyes: (2, 2) middles of both eyes, x right and y down, in any unit.
        mouth: (2,) middle of the mouth.
        side: of the square, in that unit.

    Returns:
        middle (2,) and side of the square, in the same unit.
    """
    eyes, mouth = np.asarray(eyes, float), np.asarray(mouth, float)
    middle = eyes.mean(0)
    down = float(np.linalg.norm(mouth - middle))
    unit = max(down, EYES_APART * float(np.linalg.norm(eyes[0] - eyes[1])))
    return middle + DOWN * unit * (mouth - middle) / max(down, 1e-9), side * unit
