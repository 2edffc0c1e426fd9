#!/usr/bin/env python
"""docs/photograph.webp: what the package's model of people makes of one photograph, every label at the photograph's own size.

python -c "import skimage.data as d, PIL.Image as I; I.fromarray(d.astronaut()).save('astronaut.png')"  # of scikit-image; NASA, public domain
python reproduction/draw_photograph.py astronaut.png
"""

from __future__ import annotations

import sys

import numpy as np
import PIL.Image
import torch
from draw_generated import save

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.embedded import embedded_model
from lfdm_diffusers.pipelines.rendering import Box

SHOWN = (104, 0, 344, 240)  # left, top, right, bottom: what is drawn of the picture
FACE = Box(137, 24, 314, 201)  # as `find_subjects` has it, which may not be installed


def main(path: str) -> None:
    pipe = LFDMPipeline.from_pretrained(embedded_model())
    picture = PIL.Image.open(path).convert("RGB")
    left, top, right, bottom = SHOWN
    clips = {"the photograph": np.asarray(picture.crop(SHOWN))[None] / 255}
    for label in pipe.labels:
        generator = torch.Generator().manual_seed(0)
        (frames,) = pipe(
            picture, label, subjects=[FACE], output_size="picture", output_type="np", generator=generator
        ).frames
        clips[label] = frames[:, top:bottom, left:right]
    save("photograph", clips, columns=4, scale=1)


if __name__ == "__main__":
    main(sys.argv[1])
