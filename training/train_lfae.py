#!/usr/bin/env python
"""Stage one: train a latent flow auto-encoder on pairs of frames of any clips; see docs/training.md.

accelerate launch training/train_lfae.py --train_data_dir toon-faces --output_dir lfae-toon64 --preset toon64 \
    --perceptual none --train_batch_size 16 --max_train_steps 7000
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import PIL.Image
import torch
from accelerate.utils import set_seed
from torch import nn

from lfdm_diffusers import LatentFlowAutoencoder
from lfdm_diffusers.data.dataset import FramePair, PairDataset
from lfdm_diffusers.losses import LFAELoss, RandomTransform
from lfdm_diffusers.model_cards import lfae_card
from lfdm_diffusers.presets import LFAE_CONFIGS, get_lfae_config
from lfdm_diffusers.reconstruction import evaluate_reconstruction, reconstruction_pairs
from lfdm_diffusers.reconstruction_training import add_loss_arguments, build_reconstruction_loss
from lfdm_diffusers.training_run import (
    Losses,
    Trained,
    TrainingRun,
    add_data_arguments,
    add_hub_arguments,
    add_run_arguments,
    one_sentence,
    parse_arguments,
)
from lfdm_diffusers.training_utils import draw_generator, set_batchnorm_training


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawTextHelpFormatter
    )
    data = add_data_arguments(parser)
    data.add_argument("--id_sampling", action="store_true", help="a random clip of the same subject, as for UTD-MHAD")

    model = parser.add_argument_group("model (one of the first three)")
    model.add_argument("--preset", metavar="NAME", help=f"a new model: {', '.join(LFAE_CONFIGS)}")
    model.add_argument("--model_config_name_or_path", type=Path, help="a new model: its config.json, or overrides")
    model.add_argument("--pretrained_model_name_or_path", help="weights to start from: a folder or Hub repository")
    model.add_argument("--subfolder", help="of --pretrained_model_name_or_path, such as lfae")

    loss = add_loss_arguments(parser)
    loss.add_argument("--concentration_loss_weight", type=float, default=0.0, help="from scratch: 10")

    run = add_run_arguments(parser, batch_size=16, learning_rate=2e-4, milestones=(0.6, 0.9), adam_betas=(0.5, 0.999))
    run.add_argument(
        "--freeze_batchnorm_after",
        type=float,
        default=1.0,
        help="share of the training after which BatchNorm uses its running statistics, as it will ever after;\n"
        "for small batches, whose statistics are too noisy for exact colours: 0.6",
    )
    run.add_argument("--num_validation_pairs", type=int, default=32)
    add_hub_arguments(parser)
    weights = "inpainted_loss_weight concentration_loss_weight motion_loss_weight freeze_batchnorm_after"
    return parse_arguments(parser, argv, "num_validation_pairs", weights)


def build_model(args: argparse.Namespace, checkpoint: Path | None) -> LatentFlowAutoencoder:
    """The model to train: of the checkpoint to go on from, else pretrained or new as the arguments say.

    Raises:
        ValueError: if they do not say one thing, or the pictures' size does not fit the model.
    """
    sources = {
        name: getattr(args, name)
        for name in ("preset", "model_config_name_or_path", "pretrained_model_name_or_path")
        if getattr(args, name) is not None
    }
    if checkpoint is not None:
        model = LatentFlowAutoencoder.from_pretrained(checkpoint, subfolder="lfae")
    elif len(sources) != 1:
        raise ValueError(
            "one of `--preset`, `--model_config_name_or_path` and `--pretrained_model_name_or_path` must be given, got "
            f"{' and '.join(f'--{name}' for name in sources) or 'none'}."
        )
    elif args.pretrained_model_name_or_path:
        model = LatentFlowAutoencoder.from_pretrained(args.pretrained_model_name_or_path, subfolder=args.subfolder)
    else:
        if args.preset:
            config = get_lfae_config(args.preset)
        else:
            try:
                config = json.loads(args.model_config_name_or_path.read_text(encoding="utf-8"))
            except (OSError, json.JSONDecodeError) as error:
                raise ValueError(f"`--model_config_name_or_path` must be a JSON file: {error}") from error
        set_seed(args.seed)
        model = LatentFlowAutoencoder.from_config(config)
    size = args.resolution or model.config.sample_size
    if not size or size % model.flow_stride:
        raise ValueError(f"`--resolution` must be a multiple of {model.flow_stride} for this model, got {size}.")
    model.register_to_config(sample_size=size)
    return model.float().to(memory_format=torch.channels_last)


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and lfae/ in the output folder."""
    run = TrainingRun(args, "train_lfae")
    lfae = build_model(args, run.checkpoint).train()
    args.resolution = lfae.config.sample_size
    if args.gradient_checkpointing:
        lfae.enable_gradient_checkpointing()
    run.make_repository()
    with run.accelerator.main_process_first():
        reconstruction = build_reconstruction_loss(args)
    train_clips, held_out, reader = run.clips(args.resolution)
    if run.device.type == "cuda" and run.accelerator.num_processes > 1:
        lfae = nn.SyncBatchNorm.convert_sync_batchnorm(lfae)
    validation = reconstruction_pairs(held_out, reader, args.num_validation_pairs) if run.main else None

    def losses(loss_of: nn.Module, pair: FramePair, draws: range) -> Losses:
        if run.progress >= args.freeze_batchnorm_after:
            set_batchnorm_training(lfae, False)
        transform = RandomTransform.sample(
            len(pair.driving), generator=draw_generator(args.seed, draws.start), device=run.device
        )
        images = (x.to(run.device, non_blocking=True) for x in (pair.reference, pair.driving))
        parts, occlusion = loss_of(*images, transform)
        return Losses(parts, {"occlusion_mean": occlusion})

    def validate(step: int) -> tuple[dict[str, float], dict[str, PIL.Image.Image]]:
        numbers, sheet = evaluate_reconstruction(lfae, *validation, batch_size=args.train_batch_size)
        return numbers, {"samples": sheet}

    run.fit(
        Trained(
            module=LFAELoss(
                lfae,
                reconstruction,
                args.inpainted_loss_weight,
                args.concentration_loss_weight,
                args.motion_loss_weight,
            ),
            optimizer=torch.optim.Adam(lfae.parameters(), args.learning_rate, (args.adam_beta1, args.adam_beta2)),
            dataset=PairDataset(train_clips, reader, args.seed, args.id_sampling, augment=not args.no_augment),
            losses=losses,
            models=[lfae],
            validate=validate,
            save=lambda folder: lfae.save_pretrained(folder / "lfae"),
        )
    )

    def write(folder: Path) -> None:
        facts = {"dataset": f"{len(train_clips)} clips", "notes": [run.about(len(train_clips), "pairs of frames")]}
        lfae.save_pretrained(folder)
        repo_id = run.hub_model_id if args.push_to_hub else None
        lfae_card(lfae, repo_id=repo_id, facts=facts).save(folder / "README.md")

    run.finish("lfae", write, "LatentFlowAutoencoder.from_pretrained({})")


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_lfae"):
        train(args)


if __name__ == "__main__":
    main()
