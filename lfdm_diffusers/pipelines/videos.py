"""The forms in which a call returns videos; one renders frames only when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import PIL.Image
import torch

from .checks import require_room
from .rendering import MovedSubject, Renderer


class RenderedVideo(Sequence[np.ndarray]):
    """The frames of one video, `(H, W, C)` uint8 arrays that are rendered when asked for; none is kept.

    `len(video)`, `video[3]`, `for frame in video`; `video[2:5]` is a list. With C = 4 the last channel is alpha.
    """

    def __init__(self, renderer: Renderer, before: Callable[[int], None] | None = None):
        self._renderer, self._before = renderer, before

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(F, H, W, C)`."""
        channels, height, width = self._renderer.picture.shape
        return len(self), height, width, channels

    @property
    def subjects(self) -> Sequence[MovedSubject]:
        """The subjects, each with its motion."""
        return self._renderer.subjects

    def __len__(self) -> int:
        return len(self._renderer)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        numbers = range(len(self))[index]
        return (
            self._renderer.pixels(numbers)
            if isinstance(numbers, int)
            else [self._renderer.pixels(number) for number in numbers]
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        for number in range(len(self)):
            if self._before is not None:
                self._before(number)
            yield self._renderer.pixels(number)

    def picture(self) -> np.ndarray:
        """The picture that moves, `(H, W, C)` uint8."""
        return pixels_of(self._renderer.picture)

    def resized(self, height: int, width: int) -> RenderedVideo:
        """The same video at another size."""
        return RenderedVideo(self._renderer.resized(height, width), self._before)

    def watched(self, before: Callable[[int], None]) -> RenderedVideo:
        """The same video, which calls `before(number)` before it renders a frame of a loop; what that raises ends the loop."""
        return RenderedVideo(self._renderer, before)


def pixels_of(picture: torch.Tensor) -> np.ndarray:
    """`(..., H, W, C)` uint8 of a picture, or several, `(..., C, H, W)` in [0, 1]."""
    return (picture * 255).round().to(torch.uint8).movedim(-3, -1).cpu().numpy()


def rendered(frames: Renderer, output_type: str) -> Any:
    """Frames as PIL pictures, a `RenderedVideo` ("stream"), an array `(F, H, W, C)` or a tensor `(F, C, H, W)` in [0, 1]."""
    video = RenderedVideo(frames)
    if output_type == "stream":
        return video
    count, height, width, channels = video.shape
    require_room(
        "output_size", count, height, width, channels * (1 if output_type == "pil" else 8)
    )  # and a copy of floats
    if output_type == "pil":
        return [PIL.Image.fromarray(frame) for frame in video]
    if output_type == "np":
        return np.stack([frame.permute(1, 2, 0).numpy() for frame in frames])
    return torch.stack(list(frames))
