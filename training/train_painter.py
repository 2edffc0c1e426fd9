#!/usr/bin/env python
"""Train the part that makes frames at a picture's own size sharp where they are painted; see docs/training.md.

python training/train_painter.py --train_data_dir my-large-clips --output_dir my-painter \
    --pretrained_model_name_or_path lfdm-toon64/pipeline --perceptual none --max_train_steps 3000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lfdm_diffusers.arguments.types import number, whole_number
from lfdm_diffusers.training.arguments import (
    add_autoencoder_arguments,
    add_comparison_arguments,
    add_data_arguments,
    add_hub_arguments,
    add_run_arguments,
    one_sentence,
    script_parser,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = script_parser(__doc__)
    add_data_arguments(parser)
    model = add_autoencoder_arguments(parser, "whose frames are painted larger")
    model.add_argument("--scale", type=whole_number(1), default=4, help="times the auto-encoder's size")
    model.add_argument("--painter", help="a painter to go on from: a folder or Hub repository")
    model.add_argument(
        "--model_config_name_or_path",
        type=Path,
        help="JSON file with other arguments of FullSizePainter, such as its channels",
    )

    losses = add_comparison_arguments(parser)
    losses.add_argument("--painted_loss_weight", type=number(0), default=0.25, help="of what is painted, by itself")
    losses.add_argument(
        "--sharpness_loss_weight",
        type=number(0),
        default=0.0,
        help="of how much neighbouring pixels differ, in windows of 8 places",
    )
    losses.add_argument(
        "--true_motion",
        action="store_true",
        help="render by the clips' true motion, of drawn clips (`lfdm data`), from frame 0; for a U-Net trained on it too",
    )

    run = add_run_arguments(parser, batch_size=8, learning_rate=3e-4, milestones=(0.7, 0.9), adam_betas=(0.9, 0.999))
    run.add_argument("--num_validation_pairs", type=whole_number(1), default=24)
    add_hub_arguments(parser)
    return parser.parse_args(argv)


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and painter/ in the output folder."""
    # Here, so that `--help` and mistakes in options do not wait for torch.
    from accelerate.utils import set_seed

    from lfdm_diffusers import FullSizePainter
    from lfdm_diffusers.data.dataset import PairDataset
    from lfdm_diffusers.evaluation.reconstruction import reconstruction_pairs
    from lfdm_diffusers.ops.cpu import lay_channels_last
    from lfdm_diffusers.training.networks import blame_network_file, load_autoencoder, override_network
    from lfdm_diffusers.training.painter import PainterTask
    from lfdm_diffusers.training.reconstruction_loss import build_reconstruction_loss
    from lfdm_diffusers.training.run import TrainingRun

    run = TrainingRun(args, "train_painter")
    lfae, _ = load_autoencoder(args.pretrained_model_name_or_path, args.subfolder)
    set_seed(args.seed)
    option = "--model_config_name_or_path"
    if args.painter:
        if args.model_config_name_or_path:
            raise ValueError(f"`{option}` is of a new painter: leave it out, or `--painter`.")
        painter = FullSizePainter.from_pretrained(args.painter)
        if painter.config.scale != args.scale:
            raise ValueError(f"`--scale` must be that of `--painter`, {painter.config.scale}, got {args.scale}.")
    else:
        network = {"scale": args.scale}
        network = override_network(network, args.model_config_name_or_path, option, FullSizePainter, ["scale"])
        with blame_network_file(args.model_config_name_or_path, option):
            painter = FullSizePainter(**network)
    resolution = args.scale * lfae.config.sample_size
    if args.resolution not in (None, resolution):
        raise ValueError(
            f"`--resolution` must be {resolution}, {args.scale} times the auto-encoder's {lfae.config.sample_size} pixels, "
            f"got {args.resolution}."
        )
    run.make_repository()
    with run.accelerator.main_process_first():
        reconstruction = build_reconstruction_loss(
            args.perceptual, args.perceptual_layers, args.gradient_checkpointing
        )
    clips = run.clips(resolution)
    task = PainterTask(
        lfae.to(run.device),
        lay_channels_last(painter.to(run.device)),
        reconstruction,
        PairDataset(
            clips.train,
            clips.reader,
            args.seed,
            augment=not args.no_augment,
            reference_frame="first",
            with_motion=args.true_motion,
        ),
        reconstruction_pairs(clips.held_out, clips.reader, args.num_validation_pairs, args.true_motion)
        if run.main
        else None,
        painted_weight=args.painted_loss_weight,
        motion_weight=args.motion_loss_weight,
        sharpness_weight=args.sharpness_loss_weight,
        batch_size=args.train_batch_size,
    )
    run.fit(task)
    run.finish(task)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_painter"):
        train(args)


if __name__ == "__main__":
    main()
