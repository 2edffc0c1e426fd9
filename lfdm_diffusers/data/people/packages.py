"""The packages of the `[people]` extra, imported when they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType


def required(name: str) -> ModuleType:
    """The module `name`.

    Raises:
        ImportError: one sentence that names the extra, if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"rendering people needs the package {error.name}: pip install 'lfdm_diffusers[people]' installs it."
        ) from error
