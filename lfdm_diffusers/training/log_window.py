"""Means of the losses, speed, and the share of time spent waiting for data, since the last record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch


class LogWindow:
    """Losses and times of the steps between two lines of numbers.

    Pauses, in which no step is made (validation, checkpoints), are left out of the time.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin a new window now."""
        self._values: dict[str, list[torch.Tensor]] = {}
        self._steps, self._waited, self._since = 0, 0.0, time.perf_counter()

    def add(self, values: dict[str, torch.Tensor]) -> None:
        """The numbers of one forward pass, each without a dimension."""
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    def count_step(self) -> None:
        """One update of the weights is done."""
        self._steps += 1

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """What is done in this block is not part of any step."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - began

    def timed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches of a loader; waiting for them is timed."""
        source = iter(batches)
        while True:
            began = time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:
                return
            self._waited += time.perf_counter() - began
            yield batch

    def means(self) -> dict[str, float]:
        """Mean of each number."""
        return {name: torch.stack(found).mean().item() for name, found in self._values.items()}

    def speed(self) -> dict[str, float]:
        """Steps a second, and the share of the time in which data were waited for."""
        seconds = time.perf_counter() - self._since
        return {"steps_per_second": self._steps / seconds, "waiting_for_data": self._waited / seconds}
