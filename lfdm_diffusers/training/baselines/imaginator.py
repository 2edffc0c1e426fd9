"""ImaGINator: a generator and its two discriminators, which step together."""

from __future__ import annotations

import argparse

import torch
from accelerate.utils import set_seed

from ...models import ImaginatorGenerator
from ...models.imaginator import ImaginatorDiscriminators, level_frames, level_widths
from ...pipelines import ImaginatorPipeline
from ..adversarial import AdversarialTask
from ..networks import blame_network_file
from ..presets import AUTOENCODER_CONFIGS
from ..run import TrainingRun
from .inputs import examples, label_table, network_config


def build_task(args: argparse.Namespace, run: TrainingRun) -> AdversarialTask:
    """A new generator and its discriminators."""
    config = network_config(args, {}, ImaginatorGenerator, ("in_channels",))
    resolution: int = args.resolution or AUTOENCODER_CONFIGS[args.preset]["sample_size"]
    try:
        level_frames(args.num_frames, len(level_widths(resolution, 1)))
    except ValueError as error:  # before the clips are read
        raise ValueError(f"`--resolution` {resolution}, `--num_frames` {args.num_frames}: {error}") from error
    clips = run.clips(resolution)
    table = label_table(args, run, clips)
    config |= {"sample_size": args.resolution, "num_frames": args.num_frames}
    config |= {"text_embed_dim": table.config.embedding_dim} if table is not None else {}
    set_seed(args.seed)
    with blame_network_file(args.model_config, "--model_config"):
        generator = ImaginatorGenerator(**config).to(memory_format=torch.channels_last)
        config.pop("noise_dim", None)
        discriminators = ImaginatorDiscriminators(**config).to(memory_format=torch.channels_last)
    pipe = ImaginatorPipeline(generator.train(), label_embeddings=table).to(run.device)
    pipe.set_progress_bar_config(disable=True)
    return AdversarialTask(
        pipe,
        discriminators,
        *examples(args, clips),
        seed=args.seed,
        null_condition_prob=args.null_condition_prob,
        reconstruction_weight=args.reconstruction_weight,
        discriminator_lr_scale=args.discriminator_lr_scale,
        ema_decay=args.ema_decay,
    )
