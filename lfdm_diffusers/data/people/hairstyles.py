"""Hair of the scalp: strands grown step by step, combed, pulled down, kept outside the head, clumped and curled."""

from __future__ import annotations

import numpy as np

from ..chance import random_stream
from .draws import smoothstep
from .figure import SKIN, Figure
from .hair import SCALP, Strands, colours, crown, empty, frames_of, hairline, hat_edge, scatter, unit
from .person import Person

# Strands, points of each, half width in metres, how far hair stands off the head, pull of weight, clumping.
STYLES = {
    "buzz": (10000, 3, 0.0003, 0.003, 0.0, 0.0),
    "crop": (10000, 5, 0.00038, 0.010, 0.25, 0.35),
    "side part": (9500, 8, 0.0004, 0.018, 0.45, 0.4),
    "slicked back": (9000, 9, 0.0004, 0.012, 0.2, 0.5),
    "curly short": (8500, 8, 0.00045, 0.022, 0.1, 0.5),
    "afro": (10000, 8, 0.0005, 0.045, 0.0, 0.2),
    "bob": (8500, 13, 0.0005, 0.018, 1.1, 0.3),
    "long straight": (8500, 16, 0.0005, 0.016, 1.2, 0.3),
    "long wavy": (8500, 16, 0.0005, 0.020, 1.1, 0.45),
    "long curly": (8500, 16, 0.00055, 0.030, 0.9, 0.5),
    "ponytail": (8500, 10, 0.0004, 0.006, 0.0, 0.3),
    "bun": (8500, 10, 0.0004, 0.006, 0.0, 0.3),
    "fringe": (9500, 8, 0.0004, 0.014, 0.6, 0.35),
    "balding": (8000, 4, 0.00035, 0.006, 0.3, 0.2),
}
GATHERED = {"ponytail": (0.0, 0.165, 0.055), "bun": (0.0, 0.135, 0.105)}  # where hair is tied, canonical


def density(figure: Figure, person: Person) -> np.ndarray:
    """How thickly hair grows, in [0, 1], (V,); soft at the hairline."""
    if person.hair_style == "bald":
        return np.zeros(len(figure.canonical))
    above = hairline(figure.canonical, person.receding)
    out = smoothstep(-0.001, 0.008, above)
    if person.hair_style == "balding":
        out = out * (1 - smoothstep(0.0, 0.55, crown(figure.canonical)))
    out[figure.ears > 0.3] = 0
    on_head = figure.canonical[:, 2] > -0.09
    return out * on_head


