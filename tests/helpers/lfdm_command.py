"""Running `lfdm` in tests, and looking at what it wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from lfdm_diffusers.cli import main


def lfdm(*arguments: object) -> int:
    """The exit code, also where argparse ends the program."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def frames_of(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(PIL.Image.open(path)) for path in sorted(folder.iterdir())])
