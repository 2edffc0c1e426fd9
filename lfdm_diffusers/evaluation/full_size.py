"""Scores frames at several times a model's size, on true pairs whose motion is found at the model's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import PIL.Image
import torch
import torch.nn.functional as F

from ..metrics.means import RunningMean
from ..metrics.reconstruction import moving_pixels
from ..models import FullSizePainter, LatentFlowAutoencoder
from ..models.full_size_painter import composed, enlarged, plain_rule
from ..pipelines.image_to_video import eval_mode
from ..visualization import contact_sheet
from .reconstruction import motion_between


class SmallMotion(NamedTuple):
    """What an auto-encoder finds between pairs of pictures made smaller: arguments of `FullSizePainter.forward`.

    Attributes:
        flow, occlusion: `(N, 2, h', w')`, `(N, 1, h', w')`.
        decoded, warped: `(N, 3, h, w)`.
    """

    flow: torch.Tensor
    occlusion: torch.Tensor
    decoded: torch.Tensor
    warped: torch.Tensor


@torch.no_grad()
def small_motion(
    lfae: LatentFlowAutoencoder,
    reference: torch.Tensor,
    driving: torch.Tensor,
    scale: int,
    true: Sequence[torch.Tensor] = (),
) -> SmallMotion:
    """The motion between pictures `(N, 3, S h, S w)`, found and decoded at 1/S of their size by a model in eval mode.

    Args:
        true: their true motion, as `residual_motion` gives it, in the place of what the model finds.
    """
    one, other = (smaller(x.to(lfae.device), scale) for x in (reference, driving))
    flow, occlusion = motion_between(lfae, one, other, true)
    out = lfae.decode(lfae.encode(one), flow, occlusion)
    return SmallMotion(*(x.float() for x in (flow, occlusion, out.sample, out.warped)))


def smaller(pictures: torch.Tensor, scale: int) -> torch.Tensor:
    """Pictures at 1/S of their size, as pipelines fit them."""
    size = [side // scale for side in pictures.shape[-2:]]
    return F.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)


def sharpness(pictures: torch.Tensor) -> torch.Tensor:
    """Mean difference of neighbouring pixels of each picture `(N, 3, H, W)`, down and across: `(N,)`."""
    across, down = (pictures.diff(dim=dim).abs().mean(dim=(1, 2, 3)) for dim in (-1, -2))
    return across + down


class FullSizeScores:
    """Of one way to render: l1, l1_moving (over `moving_pixels`), psnr (mean over frames, dB), sharpness (1 is the truth's)."""

    def __init__(self) -> None:
        self.l1, self.moving, self.psnr = RunningMean(), RunningMean(), RunningMean()
        self.made, self.true = RunningMean(), RunningMean()

    def update(self, reference: torch.Tensor, target: torch.Tensor, frames: torch.Tensor) -> None:
        """Add frames `(N, 3, H, W)` in [0, 1] of true ones, made from `reference`."""
        error = (frames - target).abs()
        self.l1.add(error)
        self.moving.add(error, moving_pixels(reference, target))
        self.psnr.add(-10 * torch.log10((error**2).mean(dim=(1, 2, 3)).clamp(min=1e-10)))
        self.made.add(sharpness(frames))
        self.true.add(sharpness(target))

    def compute(self) -> dict[str, float]:
        return {
            "l1": self.l1.value,
            "l1_moving": self.moving.value,
            "psnr": self.psnr.value,
            "sharpness": self.made.value / self.true.value,
        }


@torch.no_grad()
def evaluate_painter(
    lfae: LatentFlowAutoencoder,
    painter: FullSizePainter,
    reference: torch.Tensor,
    driving: torch.Tensor,
    *true: torch.Tensor,
    batch_size: int = 8,
    rows: int = 8,
) -> tuple[dict[str, float], PIL.Image.Image]:
    """Render pairs `(N, 3, S h, S w)` with the painter and without; `true` is as in `small_motion`.

    Returns:
        `FullSizeScores` of the painter, and with the prefix plain_ of the plain rule; and a sheet of some pairs: reference, driving,
        the decoder's frame enlarged, the plain rule, the painter, what it paints, how much.
    """
    scale = painter.config.scale
    scores, plain = FullSizeScores(), FullSizeScores()
    shown = set(
        torch.linspace(0, len(reference) - 1, min(rows, len(reference)), dtype=torch.float32).round().int().tolist()
    )
    sheet = []
    with eval_mode(lfae), eval_mode(painter):
        for start in range(0, len(reference), batch_size):
            batch = [x[start : start + batch_size].to(lfae.device) for x in (reference, driving, *true)]
            one, other = batch[:2]
            found = small_motion(lfae, one, other, scale, batch[2:])
            details = painter(one, *found)
            frames = composed(one, details)
            without = composed(one, plain_rule(found.flow, found.decoded, found.warped, scale))
            scores.update(one, other, frames)
            plain.update(one, other, without)
            large = enlarged(found.decoded, scale).clamp(0, 1)
            columns = (one, other, large, without, frames, details.painted, details.share)
            for row in range(len(one)):
                if start + row in shown:
                    sheet.append([x[row].permute(1, 2, 0).squeeze(-1).cpu().numpy() for x in columns])
    titles = ["reference", "driving", "enlarged", "plain rule", "painter", "painted", "share\n(white: painted)"]
    numbers = scores.compute() | {f"plain_{name}": value for name, value in plain.compute().items()}
    return numbers, contact_sheet(sheet, titles, tile=reference.shape[-1])
