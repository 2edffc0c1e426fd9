#!/usr/bin/env python
"""docs/photograph.webp: what the package's model of people makes of the package's photograph, every label at its own size.

python reproduction/draw_photograph.py
"""

from __future__ import annotations

import numpy as np
import PIL.Image
import torch
from draw_generated import save

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.embedded import embedded_model, embedded_photographs
from lfdm_diffusers.pipelines.rendering import Box

SHOWN = (104, 0, 344, 240)  # left, top, right, bottom: what is drawn of the photograph


def photograph_clip(pipe: LFDMPipeline, label: str) -> np.ndarray:
    """The photograph and a label, `(F, H, W, 3)`, uint8."""
    ((path, face),) = embedded_photographs().items()
    picture, subjects = PIL.Image.open(path), [Box(*face)]
    guidance = pipe.guidance_away([label], pipe.labels_shown(picture, subjects))  # as `lfdm generate` does it
    options = {"output_size": "picture", "output_type": "stream", "generator": torch.Generator().manual_seed(0)}
    (frames,) = pipe(picture, [label], subjects=subjects, **options, **guidance).frames
    return np.stack(list(frames))


def shown(frames: np.ndarray) -> np.ndarray:
    """The face and what is around it."""
    left, top, right, bottom = SHOWN
    return frames[:, top:bottom, left:right]


def main() -> None:
    pipe = LFDMPipeline.from_pretrained(embedded_model())
    ((path, _),) = embedded_photographs().items()
    clips = {"the photograph": shown(np.asarray(PIL.Image.open(path))[None])}
    clips |= {label: shown(photograph_clip(pipe, label)) for label in pipe.labels}
    save("photograph", {title: clip / 255 for title, clip in clips.items()}, columns=4, scale=1)


if __name__ == "__main__":
    main()
