"""The frame auto-encoder that LDM needs."""

from __future__ import annotations

import argparse

import torch
from accelerate.utils import set_seed
from diffusers import AutoencoderKL

from ...data.dataset import PairDataset
from ...evaluation.reconstruction import reconstruction_pairs
from ..frame_autoencoder import FrameAutoencoderTask, build_frame_autoencoder
from ..networks import blame_network_file, require_multiple
from ..presets import get_autoencoder_config
from ..run import TrainingRun
from .inputs import network_config


def build_task(args: argparse.Namespace, run: TrainingRun) -> FrameAutoencoderTask:
    """A new auto-encoder, which learns single frames."""
    config = network_config(args, get_autoencoder_config(args.preset), AutoencoderKL, ("in_channels", "out_channels"))
    clips = run.clips(args.resolution or config["sample_size"])
    set_seed(args.seed)
    with blame_network_file(args.model_config, "--model_config"):
        vae = build_frame_autoencoder(config | {"sample_size": args.resolution})
    require_multiple(args.resolution, 2 ** (len(vae.config.block_out_channels) - 1))
    return FrameAutoencoderTask(
        vae.train().to(memory_format=torch.channels_last),
        PairDataset(clips.train, clips.reader, args.seed, augment=not args.no_augment),
        torch.cat(reconstruction_pairs(clips.held_out, clips.reader, args.num_validation_clips)),
        kl_weight=args.kl_weight,
        seed=args.seed,
    )
