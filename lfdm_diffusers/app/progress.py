"""How far some work is, told in shares of one; what is told to may end the work by an error."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]  # of the share that is done, from 0 to 1, and what is being done


def quiet(share: float, what: str) -> None:
    """Ignore progress."""


def part_of(progress: Progress, begin: float, end: float) -> Progress:
    """Progress of a part of some work, which takes from `begin` to `end` of it."""
    return lambda share, what: progress(begin + share * (end - begin), what)
