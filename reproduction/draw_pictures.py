#!/usr/bin/env python
"""Draw toon faces again: the pictures that come with the package, and those of docs/toon-faces.md and docs/text.md.

    python reproduction/draw_pictures.py

People of a population that no model of ours is trained on.
"""

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import torch
import torch.nn.functional as F

from lfdm_diffusers.data.captions import ACTIONS, STRENGTHS, Action, Specification
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


def captioned(tiles: list[np.ndarray], text: str) -> np.ndarray:
    """Pictures in a row, below what they show."""
    row = PIL.Image.fromarray(np.concatenate(tiles, axis=1))
    picture = PIL.Image.new("RGB", (row.width, row.height + 18), "white")
    picture.paste(row, (0, 18))
    PIL.ImageDraw.Draw(picture).text((3, 2), text, fill="black", font=PIL.ImageFont.load_default(13))
    return np.asarray(picture)


def action_sheet(size: int = 100) -> np.ndarray:
    """Single actions, at rest and at each of their strengths, and two sequences over time."""
    singles = [
        ("brows_up", "left"), ("eyes_close", "right"), ("look_aside", "left"), ("smile", "right"), ("mouth_open", ""),
        ("mouth_pucker", ""), ("bare_teeth", ""), ("nose_wrinkle", ""), ("turn", "left"), ("tilt", "right"),
    ]  # fmt: skip
    rows = []
    for number, (name, side) in enumerate(singles):
        strengths = STRENGTHS if ACTIONS[name].graded else ("plain",) * 3
        clips = [
            toon_clip(SEED, SUBJECTS[number % 4], Specification((Action(name, side, how),)), 0, 3, size)
            for how in strengths
        ]
        said = ", ".join(strengths) if ACTIONS[name].graded else "closed"
        title = f"{name.replace('_', ' ')} {side}".strip()
        rows.append(captioned([clips[0].frames[0], *(clip.frames[1] for clip in clips)], f"{title}: at rest, {said}"))
    for subject, says, actions in (
        (7, "looks up, then laughs", (Action("look_up", "", "plain", 0.06, 0.5), Action("happiness", "", "strong", 0.5, 0.95))),
        (9, "nods, then winks with the left eye", (Action("nod", "", "strong", 0.06, 0.5), Action("eyes_close", "left", "plain", 0.5, 0.95))),
    ):  # fmt: skip
        frames = toon_clip(SEED, subject, Specification(actions), 0, 17, size).frames
        rows.append(captioned(list(frames[[0, 3, 5, 7, 8, 10, 12, 14]]), says))
    pairs = [np.concatenate(rows[i : i + 2], axis=1) for i in range(0, len(singles), 2)]
    return np.concatenate([*pairs, *rows[len(singles) :]])


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
    PIL.Image.fromarray(action_sheet()).save(DOCS / "text.webp", quality=88)
    print(f"wrote {len(SUBJECTS)} pictures to {ASSETS / 'pictures'}, and five to {DOCS}")


if __name__ == "__main__":
    main()
