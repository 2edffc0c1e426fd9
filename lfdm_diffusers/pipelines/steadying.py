"""Steadies generated flows: they tremble a little everywhere, which bends edges in frames of several times the model's size.

A true flow is smooth but for the borders of what moves, and is the identity where nothing does. Denoising leaves a noise of about a
tenth of a place of the flow (a third of a pixel in 64), independent from place to place, which hardly changes the decoder's frame,
but gives contours of the full picture teeth. Lengths are in places of the flow's map.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F

from ..models.full_size_painter import still_flow
from .easing import smoothstep

# Neighbours up to so far are averaged; and of these, those that move by about as much: what moves otherwise is another thing.
FAR, NEAR, ALIKE = 2, 1.2, 0.3
# A motion below the first is none; from the second on it is taken as it is.
REST, MOTION = 0.1, 0.3
# Mean difference of colours between the small picture, warped, and the decoder's frame: none below the first, new content from the
# second on. What an auto-encoder changes in a picture at rest is below.
SAME, NEW = 0.04, 0.1


def steadied(flow: torch.Tensor) -> torch.Tensor:
    """A flow `(F, 2, h, w)`, an absolute sampling grid in [-1, 1] of pixel centres, smoothed, and the identity where it nearly is.

    A bilateral filter: borders between what moves differently stay, and so do even slopes.
    """
    height, width = flow.shape[-2:]
    still = still_flow(flow)
    places = flow.new_tensor([width, height]).view(2, 1, 1) / 2  # for 1 of the grid
    departure = (flow - still) * places
    around = F.pad(departure, [FAR] * 4, mode="replicate")
    total, weights = torch.zeros_like(departure), torch.zeros_like(departure[:, :1])
    for y, x in itertools.product(range(2 * FAR + 1), repeat=2):
        neighbour = around[..., y : y + height, x : x + width]
        unlike = ((neighbour - departure) ** 2).sum(dim=1, keepdim=True)
        distance = (y - FAR) ** 2 + (x - FAR) ** 2
        weight = torch.exp(-distance / (2 * NEAR**2) - unlike / (2 * ALIKE**2))
        total += weight * neighbour
        weights += weight
    smooth = total / weights
    return still + smooth * _step(smooth.norm(dim=1, keepdim=True), REST, MOTION) / places


def activity(flow: torch.Tensor, warped: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
    """Where anything moves or is new, `(F, 1, H, W)` in [0, 1]: elsewhere, at 0, a frame is the picture, to the bit.

    Args:
        flow: `(F, 2, h, w)`, steadied.
        warped, decoded: `(F, 3, H, W)` in [0, 1], the small picture, warped, and the decoder's frames.
    """
    moves = (flow - still_flow(flow) != 0).any(dim=1, keepdim=True).to(flow)
    moves = F.interpolate(_dilated(moves), decoded.shape[-2:], mode="bilinear", align_corners=False)
    new = _step((warped - decoded).abs().mean(dim=1, keepdim=True), SAME, NEW)
    return torch.maximum(moves, _dilated(new))


def hidden(occlusion: torch.Tensor, below: float) -> torch.Tensor:
    """How much of each place the picture does not show, of an occlusion, both `(F, 1, h, w)` in [0, 1]: nothing from `below` on, all of
    it up to a fifth of that.

    Denoising leaves occlusion grey where it does not know whether something will be hidden. There the picture, warped, is always
    plausible, and what a decoder paints is a pale blot.
    """
    return 1 - _step(occlusion, below / 5, below)


def still_at_rest(
    flow: torch.Tensor, painted: torch.Tensor, share: torch.Tensor, active: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same flow, paint and share of it, all `(F, C, h, w)`, with no motion and no paint where `active` `(F, 1, H, W)` is 0."""

    def at_size_of(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(active, x.shape[-2:], mode="bilinear", align_corners=False)

    still = still_flow(flow)
    # Written so that at rest it is the very grid that a renderer takes off.
    flow = torch.where(at_size_of(flow) > 0, still + at_size_of(flow) * (flow - still), still)
    return flow, painted, share * at_size_of(share)


def _step(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """0 up to `low`, 1 from `high` on, smooth between."""
    return smoothstep(((x - low) / (high - low)).clamp(0, 1))


def _dilated(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)
