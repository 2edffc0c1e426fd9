"""Bounds of configurations, in files and as arguments: a number must not cause endless work."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from ..arguments.checked import described, require_kind
from ..files.names import printable

MOST_NUMBER, MOST_BLOCKS, MOST_ITEMS, MOST_DEPTH = 10_000_000, 128, 100_000, 50
COUNTED = ("blocks", "layers", "regions", "heads")  # words in names of numbers that say how often something is built
MOST_SIZE = 16_384  # of any other whole number that a network of this package is built from
MAY_BE_ZERO = ("blocks", "padding", "tokens", "axes", "summary")


def require_bounded(config: object, path: str | os.PathLike, infinite: bool = False) -> None:
    """Refuse a configuration that no network has.

    Args:
        infinite: take infinite numbers: some of diffusers' schedulers have them.

    Raises:
        ValueError: naming the file, the entry, and what is allowed.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"{printable(path)} must hold an object of JSON, got {type(config).__name__}.")
    waiting: list[tuple[str, object]] = [(str(name), value) for name, value in config.items()]
    count = 0
    while waiting:
        name, value = waiting.pop()
        count += 1
        if isinstance(value, Mapping) and name.count(".") > MOST_DEPTH:
            raise ValueError(f"{printable(path)} is nested too deeply, or in itself, which no configuration is.")
        if isinstance(value, Mapping):
            waiting += [(f"{name}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]
        elif isinstance(value, float) and (math.isnan(value) or (math.isinf(value) and not infinite)):
            raise ValueError(f"{printable(path)} has {printable(name)} = {value}; allowed are finite numbers.")
        elif isinstance(value, int) and not isinstance(value, bool):
            most = MOST_BLOCKS if any(word in name.rpartition(".")[2] for word in COUNTED) else MOST_NUMBER
            if not -most <= value <= most:
                raise ValueError(
                    f"{printable(path)} has {printable(name)} = {str(value)[:40]}; allowed are whole numbers up to {most}."
                )
        if count > MOST_ITEMS:
            raise ValueError(f"{printable(path)} has more than {MOST_ITEMS} entries, which no configuration has.")


def require_argument(name: str, annotation: str, value: Any) -> None:
    """Refuse what no network of this package can be built from.

    Args:
        name: of the constructor's argument.
        annotation: words of `arguments.checked.KINDS`, or `Sequence[...]` of one of them, with `| None`
            where it may be left out.

    Raises:
        ValueError: names the argument, what is allowed, and what came.
    """
    if annotation.startswith("Sequence["):
        if value is None and annotation.endswith(" | None"):
            return
        annotation = annotation.removesuffix(" | None")
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"`{name}` must be a list with something in it, got {described(value)}.")
        if "str" not in annotation and len(value) > MOST_BLOCKS:
            raise ValueError(f"`{name}` must hold at most {MOST_BLOCKS} numbers, got {len(value)}.")
        for each in value:
            require_argument(name, annotation[len("Sequence[") : -1], each)
        return
    require_kind(name, value, annotation.split(" | "))
    if annotation.startswith("int") and value is not None:
        least = 0 if any(word in name for word in MAY_BE_ZERO) else 1
        most = MOST_BLOCKS if any(word in name for word in COUNTED) else MOST_SIZE
        if not least <= value <= most:
            raise ValueError(f"`{name}` must be a whole number from {least} to {most}, got {described(value)}.")
