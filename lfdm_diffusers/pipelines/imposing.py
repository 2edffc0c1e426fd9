"""Imposes values known beforehand on the U-Net's predictions, with any scheduler.

A prediction of the U-Net, whatever its kind, stands for a clean volume. That volume is changed where it is known, and the prediction
to what stands for the changed one. The scheduler then takes its usual step, and the unknown rest is denoised beside the known.
docs/motion.md has a table of what this and other ways give for strokes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.schedulers import SchedulerMixin

from .windows import Windows

# Where a schedule ends in pure noise, a prediction of noise says nothing of the clean volume.
LEAST_SIGNAL = 1e-8


@dataclass(frozen=True)
class NoiseLevel:
    """How much signal and noise a scheduler's volume holds before a step: x = signal * clean + noise * epsilon.

    Attributes:
        prediction_type: of the U-Net: "epsilon", "v_prediction", "sample" or "flow_prediction".
    """

    signal: float
    noise: float
    prediction_type: str

    @classmethod
    def before_step(cls, scheduler: SchedulerMixin, timestep: torch.Tensor, prediction_type: str) -> NoiseLevel:
        """The level of the step that comes next; `timestep` is on the host.

        Schedulers scale their volumes differently; what each makes of a clean 1 and of a noise of 1 tells how.
        """
        one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        if hasattr(scheduler, "add_noise"):
            signal, noise = (scheduler.add_noise(*pair, timestep[None]).item() for pair in ((one, none), (none, one)))
        else:
            signal, noise = (
                scheduler.scale_noise(sample=clean, timestep=timestep[None], noise=noise).item()
                for clean, noise in ((one, none), (none, one))
            )
        return cls(max(signal, LEAST_SIGNAL), noise, prediction_type)

    def clean(self, prediction: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
        """The clean volume that a prediction stands for."""
        if self.prediction_type == "sample":
            return prediction
        if self.prediction_type == "epsilon":
            return (volume - self.noise * prediction) / self.signal
        if self.prediction_type == "flow_prediction":
            return volume - self.noise * prediction
        length = math.hypot(self.signal, self.noise)  # 1, but for schedulers whose signal is always 1
        return (self.signal / length * volume - self.noise * prediction) / length

    def changed(self, prediction: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """The prediction that stands for a clean volume different by `change`."""
        if self.prediction_type == "sample":
            return prediction + change
        share = {
            "epsilon": self.signal,
            "flow_prediction": 1.0,
            "v_prediction": math.hypot(self.signal, self.noise),
        }[self.prediction_type]
        return prediction - share / self.noise * change


@dataclass(frozen=True)
class KnownFrame:
    """What is known of one frame of some volumes.

    Attributes:
        rows: which volumes of the batch.
        frame: its number.
        values: `(C, h, w)` or `(rows, C, h, w)`, in the volume's own units.
        weights: `(C, h, w)` in [0, 1]: 1 where the value is known, 0 where nothing is.
        reach: `(F,)`: the share of this frame's change that other frames take over, 1 for itself.
        guides: whether the noise is changed too, so that the U-Net comes to the values by itself.
    """

    rows: slice
    frame: int
    values: torch.Tensor
    weights: torch.Tensor
    reach: torch.Tensor
    guides: bool = True

    def error(self, clean: torch.Tensor) -> torch.Tensor:
        """What is missing of the values, weighted, `(rows, C, h, w)`; `clean` is the frame of those rows, of that shape."""
        return self.weights * (self.values - clean)


@dataclass(frozen=True)
class KnownMotion:
    """What is known of volumes `(B, C, F, h, w)`, frame by frame."""

    frames: Sequence[KnownFrame]

    def imposed(self, clean: torch.Tensor) -> torch.Tensor:
        """Clean volumes with the known values in them.

        A known frame's change reaches into its neighbours, fading: a change of one frame alone would be a jump.
        """
        changed = clean.clone()
        for known in self.frames:
            change = known.error(clean[known.rows, :, known.frame])
            changed[known.rows] += change[:, :, None] * known.reach.view(-1, 1, 1)
        for known in self.frames:  # what others' reach did to it is taken back
            changed[known.rows, :, known.frame] += known.error(changed[known.rows, :, known.frame])
        return changed

    def imposed_on_prediction(self, prediction: torch.Tensor, volume: torch.Tensor, level: NoiseLevel) -> torch.Tensor:
        """A prediction for a noisy volume, changed so that the clean volume it stands for has the known values."""
        clean = level.clean(prediction, volume)
        return level.changed(prediction, self.imposed(clean) - clean)

    def guided(
        self,
        predict: Callable[[torch.Tensor], torch.Tensor],
        volume: torch.Tensor,
        level: NoiseLevel,
        windows: Windows,
    ) -> torch.Tensor:
        """A noisy volume nearer to one for which `predict` comes to the known values.

        It is one Polyak step on their squared error, down the gradient through the U-Net to the noisy volume. Imposing changes
        the known places alone, but here what belongs to them moves too: the whole mouth where a corner of it is known.
        """
        guiding = [known for known in self.frames if known.guides]
        if not guiding:
            return volume
        error = volume.new_zeros(len(volume))
        gradient = torch.zeros_like(volume)
        for window in windows.places():
            inside = [(known, window.index(known.frame)) for known in guiding if known.frame in window]
            if not inside:
                continue
            with torch.enable_grad():
                part = volume[:, :, window].detach().requires_grad_()
                clean = level.clean(predict(part), part)
                rows = clean.new_zeros(len(volume))
                for known, place in inside:
                    missing = known.error(clean[known.rows, :, place]).square().sum(dim=(1, 2, 3))
                    rows = rows + F.pad(missing, (known.rows.start, len(volume) - known.rows.stop))
                (slope,) = torch.autograd.grad(rows.sum(), part)
            error += rows.detach()
            for place, frame in enumerate(window):
                gradient[:, :, frame] += slope[:, :, place]
        steepness = gradient.square().sum(dim=(1, 2, 3, 4))
        step = error / steepness.clamp(min=torch.finfo(steepness.dtype).tiny)
        return volume - step.view(-1, 1, 1, 1, 1) * gradient


def reach(
    num_frames: int, frame: int, before: int, after: int, loop: bool = False, device: torch.device | None = None
) -> torch.Tensor:
    """`(num_frames,)`: 1 at `frame`, falling to 0 at `before` frames before it and at `after` frames after it as a cosine does.

    Args:
        loop: whether the first frame follows on the last.
    """
    distance = torch.arange(num_frames, dtype=torch.float32) - frame
    if loop:
        distance = (distance + num_frames // 2) % num_frames - num_frames // 2
    share = distance / torch.where(distance < 0, before, after)
    return (0.5 + 0.5 * torch.cos(math.pi * share.clamp(-1, 1))).to(device)
