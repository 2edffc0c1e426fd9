#!/usr/bin/env python
"""A start for a U-Net's summary of the picture: which facial actions a face shows already, learnt from rendered people, who are known.

    python reproduction/start_picture_summary.py --data_dirs people128 --pipeline lfdm_diffusers/assets/people128 \
        --output people128-summary --minutes 8

A linear layer behind the summary, which is thrown away, reads the strength of each action in a frame off it. The blocks that it is made of
learn with it, and go on giving the U-Net nearly what they gave; the rest of the U-Net keeps its weights. A U-Net that has a summary learns a
better one: of more people (`lfdm data people --num-frames 5` draws many in little time). `training/train_unet.py`
then goes on from the pipeline that is written, with `--pretrained_model_name_or_path`. The loss of whole videos hardly teaches it: a head
that turns moves far more than a mouth.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.augmentation import augment_clip, degrade
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.dataset import to_tensor
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.people.actions import ACTIONS
from lfdm_diffusers.data.reframing import draw_framing, reframe
from lfdm_diffusers.training.starting_unet import with_picture_reader

BATCH, DECAY = 32, 0.1
RATE, RATE_OF_BLOCKS = 1e-3, 3e-4
NOISE = 0.3  # of latent maps: share of their deviation
DROPPED = 0.2  # of the summary's features
REFRAMED = 0.1  # as `--reframe`
DEGRADED = 0.5  # as `--degrade`
SEEN = 0.05  # the deviation of an action's strength from which it is told
SMILE = [i for i, name in enumerate(ACTIONS) if name.startswith("mouthSmile")]


class Faces(NamedTuple):
    """Of N pictures: latent maps `(N, C, h, w)`, and the strength of each action `(N, A)`."""

    latents: torch.Tensor
    actions: torch.Tensor


def mirrored(name: str) -> str:
    """The action of the other side of the face."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


MIRRORED = [ACTIONS.index(mirrored(name)) for name in ACTIONS]


