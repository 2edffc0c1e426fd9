"""Exceptions as exit codes: a user's mistake is one sentence on stderr and 2, Ctrl-C is 130."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..arguments.faults import is_full_memory, report_fault
from ..files.names import printable


def exit_code(run: Callable[[], int]) -> int:
    """What `run` returns; 2 after one sentence on stderr for a mistake or full memory; 130 for Ctrl-C.

    Other exceptions are faults of this package: their traceback, a line that says so, and 1.
    """
    try:
        return run()
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if not is_full_memory(error):
            report_fault(error)
            return 1
        first = printable(str(error).partition("\n")[0]) or type(error).__name__
        print(f"error: out of memory; ask for less at once, or for --dtype bfloat16 ({first})", file=sys.stderr)
        return 2


def one_line(error: BaseException) -> str:
    """An error's message on one line, without terminal control codes."""
    return printable(" ".join(str(error).split())) or type(error).__name__
