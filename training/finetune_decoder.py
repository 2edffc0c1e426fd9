#!/usr/bin/env python
"""Adapt the decoder of a trained auto-encoder to unlabelled clips of another kind; see docs/training.md.

python training/finetune_decoder.py --train_data_dir my-clips --output_dir my-decoder \
    --pretrained_model_name_or_path lfdm-toon64/pipeline --perceptual none --max_train_steps 1000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lfdm_diffusers.training.arguments import (
    add_autoencoder_arguments,
    add_data_arguments,
    add_hub_arguments,
    add_loss_arguments,
    add_pair_arguments,
    add_run_arguments,
    one_sentence,
    script_parser,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = script_parser(__doc__)
    add_data_arguments(parser)

    model = add_autoencoder_arguments(parser, "to adapt")
    model.add_argument("--base_model", help="its Hub id, for the model card, where it is loaded from a folder")

    loss = add_loss_arguments(parser)
    loss.add_argument(
        "--true_motion",
        action="store_true",
        help="decode by the clips' true motion, of drawn clips (`lfdm data`), from frame 0; for a U-Net trained on it too",
    )

    run = add_run_arguments(parser, batch_size=16, learning_rate=2e-4, milestones=(0.6, 0.9), adam_betas=(0.5, 0.999))
    add_pair_arguments(
        run,
        freeze_batchnorm_after=0.0,
        help="share of the training after which the decoder's BatchNorm uses its running statistics (1: never)",
    )
    add_hub_arguments(parser)
    return parser.parse_args(argv)


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/, lfae/ and decoder/ in the output folder."""
    # Here, so that `--help` and mistakes in options do not wait for torch.
    from lfdm_diffusers.data.dataset import PairDataset
    from lfdm_diffusers.evaluation.reconstruction import reconstruction_pairs
    from lfdm_diffusers.training.batchnorm import synchronise_batchnorm
    from lfdm_diffusers.training.decoder import DecoderTask
    from lfdm_diffusers.training.networks import load_autoencoder, require_multiple
    from lfdm_diffusers.training.reconstruction_loss import build_reconstruction_loss
    from lfdm_diffusers.training.run import TrainingRun

    run = TrainingRun(args, "finetune_decoder")
    lfae, of_pipeline = load_autoencoder(args.pretrained_model_name_or_path, args.subfolder)
    args.resolution = args.resolution or lfae.config.sample_size
    require_multiple(args.resolution, lfae.flow_stride)
    source = args.pretrained_model_name_or_path
    if args.gradient_checkpointing:
        lfae.enable_gradient_checkpointing()
    run.make_repository()
    with run.accelerator.main_process_first():
        reconstruction = build_reconstruction_loss(
            args.perceptual, args.perceptual_layers, args.gradient_checkpointing
        )
    clips = run.clips(args.resolution)
    task = DecoderTask(
        synchronise_batchnorm(lfae, run.device),
        reconstruction,
        PairDataset(
            clips.train,
            clips.reader,
            args.seed,
            augment=not args.no_augment,
            reference_frame="first" if args.true_motion else "random",
            with_motion=args.true_motion,
        ),
        reconstruction_pairs(clips.held_out, clips.reader, args.num_validation_pairs, args.true_motion)
        if run.main
        else None,
        inpainted_weight=args.inpainted_loss_weight,
        motion_weight=args.motion_loss_weight,
        freeze_batchnorm_after=args.freeze_batchnorm_after,
        batch_size=args.train_batch_size,
        base_model=args.base_model or (None if Path(source).is_dir() else source),
        of_pipeline=of_pipeline,
    )
    run.fit(task)
    run.finish(task)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("finetune_decoder"):
        train(args)


if __name__ == "__main__":
    main()
