"""A trained U-Net's weights in one of other widths, frames and pictures: a start that saves most of a training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..models import UNet3DVideoModel


def changed_unet(unet: UNet3DVideoModel, **changes: Any) -> UNet3DVideoModel:
    """An untrained U-Net with another one's configuration but for these changes."""
    # Not merged beforehand: `from_config` passes over values whose names a loaded configuration notes as its class's defaults.
    return UNet3DVideoModel.from_config(unet.config, **changes)


@torch.no_grad()
def resized_unet(unet: UNet3DVideoModel, **changes: Any) -> UNet3DVideoModel:
    """A U-Net with another configuration that begins as near to a trained one as it can.

    Of wider layers the channels are kept that lie evenly spread, so that each group of a normalisation loses the same share; into wider
    ones they are repeated. What it makes of time is fitted by least squares, as sinusoids of another width have other frequencies.
    Pictures of another encoder mean nothing to it: their weights are zero, and are to be learnt.

    Args:
        unet: trained.
        changes: of its configuration: sizes, frames, channels; with as many blocks and heads as before.

    Returns:
        `unet` itself where no weight has another shape.

    Raises:
        ValueError: if it would have other blocks.
    """
    changes = {name: value for name, value in changes.items() if dict(unet.config).get(name) != value}
    old, new = unet, changed_unet(unet, **changes)
    weights, wanted = old.state_dict(), new.state_dict()
    if weights.keys() != wanted.keys() or any(weights[name].ndim != wanted[name].ndim for name in weights):
        raise ValueError(
            "a U-Net can start from the weights of another one with as many blocks and the same attention; the configurations differ "
            f"in {', '.join(changes)}."
        )
    if all(weights[name].shape == wanted[name].shape for name in weights):
        unet.register_to_config(**changes)
        return unet
    return carried_over(old, new)


@torch.no_grad()
def carried_over(old: UNet3DVideoModel, new: UNet3DVideoModel) -> UNet3DVideoModel:
    """`new`, which has all that `old` has, with its weights, fitted as `resized_unet` says; what `old` does not have stays. Texts of
    another width mean nothing to it either."""
    other_pictures = old.config.image_latent_channels != new.config.image_latent_channels
    wanted, before, now = new.state_dict(), old.config.text_embed_dim, new.config.text_embed_dim
    for name, weight in old.state_dict().items():
        shape = wanted[name].shape
        if name == "null_text_embed" and weight.shape != shape:
            continue
        if other_pictures and name.startswith(
            ("conv_image.", "picture_reader.conv_out.", "picture_reader.summary.conv_out.")
        ):
            wanted[name].zero_()
        elif name == "time_embedding.linear_1.weight" and weight.shape[1] != shape[1]:
            wanted[name].copy_(_of_time(_spread(weight, 0, shape[0]), old.time_proj, new.time_proj))
        elif name.endswith("film.weight"):  # of time, and of the text
            time, said = weight[:, :-before], _spread(weight[:, -before:], 0, shape[0])
            time = _spread(_spread(time, 1, shape[1] - now), 0, shape[0])
            said = said if before == now else said.new_zeros(shape[0], now)
            wanted[name].copy_(torch.cat((time, said), dim=1))
        else:
            for dim, width in enumerate(shape):
                weight = _spread(weight, dim, width)
            wanted[name].copy_(weight)
    return new


def _spread(weight: torch.Tensor, dim: int, width: int) -> torch.Tensor:
    """As many channels of `weight`, evenly spread; all of them where the width is the same."""
    if weight.shape[dim] == width:
        return weight
    return weight.index_select(dim, torch.arange(width, device=weight.device) * weight.shape[dim] // width)


def _of_time(weight: torch.Tensor, old: nn.Module, new: nn.Module) -> torch.Tensor:
    """What makes of the new sinusoids of a timestep what `weight` made of the old ones, as nearly as can be."""
    steps = torch.arange(1000, device=weight.device)
    return torch.linalg.lstsq(new(steps).double(), old(steps).double() @ weight.double().T).solution.T