def scalp(figure: Figure, person: Person, vertices: np.ndarray, normals: np.ndarray, covered: float | None) -> Strands:
    """Strands of the scalp of a person at rest, vertices and normals (V, 3).

    Args:
        covered: height in canonical z above which a hat presses hair to the head, or None; -1 hides all of it.
    """
    if person.hair_style == "bald" or (covered is not None and covered <= -1):
        return empty(4)
    from scipy.spatial import cKDTree

    rng = random_stream(person.seed, person.index, 41)
    count, steps, width, volume, weight, clumping = STYLES[person.hair_style]
    grows = density(figure, person)
    root, shares = scatter(figure, grows, vertices, int(count * 1.1), rng)
    place, frames = frames_of(vertices, figure.triangles[root], normals, shares)
    canonical = np.einsum("nc,ncd->nd", shares, figure.canonical[figure.triangles[root]])
    count, normal = len(root), frames[:, :, 2]
    volume = volume * rng.uniform(0.75, 1.3)
    layer = rng.random(count) ** 0.7  # how far out each strand lies
    length = person.hair_length * rng.uniform(0.75, 1.1, count)
    top = smoothstep(0.02, 0.075, canonical[:, 2])
    if person.hair_style in ("crop", "side part", "fringe", "slicked back", "curly short"):
        fade = 0.35 if person.sex == "male" else 0.6
        length *= fade + (1 - fade) * top
    comb, start = combed(person, canonical, normal, top, rng)
    tied = GATHERED.get(person.hair_style)
    skin = np.zeros(len(vertices), bool)
    skin[figure.triangles[figure.kinds == SKIN]] = True
    skin &= (figure.inside < 0.5) & (figure.ears < 0.5)
    tree = cKDTree(vertices[skin])
    outward, surface = normals[skin], vertices[skin]
    middle = np.median(vertices[figure.eye_of > 0], 0)
    points = np.empty((count, steps, 3))
    points[:, 0] = place
    heading = unit(start)
    goal = middle + np.array(tied) if tied else None
    step = length / (steps - 1)
    if goal is not None:
        step = np.linalg.norm(goal - place, axis=1) * 1.12 / (steps - 1)
    height = np.zeros(count)
    for k in range(1, steps):
        t = k / (steps - 1)
        here = points[:, k - 1]
        if goal is not None:
            heading = unit(0.35 * heading + unit(goal - here))
        else:
            pull = weight * (0.45 + 0.55 * t) * np.array([0, 0, -1.0])
            loose = 0.03 + 0.08 * person.hair_curl
            heading = unit(
                (0.75 if weight > 0.8 else 1.0) * heading
                + 0.5 * comb * max(1 - 2.2 * t, 0.0)
                + pull
                + loose * rng.normal(0, 1, (count, 3))
            )
            ahead = here - middle
            over_face = (ahead[:, 1] < 0.04) & (ahead[:, 2] < 0.05) & (np.abs(ahead[:, 0]) < 0.062)
            if person.hair_style not in ("fringe", "crop"):
                heading[over_face] += np.stack([np.sign(ahead[:, 0]) * 0.5, np.full(count, 0.9), np.zeros(count)], 1)[
                    over_face
                ]
                heading = unit(heading)
        there = here + step[:, None] * heading
        _, nearest = tree.query(there)
        off = np.einsum("nd,nd->n", there - surface[nearest], outward[nearest])
        least = 0.0015 + volume * layer * (smoothstep(0, 0.45, t) if not tied else 0.6)
        if tied:
            least = least * (1 - 0.2 * t)
        if covered is not None:
            least = np.where(there[:, 2] - middle[2] > covered - 0.02, 0.002, least)
        push = np.maximum(least - off, 0) * np.where(off > -0.06, 1, 0)
        there = there + push[:, None] * outward[nearest]
        height = np.maximum(height, np.minimum(off + push, 0.1))
        points[:, k] = there
        heading = unit(there - here)
    points = curled(clumped(points, clumping, rng), person, rng)
    stray = rng.random(count) < 0.03
    ahead = points - middle
    crosses = (
        (np.abs(ahead[..., 0]) < 0.056) & (ahead[..., 1] < 0.012) & (ahead[..., 2] < 0.035) & (ahead[..., 2] > -0.13)
    ).any(1)
    keep = stray | ~crosses if person.hair_style not in ("fringe", "crop") else np.ones(count, bool)
    along = np.linspace(0, 1, steps)[None]
    colour = colours(person, person.hair, count, rng)
    depth = np.clip(layer, 0, 1)[:, None]
    shade = (
        0.35 + 0.65 * np.clip(0.35 * along + 0.75 * depth, 0, 1)
        if person.hair_length > 0.01
        else np.full((count, steps), 0.8)
    )
    strands = Strands(
        points, np.full(count, -1), np.zeros((count, 3)), np.broadcast_to(width * (1 - 0.5 * along**2), (count, steps)).copy(),
        colour, np.full(count, SCALP), np.broadcast_to(shade, (count, steps)).copy(),
    )  # fmt: skip
    if covered is not None:
        keep &= canonical[:, 2] < hat_edge(canonical[:, 1]) - 0.004
    strands = taken(strands, keep)
    if goal is not None:
        strands = joined([strands, knot(person, goal, steps, rng)])
    return strands


