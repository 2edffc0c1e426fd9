"""Draws the sheets of docs/people.md: faces and their expressions, people from head to foot and what they do.

python reproduction/draw_people.py docs
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from lfdm_diffusers.data.people.clip import people_clip
from lfdm_diffusers.data.people.expressions import LABELS
from lfdm_diffusers.data.people.moves import BODY_LABELS
from lfdm_diffusers.data.people.standing import body_clip

FACES, FACES_ACROSS, FACE_SIZE = 64, 8, 128
EXPRESSIVE = (3, 12, 20, 37)  # people, of every age, whose expressions are shown side by side
BODIES, BODIES_ACROSS, BODY_SIZE = 48, 12, 96
FRAMES, SHOWN = 16, (0, 3, 6, 8, 10, 13)  # of a clip, in the sheet of actions


def apex(subject: int, label: str, take: int) -> np.ndarray:
    return people_clip(0, subject, label, take, num_frames=5, size=FACE_SIZE).frames[2]


def sheets() -> dict[str, np.ndarray]:
    """Pictures (rows, columns, H, W, 3) of each file."""
    faces = [apex(k, LABELS[k % len(LABELS)], 1) for k in range(FACES)]
    people = [body_clip(0, k, BODY_LABELS[k % len(BODY_LABELS)], 1, 5, BODY_SIZE).frames[2] for k in range(BODIES)]
    strips = [body_clip(0, k, label, 0, FRAMES, BODY_SIZE).frames[list(SHOWN)] for k, label in enumerate(BODY_LABELS)]
    return {
        "people": np.stack(faces).reshape(-1, FACES_ACROSS, *faces[0].shape),
        "people-expressions": np.stack([[apex(k, label, 0) for label in LABELS] for k in EXPRESSIVE]),
        "bodies": np.stack(people).reshape(-1, BODIES_ACROSS, *people[0].shape),
        "bodies-actions": np.stack(strips).reshape(-1, 2 * len(SHOWN), *strips[0].shape[1:]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the sheets go")
    folder = parser.parse_args().folder
    for name, pictures in sheets().items():
        rows, columns, height, width = pictures.shape[:4]
        sheet = pictures.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
        Image.fromarray(sheet).save(folder / f"{name}.webp", quality=80, method=6)
        print(f"wrote {folder / name}.webp")


if __name__ == "__main__":
    main()
