"""Draws the sheets of docs/people.md: faces and their expressions, people from head to foot and what they do.

python reproduction/draw_people.py docs
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from lfdm_diffusers.data.captions import ACTIONS, Action, Specification
from lfdm_diffusers.data.captions.timing import TO_AND_FRO
from lfdm_diffusers.data.captions.vocabulary import SIDES
from lfdm_diffusers.data.people.clip import clip_number, people_clip
from lfdm_diffusers.data.people.expressions import LABELS, rest
from lfdm_diffusers.data.people.moves import BODY_LABELS
from lfdm_diffusers.data.people.person import Person
from lfdm_diffusers.data.people.standing import body_clip

FACES, FACES_ACROSS, FACE_SIZE = 64, 8, 128
EXPRESSIVE = (3, 12, 20, 37)  # people whose expressions are shown side by side
BODIES, BODIES_ACROSS, BODY_SIZE = 48, 12, 96
# The actions of the language that are no label's, in its order, and how many stand in a row of their sheet.
SINGLE = {name: words for name, words in ACTIONS.items() if words.part != "face"}
ACTIONS_ACROSS = 4
FRAMES, SHOWN = 16, (0, 3, 6, 8, 10, 13)  # of a clip, in the sheet of actions


def apex(subject: int, label: str, take: int) -> np.ndarray:
    return people_clip(0, subject, label, take, num_frames=5, size=FACE_SIZE).frames[2]


def people() -> np.ndarray:
    faces = np.stack([apex(k, LABELS[k % len(LABELS)], 1) for k in range(FACES)])
    return faces.reshape(-1, FACES_ACROSS, *faces.shape[1:])


def expressions() -> np.ndarray:
    return np.stack([[apex(k, label, 0) for label in LABELS] for k in EXPRESSIVE])


def bodies() -> np.ndarray:
    labels = [BODY_LABELS[k % len(BODY_LABELS)] for k in range(BODIES)]
    figures = np.stack([body_clip(0, k, label, 1, 5, BODY_SIZE).frames[2] for k, label in enumerate(labels)])
    return figures.reshape(-1, BODIES_ACROSS, *figures.shape[1:])


def actions() -> np.ndarray:
    clips = [body_clip(0, k, label, 0, FRAMES, BODY_SIZE) for k, label in enumerate(BODY_LABELS)]
    strips = np.stack([clip.frames[list(SHOWN)] for clip in clips])
    return strips.reshape(-1, 2 * len(SHOWN), *strips.shape[2:])


def sentences() -> np.ndarray:
    """The first frame and a later one of people who do single actions, as strong as can be: on their left, where there are sides."""
    pairs = []
    for k, (name, words) in enumerate(SINGLE.items()):
        does = Specification((Action(name, SIDES[words.sides][-2:][0], "strong" if words.graded else "plain"),))
        person = Person.sample(0, 5 * k + 2)
        take = next(t for t in range(99) if rest(person, clip_number(does, t), 1, 0).before[1] == 0)  # a face at rest
        pairs.append(people_clip(0, person, does, take, 9, FACE_SIZE).frames[[0, 2 if name in TO_AND_FRO else 4]])
    pairs += [np.full_like(pairs[0], 255)] * (-len(pairs) % ACTIONS_ACROSS)
    return np.stack(pairs).reshape(-1, ACTIONS_ACROSS * 2, FACE_SIZE, FACE_SIZE, 3)


SHEETS = {
    "people": people,
    "people-expressions": expressions,
    "bodies": bodies,
    "bodies-actions": actions,
    "people-actions": sentences,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the sheets go")
    parser.add_argument(
        "--only", choices=SHEETS, nargs="+", default=list(SHEETS), help="sheets to draw (default: all)"
    )
    args = parser.parse_args()
    for name in args.only:
        pictures = SHEETS[name]()  # (rows, columns, H, W, 3)
        rows, columns, height, width = pictures.shape[:4]
        sheet = pictures.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
        Image.fromarray(sheet).save(args.folder / f"{name}.webp", quality=80, method=6)
        print(f"wrote {args.folder / name}.webp")


if __name__ == "__main__":
    main()
