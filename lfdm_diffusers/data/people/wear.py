"""What people wear, and their teeth: shells over the skin and small surfaces beside it, skinned by the same bones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..chance import random_stream
from .draws import linear, one_of, smoothstep
from .figure import SKIN, Figure
from .hair import FRAME, Strands, hat_edge
from .person import FABRICS, Person

# Materials of triangles.
M_SKIN, M_EYE, M_MOUTH, M_TEETH, M_TONGUE, M_CLOTH, M_CLOTH2, M_HAT, M_LENS, M_BOTTOM, M_SHOE = range(11)
SOLE = -1.53  # canonical height below which a shoe is its sole
NECK = np.array([0.0, 0.095, -0.135])  # where the neck meets the shoulders, canonical


@dataclass
class Piece:
    """Triangles (T, 3) over own vertices (V, 3) at rest, their weights (V, J), canonical places, and what is cut away (cut < 0)."""

    vertices: np.ndarray
    canonical: np.ndarray
    weights: object
    triangles: np.ndarray
    material: int
    cut: np.ndarray
    jaw: np.ndarray  # (V,) share of the jaw's motion


@dataclass(frozen=True)
class Outfit:
    """What a person wears in a take: another take, other clothes."""

    kind: str
    pattern: str
    colours: np.ndarray  # (3, 3) main, second, inner
    scale: float  # of the pattern, metres
    # Below the neck, of whole figures; see `garments`.
    bottom: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))
    bottom_pattern: str = "plain"
    shoe: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))

    @classmethod
    def sample(cls, person: Person, take: int) -> Outfit:
        rng = random_stream(person.seed, person.index, 51, take)
        kind = one_of(rng, {"crew neck": 4, "v neck": 2, "scoop neck": 1.5 if person.sex == "female" else 0.2, "turtleneck": 1, "shirt": 3, "jacket": 2.5, "hoodie": 1.5})  # fmt: skip
        pattern = one_of(rng, {"plain": 6, "stripes": 1.2, "checks": 1.2, "dots": 0.5, "heather": 1.2, "blocks": 0.6})
        chosen = [linear(FABRICS[i]) for i in rng.permutation(len(FABRICS))[:3]]
        return cls(kind, pattern, np.array(chosen), float(rng.uniform(0.008, 0.03)))


class Carrier:
    """Takes canonical places to the shape of a person, and gives them weights, by the nearest vertices."""

    def __init__(self, figure: Figure, vertices: np.ndarray, allowed: np.ndarray):
        from scipy.spatial import cKDTree

        self.figure, self.vertices = figure, vertices
        self.numbers = np.flatnonzero(allowed)
        self.tree = cKDTree(figure.canonical[self.numbers])

    def carry(self, canonical: np.ndarray, neighbours: int = 12) -> tuple[np.ndarray, object]:
        """Places (N, 3) in the room at rest, and skinning weights (N, J)."""
        from scipy import sparse

        distance, nearest = self.tree.query(canonical, neighbours)
        share = 1 / (distance + 0.004) ** 2
        share /= share.sum(1, keepdims=True)
        near = self.numbers[nearest]
        moved = np.einsum("nk,nkd->nd", share, (self.vertices - self.figure.canonical)[near])
        rows = np.repeat(np.arange(len(canonical)), neighbours)
        mix = sparse.csr_matrix((share.ravel(), (rows, near.ravel())), (len(canonical), len(self.vertices)))
        return canonical + moved, mix @ self.figure.weights


def head_only(figure: Figure, count: int) -> object:
    """Weights (N, J) of what is rigid with the head."""
    from scipy import sparse

    column = np.full(count, figure.bone_names.index("head"))
    return sparse.csr_matrix((np.ones(count), (np.arange(count), column)), (count, len(figure.bone_names)))


def grid_triangles(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Triangles of a grid of vertices, row by row."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    return np.concatenate([np.stack([a, b, a + columns], -1), np.stack([b, b + columns, a + columns], -1)]).reshape(
        -1, 3
    )


def teeth(figure: Figure, person: Person, carrier: Carrier) -> list[Piece]:
    """Two rows of teeth on an arch; the lower one goes with the jaw."""
    pieces = []
    u = np.linspace(-1, 1, 29)
    for upper in (True, False):
        rows = []
        for level in (0.0, 0.5, 1.0):
            z = (-0.0550 - 0.0146 * level) if upper else (-0.0810 + 0.0092 * level)
            x = 0.0245 * np.sin(u * 1.25) / np.sin(1.25)
            y = -0.0222 + (0 if upper else 0.0018) + 0.034 * (1 - np.cos(u * 1.35)) + 0.001 * (level - 0.5)
            edge = 0.0006 * np.abs(np.sin(u * 14)) * (level == 1.0) * (1 if upper else -1)
            rows.append(np.stack([x, y, np.full_like(u, z) + edge], 1))
        canonical = np.concatenate(rows)
        vertices, _ = carrier.carry(canonical)
        pieces.append(Piece(
            vertices, canonical, head_only(figure, len(vertices)), grid_triangles(3, len(u)), M_TEETH, np.ones(len(vertices)),
            np.full(len(vertices), 0.0 if upper else 1.0),
        ))  # fmt: skip
    return pieces


def shell(figure: Figure, vertices: np.ndarray, normals: np.ndarray, cut: np.ndarray, thickness: np.ndarray, material: int,
          smooth: int = 0) -> Piece | None:  # fmt: skip
    """The skin where cut > 0, moved outwards by a thickness (V,) and smoothed."""
    from scipy import sparse

    skin = (figure.kinds == SKIN) & (figure.inside[figure.triangles] < 0.5).any(1)
    triangles = figure.triangles[skin & (cut[figure.triangles] > -0.03).all(1) & (cut[figure.triangles] > 0).any(1)]
    if not len(triangles):
        return None
    used = np.unique(triangles)
    number = np.full(len(vertices), -1)
    number[used] = np.arange(len(used))
    triangles = number[triangles]
    moved = vertices[used] + thickness[used, None] * normals[used]
    if smooth:
        pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (len(used), len(used))).tocsr()
        graph = ((graph + graph.T) > 0).astype(float)
        graph = sparse.diags(1 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph
        for _ in range(smooth):
            off = np.einsum("vd,vd->v", graph @ moved - vertices[used], normals[used])
            keep_out = np.where(
                figure.ears[used] > 0.1, 0.0, np.maximum(0.5 * thickness[used] - off, 0)
            )  # ears lie flat
            moved = graph @ moved + keep_out[:, None] * normals[used]
    return Piece(
        moved, figure.canonical[used], figure.weights[used], triangles, material, cut[used], np.zeros(len(used))
    )


def neckline(canonical: np.ndarray, kind: str) -> np.ndarray:
    """How far below its neckline a place lies under a garment, metres, (V,): negative above."""
    x, y, z = canonical.T
    reach = np.linalg.norm((canonical - NECK) * [1.0, 1.0, 0.85], axis=1)
    front = smoothstep(0.09, 0.05, y)
    below_chin = np.maximum(y - 0.047, -0.152 - z) * 0.7  # the chin comes close to the neck, and is not dressed
    if kind == "turtleneck":
        return np.minimum(-0.128 + 0.2 * (y - 0.05) - z, below_chin)
    radius = 0.069 + 0.012 * front
    if kind == "scoop neck":
        radius = radius + 0.014 + 0.035 * front * smoothstep(0.1, 0.04, np.abs(x))
    cut = reach - radius
    if kind in ("v neck", "jacket"):
        depth = 0.10 if kind == "v neck" else 0.24
        slit = np.abs(x) - np.maximum(0.058 * (1 + (z + 0.135) / depth), -0.01)
        cut = np.where(front > 0.5, np.minimum(cut, slit), cut)
    return np.minimum(np.minimum(cut, -0.105 - z + 0.35 * np.clip(y - 0.06, 0, 1)), below_chin)


def collar(carrier: Carrier, kind: str) -> Piece:
    """A shirt's collar, or a hood's ring, around the neck."""
    wide = kind == "hoodie"
    angle = np.linspace(-2.9, 2.9, 41)  # 0 at the nape
    sine, cosine = np.sin(angle), np.cos(angle)
    front = smoothstep(0.3, -1.0, cosine)
    rows = []
    levels = ((1.02, 0.0), (1.06, 0.028), (1.22, 0.030), (1.45, -0.006)) if not wide else ((1.15, 0.0), (1.3, 0.03), (1.7, 0.028), (1.95, -0.02))  # fmt: skip
    for k, (scale, up) in enumerate(levels):
        drop = 0.046 * front
        x = 0.058 * scale * sine + (0.004 + 0.022 * (k == 3) * front) * np.sign(sine) * front
        y = 0.094 + 0.052 * scale * cosine - 0.012 * (k == 3) * front
        z = -0.148 + 0.012 * cosine + up - drop - 0.022 * (k == 3) * front
        rows.append(np.stack([x, y, z], 1))
    canonical = np.concatenate(rows)
    vertices, weights = carrier.carry(canonical, 20)
    return Piece(
        vertices,
        canonical,
        weights,
        grid_triangles(4, len(angle)),
        M_CLOTH,
        np.ones(len(vertices)),
        np.zeros(len(vertices)),
    )


def clothes(
    figure: Figure, outfit: Outfit, vertices: np.ndarray, normals: np.ndarray, carrier: Carrier
) -> list[Piece]:
    """A garment, with what is under it."""
    canonical = figure.canonical
    fold = 0.003 * np.sin(canonical[:, 0] * 70 + canonical[:, 2] * 40) * np.sin(canonical[:, 2] * 55 + 1.0)
    layers = []
    if outfit.kind == "jacket":
        layers.append((neckline(canonical, "crew neck"), 0.005, M_CLOTH2))
        layers.append((neckline(canonical, "jacket"), 0.016, M_CLOTH))
    else:
        thickness = {"hoodie": 0.014, "turtleneck": 0.006}.get(outfit.kind, 0.008)
        kind = outfit.kind if outfit.kind not in ("shirt", "hoodie") else "crew neck"
        layers.append((neckline(canonical, kind), thickness, M_CLOTH))
    pieces = []
    for cut, thickness, material in layers:
        body = smoothstep(0, 0.05, cut)
        piece = shell(
            figure, vertices, normals, cut, (thickness + fold * body) * (0.6 + 0.4 * body), material, smooth=3
        )
        pieces += [piece] if piece else []
    if outfit.kind in ("shirt", "hoodie") or (outfit.kind == "jacket" and outfit.scale > 0.015):
        pieces.append(collar(carrier, outfit.kind))
    return pieces


def hat(figure: Figure, person: Person, vertices: np.ndarray, normals: np.ndarray, carrier: Carrier) -> list[Piece]:
    """A beanie, a cap with its peak, or a scarf around head and neck."""
    x, y, z = figure.canonical.T
    if person.hat == "scarf":
        oval = np.hypot(x / 0.063, (z + 0.022) / 0.088) - 1
        cut = np.where(y < 0.075, oval * 0.06, 0.04)
        cut = np.minimum(cut, z + 0.20 + 0.1 * np.sin(9 * x))
        thickness = (
            0.010 + 0.007 * smoothstep(-0.09, -0.13, z) + 0.008 * smoothstep(0.03, 0.09, y) * smoothstep(-0.1, 0, z)
        )
        piece = shell(figure, vertices, normals, cut, thickness, M_HAT, smooth=40)
        return [piece] if piece else []
    if person.hat == "none":
        return []
    cut = z - hat_edge(y) + (0.008 if person.hat == "cap" else 0.0)  # behind the peak
    top = smoothstep(0.05, 0.12, z)
    thickness = (0.012 if person.hat == "beanie" else 0.009) + (0.016 if person.hat == "beanie" else 0.008) * top
    pieces = [shell(figure, vertices, normals, cut, np.full(len(x), 1.0) * thickness, M_HAT, smooth=6)]
    if person.hat == "cap":
        angle = np.linspace(-1.15, 1.15, 25)
        rows = []
        for k in range(6):
            out = k / 5
            px = np.sin(angle) * (0.072 + 0.018 * out)
            py = 0.05 - np.cos(angle) * (0.082 + 0.066 * out * np.cos(angle * 0.9))
            rows.append(
                np.stack(
                    [px, py, 0.054 + 0.004 * np.cos(angle) - 0.030 * out - 0.02 * np.sin(angle) ** 2 * (0.4 + out)], 1
                )
            )
        canonical = np.concatenate(rows)
        moved, _ = carrier.carry(canonical)
        pieces.append(Piece(
            moved, canonical, head_only(figure, len(moved)), grid_triangles(6, len(angle)), M_HAT, np.ones(len(moved)),
            np.zeros(len(moved)),
        ))  # fmt: skip
    return [p for p in pieces if p]


def glasses(figure: Figure, person: Person, carrier: Carrier, steps: int) -> tuple[Strands | None, list[Piece]]:
    """Frames as strands of `steps` points, and dark lenses as triangles."""
    if person.glasses == "none":
        return None, []
    half_x, half_y, power = person.glasses_shape
    angle = np.linspace(0, 2 * np.pi, 3 * (steps - 1) * 3 + 1)
    chains, lenses = [], []
    bow = lambda x: -0.036 + 5.5 * np.maximum(np.abs(x) - 0.012, 0) ** 2  # noqa: E731  the frame bends around the face
    for side in (1, -1):
        cosine, sine = np.cos(angle), np.sin(angle)
        x = side * 0.0325 + half_x * np.sign(cosine) * np.abs(cosine) ** (2 / power)
        z = -0.004 + half_y * np.sign(sine) * np.abs(sine) ** (2 / power)
        loop = np.stack([x, bow(x), z], 1)
        chains += [loop[i : i + steps] for i in range(0, len(loop) - steps + 1, steps - 1)]
        outer = side * (0.0325 + half_x)
        t = np.linspace(0, 1, steps)
        temple = np.stack(
            [outer + side * (0.079 - abs(outer)) * t**0.5, bow(outer) + (0.075 - bow(outer)) * t, 0.006 + 0 * t], 1
        )
        chains.append(temple)
        lenses.append(np.concatenate([[[side * 0.0325, bow(0.0325), -0.004]], loop]))
    t = np.linspace(-1, 1, steps)
    inner = 0.0325 - half_x
    chains.append(
        np.stack([t * inner, np.full(steps, bow(inner)) - 0.001 * (1 - t * t), 0.002 + 0.003 * (1 - t * t)], 1)
    )
    canonical = np.concatenate(chains)
    # Rigid glasses: the whole moves and grows with the face, but does not bend with it.
    eyes = np.stack([carrier.vertices[figure.eye_of == s].mean(0) for s in (1, 2)])
    middle, scale = eyes.mean(0), (eyes[0, 0] - eyes[1, 0]) / 0.0616
    face = np.abs(figure.canonical[:, 0]) < 0.012
    face &= (figure.canonical[:, 2] > -0.02) & (figure.canonical[:, 2] < 0.02) & (figure.canonical[:, 1] < 0)
    ahead = min((carrier.vertices[face, 1] - middle[1]).min() + 0.0345, 0.004)
    place = lambda c: middle + c * [scale, 1.0, scale] + [0, ahead, 0]  # noqa: E731
    points = place(canonical).reshape(-1, steps, 3)
    count = len(points)
    thick = {"thin": 0.0007, "thick": 0.0018, "sun": 0.0016}[person.glasses]
    strands = Strands(
        points, np.full(count, -1), np.zeros((count, 3)), np.full((count, steps), thick),
        np.tile(person.glasses_colour, (count, 1)), np.full(count, FRAME), np.ones((count, steps)),
    )  # fmt: skip
    pieces = []
    if person.glasses == "sun":
        for lens in lenses:
            rest = place(lens)
            fan = np.stack([np.zeros(len(lens) - 2, int), np.arange(1, len(lens) - 1), np.arange(2, len(lens))], 1)
            pieces.append(
                Piece(rest, lens, head_only(figure, len(lens)), fan, M_LENS, np.ones(len(lens)), np.zeros(len(lens)))
            )
    return strands, pieces


def covered_height(person: Person) -> float | None:
    """Of a hat, for hair: see `hairstyles.scalp`."""
    return {"none": None, "scarf": -1.0}.get(person.hat, 0.035)
