"""What the training scripts' command lines share: options, errors, and a public form of the command."""

from __future__ import annotations

import argparse
import contextlib
import logging
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..arguments.choices import FITS, FRAME_SAMPLINGS, LAYOUTS, PREDICTION_TYPES, TEXT_ENCODER
from ..arguments.faults import is_full_memory, report_fault
from ..arguments.types import add_limit_arguments, number, whole_number
from ..files.names import print_anything, printable_lines

SAMPLED_STEPS = 10  # of denoising, in validation and by default


def script_parser(doc: str) -> argparse.ArgumentParser:
    """A parser for a script with this docstring, whose first line is the description."""
    return argparse.ArgumentParser(
        allow_abbrev=False,  # a token must be recognisable
        description=doc.splitlines()[0],
        formatter_class=argparse.RawTextHelpFormatter,
    )


def add_data_arguments(parser: argparse.ArgumentParser, resolution: int | None = None) -> argparse._ArgumentGroup:
    """Which clips, and how they are read; `resolution` is a script's default, None the model's."""
    group = parser.add_argument_group("data")
    which = group.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--train_data_dir", type=Path, help="folder of clips, or tars such as shards/{000..127}.tar, see docs/data.md"
    )
    which.add_argument("--dataset_name", help="data set of the Hub, or a local folder of the library datasets")
    group.add_argument("--dataset_config_name", help="of those that --dataset_name has; of files, a folder in it")
    group.add_argument("--dataset_revision", help="branch, tag or commit of --dataset_name")
    group.add_argument(
        "--streaming", action="store_true", help="keep no more of --dataset_name than its frames in --cache_dir"
    )
    group.add_argument("--layout", default="auto", choices=["auto", *LAYOUTS])
    group.add_argument("--train_split", help="default: train, where the data have splits; else all clips")
    group.add_argument("--validation_split", help="default: validation, else test, else the training clips")
    group.add_argument(
        "--resolution",
        type=whole_number(1),
        default=resolution,
        help="side of the pictures in pixels; default: " + (str(resolution) if resolution else "the model's"),
    )
    group.add_argument("--fit", default=FITS[0], choices=FITS)
    group.add_argument("--no_augment", action="store_true", help="pictures as they are")
    group.add_argument("--strict_clips", action="store_true", help="stop if any clip cannot be used")
    group.add_argument("--cache_dir", help="decoded clips; default: OUTPUT_DIR/cache; 'none' decodes every time")
    group.add_argument("--cache_compress", action="store_true", help="half the cache's size, slower to read")
    add_limit_arguments(group, "_")
    group.add_argument("--dataloader_num_workers", type=whole_number(0), default=0)
    return group


