"""What comes with the package: a pretrained pipeline, and pictures to try it on."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
MODEL = "toon64"


def embedded_model() -> Path:
    """The folder of the pretrained pipeline.

    Raises:
        FileNotFoundError: if this installation does not hold it.
    """
    folder = ASSETS / MODEL
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"This installation holds no pretrained model ({folder} is missing); name a pipeline's folder or Hub id."
        )
    return folder


def embedded_pictures() -> list[Path]:
    """PNG files of people whom the pretrained model has not seen, in the order of their names."""
    return sorted((ASSETS / "pictures").glob("*.png"))
