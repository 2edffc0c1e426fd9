#!/usr/bin/env python
"""Train a system that LFDM was compared with: VDM, LDM and its frame auto-encoder, or ImaGINator; see docs/related.md.

accelerate launch training/train_baseline.py --system autoencoder --train_data_dir toon-faces --output_dir ae --preset toon64
accelerate launch training/train_baseline.py --system ldm --train_data_dir toon-faces --output_dir ldm --preset toon64 \
    --autoencoder ae/vae --text_encoder none --prediction_type v_prediction
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import PIL.Image
import torch
from accelerate.utils import set_seed
from diffusers import AutoencoderKL, DDIMScheduler
from torch import nn

from lfdm_diffusers import ImaginatorGenerator, ImaginatorPipeline, LabelEmbeddings, UNet3DVideoModel
from lfdm_diffusers.data.chance import draw_generator
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.dataset import ClipDataset, ClipSample, FramePair, PairDataset, to_tensor
from lfdm_diffusers.data.sampling import spread
from lfdm_diffusers.evaluation.reconstruction import reconstruction_pairs
from lfdm_diffusers.hub.cards import component_card
from lfdm_diffusers.models.imaginator import ImaginatorDiscriminators, level_frames, level_widths
from lfdm_diffusers.models.text_encoders import TEXT_ENCODER
from lfdm_diffusers.pipelines import FRAME_SPACES, FrameDiffusionPipeline
from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training.adversarial import AdversarialTraining
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
    refuse_options,
)
from lfdm_diffusers.training.checkpoints import restore_weights
from lfdm_diffusers.training.frame_autoencoder import (
    FrameAutoencoderLoss,
    build_frame_autoencoder,
    evaluate_frame_autoencoder,
)
from lfdm_diffusers.training.labels import embed_labels
from lfdm_diffusers.training.losses import PixelPyramidLoss
from lfdm_diffusers.training.optimizer import build_optimizer
from lfdm_diffusers.training.presets import (
    AUTOENCODER_CONFIGS,
    FRAME_SAMPLING,
    get_autoencoder_config,
    get_unet_config,
)
from lfdm_diffusers.training.run import Losses, Trained, TrainingRun
from lfdm_diffusers.training.targets import FrameTraining
from lfdm_diffusers.visualization.generation_sheet import first_pictures

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
    model.add_argument("--kl_weight", type=float, default=1e-6, help="of the auto-encoder's divergence from N(0, 1)")
    model.add_argument(
        "--reconstruction_weight", type=float, default=100.0, help="of ImaGINator's L1 beside its adversarial losses"
    )
    model.add_argument(
        "--discriminator_lr_scale",
        type=float,
        default=1.0,
        help="learning rate of ImaGINator's discriminators, as a multiple of --learning_rate",
    )
    add_diffusion_arguments(parser)
    run = add_run_arguments(
        parser, batch_size=8, learning_rate=2e-4, milestones=(2 / 3, 5 / 6), adam_betas=(0.9, 0.99)
    )
    add_sample_arguments(run)
    add_hub_arguments(parser)
    args = parse_arguments(
        parser,
        argv,
        DIFFUSION_AT_LEAST_1,
        f"{DIFFUSION_AT_LEAST_0} kl_weight reconstruction_weight discriminator_lr_scale",
    )
    check_diffusion_arguments(parser, args)
    others = {name for names in OPTIONS.values() for name in names} - set(OPTIONS[args.system])
    refuse_options(parser, args, sorted(others), f"has no use for --system {args.system}")
    if args.text_encoder and args.label_embeddings:
        parser.error("--text_encoder and --label_embeddings: give one of the two")
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


class Material:
    """What a system is trained on: the clips of a run at a resolution, as its options say."""

    def __init__(self, args: argparse.Namespace, run: TrainingRun, resolution: int):
        args.resolution = resolution
        self.args, self.run = args, run
        self.train, self.held_out, self.reader = run.clips(resolution)

    def frames(self, clip: Clip) -> torch.Tensor:
        """All of a clip, `(T, 3, H, W)`."""
        return to_tensor(self.reader.place(self.reader.read(clip, range(clip.num_frames)))).transpose(0, 1)

    def dataset(self) -> ClipDataset:
        args = self.args
        return ClipDataset(
            self.train, self.reader, args.num_frames, args.frame_sampling, args.seed, not args.no_augment, args.flip
        )

    def judged(self) -> ClipDataset:
        """Held-out clips, as they are."""
        chosen = spread(self.held_out, self.args.num_validation_clips)
        return ClipDataset(chosen, self.reader, self.args.num_frames, "uniform", augment=False)

    def pictures(self) -> list[PIL.Image.Image]:
        return first_pictures(self.held_out, self.reader, self.args.num_validation_pictures)

    def labels(self) -> tuple[list[str], LabelEmbeddings | None]:
        """The labels of the clips, and the table of their texts.

        Raises:
            ValueError: if the table that is to be used, or the training clips, lack one.
        """
        args, labels = self.args, sorted({clip.label for clip in self.train if clip.label})
        if args.label_embeddings:
            try:
                table = LabelEmbeddings.from_pretrained(args.label_embeddings, subfolder="label_embeddings")
            except OSError as error:
                raise ValueError(f"`--label_embeddings` {args.label_embeddings}: {error}") from error
        else:
            with self.run.accelerator.main_process_first():
                table = embed_labels(labels, args.text_encoder or TEXT_ENCODER, None, args.seed)[0]
        there = sorted({clip.label for clip in (*self.train, *self.held_out) if clip.label})
        if unknown := [label for label in there if table is None or not table.knows(label)]:
            source = f"`--label_embeddings` {args.label_embeddings}" if args.label_embeddings else "`--train_split`"
            raise ValueError(f"{source} has no {', '.join(unknown)}, a label of the clips.")
        return labels, table


def require_size(resolution: int, stride: int) -> None:
    if resolution % stride:
        raise ValueError(f"`--resolution` must be a multiple of {stride} for this network, got {resolution}.")


# Arguments of networks that are not `--model_config`'s to say: the data's, other options', or the space's.
SETTLED = ("self", "sample_size", "num_frames", "prediction_type", "text_embed_dim")
SETTLED_BY_SPACE = (
    "in_channels",
    "out_channels",
    "image_latent_channels",
    "flow_target",
    "target_mean",
    "target_std",
)


def overridden(args: argparse.Namespace, config: dict, cls: type, settled: Sequence[str] = ()) -> dict:
    """A network's arguments: the preset's, those of `--model_config`, without what is settled.

    Raises:
        ValueError: for an argument that the network does not have.
    """
    given = read_network(args.model_config, "--model_config") if args.model_config else {}
    allowed = set(inspect.signature(cls.__init__).parameters) - {*SETTLED, *settled}
    if unknown := sorted(set(given) - allowed):
        raise ValueError(
            f"`--model_config` must hold arguments of {cls.__name__} ({', '.join(sorted(allowed))}), got {', '.join(unknown)}."
        )
    return config | given


@contextlib.contextmanager
def built_of(args: argparse.Namespace) -> Iterator[None]:
    """A network that cannot be built of what `--model_config` holds is told by that name."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not args.model_config:
            raise
        raise ValueError(f"`--model_config` {args.model_config} makes no network: {error}") from error


