"""A motion as a file: flow and occlusion, with metadata that says what they mean and where they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ..files.names import printable, utf8_name
from ..files.reading import UnreadableFileError, reading
from ..files.whole import whole

FORMAT = "lfdm-motion 1"
CONVENTIONS = {
    "format": FORMAT,
    "flow": "(F, 2, h, w): where in the picture each place of a frame reads from; absolute sampling grid (x, y) in "
    "[-1, 1], as torch.nn.functional.grid_sample takes it with align_corners=False",
    "occlusion": "(F, 1, h, w) in [0, 1]: 1 keeps the warped picture, 0 paints in",
}


def save_motion(
    path: str | os.PathLike, flow: torch.Tensor, occlusion: torch.Tensor, about: Mapping[str, object] | None = None
) -> None:
    """Write `flow` `(F, 2, h, w)` and `occlusion` `(F, 1, h, w)` as float32 safetensors, whole or not at all.

    Args:
        about: further metadata, such as label and seed; written as text.
    """
    tensors = {"flow": flow.float().contiguous().cpu(), "occlusion": occlusion.float().contiguous().cpu()}
    metadata = CONVENTIONS | {
        printable(key): printable(value) for key, value in (about or {}).items() if value is not None
    }
    with whole(Path(path)) as part:
        save_file(tensors, part, metadata=metadata)


def load_motion(path: str | os.PathLike) -> tuple[torch.Tensor, torch.Tensor, dict[str, str]]:
    """Read what `save_motion` wrote.

    Returns:
        Flow `(F, 2, h, w)`, occlusion `(F, 1, h, w)`, and the metadata that it was given.

    Raises:
        ValueError: if the file is not there or holds something else.
    """
    try:
        with reading(path, "safetensors"), utf8_name(path) as name, safe_open(name, "pt") as file:
            metadata = file.metadata() or {}
            ours = metadata.get("format") == FORMAT
            maps = [file.get_tensor(part) for part in ("flow", "occlusion")] if ours else []
    except UnreadableFileError as error:
        raise ValueError(f"`path` must be a motion saved by this package: {error}") from error
    if not ours:
        raise ValueError(
            f"`path` {str(path)!r} must be a motion saved by this package ({FORMAT}), got {metadata.get('format')!r}."
        )
    return maps[0], maps[1], {key: value for key, value in metadata.items() if key not in CONVENTIONS}
