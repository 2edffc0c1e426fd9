"""Motion: end-point error against true flow, and when and how much a clip moves."""

from __future__ import annotations

import torch

from ..arguments.checked import POSITIVE, checked
from ..ops.warp import resize_motion, sampling_grid
from .means import RunningMean


@checked(flow="... 2 h w", height=POSITIVE, width=POSITIVE)
def upsample_flow(flow: torch.Tensor, height: int, width: int, flow_grid: str = "corners") -> torch.Tensor:
    """Latent flow at the picture's size, as the decoder's last warp resizes it.

    Args:
        flow: `(..., 2, h, w)`, an absolute sampling grid (x, y) in [-1, 1].
        flow_grid: as in the configuration of the auto-encoder that it is for.

    Returns:
        `(..., 2, height, width)`.
    """
    if flow.shape[-2:] == (height, width):
        return flow
    grids = flow.reshape(-1, *flow.shape[-3:])
    resized = resize_motion(grids, (height, width), flow_grid == "centers")
    return resized.view(*flow.shape[:-2], height, width)


@checked(flow="... 2 h w", true_flow="... 2 H W")
def end_point_distances(flow: torch.Tensor, true_flow: torch.Tensor, flow_grid: str = "corners") -> torch.Tensor:
    """How far the place each pixel is read from lies from the true one: |p - p_true|_2, in pixels of the picture.

    Both grids are read as every warp of this package reads them (`align_corners=False`): g is the pixel
    ((g + 1) W - 1) / 2. So the stretch of the models' starting grid (docs/method.md) counts as error unless the model
    makes up for it, as it does in the pictures.

    Args:
        flow: `(..., 2, h, w)`, an absolute sampling grid; of latent size it is upsampled as the decoder does.
        flow_grid: as in `upsample_flow`.
        true_flow: `(..., 2, H, W)`, as from `ToonClip.flow`.

    Returns:
        `(..., 1, H, W)`.
    """
    height, width = true_flow.shape[-2:]
    if flow.shape[:-2] != true_flow.shape[:-2] or flow.shape[-3] != 2:
        raise ValueError(
            "`flow` and `true_flow` must be (..., 2, height, width) and agree but for their size, got "
            f"{tuple(flow.shape)} and {tuple(true_flow.shape)}."
        )
    x, y = (upsample_flow(flow, height, width, flow_grid) - true_flow).unbind(dim=-3)
    return torch.hypot(x * (width / 2), y * (height / 2)).unsqueeze(-3)


@checked()
def end_point_error(
    flow: torch.Tensor, true_flow: torch.Tensor, where: torch.Tensor | None = None, flow_grid: str = "corners"
) -> float:
    """Mean of `end_point_distances`, in pixels of the picture, over all pixels or those `where` (`(..., 1, H, W)` bool)."""
    return RunningMean().add(end_point_distances(flow, true_flow, flow_grid), where).value


@checked(true_flow="... 2 H W")
def zero_flow_like(true_flow: torch.Tensor) -> torch.Tensor:
    """The flow of no motion, every pixel read from itself, in the shape of `true_flow` `(..., 2, H, W)`.

    Its end-point distances are the lengths of the true motion.
    """
    height, width = true_flow.shape[-2:]
    return sampling_grid(height, width, centers=True).permute(2, 0, 1).to(true_flow).expand_as(true_flow)


class EndPointScores:
    """End-point errors of re-enacted clips, in pixels of the picture, gathered clip by clip.

    `compute` gives the means of `end_point_distances` of the "predicted" flow and of "zero" motion, each over "all" pixels,
    those truly "visible" in the reference, and of these the "visible_moving": moving as the L1 counts it (`moving_pixels`), as
    skin that slides along itself cannot be seen to move.
    """

    PLACES = ("all", "visible", "visible_moving")

    def __init__(self) -> None:
        self.means = {flow: {place: RunningMean() for place in self.PLACES} for flow in ("predicted", "zero")}

    @checked()
    def update(
        self,
        flow: torch.Tensor,
        true_flow: torch.Tensor,
        visibility: torch.Tensor,
        moving: torch.Tensor,
        flow_grid: str = "corners",
    ) -> None:
        """Add frames. The reference frame itself tells nothing about motion: leave it out.

        Args:
            flow, true_flow, flow_grid: as in `end_point_distances`.
            visibility, moving: `(..., 1, H, W)` bool.
        """
        for name, found in (("predicted", flow), ("zero", zero_flow_like(true_flow))):
            distance = end_point_distances(found, true_flow, flow_grid)
            for place, where in zip(self.PLACES, (None, visibility, visibility & moving)):
                self.means[name][place].add(distance, where)

    def compute(self) -> dict[str, dict[str, float]]:
        return {name: {place: mean.value for place, mean in places.items()} for name, places in self.means.items()}


@checked(clips="N F 3 H W")
def motion_profile(clips: torch.Tensor) -> torch.Tensor:
    """How much moves from each frame to the next: mean |x_t - x_(t-1)| over pixels and colours.

    Args:
        clips: `(N, F, 3, H, W)` in [0, 1].

    Returns:
        `(N, F - 1)`.
    """
    return clips.diff(dim=1).abs().mean(dim=(2, 3, 4))


@checked(strength="N F")
def expression_timing(strength: torch.Tensor, least: float = 0.25) -> tuple[torch.Tensor, torch.Tensor]:
    """When an expression comes and goes: where its strength first and last crosses half of its largest value.

    Crossings lie between frames, by linear interpolation.

    Args:
        strength: `(N, F)`, of an expression in every frame.
        least: clips whose largest strength is below this have no timing.

    Returns:
        onset and offset, each `(N,)` in frames; NaN without timing, 0 or F - 1 where the clip begins or ends above half.
    """
    peak = strength.amax(dim=1, keepdim=True)

    def first_crossing(curve: torch.Tensor) -> torch.Tensor:
        above = (curve >= peak / 2).int().argmax(dim=1, keepdim=True)  # the first frame of half or more
        before = (above - 1).clamp(min=0)
        high, low = curve.gather(1, above), curve.gather(1, before)
        share = torch.where(above > 0, (peak / 2 - low) / (high - low).clamp(min=1e-12), 0.0)
        return (before + share)[:, 0]

    onset, offset = first_crossing(strength), strength.shape[1] - 1 - first_crossing(strength.flip(1))
    none = peak[:, 0] < least
    return onset.masked_fill(none, float("nan")), offset.masked_fill(none, float("nan"))
