#!/usr/bin/env python
"""The README's picture, and those of docs/motion.md: each motion control, by the model that comes with the package.

python reproduction/draw_generated.py
"""

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import torch

from lfdm_diffusers import LFDMPipeline, Motion, Stroke
from lfdm_diffusers.data.toon_faces import toon_clip
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.pipelines.rendering import Box
from lfdm_diffusers.visualization import clip_grid, enlarge

DOCS = Path(__file__).parents[1] / "docs"
MILLISECONDS = 100  # a frame
SEED = 3


class Studio:
    """A pipeline, and clips of it as arrays `(F, H, W, 3)`."""

    def __init__(self) -> None:
        self.pipe = LFDMPipeline.from_pretrained(embedded_model("toon64"))
        self.pipe.set_progress_bar_config(disable=True)
        self.faces = [PIL.Image.open(path).convert("RGB") for path in embedded_pictures()]

    def generate(self, face: int, label: str, seed: int = SEED, **options) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        return self.pipe(self.faces[face], label, generator=generator, output_type="np", **options).frames[0]

    def motion(self, face: int, label: str) -> Motion:
        generator = torch.Generator().manual_seed(SEED)
        return self.pipe(self.faces[face], label, generator=generator, output_type="latent").motion()

    def animate(self, face: int, motion: Motion) -> np.ndarray:
        return self.pipe.animate(self.faces[face], motion, output_type="np").frames[0]


def save(name: str, clips: dict[str, np.ndarray], columns: int | None = None, scale: int = 2) -> None:
    """Clips in a grid (in one row by default), each repeated until the longest has been shown whole, as animated WebP."""
    longest = max(map(len, clips.values()))
    clips = {title: clip[np.arange(longest) % len(clip)] for title, clip in clips.items()}
    frames = clip_grid(list(clips.values()), list(clips), scale=scale, columns=columns or len(clips))
    first, *others = (PIL.Image.fromarray(frame) for frame in frames)
    path = DOCS / f"{name}.webp"
    first.save(path, save_all=True, append_images=others, duration=MILLISECONDS, loop=0, quality=82)
    print(f"wrote {path.name}: {frames.shape[2]}x{frames.shape[1]}, {path.stat().st_size // 1024} KB")


def upper_face(size: int = 64) -> PIL.Image.Image:
    """A mask: white above the tip of the nose, with an edge of a few pixels."""
    edge = np.clip((0.6 * size - np.arange(size)) / 6 + 0.5, 0, 1)
    return PIL.Image.fromarray(np.repeat(np.uint8(edge * 255)[:, None], size, axis=1))


LARGE = 320  # pixels of a face that is shown at its own size
TWO = {604: "anger", 603: "happiness"}  # people whom the model has not seen, and what they do


def large_face(subject: int, size: int = LARGE) -> np.ndarray:
    """The first frame of a person whom the model has not seen, `(size, size, 3)`."""
    return toon_clip(0, subject, "neutral", num_frames=1, size=size).frames[0]


