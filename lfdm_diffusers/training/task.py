"""The interface of everything that a run trains: losses, validation, and what is saved."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import PIL.Image
import torch
from torch import nn

from ..hub.cards import CardFacts


class Losses(NamedTuple):
    """What one forward pass gives.

    Attributes:
        parts: weighted losses by name; their sum is minimised.
        watched: other numbers to record, without gradients.
    """

    parts: dict[str, torch.Tensor]
    watched: dict[str, torch.Tensor]


class Validation(NamedTuple):
    """How good a task is so far.

    Attributes:
        numbers: by name, for metrics.jsonl and trackers.
        pictures: by the name of the folder that they are written into.
    """

    numbers: dict[str, float]
    pictures: dict[str, PIL.Image.Image]


class Result(NamedTuple):
    """A folder that a finished run leaves.

    Attributes:
        folder: its name in the output folder.
        write: `(folder, facts, repo_id) -> None` writes models and card; `repo_id` is None unless it is pushed.
        how_to_load: the call that loads it, with {} for the folder.
        next_step: what one does with it next, a command, with {} for the folder; "" says nothing.
    """

    folder: str
    write: Callable[[Path, CardFacts, str | None], None]
    how_to_load: str
    next_step: str = ""


Value = TypeVar("Value")


def needed(name: str, value: Value | None) -> Value:
    """What a task was given for a run.

    Raises:
        ValueError: if it is None, as it may be without a run.
    """
    if value is None:
        raise ValueError(f"`{name}` must be given to a task that is run, got None.")
    return value


class Examples(Protocol):
    """A data set: items by number, or by `Draw`."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> Any: ...


class Task(abc.ABC):
    """One thing to train. `TrainingRun.fit` calls its methods in the order in which they stand here; those that are not
    abstract may be left as they are.

    Attributes:
        module: what gives the losses in one forward pass; the run wraps it for several processes.
        models: what must stay finite, and whose BatchNorm statistics are averaged between processes.
        dataset: items keyed by `Draw`; None if the task is used without a run.
        unit: what the data set's items are, in words.
    """

    module: nn.Module
    models: Sequence[nn.Module]
    dataset: Examples | None
    unit: str

    @abc.abstractmethod
    def parameters(self) -> Iterable[nn.Parameter] | Iterable[dict[str, Any]]:
        """What the optimizer changes, as `build_optimizer` takes it."""

    def start(self) -> Validation | None:
        """Called in the main process before the first step and before a checkpoint is loaded; what it gives is recorded as step 0."""
        return None

    def load(self, checkpoint: Path) -> None:  # noqa: B027
        """Read what `save` wrote, where `state` does not hold it and the task was not made from it."""

    def load_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Raises ValueError if `state` is of another training."""

    def before_step(self, progress: float) -> None:  # noqa: B027
        """Called before each forward pass with the share of the whole training that is done, from 0 up to 1."""

    @abc.abstractmethod
    def losses(self, module: nn.Module, batch: Any, draws: range) -> Losses:
        """Losses of a batch, under the run's autocast.

        Args:
            module: `self.module`, as the run has wrapped it.
            batch: of the data set's items, on the CPU.
            draws: the places of the items in the line of all items ever drawn: seeds for their chance, the same for any
                number of processes and of accumulated passes.
        """

    def after_step(self) -> None:  # noqa: B027
        """Called after each update of the weights."""

    @abc.abstractmethod
    def validate(self) -> Validation:
        """Judge what would be saved now; called in the main process, under the run's autocast."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write the models of a checkpoint."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on exactly, beside the models and the optimizer's state."""
        return {}

    def facts(self) -> CardFacts:
        """What the result's card says, beside how it was trained; called in the main process when training is over."""
        return {}

    def summary(self) -> str:
        """A line for the terminal when training is over; called after `facts`."""
        return ""

    @abc.abstractmethod
    def results(self) -> list[Result]:
        """The folders to write when training is over; the last is the one that is pushed."""
