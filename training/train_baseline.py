#!/usr/bin/env python
"""Train a system that LFDM was compared with: VDM, LDM and its frame auto-encoder, or ImaGINator; see docs/related.md.

accelerate launch training/train_baseline.py --system autoencoder --train_data_dir toon-faces --output_dir ae --preset toon64
accelerate launch training/train_baseline.py --system ldm --train_data_dir toon-faces --output_dir ldm --preset toon64 \
    --autoencoder ae/vae --text_encoder none --prediction_type v_prediction
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import PIL.Image
import torch
from accelerate.utils import set_seed
from diffusers import AutoencoderKL, DDIMScheduler
from torch import nn

from lfdm_diffusers import (
    ImaginatorGenerator,
    ImaginatorPipeline,
    LabelEmbeddings,
    LDMVideoPipeline,
    UNet3DVideoModel,
    VDMPipeline,
)
from lfdm_diffusers.adversarial_training import AdversarialTraining
from lfdm_diffusers.convert_command import TEXT_ENCODER
from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.dataset import ClipDataset, ClipSample, FramePair, PairDataset, to_tensor
from lfdm_diffusers.frame_autoencoder_training import FrameAutoencoderLoss, evaluate_frame_autoencoder
from lfdm_diffusers.losses import PixelPyramidLoss
from lfdm_diffusers.model_cards import component_card, pipeline_card
from lfdm_diffusers.models.imaginator import ImaginatorDiscriminators
from lfdm_diffusers.pipelines.frame_diffusion import FrameDiffusionPipeline
from lfdm_diffusers.presets import (
    AUTOENCODER_CONFIGS,
    FRAME_SAMPLING,
    LDM_CONFIGS,
    VDM_CONFIGS,
    get_autoencoder_config,
    get_unet_config,
)
from lfdm_diffusers.reconstruction import reconstruction_pairs
from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training_arguments import (
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
)
from lfdm_diffusers.training_run import Losses, Trained, TrainingRun
from lfdm_diffusers.training_targets import FrameTraining
from lfdm_diffusers.training_utils import build_optimizer, draw_generator, embed_labels, spread

# Of the training clips, to learn how large latents are.
STATISTICS_CLIPS = 256


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,  # a token must be recognisable
        description=__doc__.splitlines()[0],
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--system", required=True, choices=list(SYSTEMS))
    data = add_data_arguments(parser)
    add_clip_arguments(data)
    model = parser.add_argument_group("model")
    model.add_argument("--preset", required=True, choices=list(AUTOENCODER_CONFIGS))
    model.add_argument("--model_config", type=Path, help="JSON of arguments that override the preset's network's")
    model.add_argument("--autoencoder", metavar="PATH|ID", help="trained frame auto-encoder, for ldm")
    add_text_encoder_argument(model)
    model.add_argument(
        "--label_embeddings",
        metavar="PATH|ID",
        help="pipeline whose table of labels is used: the same text embedding for systems that are compared",
    )
    model.add_argument("--kl_weight", type=float, default=1e-6, help="of the auto-encoder's divergence from N(0, 1)")
    model.add_argument(
        "--reconstruction_weight", type=float, default=100.0, help="of ImaGINator's L1 beside its adversarial losses"
    )
    add_diffusion_arguments(parser)
    run = add_run_arguments(
        parser, batch_size=8, learning_rate=2e-4, milestones=(2 / 3, 5 / 6), adam_betas=(0.9, 0.99)
    )
    add_sample_arguments(run)
    add_hub_arguments(parser)
    args = parse_arguments(
        parser, argv, DIFFUSION_AT_LEAST_1, f"{DIFFUSION_AT_LEAST_0} kl_weight reconstruction_weight"
    )
    check_diffusion_arguments(parser, args)
    if args.text_encoder and args.label_embeddings:
        parser.error("--text_encoder and --label_embeddings: give one of the two")
    if (args.system == "ldm") != (args.autoencoder is not None):
        parser.error("--autoencoder goes with --system ldm, which needs it")
    return args


class Recipe(NamedTuple):
    """One system in training.

    Attributes:
        trained: for `TrainingRun.fit`.
        what: what a step consists of, in words.
        folder: of the result, in the output folder.
        write: `(folder, repo_id, facts) -> None`.
        how_to_load: the call, with {} for the folder.
    """

    trained: Trained
    what: str
    folder: str
    write: Callable[[Path, str | None, dict], None]
    how_to_load: str


class Clips(NamedTuple):
    """What there is to learn from and to judge by."""

    train: list[Clip]
    held_out: list[Clip]
    reader: ClipReader


def clip_dataset(args: argparse.Namespace, clips: Clips) -> ClipDataset:
    return ClipDataset(
        clips.train, clips.reader, args.num_frames, args.frame_sampling, args.seed, not args.no_augment, args.flip
    )


def held_out_clips(args: argparse.Namespace, clips: Clips) -> ClipDataset:
    """As they are."""
    chosen = spread(clips.held_out, args.num_validation_clips)
    return ClipDataset(chosen, clips.reader, args.num_frames, "uniform", augment=False)


def validation_pictures(args: argparse.Namespace, clips: Clips) -> list[PIL.Image.Image]:
    """First frames of held-out clips, of other subjects as long as there are any."""
    subjects = list({clip.subject or clip.name: clip for clip in clips.held_out}.values())
    reader = clips.reader
    return [
        PIL.Image.fromarray(reader.place(reader.read(clip, [0]))[0])
        for clip in spread(subjects, args.num_validation_pictures)
    ]


def embedded_labels(
    args: argparse.Namespace, run: TrainingRun, clips: Clips
) -> tuple[list[str], LabelEmbeddings | None]:
    """The labels of the clips, and the table of their texts."""
    labels = sorted({clip.label for clip in clips.train if clip.label})
    if args.label_embeddings:
        table = LabelEmbeddings.from_pretrained(args.label_embeddings, subfolder="label_embeddings")
        if unknown := [label for label in labels if not table.knows(label)]:
            raise ValueError(f"`--label_embeddings` {args.label_embeddings} has no {', '.join(unknown)}.")
        return labels, table
    with run.accelerator.main_process_first():
        return labels, embed_labels(labels, args.text_encoder or TEXT_ENCODER, None, args.seed)[0]


def autoencoder(args: argparse.Namespace, run: TrainingRun, clips: Clips, network: dict) -> Recipe:
    """The frame auto-encoder that LDM needs, of pairs of frames; a batch has two pictures for each."""
    set_seed(args.seed)
    vae = AutoencoderKL(**network | {"sample_size": args.resolution}).train()
    vae = vae.to(memory_format=torch.channels_last)
    shrinks = 2 ** (len(vae.config.block_out_channels) - 1)
    require_size(args.resolution, shrinks)
    grid = (vae.config.latent_channels, *[args.resolution // shrinks] * 2)
    judged = torch.cat(reconstruction_pairs(clips.held_out, clips.reader, args.num_validation_clips))

    def losses(loss: nn.Module, pair: FramePair, draws: range) -> Losses:
        pictures = torch.cat((pair.reference, pair.driving)).to(run.device, memory_format=torch.channels_last)
        noise = [torch.randn(2, *grid, generator=draw_generator(args.seed, draw)) for draw in draws]
        with run.accelerator.autocast():
            return Losses(loss(pictures, torch.stack(noise, dim=1).flatten(0, 1).to(run.device)), {})

    def write(folder: Path, repo_id: str | None, facts: dict) -> None:
        vae.save_pretrained(folder)
        component_card(vae, repo_id=repo_id, facts=facts).save(folder / "README.md")

    def validate(step: int) -> tuple[dict[str, float], dict[str, PIL.Image.Image]]:
        numbers, sheet = evaluate_frame_autoencoder(vae, judged)
        return numbers, {"samples": sheet}

    trained = Trained(
        module=FrameAutoencoderLoss(vae, PixelPyramidLoss(), args.kl_weight),
        optimizer=build_optimizer(vae.parameters(), args.learning_rate, (args.adam_beta1, args.adam_beta2)),
        dataset=PairDataset(clips.train, clips.reader, args.seed, augment=not args.no_augment),
        losses=losses,
        models=[vae],
        validate=validate,
        save=lambda folder: vae.save_pretrained(folder / "vae"),
        state=vae.state_dict,
        load_state=vae.load_state_dict,
    )
    return Recipe(trained, "pairs of frames", "vae", write, "AutoencoderKL.from_pretrained({})")


def standardise(pipe: FrameDiffusionPipeline, clips: Clips, scale: float) -> None:
    """Write the statistics of the space that `pipe` diffuses in into its U-Net's configuration: of pixels from -1 to 1, of
    latents mean 0 and deviation `scale`."""
    if isinstance(pipe, VDMPipeline):
        mean, std = [0.5] * 3, [0.5] * 3
    else:
        found = []
        for clip in spread(clips.train, STATISTICS_CLIPS):
            frames = to_tensor(clips.reader.place(clips.reader.read(clip, range(clip.num_frames))))
            with torch.no_grad():
                found.append(pipe.encode_frames(frames.transpose(0, 1)).double())
        latents = torch.cat(found).transpose(0, 1).flatten(1)
        mean, std = latents.mean(dim=1).tolist(), latents.std(dim=1).tolist()
    pipe.unet.register_to_config(target_mean=mean, target_std=[value / scale for value in std])


def diffusion(args: argparse.Namespace, run: TrainingRun, clips: Clips, network: dict) -> Recipe:
    """VDM or LDM: LFDM's U-Net on frames."""
    labels, table = embedded_labels(args, run, clips)
    prediction_type = args.prediction_type or "epsilon"
    # Pixels end at -1 and 1, where thresholds keep them; latents end nowhere.
    released = released_scheduler(prediction_type=prediction_type).config
    scheduler = DDIMScheduler.from_config(released, thresholding=args.system == "vdm")
    parts = {
        "scheduler": scheduler,
        "label_embeddings": table,
        "default_num_inference_steps": args.num_inference_steps,
    }
    config = network | {
        "num_frames": args.num_frames,
        "image_latent_channels": 3,
        "prediction_type": prediction_type,
    }
    config |= {"text_embed_dim": table.config.embedding_dim} if table is not None else {}
    set_seed(args.seed)
    if args.system == "vdm":
        made = VDMPipeline(UNet3DVideoModel.from_config(config | {"sample_size": args.resolution}), **parts)
    else:
        vae = AutoencoderKL.from_pretrained(args.autoencoder).requires_grad_(False).eval()
        vae.register_to_config(sample_size=args.resolution)
        side = args.resolution // 2 ** (len(vae.config.block_out_channels) - 1)
        made = LDMVideoPipeline(vae, UNet3DVideoModel.from_config(config | {"sample_size": side}), **parts)
        vae.to(memory_format=torch.channels_last)
    require_size(args.resolution, made.stride)
    standardise(made, clips, args.target_scale or 1)
    made.unet.train()
    if args.gradient_checkpointing:
        made.unet.enable_gradient_checkpointing()
    made.to(run.device).set_progress_bar_config(disable=True)
    training = FrameTraining(made, args.seed, args.null_condition_prob, args.snr_gamma, args.ema_decay)
    judged, pictures = held_out_clips(args, clips), validation_pictures(args, clips)

    def losses(loss: nn.Module, samples: ClipSample, draws: range) -> Losses:
        with run.accelerator.autocast():
            given = training.arguments(samples, draws)
        return Losses({"denoising": loss(*given)}, {})

    def write(folder: Path, repo_id: str | None, facts: dict) -> None:
        training.finish(folder)
        pipeline_card(made, repo_id=repo_id, facts=facts).save(folder / "README.md")

    trained = Trained(
        module=training.loss,
        optimizer=build_optimizer(training.weights.values(), args.learning_rate, (args.adam_beta1, args.adam_beta2)),
        dataset=clip_dataset(args, clips),
        losses=losses,
        models=[made.unet],
        validate=lambda step: training.validate(judged, pictures, labels, args.train_batch_size),
        save=training.save,
        after_step=training.after_step,
        state=training.state,
        load_state=training.load_state,
    )
    return Recipe(trained, "videos", "pipeline", write, f"{type(made).__name__}.from_pretrained({{}})")