def add_run_arguments(
    parser: argparse.ArgumentParser,
    *,
    batch_size: int,
    learning_rate: float,
    milestones: Sequence[float],
    adam_betas: tuple[float, float],
) -> argparse._ArgumentGroup:
    """How long, how fast, what is saved where; with the script's own defaults."""
    group = parser.add_argument_group("training")
    group.add_argument("--output_dir", type=Path, required=True)
    group.add_argument("--seed", type=whole_number(0), default=0)
    group.add_argument(
        "--train_batch_size", type=whole_number(1), default=batch_size, help="in each process and forward pass"
    )
    group.add_argument("--gradient_accumulation_steps", type=whole_number(1), default=1)
    group.add_argument("--gradient_checkpointing", action="store_true", help="less memory, slower")
    group.add_argument("--num_train_epochs", type=whole_number(1), default=100)
    group.add_argument("--num_repeats", type=whole_number(1), default=1, help="times each clip counts in an epoch")
    group.add_argument(
        "--max_train_steps", type=whole_number(1), help="updates of the weights; overrides --num_train_epochs"
    )
    group.add_argument("--learning_rate", "--lr", type=number(0), default=learning_rate)
    group.add_argument(
        "--lr_warmup_steps", type=whole_number(0), default=0, help="steps over which the learning rate rises"
    )
    group.add_argument(
        "--lr_milestones", type=number(0), nargs="*", default=list(milestones), help="shares of the whole training"
    )
    group.add_argument("--lr_gamma", type=number(0), default=0.1, help="factor of the learning rate at each milestone")
    group.add_argument("--adam_beta1", type=number(0, 1), default=adam_betas[0])
    group.add_argument("--adam_beta2", type=number(0, 1), default=adam_betas[1])
    group.add_argument("--max_grad_norm", type=number(0), default=0.0, help="clip gradients to this norm; 0: do not")
    group.add_argument("--mixed_precision", choices=["no", "bf16", "fp16"], help="default: accelerate's configuration")
    group.add_argument("--allow_tf32", action="store_true", help="faster float32 on Ampere GPUs and later")
    group.add_argument("--checkpointing_steps", type=whole_number(1), default=500)
    group.add_argument(
        "--checkpoints_total_limit", type=whole_number(0), default=3, help="keep only so many, the newest; 0: all"
    )
    group.add_argument("--resume_from_checkpoint", metavar="latest|PATH")
    group.add_argument(
        "--validation_steps", type=whole_number(0), default=500, help="numbers and pictures; 0: at the end only"
    )
    group.add_argument("--logging_steps", type=whole_number(1), default=10)
    group.add_argument("--report_to", default="none", help="tensorboard, wandb, ...; metrics.jsonl is always written")
    return group


def add_comparison_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """How pictures are compared, and where errors count more."""
    group = parser.add_argument_group("losses")
    group.add_argument(
        "--perceptual",
        default="vgg19",
        help="network whose features are compared: vgg19 or vgg16 (from the Hub), a file, another backbone's Hub\n"
        "repository or folder, see docs/training.md; 'none': pixels and their gradients",
    )
    group.add_argument(
        "--perceptual_layers", nargs="+", metavar="NAME", help="feature maps; default: five of each network"
    )
    group.add_argument(
        "--motion_loss_weight",
        type=number(0),
        default=0.0,
        help="errors count more where pictures differ; small motion: 5",
    )
    return group


def add_loss_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The losses of an auto-encoder's pictures, and their weights."""
    group = add_comparison_arguments(parser)
    group.add_argument(
        "--inpainted_loss_weight",
        type=number(0),
        default=1.0,
        help="of the picture before the last blend; 0 as in the paper, see docs/training.md",
    )
    return group


def add_autoencoder_arguments(parser: argparse.ArgumentParser, purpose: str) -> argparse._ArgumentGroup:
    """The trained auto-encoder that a script starts from, read by `load_autoencoder`; `purpose` completes the help."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--pretrained_model_name_or_path",
        required=True,
        help=f"pipeline or auto-encoder {purpose}: a folder or Hub repository",
    )
    group.add_argument("--subfolder", help="of the auto-encoder; default: lfae in a pipeline, else none")
    return group


def add_pair_arguments(group: argparse._ArgumentGroup, freeze_batchnorm_after: float, help: str) -> None:
    """Add to the run's group how an auto-encoder learns from pairs, with the script's default and its reason."""
    group.add_argument("--freeze_batchnorm_after", type=number(0), default=freeze_batchnorm_after, help=help)
    group.add_argument("--num_validation_pairs", type=whole_number(1), default=32)


def add_hub_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the result is pushed to."""
    group = parser.add_argument_group("Hub")
    group.add_argument("--push_to_hub", action="store_true")
    group.add_argument("--hub_model_id", help="default: the name of OUTPUT_DIR")
    group.add_argument("--hub_token")
    group.add_argument("--hub_private_repo", action="store_true")


def add_clip_arguments(group: argparse._ArgumentGroup) -> None:
    """Add to the data's group how whole clips are sampled."""
    group.add_argument("--num_frames", type=whole_number(1), help="frames of a video; default: the model's")
    group.add_argument("--frame_sampling", choices=FRAME_SAMPLINGS, help="default: the preset's, else random")
    group.add_argument(
        "--flip",
        action="store_true",
        help="mirror half the examples, and left and right in sentences (train_unet.py); not where labels name a side",
    )


