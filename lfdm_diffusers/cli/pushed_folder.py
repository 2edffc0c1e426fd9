"""What `lfdm push` does: a folder is looked at, gets a card if it has none, and is uploaded."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

from .. import models
from ..files.fingerprints import weights_sha256
from ..files.reading import UnreadableFileError, read_json, reading, why
from ..files.whole import whole
from ..hub.eval_results import eval_results, write_eval_results
from ..hub.push import CARD
from ..models.decoder_files import CONFIG as DECODER_CONFIG
from ..models.decoder_files import WEIGHTS as DECODER_WEIGHTS
from ..pipelines import PIPELINES
from ..pipelines.loading import package_class, quiet_libraries, read_model_config


def kind_of(folder: Path) -> str:
    """The class of what a folder holds, or "decoder".

    Raises:
        ValueError: if it is none of this package's.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    if (folder / DECODER_CONFIG).is_file() and (folder / DECODER_WEIGHTS).is_file():
        return "decoder"
    return package_class(folder, read_model_config(folder))


def require_whole(folder: Path) -> None:
    """Refuse weights that were cut short, before anybody downloads them.

    Raises:
        ValueError: naming the file.
    """
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights:
        raise ValueError(f"{folder} holds no weights (*.safetensors).")
    for path in weights:
        try:
            with reading(path, "safetensors"), safe_open(path, "pt"):
                pass
        except UnreadableFileError as error:
            raise ValueError(f"{path} is broken: {why(error)}.") from error


def write_card(folder: Path, kind: str, repo_id: str) -> None:
    """A card of what can be read from the folder itself."""
    if kind == "decoder":  # what it paints with is not in this folder
        raise ValueError(
            f"{folder} has no {CARD}. `training/finetune_decoder.py` writes one beside the decoder; "
            "`decoder_card` of the auto-encoder that has it makes one."
        )
    cls = PIPELINES.get(kind) or getattr(models, kind)
    with quiet_libraries():
        card = cls.from_pretrained(str(folder)).card(repo_id=repo_id)
    with whole(folder / CARD) as part:
        card.save(part)


def add_results(folder: Path, kind: str, results: Path, benchmark: str) -> None:
    """Put the scores of results.json into a pipeline's folder, where the Hub looks for them.

    Raises:
        ValueError: if they are not scores of this pipeline's networks.
    """
    found = read_json(results)
    entries = eval_results(found, benchmark)
    measured = found["receipt"].get("model_sha256")
    if kind not in PIPELINES or not measured:
        raise ValueError(f"{results} must hold scores of a pipeline, and {folder} be that pipeline.")
    with quiet_libraries():
        pipe = PIPELINES[kind].from_pretrained(str(folder))
    for name, digest in measured.items():
        network = pipe.components.get(name)
        if network is None or weights_sha256(network) != digest:
            raise ValueError(f"{results} holds scores of another model: its {name} is not that of {folder}.")
    write_eval_results(folder, benchmark.replace("/", "--"), entries)