@torch.inference_mode()
def read_faces(pipe: LFDMPipeline, roots: list[Path], split: str, frames: int, seed: int) -> Faces:
    """Some frames of each clip of a split that the metadata list; for training half of them mirrored and half degraded, all in other colours and
    frames."""
    rng, training = np.random.default_rng(seed), split == "train"
    found, shown = [], []
    for root in roots:
        lines = (root / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        rows = {row["file_name"]: row["actions"] for row in map(json.loads, lines)}
        for clip in find_clips(root, split=split):
            row = rows.get(clip.path.relative_to(root).as_posix())
            if row is None:
                continue
            count = len(next(iter(row.values())))
            chosen = (
                rng.choice(count, frames, replace=False) if training else np.linspace(0, count - 1, frames).astype(int)
            )
            pictures = []
            for frame, picture in zip(chosen, read_clip(clip, list(chosen))):
                actions = np.array([row[name][frame] if name in row else 0.0 for name in ACTIONS], np.float32)
                if training:
                    picture = augment_clip(picture[None], rng)[0]
                    if rng.random() < DEGRADED:
                        picture = degrade(picture, rng)
                tensor = to_tensor(picture[None])[:, 0]
                if training:
                    if rng.random() < 0.5:
                        tensor, actions = tensor.flip(-1), actions[MIRRORED]
                    nothing = tensor.new_zeros(3, 1, *pipe.lfae.flow_size(*tensor.shape[-2:]))
                    tensor, _ = reframe(tensor, nothing, draw_framing(rng, REFRAMED))
                pictures.append(tensor)
                shown.append(torch.from_numpy(actions))
            found.append(pipe.lfae.encode(torch.stack(pictures)).latent.half())
    return Faces(torch.cat(found), torch.stack(shown))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dirs", type=Path, nargs="+", required=True, help="rendered people")
    parser.add_argument("--pipeline", type=Path, required=True, help="with a U-Net that reads pictures by blocks")
    parser.add_argument("--output", type=Path, required=True, help="the pipeline, with a U-Net that has a summary")
    parser.add_argument("--image_summary", type=int, default=64)
    parser.add_argument("--frames", type=int, default=3, help="of each clip")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument(
        "--kept", type=float, default=10.0, help="weight of the share by which what the U-Net is given changes"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    pipe = LFDMPipeline.from_pretrained(args.pipeline)
    unet = with_picture_reader(pipe.unet, None, args.image_summary)
    pipe.register_modules(unet=unet)
    reader, patch = unet.picture_reader, unet.config.patch_size
    before = copy.deepcopy(reader).requires_grad_(False)
    train, test = (read_faces(pipe, args.data_dirs, split, args.frames, args.seed) for split in ("train", "test"))
    told = train.actions.std(0) > SEEN
    mean, scale = train.actions.mean(0)[told], train.actions.std(0)[told]
    head = nn.Sequential(nn.SiLU(), nn.Dropout(DROPPED), nn.Linear(args.image_summary, int(told.sum())))
    noise = NOISE * train.latents[:256].float().std()
    smile = [int(told[:i].sum()) for i in SMILE if told[i]]
    print(f"{len(train.latents)} pictures, {len(test.latents)} to judge by, {int(told.sum())} actions", flush=True)

    def patches(latents: torch.Tensor) -> torch.Tensor:
        return F.pixel_unshuffle(latents, patch).contiguous(memory_format=torch.channels_last)

    def gives(read: torch.Tensor) -> torch.Tensor:
        return reader.conv_out(read) + reader.summary(read)

    # What a new one gives is zero, and stays so until the whole U-Net learns.
    fixed = () if reader.summary.conv_out.weight.any() else ("decode.", "conv_out.")
    ours = [value for name, value in reader.summary.named_parameters() if not name.startswith(fixed)]
    ours += head.parameters()
    shared = [*reader.conv_in.parameters(), *reader.resnets.parameters()]
    rates = (RATE, RATE_OF_BLOCKS)
    optimizer = torch.optim.AdamW([{"params": ours}, {"params": shared}], weight_decay=DECAY)
    judged = [patches(part.float()) for part in test.latents.split(64)]
    wanted = (test.actions[:, told] - mean) / scale
    with torch.inference_mode():
        kept_output = torch.cat([before(part) for part in judged])
    start, step, told_of = time.monotonic(), 0, 1
    best, kept = 2.0, reader.state_dict()
    while (spent := (time.monotonic() - start) / (60 * args.minutes)) < 1:
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * min(1, 2 * (1 - spent))
        chosen = torch.randint(len(train.latents), (BATCH,))
        latents = train.latents[chosen].float()
        given = patches(latents + noise * torch.randn_like(latents))
        read = reader.blocks(given)
        loss = F.mse_loss(head(reader.summary.summarise(read)), (train.actions[chosen][:, told] - mean) / scale)
        with torch.no_grad():
            gave = before(given)
        loss = loss + args.kept * F.mse_loss(gives(read), gave) / gave.var().clamp(min=1e-12)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(ours + shared, 1.0)
        optimizer.step()
        step += 1
        if spent > told_of / 10:
            told_of += 1
            head.eval()
            with torch.inference_mode():
                parts = [reader.blocks(part) for part in judged]
                found = torch.cat([head(reader.summary.summarise(part)) for part in parts])
                left = float((found - wanted).square().sum() / wanted.square().sum())
                r = [float(torch.corrcoef(torch.stack((found[:, i], wanted[:, i])))[0, 1]) for i in smile]
                output = torch.cat([gives(part) for part in parts])
                changed = float((output - kept_output).square().mean() / kept_output.var().clamp(min=1e-12))
            head.train()
            if left < best:  # later it may only learn its people by heart
                best, kept = left, copy.deepcopy(reader.state_dict())
            print(f"step {step}: unexplained {left:.3f}; smile r {np.mean(r):.2f}; changed {changed:.4f}", flush=True)

    reader.load_state_dict(kept)
    pipe.save_pretrained(args.output)
    print(f"unexplained of all actions at best {best:.3f}; {args.output}")


if __name__ == "__main__":
    main()
