"""Check the folder that the README's main command made: it loads by the base class and makes a video of the right size.

`python tests/check_converted.py FOLDER`. The weights may be stand-ins, so nothing is said of what the video shows.
"""

from __future__ import annotations

import sys

import torch
from diffusers import DDIMScheduler, DiffusionPipeline

import lfdm_diffusers  # noqa: F401  (registers its classes)
from lfdm_diffusers.presets import PRESETS

pipe = DiffusionPipeline.from_pretrained(sys.argv[1], local_files_only=True)
labels = list(PRESETS["mug128"].labels)
assert pipe.labels == labels, pipe.labels
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
picture = torch.rand(3, 150, 100, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    output = pipe(picture, labels[3], num_inference_steps=2, output_type="pt", decode_chunk_size=8)
assert output.frames.shape == (1, 40, 3, 128, 128), output.frames.shape
assert output.flow.shape == (1, 40, 2, 32, 32), output.flow.shape
for name, value in (("frames", output.frames), ("flow", output.flow), ("occlusion", output.occlusion)):
    assert torch.isfinite(value).all(), f"{name} holds NaN or infinite values"
assert output.frames.std() > 0.01, "the video is blank"
print(f"{sys.argv[1]}: {len(labels)} labels, video {tuple(output.frames.shape)}, all finite")
