"""The motion of a driving clip, for a picture, by the auto-encoder alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch

from ..data.picture_fitting import Picture, to_rgb_tensors
from ..models import LatentFlowAutoencoder
from .motion import Motion
from .outlook import Outlook
from .rendering import Box

# Of a driving clip, which may be long. More at once are hardly faster on a CPU, and take memory.
FRAMES_AT_ONCE = 16


def driving_frames(driving: Iterable[Picture] | np.ndarray | torch.Tensor) -> Iterator[torch.Tensor]:
    """The frames of a clip, each `(3, H, W)` in [0, 1], as they come.

    Raises:
        ValueError: for what is no clip.
    """
    whole = isinstance(driving, (np.ndarray, torch.Tensor, PIL.Image.Image)) or not isinstance(driving, Iterable)
    items: Iterable[Any] = [driving] if whole else driving
    for item in items:
        yield from to_rgb_tensors(item, "driving")


def face_of_clip(
    frames: Iterable[Picture], outlook: Callable[[Picture], Outlook]
) -> tuple[Iterable[Picture], Box | None]:
    """A clip's frames, and where the face is in the first: `driving` and `driving_subject` of `LFDMPipeline.transfer`.

    Args:
        frames: pictures, perhaps as they are decoded.
        outlook: the pipeline's, which looks for faces if its model is one of faces.

    Returns:
        All frames; and the largest face that is found, or None for the whole frames.
    """
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        return [], None
    found = outlook(first).subjects or []
    return itertools.chain([first], rest), max(found, key=lambda box: box.right - box.left, default=None)


def driven_motion(
    lfae: LatentFlowAutoencoder,
    picture: torch.Tensor,
    frames: Sequence[torch.Tensor],
    relative: bool,
    found_more: Callable[[int], None] | None = None,
) -> Motion:
    """How a picture moves by a clip.

    Args:
        picture: `(3, h, w)` in [0, 1], of the model's size.
        frames: of the clip, each like `picture`.
        relative: as in `LFDMPipeline.transfer`.
        found_more: called with the number of frames that are done, each time when there are more.
    """
    flow, occlusion = [], []
    first = frames[0][None] if relative else None
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        clip = torch.stack(list(frames[start : start + FRAMES_AT_ONCE]), dim=1)[None]  # (1, 3, F, h, w)
        found = lfae.predict_flow(picture[None], clip, driving_reference=first)
        flow.append(found.flow[0].transpose(0, 1).float())
        occlusion.append(found.occlusion[0].transpose(0, 1).float())
        if found_more is not None:
            found_more(start + clip.shape[2])
    return Motion(torch.cat(flow), torch.cat(occlusion))
