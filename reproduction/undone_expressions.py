#!/usr/bin/env python
"""How far a model undoes the expression that a picture begins with: a smile, when the label is neutral.

    python reproduction/undone_expressions.py --data_dir people128 --pipeline lfdm_diffusers/assets/people128 --guidance_scale 1 2

Of clips of `--label` whose first frame shows another expression (`before` in metadata.jsonl, stronger than `STRONG`), the generated flow at
the mouth, late in the clip, is compared with the true one, each less its mean over the mouth, which is the head's. "way" is the share of
the true motion that is gone (least squares; 1: as far), r the correlation; both over all places of all clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.motion_maps import motion_maps, residual_motion
from lfdm_diffusers.data.sampling import sample_indices
from lfdm_diffusers.ops.warp import sampling_grid

STRONG = 0.5
LATE = 0.375, 0.83  # from and to, of a clip


def late(flow: torch.Tensor) -> torch.Tensor:
    """Mean over the late frames of a clip's flow `(F, 2, h, w)`."""
    first, last = (round(share * len(flow)) for share in LATE)
    return flow[first:last].float().mean(0)


def at_mouth(flow: torch.Tensor) -> torch.Tensor:
    """The lower middle of a flow `(2, h, w)`, less its mean."""
    h, w = flow.shape[1:]
    mouth = flow[:, h // 2 : int(0.85 * h), w // 4 : 3 * w // 4]
    return mouth - mouth.mean((1, 2), keepdim=True)


def beginning_otherwise(root: Path, split: str, label: str, before: str) -> list[Clip]:
    """Clips of `label` that begin with the expression `before`."""
    rows = {
        row["file_name"]: row["before"]
        for row in map(json.loads, (root / "metadata.jsonl").read_text(encoding="utf-8").splitlines())
    }

    def wanted(clip: Clip) -> bool:
        first = rows[clip.path.relative_to(root).as_posix()]
        return clip.label == label and first["label"] == before and first["strength"] > STRONG

    return [clip for clip in find_clips(root, split=split) if wanted(clip)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="people drawn with --with-flow")
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--guidance_scale", type=float, nargs="+", default=[1.0])
    parser.add_argument("--negative_prompt", help="label that guidance goes away from, such as that of --before")
    parser.add_argument("--split", default="test")
    parser.add_argument("--label", default="neutral")
    parser.add_argument("--before", default="happiness")
    parser.add_argument("--num_frames", type=int, help="of a clip (default: as trained)")
    parser.add_argument("--clips", type=int, default=20, help="at most")
    args = parser.parse_args()

    pipe = LFDMPipeline.from_pretrained(args.pipeline)
    pipe.set_progress_bar_config(disable=True)
    side = pipe.sample_size
    places = pipe.lfae.flow_size(side, side)
    rest = sampling_grid(*places, centers=True).movedim(-1, 0)
    clips = beginning_otherwise(args.data_dir, args.split, args.label, args.before)[: args.clips]
    if not clips:
        raise SystemExit(f"no clip of {args.label} in {args.data_dir} begins with {args.before}")
    frames = args.num_frames or pipe.num_frames
    true = []
    for clip in clips:
        flow, seen = residual_motion(clip, side, side)
        taken = sample_indices("uniform", len(flow), frames, np.random.default_rng(0))
        true.append(at_mouth(late(motion_maps(flow[taken], seen[taken], places)[0])))
    for guidance in args.guidance_scale:
        made = []
        for number, clip in enumerate(clips):
            output = pipe(
                read_clip(clip, [0])[0],
                args.label,
                guidance_scale=guidance,
                negative_prompt=args.negative_prompt if guidance not in (0, 1) else None,
                num_frames=frames,
                generator=torch.Generator().manual_seed(number),
                output_type="latent",
            )
            made.append(at_mouth(late(output.flow[0]) - rest))
        wanted, found = torch.stack(true), torch.stack(made)
        together, way = (wanted * found).sum(), (wanted * found).sum() / wanted.square().sum()
        r = together / (wanted.square().sum() * found.square().sum()).sqrt()
        print(f"guidance {guidance:g}: way {way:.2f}, r {r:.2f}, of {len(clips)} clips", flush=True)


if __name__ == "__main__":
    main()