def at_full_size(pipe: LFDMPipeline) -> None:
    """A clip of the model's size beside one of the picture's, and two people in one picture."""
    options = {"num_inference_steps": 4, "output_type": "np"}

    def seeded(count: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(SEED) for _ in range(count)]

    picture = PIL.Image.fromarray(large_face(601))
    small = pipe(picture, "happiness", generator=seeded(1), **options).frames[0]
    large = pipe(picture, "happiness", generator=seeded(1), output_size="picture", **options).frames[0]
    clips = {
        "the model's 64 pixels": enlarge(np.uint8(small * 255), LARGE // 64) / 255,
        f"the picture's {LARGE}": large,
    }
    save("full-size", clips, scale=1)
    two_people(pipe)


def two_people(pipe: LFDMPipeline) -> None:
    """The README's first picture: a photograph of two people, each doing something else, at its own size."""
    side, border = 440, 30
    scene = np.full((side + 2 * border, 2 * side + 3 * border, 3), (236, 232, 224), dtype=np.uint8)
    boxes = []
    for number, subject in enumerate(TWO):
        top, left = border, border + number * (side + border)
        scene[top : top + side, left : left + side] = large_face(subject, side)
        boxes.append(Box(left, top, left + side, top + side))
    generators = [torch.Generator().manual_seed(SEED) for _ in boxes]
    both = pipe(
        PIL.Image.fromarray(scene), list(TWO.values()), subjects=boxes, generator=generators, output_type="np"
    ).frames[0]
    given = np.repeat(scene[None] / 255, 3, axis=0)  # the picture is seen first
    save("two-subjects", {"anger, and happiness": np.concatenate((given, both))}, scale=1)


def again_and_again(studio: Studio) -> None:
    loops = {"as generated": None, "loop=True": True, "ease": "ease", "ping_pong": "ping_pong"}
    save("motion-loop", {title: studio.generate(2, "surprise", loop=loop) for title, loop in loops.items()})


def longer(studio: Studio) -> None:
    slow = studio.animate(4, studio.motion(4, "happiness").resampled(48))
    clips = {f"{count} frames": studio.generate(4, "happiness", num_frames=count) for count in (16, 48)}
    save("motion-length", clips | {"16, resampled to 48": slow})


def with_strokes(studio: Studio) -> None:
    """A smile that goes up on one side, with a raised brow; arrows in the first picture."""
    arrows = [((24, 49), (22, 48)), ((40, 49), (45, 44)), ((41, 20), (42, 16))]
    picture = studio.faces[0].resize((64, 64), PIL.Image.Resampling.LANCZOS)
    drawn = picture.resize((512, 512), PIL.Image.Resampling.LANCZOS)
    pen = PIL.ImageDraw.Draw(drawn)
    for here, there in arrows:
        (x, y), (u, v) = ((8 * a, 8 * b) for a, b in (here, there))
        pen.line((x, y, u, v), fill="white", width=6)
        pen.ellipse((u - 8, v - 8, u + 8, v + 8), fill="white")
    shown = np.asarray(drawn.resize((64, 64), PIL.Image.Resampling.LANCZOS))[None] / 255
    strokes = [Stroke([here, there], frames=8) for here, there in arrows]
    clips = {}
    for title, given in {"happiness": None, "happiness, with strokes": strokes}.items():
        generator = torch.Generator().manual_seed(SEED)
        clips[title] = studio.pipe(picture, "happiness", generator=generator, output_type="np", strokes=given).frames[
            0
        ]
    save("motion-strokes", {"drawn": shown} | clips, scale=3)


def main() -> None:
    studio = Studio()
    at_full_size(studio.pipe)
    faces = {"reference": np.asarray(studio.faces[0].resize((64, 64), PIL.Image.Resampling.LANCZOS))[None] / 255}
    expressions = {label: studio.generate(0, label, seed=0) for label in studio.pipe.labels}
    save("toon64", faces | expressions, columns=4, scale=3)
    rise = np.concatenate((np.linspace(0, 1.3, 8), np.linspace(1.3, 0, 8)))
    save(
        "motion-scale",
        {f"{scale:g}": studio.generate(0, "happiness", motion_scale=scale) for scale in (0, 0.5, 1, 1.5)}
        | {"0 to 1.3 and back": studio.generate(0, "happiness", motion_scale=rise)},
    )
    mask = upper_face()
    shown = np.repeat(np.asarray(mask)[..., None], 3, axis=2)[None] / 255
    masked = {label: studio.generate(1, label, motion_mask=mask) for label in ("surprise", "happiness")}
    save("motion-mask", {"mask": shown} | {f"{label}, masked": clip for label, clip in masked.items()})
    again_and_again(studio)
    one, other = studio.motion(3, "happiness"), studio.motion(3, "surprise")
    weights = {"happiness": 0, "1/3": 1 / 3, "2/3": 2 / 3, "surprise": 1, "in time": np.linspace(0, 1, len(one))}
    save("motion-blend", {title: studio.animate(3, one.blended(other, weight)) for title, weight in weights.items()})
    motion = studio.motion(0, "disgust")
    save(
        "motion-others",
        {title: studio.animate(face, motion) for face, title in enumerate(("generated for", "given to", " ", "  "))},
    )
    driving = toon_clip(0, 611, "surprise", num_frames=16, size=64).frames
    moved = {
        f"picture {face}": studio.animate(face, studio.pipe.transfer(studio.faces[face], driving))
        for face in (1, 4, 5)
    }
    save("motion-transfer", {"driving clip": driving / 255.0} | moved)
    longer(studio)
    with_strokes(studio)


if __name__ == "__main__":
    main()
