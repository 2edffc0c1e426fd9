#!/usr/bin/env python
"""Draw the pictures that come with the package, again: people of a population that no model of ours is trained on."""

from pathlib import Path

import PIL.Image

from lfdm_diffusers.data.toon_faces import toon_clip
from lfdm_diffusers.embedded import ASSETS

SEED = 1  # training uses 0
SUBJECTS = (28, 20, 7, 9, 12, 21)


def main(folder: Path = ASSETS / "pictures") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, subject in enumerate(SUBJECTS, start=1):
        frame = toon_clip(SEED, subject, "neutral", num_frames=1, size=256).frames[0]
        PIL.Image.fromarray(frame).save(folder / f"face-{number}.png", optimize=True)
    print(f"wrote {len(SUBJECTS)} pictures to {folder}")


if __name__ == "__main__":
    main()
