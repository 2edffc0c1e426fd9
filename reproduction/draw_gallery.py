"""Draw the app's gallery: the package's pictures and what its models make of them, as small animated WebP, and the clips that play
when the page opens.

    python reproduction/draw_gallery.py        # lfdm_diffusers/assets/gallery/, a minute
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import torch
from draw_photograph import photograph_clip, shown

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.picture_reading import open_picture
from lfdm_diffusers.data.video_writing import write_clips
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.visualization.clip_files import default_fps

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "lfdm_diffusers" / "assets" / "gallery"
OF_PHOTOGRAPH = ["happiness", "anger", "surprise"]
SHOWN = [(0, "happiness"), (2, "surprise"), (1, "anger"), (4, "sadness"), (5, "happiness"), (3, "disgust")]
SIDE, FPS, QUALITY = 144, 10, 60


def save_tile(name: str, frames: list[np.ndarray]) -> None:
    first, *others = (PIL.Image.fromarray(each).resize((SIDE, SIDE), PIL.Image.Resampling.LANCZOS) for each in frames)
    first.save(
        GALLERY / f"{name}.webp", save_all=True, append_images=others, duration=1000 // FPS, loop=0, quality=QUALITY,
        method=6,
    )  # fmt: skip


def main() -> None:
    GALLERY.mkdir(exist_ok=True)
    pipe = LFDMPipeline.from_pretrained(embedded_model("toon64"))
    pictures = embedded_pictures()
    for number, (place, label) in enumerate(SHOWN):
        with open_picture(pictures[place]) as image:
            output = pipe(
                image, label, output_size="picture", output_type="stream", generator=torch.Generator().manual_seed(0)
            )
        frames = np.stack(list(output.frames[0]))
        name = f"{number + 1}-{pictures[place].stem}-{label}"
        save_tile(name, list(frames))
        if number == 0:
            write_clips({GALLERY / f"{name}.mp4": "mp4"}, frames, FPS, generated=True)
    photographs()


def photographs() -> None:
    """What the model of people makes of the photograph, before the drawn faces."""
    pipe = LFDMPipeline.from_pretrained(embedded_model())
    for label in OF_PHOTOGRAPH:
        frames = photograph_clip(pipe, label)
        save_tile(f"0-photograph-{label}", list(shown(frames)))
        if label == OF_PHOTOGRAPH[0]:
            fps = default_fps(len(frames))
            write_clips({GALLERY / f"0-photograph-{label}.mp4": "mp4"}, frames, fps, generated=True)


if __name__ == "__main__":
    main()
