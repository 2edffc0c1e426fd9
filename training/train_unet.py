#!/usr/bin/env python
"""Stage two: train a U-Net to generate motion in the latent space of a trained auto-encoder; see docs/training.md.

accelerate launch training/train_unet.py --train_data_dir toon-faces --lfae lfae-toon64/lfae --output_dir lfdm-toon64 \
    --preset toon64 --text_encoder none --prediction_type v_prediction --train_batch_size 8 --max_train_steps 9000
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from accelerate.utils import set_seed
from diffusers import DDIMScheduler, SchedulerMixin
from torch import nn

from lfdm_diffusers import LabelEmbeddings, LatentFlowAutoencoder, LFDMPipeline, UNet3DVideoModel
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.sampling import spread
from lfdm_diffusers.models.text_encoders import TEXT_ENCODER
from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training.arguments import (
    DIFFUSION_AT_LEAST_0,
    DIFFUSION_AT_LEAST_1,
    add_clip_arguments,
    add_data_arguments,
    add_diffusion_arguments,
    add_hub_arguments,
    add_run_arguments,
    add_sample_arguments,
    add_text_encoder_argument,
    check_diffusion_arguments,
    one_sentence,
    parse_arguments,
    read_network,
)
from lfdm_diffusers.training.labels import embed_labels
from lfdm_diffusers.training.motion_cache import MotionCache, MotionDataset, MotionSample
from lfdm_diffusers.training.optimizer import build_optimizer
from lfdm_diffusers.training.presets import FRAME_SAMPLING, UNET_CONFIGS, get_unet_config
from lfdm_diffusers.training.run import Losses, Trained, TrainingRun
from lfdm_diffusers.training.targets import MotionTraining
from lfdm_diffusers.visualization.generation_sheet import first_pictures

LORA_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,  # a token must be recognisable
        description=__doc__.splitlines()[0],
        formatter_class=argparse.RawTextHelpFormatter,
    )
    data = add_data_arguments(parser)
    add_clip_arguments(data)
    data.add_argument(
        "--motion_cache_dir", type=Path, help="flow and occlusion of the clips; default: OUTPUT_DIR/motion"
    )

    model = parser.add_argument_group("model (a new U-Net, or one to go on with)")
    model.add_argument("--lfae", metavar="PATH|ID", help="trained auto-encoder: a folder or Hub repository")
    model.add_argument("--lfae_subfolder", help="of --lfae, such as lfae")
    model.add_argument("--preset", metavar="NAME", help=f"a new U-Net: {', '.join(UNET_CONFIGS)}")
    model.add_argument("--model_config_name_or_path", type=Path, help="a new U-Net: its config.json, or overrides")
    model.add_argument(
        "--pretrained_model_name_or_path", help="pipeline to go on with; with --lfae, for that auto-encoder"
    )
    model.add_argument("--lora_rank", type=int, default=0, help="train adapters of this rank only (0: all weights)")
    model.add_argument("--lora_alpha", type=float, help="default: the rank")
    add_text_encoder_argument(
        model, " for a new U-Net; for a pretrained one its own table, and what is not in it needs this"
    )
    model.add_argument("--save_text_encoder", action="store_true", help="put it into the pipeline too, for free text")

    loss = add_diffusion_arguments(parser)
    loss.add_argument(
        "--flow_target",
        choices=["residual", "absolute"],
        help="residual, standardised (default); absolute: as published, which no --target_scale goes with",
    )

    run = add_run_arguments(
        parser, batch_size=8, learning_rate=2e-4, milestones=(2 / 3, 5 / 6), adam_betas=(0.9, 0.99)
    )
    add_sample_arguments(run)
    add_hub_arguments(parser)
    args = parse_arguments(parser, argv, DIFFUSION_AT_LEAST_1, f"lora_rank {DIFFUSION_AT_LEAST_0}")
    check_diffusion_arguments(parser, args)
    if args.target_scale is not None and args.flow_target == "absolute":
        parser.error("--target_scale goes with --flow_target residual")
    return args


def read_config(args: argparse.Namespace) -> dict:
    """What the preset or the file says about a new U-Net."""
    if (args.preset is None) == (args.model_config_name_or_path is None):
        raise ValueError("a new U-Net needs either `--preset` or `--model_config_name_or_path`.")
    if args.preset:
        return get_unet_config(args.preset)
    return read_network(args.model_config_name_or_path, "--model_config_name_or_path")


def load_pretrained(args: argparse.Namespace) -> LFDMPipeline | None:
    """The pipeline to go on with, or None.

    Raises:
        ValueError: for arguments that contradict each other, or what cannot be loaded.
    """
    if args.pretrained_model_name_or_path is None:
        if args.lfae is None:
            raise ValueError("`--lfae` (for a new U-Net) or `--pretrained_model_name_or_path` must be given.")
        if args.lora_rank:
            raise ValueError("`--lora_rank` adapts a trained U-Net: it needs `--pretrained_model_name_or_path`.")
        return None
    settled = ["preset", "model_config_name_or_path", "flow_target", "prediction_type"]
    if args.lfae is None:  # another one's motion is scaled anew
        settled.append("target_scale")
    for name in settled:
        if getattr(args, name) is not None:
            raise ValueError(f"`--pretrained_model_name_or_path` settles `--{name}`; give one of the two.")
    pipe = LFDMPipeline.from_pretrained(args.pretrained_model_name_or_path)
    if args.lfae is not None:
        lfae = LatentFlowAutoencoder.from_pretrained(args.lfae, subfolder=args.lfae_subfolder)
        for name in ("latent_channels", "flow_stride", "downscale_factor"):
            if getattr(lfae, name) != getattr(pipe.lfae, name):
                raise ValueError(
                    f"`--lfae` must be like the pipeline's, whose {name} is {getattr(pipe.lfae, name)}, "
                    f"got {getattr(lfae, name)}."
                )
        pipe.register_modules(lfae=lfae)
    return pipe


def settle_sizes(args: argparse.Namespace, lfae: LatentFlowAutoencoder, config: dict) -> None:
    """Fill in what the user left open.

    Raises:
        ValueError: if the sizes do not fit the auto-encoder, or it does not fit a U-Net.
    """
    args.resolution = args.resolution or lfae.config.sample_size
    args.num_frames = args.num_frames or config.get("num_frames", 40)
    args.frame_sampling = args.frame_sampling or FRAME_SAMPLING.get(args.preset, "random")
    if not args.resolution or args.resolution % lfae.flow_stride:
        raise ValueError(f"`--resolution` must be a multiple of {lfae.flow_stride}, got {args.resolution}.")
    if lfae.config.flow_scale * lfae.downscale_factor != 1:
        raise ValueError(
            f"`--lfae` has flow at {lfae.config.flow_scale} of the picture and latent maps at 1/{lfae.downscale_factor}; a "
            "U-Net needs both of one size."
        )


def build_unet(
    args: argparse.Namespace,
    pipe: LFDMPipeline | None,
    lfae: LatentFlowAutoencoder,
    config: dict,
    cache: MotionCache,
    clips: Sequence[Clip],
    table: LabelEmbeddings | None,
) -> UNet3DVideoModel:
    """The U-Net to train: of the pipeline, or new, with the statistics of the clips' motion in its configuration."""
    set_seed(args.seed)
    if pipe is None:
        config |= {
            "sample_size": args.resolution // lfae.downscale_factor,
            "num_frames": args.num_frames,
            "image_latent_channels": lfae.latent_channels,
            "prediction_type": args.prediction_type or "epsilon",
            "flow_target": args.flow_target or "residual",
        }
        if table is not None:
            config["text_embed_dim"] = table.config.embedding_dim
        unet = UNet3DVideoModel.from_config(config)
    else:
        unet = pipe.unet
    if unet.config.flow_target == "residual" and (pipe is None or args.lfae is not None):
        mean, std = cache.statistics(clips)
        scale = args.target_scale or 1
        unet.register_to_config(target_mean=mean, target_std=[value / scale for value in std])
    if args.lora_rank:
        from peft import LoraConfig

        unet.requires_grad_(False)
        alpha = args.lora_alpha or args.lora_rank
        unet.add_adapter(LoraConfig(r=args.lora_rank, lora_alpha=alpha, target_modules=LORA_TARGETS))
    if args.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    return unet


