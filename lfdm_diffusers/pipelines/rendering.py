"""Frames at a picture's own size: the picture itself, warped, and where that is wrong, what the decoder painted.

Motion has no resolution. The decoder's frame d is small, but its flow f moves the full picture x just as well. Where the small
picture, warped, looks like d, the full one is right too, and sharp; elsewhere d shows what was hidden (an opened mouth):

    W = x(p + up(f - identity))                                     the full picture, warped
    g = exp(-(mean over colours and 3x3 places of |w - d| / s)^2)   agreement of the small picture, warped (w), with d
    frame = up(g) W + (1 - up(g)) up(d)

At rest f is the identity and w = d, so W = x, g = 1, and the frame is the picture, to the bit. A `FullSizePainter` says the three
parts of that sum better: f, 1 - g and d at several times the model's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
import torch
import torch.nn.functional as F

from ..ops.warp import sampling_grid
from .checks import require_number
from .easing import smoothstep

# The share of a crop's half side over which its motion fades out towards the photograph around it.
BORDER = 0.15
# Pixels of a frame that are worked on at a time: memory does not grow with the picture beyond the picture itself.
BAND_PIXELS = 2**20


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture in its pixels, which may reach beyond it: left <= x < right, top <= y < bottom.

    Raises:
        ValueError: if it is empty, or a side is no number or an absurd one.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        for name in ("left", "top", "right", "bottom"):
            require_number(name, getattr(self, name), Real)
        if self.right <= self.left or self.bottom <= self.top:
            raise ValueError(f"a Box must have left < right and top < bottom, got {self}.")

    def scaled(self, x: float, y: float) -> Box:
        """The same rectangle of the picture at another size."""
        return Box(self.left * x, self.top * y, self.right * x, self.bottom * y)

    def check_inside(self, height: int, width: int, *, argument: str = "subjects") -> None:
        """Raise a ValueError for a rectangle none of which lies in a picture of this size."""
        if self.left >= width or self.top >= height or self.right <= 0 or self.bottom <= 0:
            raise ValueError(f"`{argument}` must lie in the picture of {height}x{width} pixels, got {self}.")

    def framed(self, height: int, width: int) -> Box:
        """The smallest rectangle around this one, with its middle, of the proportions of `height` x `width`."""
        across, down = self.right - self.left, self.bottom - self.top
        wide, high = max(across, down * width / height), max(down, across * height / width)
        x, y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        return Box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)


@dataclass(frozen=True)
class MovedSubject:
    """One part of a picture and its motion.

    Attributes:
        box: where in the picture, in its pixels, the model's frame lies.
        flow: `(F, 2, h, w)`, absolute sampling grid (x, y) in [-1, 1] of the model's frame.
        painted: `(F, 3, h', w')` in [0, 1], what the decoder or a painter made.
        share: `(F, 1, h'', w'')` in [0, 1], how much of it is taken rather than the picture, warped.
        mask: `(H, W)` in [0, 1] of the picture's size: what may move. None is everything.
        reference, decoded: `(3, h, w)` and `(F, 3, h, w)`, the model's picture and its decoder's frames, to be shown beside.
    """

    box: Box
    flow: torch.Tensor
    painted: torch.Tensor
    share: torch.Tensor
    mask: torch.Tensor | None = None
    reference: torch.Tensor | None = None
    decoded: torch.Tensor | None = None

    def scaled(self, height: int, width: int, of: Sequence[int]) -> MovedSubject:
        """The same part of the picture at another size than `of`."""
        box, mask = self.box.scaled(width / of[1], height / of[0]), self.mask
        if mask is not None:
            mask = F.interpolate(mask[None, None], size=(height, width), mode="bilinear", antialias=True)[0, 0]
        return replace(self, box=box, mask=mask)


def resized_picture(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A picture `(C, H, W)` in [0, 1] at another size, bicubic; what is transparent has no colour to give."""
    if tuple(picture.shape[-2:]) == (height, width):
        return picture
    if len(picture) == 4:
        picture = torch.cat((picture[:3] * picture[3:], picture[3:]))
    out = F.interpolate(picture[None], size=(height, width), mode="bicubic", align_corners=False, antialias=True)[0]
    if len(out) == 4:
        out = torch.cat((out[:3] / out[3:].clamp(min=1e-3), out[3:]))
    return out.clamp(0, 1)


