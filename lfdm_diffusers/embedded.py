"""What comes with the package: pretrained pipelines, and pictures to try them on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
MODEL = "toon64"  # of drawn faces, such as come with the package
PEOPLE_MODEL = "people128"  # of photographs of people


def embedded_models() -> list[str]:
    """Names of the pretrained pipelines that this installation holds."""
    return sorted(index.parent.name for index in ASSETS.glob("*/model_index.json"))


def embedded_model(name: str = MODEL) -> Path:
    """The folder of a pretrained pipeline.

    Raises:
        ValueError: for a name that is not one of `embedded_models`.
        FileNotFoundError: if this installation does not hold a default one.
    """
    folder = ASSETS / name
    if name in embedded_models():
        return folder
    if name in (MODEL, PEOPLE_MODEL):
        raise FileNotFoundError(
            f"This installation holds no pretrained model ({folder} is missing); name a pipeline's folder or Hub id."
        )
    raise ValueError(f"`name` must be one of {', '.join(embedded_models())}, got {name!r}.")


def named_model(model: str | Path) -> str:
    """A folder or Hub id as it is; for the name of a pretrained pipeline of the package its folder, unless a folder here has the name."""
    model = os.path.expanduser(model)
    return str(embedded_model(model)) if model in embedded_models() and not Path(model).exists() else model


def model_for(pictures: Iterable[Path]) -> str:
    """Name of the pretrained pipeline for pictures that nobody named a model for: of people, unless all are this package's drawn faces."""
    drawn = {path.resolve() for path in embedded_pictures()}
    return MODEL if all(path.resolve() in drawn for path in pictures) else PEOPLE_MODEL


def embedded_pictures() -> list[Path]:
    """PNG files of drawn people whom the pretrained model has not seen, in the order of their names."""
    return sorted((ASSETS / "pictures").glob("*.png"))
