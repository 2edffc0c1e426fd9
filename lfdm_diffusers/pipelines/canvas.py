"""The pictures of a call: as they are rendered, as the model sees them, and how masks fit them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral

import torch

from ..data.picture_fitting import fit_picture, over_white
from .checks import require_number
from .full_size import FullSize, check_output_size
from .image_to_video import require_fit
from .motion import Mask, mask_tensor
from .subjects import Subject


@dataclass(frozen=True)
class Canvas:
    """What a call moves, and where.

    Attributes:
        pictures: `(3 or 4, H, W)` in [0, 1], as they are rendered.
        image_fit: how they are fitted to the model's frame.
        height, width: of the model's frame, in pixels; None is not decided yet (`framed`).
        output_size: of the frames, unless a rendering says otherwise: "model", "picture" or (height, width).
        subjects: what moves of the one picture; None is all of it.
        given: sizes (H, W) of the pictures that came, where `pictures` are these fitted to a size that was asked for.
    """

    pictures: list[torch.Tensor]
    image_fit: str
    height: int | None = None
    width: int | None = None
    output_size: str | tuple[int, int] = "model"
    subjects: Sequence[Subject] | None = None
    given: list[tuple[int, int]] | None = None

    @classmethod
    def asked(
        cls,
        pictures: list[torch.Tensor],
        trained: int | None,
        height: int | None,
        width: int | None,
        image_fit: str,
        output_size: str | tuple[int, int],
        subjects: Sequence[Subject] | None,
        as_given: bool,
    ) -> Canvas:
        """Pictures `(3 or 4, H, W)`, fitted to a size of frames that the model was not trained on, to be rendered as they are.

        Motion is made at the trained size and rendered at this one, as a model paints nonsense at sizes that it was not trained on.

        Args:
            trained: side of the model's frames; None if it takes any.
            as_given: `height` and `width` are the model's frame in any case, as initial noise or `subjects` say how they are meant.
        """
        for name, side in (("height", height), ("width", width)):
            if side is not None:
                require_number(name, side, Integral, 1)
        sides = (trained if height is None else height, trained if width is None else width)
        check_output_size(output_size)
        if trained is None or as_given or output_size != "model" or sides == (trained, trained):
            return cls(pictures, image_fit, height, width, output_size, subjects)
        require_fit(image_fit)
        size = (int(sides[0] or 0), int(sides[1] or 0))
        fitted = [fit_picture(over_white(picture), *size, image_fit) for picture in pictures]
        return cls(fitted, image_fit, output_size="picture", subjects=subjects, given=_sizes(pictures))

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width of the model's frame."""
        if self.height is None or self.width is None:
            raise ValueError("the `canvas` has no frame yet; `framed` gives it one.")
        return self.height, self.width

    def framed(self, height: int, width: int) -> Canvas:
        """The same pictures, in a model's frame of this size."""
        return replace(self, height=height, width=width)

    @cached_property
    def model_pictures(self) -> list[torch.Tensor]:
        """What the model sees, before it is fitted to its frame, each `(3, H, W)`: the pictures, or their subjects."""
        if self.subjects is None:
            return list(map(over_white, self.pictures))
        return FullSize(self.pictures, "picture", self.frame, self.image_fit, self.subjects).model_pictures()

    def full_size(
        self, output_type: str, motion_mask: Mask | None = None, output_size: str | tuple[int, int] | None = None
    ) -> FullSize | None:
        """What renders frames of another size than the model's; None where frames are the decoder's own.

        Args:
            motion_mask: of `on_pictures`.
            output_size: None is the canvas's own, and so is "model" where the pictures were fitted to a size that was asked for.

        Raises:
            ValueError: naming the argument.
        """
        if output_size is None or (self.given is not None and output_size == "model"):
            output_size = self.output_size
        return FullSize.asked(
            self.pictures, output_size, self.frame, self.image_fit, self.subjects, motion_mask, output_type
        )

    def on_pictures(self, mask: Mask | None) -> Mask | None:
        """A mask that came beside the pictures, for the pictures that are rendered."""
        if mask is None or self.given is None:
            return mask
        return framed_mask(mask, self.given, _sizes(self.pictures)[0], self.image_fit)

    def in_frame(self, mask: Mask | None) -> Mask | None:
        """A mask of `on_pictures`, for the model's frame."""
        return framed_mask(mask, _sizes(self.model_pictures), self.frame, self.image_fit)


def _sizes(pictures: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    return [(picture.shape[-2], picture.shape[-1]) for picture in pictures]


def framed_mask(
    mask: Mask | None, pictures: Sequence[tuple[int, int]], size: tuple[int, int], image_fit: str
) -> Mask | None:
    """A mask of the pictures' size (H, W) is fitted to the frame as they are; any other is the frame's."""
    if mask is None:
        return None
    values = mask_tensor(mask)
    if any(picture != tuple(values.shape) for picture in pictures):
        return mask
    return fit_picture(values.expand(3, -1, -1), *size, image_fit)[0].clamp(0, 1)
