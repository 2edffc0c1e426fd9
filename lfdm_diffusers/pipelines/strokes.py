"""What is known of a motion before it is generated: strokes ("this place of the picture is there in that frame"), and that the first
frame is the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import torch
import torch.nn.functional as F

from ..data.picture_fitting import frame_sides
from ..ops.warp import sampling_grid
from .call_arguments import ResolvedArguments
from .checks import require_number
from .easing import smoothstep
from .full_size import FullSize
from .imposing import KnownFrame, reach
from .rendering import Box
from .windows import shared_frames

# Of the frame's shorter side: how far around a stroke's place moves with it, unless the stroke says so.
RADIUS = 0.1
# Of the trained clip, how long before and after its frame a stroke is felt.
REACH = 4

Point = tuple[float, float]


@dataclass(frozen=True)
class Stroke:
    """Where a place of the picture goes.

    Attributes:
        points: (x, y) in the picture's pixels, at least two: where the place is, and then where it goes to.
        frames: in which frame it gets there: that of the last point, up to which the others are spread evenly, or one for each
            point but the first, rising. None is the middle of the clip. Between and after them the model decides.
        radius: how far around the place the picture moves with it, in its pixels; None is a tenth of the frame's shorter side.

    Raises:
        ValueError: naming what came and what is allowed.
    """

    points: Sequence[Point]
    frames: int | Sequence[int] | None = None
    radius: float | None = None

    def __post_init__(self) -> None:
        points = self.points
        pairs = isinstance(points, (list, tuple)) and all(isinstance(p, (list, tuple)) and len(p) == 2 for p in points)
        if not pairs or len(points) < 2:
            raise ValueError(f"a Stroke's `points` must be two or more pairs (x, y), got {points!r}.")
        for number in (number for point in points for number in point):
            require_number("points", number, Real)
        given = self.frames if isinstance(self.frames, (list, tuple)) else [self.frames]
        for frame in given if self.frames is not None else ():
            require_number("frames", frame, Integral, 1)
        if isinstance(self.frames, (list, tuple)) and (
            len(given) != len(points) - 1 or any(b <= a for a, b in pairwise(given))
        ):
            raise ValueError(
                f"a Stroke's `frames` must be {len(points) - 1} rising numbers, one for each point but the first, got {given}."
            )
        if self.radius is not None:
            require_number("radius", self.radius, Real)
            if self.radius <= 0:
                raise ValueError(f"a Stroke's `radius` must be above 0, got {self.radius!r}.")

    def arrivals(self, num_frames: int) -> list[int]:
        """The frame of each point but the first, in a clip of `num_frames`.

        Raises:
            ValueError: if the clip has no such frames.
        """
        count = len(self.points) - 1
        last: Any = num_frames // 2 if self.frames is None else self.frames
        if isinstance(last, Integral):
            frames = [round((n + 1) * int(last) / count) for n in range(count)]
            if last < count:
                raise ValueError(
                    f"a Stroke to {count} points by frame {last} needs that many frames; name a later one, got {self}."
                )
        else:
            frames = list(last)
        if frames[-1] >= num_frames:
            raise ValueError(
                f"a Stroke's `frames` must be from 1 to {num_frames - 1}, as the clip has {num_frames} frames (the first, 0, is the "
                f"picture itself), got {self}."
            )
        return list(map(int, frames))


def check_strokes(strokes: object, picture: torch.Tensor, num_frames: int) -> None:
    """Raise a ValueError unless they are strokes within a picture `(3, H, W)`, at frames of the clip."""
    if not isinstance(strokes, (list, tuple)) or not strokes or not all(isinstance(s, Stroke) for s in strokes):
        raise ValueError(f"`strokes` must be a non-empty list of Stroke, got {strokes!r}.")
    height, width = picture.shape[-2:]
    for stroke in strokes:
        for x, y in stroke.points:
            if not (0 <= x <= width and 0 <= y <= height):
                raise ValueError(
                    f"`strokes` must lie in the picture of {width}x{height} pixels (width x height), got the point ({x:g}, {y:g})."
                )
        try:
            stroke.arrivals(num_frames)
        except ValueError as error:
            raise ValueError(f"`strokes`: {error}") from error


def strokes_of_boxes(strokes: Sequence[Stroke], boxes: Sequence[Box]) -> list[list[Stroke]]:
    """Give each stroke to the box that holds its first point; of several, to the one whose middle is nearest.

    Raises:
        ValueError: for a stroke that starts in none.
    """
    chosen: list[list[Stroke]] = [[] for _ in boxes]
    for stroke in strokes:
        x, y = stroke.points[0]
        holding = [n for n, box in enumerate(boxes) if box.left <= x <= box.right and box.top <= y <= box.bottom]
        if not holding:
            raise ValueError(f"`strokes` must start in one of the `subjects`, got the first point ({x:g}, {y:g}).")
        middle = {
            n: ((boxes[n].left + boxes[n].right) / 2 - x) ** 2 + ((boxes[n].top + boxes[n].bottom) / 2 - y) ** 2
            for n in holding
        }
        chosen[min(middle, key=lambda n: middle[n])].append(stroke)
    return chosen


def stay_in(strokes: Sequence[Stroke], boxes: Sequence[Box]) -> bool:
    """Whether each stroke starts in a box and does not leave it."""
    try:
        require_in_frames(strokes_of_boxes(strokes, boxes), boxes)
    except ValueError:
        return False
    return True


def require_in_frames(strokes: Sequence[Sequence[Stroke]], boxes: Sequence[Box]) -> None:
    """Raise a ValueError unless the strokes of each box stay in it."""
    for own, box in zip(strokes, boxes):
        for stroke in own:
            for point in stroke.points:
                in_frame(point, box)


def in_frame(point: Point, box: Box) -> torch.Tensor:
    """A point of the picture as (x, y) in [-1, 1] of the model's frame.

    Raises:
        ValueError: if it lies outside.
    """
    x, y = point
    place = torch.tensor(
        [(x - box.left) / (box.right - box.left) * 2 - 1, (y - box.top) / (box.bottom - box.top) * 2 - 1],
        dtype=torch.float32,
    )
    if place.abs().max() > 1 + 1e-6:
        raise ValueError(
            f"`strokes` must stay in what the model sees of the picture, {box}, got the point ({x:g}, {y:g})."
        )
    return place


def disc(distance: torch.Tensor, radius: float, least: float) -> torch.Tensor:
    """1 within half of `radius`, falling smoothly to 0 at `radius`; 1 up to `least` in any case."""
    share = ((radius - distance) / (radius / 2)).clamp(0, 1)
    return smoothstep(share).masked_fill(distance < least, 1)


def shared_out(known: Sequence[KnownFrame]) -> list[KnownFrame]:
    """The same, with weights that sum up to at most 1 where strokes of one frame and row overlap: the nearer one has most of it."""
    shared = []
    for one in known:
        together = torch.stack([k.weights for k in known if (k.frame, k.rows) == (one.frame, one.rows)])
        share = one.weights**4 / (together**4).sum(dim=0).clamp(min=1e-12)
        shared.append(replace(one, weights=share * together.amax(dim=0)))
    return shared


def in_units_of_volume(flow: torch.Tensor, unet_config: Mapping) -> torch.Tensor:
    """A flow `(2, h, w)`, an absolute sampling grid, as the U-Net diffuses it (the inverse of `volume_to_motion`)."""
    if unet_config["flow_target"] == "residual":
        height, width = flow.shape[-2:]
        flow = flow - sampling_grid(height, width, centers=True).permute(2, 0, 1)
    mean, std = (
        torch.tensor(unet_config[name], dtype=torch.float32)[:2].view(2, 1, 1)
        for name in ("target_mean", "target_std")
    )
    return (flow - mean) / std


def first_frame(volume: torch.Tensor, unet_config: Mapping, centers: bool, loop: bool) -> KnownFrame:
    """The first frame of a volume `(B, 3, F, h, w)`, known to be the picture: no motion, nothing hidden; arguments as in `DrawnStrokes`."""
    num_frames, height, width = volume.shape[2:]
    still = in_units_of_volume(sampling_grid(height, width, centers=centers).permute(2, 0, 1), unet_config)
    seen = (1 - unet_config["target_mean"][2]) / unet_config["target_std"][2]
    values = torch.cat((still, torch.full((1, height, width), seen, dtype=torch.float32))).to(volume)
    near = max(1, shared_frames(unet_config["num_frames"]))
    felt = reach(num_frames, 0, near, near, loop).to(volume)
    return KnownFrame(slice(0, len(volume)), 0, values, torch.ones_like(values), felt, guides=False)


class DrawnStrokes:
    """The strokes of a call, in what the model sees.

    Args:
        strokes: of the one picture.
        pictures: `(C, H, W)`, as they were given.
        asked: with its defaults resolved.
        full_size: where the model's frames lie in the picture; None if there is one, fitted as `asked` says.

    Raises:
        ValueError: for strokes out of the picture, its frames, or what the model sees of it.
    """

    def __init__(
        self,
        strokes: Sequence[Stroke],
        pictures: Sequence[torch.Tensor],
        asked: ResolvedArguments,
        full_size: FullSize | None,
    ):
        if len(pictures) != 1:
            raise ValueError(f"`strokes` are of one picture, but `image` holds {len(pictures)}.")
        check_strokes(strokes, pictures[0], asked.num_frames)
        if full_size is not None and full_size.subjects is not None:
            self.boxes = full_size.boxes
            self.strokes = strokes_of_boxes(strokes, self.boxes)
        else:
            sides = frame_sides(tuple(pictures[0].shape[-2:]), asked.height, asked.width, asked.image_fit)
            self.boxes, self.strokes = [Box(*sides)], [list(strokes)]
        require_in_frames(self.strokes, self.boxes)

    def known(self, volume: torch.Tensor, unet_config: Mapping, centers: bool, loop: bool = False) -> list[KnownFrame]:
        """What the strokes say of a volume that is to be denoised.

        The flow of frame k says where in the picture each of its places comes from. So "p is at q in frame k" means that the flow
        at q is p. Around q the flow goes on as if everything were moved alike.

        Args:
            volume: `(B, 3, F, h, w)`; the volumes of each of the model's pictures follow one another.
            unet_config: its `target_mean`, `target_std`, `flow_target` and `num_frames`.
            centers: whether the flow at rest is the grid of pixel centres (`LatentFlowAutoencoder`'s `flow_grid`).
            loop: whether the first frame follows on the last.
        """
        num_frames, height, width = volume.shape[2:]
        places = sampling_grid(height, width, centers=True).permute(2, 0, 1)
        still = sampling_grid(height, width, centers=centers).permute(2, 0, 1)
        count = torch.tensor([width, height], dtype=torch.float32)
        stretch = torch.ones_like(count) if centers else count / (count - 1).clamp(min=1)  # of the flow at rest
        longest = max(1, unet_config["num_frames"] // REACH)
        rows = len(volume) // len(self.boxes)
        known: list[KnownFrame] = []
        for number, (strokes, box) in enumerate(zip(self.strokes, self.boxes)):
            sides = (
                torch.tensor([box.right - box.left, box.bottom - box.top], dtype=torch.float32) / 2
            )  # pixels for 1 of the grid
            for stroke in strokes:
                source, *targets = (in_frame(point, box) for point in stroke.points)
                radius = stroke.radius or RADIUS * 2 * sides.min().item()
                frames = stroke.arrivals(num_frames)
                between = [0, *frames, num_frames if loop else num_frames + longest]
                for before, frame, after, target in zip(between, frames, between[2:], targets):
                    distance = ((places - target.view(2, 1, 1)) * sides.view(2, 1, 1)).norm(dim=0)
                    # A flow is read between its nearest places, which must all say the same.
                    weight = disc(distance, radius, least=1.5 * (2 * sides / count).max().item())
                    flow = still + (source - target * stretch).view(2, 1, 1)
                    known.append(
                        KnownFrame(
                            rows=slice(number * rows, (number + 1) * rows),
                            frame=frame,
                            values=F.pad(in_units_of_volume(flow, unet_config), (0, 0, 0, 0, 0, 1)).to(volume),
                            weights=F.pad(weight.expand(2, -1, -1), (0, 0, 0, 0, 0, 1)).to(volume),
                            reach=reach(
                                num_frames, frame, min(longest, frame - before), min(longest, after - frame)
                            ).to(volume),
                        )
                    )
        return shared_out(known)
