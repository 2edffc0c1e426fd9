#!/usr/bin/env python
"""Adapt the decoder of a trained auto-encoder to unlabelled clips of another kind; see docs/training.md.

accelerate launch training/finetune_decoder.py --train_data_dir my-clips --output_dir my-decoder \
    --pretrained_model_name_or_path lfdm-toon64/pipeline --perceptual none --max_train_steps 1000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import PIL.Image
from torch import nn

from lfdm_diffusers import LatentFlowAutoencoder, LFDMPipeline
from lfdm_diffusers.data.dataset import FramePair, PairDataset
from lfdm_diffusers.evaluation.reconstruction import evaluate_reconstruction, reconstruction_pairs
from lfdm_diffusers.hub.cards import CardFacts
from lfdm_diffusers.ops.cpu import lay_channels_last
from lfdm_diffusers.training.arguments import (
    add_data_arguments,
    add_hub_arguments,
    add_run_arguments,
    one_sentence,
    parse_arguments,
)
from lfdm_diffusers.training.batchnorm import set_batchnorm_training
from lfdm_diffusers.training.checkpoints import whole_folder
from lfdm_diffusers.training.lfae import DecoderLoss, add_loss_arguments, build_reconstruction_loss
from lfdm_diffusers.training.optimizer import build_optimizer
from lfdm_diffusers.training.run import Losses, Trained, TrainingRun


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,  # a token must be recognisable
        description=__doc__.splitlines()[0],
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add_data_arguments(parser)

    model = parser.add_argument_group("model")
    model.add_argument(
        "--pretrained_model_name_or_path",
        required=True,
        help="pipeline or auto-encoder to adapt: a folder or Hub repository",
    )
    model.add_argument("--subfolder", help="of the auto-encoder; default: lfae in a pipeline, else none")
    model.add_argument("--base_model", help="its Hub id, for the model card, where it is loaded from a folder")

    add_loss_arguments(parser)

    run = add_run_arguments(parser, batch_size=16, learning_rate=2e-4, milestones=(0.6, 0.9), adam_betas=(0.5, 0.999))
    run.add_argument(
        "--freeze_batchnorm_after",
        type=float,
        default=0.0,
        help="share of the training after which the decoder's BatchNorm uses its running statistics (1: never)",
    )
    run.add_argument("--num_validation_pairs", type=int, default=32)
    add_hub_arguments(parser)
    weights = "inpainted_loss_weight motion_loss_weight freeze_batchnorm_after"
    return parse_arguments(parser, argv, "num_validation_pairs", weights)


def load_base(args: argparse.Namespace) -> tuple[LatentFlowAutoencoder, bool]:
    """The auto-encoder to adapt, and whether it is a pipeline's; fills in `args.resolution`.

    Raises:
        ValueError: if there is none, or the pictures' size does not fit it.
    """
    source, subfolder, pipeline = args.pretrained_model_name_or_path, args.subfolder, True
    try:
        LFDMPipeline.load_config(source)
    except OSError:
        pipeline = False
    if pipeline and subfolder is None:
        subfolder = "lfae"
    try:
        name = LatentFlowAutoencoder.load_config(source, subfolder=subfolder).get("_class_name")
        if name != LatentFlowAutoencoder.__name__:
            raise ValueError(f"a {name}.")
        lfae = LatentFlowAutoencoder.from_pretrained(source, subfolder=subfolder)
    except (OSError, ValueError) as error:
        raise ValueError(
            "`--pretrained_model_name_or_path` (with `--subfolder`) must be a pipeline or an auto-encoder, got "
            f"{source!r}: {error}"
        ) from error
    args.resolution = args.resolution or lfae.config.sample_size
    if not args.resolution or args.resolution % lfae.flow_stride:
        raise ValueError(
            f"`--resolution` must be a multiple of {lfae.flow_stride} for this model, got {args.resolution}."
        )
    return lay_channels_last(lfae.float()), pipeline


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/, lfae/ and decoder/ in the output folder."""
    run = TrainingRun(args, "finetune_decoder")
    lfae, pipeline = load_base(args)
    source = args.pretrained_model_name_or_path
    base_model = args.base_model or (None if Path(source).is_dir() else source)
    if args.gradient_checkpointing:
        lfae.enable_gradient_checkpointing()
    run.make_repository()
    with run.accelerator.main_process_first():
        reconstruction = build_reconstruction_loss(args)
    train_clips, held_out, reader = run.clips(args.resolution)
    if run.device.type == "cuda" and run.accelerator.num_processes > 1:
        lfae = nn.SyncBatchNorm.convert_sync_batchnorm(lfae)
    lfae.to(run.device)
    loss = DecoderLoss(lfae, reconstruction, args.inpainted_loss_weight, args.motion_loss_weight)
    validation = reconstruction_pairs(held_out, reader, args.num_validation_pairs) if run.main else None

    def validate(step: int) -> tuple[dict[str, float], dict[str, PIL.Image.Image]]:
        with run.accelerator.autocast():
            numbers, sheet = evaluate_reconstruction(lfae, *validation, batch_size=args.train_batch_size)
        return numbers, {"samples": sheet}

    base = validate(0) if run.main else None  # what has to be beaten
    if run.checkpoint is not None:
        lfae.load_decoder(run.checkpoint / "decoder")

    def losses(loss_of: nn.Module, pair: FramePair, draws: range) -> Losses:
        if run.progress >= args.freeze_batchnorm_after:
            set_batchnorm_training(lfae.decoder, False)
        images = (x.to(run.device, non_blocking=True) for x in (pair.reference, pair.driving))
        return Losses(loss_of(*images), {})

    run.fit(
        Trained(
            module=loss,
            optimizer=build_optimizer(
                lfae.decoder.parameters(), args.learning_rate, (args.adam_beta1, args.adam_beta2)
            ),
            dataset=PairDataset(train_clips, reader, args.seed, augment=not args.no_augment),
            losses=losses,
            models=[lfae.decoder],
            validate=validate,
            save=lambda folder: lfae.save_decoder(folder / "decoder", base_model),
            before=base,
        )
    )

    def write(folder: Path) -> None:
        lfae.save_decoder(folder, base_model)
        repo_id = run.hub_model_id if args.push_to_hub else None
        lfae.decoder_card(repo_id=repo_id, facts=facts, pipeline=pipeline).save(folder / "README.md")

    if run.main:
        before, after = base[0], validate(run.step)[0]
        compared = [name for name in before if "l1" in name and "static" not in name]
        rows = [f"| {name} | {before[name]:.4f} | {after[name]:.4f} |" for name in compared]
        comparison = "\n".join([
            "L1 errors of re-enacted validation pairs: over all pixels, over those that move, and over those that are painted "
            "rather than warped (the occlusion is under 1/2). `inpainted` is the decoder's picture before the last blend.\n",
            "| | base model | adapted |",
            "|-|-|-|",
            *rows,
        ])  # fmt: skip
        facts = CardFacts(
            dataset=f"{len(train_clips)} clips",
            notes=[run.about(len(train_clips), "pairs of frames"), comparison],
            **({"base_model": base_model} if base_model else {}),
        )
        with whole_folder(args.output_dir / "lfae") as folder:
            lfae.save_pretrained(folder)
            lfae.card(facts=facts).save(folder / "README.md")
        run.say(*(f"{name} {before[name]:.4f} -> {after[name]:.4f}" for name in compared))
        run.say(f"wrote {args.output_dir / 'lfae'}: the whole auto-encoder")
    run.finish("decoder", write, "pipe.lfae.load_decoder({})")


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("finetune_decoder"):
        train(args)


if __name__ == "__main__":
    main()
