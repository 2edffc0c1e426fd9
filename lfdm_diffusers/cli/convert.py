"""Converting released checkpoint files into one folder: what `scripts/convert_checkpoint.py` runs."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
import yaml
from huggingface_hub.utils import validate_repo_id

from ..conversion import add_texts, convert_lfae, convert_unet, join_pipeline, read_betas
from ..conversion.presets import PRESETS, Preset, get_preset
from ..conversion.verification import fingerprint, verify_lfae, verify_unet
from ..files.fingerprints import file_sha256
from ..files.torch_files import load_checkpoint
from ..hub.base import push_folder
from ..hub.cards import CONVERTED_LICENSE, CardFacts, lfae_card, pipeline_card
from ..models import LatentFlowAutoencoder
from ..models.text_encoders import TEXT_ENCODER, load_text_encoder
from ..pipelines import LFDMPipeline
from ..pipelines.loading import quiet_libraries
from .errors import with_exit_codes
from .options import add_json_argument

NONE = "none"
# What tells a folder of ours: the class that one of these files names.
OUR_FOLDERS = {"model_index.json": LFDMPipeline.__name__, "config.json": LatentFlowAutoencoder.__name__}
EXAMPLES = """
examples:
  a released model, with BERT from the Hub:
    %(prog)s --lfae RegionMM_0100_S046500.pth --unet flowdiff_0005_S111600.pth --preset mug128 --output lfdm-mug
  without the network: BERT from a folder, or none at all (no labels then, only unconditional generation and prompt_embeds)
    %(prog)s --lfae LFAE.pth --unet DM.pth --preset natops128 --text_encoder ./bert --output lfdm-natops --verify
    %(prog)s --lfae LFAE.pth --unet DM.pth --preset mhad128 --text_encoder none --output lfdm-mhad
  MRAA's weights, an auto-encoder to start training from:
    %(prog)s --lfae vox256.pth --preset vox256 --output mraa-vox
  a model that you trained with the released code:
    %(prog)s --lfae LFAE.pth --unet DM.pth --model_params mine.yaml --sample_size 128 --labels "wave,clap" --output mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
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
        "--text_encoder",
        default=TEXT_ENCODER,
        metavar="ID|PATH|none",
        help="the BERT it was trained with, which embeds the labels and is saved too (default: bert-base-cased, as "
        f"{TEXT_ENCODER})",
    )
    own = parser.add_argument_group("models of other configurations, instead of the preset's")
    own.add_argument(
        "--model_params", metavar="FILE.yaml", help="the auto-encoder's parameters, as in the released YAML"
    )
    own.add_argument("--sample_size", type=int, metavar="N", help="side of the pictures in pixels")
    own.add_argument("--num_frames", type=int, metavar="N", help="frames of a video")
    own.add_argument(
        "--labels", metavar="A,B,...|FILE", help="the label texts: a list, or a text file with one a line"
    )
    own.add_argument("--padding_mode", choices=("zeros", "reflect"), help="of the U-Net's upsampling convolutions")
    result = parser.add_argument_group("the result")
    result.add_argument(
        "--output", required=True, metavar="DIR", help="folder to write; it appears whole or not at all"
    )
    result.add_argument("--overwrite", action="store_true", help="replace a folder that an earlier conversion wrote")
    result.add_argument(
        "--drop_text_encoder",
        action="store_true",
        help="save the labels' embeddings only, 400 MB less; no free text then",
    )
    result.add_argument(
        "--verify",
        action="store_true",
        help="run the saved models on a fixed input and compare with a second, plain computation from the checkpoints",
    )
    result.add_argument("--push_to_hub", metavar="REPO_ID", help="upload the finished folder to this Hub repository")
    result.add_argument(
        "--hub_token", metavar="TOKEN", help="for the upload; by default the one you are logged in with"
    )
    result.add_argument("--private", action="store_true", help="make the Hub repository private")
    add_json_argument(result)


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Run the command; returns the exit code: 0, or 2 after one sentence on stderr."""
    parser = argparse.ArgumentParser(prog=prog, description="Convert released LFDM or MRAA checkpoints to a folder.")
    add_arguments(parser)
    return run(parser.parse_args(argv))


@with_exit_codes
def run(args: argparse.Namespace) -> int:
    """`main` for options that are parsed already."""
    preset, model_params = read_preset(args)
    lines, address = [], None
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
        raise ValueError(f"`--preset` is missing; it must be one of {', '.join(PRESETS)} (or give `--model_params`).")
    if args.preset is not None:
        preset = get_preset(args.preset)
    else:
        preset = Preset("custom", "", upsample_type=None, learned_null_embedding=None)
    overrides = {k: getattr(args, k) for k in ("sample_size", "num_frames", "padding_mode")}
    overrides["labels"] = None if args.labels is None else _read_labels(args.labels)
    overrides = {k: v for k, v in overrides.items() if v is not None}
    if overrides.get("num_frames", 1) < 1:
        raise ValueError(f"`--num_frames` must be at least 1, got {args.num_frames}.")
    if preset.is_mraa and overrides.keys() - {"sample_size"}:
        raise ValueError(f"Preset {preset.name} has no U-Net, so only `--sample_size` applies to it.")
    return dataclasses.replace(preset, **overrides), _read_model_params(args.model_params)


def _read_labels(text: str) -> tuple[str, ...]:
    path = Path(text)
    if path.is_file():
        try:
            given = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"`--labels` {text} is not a UTF-8 text file.") from error
    elif path.suffix or path.is_dir() or len(path.parts) > 1:
        raise ValueError(f"`--labels` {text} is no file; give a text file with a label a line, or labels with commas.")
    else:
        given = text.split(",")
    labels = tuple(label.strip() for label in given if label.strip())
    if not labels:
        raise ValueError("`--labels` must name at least one label.")
    return labels


def _read_model_params(path: str | None) -> dict | None:
    if path is None:
        return None
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"`--model_params` {path} is not a YAML file.") from error
    if not isinstance(content, dict):
        raise ValueError(f"`--model_params` {path} must hold a mapping, as the released YAML files do.")
    return content.get("model_params", content)


def convert_files(
    lfae: str | Path,
    unet: str | Path | None,
    preset: Preset,
    output: str | Path,
    *,
    text_encoder: str | None = TEXT_ENCODER,
    model_params: dict | None = None,
    drop_text_encoder: bool = False,
    verify: bool = False,
    overwrite: bool = False,
    repo_id: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Convert checkpoint files into a folder that `from_pretrained` loads; it appears whole or not at all.

    Args:
        lfae, unet: checkpoint files. Without a `unet` (None for MRAA's presets, "none" for others) the folder holds the
            auto-encoder alone, for `LatentFlowAutoencoder.from_pretrained`; otherwise a pipeline.
        preset: what the files are (see `lfdm_diffusers.conversion.presets`).
        output: the folder; must not exist or be empty, unless `overwrite`, and it is a folder of ours.
        text_encoder: Hub id or folder of the BERT that the labels are embedded by; None or "none" for no labels.
        model_params: in place of the preset's.
        drop_text_encoder: keep the labels' embeddings but not the encoder.
        verify: hold the saved models against a second computation (see `lfdm_diffusers.conversion.verification`).
        overwrite: whether to replace an earlier folder.
        repo_id: where the model card says that the model is.
        say: called with each line of progress.

    Raises:
        ValueError: for anything that is wrong with the input or found by `verify`; nothing is written then.
    """
    unet = _check_unet(unet, preset)
    _check_output(Path(output), overwrite)
    _check_names((lfae, unet), preset)
    say(f"reading {lfae}")
    lfae_checkpoint = load_checkpoint(lfae)
    with _naming("--lfae", lfae):
        result = convert_lfae(lfae_checkpoint, preset, model_params)
    unet_checkpoint = None
    if unet is not None:
        say(f"reading {unet}")
        unet_checkpoint = load_checkpoint(unet)
        with _naming("--unet", unet):
            parts = convert_unet(unet_checkpoint, preset), read_betas(unet_checkpoint)
        result = join_pipeline(result, *parts, preset)
        if str(text_encoder or NONE).lower() != NONE:
            say(f"embedding {len(preset.labels)} labels with {text_encoder}")
            add_texts(result, preset.labels, *load_text_encoder(text_encoder))
        else:
            say("no text encoder, so no labels: generation is unconditional or from prompt_embeds")
        if drop_text_encoder:
            result.register_modules(text_encoder=None, tokenizer=None)
            if result.label_embeddings is None:
                raise ValueError("`--drop_text_encoder` keeps the labels' embeddings alone, but there are none.")
    facts = _card_facts([file for file in (lfae, unet) if file is not None], preset)
    make_card = lfae_card if unet is None else pipeline_card
    with quiet_libraries(), whole_folder(Path(output), overwrite) as folder:
        say("saving")
        result.save_pretrained(folder)
        make_card(result, repo_id=repo_id, facts=facts).save(folder / "README.md")
        if verify:
            say("verifying on a fixed input")
            for line in verify_folder(folder, result, lfae_checkpoint, unet_checkpoint):
                say(f"  {line}")
    size = sum(file.stat().st_size for file in Path(output).rglob("*") if file.is_file())
    say(f"wrote the {'auto-encoder' if unet is None else 'pipeline'} ({size / 1e6:.0f} MB) to {output}")