def interpolation_matrix(places: torch.Tensor, size: int, cubic: bool) -> torch.Tensor:
    """Weights `(n, size)` that read a row of `size` values at n places.

    Args:
        places: `(n,)` in units of values, the first value's centre at 0; beyond the ends the end counts.
        cubic: Keys' cubic convolution with a = -.75, as torch's; else linear.
    """
    first = places.floor()
    t = (places - first)[:, None]
    if cubic:
        a = -0.75
        taps, distance = range(-1, 3), torch.cat((t + 1, t, 1 - t, 2 - t), dim=1)
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        weights = torch.where(distance <= 1, near, far)
    else:
        taps, weights = range(2), torch.cat((1 - t, t), dim=1)
    index = torch.stack([(first + tap).long().clamp(0, size - 1) for tap in taps], dim=1)
    return torch.zeros(len(places), size, dtype=places.dtype).scatter_add_(1, index, weights)


class Axis:
    """How a box lies along one axis of a frame of `size` pixels: which pixels it covers, and how it fades out."""

    def __init__(self, low: float, high: float, size: int):
        self.low, self.length = low, high - low
        self.start, self.stop = max(0, int(low)), min(size, -int(-high // 1))
        self.centres = torch.arange(self.start, self.stop, dtype=torch.float32) + 0.5
        fade = torch.ones_like(self.centres)
        border = max(1.0, BORDER * self.length / 2)
        # Only where the picture goes on beyond the box: its first pixel is the photograph's.
        if low > 0:
            fade = torch.minimum(fade, (self.centres - max(low, self.start) - 0.5) / border)
        if high < size:
            fade = torch.minimum(fade, (min(high, self.stop) - self.centres - 0.5) / border)
        self.fade = smoothstep(fade.clamp(0, 1))
        self._matrices: dict[tuple[int, bool], torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.centres)

    def matrix(self, values: int, cubic: bool) -> torch.Tensor:
        """`interpolation_matrix` from a map of `values` places along the box to its pixels."""
        if (values, cubic) not in self._matrices:  # the same for all frames and bands
            places = (self.centres - self.low) * values / self.length - 0.5
            self._matrices[values, cubic] = interpolation_matrix(places, values, cubic)
        return self._matrices[values, cubic]


class Renderer:
    """Frames of one picture, one after the other.

    Args:
        picture: `(C, H, W)` in [0, 1]; three colours, or four with alpha (colours not multiplied by it).
        subjects: at least one; all with as many frames. Where boxes overlap, each moves what is nearer to its middle.

    Raises:
        ValueError: if motions differ in length, or a box lies outside the picture.
    """

    def __init__(self, picture: torch.Tensor, subjects: Sequence[MovedSubject]):
        lengths = {len(subject.flow) for subject in subjects}
        if len(lengths) != 1:
            raise ValueError(f"`subjects` must hold motions of one length, got {sorted(lengths)} frames.")
        (self.num_frames,) = lengths
        self.picture, self.subjects = picture.float(), subjects
        height, width = picture.shape[-2:]
        for box in (subject.box for subject in subjects):
            box.check_inside(height, width)
        self.axes = [(Axis(s.box.top, s.box.bottom, height), Axis(s.box.left, s.box.right, width)) for s in subjects]

    def __len__(self) -> int:
        return self.num_frames

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self.frame(index) for index in range(self.num_frames))

    def frame(self, index: int) -> torch.Tensor:
        """Frame `index`, `(C, H, W)`."""
        return torch.cat([rows for _, _, rows in self._bands(index)], dim=1)

    def pixels(self, index: int) -> np.ndarray:
        """Frame `index`, `(H, W, C)` uint8."""
        channels, height, width = self.picture.shape
        out = np.empty((height, width, channels), np.uint8)
        for top, bottom, rows in self._bands(index):
            out[top:bottom] = (rows * 255).round_().to(torch.uint8).permute(1, 2, 0).numpy()
        return out

    def resized(self, height: int, width: int) -> Renderer:
        """The same frames at another size."""
        subjects = [subject.scaled(height, width, self.picture.shape[-2:]) for subject in self.subjects]
        return Renderer(resized_picture(self.picture, height, width), subjects)

    def _bands(self, index: int) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Frame `index` in parts: first row, the row after the last, and what is between, `(C, rows, W)`."""
        height, width = self.picture.shape[-2:]
        rows_at_once = max(1, BAND_PIXELS // width)
        for top in range(0, height, rows_at_once):
            bottom = min(height, top + rows_at_once)
            rows = self.picture[:, top:bottom].clone()
            self._band(rows, index, top, bottom)
            yield top, bottom, rows

    def _band(self, out: torch.Tensor, index: int, top: int, bottom: int) -> None:
        """Rows `top` to `bottom` of frame `index`, written into `out`, which holds those of the picture."""
        parts = [
            (n, rows, columns)
            for n, (rows, columns) in enumerate(self.axes)
            if rows.start < bottom and rows.stop > top
        ]
        if not parts:
            return
        left, right = min(c.start for _, _, c in parts), max(c.stop for _, _, c in parts)
        shape = (bottom - top, right - left)
        shift, painted, share_painted = (out.new_zeros(*channels, *shape) for channels in ((2,), (3,), ()))
        nearness = self._nearness(parts, top, bottom, left, right) if len(parts) > 1 else None
        for place, (n, rows, columns) in enumerate(parts):
            here, y = self._slices(rows, columns, top, bottom, left)
            subject, weight = self.subjects[n], rows.fade[y][:, None] * columns.fade
            if subject.mask is not None:
                weight = weight * subject.mask[rows.start : rows.stop, columns.start : columns.stop][y]
            if nearness is not None:
                weight = weight * nearness[place][here]

            flow = subject.flow[index]
            flow_height, flow_width = flow.shape[-2:]
            departure = flow - sampling_grid(flow_height, flow_width, centers=True).permute(2, 0, 1)
            sides = out.new_tensor([columns.length, rows.length]).view(2, 1, 1) / 2  # pixels for 1 of the grid
            shift[(slice(None), *here)] += weight * sides * self._enlarged(departure, rows, columns, y, cubic=True)
            alpha = weight * self._enlarged(subject.share[index, 0], rows, columns, y)
            painted[(slice(None), *here)] += alpha * self._enlarged(
                subject.painted[index], rows, columns, y, cubic=True
            ).clamp(0, 1)
            share_painted[here] += alpha
        moved = self._warped(shift, top, left)
        if len(moved) == 4:  # the decoder saw, and paints, transparent colours on white
            alpha = moved[3].clamp(min=1 / 255)
            painted = ((painted - share_painted * (1 - alpha)) / alpha).clamp(min=0)
            painted = torch.minimum(painted, share_painted)
        moved[:3] = moved[:3] * (1 - share_painted) + painted
        still = (shift == 0).all(dim=0) & (share_painted == 0)
        part = out[:, :, left:right]
        part.copy_(torch.where(still, part, moved.clamp(0, 1)))

    def _warped(self, shift: torch.Tensor, top: int, left: int) -> torch.Tensor:
        """The picture read where `shift` `(2, h, w)`, in pixels, points to from the places from (`top`, `left`) on."""
        height, width = self.picture.shape[-2:]
        x = (torch.arange(shift.shape[-1], dtype=shift.dtype) + left + 0.5 + shift[0]) * (2 / width) - 1
        y = (torch.arange(shift.shape[-2], dtype=shift.dtype)[:, None] + top + 0.5 + shift[1]) * (2 / height) - 1
        grid, source = torch.stack((x, y), dim=-1)[None], self.picture
        if len(source) == 4:  # what is transparent has no colour to give
            source = torch.cat((source[:3] * source[3:], source[3:]))
        read = F.grid_sample(source[None], grid, mode="bicubic", padding_mode="border", align_corners=False)[0]
        if len(read) == 4:
            read = torch.cat((read[:3] / read[3:].clamp(min=1e-3), read[3:]))
        return read.clamp(0, 1)

    @staticmethod
    def _enlarged(small: torch.Tensor, rows: Axis, columns: Axis, y: slice, cubic: bool = False) -> torch.Tensor:
        """A map `(..., h, w)` of the model's frame at the pixels of a box, of its rows `y` alone."""
        height, width = small.shape[-2:]
        return rows.matrix(height, cubic)[y] @ small @ columns.matrix(width, cubic).T

    @staticmethod
    def _slices(rows: Axis, columns: Axis, top: int, bottom: int, left: int) -> tuple[tuple[slice, slice], slice]:
        """Where a box lies in a band, and which of the box's rows these are."""
        first, last = max(rows.start, top), min(rows.stop, bottom)
        here = slice(first - top, last - top), slice(columns.start - left, columns.stop - left)
        return here, slice(first - rows.start, last - rows.start)

    def _nearness(
        self, parts: Sequence[tuple[int, Axis, Axis]], top: int, bottom: int, left: int, right: int
    ) -> list[torch.Tensor]:
        """Shares `(h, w)` of the boxes of a band in each of its places; they sum to 1 where there is a box."""
        nearness = []
        for _, rows, columns in parts:
            here, y = self._slices(rows, columns, top, bottom, left)
            near = torch.zeros(bottom - top, right - left, dtype=torch.float32)
            across = ((columns.centres - columns.low) / columns.length * 2 - 1).abs()
            down = ((rows.centres - rows.low) / rows.length * 2 - 1).abs()[y]
            near[here] = (1 - torch.maximum(down[:, None], across)).clamp(min=0) ** 2
            nearness.append(near)
        total = torch.stack(nearness).sum(dim=0).clamp(min=1e-12)
        return [near / total for near in nearness]
