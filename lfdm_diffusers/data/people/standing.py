"""One clip of a person from head to foot: `clip` for the whole figure.

clip = body_clip(seed=0, subject=3, label="wave_right", num_frames=24, size=128)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..chance import random_stream
from .backdrop import backdrop
from .body import Body
from .camera import Camera
from .clip import PeopleClip, Reach, View, checked_person, exposure, film, require_label
from .garments import Attire, cuts, garments
from .ground import Ground, contact
from .hair import FRAME, Strands
from .hairstyles import taken
from .light import Light
from .moves import BODY_LABELS, BodyPerformance, perform_body
from .person import Person
from .rig import Rig, about
from .shading import Lights
from .wear import Piece

ROOM = 1.44  # side of the picture over the person's height: raised arms and spread ones are inside
BELOW = 0.085  # share of it below the feet
SOLE_THICKNESS = 0.011
EVERY = 4  # one strand of hair in so many stands for all: a head is a few pixels wide


@dataclass(frozen=True)
class StageReach(Reach):
    """Shadows around a fixed place, `middle`."""

    def centre(self, body: Body, points: np.ndarray) -> np.ndarray:
        return self.middle


class Standing(Body):
    """A person dressed from neck to foot, who takes poses of a rig."""

    whole = True
    outfit: Attire

    def __init__(self, person: Person, outfit: Attire, take: int):
        self.dressing: dict[str, np.ndarray] | None = None
        super().__init__(person, outfit, take)
        ground = float(self.grown.vertices[:, 2].min())
        self.rig = Rig(self.grown.bones, self.figure.bone_names, self.figure.bone_parents, ground)
        self.height = float(self.grown.vertices[:, 2].max()) - ground

    def _cuts(self) -> dict[str, np.ndarray]:
        if self.dressing is None:
            self.dressing = cuts(self.figure, self.outfit)
        return self.dressing

    def clothes(self) -> list[Piece]:
        grown = self.grown
        return garments(self.figure, self.outfit, grown.vertices, grown.normals, grown.carrier, self._cuts())

    def hair(self) -> list[Strands]:
        fewer = []
        for group in self.grown.strands:
            some = group
            if len(group.points) > 100 and group.kind[0] != FRAME:
                some = taken(group, np.arange(len(group.points)) % EVERY == 0)
                some = replace(some, width=some.width * EVERY**0.7)
            fewer.append(some)
        return fewer

    def covered(self) -> np.ndarray:
        cut = self._cuts()
        return (cut["top"] > 0.03) | (cut["bottom"] > 0.03) | (cut["shoes"] > 0.012)

    def transforms(self, performance: BodyPerformance, frame: int) -> np.ndarray:
        transforms = self.rig.transforms(performance.at(frame))
        transforms[:, 2, 3] += SOLE_THICKNESS
        return np.einsum("ij,bjk->bik", about(np.array([0.0, 0, 1]), performance.facing[frame]), transforms)


def body_clip(
    seed: int, subject: Person | int, label: str, take: int = 0, num_frames: int = 24, size: int = 128
) -> PeopleClip:
    """Render one clip of a whole figure; as `clip.people_clip`, with the same words.

    Args:
        label: one of `moves.BODY_LABELS`.
        seed, subject, take, num_frames, size: as in `people_clip`.

    Raises:
        ValueError: if an argument is out of range.
        ImportError: if anny is not installed.
    """
    require_label(label, BODY_LABELS)
    subject = checked_person(seed, subject, take, num_frames, size)
    number = body_number(label, take)
    performance = perform_body(subject, label, number, int(num_frames), int(seed))
    rng = random_stream(int(seed), subject.index, 73, number)
    light, camera = Light.sample(rng), Camera.sample(rng)
    camera = replace(camera, distance=float(np.exp(rng.uniform(np.log(2.6), np.log(7.0)))))
    body = Standing(subject, Attire.sample(subject, number), number)
    view = framed(body, camera, rng)
    ground = Ground.sample(rng, view.lens, view.centre, view.side, int(size), light.kind)
    wall = backdrop(rng, int(size), light.kind)
    share = 0.22 / exposure(body, light)[1]  # floors are a little darker than what is lit in front of them
    middle = np.array([0.0, 0, 0.55 * body.height])
    span = 1.5 * body.height
    reach = StageReach(middle, span, 448, span, 224, 3.0)

    def behind(frame: int, lights: Lights, points: np.ndarray) -> np.ndarray:
        floor = ground.lit(lights, contact(points, body.triangles)) * share
        return wall + ground.share * (floor - wall)

    return film(body, performance, light, camera, view, reach, behind, label, len(BODY_LABELS) + BODY_LABELS.index(label), int(take),
                int(seed), int(size))  # fmt: skip


def body_number(label: str, take: int) -> int:
    """A number of its own for each clip of a person, as `clip.clip_number`."""
    return int(take) * len(BODY_LABELS) + BODY_LABELS.index(label)


def framed(body: Standing, camera: Camera, rng: np.random.Generator) -> View:
    """Where the camera stands and what it shows: the whole person with room for raised arms, whatever the label.

    The picture's plane is upright, as of a lens that is shifted rather than tilted.
    """
    lens = np.array([rng.normal(0, 0.15), -camera.distance, float(rng.uniform(0.5, 1.05)) * body.height])
    side = ROOM * body.height * float(np.exp(np.clip(rng.normal(0.0, 0.05), -0.05, 0.12)))
    middle = np.array([float(np.clip(rng.normal(0, 0.025), -0.05, 0.05)) * side, 0.0, (0.5 - BELOW) * side])
    view = View(lens)
    return View(lens, view.plane(middle), side / camera.distance)
