"""A person as geometry: mesh and strands at rest, and where they are in a moment of a performance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..chance import random_stream
from .actions import ACTIONS
from .expressions import Performance
from .figure import EYE, MOUTH, SKIN, TONGUE, Figure, load_figure
from .hair import FRAME, FrontMap, Strands, beard, brows, frames_of, lashes
from .hairstyles import scalp
from .moves import BodyPerformance
from .person import PATTERNS, Person
from .shading import Look, Moment
from .skin import skin_masks
from .wear import (
    M_EYE,
    M_MOUTH,
    M_SKIN,
    M_TONGUE,
    Carrier,
    Outfit,
    Piece,
    clothes,
    covered_height,
    glasses,
    hat,
    neckline,
    teeth,
)

GLASSES_POINTS = 7


@lru_cache(maxsize=2)
def front_map(whole: bool) -> FrontMap:
    return FrontMap(load_figure(whole))


def incidence(count: int, triangles: np.ndarray) -> object:
    """Sparse (V, T) that sums the triangles at each vertex."""
    from scipy import sparse

    number = np.arange(len(triangles))
    rows, columns = triangles.T.ravel(), np.tile(number, 3)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (count, len(triangles)))


def vertex_normals(points: np.ndarray, triangles: np.ndarray, sums: object) -> np.ndarray:
    """Normals (V, 3) of a mesh, by the area of the triangles around each vertex; outwards."""
    corners = points[triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = sums @ flat
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation matrix: a face towards -y turns to the figure's left, then down, then leans to its right."""
    (cz, sz), (cx, sx), (cy, sy) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_z @ about_x @ about_y


@dataclass
class Grown:
    """What grows on a person and does not change from clip to clip."""

    vertices: np.ndarray
    bones: np.ndarray
    normals: np.ndarray
    sums: object
    masks: np.ndarray
    strands: list[Strands]
    carrier: Carrier


@lru_cache(maxsize=2)  # people are compared by identity
def grow(person: Person, whole: bool) -> Grown:
    figure = load_figure(whole)
    vertices, bones = figure.shaped(person.phenotype, person.local_changes)
    sums = incidence(len(vertices), figure.triangles)
    normals = vertex_normals(vertices, figure.triangles, sums)
    skin = np.zeros(len(vertices), bool)
    skin[figure.triangles[figure.kinds == SKIN]] = True
    front = front_map(whole)
    strands = [
        scalp(figure, person, vertices, normals, covered_height(person)),
        brows(figure, person, vertices, normals, front),
        lashes(figure, person, vertices, normals),
        beard(figure, person, vertices, normals),
    ]
    return Grown(vertices, bones, normals, sums, skin_masks(figure, person), strands, Carrier(figure, vertices, skin))


