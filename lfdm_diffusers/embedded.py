"""What comes with the package: pretrained pipelines, and pictures to try them on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
MODEL = "people128"  # of photographs of people
DRAWN_MODEL = "toon64"  # of drawn faces
FACES = {"astronaut.jpg": (135, 22, 314, 201)}  # in the photographs, as `find_subjects` finds and frames them


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
    if name in (MODEL, DRAWN_MODEL):
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
    drawn, given = {path.resolve() for path in embedded_pictures()}, [path.resolve() for path in pictures]
    return DRAWN_MODEL if given and drawn.issuperset(given) else MODEL


def embedded_photographs() -> dict[Path, tuple[int, int, int, int]]:
    """JPEG files of photographs to try `people128` on, which has seen none, each with where its face is: `subjects=[Box(*face)]`.

    They may be passed on: assets/photographs/README.md says whom they show and where they are from.
    """
    files = {path.name: path for path in (ASSETS / "photographs").glob("*.jpg")}
    return {files[name]: face for name, face in FACES.items() if name in files}


def embedded_pictures() -> list[Path]:
    """PNG files of drawn people whom `toon64` has not seen, in the order of their names."""
    return sorted((ASSETS / "pictures").glob("*.png"))