def _check_unet(unet: str | Path | None, preset: Preset) -> str | Path | None:
    """The diffusion model's file, None if there shall be none."""
    if unet is None and not preset.is_mraa:
        raise ValueError(
            f"`--unet` is missing: preset {preset.name} makes a pipeline; give the diffusion model's checkpoint, or 'none' "
            "for the auto-encoder alone."
        )
    if unet is None or str(unet).lower() == NONE:
        return None
    if preset.is_mraa:
        raise ValueError(
            f"`--unet` is {unet}, but preset {preset.name} is one of MRAA's, which has no U-Net; leave it out."
        )
    return unet


def _check_names(files: Iterable[str | Path | None], preset: Preset) -> None:
    """Refuse what only file names tell: mug128 and mhad128 have the same tensors, but were released by other names."""
    for file in filter(None, files):
        for other in PRESETS.values():
            if Path(file).name in other.released_files and preset.name in PRESETS and preset.name != other.name:
                raise ValueError(
                    f"{file} bears the name of the file released for preset {other.name}, but `--preset` is {preset.name}; "
                    "give the preset that it belongs to, or rename it if it is another file."
                )


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse to write over what is there; `overwrite` allows it for folders that `save_pretrained` wrote."""
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise ValueError(
            f"`--output` must be a folder, but {output} is a {'link' if output.is_symlink() else 'file'}."
        )
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise ValueError(f"`--output` must be a folder, but {parent} is a file.")
    if not output.exists() or not any(output.iterdir()):
        return
    if not overwrite:
        raise ValueError(f"`--output` {output} is not empty; name another folder, or give `--overwrite`.")
    for name, class_name in OUR_FOLDERS.items():
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            if class_name in json.loads((output / name).read_text(encoding="utf-8")).get("_class_name"):
                return
    raise ValueError(f"`--output` {output} holds something else than a model, so `--overwrite` does not touch it.")


@contextlib.contextmanager
def whole_folder(output: Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write to that becomes `output` at the end of the block, or vanishes if the block raises.

    Args:
        output: must not exist, or be empty, or else `overwrite` replaces it, at once and only if all went well.

    Raises:
        ValueError: see `_check_output`.
    """
    _check_output(output, overwrite)
    output = output.absolute()
    nearest = next(parent for parent in output.parents if parent.is_dir())  # of the same file system as `output`
    workshop = Path(tempfile.mkdtemp(prefix=f".{output.name}-", suffix=".partial", dir=nearest))
    try:
        folder, previous = workshop / "new", workshop / "previous"
        folder.mkdir()
        yield folder
        output.parent.mkdir(parents=True, exist_ok=True)
        _check_output(output, overwrite)  # time has passed
        try:
            if output.exists():
                output.rename(previous)
            folder.rename(output)
        except BaseException:
            if previous.exists() and not output.exists():
                previous.rename(output)
            raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


