#!/usr/bin/env python
"""Train a system that LFDM was compared with: VDM, LDM and its frame auto-encoder, or ImaGINator; see docs/related.md.

python training/train_baseline.py --system autoencoder --train_data_dir toon-faces --output_dir ae --preset toon64
python training/train_baseline.py --system ldm --train_data_dir toon-faces --output_dir ldm --preset toon64 \
    --autoencoder ae/vae --text_encoder none --prediction_type v_prediction
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from lfdm_diffusers.arguments.types import number
from lfdm_diffusers.training.arguments import (
    add_clip_arguments,
    add_data_arguments,
    add_diffusion_arguments,
    add_hub_arguments,
    add_run_arguments,
    add_sample_arguments,
    add_text_encoder_argument,
    one_sentence,
    refuse_options,
    script_parser,
)
from lfdm_diffusers.training.presets import AUTOENCODER_CONFIGS, FRAME_SAMPLING, get_unet_config

# Options that only some systems have a use for.
OF_CLIPS = ("num_frames", "frame_sampling", "flip", "text_encoder", "label_embeddings", "null_condition_prob")
OF_DIFFUSION = (
    "target_scale",
    "prediction_type",
    "snr_gamma",
    "ema_decay",
    "num_inference_steps",
    "gradient_checkpointing",
)
# By name: the file of `lfdm_diffusers.training.baselines` that builds it, and the options that only some systems take.
SYSTEMS = {
    "autoencoder": ("frame_autoencoder", ("kl_weight",)),
    "vdm": ("frame_diffusion", (*OF_CLIPS, *OF_DIFFUSION, "autoencoder")),
    "ldm": ("frame_diffusion", (*OF_CLIPS, *OF_DIFFUSION, "autoencoder")),
    "imaginator": ("imaginator", (*OF_CLIPS, "ema_decay", "reconstruction_weight", "discriminator_lr_scale")),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = script_parser(__doc__)
    parser.add_argument("--system", required=True, choices=SYSTEMS)
    data = add_data_arguments(parser)
    add_clip_arguments(data)
    model = parser.add_argument_group("model")
    model.add_argument("--preset", required=True, choices=AUTOENCODER_CONFIGS)
    model.add_argument(
        "--model_config",
        type=Path,
        help="JSON of arguments of the system's network that override the preset's; sizes are those of the data options",
    )
    model.add_argument("--autoencoder", metavar="PATH|ID", help="trained frame auto-encoder, for ldm")
    add_text_encoder_argument(model)
    model.add_argument(
        "--label_embeddings",
        metavar="PATH|ID",
        help="pipeline whose table of labels is used: the same text embedding for systems that are compared",
    )
    model.add_argument(
        "--kl_weight", type=number(0), default=1e-6, help="of the auto-encoder's divergence from N(0, 1)"
    )
    model.add_argument(
        "--reconstruction_weight",
        type=number(0),
        default=100.0,
        help="of ImaGINator's L1 beside its adversarial losses",
    )
    model.add_argument(
        "--discriminator_lr_scale",
        type=number(0),
        default=1.0,
        help="learning rate of ImaGINator's discriminators, as a multiple of --learning_rate",
    )
    add_diffusion_arguments(parser)
    run = add_run_arguments(
        parser, batch_size=8, learning_rate=2e-4, milestones=(2 / 3, 5 / 6), adam_betas=(0.9, 0.99)
    )
    add_sample_arguments(run)
    add_hub_arguments(parser)
    args = parser.parse_args(argv)
    others = {name for _, names in SYSTEMS.values() for name in names} - set(SYSTEMS[args.system][1])
    refuse_options(parser, args, sorted(others), f"has no use for --system {args.system}")
    if args.text_encoder and args.label_embeddings:
        parser.error("--text_encoder and --label_embeddings: give one of the two")
    return args


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and the result in the output folder."""
    # Here, so that `--help` and mistakes in options do not wait for torch.
    from lfdm_diffusers.training.run import TrainingRun

    baseline = importlib.import_module(f"lfdm_diffusers.training.baselines.{SYSTEMS[args.system][0]}")
    run = TrainingRun(args, "train_baseline")
    args.num_frames = args.num_frames or get_unet_config(args.preset)["num_frames"]
    args.frame_sampling = args.frame_sampling or FRAME_SAMPLING[args.preset]
    run.make_repository()
    task = baseline.build_task(args, run)
    run.say(f"{args.system}, {args.resolution} pixels")
    run.fit(task)
    run.finish(task)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_baseline"):
        train(args)


if __name__ == "__main__":
    main()
