"""A running average of a network's trained weights and statistics, which can replace them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from diffusers.training_utils import EMAModel
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .batchnorm import average_running_statistics


class AveragedWeights:
    """The weights of a network that are trained, and their exponential moving average.

    BatchNorm statistics are averaged like weights: those of the last weights do not fit averaged ones.

    Args:
        network: on the device that it is trained on.
        decay: of the average, which adapts faster in the first steps; 0: none is kept.

    Attributes:
        weights: the trained ones by name.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network = network
        self.weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        norms = [
            module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats
        ]
        # Parameters of the same memory: EMAModel copies what needs no gradient instead of averaging it.
        statistics = [
            nn.Parameter(x) for norm in norms for x in (norm.running_mean, norm.running_var) if x is not None
        ]
        self._changing = [*self.weights.values(), *statistics]
        self._ema = EMAModel(self._changing, decay=decay) if decay else None

    def step(self) -> None:
        """Average once more; call it after each update of the weights."""
        if self._ema is not None:
            average_running_statistics(self.network)  # else each process would average its own
            self._ema.step(self._changing)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """In the block, the average replaces the trained weights and the network is in eval mode."""
        self.network.eval()
        if self._ema is not None:
            self._ema.store(self._changing)
            self._ema.copy_to(self._changing)
        try:
            yield
        finally:
            if self._ema is not None:
                self._ema.restore(self._changing)
            self.network.train()

    def keep(self) -> None:
        """Replace the weights by the average for good, when training is over."""
        if self._ema is not None:
            self._ema.copy_to(self._changing)

    def state(self) -> dict:
        """What a checkpoint needs beside the trained weights to go on exactly."""
        return {"ema": self._ema.state_dict()} if self._ema is not None else {}

    def load_state(self, state: dict) -> None:
        """Raises ValueError if `state` is of another training."""
        if ("ema" in state) != (self._ema is not None):
            raise ValueError("the checkpoint is of a run with other weights: `--ema_decay` differs.")
        if self._ema is not None:
            decay = self._ema.decay
            self._ema.load_state_dict(state["ema"])
            self._ema.decay = decay
            self._ema.to(self._changing[0].device)