@contextlib.contextmanager
def _naming(option: str, file: str | Path) -> Iterator[None]:
    """Say which option an error is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"`{option}` {file}: {error}") from error


def _card_facts(files: list[str | Path], preset: Preset) -> CardFacts:
    """What the card says about weights converted from `files`."""
    facts = CardFacts(
        name=f"LFDM {preset.name}" if not preset.is_mraa else f"MRAA {preset.name}, as a latent flow auto-encoder",
        dataset=preset.dataset,
        sources={Path(file).name: file_sha256(file) for file in files},
        license="other",
        license_note=CONVERTED_LICENSE,
    )
    if preset.name not in PRESETS:
        del facts["name"], facts["dataset"], facts["license"]
        facts["license_note"] = "Converted from the files named above; their licence is not known here."
    return facts


@torch.no_grad()
def verify_folder(
    folder: Path, original: LFDMPipeline | LatentFlowAutoencoder, lfae_checkpoint: dict, unet_checkpoint: dict | None
) -> list[str]:
    """Load a converted folder and check it against what was converted, and against the checkpoints themselves.

    Returns:
        The report, line by line.

    Raises:
        ValueError: if anything differs by more than rounding; says what.
    """
    kind = LatentFlowAutoencoder if unet_checkpoint is None else LFDMPipeline
    loaded = kind.from_pretrained(folder)
    pairs = {"lfae": (loaded, original)}
    if unet_checkpoint is not None:
        pairs = {
            name: (model, original.components[name])
            for name, model in loaded.components.items()
            if isinstance(model, torch.nn.Module)
        }
    changed = [name for name, (ours, theirs) in pairs.items() if fingerprint(ours) != fingerprint(theirs)]
    report = verify_lfae(pairs["lfae"][0], lfae_checkpoint)
    if unet_checkpoint is not None:
        verify_unet(loaded.unet, unet_checkpoint, report)
        betas = torch.tensor(loaded.scheduler.config.trained_betas)
        if not torch.equal(betas, unet_checkpoint["diffusion"]["betas"].float().cpu()):
            changed.append("scheduler")
        report.facts.append(f"noise schedule: the checkpoint's own, {len(betas)} steps")
    report.facts.append(f"saved and loaded again, bit by bit the same: {', '.join(pairs)}")
    if failures := report.failures + [f"{name} saved and loaded again" for name in changed]:
        raise ValueError(f"`--verify` found differences in: {', '.join(failures)}. {'; '.join(report.lines())}.")
    return report.lines()
