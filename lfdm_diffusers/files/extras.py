"""Packages that only some uses need, imported when they are."""

from __future__ import annotations

import importlib
from typing import Any


class MissingPackageError(ImportError, ValueError):
    """A package of an extra is not installed; the message is one sentence, as for any mistake of a user's."""


def required(name: str, extra: str, purpose: str) -> Any:
    """The module `name`, which `pip install 'lfdm_diffusers[extra]'` installs.

    Args:
        name: of the module.
        extra: of this package.
        purpose: what needs it, the subject of a sentence.

    Raises:
        MissingPackageError: if it is not installed; names the extra.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{purpose} needs the package {error.name}: pip install 'lfdm_diffusers[{extra}]' installs it."
        ) from error
