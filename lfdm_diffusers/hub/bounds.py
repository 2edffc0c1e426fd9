"""Bounds of configurations: a number in a small file must not cause endless work."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from ..files.names import printable

MOST_NUMBER, MOST_BLOCKS, MOST_ITEMS = 10_000_000, 128, 100_000
COUNTED = ("blocks", "layers", "regions", "heads")  # words in names of numbers that say how often something is built


def require_bounded(config: object, path: str | os.PathLike) -> None:
    """Refuse a configuration that no network has.

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
        if isinstance(value, Mapping):
            waiting += [(f"{name}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{printable(path)} has {printable(name)} = {value}; allowed are finite numbers.")
        elif isinstance(value, int) and not isinstance(value, bool):
            most = MOST_BLOCKS if any(word in name.rpartition(".")[2] for word in COUNTED) else MOST_NUMBER
            if not -most <= value <= most:
                raise ValueError(
                    f"{printable(path)} has {printable(name)} = {str(value)[:40]}; allowed are whole numbers up to {most}."
                )
        if count > MOST_ITEMS:
            raise ValueError(f"{printable(path)} has more than {MOST_ITEMS} entries, which no configuration has.")
