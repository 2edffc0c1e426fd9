"""Draws docs/bodies.webp and docs/bodies-actions.webp: people from head to foot, and what they do.

python reproduction/draw_bodies.py docs
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from lfdm_diffusers.data.people.moves import BODY_LABELS
from lfdm_diffusers.data.people.standing import body_clip

PEOPLE, ACROSS = 48, 12  # of the sheet of people
FRAMES, SHOWN = 16, (0, 3, 6, 8, 10, 13)  # of a clip, in the sheet of actions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the sheets go")
    parser.add_argument("--size", type=int, default=96, help="pixels of a person's side (default: 96)")
    args = parser.parse_args()
    people = [body_clip(0, k, BODY_LABELS[k % len(BODY_LABELS)], 1, 5, args.size).frames[2] for k in range(PEOPLE)]
    save(args.folder / "bodies.webp", np.stack(people).reshape(-1, ACROSS, *people[0].shape))
    strips = [body_clip(0, k, label, 0, FRAMES, args.size).frames[list(SHOWN)] for k, label in enumerate(BODY_LABELS)]
    save(args.folder / "bodies-actions.webp", np.stack(strips).reshape(-1, 2 * len(SHOWN), *strips[0].shape[1:]))


def save(path: Path, pictures: np.ndarray) -> None:
    """Pictures (rows, columns, H, W, 3) as one sheet."""
    rows, columns, height, width = pictures.shape[:4]
    Image.fromarray(pictures.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)).save(
        path, quality=80, method=6
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
