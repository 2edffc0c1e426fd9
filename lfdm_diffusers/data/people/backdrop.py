"""What is behind a person: rooms, streets, parks, skies, walls and studios, mostly out of focus."""

from __future__ import annotations

import numpy as np

from .draws import linear, one_of

INDOORS: dict[str, float] = {
    "room": 4,
    "shelves": 2,
    "window": 2,
    "wall": 2,
    "texture": 1,
    "lights": 1,
    "studio": 1.5,
    "plain": 0.6,
}
OUTDOORS: dict[str, float] = {"street": 3, "park": 4, "sky": 1.5, "sea": 1, "texture": 1, "lights": 0.3}
STUDIO: dict[str, float] = {"studio": 5, "plain": 2, "texture": 1}
NIGHT: dict[str, float] = {"lights": 5, "room": 2, "street": 1}
WALLS = (
    "e8e2d6",
    "d9d4c8",
    "c9d2d8",
    "b8c4b4",
    "d8c4b0",
    "a8b4c4",
    "8a9488",
    "c4a890",
    "f0eeea",
    "6e7a86",
    "5a4a42",
    "3c4650",
)


def backdrop(rng: np.random.Generator, size: int, light: str) -> np.ndarray:
    """A picture (size, size, 3) of linear light, mostly in [0, 1]; `light` is the kind of light."""
    kinds = {"studio": STUDIO, "night": NIGHT, "overcast": OUTDOORS, "sun": OUTDOORS, "evening": OUTDOORS}.get(
        light, INDOORS
    )
    if kinds is OUTDOORS and rng.random() < 0.15:
        kinds = INDOORS
    kind = one_of(rng, kinds)
    picture = PAINTERS[kind](rng, size)
    from scipy.ndimage import gaussian_filter

    blur = {
        "plain": 0,
        "texture": rng.uniform(0, 0.02),
        "wall": rng.uniform(0, 0.02),
        "lights": rng.uniform(0.004, 0.012),
    }.get(kind)
    if blur is None:
        blur = rng.uniform(0.002, 0.012) if rng.random() < 0.35 else rng.uniform(0.012, 0.05)
    if blur > 0:
        picture = gaussian_filter(picture, (blur * size, blur * size, 0), mode="nearest")
    level = {"night": 0.25, "evening": 0.6, "lamp": 0.7, "flash": rng.uniform(0.15, 0.8), "sun": 1.15}.get(light, 1.0)
    tint = {"evening": [1.15, 1, 0.85], "lamp": [1.12, 1, 0.82]}.get(light, [1, 1, 1])
    return np.clip(picture * level * rng.uniform(0.6, 1.2) * tint, 0, 1.5)


def field(
    rng: np.random.Generator, size: int, cells: float, octaves: int = 3, stretch: tuple[float, float] = (1, 1)
) -> np.ndarray:
    """Smooth noise (size, size) of about [-1, 1], `cells` features across."""
    from scipy.ndimage import zoom

    out = np.zeros((size, size))
    for octave in range(octaves):
        n = [max(int(np.ceil(cells * 2**octave / s)), 1) + 3 for s in stretch]
        grid = rng.uniform(-1, 1, n)
        fine = zoom(grid, [(size + 4) / (k - 2) for k in n], order=1, mode="nearest", grid_mode=True)
        out += fine[:size, :size] * 0.6**octave
    return out / 1.4


def colour(rng: np.random.Generator, names: tuple[str, ...] = WALLS) -> np.ndarray:
    return linear(names[int(rng.integers(len(names)))]) * np.exp(rng.normal(0, 0.1, 3))


def ramp(size: int, angle: float) -> np.ndarray:
    t = np.linspace(-0.5, 0.5, size)
    return np.clip(t[None] * np.cos(angle) + t[:, None] * np.sin(angle) + 0.5, 0, 1)[..., None]


def box(picture: np.ndarray, x0: float, y0: float, x1: float, y1: float, value: np.ndarray) -> None:
    """Fill a box given in shares of the picture."""
    size = len(picture)
    a, b, c, d = (round(v * size) for v in (y0, y1, x0, x1))
    picture[max(a, 0) : max(b, 0), max(c, 0) : max(d, 0)] = value


