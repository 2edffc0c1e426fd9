#!/usr/bin/env python
"""How strongly labels move unseen people, and whether motions are those of their label, by guidance: the table of people128's card.

python reproduction/label_strength.py --data_dir people128 --pipeline lfdm_diffusers/assets/people128 --guidance_scale 1 2 2.5

A label's motion is its mean flow at the apex (`APEX`), over clips, less the mean of all labels. Its strength is that of generated clips as a
share of that of true ones (least squares). A generated clip counts as right if its own flow at the apex is nearest to the true mean of its
label. Where lips part the warped picture cannot be kept: how far the occlusion falls there, at the apex of `OPENING`, is given for both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.motion_maps import motion_maps, residual_motion
from lfdm_diffusers.ops.warp import sampling_grid

APEX = slice(6, 15)  # of 24 frames
OPENING = "surprise"  # what opens the mouth
DARKEST = 6  # places of the lower middle of the picture that are averaged


def label_means(flows: list[torch.Tensor], of: list[str], labels: list[str]) -> torch.Tensor:
    """Mean flow of each label's clips, `(labels, 2, h, w)`."""
    return torch.stack(
        [torch.stack([flow for flow, label in zip(flows, of) if label == each]).mean(0) for each in labels]
    )


def lowest(occlusion: torch.Tensor) -> float:
    """Mean of the `DARKEST` places of a clip's occlusion `(F, 1, h, w)`, averaged over the apex, about the mouth."""
    mean = occlusion[APEX, 0].float().mean(0)
    h, w = mean.shape
    return mean[h // 2 :, w // 4 : 3 * w // 4].flatten().sort().values[:DARKEST].mean().item()


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="people drawn with --with-flow")
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--guidance_scale", type=float, nargs="+", default=[1.0])
    parser.add_argument("--people", type=int, default=5, help="of the split test, of whom clips are generated")
    args = parser.parse_args()

    pipe = LFDMPipeline.from_pretrained(args.pipeline)
    pipe.set_progress_bar_config(disable=True)
    side, labels = pipe.sample_size, pipe.labels
    places = pipe.lfae.flow_size(side, side)
    clips = [clip for clip in find_clips(args.data_dir) if clip.split == "test"]
    motions = [motion_maps(*residual_motion(clip, side, side), places) for clip in clips]
    true = [flow[APEX].mean(0) for flow, _ in motions]
    opened = [lowest(seen) for (_, seen), clip in zip(motions, clips) if clip.label == OPENING]
    wanted = label_means(true, [clip.label for clip in clips], labels)
    departure = wanted - wanted.mean(0)
    first = {
        clip.subject: clip for clip in reversed(clips)
    }  # of each person, one clip, whose first frame is the picture
    pictures = [read_clip(first[subject], [0])[0] for subject in sorted(first)[: args.people]]
    rest = sampling_grid(*places, centers=True).movedim(-1, 0)
    print(
        f"true strength {departure.square().mean().sqrt() * side / 2:.3f} pixels; {len(pictures)} people, {len(labels)} labels; "
        f"occlusion of {OPENING} {mean(opened):.2f}"
    )
    for guidance in args.guidance_scale:
        found, of, opened = [], [], []
        for number, picture in enumerate(pictures):
            for label in labels:
                output = pipe(
                    picture,
                    label,
                    guidance_scale=guidance,
                    generator=torch.Generator().manual_seed(number),
                    output_type="latent",
                )
                found.append(output.flow[0, APEX].float().mean(0) - rest)
                of.append(label)
                if label == OPENING:
                    opened.append(lowest(output.occlusion[0]))
        made = label_means(found, of, labels)
        made = made - made.mean(0)
        strength = float((made * departure).sum() / departure.square().sum())
        nearest = [labels[int((wanted - flow).square().mean((1, 2, 3)).argmin())] for flow in found]
        right = sum(a == b for a, b in zip(nearest, of)) / len(of)
        print(
            f"guidance {guidance:g}: strength {strength:.2f}, nearest to their label {right:.2f}, occlusion {mean(opened):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
