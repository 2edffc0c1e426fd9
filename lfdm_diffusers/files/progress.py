"""Progress bars: live on a terminal and in a notebook, a line now and then in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

SECONDS_IN_A_LOG = 30


def progress_bar(iterable: Iterable | None = None, **options: Any) -> Any:
    """tqdm's bar, with its options."""
    from tqdm.auto import tqdm  # not with the package's own import

    live = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(iterable, **{"dynamic_ncols": True, "mininterval": 0.1 if live else SECONDS_IN_A_LOG} | options)