def autoencoder(args: argparse.Namespace, run: TrainingRun) -> Recipe:
    """The frame auto-encoder that LDM needs, of pairs of frames; a batch has two pictures for each."""
    config = overridden(args, get_autoencoder_config(args.preset), AutoencoderKL, ("in_channels", "out_channels"))
    clips = Material(args, run, args.resolution or config["sample_size"])
    set_seed(args.seed)
    with built_of(args):
        vae = build_frame_autoencoder(config | {"sample_size": args.resolution})
    vae = vae.train().to(memory_format=torch.channels_last)
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
        load_state=lambda state: restore_weights(vae, state),
    )
    return Recipe(trained, "pairs of frames", "vae", write, "AutoencoderKL.from_pretrained({})")


def frame_pipeline(args: argparse.Namespace, run: TrainingRun) -> tuple[FrameDiffusionPipeline, Material, list[str]]:
    """A pipeline of the space that `--system` names with a new U-Net, what it is trained on, and the labels."""
    cls = FRAME_SPACES[args.system]
    try:
        space = cls.load_space(args.autoencoder)
    except (ValueError, OSError) as error:
        raise ValueError(f"`--autoencoder` for --system {args.system}: {error}") from error
    config = overridden(args, get_unet_config(args.preset, args.system), UNet3DVideoModel, SETTLED_BY_SPACE)
    prediction_type, scale = args.prediction_type or "epsilon", args.target_scale or 1
    # What has an end is clipped there, as is usual for pixels; what has none is left as it is.
    limits = {"thresholding": False, "clip_sample": cls.bounded, "clip_sample_range": scale}
    made = cls(
        unet=None,
        scheduler=DDIMScheduler.from_config(released_scheduler(prediction_type=prediction_type).config, **limits),
        default_num_inference_steps=args.num_inference_steps,
        **space,
    )
    made.to(run.device).set_progress_bar_config(disable=True)
    # A network of the space knows its pictures' size, the preset the grid's.
    trained_size = next((network.config.sample_size for network in space.values()), config.get("sample_size"))
    clips = Material(args, run, args.resolution or trained_size or AUTOENCODER_CONFIGS[args.preset]["sample_size"])
    labels, table = clips.labels()

    def batches() -> Iterator[torch.Tensor]:
        for clip in spread(clips.train, STATISTICS_CLIPS):
            yield clips.frames(clip).to(run.device)

    mean, std = made.statistics(batches())
    require_size(args.resolution, made.downscale_factor)
    config |= dict.fromkeys(("in_channels", "out_channels", "image_latent_channels"), made.latent_channels)
    config |= {
        "sample_size": args.resolution // made.downscale_factor,
        "num_frames": args.num_frames,
        "prediction_type": prediction_type,
        "flow_target": "absolute",  # nothing is added
        "target_mean": mean,
        "target_std": [value / scale for value in std],
    }
    if table is not None:
        config["text_embed_dim"] = table.config.embedding_dim
    set_seed(args.seed)
    with built_of(args):
        unet = UNet3DVideoModel.from_config(config)
    made.register_modules(unet=unet.train().to(run.device), label_embeddings=table)
    require_size(args.resolution, made.stride)
    return made, clips, labels