def combed(
    person: Person, canonical: np.ndarray, normal: np.ndarray, top: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where hair is combed to, and the direction of its roots, (N, 3) each."""
    count = len(canonical)
    whorl = unit(canonical - np.array([0.006, 0.115, 0.125]))
    down = np.tile([0.0, 0.25, -1.0], (count, 1))
    side = np.where(canonical[:, 0] > 0.04 * person.hair_part, 1.0, -1.0)
    style = person.hair_style
    if style in ("afro", "curly short"):
        return 0.5 * normal + 0.4 * rng.normal(0, 1, (count, 3)), normal + 0.3 * rng.normal(0, 1, (count, 3))
    if style == "slicked back":
        way = np.stack([np.zeros(count), np.full(count, 1.0), 0.1 - 0.8 * (1 - top)], 1)
    elif style in ("side part",):
        side = np.where(canonical[:, 0] > 0.045 * np.sign(person.hair_part), 1.0, -1.0)
        way = np.stack(
            [side * 1.0, np.full(count, 0.25 - 0.5 * (person.habits["brows"] > 0.5)), np.full(count, 0.1)], 1
        )
        way = top[:, None] * way + (1 - top[:, None]) * down
    elif style in ("bob", "long straight", "long wavy", "long curly"):
        way = np.stack([side * 1.0, np.full(count, 0.35), np.full(count, -0.1)], 1)
        way = top[:, None] * way + (1 - top[:, None]) * down
    elif style == "fringe":
        way = whorl * [1, 1, 0.3] + [0, -0.2, 0]
    else:
        way = top[:, None] * (whorl * [1, 1, 0.2] + [0.4 * person.hair_part, -0.3, 0]) + (1 - top[:, None]) * down
    lift = {"crop": 0.9, "buzz": 1.5, "slicked back": 0.5, "fringe": 0.45, "side part": 0.7}.get(style, 0.35)
    return unit(way), unit(way) + lift * normal + 0.15 * rng.normal(0, 1, (count, 3))


def clumped(points: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Strands drawn towards leaders near them, more at their ends."""
    count, steps = points.shape[:2]
    if amount <= 0 or count < 300:
        return points
    from scipy.spatial import cKDTree

    leaders = rng.choice(count, count // 22, replace=False)
    mine = leaders[cKDTree(points[leaders, 0]).query(points[:, 0])[1]]
    t = np.linspace(0, 1, steps)[None, :, None]
    return points + amount * t * (points[mine] - points) * rng.uniform(0.5, 1.0, (count, 1, 1))


def curled(points: np.ndarray, person: Person, rng: np.random.Generator) -> np.ndarray:
    """Waves and curls, like those of neighbours, plus a little disorder."""
    from scipy.spatial import cKDTree

    count, steps = points.shape[:2]
    curl, length = person.hair_curl, person.hair_length
    leaders = rng.choice(count, max(count // 30, 1), replace=False)
    mine = cKDTree(points[leaders, 0]).query(points[:, 0])[1]
    phase = rng.uniform(0, 2 * np.pi, len(leaders))[mine] + rng.normal(0, 0.5, count)
    turns = length / (0.09 - 0.065 * min(curl, 0.9)) * rng.uniform(0.8, 1.2, len(leaders))[mine]
    turns = np.minimum(turns, (steps - 1) / 3)
    t = np.linspace(0, 1, steps)
    along = np.gradient(points, axis=1)
    first = unit(np.cross(along, [0.3, 1.0, 0.2]))
    second = unit(np.cross(along, first))
    angle = 2 * np.pi * turns[:, None] * t + phase[:, None]
    radius = (0.0006 + 0.0085 * curl) * smoothstep(0, 0.25, t)[None] * rng.uniform(0.6, 1.3, (count, 1))
    out = points + radius[..., None] * (np.cos(angle)[..., None] * first + np.sin(angle)[..., None] * second)
    return out + (0.001 + 0.003 * curl) * rng.normal(0, 1, (count, 1, 3)) * (t * min(length / 0.08, 1))[None, :, None]


def knot(person: Person, goal: np.ndarray, steps: int, rng: np.random.Generator) -> Strands:
    """A bun: arcs around a ball; or a tail that hangs from where hair is tied."""
    count = 900
    if person.hair_style == "bun":
        first = unit(rng.normal(0, 1, (count, 3)))
        second = unit(np.cross(first, rng.normal(0, 1, (count, 3))))
        angle = np.linspace(0, 2.2, steps)[None, :, None] + rng.uniform(0, 6, (count, 1, 1))
        radius = 0.034 * rng.uniform(0.85, 1.05, (count, 1, 1))
        points = goal + [0, 0.02, 0.012] + radius * (np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None])
    else:
        t = np.linspace(0, 1, steps)[None, :, None]
        sideways = rng.normal(0, 1, (count, 1, 3)) * [0.016, 0.012, 0.008]
        arc = np.concatenate([0 * t, 0.05 * np.sin(2.2 * t), -0.24 * t**1.5], 2)
        points = goal + arc + sideways * (0.3 + np.sin(np.pi * np.minimum(t * 1.3, 1)))
    shade = np.broadcast_to(rng.uniform(0.5, 1, (count, 1)), (count, steps)).copy()
    return Strands(
        points, np.full(count, -1), np.zeros((count, 3)), np.full((count, steps), 0.0007),
        colours(person, person.hair, count, rng), np.full(count, SCALP), shade,
    )  # fmt: skip


def taken(strands: Strands, keep: np.ndarray) -> Strands:
    return Strands(*(getattr(strands, name)[keep] for name in strands.__dataclass_fields__))


def joined(parts: list[Strands]) -> Strands:
    """Strands of equal numbers of points in one."""
    return Strands(*(np.concatenate([getattr(p, name) for p in parts]) for name in parts[0].__dataclass_fields__))
