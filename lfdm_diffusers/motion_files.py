"""A generated motion as a file: flow and occlusion, with what they mean and where they come from."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from .whole_files import whole

CONVENTIONS = {
    "format": "lfdm-motion 1",
    "flow": "(F, 2, h, w): where in the picture each place of a frame reads from; absolute sampling grid (x, y) in "
    "[-1, 1], as torch.nn.functional.grid_sample takes it with align_corners=False",
    "occlusion": "(F, 1, h, w) in [0, 1]: 1 keeps the warped picture, 0 paints in",
}


def save_motion(path: Path, flow: torch.Tensor, occlusion: torch.Tensor, about: dict[str, object]) -> None:
    """Write `flow` `(F, 2, h, w)` and `occlusion` `(F, 1, h, w)` as float32 safetensors, whole or not at all.

    Args:
        about: further metadata, such as label and seed; written as text.
    """
    tensors = {"flow": flow.float().contiguous().cpu(), "occlusion": occlusion.float().contiguous().cpu()}
    metadata = CONVENTIONS | {key: str(value) for key, value in about.items() if value is not None}
    with whole(path) as part:
        save_file(tensors, part, metadata=metadata)