class Body:
    """A dressed person.

    Attributes:
        triangles (T, 3), material (T,), cut (V,), canonical (V, 3), masks (V, M): of the mesh, figure first, then teeth and wear.
        segments (M, 2), widths (P,), colours (P, 3), shade (P,), glossy (P,): of the strands.
    """

    whole = False  # from head to foot

    def __init__(self, person: Person, outfit: Outfit, take: int):
        figure = load_figure(self.whole)
        grown = grow(person, self.whole)
        self.person, self.figure, self.grown, self.outfit = person, figure, grown, outfit
        frames, lenses = glasses(figure, person, grown.carrier, GLASSES_POINTS)
        pieces = [
            *teeth(figure, person, grown.carrier),
            *self.clothes(),
        ]
        pieces += [*hat(figure, person, grown.vertices, grown.normals, grown.carrier), *lenses]
        self._mesh(pieces)
        self._strands([*self.hair(), *([frames] if frames else [])])
        self.reach = np.ones(len(self.canonical), np.float32)
        self.look = look_of(person, outfit, figure)
        gum = np.linalg.norm(figure.canonical - [0, -0.0178, -0.0831], axis=1).argsort()[:3]
        jaw = [i for i, name in enumerate(ACTIONS) if name.startswith("jaw")]
        self.jaw_actions = np.zeros((len(ACTIONS), 3))
        self.jaw_actions[jaw] = figure.actions[jaw][:, gum].mean(1)

    def clothes(self) -> list[Piece]:
        return clothes(self.figure, self.outfit, self.grown.vertices, self.grown.normals, self.grown.carrier)

    def hair(self) -> list[Strands]:
        return self.grown.strands

    def covered(self) -> np.ndarray:
        """Which vertices of the skin (V,) lie deep under cloth."""
        kind = "scoop neck" if self.outfit.kind == "jacket" else self.outfit.kind
        kind = kind if kind in ("v neck", "scoop neck") else "crew neck"
        return neckline(self.figure.canonical, kind) > 0.03

    def _mesh(self, pieces: list[Piece]) -> None:
        from scipy import sparse

        figure, grown = self.figure, self.grown
        kinds = {SKIN: M_SKIN, EYE: M_EYE, MOUTH: M_MOUTH, TONGUE: M_TONGUE}
        start = len(grown.vertices)
        cut = np.ones(start)
        cut[self.covered()] = -1  # it would only poke through
        if self.person.hat == "scarf":
            cut[figure.ears > 0.1] = -1
        vertices, canonical, weights = [grown.vertices], [figure.canonical], [figure.weights]
        triangles, material, cuts, jaws = (
            [figure.triangles],
            [np.vectorize(kinds.get)(figure.kinds)],
            [cut],
            [np.zeros(start)],
        )
        for piece in pieces:
            triangles.append(piece.triangles + start)
            material.append(np.full(len(piece.triangles), piece.material))
            start += len(piece.vertices)
            vertices.append(piece.vertices)
            canonical.append(piece.canonical)
            weights.append(piece.weights)
            cuts.append(piece.cut)
            jaws.append(piece.jaw)
        self.rest = np.concatenate(vertices)
        self.canonical = np.concatenate(canonical).astype(np.float32)
        self.weights = sparse.vstack(weights).tocsr()
        self.triangles = np.concatenate(triangles).astype(np.int32)
        self.material = np.concatenate(material).astype(np.int32)
        self.cut = np.concatenate(cuts).astype(np.float32)
        self.jaw = np.concatenate(jaws)
        self.masks = np.zeros((start, grown.masks.shape[1]), np.float32)
        self.masks[: len(grown.masks)] = grown.masks
        self.sums = incidence(start, self.triangles)

    def _strands(self, groups: list[Strands]) -> None:
        self.groups = [g for g in groups if len(g.points)]
        segments, widths, colours, shade, glossy, start = [], [], [], [], [], 0
        fewer: dict[int, list[np.ndarray]] = {2: [], 4: []}
        for group in self.groups:
            count, steps = group.points.shape[:2]
            number = start + np.arange(count * steps).reshape(count, steps)
            segments.append(np.stack([number[:, :-1], number[:, 1:]], -1).reshape(-1, 2))
            for part, some in fewer.items():
                some.append(
                    segments[-1].reshape(count, steps - 1, 2)[:: part if group.kind[0] != FRAME else 1].reshape(-1, 2)
                )
            widths.append(group.width.ravel())
            colours.append(np.repeat(group.colour, steps, 0))
            shade.append(group.shade.ravel())
            glossy.append(np.repeat(np.choose(np.minimum(group.kind, 4), [1.0, 0.3, 0.0, 0.5, 1.5]), steps))
            start += count * steps
        self.segments = np.concatenate(segments).astype(np.int32)
        # For shadows, one strand in so many: its points, segments between those, and how much wider it is.
        self.fewer = {}
        for part, some in fewer.items():
            used, renumbered = np.unique(np.concatenate(some), return_inverse=True)
            self.fewer[part] = (used, renumbered.reshape(-1, 2).astype(np.int32), part**0.7)
        self.widths = np.concatenate(widths)
        self.colours = np.concatenate(colours).astype(np.float32)
        self.shade = np.concatenate(shade).astype(np.float32)
        self.glossy = np.concatenate(glossy).astype(np.float32)

    def transforms(self, performance: Any, frame: int) -> np.ndarray:
        """(J, 3, 4) of the bones in a moment."""
        figure, grown = self.figure, self.grown
        head, torso, gaze = performance.head[frame], performance.torso[frame], performance.gaze[frame]
        relative = head - torso
        turns = {f"neck0{k}": turn(*(0.2 * relative)) for k in (1, 2, 3)}
        turns["head"] = turn(*(0.4 * relative))
        turns["eye.L"] = turns["eye.R"] = turn(gaze[0], gaze[1], 0.0)
        transforms = figure.transforms(grown.bones, turns)
        pivot = grown.bones[figure.bone_names.index("neck01")]
        whole = turn(*torso)
        place = pivot - whole @ pivot + performance.shift[frame]
        return np.concatenate([whole @ transforms[:, :, :3], whole @ transforms[:, :, 3:] + place[:, None]], 2)

    def at(
        self, performance: Performance | BodyPerformance, frame: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Moment]:
        """Vertices (V, 3), their normals (V, 3), points of strands (P, 3) in the room, and what shading needs of the moment."""
        figure, grown = self.figure, self.grown
        amounts = performance.actions[frame]
        used = np.flatnonzero(amounts)
        own = len(grown.vertices)
        rest = self.rest.copy()
        rest[:own] += np.tensordot(amounts[used], figure.actions[used], 1)
        rest += self.jaw[:, None] * (amounts @ self.jaw_actions)
        transforms = self.transforms(performance, frame)
        blended = (self.weights @ transforms.reshape(-1, 12)).reshape(-1, 3, 4)
        points = np.einsum("vij,vj->vi", blended[:, :, :3], rest) + blended[:, :, 3]
        normals = vertex_normals(points, self.triangles, self.sums)
        rigid = transforms[figure.bone_names.index("head")]
        strands = []
        for group in self.groups:
            if group.root[0] < 0:
                placed = group.points @ rigid[:, :3].T + rigid[:, 3]
            else:
                root, frames = frames_of(points, self.triangles[group.root], normals, group.shares)
                placed = root[:, None] + np.einsum("nij,npj->npi", frames, group.points)
            strands.append(placed.reshape(-1, 3))
        eyes = np.stack([points[:own][figure.eye_of == side].mean(0) for side in (1, 2)])
        ball = points[:own][figure.eye_of == 1] - eyes[0]
        bones = [transforms[figure.bone_names.index(name), :, :3].T for name in ("eye.L", "eye.R")]

        def strength(*names: str) -> float:
            return float(np.mean([amounts[i] for i, n in enumerate(ACTIONS) if n.startswith(names)]))

        moment = Moment(
            raised=min(strength("browInnerUp", "browOuterUp") / 1.3, 1.0), frown=min(strength("browDown"), 1.0),
            smile=min(strength("mouthSmile"), 1.0), sneer=min(strength("noseSneer"), 1.0),
            squint=min(strength("cheekSquint", "eyeSquint"), 1.0), jaw=strength("jawOpen"), eyes=eyes,
            eye_frames=np.ascontiguousarray(np.stack(bones)), eye_radius=float(np.linalg.norm(ball, axis=1).mean()),
        )  # fmt: skip
        return points, normals, np.concatenate(strands), moment


