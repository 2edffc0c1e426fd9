"""Errors that are not the user's mistake: full memory, and faults of this package, which are reported as such."""

from __future__ import annotations

import sys
import traceback

OUR_FAULT = "error: this is a fault of lfdm_diffusers, not of what it was given; please report it, with the lines above and the command"


def report_fault(error: Exception) -> None:
    """Print an exception's traceback, and a line that says whose fault it is, on stderr."""
    traceback.print_exception(type(error), error, error.__traceback__)
    print(OUR_FAULT, file=sys.stderr)


def is_full_memory(error: Exception) -> bool:
    """Whether an exception says that memory is full, of the machine or of the GPU."""
    # By its name: torch may not be loaded, and need not be for this.
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)
