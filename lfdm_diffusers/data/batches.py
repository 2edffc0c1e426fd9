"""Which items each batch holds: the same for any number of processes and workers, whatever step a run starts from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from .chance import draws


class Draw(NamedTuple):
    """The key of a training example: item `item` of the data set as it is drawn in epoch `epoch`."""

    epoch: int
    item: int


class StepBatchSampler(Sampler):
    """Batches of `Draw`, one for each training step: `DataLoader(dataset, batch_sampler=StepBatchSampler(...))`.

    Shuffled epochs form one endless line. Step s takes the places s * batch_size to (s + 1) * batch_size, which processes
    share. So an epoch has each item once, batches have one size, and any step can be made without those before it.

    Do not hand a loader with this sampler to `accelerator.prepare`, which would share it out again; only move its
    batches to the device. (accelerate's own sharding, like torch's DistributedSampler, repeats items from the start of
    an epoch to fill its last batches.)

    Args:
        num_items: length of the data set.
        batch_size: of all processes together.
        num_steps: steps of the whole training.
        seed: of the order.
        first_step: where to go on; 0 at first.
        first_item: the place in the line of epochs where that step begins, which differs from first_step * batch_size where steps
            before it had other batches, as of another number of processes; then too each epoch has each item once.
        process_index, num_processes: as accelerate's `PartialState` has them.

    Raises:
        ValueError: for numbers out of range, or a batch size that the processes cannot share evenly.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        num_steps: int,
        seed: int = 0,
        first_step: int = 0,
        process_index: int = 0,
        num_processes: int = 1,
        first_item: int | None = None,
    ):
        first_item = first_step * batch_size if first_item is None else first_item
        for name, value, least in (
            ("num_items", num_items, 1),
            ("batch_size", batch_size, 1),
            ("num_processes", num_processes, 1),
            ("num_steps", num_steps, 0),
            ("first_step", first_step, 0),
            ("first_item", first_item, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ValueError(f"`{name}` must be {least} or more, got {value}.")
        if batch_size % num_processes:
            raise ValueError(
                f"`batch_size` counts the items of all processes and must be a multiple of `num_processes` = "
                f"{num_processes}, got {batch_size}."
            )
        if not 0 <= process_index < num_processes:
            raise ValueError(f"`process_index` must be from 0 to {num_processes - 1}, got {process_index}.")
        self.num_items, self.batch_size, self.num_steps, self.seed = num_items, batch_size, num_steps, seed
        self.first_step, self.process_index, self.num_processes = first_step, process_index, num_processes
        self.first_item = first_item

    def __len__(self) -> int:
        return max(0, self.num_steps - self.first_step)

    def __iter__(self) -> Iterator[list[Draw]]:
        share = self.batch_size // self.num_processes
        order_of, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.first_step, self.num_steps):
            begin = self.first_item + (step - self.first_step) * self.batch_size + self.process_index * share
            batch = []
            for place in range(begin, begin + share):
                epoch, at = divmod(place, self.num_items)
                if epoch != order_of:
                    order_of, order = epoch, draws(self.seed, "order", epoch).permutation(self.num_items)
                batch.append(Draw(epoch, int(order[at])))
            yield batch
