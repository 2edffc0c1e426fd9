"""Draw the app's gallery: bundled pictures and what the bundled model makes of them, as small animated WebP, and the clip that plays
when the page opens.

    python reproduction/draw_gallery.py        # lfdm_diffusers/assets/gallery/, half a minute
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageSequence
import torch

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.picture_reading import open_picture
from lfdm_diffusers.data.video_writing import write_clips
from lfdm_diffusers.embedded import embedded_model, embedded_pictures

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "lfdm_diffusers" / "assets" / "gallery"
PHOTOGRAPH = ROOT / "docs" / "photograph.webp"  # of `draw_photograph.py`
CELLS = {"happiness": (4, 273), "anger": (248, 4), "surprise": (736, 273)}  # left and top of clips in it
CELL = 240
SHOWN = [(0, "happiness"), (2, "surprise"), (1, "anger"), (4, "sadness"), (5, "happiness"), (3, "disgust")]
SIDE, FPS, QUALITY = 144, 10, 60


def save_tile(name: str, frames: list[PIL.Image.Image]) -> None:
    first, *others = (frame.resize((SIDE, SIDE), PIL.Image.Resampling.LANCZOS) for frame in frames)
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
        save_tile(name, [PIL.Image.fromarray(frame) for frame in frames])
        if number == 0:
            write_clips({GALLERY / f"{name}.mp4": "mp4"}, frames, FPS, generated=True)
    photographs()


def photographs() -> None:
    """What the model of people made of a photograph, before the drawn faces."""
    with PIL.Image.open(PHOTOGRAPH) as grid:
        shown = [frame.convert("RGB") for frame in PIL.ImageSequence.Iterator(grid)]
    for label, (left, top) in CELLS.items():
        box = (left, top, left + CELL, top + CELL)
        save_tile(f"0-photograph-{label}", [frame.crop(box) for frame in shown])


if __name__ == "__main__":
    main()