def adversarial(args: argparse.Namespace, run: TrainingRun, clips: Clips, network: dict) -> Recipe:
    """ImaGINator: a generator and its two discriminators, which step together."""
    labels, table = embedded_labels(args, run, clips)
    width = {"text_embed_dim": table.config.embedding_dim} if table is not None else {}
    sizes = network | {"sample_size": args.resolution, "num_frames": args.num_frames} | width
    set_seed(args.seed)
    generator = ImaginatorGenerator(**sizes).to(memory_format=torch.channels_last)
    discriminators = ImaginatorDiscriminators(**sizes).to(memory_format=torch.channels_last)
    made = ImaginatorPipeline(generator.train(), label_embeddings=table).to(run.device)
    made.set_progress_bar_config(disable=True)
    training = AdversarialTraining(
        made, discriminators, args.seed, args.null_condition_prob, args.reconstruction_weight
    )
    judged, pictures = held_out_clips(args, clips), validation_pictures(args, clips)

    def losses(loss: nn.Module, samples: ClipSample, draws: range) -> Losses:
        with run.accelerator.autocast():
            return Losses(loss(*training.arguments(samples, draws)), {})

    def write(folder: Path, repo_id: str | None, facts: dict) -> None:
        made.to("cpu").save_pretrained(folder)
        pipeline_card(made, repo_id=repo_id, facts=facts).save(folder / "README.md")

    trained = Trained(
        module=training.loss,
        optimizer=build_optimizer(training.loss.parameters(), args.learning_rate, (args.adam_beta1, args.adam_beta2)),
        dataset=clip_dataset(args, clips),
        losses=losses,
        models=[generator, discriminators],
        validate=lambda step: training.validate(judged, pictures, labels),
        save=training.save,
        state=training.loss.state_dict,
        load_state=training.loss.load_state_dict,
    )
    return Recipe(trained, "videos", "pipeline", write, "ImaginatorPipeline.from_pretrained({})")