def build_scheduler(args: argparse.Namespace, pipe: LFDMPipeline | None) -> SchedulerMixin:
    """The pipeline's own, or DDIM over the published noise schedule."""
    if pipe is not None:
        return pipe.scheduler
    return DDIMScheduler.from_config(released_scheduler(prediction_type=args.prediction_type or "epsilon").config)


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and pipeline/ in the output folder."""
    run = TrainingRun(args, "train_unet")
    accelerator, device = run.accelerator, run.device
    pipe = load_pretrained(args)
    config = read_config(args) if pipe is None else dict(pipe.unet.config)
    lfae = pipe.lfae if pipe else LatentFlowAutoencoder.from_pretrained(args.lfae, subfolder=args.lfae_subfolder)
    # Its weights stay where they lie, mapped from their file: once motion is cached, most have done their work.
    lfae = lfae.float().requires_grad_(False).eval().to(device)
    settle_sizes(args, lfae, config)
    run.make_repository()
    clips, held_out, reader = run.clips(args.resolution)

    # Motion: each process computes its share, then all of them read.
    cache = MotionCache(args.motion_cache_dir or args.output_dir / "motion", lfae, reader, dtype=run.half)
    everything = list(dict.fromkeys([*clips, *held_out]))
    cache.fill(everything[accelerator.process_index :: accelerator.num_processes], progress=run.main)
    accelerator.wait_for_everyone()

    # Texts: embedded once.
    labels = sorted({clip.label for clip in clips if clip.label})
    with accelerator.main_process_first():
        texts = embed_labels(labels, args.text_encoder or (None if pipe else TEXT_ENCODER), pipe, args.seed)
    made = LFDMPipeline(
        lfae=lfae,
        unet=build_unet(args, pipe, lfae, config, cache, clips, texts[0]).train().to(device),
        scheduler=build_scheduler(args, pipe),
        label_embeddings=texts[0],
        text_encoder=texts[1] if args.save_text_encoder else None,
        tokenizer=texts[2] if args.save_text_encoder else None,
        default_num_inference_steps=args.num_inference_steps,
    )
    made.set_progress_bar_config(disable=True)
    training = MotionTraining(made, args.seed, args.null_condition_prob, args.snr_gamma, args.ema_decay)
    run.say(
        f"{args.num_frames} frames of {args.resolution} pixels, labels: {', '.join(labels) or 'none'}",
        f"mean of the motion {made.unet.config.target_mean}, standard deviation {made.unet.config.target_std}",
    )

    def losses(loss: nn.Module, samples: MotionSample, draws: range) -> Losses:
        with accelerator.autocast():
            given = training.arguments(samples, draws)
        return Losses({"denoising": loss(*given)}, {})

    judged = MotionDataset(
        spread(held_out, args.num_validation_clips), cache, args.num_frames, "uniform", augment=False
    )
    pictures = first_pictures(held_out, reader, args.num_validation_pictures)
    run.fit(
        Trained(
            module=training.loss,
            optimizer=build_optimizer(
                training.weights.values(), args.learning_rate, (args.adam_beta1, args.adam_beta2)
            ),
            dataset=MotionDataset(
                clips, cache, args.num_frames, args.frame_sampling, args.seed, not args.no_augment, args.flip
            ),
            losses=losses,
            models=[made.unet],
            validate=lambda step: training.validate(judged, pictures, labels, args.train_batch_size),
            save=training.save,
            after_step=training.after_step,
            state=training.state,
            load_state=training.load_state,
        )
    )

    def write(folder: Path) -> None:
        training.finish(folder)
        facts = {"dataset": f"{len(clips)} clips", "notes": [run.about(len(clips), "videos")]}
        repo_id = run.hub_model_id if args.push_to_hub else None
        made.card(repo_id=repo_id, facts=facts).save(folder / "README.md")

    run.finish("pipeline", write, "LFDMPipeline.from_pretrained({})")


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_unet"):
        train(args)


if __name__ == "__main__":
    main()
