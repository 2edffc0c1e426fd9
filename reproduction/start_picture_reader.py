#!/usr/bin/env python
"""A start for a U-Net's picture reader: what a picture and a label say of the motion, learnt from single maps and not from whole videos.

    python reproduction/start_picture_reader.py --data_dirs people128 people-eight --pipeline lfdm_diffusers/assets/people128 \
        --output people128-reading --minutes 20

A small network behind the reader, which is thrown away, learns each clip's mean flow and occlusion at the apex from the first frame's latent
map and the label. The head's own motion, which no picture tells, is taken out: the affine part of the flow over the middle of the picture. A
map costs a small part of a clip in a training step of the 3-D U-Net. `training/train_unet.py` then
goes on from the pipeline that is written, with `--pretrained_model_name_or_path`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.motion_maps import motion_maps, residual_motion
from lfdm_diffusers.models.blocks_3d import ResnetBlock
from lfdm_diffusers.models.picture_reader import PictureReader
from lfdm_diffusers.training.expression_motion import middle, without_affine
from lfdm_diffusers.training.starting_unet import with_picture_reader

APEX = 0.9  # of the expression's greatest level
BATCH, RATE, DECAY = 16, 1e-3, 0.05
NOISE, SHIFT = 0.2, 3  # of latent maps: share of their deviation, places


class Maps(NamedTuple):
    """Of N clips: latent maps of the first frame and of its mirror image, flow and occlusion, numbers of labels."""

    latents: torch.Tensor
    mirrored: torch.Tensor
    motion: torch.Tensor
    labels: torch.Tensor


@torch.inference_mode()
def read_maps(pipe: LFDMPipeline, roots: list[Path], split: str) -> Maps:
    """What is learnt, of the clips of a split that their metadata list."""
    side, labels = pipe.sample_size, pipe.labels
    places = pipe.lfae.flow_size(side, side)
    found: list[tuple[torch.Tensor, ...]] = []
    for root in roots:
        lines = (root / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        levels = {row["file_name"]: torch.tensor(row["level"]) for row in map(json.loads, lines)}
        for clip in find_clips(root, split=split):
            level = levels.get(clip.path.relative_to(root).as_posix())
            if level is None:
                continue
            flow, seen = residual_motion(clip, side, side)
            late = level >= APEX * level.max()
            flow, seen = (maps.mean(0) for maps in motion_maps(flow[late], seen[late], places))
            picture = torch.from_numpy(read_clip(clip, [0])[0]).permute(2, 0, 1)[None].float() / 255
            both = pipe.lfae.encode(torch.cat((picture, picture.flip(-1)))).latent.half()
            motion = torch.cat((without_affine(flow), seen))
            found.append((both[0], both[1], motion, torch.tensor(labels.index(clip.label))))
    return Maps(*map(torch.stack, zip(*found)))


class Guess(nn.Module):
    """The mean motion `(B, 3, h, w)` of a label for a picture that a reader has read: a shallow U-Net with FiLM of the label."""

    def __init__(self, channels: int, labels: int, patch: int, groups: int = 8, embed: int = 64):
        super().__init__()
        wide, self.patch = 2 * channels, patch
        self.labels = nn.Embedding(labels, embed)
        self.fine = nn.ModuleList(ResnetBlock(channels, channels, groups, embed) for _ in range(2))
        self.down = nn.Conv2d(channels, wide, 4, stride=2, padding=1)
        self.coarse = nn.ModuleList(ResnetBlock(wide, wide, groups, embed) for _ in range(2))
        self.up = nn.ConvTranspose2d(wide, channels, 4, stride=2, padding=1)
        self.last = ResnetBlock(2 * channels, channels, groups, embed)
        self.out = nn.Conv2d(channels, 3 * patch**2, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        embed = F.silu(self.labels(labels))
        for block in self.fine:
            x = block(x, 1, embed)
        skip, x = x, self.down(x)
        for block in self.coarse:
            x = block(x, 1, embed)
        x = self.last(torch.cat((self.up(x), skip), dim=1), 1, embed)
        return F.pixel_shuffle(self.out(x), self.patch)


def guessed(reader: PictureReader, guess: Guess, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    patches = F.pixel_unshuffle(latents.float(), guess.patch).contiguous(memory_format=torch.channels_last)
    return middle(guess(reader(patches), labels))


@torch.inference_mode()
def unexplained(
    reader: PictureReader, guess: Guess, maps: Maps, scale: torch.Tensor, mean: torch.Tensor
) -> list[float]:
    """Of flow and of occlusion over the middle, the share that is left unexplained; 1 for a guess of the mean."""
    parts = [
        guessed(reader, guess, latents, labels)
        for latents, labels in zip(maps.latents.split(64), maps.labels.split(64))
    ]
    wanted = middle((maps.motion - mean) / scale)
    error, whole = (x.square().mean((0, 2, 3)) for x in (torch.cat(parts) - wanted, wanted))
    return [round(float(error[part].sum() / whole[part].sum()), 3) for part in (slice(0, 2), slice(2, 3))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dirs", type=Path, nargs="+", required=True, help="people drawn with --with-flow")
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the pipeline, with a U-Net that reads")
    parser.add_argument("--image_blocks", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--share", type=float, default=0.5, help="of what the linear convolution gives, in size")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    pipe = LFDMPipeline.from_pretrained(args.pipeline)
    unet = with_picture_reader(pipe.unet, args.image_blocks)
    reader, patch = unet.picture_reader, unet.config.patch_size
    guess = Guess(unet.conv_image.out_channels, len(pipe.labels), patch)
    nn.init.normal_(reader.conv_out.weight, std=0.1)
    train, test = (read_maps(pipe, args.data_dirs, split) for split in ("train", "test"))
    mean = middle(train.motion).mean((0, 2, 3))[:, None, None]
    mean[0] = 0  # mirror images have another sign
    scale = middle(train.motion).std((0, 2, 3))[:, None, None]
    noise = NOISE * train.latents[:64].float().std()
    print(f"{len(train.labels)} clips, {len(test.labels)} to judge by", flush=True)

    weights = [*reader.parameters(), *guess.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=DECAY)
    start, step, told = time.monotonic(), 0, 1
    best, kept = [2.0], reader.state_dict()
    while (spent := (time.monotonic() - start) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, 2 * (1 - spent))
        chosen = torch.randint(len(train.labels), (BATCH,))
        latents, motion = (train.mirrored if step % 2 else train.latents)[chosen].float(), train.motion[chosen]
        if step % 2:
            motion = motion.flip(-1) * torch.tensor([-1.0, 1, 1]).view(3, 1, 1)
        motion = (motion - mean) / scale
        latents = latents * (1 + 0.1 * torch.randn(BATCH, 1, 1, 1)) + noise * torch.randn_like(latents)
        # Features move with the picture. What comes in at the other side lies outside of the middle.
        shift = tuple(torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist())
        latents, motion = (maps.roll(shift, (2, 3)) for maps in (latents, motion))
        loss = F.mse_loss(guessed(reader, guess, latents, train.labels[chosen]), middle(motion))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        if spent > told / 10:
            told += 1
            found = unexplained(reader, guess, test, scale, mean)
            if found[0] < best[0]:  # flow; later it may only learn its people by heart
                best, kept = found, copy.deepcopy(reader.state_dict())
            print(f"step {step}: unexplained {found}", flush=True)

    reader.load_state_dict(kept)
    with torch.no_grad():
        patches = F.pixel_unshuffle(test.latents[:64].float(), patch)
        size = unet.conv_image(patches).std() / reader(patches).std()
        for parameter in reader.conv_out.parameters():
            parameter.mul_(args.share * size)
    pipe.register_modules(unet=unet)
    pipe.save_pretrained(args.output)
    print(f"unexplained of flow and occlusion at best {best}; {args.output}")


if __name__ == "__main__":
    main()