def look_of(person: Person, outfit: Outfit, figure: Figure) -> Look:
    """What shading reads of a person in a take."""
    rng = random_stream(person.seed, person.index, 61)
    count = int(person.moles * 6)
    face = figure.canonical
    face = face[(face[:, 2] > -0.12) & (face[:, 2] < 0.05) & (face[:, 1] < 0.02)]
    moles = np.concatenate([face[rng.integers(len(face), size=count)], rng.uniform(0.0007, 0.0017, (count, 1))], 1)
    stubble = {"none": 0.0, "stubble": rng.uniform(0.2, 0.55), "moustache": 0.35, "goatee": 0.35, "full": 0.55}[
        person.beard
    ]
    if person.beard == "none" and person.sex == "male" and person.years != "child":
        stubble = rng.uniform(0.0, 0.16)
    scalp = person.hair * (0.8 if person.hair_style != "bald" else 1.0)
    return Look(
        seed=int(rng.integers(2**20)), skin=person.skin, tone=person.tone, redness=person.redness, blotches=person.blotches,
        freckles=person.freckles, wrinkles=person.wrinkles, shine=person.shine, under_eye=person.dark_under_eyes, lip=person.lip,
        lipstick=person.lipstick, eyeshadow=person.eyeshadow, shadow_colour=person.skin * rng.uniform(0.2, 0.7, 3), stubble=stubble,
        beard_colour=np.minimum(person.hair * 0.8 + 0.006, 0.35) + np.array([0.0, 0.002, 0.004]), hair=scalp, brow=person.brow,
        moles=np.ascontiguousarray(moles), iris=person.iris, iris_radius=person.iris_radius,
        pupil=float(rng.uniform(0.3, 0.5)), teeth=person.teeth, cloth=np.ascontiguousarray(outfit.colours[:2]),
        inner=np.ascontiguousarray(outfit.colours[[2, 2]]), pattern=PATTERNS.index(outfit.pattern), pattern_scale=outfit.scale,
        hat=person.hat_colour, knit=1.0 if person.hat == "beanie" else 0.0, bottom=np.ascontiguousarray(outfit.bottom),
        bottom_pattern=PATTERNS.index(outfit.bottom_pattern), shoe=np.ascontiguousarray(outfit.shoe),
    )  # fmt: skip
