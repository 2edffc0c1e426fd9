#!/usr/bin/env python
"""Stage one: train a latent flow auto-encoder on pairs of frames of any clips; see docs/training.md.

python training/train_lfae.py --train_data_dir toon-faces --output_dir lfae-toon64 --preset toon64 \
    --perceptual none --train_batch_size 16 --max_train_steps 7000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lfdm_diffusers.arguments.choices import REFERENCE_FRAMES
from lfdm_diffusers.arguments.types import number
from lfdm_diffusers.training.arguments import (
    add_data_arguments,
    add_hub_arguments,
    add_loss_arguments,
    add_pair_arguments,
    add_run_arguments,
    one_sentence,
    script_parser,
)
from lfdm_diffusers.training.presets import LFAE_CONFIGS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = script_parser(__doc__)
    data = add_data_arguments(parser)
    data.add_argument("--id_sampling", action="store_true", help="a random clip of the same subject, as for UTD-MHAD")
    data.add_argument(
        "--reference_frame",
        default="random",
        choices=REFERENCE_FRAMES,
        help="of each pair: random as published; first as in generation, see docs/training.md",
    )

    model = parser.add_argument_group("model (the first or the second, the third, or the third for a start of those)")
    model.add_argument("--preset", metavar="NAME", help=f"a new model: {', '.join(LFAE_CONFIGS)}")
    model.add_argument("--model_config_name_or_path", type=Path, help="a new model: its config.json, or overrides")
    model.add_argument("--pretrained_model_name_or_path", help="weights to start from: a folder or Hub repository")
    model.add_argument("--subfolder", help="of --pretrained_model_name_or_path, such as lfae")

    loss = add_loss_arguments(parser)
    loss.add_argument("--concentration_loss_weight", type=number(0), default=0.0, help="from scratch: 10")
    loss.add_argument(
        "--still_loss_weight",
        type=number(0),
        default=0.0,
        help="pulls flow to zero where nothing moves; flat backgrounds: 1",
    )
    loss.add_argument(
        "--true_motion_loss_weight",
        type=number(0),
        default=0.0,
        help="pulls flow and occlusion to the true ones, of drawn clips, with --reference_frame first: 10",
    )

    run = add_run_arguments(parser, batch_size=16, learning_rate=2e-4, milestones=(0.6, 0.9), adam_betas=(0.5, 0.999))
    add_pair_arguments(
        run,
        freeze_batchnorm_after=1.0,
        help="share of the training after which BatchNorm uses its running statistics, as it will ever after;\n"
        "for small batches, whose statistics are too noisy for exact colours: 0.6",
    )
    add_hub_arguments(parser)
    return parser.parse_args(argv)


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and lfae/ in the output folder."""
    # Here, so that `--help` and mistakes in options do not wait for torch.
    from lfdm_diffusers.data.dataset import PairDataset
    from lfdm_diffusers.evaluation.reconstruction import reconstruction_pairs
    from lfdm_diffusers.training.batchnorm import synchronise_batchnorm
    from lfdm_diffusers.training.lfae import LFAETask
    from lfdm_diffusers.training.reconstruction_loss import build_reconstruction_loss
    from lfdm_diffusers.training.run import TrainingRun
    from lfdm_diffusers.training.starting_autoencoder import build_model

    run = TrainingRun(args, "train_lfae")
    lfae, about = build_model(args, run.checkpoint)
    if about:
        run.say(about)
    lfae.train()
    if args.gradient_checkpointing:
        lfae.enable_gradient_checkpointing()
    run.make_repository()
    with run.accelerator.main_process_first():
        reconstruction = build_reconstruction_loss(
            args.perceptual, args.perceptual_layers, args.gradient_checkpointing
        )
    clips = run.clips(lfae.config.sample_size)
    task = LFAETask(
        synchronise_batchnorm(lfae, run.device),
        reconstruction,
        PairDataset(
            clips.train,
            clips.reader,
            args.seed,
            args.id_sampling,
            not args.no_augment,
            args.reference_frame,
            with_motion=args.true_motion_loss_weight > 0,
        ),
        reconstruction_pairs(clips.held_out, clips.reader, args.num_validation_pairs) if run.main else None,
        inpainted_weight=args.inpainted_loss_weight,
        concentration_weight=args.concentration_loss_weight,
        motion_weight=args.motion_loss_weight,
        true_motion_weight=args.true_motion_loss_weight,
        still_weight=args.still_loss_weight,
        freeze_batchnorm_after=args.freeze_batchnorm_after,
        seed=args.seed,
        batch_size=args.train_batch_size,
    )
    run.fit(task)
    run.finish(task)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_lfae"):
        train(args)


if __name__ == "__main__":
    main()
