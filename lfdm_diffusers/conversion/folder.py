"""Checkpoint files in, one folder that `from_pretrained` loads out; it appears whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..files.fingerprints import file_sha256
from ..files.reading import read_json
from ..files.torch_files import load_checkpoint
from ..files.whole import require_free_or_ours, whole
from ..hub.cards import CONVERTED_LICENSE, CardFacts
from ..models import LatentFlowAutoencoder
from ..models.text_encoders import TEXT_ENCODER, load_text_encoder
from ..pipelines import LFDMPipeline
from ..pipelines.loading import quiet_libraries
from .presets import PRESETS, Preset
from .tensors import add_texts, convert_lfae, convert_unet, join_pipeline, read_betas
from .verification import verify_folder

NONE = "none"
# What tells a folder of ours: the class that one of these files names.
OUR_FOLDERS = {"model_index.json": LFDMPipeline.__name__, "config.json": LatentFlowAutoencoder.__name__}


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
        OSError: if the folder cannot be written; what was there is kept.
    """
    unet = _check_unet(unet, preset)
    require_free_or_ours(Path(output), overwrite, _is_model, "a model")
    _check_names((lfae, unet), preset)
    say(f"reading {lfae}")
    lfae_checkpoint = load_checkpoint(lfae)
    with _naming("lfae", lfae):
        result = convert_lfae(lfae_checkpoint, preset, model_params)
    unet_checkpoint = None
    if unet is not None:
        say(f"reading {unet}")
        unet_checkpoint = load_checkpoint(unet)
        with _naming("unet", unet):
            parts = convert_unet(unet_checkpoint, preset), read_betas(unet_checkpoint)
        result = join_pipeline(result, *parts, preset)
        if text_encoder and text_encoder.lower() != NONE:
            say(f"embedding {len(preset.labels)} labels with {text_encoder}")
            add_texts(result, preset.labels, *load_text_encoder(text_encoder))
        else:
            say("no text encoder, so no labels: generation is unconditional or from prompt_embeds")
        if drop_text_encoder:
            result.register_modules(text_encoder=None, tokenizer=None)
            if result.label_embeddings is None:
                raise ValueError("`drop_text_encoder` keeps the labels' embeddings alone, but there are none.")
    facts = _card_facts([file for file in (lfae, unet) if file is not None], preset)
    with quiet_libraries(), whole(output, replace=overwrite) as folder:
        folder.mkdir()
        say("saving")
        result.save_pretrained(folder)
        result.card(repo_id=repo_id, facts=facts).save(folder / "README.md")
        if verify:
            say("verifying on a fixed input")
            for line in verify_folder(folder, result, lfae_checkpoint, unet_checkpoint):
                say(f"  {line}")
        require_free_or_ours(Path(output), overwrite, _is_model, "a model")  # time has passed
    size = sum(file.stat().st_size for file in Path(output).rglob("*") if file.is_file())
    say(f"wrote the {'auto-encoder' if unet is None else 'pipeline'} ({size / 1e6:.0f} MB) to {output}")


def _check_unet(unet: str | Path | None, preset: Preset) -> str | Path | None:
    """The diffusion model's file, None if there shall be none."""
    if unet is None and not preset.is_mraa:
        raise ValueError(
            f"`unet` is missing: preset {preset.name} makes a pipeline; give the diffusion model's checkpoint, or 'none' "
            "for the auto-encoder alone."
        )
    if unet is None or str(unet).lower() == NONE:
        return None
    if preset.is_mraa:
        raise ValueError(
            f"`unet` is {unet}, but preset {preset.name} is one of MRAA's, which has no U-Net; leave it out."
        )
    return unet


def _check_names(files: Iterable[str | Path | None], preset: Preset) -> None:
    """Refuse what only file names tell: mug128 and mhad128 have the same tensors, but were released by other names."""
    for file in (file for file in files if file):
        for other in PRESETS.values():
            if Path(file).name in other.released_files and preset.name in PRESETS and preset.name != other.name:
                raise ValueError(
                    f"{file} bears the name of the file released for preset {other.name}, but `preset` is {preset.name}; "
                    "give the preset that it belongs to, or rename it if it is another file."
                )


def _is_model(folder: Path) -> bool:
    """Whether `save_pretrained` wrote a folder."""
    for name, class_name in OUR_FOLDERS.items():
        with contextlib.suppress(ValueError, TypeError):
            if class_name in read_json(folder / name).get("_class_name"):
                return True
    return False


@contextlib.contextmanager
def _naming(argument: str, file: str | Path) -> Iterator[None]:
    """Say which argument an error is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"`{argument}` {file}: {error}") from error


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
