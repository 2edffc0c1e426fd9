#!/usr/bin/env python
"""What half precision changes in the videos of toon64.

    python benchmarks/precision.py --output docs/performance/precision.json

Each label of each bundled picture from the same noise in float32 and in another precision, by the model's own sampler; and the
pictures of the same latents, decoded in both. Differences are mean absolute ones: latents in units of the noise at the start,
pixels of [0, 1].
"""

from __future__ import annotations

import argparse
from pathlib import Path

import PIL.Image
import torch

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.pipelines.loading import DTYPES

SEEDS = (0, 1)  # videos of the second show what another noise changes


class Videos:
    """What the model makes in one precision: by picture and label, latents and the pixels that they are decoded to."""

    def __init__(self, device: torch.device, dtype: torch.dtype, pictures: int, labels: int | None):
        self.pipe = LFDMPipeline.from_pretrained(embedded_model("toon64")).to(device, dtype)
        self.pipe.set_progress_bar_config(disable=True)
        opened = [PIL.Image.open(path).convert("RGB") for path in embedded_pictures()[:pictures]]
        self.asked = [(picture, label) for picture in opened for label in self.pipe.labels[:labels]]

    def latents(self, seed: int) -> list[torch.Tensor]:
        """`(1, 3, F, h, w)` of each picture and label."""
        generator = torch.Generator()
        return [
            self.pipe(picture, label, generator=generator.manual_seed(seed), output_type="latent").frames
            for picture, label in self.asked
        ]

    def decoded(self, latents: list[torch.Tensor]) -> list[torch.Tensor]:
        """`(1, F, 3, H, W)` of latents of any precision."""
        encoded = [self.pipe.encode_image(picture) for picture, _ in self.asked]
        return [self.pipe.decode_latents(latent, one).frames for latent, one in zip(latents, encoded)]


def difference(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> dict[str, float]:
    values = torch.stack([(a.float() - b.float()).abs().cpu() for a, b in zip(ours, theirs)])
    return {"mean": values.mean().item(), "largest": values.max().item()}


@torch.no_grad()
def compare(
    device: torch.device, dtypes: list[str], pictures: int, labels: int | None
) -> dict[str, dict[str, dict[str, float]]]:
    """By precision: mean and largest differences over all videos from those of float32."""
    exact = Videos(device, torch.float32, pictures, labels)
    latents, other = (exact.latents(seed) for seed in SEEDS)
    pixels = exact.decoded(latents)
    two_seeds = difference(pixels, exact.decoded(other))
    found = {}
    for name in dtypes:
        half = Videos(device, DTYPES[name], pictures, labels)
        own = half.latents(SEEDS[0])
        found[name] = {
            "latent": difference(own, latents),
            "pixels": difference(half.decoded(own), pixels),
            "decoding alone": difference(half.decoded(latents), pixels),
            "two seeds": two_seeds,
        }
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("precision.json"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["bfloat16", "float16"])
    parser.add_argument("--pictures", type=int, default=3)
    parser.add_argument("--labels", type=int, help="only the first so many")
    args = parser.parse_args(argv)
    device = torch.device(args.device)
    differences = compare(device, args.dtypes, args.pictures, args.labels)
    for name, rows in differences.items():
        print(
            name, ", ".join(f"{what}: {row['mean']:.2g} (at most {row['largest']:.2g})" for what, row in rows.items())
        )
    content = {"differences": differences, "software": software(), "hardware": hardware(device)}
    write_json(args.output, content)


if __name__ == "__main__":
    main()
