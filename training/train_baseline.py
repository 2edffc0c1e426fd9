#!/usr/bin/env python
"""Train a system that LFDM was compared with: VDM, LDM and its frame auto-encoder, or ImaGINator; see docs/related.md.

accelerate launch training/train_baseline.py --system autoencoder --train_data_dir toon-faces --output_dir ae --preset toon64
accelerate launch training/train_baseline.py --system ldm --train_data_dir toon-faces --output_dir ldm --preset toon64 \
    --autoencoder ae/vae --text_encoder none --prediction_type v_prediction
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.utils import set_seed
from diffusers import AutoencoderKL, DDIMScheduler

from lfdm_diffusers import ImaginatorGenerator, ImaginatorPipeline, LabelEmbeddings, UNet3DVideoModel
from lfdm_diffusers.arguments.types import number
from lfdm_diffusers.data.dataset import ClipDataset, PairDataset
from lfdm_diffusers.data.sampling import spread
from lfdm_diffusers.evaluation.reconstruction import reconstruction_pairs
from lfdm_diffusers.models.imaginator import ImaginatorDiscriminators, level_frames, level_widths
from lfdm_diffusers.models.text_encoders import TEXT_ENCODER
from lfdm_diffusers.pipelines import FRAME_SPACES, FrameDiffusionPipeline
from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training.adversarial import AdversarialTask
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
from lfdm_diffusers.training.clips import TrainingClips, label_texts
from lfdm_diffusers.training.diffusion import FrameTask
from lfdm_diffusers.training.frame_autoencoder import FrameAutoencoderTask, build_frame_autoencoder
from lfdm_diffusers.training.labels import embed_labels, load_label_table, require_labels
from lfdm_diffusers.training.networks import blame_network_file, override_network, require_multiple
from lfdm_diffusers.training.pipeline_task import HeldOut
from lfdm_diffusers.training.presets import (
    AUTOENCODER_CONFIGS,
    FRAME_SAMPLING,
    get_autoencoder_config,
    get_unet_config,
)
from lfdm_diffusers.training.run import TrainingRun
from lfdm_diffusers.training.task import Task

# Of the training clips, to learn how large latents are.
STATISTICS_CLIPS = 256
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
OPTIONS = {
    "autoencoder": ("kl_weight",),
    "imaginator": (*OF_CLIPS, "ema_decay", "reconstruction_weight", "discriminator_lr_scale"),
    **dict.fromkeys(FRAME_SPACES, (*OF_CLIPS, *OF_DIFFUSION, "autoencoder")),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = script_parser(__doc__)
    parser.add_argument("--system", required=True, choices=list(SYSTEMS))
    data = add_data_arguments(parser)
    add_clip_arguments(data)
    model = parser.add_argument_group("model")
    model.add_argument("--preset", required=True, choices=list(AUTOENCODER_CONFIGS))
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
    others = {name for names in OPTIONS.values() for name in names} - set(OPTIONS[args.system])
    refuse_options(parser, args, sorted(others), f"has no use for --system {args.system}")
    if args.text_encoder and args.label_embeddings:
        parser.error("--text_encoder and --label_embeddings: give one of the two")
    return args


# Arguments of networks that are not `--model_config`'s to say: the data's, other options', or the space's.
SETTLED = ("sample_size", "num_frames", "prediction_type", "text_embed_dim")
SETTLED_BY_SPACE = ("in_channels", "out_channels", "image_latent_channels", "flow_target", "target_mean", "target_std")


def network_config(args: argparse.Namespace, preset: dict, cls: type, settled: tuple[str, ...]) -> dict:
    """A network's arguments: the preset's, and over it those of `--model_config`, without what is settled."""
    return override_network(preset, args.model_config, "--model_config", cls, (*SETTLED, *settled))


def autoencoder(args: argparse.Namespace, run: TrainingRun) -> FrameAutoencoderTask:
    """The frame auto-encoder that LDM needs."""
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


def label_table(args: argparse.Namespace, run: TrainingRun, clips: TrainingClips) -> LabelEmbeddings | None:
    """The table of the clips' labels.

    Raises:
        ValueError: if the table that is to be used, or the training clips, lack one.
    """
    if args.label_embeddings:
        table, source = load_label_table(args.label_embeddings), f"`--label_embeddings` {args.label_embeddings}"
    else:
        source = "`--train_split`"
        with run.accelerator.main_process_first():
            table = embed_labels(clips.labels, args.text_encoder or TEXT_ENCODER, None, args.seed)[0]
    require_labels(table, label_texts([*clips.train, *clips.held_out]), source)
    return table


def examples(args: argparse.Namespace, clips: TrainingClips) -> tuple[ClipDataset, HeldOut]:
    """Clips to train on, and what their pipeline is judged by."""
    judged = spread(clips.held_out, args.num_validation_clips)
    dataset = ClipDataset(
        clips.train, clips.reader, args.num_frames, args.frame_sampling, args.seed, not args.no_augment, args.flip
    )
    return dataset, HeldOut(
        ClipDataset(judged, clips.reader, args.num_frames, "uniform", augment=False),
        clips.pictures(args.num_validation_pictures),
        clips.labels,
        args.train_batch_size,
    )


def frame_pipeline(args: argparse.Namespace, run: TrainingRun) -> tuple[FrameDiffusionPipeline, TrainingClips]:
    """A pipeline of the space that `--system` names with a new U-Net, and what it is trained on."""
    cls = FRAME_SPACES[args.system]
    try:
        space = cls.load_space(args.autoencoder)
    except (ValueError, OSError) as error:
        raise ValueError(f"`--autoencoder` for --system {args.system}: {error}") from error
    config = network_config(args, get_unet_config(args.preset, args.system), UNet3DVideoModel, SETTLED_BY_SPACE)
    prediction_type, scale = args.prediction_type or "epsilon", args.target_scale or 1
    # What has an end is clipped there, as is usual for pixels; what has none is left as it is.
    limits = {"thresholding": False, "clip_sample": cls.bounded, "clip_sample_range": scale}
    pipe = cls(
        unet=None,
        scheduler=DDIMScheduler.from_config(released_scheduler(prediction_type=prediction_type).config, **limits),
        default_num_inference_steps=args.num_inference_steps,
        **space,
    )
    pipe.to(run.device).set_progress_bar_config(disable=True)
    # A network of the space knows its pictures' size, the preset the grid's.
    trained_size = next((network.config.sample_size for network in space.values()), config.get("sample_size"))
    clips = run.clips(args.resolution or trained_size or AUTOENCODER_CONFIGS[args.preset]["sample_size"])
    table = label_table(args, run, clips)
    mean, std = pipe.statistics(clips.frames(clip).to(run.device) for clip in spread(clips.train, STATISTICS_CLIPS))
    require_multiple(args.resolution, pipe.downscale_factor)
    config |= dict.fromkeys(("in_channels", "out_channels", "image_latent_channels"), pipe.latent_channels)
    config |= {
        "sample_size": args.resolution // pipe.downscale_factor,
        "num_frames": args.num_frames,
        "prediction_type": prediction_type,
        "flow_target": "absolute",  # nothing is added
        "target_mean": mean,
        "target_std": [value / scale for value in std],
    }
    if table is not None:
        config["text_embed_dim"] = table.config.embedding_dim
    set_seed(args.seed)
    with blame_network_file(args.model_config, "--model_config"):
        unet = UNet3DVideoModel.from_config(config)
    pipe.register_modules(unet=unet.train().to(run.device), label_embeddings=table)
    require_multiple(args.resolution, pipe.stride)
    return pipe, clips


def diffusion(args: argparse.Namespace, run: TrainingRun) -> FrameTask:
    """LFDM's U-Net on frames: VDM, LDM."""
    pipe, clips = frame_pipeline(args, run)
    if args.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    return FrameTask(
        pipe,
        *examples(args, clips),
        seed=args.seed,
        null_condition_prob=args.null_condition_prob,
        snr_gamma=args.snr_gamma,
        ema_decay=args.ema_decay,
    )


def adversarial(args: argparse.Namespace, run: TrainingRun) -> AdversarialTask:
    """ImaGINator: a generator and its two discriminators, which step together."""
    config = network_config(args, {}, ImaginatorGenerator, ("in_channels",))
    resolution = args.resolution or AUTOENCODER_CONFIGS[args.preset]["sample_size"]
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


SYSTEMS: dict[str, Callable[[argparse.Namespace, TrainingRun], Task]] = {
    "autoencoder": autoencoder,
    **dict.fromkeys(FRAME_SPACES, diffusion),
    "imaginator": adversarial,
}


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and the result in the output folder."""
    run = TrainingRun(args, "train_baseline")
    args.num_frames = args.num_frames or get_unet_config(args.preset)["num_frames"]
    args.frame_sampling = args.frame_sampling or FRAME_SAMPLING[args.preset]
    run.make_repository()
    task = SYSTEMS[args.system](args, run)
    run.say(f"{args.system}, {args.resolution} pixels")
    run.fit(task)
    run.finish(task)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_baseline"):
        train(args)


if __name__ == "__main__":
    main()
