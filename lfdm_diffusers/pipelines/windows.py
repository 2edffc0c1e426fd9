"""Clips of any length: windows of about the trained length, which share their ends and agree on them at every denoising step.

A model sees a clip as one whole action, which begins with the picture and comes to its end. So windows that overlap by half, as
elsewhere (MultiDiffusion, arXiv 2302.08113), would contradict each other: one is at its apex where the next one begins. Here each
is an action of its own, and shares only the last frames with the first ones of the next. What the U-Net predicts for shared frames
is blended before the scheduler's step, from one window to the other; every scheduler then takes one step of one volume. The last
half of a window glides to where the next begins, as an action rarely ends in the pose that it began with. (As both see the same
noise, the difference of their predictions is that of the clean volumes they stand for, up to a factor, whatever is predicted.)

In a loop the last window shares its end with the beginning of the first: frames lie on a circle.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

# Of the trained length, the part that neighbours share.
SHARED = 8


def plan_windows(num_frames: int, trained: int, loop: bool = False) -> list[tuple[int, int]]:
    """First frame and length of each window, in order; all lengths are equal but for rounding.

    Args:
        num_frames: F of the clip.
        trained: frames that the U-Net was trained on. A window has about as many: at most half as many more.
        loop: whether the last window goes on into the clip's first frames. A single one then meets itself.
    """
    shared = shared_frames(trained)
    span = num_frames if loop else max(num_frames - shared, 1)  # how far apart the beginnings are, summed up
    count = max(1, round(span / max(trained - shared, 1)))
    starts = [round(i * span / count) for i in range(count + 1)]
    ends = [start + shared for start in starts[1:]]
    if not loop:
        ends[-1] = num_frames
    return [(start, end - start) for start, end in zip(starts, ends)]


def shared_frames(trained: int) -> int:
    """How many frames neighbouring windows share: an eighth of the trained length, and at least one if it has two."""
    return min(max(1, trained // SHARED), trained - 1)


class Windows:
    """The windows of a clip, and how their predictions become one.

    Memory for activations is that of one window, whatever the clip's length; time grows with the number of windows.

    Args:
        num_frames, trained, loop: as in `plan_windows`.
        device: of the volumes.
    """

    def __init__(self, num_frames: int, trained: int, loop: bool = False, device: torch.device | None = None):
        self.num_frames, self.loop = num_frames, loop
        self.plan = plan_windows(num_frames, trained, loop)
        self.shared = shared = shared_frames(trained)
        rise = torch.arange(1, shared + 1, dtype=torch.float32) / (shared + 1)
        self.weights, self.glides = [], []
        for number, (_, length) in enumerate(self.plan):
            weight = torch.ones(length, dtype=torch.float32)
            if loop or number > 0:
                weight[:shared] *= rise
            if loop or number < len(self.plan) - 1:
                weight[length - shared :] *= 1 - rise
            border = length - shared
            half = max(1, min(trained // 2, border))
            share = ((torch.arange(length, dtype=torch.float32) - border) / half + 1).clamp(0, 1)
            glide = (0.5 - 0.5 * torch.cos(math.pi * share)) * weight
            self.weights.append(weight.view(1, 1, -1, 1, 1).to(device))
            self.glides.append(glide.view(1, 1, -1, 1, 1).to(device))
        total = torch.zeros(1, 1, num_frames, 1, 1, device=device, dtype=torch.float32)
        for (start, _), weight in zip(self.plan, self.weights):
            self._add(total, weight, start)
        self.total = total

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing to blend: one window, which does not meet itself."""
        return len(self.plan) == 1 and not self.loop

    def places(self) -> list[list[int]]:
        """The clip's frames in each window, in order; a window that meets itself holds some twice."""
        return [[(start + place) % self.num_frames for place in range(length)] for start, length in self.plan]

    def __call__(self, predict: Callable[[torch.Tensor], torch.Tensor], volume: torch.Tensor) -> torch.Tensor:
        """What `predict` says of each window `(B, C, L, h, w)` of a volume `(B, C, F, h, w)`, blended to one of its shape."""
        if self.is_whole:
            return predict(volume)
        blended = torch.zeros_like(volume)
        beginnings, ends = [], []  # of each window its first frame, and the same frame of the next as it sees that
        for (start, length), weight in zip(self.plan, self.weights):
            window = torch.cat([volume[:, :, first:last] for first, last, _ in self._runs(start, length)], dim=2)
            predicted = predict(window)
            self._add(blended, predicted * weight, start)
            beginnings.append(predicted[:, :, :1])
            ends.append(predicted[:, :, length - self.shared :][:, :, :1])
        followers = beginnings[1:] + beginnings[:1] if self.loop else beginnings[1:]
        for (start, _), glide, end, follower in zip(self.plan, self.glides, ends, followers):
            if self.shared:
                self._add(blended, (follower - end) * glide, start)
        return blended / self.total

    def _add(self, total: torch.Tensor, window: torch.Tensor, start: int) -> None:
        for first, last, place in self._runs(start, window.shape[2]):
            total[:, :, first:last] += window[:, :, place : place + last - first]

    def _runs(self, start: int, length: int) -> list[tuple[int, int, int]]:
        """A window as runs of frames of the circle: first, end, and the run's place in the window."""
        runs, place = [], 0
        while place < length:
            first = (start + place) % self.num_frames
            last = min(self.num_frames, first + length - place)
            runs.append((first, last, place))
            place += last - first
        return runs
