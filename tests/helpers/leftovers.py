"""What a process that is killed while it writes a file or folder leaves behind."""

from __future__ import annotations

import os

from lfdm_diffusers.files import whole


def workshop_of_a_killed_process() -> str:
    """The name of its folder beside the target: as if of this process, which knows that it is not at work there."""
    return f"{whole.PREFIX}{whole._machine()}-{os.getpid()}-00000000"
