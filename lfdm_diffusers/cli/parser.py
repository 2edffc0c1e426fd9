"""The parser of the commands: one spelling of options, one sentence for a mistake, and options added when a command is chosen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from ..files.names import printable


class CommandParser(argparse.ArgumentParser):
    """A parser whose options have dashes; underscores work too.

    Args:
        fill: called with the parser when it first parses, to add the options; a command's module is imported there.
        options: of `argparse.ArgumentParser`.
    """

    def __init__(self, *, fill: Callable[[CommandParser], None] | None = None, **options: Any):
        super().__init__(**options)
        self._fill = fill

    def parse_known_args(  # type: ignore[override]  # the overloads are for namespaces of other types, which nobody gives
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)
        return super().parse_known_args(dashed(sys.argv[1:] if args is None else args), namespace)

    def error(self, message: str) -> NoReturn:
        """One sentence, without the list of all options."""
        self.exit(2, f"error: {printable(message)} (see {self.prog} --help)\n")


def dashed(words: Sequence[str]) -> list[str]:
    """The words of a command line with dashes for the underscores in names of options: `--num_frames=4` is `--num-frames=4`."""
    before = list(takewhile(lambda word: word != "--", words))  # what stands behind it names no options
    return [_dashed(word) if word.startswith("--") else word for word in before] + list(words[len(before) :])


def _dashed(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value