SYSTEMS: dict[str, Callable[[argparse.Namespace, TrainingRun, Clips, dict], Recipe]] = {
    "autoencoder": autoencoder,
    "vdm": diffusion,
    "ldm": diffusion,
    "imaginator": adversarial,
}


def settle(args: argparse.Namespace) -> dict:
    """Fill in what the user left to the preset; returns the arguments of the system's own network.

    Raises:
        ValueError: if the file of `--model_config` cannot be read, or the resolution does not fit the network.
    """
    network = {
        "autoencoder": lambda: get_autoencoder_config(args.preset),
        "vdm": lambda: get_unet_config(args.preset, VDM_CONFIGS),
        "ldm": lambda: get_unet_config(args.preset, LDM_CONFIGS),
        "imaginator": dict,
    }[args.system]()
    if args.model_config:
        network |= read_json(args.model_config)
    vdm = VDM_CONFIGS[args.preset]
    args.resolution = (
        args.resolution or (vdm if args.system == "vdm" else AUTOENCODER_CONFIGS[args.preset])["sample_size"]
    )
    args.num_frames = args.num_frames or vdm["num_frames"]
    args.frame_sampling = args.frame_sampling or FRAME_SAMPLING[args.preset]
    return network


def read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"`--model_config` must be a JSON file: {error}") from error


def require_size(resolution: int, stride: int) -> None:
    if resolution % stride:
        raise ValueError(f"`--resolution` must be a multiple of {stride} for this network, got {resolution}.")


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and the result in the output folder."""
    run = TrainingRun(args, "train_baseline")
    network = settle(args)
    run.make_repository()
    clips = Clips(*run.clips(args.resolution))
    recipe = SYSTEMS[args.system](args, run, clips, network)
    run.say(f"{args.system}: {args.num_frames} frames of {args.resolution} pixels")
    run.fit(recipe.trained)

    def write(folder: Path) -> None:
        facts = {"dataset": f"{len(clips.train)} clips", "notes": [run.about(len(clips.train), recipe.what)]}
        recipe.write(folder, run.hub_model_id if args.push_to_hub else None, facts)

    run.finish(recipe.folder, write, recipe.how_to_load)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_baseline"):
        train(args)


if __name__ == "__main__":
    main()
