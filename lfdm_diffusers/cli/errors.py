"""Where exceptions become exit codes: a user's mistake is one sentence on stderr and 2, Ctrl-C is 130."""

from __future__ import annotations

import sys
from collections.abc import Callable


def exit_code(run: Callable[[], int]) -> int:
    """What `run` returns; 2 after one sentence on stderr for a mistake or full memory; 130 for Ctrl-C.

    Other exceptions are errors of this package, and pass with their traceback.
    """
    try:
        return run()
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        first = str(error).partition("\n")[0] or type(error).__name__
        print(f"error: out of memory; ask for less at once, or for --dtype bfloat16 ({first})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _out_of_memory(error: RuntimeError | MemoryError) -> bool:
    # By its name: torch may not be loaded, and need not be for this.
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)


def one_line(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__
