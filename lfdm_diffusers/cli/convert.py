"""`lfdm convert`, which `scripts/convert_checkpoint.py` runs too: released checkpoint files in, one folder out."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from pathlib import Path

from ..arguments.choices import TEXT_ENCODER
from ..conversion.presets import PRESETS, Preset, get_preset
from ..files.names import printable
from ..files.reading import UnreadableFileError, read_text, reading
from .errors import exit_code
from .options import add_json_argument
from .parser import CommandParser

# Bytes, of which the released files have 3,000, and uses of `*name`, of which they have none. A few hundred bytes can stand for more
# than memory holds, as each use may hold several others; a number of a million digits takes the parser minutes.
MOST_YAML, MOST_ALIASES, MOST_NESTED = 1 << 16, 10, 50
EXAMPLES = """
examples:
  a released model, with BERT from the Hub:
    %(prog)s --lfae RegionMM_0100_S046500.pth --unet flowdiff_0005_S111600.pth --preset mug128 --output lfdm-mug
  without the network: BERT from a folder, or none at all (no labels then, only unconditional generation and prompt_embeds)
    %(prog)s --lfae LFAE.pth --unet DM.pth --preset natops128 --text-encoder ./bert --output lfdm-natops --verify
    %(prog)s --lfae LFAE.pth --unet DM.pth --preset mhad128 --text-encoder none --output lfdm-mhad
  MRAA's weights, an auto-encoder to start training from:
    %(prog)s --lfae vox256.pth --preset vox256 --output mraa-vox
  a model that you trained with the released code:
    %(prog)s --lfae LFAE.pth --unet DM.pth --model-params mine.yaml --sample-size 128 --labels "wave,clap" --output mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    files = parser.add_argument_group("what to convert")
    files.add_argument(
        "--lfae", required=True, metavar="LFAE.pth", help="the auto-encoder's checkpoint (LFDM's or MRAA's)"
    )
    files.add_argument(
        "--unet",
        metavar="DM.pth",
        help="the diffusion model's checkpoint; 'none' writes the auto-encoder alone (MRAA's presets always do)",
    )
    files.add_argument("--preset", metavar="NAME", help=f"which released model it is: {', '.join(PRESETS)}")
    files.add_argument(
        "--text-encoder",
        default=TEXT_ENCODER,
        metavar="ID|PATH|none",
        help="the BERT it was trained with, which embeds the labels and is saved too (default: bert-base-cased, as "
        f"{TEXT_ENCODER})",
    )
    own = parser.add_argument_group("models of other configurations, instead of the preset's")
    own.add_argument(
        "--model-params", metavar="FILE.yaml", help="the auto-encoder's parameters, as in the released YAML"
    )
    own.add_argument("--sample-size", type=int, metavar="N", help="side of the pictures in pixels")
    own.add_argument("--num-frames", type=int, metavar="N", help="frames of a video")
    own.add_argument(
        "--labels", metavar="A,B,...|FILE", help="the label texts: a list, or a text file with one a line"
    )
    own.add_argument("--padding-mode", choices=("zeros", "reflect"), help="of the U-Net's upsampling convolutions")
    result = parser.add_argument_group("the result")
    result.add_argument(
        "--output", required=True, metavar="DIR", help="folder to write; it appears whole or not at all"
    )
    result.add_argument("--overwrite", action="store_true", help="replace a folder that an earlier conversion wrote")
    result.add_argument(
        "--drop-text-encoder",
        action="store_true",
        help="save the labels' embeddings only, 400 MB less; no free text then",
    )
    result.add_argument(
        "--verify",
        action="store_true",
        help="run the saved models on a fixed input and compare with a second, plain computation from the checkpoints",
    )
    result.add_argument("--push-to-hub", metavar="REPO_ID", help="upload the finished folder to this Hub repository")
    result.add_argument(
        "--hub-token", metavar="TOKEN", help="for the upload; by default the one you are logged in with"
    )
    result.add_argument("--private", action="store_true", help="make the Hub repository private")
    add_json_argument(result)


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Run the command; returns the exit code: 0, or 2 after one sentence on stderr."""
    parser = CommandParser(
        prog=prog, description="Convert released LFDM or MRAA checkpoints to a folder.", fill=add_arguments
    )
    return exit_code(lambda: run(parser.parse_args(argv)))


def run(args: argparse.Namespace) -> int:
    """`main` for options that are parsed already."""
    from huggingface_hub.utils import validate_repo_id

    from ..conversion.folder import convert_files
    from ..hub.push import push_folder

    preset, model_params = read_preset(args)
    lines: list[str] = []
    address = None
    say = lines.append if args.json else _say
    if args.push_to_hub is not None:
        validate_repo_id(args.push_to_hub)
    convert_files(
        args.lfae,
        args.unet,
        preset,
        args.output,
        text_encoder=args.text_encoder,
        model_params=model_params,
        drop_text_encoder=args.drop_text_encoder,
        verify=args.verify,
        overwrite=args.overwrite,
        repo_id=args.push_to_hub,
        say=say,
    )
    if args.push_to_hub is not None:
        message = "Converted with lfdm_diffusers"
        address = push_folder(args.output, args.push_to_hub, args.hub_token, args.private, message)
        say(f"pushed to {address}")
    if args.json:
        print(
            json.dumps(
                {"output": str(args.output), "preset": preset.name, "address": address, "report": lines}, indent=2
            )
        )
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def read_preset(args: argparse.Namespace) -> tuple[Preset, dict | None]:
    """The preset that the options name, with what they override; and `model_params`, if given.

    Raises:
        ValueError: if neither a preset nor parameters are given, or a file of them cannot be used.
    """
    if args.preset is None and args.model_params is None:
        raise ValueError(f"`--preset` is missing; it must be one of {', '.join(PRESETS)} (or give `--model-params`).")
    if args.preset is not None:
        preset = get_preset(args.preset)
    else:
        preset = Preset("custom", "", upsample_type=None, learned_null_embedding=None)
    overrides = {k: getattr(args, k) for k in ("sample_size", "num_frames", "padding_mode")}
    overrides["labels"] = None if args.labels is None else _read_labels(args.labels)
    overrides = {k: v for k, v in overrides.items() if v is not None}
    if overrides.get("num_frames", 1) < 1:
        raise ValueError(f"`--num-frames` must be at least 1, got {args.num_frames}.")
    if preset.is_mraa and overrides.keys() - {"sample_size"}:
        raise ValueError(f"Preset {preset.name} has no U-Net, so only `--sample-size` applies to it.")
    return dataclasses.replace(preset, **overrides), _read_model_params(args.model_params)


def _read_labels(text: str) -> tuple[str, ...]:
    path = Path(text)
    # os.path takes what is too long for a name; many labels are.
    if os.path.exists(text) and not os.path.isdir(text):
        try:
            given = read_text(path, "a text in UTF-8").splitlines()
        except UnreadableFileError as error:
            raise ValueError(f"`--labels` must be a text file, or labels with commas: {error}") from error
    elif path.suffix or os.path.isdir(text) or len(path.parts) > 1:
        raise ValueError(
            f"`--labels` {printable(text)[:200]} is no file; give a text file with a label a line, or labels with commas."
        )
    else:
        given = text.split(",")
    labels = tuple(label.strip() for label in given if label.strip())
    if not labels:
        raise ValueError("`--labels` must name at least one label.")
    return labels


def _read_model_params(path: str | None) -> dict | None:
    import yaml

    from ..hub.bounds import require_bounded

    if path is None:
        return None
    try:
        text = read_text(path, "YAML", MOST_YAML)
        with reading(path, "YAML"):
            aliases = nested = 0
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                aliases += isinstance(event, yaml.AliasEvent)
                nested += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if aliases > MOST_ALIASES:
                    raise ValueError(f"it uses names for its parts (`*name`) more than {MOST_ALIASES} times")
                if nested > MOST_NESTED:  # before the scanner, whose time grows with the square of what is open
                    raise ValueError(f"its parts are nested more than {MOST_NESTED} deep")
            content = yaml.safe_load(text)
    except UnreadableFileError as error:
        raise ValueError(f"`--model-params` must be a YAML file: {error}") from error
    parameters = content.get("model_params", content) if isinstance(content, dict) else content
    if not isinstance(parameters, dict):
        raise ValueError(f"`--model-params` {printable(path)} must hold a mapping, as the released YAML files do.")
    try:
        require_bounded(parameters, path)
    except ValueError as error:
        raise ValueError(f"`--model-params` {error}") from error
    return parameters
