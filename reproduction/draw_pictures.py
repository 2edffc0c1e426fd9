#!/usr/bin/env python
"""Draw toon faces again: the pictures that come with the package, and those of docs/toon-faces.md.

    python reproduction/draw_pictures.py

People of a population that no model of ours is trained on.
"""

from pathlib import Path

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from lfdm_diffusers.data.toon_faces import LABELS, ToonClip, toon_clip
from lfdm_diffusers.embedded import ASSETS
from lfdm_diffusers.visualization import as_pixels, flow_in_pixels, flow_to_color

DOCS = Path(__file__).parents[1] / "docs"
SEED = 1  # training uses 0
SUBJECTS = (28, 20, 7, 9, 12, 21)


def draw(subject: int, label: str, num_frames: int, size: int, style: str = "painted") -> ToonClip:
    return toon_clip(SEED, subject, label, num_frames=num_frames, size=size, style=style)


def flow_row(subject: int, label: str, size: int = 160) -> np.ndarray:
    """Reference, driving frame, flow, visibility, and the reference warped where visible: `(size, 5 * size, 3)` uint8."""
    clip = draw(subject, label, 3, size)
    flow, visibility = clip.flow(0, 1)
    reference = torch.from_numpy(clip.frames[0]).permute(2, 0, 1)[None].float() / 255
    warped = F.grid_sample(reference, torch.from_numpy(flow).permute(1, 2, 0)[None], align_corners=False)
    visible = visibility[0, :, :, None]
    tiles = [
        flow_to_color(flow_in_pixels(flow, size, size)),
        np.repeat(visible, 3, axis=2),
        warped[0].permute(1, 2, 0).numpy() * visible,
    ]
    return np.concatenate([clip.frames[0], clip.frames[1], *map(as_pixels, tiles)], axis=1)


def main() -> None:
    for number, subject in enumerate(SUBJECTS, start=1):
        picture = PIL.Image.fromarray(draw(subject, "neutral", 1, 256).frames[0])
        picture.save(ASSETS / "pictures" / f"face-{number}.png", optimize=True)

    for name, style, subjects in (("toon-faces", "painted", SUBJECTS), ("toon-faces-ink", "ink", SUBJECTS[:2])):
        rows = [[draw(i, label, 3, 112, style).frames[1] for label in LABELS] for i in subjects]
        picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
        PIL.Image.fromarray(picture).save(DOCS / f"{name}.webp", quality=90)

    people = zip((*SUBJECTS, 4), LABELS)
    frames = np.concatenate([draw(i, label, 20, 96).frames for i, label in people], axis=2)
    first, *others = (PIL.Image.fromarray(frame) for frame in frames)
    first.save(DOCS / "toon-faces-animated.webp", save_all=True, append_images=others, duration=90, loop=0, quality=85)

    rows = [flow_row(SUBJECTS[0], "happiness"), flow_row(SUBJECTS[2], "surprise")]
    PIL.Image.fromarray(np.concatenate(rows)).save(DOCS / "toon-faces-flow.webp", quality=90)
    print(f"wrote {len(SUBJECTS)} pictures to {ASSETS / 'pictures'}, and four to {DOCS}")


if __name__ == "__main__":
    main()
