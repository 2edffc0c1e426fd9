"""One clip of a person: its frames, and where every point of every frame is in every other.

clip = people_clip(seed=0, subject=3, label="happiness", num_frames=24, size=128)
clip.frames                             # (24, 128, 128, 3) uint8
flow, visibility = clip.flow(0, 12)     # (2, 128, 128), (1, 128, 128): frame 12 sampled from frame 0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..captions import Specification
from ..chance import random_stream
from ..drawn_sets import frame_number, require_integer
from ..framing import frame_of_face
from .acting import act
from .backdrop import backdrop
from .body import Body, vertex_normals
from .camera import Camera
from .expressions import LABELS, Performance, perform
from .framing import jittered
from .light import SHADOW_SIZE, SHADOW_SPAN, Light
from .moves import BodyPerformance
from .person import Person
from .rasteriser import draw_strands, draw_triangles, new_buffers
from .shading import Lights, shade
from .wear import Outfit

# Metres that a point may lie behind what its pixel shows and still count as seen. Hair is a bundle: strands hide one another.
BEHIND, BEHIND_HAIR = 0.008, 0.06
MIDDLE = np.array([0, 0.05, -0.06])  # of head and shoulders, from the middle of the eyes, metres
FIRST_ACTIONS = 1 << 20  # number of the first clip of actions, beyond those of labels
FINE = 3  # samples a pixel's side, odd, so that one sample is at its centre


@dataclass(frozen=True)
class Reach:
    """What shadows are reckoned for: `middle` (3,) from the middle of the eyes; `span` metres.

    `pixels` of a light's map of that span, `coarse` ones of the maps for light from all around, over `coarse_span`; `grain` as
    in `shading.Lights`.
    """

    middle: np.ndarray
    span: float
    pixels: int
    coarse_span: float
    coarse: int
    grain: float

    def centre(self, body: Body, points: np.ndarray) -> np.ndarray:
        return points[: len(body.grown.vertices)][body.figure.eye_of > 0].mean(0) + self.middle


FACE = Reach(MIDDLE, SHADOW_SPAN, SHADOW_SIZE, 0.62, 112, 1.0)


@dataclass(frozen=True)
class View:
    """A lens at `lens` (3,) looking along y; the picture is the square of `side` around `centre` (2,) in its image plane."""

    lens: np.ndarray
    centre: np.ndarray = field(default_factory=lambda: np.zeros(2))
    side: float = 1.0

    def plane(self, p: np.ndarray) -> np.ndarray:
        """Right and down over depth, of places (..., 3)."""
        q = p - self.lens
        return np.stack([q[..., 0] / q[..., 1], -q[..., 2] / q[..., 1]], -1)

    def project(self, p: np.ndarray, scale: float) -> np.ndarray:
        """x, y in pixels of a picture of `scale` and 1 / depth, (N, 3), of places (N, 3)."""
        plane = (self.plane(p) - self.centre) / self.side + 0.5
        return np.concatenate([plane * scale, 1 / (p[:, 1:2] - self.lens[1])], 1).astype(np.float32)


@dataclass(frozen=True)
class Surface:
    """What the centres of a frame's pixels show: number of the surface (H, W), -1 the backdrop, and the place on it (H, W, 2)."""

    number: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class PeopleClip:
    """A clip and all that is known about it.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB.
        label, person, take, seed: what it was drawn from (label: or a specification); outfit, light, camera: of this clip.
        performance: actions, head and gaze over time; of whole figures their pose.
        surfaces: F of `Surface`.
        mesh, strands: (F, V, 3), (F, P, 3) x, y in pixels and 1 / depth of every vertex and point of a strand.
        nearness: (F, S, S) 1 / depth of what is seen, at S = `FINE` times the picture's size; 0 is the backdrop.
    """

    frames: np.ndarray
    label: str | Specification
    person: Person
    take: int
    seed: int
    outfit: Outfit
    light: Light
    camera: Camera
    performance: Performance | BodyPerformance
    surfaces: tuple[Surface, ...]
    mesh: np.ndarray
    strands: np.ndarray
    nearness: np.ndarray
    triangles: np.ndarray
    segments: np.ndarray

    def flow(self, reference: int = 0, driving: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """True dense backward flow: where in the reference frame each pixel of the driving frame comes from.

        The centre of a pixel shows a point of a triangle, of a strand or of the backdrop, which stands still; the same point is
        looked up in the reference frame. It is visible if it lies inside the picture and nothing is in front of it.

        Args:
            reference, driving: numbers of frames; negative ones count from the end.

        Returns:
            flow (2, H, W) float32, an absolute sampling grid, channels (x, y), in [-1, 1] between the outer edges of the picture
            (align_corners=False: pixel i has its centre at (2i + 1) / W - 1), beyond that outside.
            visibility (1, H, W) float32: 1 visible in the reference frame, 0 hidden there or outside.

        Raises:
            ValueError: if there is no such frame.
        """
        count, size = self.frames.shape[:2]
        reference, driving = frame_number("reference", reference, count), frame_number("driving", driving, count)
        surface = self.surfaces[driving]
        centres = np.arange(size) + 0.5
        there = np.zeros((size, size, 3))
        there[..., 0], there[..., 1] = centres[None], centres[:, None]
        number, place = surface.number, surface.place.astype(float)
        on_mesh = (number >= 0) & (number < len(self.triangles))
        on_strand = number >= len(self.triangles)
        for on, points, corners, shares in (
            (
                on_mesh,
                self.mesh[reference],
                self.triangles,
                np.stack([1 - place.sum(-1), place[..., 0], place[..., 1]], -1),
            ),
            (on_strand, self.strands[reference], self.segments, np.stack([1 - place[..., 0], place[..., 0]], -1)),
        ):
            first = 0 if on is on_mesh else len(self.triangles)
            corner = points[corners[number[on] - first]].astype(float)  # (n, corners, 3)
            depth = 1 / corner[..., 2]
            # A straight line in space: undo the division by depth, mix, divide again.
            mixed = 1 / np.einsum("nc,nc->n", shares[on], depth)
            there[on, :2] = np.einsum("nc,ncd->nd", shares[on] * depth, corner[..., :2]) * mixed[:, None]
            there[on, 2] = mixed
            if on is on_strand:  # a pixel lies beside the line in the middle of its strand, and stays as far beside it
                own = self.strands[driving][self.segments[number[on] - first]].astype(float)
                own_depth = 1 / own[..., 2]
                own_mixed = 1 / np.einsum("nc,nc->n", shares[on], own_depth)
                middle = np.einsum("nc,ncd->nd", shares[on] * own_depth, own[..., :2]) * own_mixed[:, None]
                rows, columns = np.nonzero(on)
                there[on, :2] += np.stack([columns + 0.5, rows + 0.5], 1) - middle
        flow = 2 * there[..., :2] / size - 1
        inside = np.all(np.abs(flow) < 1, axis=-1)
        fine = self.nearness[reference]
        index = np.clip((there[..., :2] * len(fine) / size).astype(int), 0, len(fine) - 1)
        seen = fine[index[..., 1], index[..., 0]]
        # At an outline the point may be just off what the sample shows: the backdrop there is no reason to call it hidden.
        slack = np.where(on_strand, BEHIND_HAIR, BEHIND)
        covered = (seen > 0) & (1 / np.maximum(seen, 1e-9) < 1 / np.maximum(there[..., 2], 1e-9) - slack)
        hidden = np.where(number < 0, seen > 0, covered)
        visible = inside & ~hidden
        return flow.transpose(2, 0, 1).astype(np.float32), visible[None].astype(np.float32)

    def flow_from_first(self) -> tuple[np.ndarray, np.ndarray]:
        """`flow` and visibility of all frames against frame 0, `(F, 2, H, W)` and `(F, 1, H, W)`."""
        pairs = [self.flow(0, frame) for frame in range(len(self.frames))]
        return np.stack([flow for flow, _ in pairs]), np.stack([visibility for _, visibility in pairs])


def clip_number(label: str | Specification, take: int) -> int:
    """A number of its own for each clip of a person: scene, clothes and pose know what is done only as this, which scatters them."""
    if isinstance(label, Specification):
        return FIRST_ACTIONS + int(take)
    return int(take) * len(LABELS) + LABELS.index(label)


def checked_person(seed: int, subject: Person | int, take: int, num_frames: int, size: int) -> Person:
    """The person of a clip, whose other arguments are checked.

    Raises:
        ValueError: if one is out of range.
    """
    for name, value, least in (
        ("seed", seed, 0),
        ("take", take, 0),
        ("num_frames", num_frames, 1),
        ("size", size, 16),
    ):
        require_integer(name, value, least)
    if isinstance(subject, Person):
        return subject
    require_integer("subject", subject, 0)
    return Person.sample(int(seed), int(subject))


def require_label(label: object, known: Sequence[str]) -> None:
    """Raise a ValueError unless there is such a label."""
    if label not in known:
        raise ValueError(f"label must be one of {', '.join(known)}; got {label!r}")


def people_clip(
    seed: int,
    subject: Person | int,
    label: str | Specification,
    take: int = 0,
    num_frames: int = 24,
    size: int = 128,
) -> PeopleClip:
    """Render one clip. The same arguments give the same clip on every machine, up to rounding: a sample whose depth or edge is
    within rounding of another's may differ, and with it a few grey levels of its pixel.

    Args:
        seed: population and motion, an integer of 0 or more.
        subject: a person, or the number of one in the population of `seed`.
        label: one of `LABELS`, or a specification of what is done (`data.captions`).
        take: repetition; takes of a person differ in clothes, light, backdrop, camera, pose, timing and strength.
        num_frames: 1 or more; what is done always takes the whole clip.
        size: width and height in pixels, 16 or more.

    Raises:
        ValueError: if an argument is out of range.
        ImportError: if anny is not installed.
    """
    if not isinstance(label, Specification):
        require_label(label, LABELS)
    subject = checked_person(seed, subject, take, num_frames, size)
    number = clip_number(label, take)
    performance = performed(subject, label, take, int(num_frames), int(seed))[0]
    rng = random_stream(int(seed), subject.index, 71, number)
    outfit, light, camera = Outfit.sample(subject, number), Light.sample(rng), Camera.sample(rng)
    body = Body(subject, outfit, number)
    return render(body, performance, light, camera, rng, label, int(take), int(seed), int(size))


def performed(
    person: Person, what: str | Specification, take: int, num_frames: int, seed: int
) -> tuple[Performance, dict[str, np.ndarray]]:
    """A label or specification acted by a person; of specifications also the strengths of its actions (`acting.act`)."""
    number = clip_number(what, take)
    if isinstance(what, Specification):
        return act(person, what, number, num_frames, seed)
    return perform(person, what, number, num_frames, seed), {}


def render(body: Body, performance: Performance, light: Light, camera: Camera, rng: np.random.Generator, label: str | Specification, take: int,
           seed: int, size: int) -> PeopleClip:  # fmt: skip
    """All frames of a clip."""
    # Framed by the face at rest: a mouth that smiles or is open already does not change how large the face is.
    points = body.at(replace(performance, actions=np.zeros_like(performance.actions)), 0)[0]
    figure = body.figure
    own = len(body.grown.vertices)
    eyes = np.stack([points[:own][figure.eye_of == side].mean(0) for side in (1, 2)])
    mouth = points[:own][figure.lips > 0.5].mean(0)
    middle = 0.5 * (eyes.mean(0) + mouth)
    lens = middle + np.array([0, -camera.distance, 0])
    centre, side = jittered(rng, *frame_of_face(View(lens).plane(eyes), View(lens).plane(mouth)))
    behind = backdrop(rng, size, light.kind)
    kind = len(LABELS) if isinstance(label, Specification) else LABELS.index(label)
    return film(body, performance, light, camera, View(lens, centre, side), FACE, lambda *_: behind, label, kind, take,
                seed, size)  # fmt: skip


def exposure(body: Body, light: Light) -> tuple[np.ndarray, float]:
    """What a white surface looks like, (3,), and the light that shall become a middle tone: between a person's skin and grey."""
    seen_as = light.front()
    skin = float(np.exp(0.55 * np.log(0.32) + 0.45 * np.log(body.person.skin.mean() + 0.02)))
    return seen_as, float(seen_as.mean()) * skin


def film(body: Body, performance: Performance | BodyPerformance, light: Light, camera: Camera, view: View, reach: Reach, behind: Callable[[int, Lights, np.ndarray], np.ndarray],
         label: str | Specification, number: int, take: int, seed: int, size: int) -> PeopleClip:  # fmt: skip
    """All frames of a clip, as seen in `view`; `behind` gives the backdrop (H, W, 3) of a frame, its lights and points."""
    count = len(performance.level)
    fine = FINE if size >= 48 else 2 * FINE - 1
    points, _, strands, _ = body.at(performance, 0)
    body.reach = reach_of(body, points, strands, reach)
    seen_as, level = exposure(body, light)
    frames = np.empty((count, size, size, 3), np.uint8)
    nearness = np.empty((count, size * fine, size * fine), np.float32)
    mesh = np.empty((count, len(points), 3), np.float32)
    chains = np.empty((count, len(strands), 3), np.float32)
    surfaces = []
    for frame in range(count):
        points, normals, strands, moment = body.at(performance, frame)
        mesh[frame], chains[frame] = view.project(points, size), view.project(strands, size)
        near, surface, place = new_buffers(size * fine)
        draw_triangles(mesh[frame] * [fine, fine, 1], body.cut, body.triangles, 0, near, surface, place, 0.0)
        across = (body.widths * chains[frame, :, 2] * size * fine / view.side).astype(np.float32)
        draw_strands(
            chains[frame] * [fine, fine, 1], across, body.segments, len(body.triangles), near, surface, place, 0.5
        )
        image = np.zeros((size * fine, size * fine, 3), np.float32)
        lights = shadows(body, light, points, strands, reach)
        shade(
            surface, place, crevices(near, view.side, size * fine), body.triangles, body.material, normals, points, body.canonical,
            body.masks, body.reach, body.segments, strands, body.colours, body.shade, body.glossy, body.look, moment,
            lights, view.lens, fine, image,
        )  # fmt: skip
        blocks = image.reshape(size, fine, size, fine, 3)
        filled = (surface >= 0).reshape(size, fine, size, fine).mean((1, 3))[..., None]
        # A very bright sample must not outshine its pixel: highlights stay a sample wide.
        picture = (
            np.minimum(blocks, 4 * level).mean((1, 3)) + (1 - filled) * behind(frame, lights, points) * level / 0.3
        )
        frames[frame] = camera.develop(
            picture, level, seen_as, random_stream(seed, body.person.index, 72, take, number, frame)
        )
        nearness[frame] = near
        half = fine // 2
        surfaces.append(Surface(surface[half::fine, half::fine].copy(), place[half::fine, half::fine].copy()))
    return PeopleClip(
        frames, label, body.person, take, seed, body.outfit, light, camera, performance, tuple(surfaces), mesh, chains,
        nearness, body.triangles, body.segments,
    )  # fmt: skip


def crevices(near: np.ndarray, side: float, size: int) -> np.ndarray:
    """Share of the light from all around that reaches a sample, from the depth around it, (S, S) in (0, 1]."""
    from scipy.ndimage import uniform_filter

    depth = 1 / np.where(near > 0, near, 1e9)
    there = near > 0
    far = depth[there].max() if there.any() else 1.0
    depth = np.where(there, depth, far + 0.3).astype(np.float32)
    metres = side * np.median(depth[there]) / size if there.any() else 1.0  # of a sample
    out = np.ones_like(depth)
    for radius, strength in ((0.004, 45.0), (0.014, 20.0)):
        pixels = max(int(2 * radius / metres) | 1, 3)
        behind = np.clip(depth - uniform_filter(np.minimum(depth, depth + 0.0), pixels), 0, 0.02)
        out -= np.minimum(strength * behind, 0.42)
    return np.clip(out, 0.25, 1)


def axes(towards: np.ndarray) -> np.ndarray:
    """Right, up and towards (3, 3), rows, as seen from a light."""
    aside = np.array([0.0, 0, 1]) if abs(towards[2]) < 0.9 else np.array([0.0, 1, 0])
    right = np.cross(aside, towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def shadow_map(
    body: Body,
    points: np.ndarray,
    strands: np.ndarray,
    frame: np.ndarray,
    centre: np.ndarray,
    size: int,
    span: float,
    part: int,
) -> np.ndarray:
    """Nearness to a light (N, N), 1 + metres towards it from the centre. One strand in `part` stands for all, and is wider."""
    scale = size / span

    def seen(p: np.ndarray) -> np.ndarray:
        q = (p - centre) @ frame.T
        return np.stack([q[:, 0] * scale + size / 2, size / 2 - q[:, 1] * scale, 1 + q[:, 2]], 1).astype(np.float32)

    near, surface, place = new_buffers(size)
    draw_triangles(seen(points), body.cut, body.triangles, 0, near, surface, place, 0.0)
    chosen, some, wider = body.fewer[part]
    widths = body.widths[chosen] * (scale * wider)
    draw_strands(seen(strands[chosen]), widths, some, len(body.triangles), near, surface, place, 0.35)
    return near


def shadows(body: Body, light: Light, points: np.ndarray, strands: np.ndarray, reach: Reach) -> Lights:
    """The lights with their shadow maps of a moment."""
    centre = reach.centre(body, points)
    frames = np.stack([axes(d) for d in light.directions])
    maps = np.stack([shadow_map(body, points, strands, f, centre, reach.pixels, reach.span, 2) for f in frames])
    return Lights(
        light.directions, light.colours, light.softness, maps, frames, centre, reach.span, light.harmonics, reach.grain
    )


def reach_of(body: Body, points: np.ndarray, strands: np.ndarray, reach: Reach, count: int = 26) -> np.ndarray:
    """Share of the light from all around that reaches each vertex (V,), by shadow maps from many sides."""
    k = np.arange(count) + 0.5
    z = 1 - 1.75 * k / count  # little from straight below
    angle = np.pi * (1 + 5**0.5) * k
    sides = np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], 1)

    normals = vertex_normals(points, body.triangles, body.sums)
    centre = reach.centre(body, points)
    size, span = reach.coarse, reach.coarse_span
    total, reached = np.full(len(points), 1e-3), np.zeros(len(points))
    for towards in sides:
        frame = axes(towards)
        near = shadow_map(body, points, strands, frame, centre, size, span, 4)
        q = (points + 0.004 * reach.grain * normals - centre) @ frame.T
        column = np.clip(q[:, 0] * size / span + size / 2, 0, size - 1).astype(int)
        row = np.clip(size / 2 - q[:, 1] * size / span, 0, size - 1).astype(int)
        weight = np.maximum(normals @ towards, 0)
        total += weight
        reached += weight * (near[row, column] <= 1 + q[:, 2] + 0.006 * reach.grain)
    return (0.12 + 0.88 * np.clip((reached + 1e-3) / total, 0, 1)).astype(np.float32)


__all__ = ["LABELS", "PeopleClip", "people_clip"]
