"""A user's mistake is one sentence on stderr and exit code 2, Ctrl-C is 130."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from typing import NoReturn

import torch

from ..pipelines.loading import first_line


class CommandParser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def with_exit_codes(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """`run`, except that a user's mistake is one sentence on stderr and exit code 2, and Ctrl-C is 130."""

    @functools.wraps(run)
    def wrapper(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except (ValueError, OSError) as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            return 2
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and not _out_of_memory(error):
                raise
            print(
                f"error: out of memory; ask for less at once, or for --dtype bfloat16 ({first_line(error)})",
                file=sys.stderr,
            )
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    return wrapper


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def one_line(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__