def diffusion(args: argparse.Namespace, run: TrainingRun) -> Recipe:
    """LFDM's U-Net on frames: VDM, LDM."""
    made, clips, labels = frame_pipeline(args, run)
    if args.gradient_checkpointing:
        made.unet.enable_gradient_checkpointing()
    training = FrameTraining(made, args.seed, args.null_condition_prob, args.snr_gamma, args.ema_decay)
    judged, pictures = clips.judged(), clips.pictures()

    def losses(loss: nn.Module, samples: ClipSample, draws: range) -> Losses:
        with run.accelerator.autocast():
            given = training.arguments(samples, draws)
        return Losses({"denoising": loss(*given)}, {})

    def write(folder: Path, repo_id: str | None, facts: dict) -> None:
        training.finish(folder)
        made.card(repo_id=repo_id, facts=facts).save(folder / "README.md")

    trained = Trained(
        module=training.loss,
        optimizer=build_optimizer(training.weights.values(), args.learning_rate, (args.adam_beta1, args.adam_beta2)),
        dataset=clips.dataset(),
        losses=losses,
        models=[made.unet],
        validate=lambda step: training.validate(judged, pictures, labels, args.train_batch_size),
        save=training.save,
        after_step=training.after_step,
        state=training.state,
        load_state=training.load_state,
    )
    return Recipe(trained, "videos", "pipeline", write, f"{type(made).__name__}.from_pretrained({{}})")


def adversarial(args: argparse.Namespace, run: TrainingRun) -> Recipe:
    """ImaGINator: a generator and its two discriminators, which step together."""
    config = overridden(args, {}, ImaginatorGenerator, ("in_channels",))
    resolution = args.resolution or AUTOENCODER_CONFIGS[args.preset]["sample_size"]
    try:
        level_frames(args.num_frames, len(level_widths(resolution, 1)))
    except ValueError as error:  # before the clips are read
        raise ValueError(f"`--resolution` {resolution}, `--num_frames` {args.num_frames}: {error}") from error
    clips = Material(args, run, resolution)
    labels, table = clips.labels()
    config |= {"sample_size": args.resolution, "num_frames": args.num_frames}
    config |= {"text_embed_dim": table.config.embedding_dim} if table is not None else {}
    set_seed(args.seed)
    with built_of(args):
        generator = ImaginatorGenerator(**config).to(memory_format=torch.channels_last)
        config.pop("noise_dim", None)
        discriminators = ImaginatorDiscriminators(**config).to(memory_format=torch.channels_last)
    made = ImaginatorPipeline(generator.train(), label_embeddings=table).to(run.device)
    made.set_progress_bar_config(disable=True)
    training = AdversarialTraining(
        made, discriminators, args.seed, args.null_condition_prob, args.reconstruction_weight, args.ema_decay
    )
    players = training.parameters(args.discriminator_lr_scale)
    judged, pictures = clips.judged(), clips.pictures()

    def losses(loss: nn.Module, samples: ClipSample, draws: range) -> Losses:
        with run.accelerator.autocast():
            return Losses(loss(*training.arguments(samples, draws)), {})

    def write(folder: Path, repo_id: str | None, facts: dict) -> None:
        training.finish(folder)
        made.card(repo_id=repo_id, facts=facts).save(folder / "README.md")

    trained = Trained(
        module=training.loss,
        optimizer=build_optimizer(players, args.learning_rate, (args.adam_beta1, args.adam_beta2)),
        dataset=clips.dataset(),
        losses=losses,
        models=[generator, discriminators],
        validate=lambda step: training.validate(judged, pictures, labels),
        save=training.save,
        after_step=training.after_step,
        state=training.state,
        load_state=training.load_state,
    )
    return Recipe(trained, "videos", "pipeline", write, "ImaginatorPipeline.from_pretrained({})")


SYSTEMS: dict[str, Callable[[argparse.Namespace, TrainingRun], Recipe]] = {
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
    recipe = SYSTEMS[args.system](args, run)
    run.say(f"{args.system}, {args.resolution} pixels")
    run.fit(recipe.trained)

    def write(folder: Path) -> None:
        clips = len(recipe.trained.dataset)
        facts = {"dataset": f"{clips} clips", "notes": [run.about(clips, recipe.what)]}
        recipe.write(folder, run.hub_model_id if args.push_to_hub else None, facts)

    run.finish(recipe.folder, write, recipe.how_to_load)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_baseline"):
        train(args)


if __name__ == "__main__":
    main()