def plain(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.tile(colour(rng), (size, size, 1))


def studio(rng: np.random.Generator, size: int) -> np.ndarray:
    base = colour(rng, (*WALLS, "2a2c30", "14151a", "23344a", "4a2a2a", "6a7f8f"))
    t = np.linspace(-1, 1, size)
    spot = np.exp(
        -(((t[None] - rng.uniform(-0.5, 0.5)) / rng.uniform(0.5, 1.2)) ** 2)
        - ((t[:, None] - rng.uniform(-0.4, 0.6)) / rng.uniform(0.5, 1.2)) ** 2
    )
    cloud = 0.12 * rng.random() * field(rng, size, 3)
    return base * (rng.uniform(0.3, 0.9) + rng.uniform(0.3, 1.0) * spot + cloud)[..., None]


def wall(rng: np.random.Generator, size: int) -> np.ndarray:
    out = colour(rng) * (0.6 + 0.5 * ramp(size, rng.uniform(0, 6.3))) * np.ones((size, size, 1))
    out *= 1 + 0.06 * field(rng, size, 30)[..., None]
    if rng.random() < 0.5:  # a shadow or a corner
        out[:, int(rng.uniform(0.1, 0.9) * size) :] *= rng.uniform(0.6, 0.9)
    if rng.random() < 0.6:
        w, h, x, y = rng.uniform(0.15, 0.4), rng.uniform(0.15, 0.4), rng.uniform(-0.1, 0.9), rng.uniform(-0.1, 0.5)
        box(out, x - 0.012, y - 0.012, x + w + 0.012, y + h + 0.012, colour(rng, ("1a1a1a", "8a6a4a", "e8e4da")))
        box(out, x, y, x + w, y + h, colour(rng, ("5a86b8", "a8322f", "d8a03a", "3d5a3a", "c9c4b8", "2a2a30")))
    return out


def room(rng: np.random.Generator, size: int) -> np.ndarray:
    out = wall(rng, size)
    for _ in range(int(rng.integers(2, 7))):  # furniture, doors, pictures, lamps
        w, h = rng.uniform(0.08, 0.5), rng.uniform(0.1, 0.8)
        x, y = rng.uniform(-0.2, 1.0), rng.uniform(0.0, 1.0)
        tone = colour(rng, ("6b4a32", "3c2a20", "e8e4da", "8a6a4a", "2a2a30", "5a6a7a", "a89a86", "7a2f2a", "3d5a4a"))
        box(out, x, y, x + w, y + h, tone * rng.uniform(0.5, 1.2))
        if rng.random() < 0.5:
            box(out, x + 0.1 * w, y + 0.1 * h, x + 0.9 * w, y + 0.45 * h, tone * rng.uniform(0.6, 1.5))
    if rng.random() < 0.35:
        disc(out, rng.uniform(0, 1), rng.uniform(0, 0.5), rng.uniform(0.03, 0.1), np.array([1.3, 1.1, 0.8]))
    return out


def shelves(rng: np.random.Generator, size: int) -> np.ndarray:
    out = np.tile(colour(rng, ("6b4a32", "3c2a20", "d8d0c0", "4a3a30")), (size, size, 1)) * 0.6
    rows = int(rng.integers(3, 7))
    for r in range(rows):
        x = rng.uniform(-0.05, 0)
        while x < 1:
            w = rng.uniform(0.015, 0.06)
            h = rng.uniform(0.55, 0.9) / rows
            book = np.clip(rng.uniform(0.02, 0.7, 3) ** 1.3, 0, 1)
            if rng.random() < 0.85:
                box(out, x, (r + 0.95) / rows - h, x + w, (r + 0.95) / rows, book)
            x += w + (rng.uniform(0, 0.08) if rng.random() < 0.1 else 0)
        box(out, 0, (r + 0.95) / rows, 1, (r + 1) / rows, colour(rng, ("8a6a4a", "d8d0c0")) * 0.8)
    return out


def window(rng: np.random.Generator, size: int) -> np.ndarray:
    out = wall(rng, size) * 0.6
    view = park(rng, size) if rng.random() < 0.5 else street(rng, size)
    x0, x1 = rng.uniform(-0.3, 0.4), rng.uniform(0.6, 1.3)
    y0, y1 = rng.uniform(-0.3, 0.1), rng.uniform(0.6, 1.1)
    a, b, c, d = (int(np.clip(v, 0, 1) * size) for v in (y0, y1, x0, x1))
    out[a:b, c:d] = view[a:b, c:d] * 1.3 + 0.15
    for k in range(int(rng.integers(1, 4)) + 1):
        x = x0 + (x1 - x0) * k / 2
        box(out, x - 0.012, y0, x + 0.012, y1, colour(rng, ("e8e4da", "2a2a30", "8a6a4a")))
    return out


def street(rng: np.random.Generator, size: int) -> np.ndarray:
    out = sky(rng, size)
    x = rng.uniform(-0.2, 0)
    while x < 1:  # houses with windows
        w, top = rng.uniform(0.15, 0.45), rng.uniform(-0.1, 0.5)
        tone = colour(rng, ("b59a78", "8a6a5a", "a8a8a8", "d6c4a4", "6e5a52", "7a3a30", "c8c4bc", "5a6470"))
        box(out, x, top, x + w, 1, tone)
        columns, rows = int(rng.integers(2, 6)), int(rng.integers(3, 9))
        pane = colour(rng, ("2a3440", "4a5a6a", "e5cf9a", "1a1c20"))
        for i in range(columns):
            for j in range(rows):
                px, py = x + w * (i + 0.25) / columns, top + (1 - top) * (j + 0.2) / rows
                box(out, px, py, px + 0.5 * w / columns, py + 0.5 * (1 - top) / rows, pane * rng.uniform(0.5, 1.4))
        x += w + rng.uniform(0, 0.06)
    low = rng.uniform(0.75, 1.0)
    box(out, 0, low, 1, 1, colour(rng, ("4a4a4c", "6e6a66", "8a867e")))
    if rng.random() < 0.4:
        out = foliage(rng, out, rng.uniform(0.1, 0.6))
    return out


def park(rng: np.random.Generator, size: int) -> np.ndarray:
    out = sky(rng, size)
    out = foliage(rng, out, rng.uniform(0.5, 1.1))
    grass = np.array([0.16, 0.24, 0.05]) * rng.uniform(0.6, 1.4) * (1 + 0.3 * field(rng, size, 12)[..., None])
    y = np.linspace(0, 1, size)[:, None, None]
    return np.where(y > rng.uniform(0.65, 1.1), grass, out)


def foliage(rng: np.random.Generator, out: np.ndarray, amount: float) -> np.ndarray:
    """Leaves in front of what is there, in sun and in shade."""
    size = len(out)
    cover = field(rng, size, rng.uniform(2, 4), 2) + 0.5 * field(rng, size, 24, 2) + (amount - 0.5) * 2
    leaf = colour(rng, ("3d5a2a", "5a7a30", "2e4a26", "7a8a3a", "8a6a2a", "a8642a"))
    texture = np.clip(0.55 + 0.9 * field(rng, size, 20, 3), 0.05, 2.2)[..., None]
    return np.where(cover[..., None] > 0, leaf * texture, out)


def sky(rng: np.random.Generator, size: int) -> np.ndarray:
    top, low = (
        colour(rng, ("5a8ac8", "8fb3d4", "b8c8d4", "4a6a9a", "d8dce0")),
        colour(rng, ("d8e4ec", "e8e4da", "f0e0c8")),
    )
    y = np.linspace(0, 1, size)[:, None, None]
    out = top + (low - top) * y
    cloud = np.clip(field(rng, size, 3, 4, (1.0, 0.5)) + rng.uniform(-0.6, 0.4), 0, 1)[..., None] * rng.uniform(0, 1)
    return out + (np.array([0.9, 0.9, 0.92]) - out) * cloud


def sea(rng: np.random.Generator, size: int) -> np.ndarray:
    out = sky(rng, size)
    horizon = rng.uniform(0.3, 0.7)
    water = colour(rng, ("2f5a7a", "3a6a7a", "5a7f8f", "b59a78", "c8b48a"))
    ripple = 1 + 0.25 * field(rng, size, 30, 2, (0.4, 2.0))[..., None]
    y = np.linspace(0, 1, size)[:, None, None]
    return np.where(y > horizon, water * ripple, out)


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Bricks, planks, concrete or cloth."""
    base = colour(rng, ("8a4a3a", "b59a78", "6b4a32", "a8a49c", "5a5a5c", "c8c0b4", "3a4a5a"))
    y, x = np.mgrid[0:size, 0:size] / size
    kind = int(rng.integers(4))
    scale = rng.uniform(4, 12)
    out = base * (1 + 0.25 * field(rng, size, 40 if kind == 2 else 16, 3)[..., None])
    if kind == 0:
        row = np.floor(y * scale * 2)
        column = x * scale + 0.5 * (row % 2)
        own = np.sin(np.floor(column) * 12.9898 + row * 78.233) * 43758.5453 % 1
        joint = (y * scale * 2 % 1 < 0.12) | (column % 1 < 0.06)
        out = np.where(joint[..., None], base * 0.5 + 0.25, out * (0.7 + 0.5 * own)[..., None])
    elif kind == 1:
        plank = np.floor(x * scale)
        own = np.sin(plank * 12.9898) * 43758.5453 % 1
        grain = field(rng, size, 6, 3, (4.0, 0.25))
        out = base * (0.7 + 0.5 * own + 0.25 * grain)[..., None]
        out[(x * scale % 1) < 0.05] *= 0.4
    elif kind == 3:
        out = out * (1 + 0.15 * np.sin(x * scale * 8 + 2 * field(rng, size, 3)))[..., None]
    return out


def disc(picture: np.ndarray, x: float, y: float, radius: float, value: np.ndarray, add: bool = False) -> None:
    size = len(picture)
    t = (np.arange(size) + 0.5) / size
    on = np.clip((radius - np.hypot(t[None] - x, t[:, None] - y)) * size + 0.5, 0, 1)[..., None]
    picture += on * value if add else on * (value - picture)


def lights(rng: np.random.Generator, size: int) -> np.ndarray:
    """Lamps far out of focus."""
    out = studio(rng, size) * 0.25 + room(rng, size) * 0.15
    for _ in range(int(rng.integers(8, 40))):
        tint = (
            np.array([1.0, rng.uniform(0.4, 0.95), rng.uniform(0.15, 0.9)])
            if rng.random() < 0.75
            else rng.dirichlet([1, 1, 1]) * 2
        )
        disc(out, rng.random(), rng.random(), rng.uniform(0.015, 0.06), tint * rng.uniform(0.1, 0.7), add=True)
    return out


PAINTERS = dict(
    plain=plain, studio=studio, wall=wall, room=room, shelves=shelves, window=window, street=street, park=park, sky=sky, sea=sea,
    texture=texture, lights=lights,
)  # fmt: skip