def refuse_options(
    parser: argparse.ArgumentParser, args: argparse.Namespace, names: Iterable[str], reason: str
) -> None:
    """End the program with the parser's message if an option named was given a value that is not its default."""
    for name in names:
        if getattr(args, name) != parser.get_default(name):
            parser.error(f"--{name} {reason}")


def add_text_encoder_argument(group: argparse._ArgumentGroup, more: str = "") -> None:
    """What embeds the labels; `more` is added to the default's description."""
    group.add_argument(
        "--text_encoder",
        help="BERT that embeds the labels: Hub repository or folder; 'none': orthogonal vectors, no download.\n"
        f"Default: {TEXT_ENCODER}{more}",
    )


def add_diffusion_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """How a U-Net learns to denoise."""
    group = parser.add_argument_group("diffusion")
    group.add_argument(
        "--target_scale",
        type=number(above=0),
        help="standard deviation of what is diffused, of pixels (vdm) their largest value; default 1;\nless: labels are decided over more timesteps",
    )
    group.add_argument("--prediction_type", choices=PREDICTION_TYPES, help="default: epsilon, as published")
    group.add_argument(
        "--null_condition_prob", type=number(0, 1), default=0.1, help="share of examples without their label"
    )
    group.add_argument(
        "--snr_gamma", type=number(0), help="min-SNR weights with this gamma (5 is usual); default: none"
    )
    group.add_argument(
        "--ema_decay", type=number(0, 1), default=0.999, help="of the averaged weights that are saved; 0: none"
    )
    return group


def add_sample_arguments(group: argparse._ArgumentGroup, steps: int | None = SAMPLED_STEPS) -> None:
    """Add to the run's group what validation generates; `steps` is the default, None what a pretrained pipeline has."""
    group.add_argument(
        "--num_inference_steps",
        type=whole_number(1),
        default=steps,
        help="of validation, and the pipeline's default"
        + ("" if steps else f" (default: what a pretrained one has, else {SAMPLED_STEPS})"),
    )
    group.add_argument("--num_validation_clips", type=whole_number(1), default=64, help="for the validation loss")
    group.add_argument("--num_validation_pictures", type=whole_number(1), default=2, help="to sample every label for")
    group.add_argument(
        "--gallery",
        action="store_true",
        help="keep clips of the first of these pictures beside the model, for its card: they show, and publish, who is in it",
    )


@contextlib.contextmanager
def one_sentence(name: str) -> Iterator[None]:
    """End the script `name` with one sentence for a user's mistake, full memory or a diverged training."""
    from ..ops.number_types import float32_by_default  # loads torch, which `--help` does not need

    logging.getLogger("accelerate").setLevel(logging.ERROR)
    print_anything()
    try:
        with float32_by_default():
            yield
    except FloatingPointError as error:
        raise SystemExit(
            f"{name}: {error} Training has stopped; what was saved before is kept. Go on from there with "
            "`--resume_from_checkpoint latest` and a lower --learning_rate, or without --mixed_precision."
        ) from error
    except (ValueError, OSError) as error:
        raise SystemExit(printable_lines(f"{name}: {error}")) from error
    except Exception as error:
        if is_full_memory(error):
            raise SystemExit(f"{name}: out of memory; take smaller batches ({printable_lines(error)})") from error
        report_fault(error)
        raise SystemExit(1) from error


def public_command(argv: list[str], script: str) -> str:
    """A command line for others to read: the script's name, no token, and of folders on this machine only the name."""
    words, hidden = [], False
    for word in argv[1:]:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if not hidden and option != "--hub_token":
            value = Path(value).name if value.startswith(("/", "~", "..")) else value
            words.append(f"{option}{equals}{value}")
        hidden = option == "--hub_token" and not equals
    return shlex.join(["python", script, *words])
