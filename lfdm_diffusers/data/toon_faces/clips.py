"""One clip of a toon face, with all that is known about it: a labelled expression and its true motion.

Drawn people make the seven expressions of MUG (anger, disgust, fear, happiness, neutral, sadness, surprise) from
neutral to apex and back. Every pixel follows from (seed, subject, label, take), and because every painted part has
material coordinates, so do the true backward flow and visibility between any two frames of a clip.

    clip = toon_clip(seed=0, subject=3, label="happiness", num_frames=16, size=64)
    clip.frames                             # (16, 64, 64, 3) uint8
    flow, visibility = clip.flow(0, 8)      # (2, 64, 64), (1, 64, 64): frame 8 sampled from frame 0
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..captions import Specification
from ..drawn_sets import frame_number, require_integer
from .actions import act
from .expressions import Performance, perform
from .people import ToonSubject
from .rendering import render
from .rig import Rig
from .styles import ENLARGED, STYLES, ink_drawing

VERSION = 2  # raised whenever the same settings would draw other pixels

# A point is in a part where the part's bilinear share of the four pixels around it is this much or more. Against parts
# drawn at eight times the size, 0.4 errs on the fewest pixels (0.9% at 128), as often one way as the other.
SAME_PART = 0.4


@dataclass(frozen=True)
class ToonClip:
    """A clip and all that is known about it.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB.
        parts: (F, H, W) uint8, the top-most part at every pixel; `part_names` names them.
        label, subject, take, seed: what the clip was drawn from.
        performance: the state of the face in every frame.
        specification: what it was drawn to do, if not a label (which is "" then).
        strengths: how strong each action of the specification is in each frame, `(F,)`; see `actions.act`.
    """

    frames: np.ndarray
    parts: np.ndarray
    label: str
    subject: ToonSubject
    take: int
    seed: int
    performance: Performance
    specification: Specification | None = None
    strengths: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def part_names(self) -> tuple[str, ...]:
        return tuple(Rig(self.subject).number)

    def flow(self, reference: int = 0, driving: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """True dense backward flow: where in the reference frame each pixel of the driving frame comes from.

        A pixel takes the material coordinates of the part on top of it (opacity of half or more), and the part carries
        them to the reference frame. The pixel is visible if that point lies inside the picture and in the same part.

        Args:
            reference, driving: numbers of frames; negative ones count from the end.

        Returns:
            flow (2, H, W) float32, an absolute sampling grid, channels (x, y), in [-1, 1] between the outer edges of
            the picture (align_corners=False: pixel i has its centre at (2i + 1) / W - 1), beyond that outside.
            visibility (1, H, W) float32: 1 visible in the reference frame, 0 hidden there or outside.

        Raises:
            ValueError: if there is no such frame.
        """
        count, size = self.parts.shape[:2]
        reference, driving = frame_number("reference", reference, count), frame_number("driving", driving, count)
        source, target = self.performance.at(reference), self.performance.at(driving)
        carriers = Rig(self.subject).carriers
        centres = (2 * np.arange(size) + 1) / size - 1.0
        y, x = np.meshgrid(centres, centres, indexing="ij")
        flow = np.stack([x, y])  # (2, H, W)
        parts = self.parts[driving]
        for part in np.unique(parts):
            here = parts == part
            material = carriers[part].inward(target, x[here], y[here])
            flow[:, here] = carriers[part].outward(source, *material)
        visible = np.all(np.abs(flow) < 1, axis=0) & (share_of(parts, self.parts[reference], flow) >= SAME_PART)
        return flow.astype(np.float32), visible[None].astype(np.float32)

    def flow_from_first(self) -> tuple[np.ndarray, np.ndarray]:
        """`flow` and visibility of all frames against frame 0, `(F, 2, H, W)` and `(F, 1, H, W)`."""
        pairs = [self.flow(0, frame) for frame in range(len(self.frames))]
        return np.stack([flow for flow, _ in pairs]), np.stack([visibility for _, visibility in pairs])


def share_of(wanted: np.ndarray, parts: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Bilinear share (H, W) of the wanted part (H, W) in a map of parts (H, W), sampled at a grid (2, H, W)."""
    size = parts.shape[0]
    x, y = np.clip((grid + 1) * size / 2 - 0.5, 0, size - 1.001)
    column, row = x.astype(np.int64), y.astype(np.int64)
    x, y = x - column, y - row
    top = (parts[row, column] == wanted) * (1 - x) + (parts[row, column + 1] == wanted) * x
    bottom = (parts[row + 1, column] == wanted) * (1 - x) + (parts[row + 1, column + 1] == wanted) * x
    return top + (bottom - top) * y


def require_style(style: str) -> None:
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")


def toon_clip(
    seed: int,
    subject: ToonSubject | int,
    label: str | Specification,
    take: int = 0,
    num_frames: int = 40,
    size: int = 128,
    style: str = "painted",
) -> ToonClip:
    """Draw one clip. The same arguments give the same pixels on every machine.

    Args:
        seed: population and motion, an integer of 0 or more.
        subject: a person, or the number of one in the population of `seed`.
        label: one of `LABELS`, or what is to be done.
        take: repetition; takes of a person differ in timing, strength, head motion, gaze and blinks.
        num_frames: 1 or more; the expression always takes the whole clip, so that 16 and 40 frames show the same.
        size: width and height in pixels, 16 or more.
        style: "painted", or "ink": outlines and flat washes; the motion is the same.

    Raises:
        ValueError: if an argument is out of range.
    """
    require_integer("seed", seed, 0)
    require_integer("size", size, 16)
    require_style(style)
    if not isinstance(subject, ToonSubject):
        require_integer("subject", subject, 0)
        subject = ToonSubject.sample(seed, int(subject))
    specification: Specification | None = None
    strengths: dict[str, np.ndarray] = {}
    if isinstance(label, Specification):
        require_integer("take", take, 0)
        require_integer("num_frames", num_frames, 1)
        specification = label
        performance, strengths = act(subject, specification, int(take), int(num_frames), int(seed))
        label = ""
    else:
        performance = perform(subject, label, take, num_frames, seed)
    frames, parts = render(subject, performance, int(size))
    if style == "ink":
        frames = ink_drawing(render(subject, performance, ENLARGED * int(size))[0])
    return ToonClip(frames, parts, label, subject, int(take), int(seed), performance, specification, strengths)
