"""What a face does besides moving as a whole: flow without its affine part, over the middle of the picture."""

from __future__ import annotations

import torch

from ..ops.warp import sampling_grid

MIDDLE = (0.22, 0.875), (0.19, 0.81)  # where framed faces are: from and to, of rows and of columns


def middle(maps: torch.Tensor) -> torch.Tensor:
    """Of maps `(..., h, w)` what lies in `MIDDLE`."""
    rows, columns = (
        slice(int(first * size), int(last * size) + 1) for (first, last), size in zip(MIDDLE, maps.shape[-2:])
    )
    return maps[..., rows, columns]


def without_affine(flow: torch.Tensor) -> torch.Tensor:
    """Flow, of any unit, `(..., h, w)`, less the affine flow that fits it best over `MIDDLE` (least squares)."""
    places = sampling_grid(flow.shape[-2], flow.shape[-1], flow.device, centers=True).to(flow.dtype)
    terms = torch.stack((torch.ones_like(places[..., 0]), *places.unbind(-1)))
    fit = torch.linalg.pinv(middle(terms).flatten(1))  # (places, 3)
    return flow - torch.einsum("...k,khw->...hw", middle(flow).flatten(-2) @ fit, terms)
