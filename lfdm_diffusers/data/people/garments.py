"""Clothes of a whole figure: tops, trousers, shorts, skirts and shoes as shells over the skin, cut by lengths along the limbs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from ..chance import random_stream
from .draws import linear, one_of, smoothstep
from .figure import Figure
from .person import FABRICS, Person
from .wear import (
    M_BOTTOM,
    M_CLOTH,
    M_CLOTH2,
    M_SHOE,
    Carrier,
    Outfit,
    Piece,
    collar,
    grid_triangles,
    neckline,
    shell,
)

# Heights of the average person from the middle between the eyes, metres.
WAIST, HIPS, ANKLE = -0.575, -0.74, -1.47
BOTTOMS = (
    "1a1a1c", "26262a", "3a3d44", "1d2b4a", "2f4a7a", "24304a", "5a6e8c", "6e7278", "6b4a32", "b59a78", "8a7a5a", "3d4a3a", "e8e4da",
    "7a1f26",
)  # fmt: skip
SHOES = ("f2f0ec", "d8d4cc", "1a1a1c", "26262a", "6b4a32", "3a2416", "a8322f", "2f4a7a", "6e7278")


@dataclass(frozen=True)
class Attire(Outfit):
    """What a person wears from neck to foot in a take; lengths in metres of the average person."""

    sleeve: float = 0.2  # from the shoulder down the arm; the wrist is at 0.43
    hem: float = -0.7  # height of the top's lower edge
    lower: str = "trousers"  # or shorts, skirt, tights, dress
    leg: float = 0.78  # from the hip down the leg; the knee is at 0.42, the ankle at 0.80
    loose: float = 0.5  # in [0, 1]
    shoe_top: float = -1.47  # height of a shoe's upper edge
    tucked: bool = False

    @classmethod
    def sample(cls, person: Person, take: int) -> Attire:
        top = Outfit.sample(person, take)
        rng = random_stream(person.seed, person.index, 52, take)
        woman = person.sex == "female"
        lower = one_of(
            rng,
            {
                "trousers": 6,
                "shorts": 2,
                "skirt": 1.8 if woman else 0,
                "dress": 1.6 if woman else 0,
                "tights": 1.2 if woman else 0.2,
            },
        )
        warm = top.kind in ("jacket", "hoodie", "turtleneck")
        long_sleeve = warm or (top.kind == "shirt" and rng.random() < 0.7) or rng.random() < 0.3
        sleeve = (
            rng.uniform(0.41, 0.435)
            if long_sleeve
            else one_of_lengths(rng, (0.06, 0.09) if woman and rng.random() < 0.35 else (0.14, 0.21))
        )
        main = top.colours[0]
        cloth = linear(BOTTOMS[int(rng.integers(len(BOTTOMS)))]) * np.exp(rng.normal(0, 0.08, 3))
        if np.abs(cloth - main).max() < 0.04 and rng.random() < 0.75:  # the same colour above and below is rare
            cloth = linear(BOTTOMS[(int(rng.integers(3)) * 4 + 7) % len(BOTTOMS)])
        pattern = one_of(
            rng, {"plain": 8, "heather": 2, "checks": 0.6, "stripes": 0.3, "dots": 0.6 if lower == "skirt" else 0}
        )
        if lower == "dress":
            cloth, pattern = main, top.pattern
        shoe = linear(SHOES[int(rng.integers(len(SHOES)))])
        sole = shoe if rng.random() < 0.3 else linear("e8e4da" if rng.random() < 0.6 else "1a1a1c")
        second = linear(FABRICS[int(rng.integers(len(FABRICS)))]) if lower != "dress" else top.colours[1]
        own = {field.name: getattr(top, field.name) for field in fields(Outfit)}
        leg = {
            "trousers": rng.uniform(0.74, 0.80),
            "shorts": rng.uniform(0.2, 0.46),
            "tights": rng.uniform(0.6, 0.8),
        }.get(lower, rng.uniform(0.28, 0.52))
        return cls(**own | dict(
            bottom=np.array([cloth, second]), bottom_pattern=pattern, shoe=np.array([shoe, sole]), sleeve=float(sleeve),
            hem=float(rng.uniform(-0.77, -0.66)), lower=lower, leg=float(leg), loose=0.0 if lower == "tights" else float(rng.uniform(0.1, 1.0)),
            shoe_top=float(rng.uniform(-1.475, -1.45) if rng.random() < 0.75 else rng.uniform(-1.42, -1.3)),
            tucked=lower == "dress" or (not warm and bool(rng.random() < (0.75 if lower == "skirt" else 0.25))),
        ))  # fmt: skip


def one_of_lengths(rng: np.random.Generator, span: tuple[float, float]) -> float:
    return float(rng.uniform(*span))


def along_limb(figure: Figure, bones: tuple[str, ...], first: str) -> np.ndarray:
    """How far down a limb each vertex lies, metres of the average person, (V,); 0 for what is not of it.

    Args:
        bones: joints of the chain, without their side.
        first: bones whose names start with these letters or come below belong to the limb.
    """
    eyes = figure.template[0] - figure.canonical[0]
    out = np.zeros(len(figure.canonical))
    for letter in "LR":
        below = set()
        for i, (name, parent) in enumerate(zip(figure.bone_names, figure.bone_parents)):
            if (name.startswith(first) and name.endswith(letter)) or parent in below:
                below.add(i)
        own = np.asarray(figure.weights[:, sorted(below)].sum(1)).ravel() > 0.5
        chain = np.array([figure.bones[figure.bone_names.index(f"{bone}.{letter}")] - eyes for bone in bones])
        best, passed = np.full(len(out), np.inf), 0.0
        place = np.zeros(len(out))
        for a, b in pairwise(chain):
            length = float(np.linalg.norm(b - a))
            t = (figure.canonical - a) @ (b - a) / length**2
            t = np.clip(t, 0, 1.6 if b is chain[-1] else 1)
            off = np.linalg.norm(figure.canonical - a - t[:, None] * (b - a), axis=1)
            place = np.where(off < best, passed + t * length, place)
            best = np.minimum(best, off)
            passed += length
        out = np.where(own, place, out)
    return out


def cuts(figure: Figure, attire: Attire) -> dict[str, np.ndarray]:
    """How far inside each garment a place of the skin lies, metres, (V,): negative outside."""
    z = figure.canonical[:, 2]
    arm = along_limb(figure, ("upperarm01", "lowerarm01", "wrist"), "upperarm01")
    leg = along_limb(figure, ("upperleg01", "lowerleg01", "foot"), "upperleg01")
    on_arm = arm > 0
    kind = attire.kind if attire.kind not in ("shirt", "hoodie") else "crew neck"
    top = np.minimum(neckline(figure.canonical, kind), attire.sleeve - arm)
    hem = HIPS + 0.06 if attire.tucked else attire.hem
    top = np.where(on_arm, top, np.minimum(top, z - hem))
    length = attire.leg if attire.lower not in ("skirt", "dress") else 0.14
    bottom = np.where(on_arm, -1.0, np.minimum(WAIST - z, length - leg))
    shoes = np.where(on_arm, -1.0, attire.shoe_top - z)
    out = {"top": top, "bottom": bottom, "shoes": shoes}
    if attire.kind == "jacket":
        under = np.minimum(neckline(figure.canonical, "crew neck"), attire.sleeve - 0.05 - arm)
        out["under"] = np.where(on_arm, under, np.minimum(under, z - hem))
    out["leg"] = leg
    return out


def garments(figure: Figure, attire: Attire, vertices: np.ndarray, normals: np.ndarray, carrier: Carrier, cut: dict[str, np.ndarray]) -> list[Piece]:  # fmt: skip
    """All that is worn between neck and foot."""
    x, _, z = figure.canonical.T
    fold = 0.004 * np.sin(x * 55 + z * 30) * np.sin(z * 42 + 1.0)
    wide = attire.loose * smoothstep(0.05, 0.75, cut["leg"])
    under, over = (0.006, 0.013) if not attire.tucked else (0.005, 0.004)
    cloth = {"hoodie": 0.019, "turtleneck": 0.009, "jacket": 0.021}.get(attire.kind, 0.011) + 0.010 * attire.loose
    thickness = np.full(len(z), cloth)
    pieces = []
    if "under" in cut:
        pieces.append(shell(figure, vertices, normals, cut["under"], np.full(len(z), 0.007), M_CLOTH2, smooth=3))
    body = smoothstep(0, 0.05, cut["top"])
    if attire.tucked:  # thin where it goes into what is below
        thickness = under + (thickness - under) * smoothstep(WAIST + 0.02, WAIST + 0.14, z)
    pieces.append(
        shell(figure, vertices, normals, cut["top"], (thickness + fold * body) * (0.7 + 0.3 * body), M_CLOTH, smooth=6)
    )
    loose = (
        (0.003 if attire.lower == "tights" else 0.006) + (over if attire.tucked else 0) + 0.024 * wide + fold * wide
    )
    pieces.append(
        shell(figure, vertices, normals, cut["bottom"], loose, M_BOTTOM, smooth=4 if attire.lower != "tights" else 1)
    )
    pieces += [shoe(figure, vertices, side) for side in (1.0, -1.0)]
    if attire.shoe_top > ANKLE + 0.03:  # boots
        pieces.append(
            shell(
                figure,
                vertices,
                normals,
                np.minimum(cut["shoes"], z - ANKLE + 0.02),
                np.full(len(z), 0.010),
                M_SHOE,
                smooth=6,
            )
        )
    if attire.lower in ("skirt", "dress"):
        pieces.append(skirt(figure, attire, carrier, cut["leg"]))
    if attire.kind in ("shirt", "hoodie") or (attire.kind == "jacket" and attire.scale > 0.015):
        pieces.append(collar(carrier, attire.kind))
    return [piece for piece in pieces if piece]


def shoe(figure: Figure, vertices: np.ndarray, side: float) -> Piece:
    """The hull of a foot below the ankle, a little larger: toes in one cap."""
    from scipy.spatial import ConvexHull

    own = np.flatnonzero((figure.canonical[:, 2] < ANKLE) & (side * figure.canonical[:, 0] > 0))
    hull = ConvexHull(figure.canonical[own])
    used = own[np.unique(hull.simplices)]
    number = np.full(len(vertices), -1)
    number[used] = np.arange(len(used))
    canonical, place = figure.canonical[used], vertices[used]
    triangles = number[own[hull.simplices]]
    corners = canonical[triangles]
    facing = np.einsum(
        "td,td->t", np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), hull.equations[:, :3]
    )
    triangles = np.where(facing[:, None] < 0, triangles[:, ::-1], triangles)
    middle = place.mean(0)
    way = place - middle
    larger = middle + way * (1 + 0.009 / np.linalg.norm(way, axis=1, keepdims=True))
    return Piece(larger, canonical, figure.weights[used], triangles, M_SHOE, np.ones(len(used)), np.zeros(len(used)))


def skirt(figure: Figure, attire: Attire, carrier: Carrier, leg: np.ndarray) -> Piece:
    """A tube around hips and thighs, as wide as both together, wider towards its hem."""
    from scipy.ndimage import gaussian_filter1d

    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ways = np.stack([np.sin(angle), -np.cos(angle)], 1)
    heights = np.linspace(WAIST + 0.005, HIPS + 0.02 - attire.leg, 12)
    eyes = figure.template[0] - figure.canonical[0]
    arms = [
        i
        for i, name in enumerate(figure.bone_names)
        if name.startswith(("upperarm", "lowerarm", "wrist", "finger", "metacarpal"))
    ]
    hand = np.asarray(figure.weights[:, arms].sum(1)).ravel() > 0.1
    middle = np.array([0.0, figure.bones[figure.bone_names.index("root")][1] - eyes[1]])
    rows = []
    for k, height in enumerate(heights):
        near = (np.abs(figure.canonical[:, 2] - height) < 0.03) & ~hand
        flat = figure.canonical[near][:, :2] - middle
        reach = np.array([(flat @ way).max() for way in ways])
        down = k / (len(heights) - 1)
        pleats = 0.012 * attire.loose * down * np.sin(angle * 11 + 3 * np.sin(angle * 2))
        reach = reach + 0.012 + (0.02 + 0.05 * attire.loose) * down + pleats
        # Distances of tangents to the outline (a support function) into distances of the outline itself.
        facing = np.cos(angle[:, None] - angle[None])
        reach = np.min(np.where(facing > 0.05, reach[None] / np.maximum(facing, 0.05), np.inf), 1)
        reach = gaussian_filter1d(reach, 1.2, mode="wrap")
        rows.append(np.column_stack([middle + reach[:, None] * ways, np.full(len(angle), height)]))
    canonical = np.concatenate(rows)
    vertices, weights = carrier.carry(canonical, 60)
    return Piece(
        vertices, canonical, weights, grid_triangles(len(heights), len(angle), closed=True), M_BOTTOM, np.ones(len(vertices)),
        np.zeros(len(vertices)),
    )  # fmt: skip
