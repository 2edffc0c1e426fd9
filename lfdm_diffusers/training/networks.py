"""Networks to train: their arguments from a JSON file, sizes that fit them, and weights taken from another."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..files.reading import UnreadableFileError, read_json
from ..models import LatentFlowAutoencoder
from ..ops.cpu import lay_channels_last
from ..pipelines import LFDMPipeline


def read_network(path: Path, option: str) -> dict:
    """Arguments of a network from the JSON file that `option` names, without what diffusers notes beside them.

    Raises:
        ValueError: if it cannot be read, or holds anything else.
    """
    try:
        config = read_json(path)
    except UnreadableFileError as error:
        raise ValueError(f"`{option}` must be a JSON file with an object of arguments: {error}") from error
    return {key: value for key, value in config.items() if not key.startswith("_")}


def override_network(config: dict, path: Path | None, option: str, cls: Any, settled: Sequence[str]) -> dict:
    """A network's arguments: `config`, and over it those of the JSON file that `option` names.

    Args:
        config: a preset's.
        path: None if the option was not given.
        option: for errors.
        cls: the network's class.
        settled: arguments that the file may not hold.

    Raises:
        ValueError: for an argument that is settled or that the network does not have.
    """
    given = read_network(path, option) if path else {}
    allowed = set(inspect.signature(cls.__init__).parameters) - {"self", *settled}
    if unknown := sorted(set(given) - allowed):
        raise ValueError(
            f"`{option}` must hold arguments of {cls.__name__} ({', '.join(sorted(allowed))}), got {', '.join(unknown)}."
        )
    return config | given


@contextlib.contextmanager
def blame_network_file(path: Path | None, option: str) -> Iterator[None]:
    """In the block, an error in building a network names the option of its file."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not path:
            raise
        raise ValueError(f"`{option}` {path} makes no network: {error}") from error


def require_multiple(resolution: int | None, stride: int) -> None:
    """Raise ValueError unless `--resolution` is a multiple of what a network needs."""
    if not resolution or resolution % stride:
        raise ValueError(f"`--resolution` must be a multiple of {stride} for this network, got {resolution}.")


def load_autoencoder(source: str, subfolder: str | None) -> tuple[LatentFlowAutoencoder, bool]:
    """The auto-encoder that `--pretrained_model_name_or_path` and `--subfolder` name, and whether it is a pipeline's.

    Raises:
        ValueError: if there is none.
    """
    pipeline = True
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
    return lay_channels_last(lfae.float()), pipeline


def take_fitting_weights(model: nn.Module, source: nn.Module) -> list[str]:
    """Copy into `model` all weights of `source` that have a name and a shape of its own; returns the names of the others.

    Raises:
        ValueError: if none fits.
    """
    own, given = model.state_dict(), source.state_dict()
    fitting = {name: given[name] for name, value in own.items() if name in given and given[name].shape == value.shape}
    if not fitting:
        raise ValueError(f"no weights of the {type(source).__name__} fit the new {type(model).__name__}.")
    model.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]
