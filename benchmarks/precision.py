#!/usr/bin/env python
"""What half precision changes in the videos of the model that comes with the package.

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
from lfdm_diffusers.command_tools import DTYPES
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.whole_files import write_json


def sample(pipe: LFDMPipeline, picture: PIL.Image.Image, label: str, output_type: str, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return pipe(picture, label, generator=generator, output_type=output_type).frames.float().cpu()


@torch.no_grad()
def compare(device: torch.device, dtype: torch.dtype, pictures: int) -> dict[str, float]:
    """Mean and largest differences over all videos."""
    pipes = [LFDMPipeline.from_pretrained(embedded_model()).to(device, kind) for kind in (torch.float32, dtype)]
    found: dict[str, list[torch.Tensor]] = {"latent": [], "pixels": [], "decoding alone": [], "two seeds": []}
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
    for path in embedded_pictures()[:pictures]:
        picture = PIL.Image.open(path).convert("RGB")
        encoded = [pipe.encode_image(picture) for pipe in pipes]
        for label in pipes[0].labels:
            latents = [sample(pipe, picture, label, "latent") for pipe in pipes]
            videos = [sample(pipe, picture, label, "pt") for pipe in pipes]
            decoded = [
                pipe.decode_latents(latents[0].to(device), one).frames.float().cpu()
                for pipe, one in zip(pipes, encoded)
            ]
            other = sample(pipes[0], picture, label, "pt", seed=1)
            pairs = {"latent": latents, "pixels": videos, "decoding alone": decoded, "two seeds": (videos[0], other)}
            for name, (ours, theirs) in pairs.items():
                found[name].append((ours - theirs).abs())
    values = {name: torch.stack(differences) for name, differences in found.items()}
    return {name: {"mean": value.mean().item(), "largest": value.max().item()} for name, value in values.items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("precision.json"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["bfloat16", "float16"])
    parser.add_argument("--pictures", type=int, default=3)
    args = parser.parse_args(argv)
    device = torch.device(args.device)
    differences = {name: compare(device, DTYPES[name], args.pictures) for name in args.dtypes}
    for name, rows in differences.items():
        print(
            name, ", ".join(f"{what}: {row['mean']:.2g} (at most {row['largest']:.2g})" for what, row in rows.items())
        )
    content = {"differences": differences, "software": software(), "hardware": hardware(device)}
    write_json(args.output, content)


if __name__ == "__main__":
    main()
