"""The rig of a toon face: invertible maps between the screen and the material coordinates of every part.

Each carrier takes screen points `inward` to its own material coordinates and `outward` back, for given states of a
face (`Performance.at`). Inward, which drawing needs, is always a closed form; outward, which only the true flow needs,
is found by fixed-point iteration where it has none: the displacements are contractions, so that this converges.
"""

from __future__ import annotations

import numpy as np

from .drawing import Array, bump, smoothstep
from .expressions import Performance
from .people import ToonSubject

SIDES = (-1.0, 1.0)
PIVOT = 0.62  # height of the point that the head rolls about


def solve(displace, mx: Array, my: Array, tolerance: float = 1e-10, rounds: int = 200) -> tuple[Array, Array]:
    """Points p with p + displace(p) = m, by fixed-point iteration from p = m."""
    x, y = np.array(mx, dtype=np.float64), np.array(my, dtype=np.float64)
    for _ in range(rounds):
        dx, dy = displace(x, y)
        nx, ny = mx - dx, my - dy
        moved = max(np.abs(nx - x).max(initial=0.0), np.abs(ny - y).max(initial=0.0))
        x, y = nx, ny
        if moved < tolerance:
            break
    return x, y


class Screen:
    """The picture itself: the backdrop does not move."""

    def inward(self, state: Performance, x: Array, y: Array) -> tuple[Array, Array]:
        return x, y

    outward = inward


class Carrier:
    """A space inside another: `local_in` takes the parent's points to its own, `local_out` back."""

    def __init__(self, person: ToonSubject, parent):
        self.person, self.parent = person, parent

    def inward(self, state: Performance, x: Array, y: Array) -> tuple[Array, Array]:
        """Screen to material."""
        return self.local_in(state, *self.parent.inward(state, x, y))

    def outward(self, state: Performance, mx: Array, my: Array) -> tuple[Array, Array]:
        """Material to screen."""
        return self.parent.outward(state, *self.local_out(state, mx, my))

    def local_in(self, state: Performance, x: Array, y: Array) -> tuple[Array, Array]:
        return x, y

    def local_out(self, state: Performance, mx: Array, my: Array) -> tuple[Array, Array]:
        return mx, my


class Displaced(Carrier):
    """A carrier given by a smooth displacement of the parent's points."""

    def displace(self, state: Performance, x: Array, y: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def local_in(self, state, x, y):
        dx, dy = self.displace(state, x, y)
        return x + dx, y + dy

    def local_out(self, state, mx, my):
        return solve(lambda x, y: self.displace(state, x, y), mx, my)


class Stage(Carrier):
    """Where and how large the person stands in the picture: close, as MUG is cropped, so that small pictures show mimics."""

    HEIGHT = -0.19  # where material y = 0, between the brows, comes to lie in the picture

    def local_in(self, state, x, y):
        return (x - self.person.shift) / self.person.zoom, (y - self.HEIGHT) / self.person.zoom

    def local_out(self, state, mx, my):
        return mx * self.person.zoom + self.person.shift, my * self.person.zoom + self.HEIGHT

    def rows(self, top: float, bottom: float) -> tuple[float, float]:
        """What material rows come to lie on, in the picture."""
        return top * self.person.zoom + self.HEIGHT, bottom * self.person.zoom + self.HEIGHT


class Torso(Carrier):
    """Shoulders and clothes: they shift."""

    def local_in(self, state, x, y):
        return x - state.torso_x, y - state.torso_y

    def local_out(self, state, mx, my):
        return mx + state.torso_x, my + state.torso_y


class Head(Carrier):
    """The skull: it rolls about the neck and shifts."""

    def local_in(self, state, x, y):
        c, s = np.cos(state.roll), np.sin(state.roll)
        x, y = x - state.head_x, y - state.head_y - PIVOT
        return c * x + s * y, c * y - s * x + PIVOT

    def local_out(self, state, mx, my):
        c, s = np.cos(state.roll), np.sin(state.roll)
        my = my - PIVOT
        return c * mx - s * my + state.head_x, c * my + s * mx + state.head_y + PIVOT


class Neck(Displaced):
    """Skin between head and shoulders: follows the head above and the shoulders below."""

    def displace(self, state, x, y):
        share = smoothstep(0.45, 0.85, y)
        hx, hy = state.head_x + 0.10 * np.sin(state.roll), state.head_y
        return -(hx + (state.torso_x - hx) * share), -(hy + (state.torso_y - hy) * share)


class Behind(Carrier):
    """Ears and shadow behind the face: they shift against its turning. `depth` is their share of it."""

    def __init__(self, person: ToonSubject, parent, depth: float):
        super().__init__(person, parent)
        self.depth = depth

    def local_in(self, state, x, y):
        return x + self.depth * state.yaw, y + self.depth * state.pitch

    def local_out(self, state, mx, my):
        return mx - self.depth * state.yaw, my - self.depth * state.pitch


class HairBack(Displaced):
    """Hair behind the head: shifts against its turning, and its lower ends swing."""

    def displace(self, state, x, y):
        return 0.35 * state.yaw - state.swing * smoothstep(-0.15, 1.0, y), 0.35 * state.pitch + 0.0 * x


class Front(Displaced):
    """The front of the head: the turning of the head shifts its middle and leaves its outline, as a dome would."""

    def displace(self, state, x, y):
        dome = bump((x / 0.80) ** 2 + (y / 0.95) ** 2)
        return -state.yaw * dome, -state.pitch * dome


class Skin(Displaced):
    """The skin of the face, pulled by brows, cheeks, nose and mouth, and lengthened by the jaw."""

    def displace(self, state, x, y):
        p = self.person
        # Each pull: where it goes to, how far (x, y), and its radii; zero at that distance. The sum must not fold: the
        # tests check that its Jacobian stays positive.
        none = np.zeros_like(state.roll)
        dy = np.zeros(np.broadcast(x, y, state.roll).shape)
        dx = np.zeros_like(dy)
        jaw = 0.62 * (state.lower + state.shift)
        dy += -jaw * smoothstep(0.22, 0.70, y) * np.maximum(1.0 - (x / 0.95) ** 2, 0.0)
        lift = 0.5 * (state.upper[0] + state.upper[1])
        pulls = [
            (0.0, p.nose_length - 0.02, none, -0.022 * state.wrinkle, 0.13, 0.15),
            (0.0, p.mouth_height - 0.07, none, -0.30 * lift + 0.4 * state.shift, 0.20, 0.14),
        ]
        for k, side in enumerate(SIDES):
            brow = 0.5 * (state.brow_inner[k] + state.brow_middle[k])
            brow_y = 0.07 - p.brow_height - brow
            pulls.append((side * p.eye_gap, brow_y, -0.5 * side * state.brow_pinch, -0.7 * brow, 0.22, 0.19))
            cheek = state.cheek[k]
            pulls.append((side * 0.275, 0.25, 0.008 * side * cheek, -0.030 * cheek, 0.22, 0.19))
            reach = p.mouth_width * state.width
            wide = 0.55 * (reach - p.mouth_width)
            pulls.append(
                (side * reach, p.mouth_height - state.corner[k], side * wide, -0.40 * state.corner[k], 0.25, 0.23)
            )
        for cx, cy, px, py, rx, ry in pulls:
            if np.any(px) or np.any(py):
                hill = bump(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
                dx -= px * hill
                dy -= py * hill
        return dx, dy


class Brow(Carrier):
    """One brow: along it and across it, about a parabola through three heights."""

    def __init__(self, person: ToonSubject, parent, side: int):
        super().__init__(person, parent)
        self.side = side

    def centre(self, state: Performance) -> Array:
        return SIDES[self.side] * (self.person.eye_gap + 0.008 - state.brow_pinch)

    def height(self, state: Performance, s: Array) -> Array:
        """y of the brow's middle line at s: -1 the inner end, 1 the outer."""
        p, k = self.person, self.side
        inner = p.brow_tilt + state.brow_inner[k]
        middle = p.brow_arch + state.brow_middle[k]
        outer = -p.brow_tilt + state.brow_outer[k]
        rise = middle + 0.5 * (outer - inner) * s + (0.5 * (inner + outer) - middle) * s * s
        return 0.07 - p.brow_height - rise

    def local_in(self, state, x, y):
        s = SIDES[self.side] * (x - self.centre(state)) / 0.125
        return s, y - self.height(state, s)

    def local_out(self, state, mx, my):
        return self.centre(state) + SIDES[self.side] * mx * 0.125, my + self.height(state, mx)


class Eye(Carrier):
    """One eye's opening; its white lies still on the front of the head, so its map is the identity."""

    def __init__(self, person: ToonSubject, parent, side: int):
        super().__init__(person, parent)
        self.side = side
        self.x, self.y = SIDES[side] * person.eye_gap, 0.07

    def along(self, x: Array) -> Array:
        """Position along the eye: -1 the inner corner, 1 the outer."""
        return SIDES[self.side] * (x - self.x) / self.person.eye_width

    def arch(self, s: Array) -> Array:
        """Shape of the lids between the corners: 0 there, about 1 in the middle."""
        power = 0.78 - 0.24 * self.person.eye_roundness
        return np.clip(1.0 - s * s, 1e-4, 1.0) ** power

    def lids(self, state: Performance, s: Array) -> tuple[Array, Array, Array]:
        """y of the fold above the eye, of the upper lid's edge and of the lower lid's edge."""
        p, k = self.person, self.side
        arch = self.arch(s)
        line = self.y - p.eye_tilt * s
        shut = line + 0.52 * p.eye_height * arch
        open_ = np.maximum(state.open[k], 0.0) * (1.0 - state.blink)
        slope = state.slant[k] * 0.060 * (0.15 - s) * arch * np.clip(open_ * 1.4, 0, 1)
        lower = line + 0.86 * p.eye_height * arch * (1.0 - 0.72 * state.lower_lid[k])
        lower = lower + 0.6 * (shut - lower) * state.blink
        upper = shut - (shut - (line - p.eye_height * arch)) * open_ + slope
        upper = np.minimum(upper, lower)
        fold = line - p.eye_height * arch * (1.0 + np.maximum(state.open[k] - 1.0, 0.0)) - 0.030 * arch**0.5
        return np.minimum(fold, upper), upper, lower


class Lid(Carrier):
    """The skin of a lid, which slides over the eye with its edge: along it, and across it from the edge."""

    def __init__(self, eye: Eye, lower: bool):
        super().__init__(eye.person, eye)
        self.eye, self.lower = eye, lower

    def local_in(self, state, x, y):
        s = self.eye.along(x)
        return s, y - self.eye.lids(state, s)[2 if self.lower else 1]

    def local_out(self, state, mx, my):
        x = self.eye.x + SIDES[self.eye.side] * mx * self.person.eye_width
        return x, my + self.eye.lids(state, mx)[2 if self.lower else 1]


class Iris(Carrier):
    """Iris and pupil about their centre, which follows the gaze."""

    def __init__(self, eye: Eye):
        super().__init__(eye.person, eye)
        self.eye = eye

    def centre(self, state: Performance) -> tuple[Array, Array]:
        x = self.eye.x - SIDES[self.eye.side] * 0.006
        return x + state.gaze_x, self.eye.y - 0.004 + state.gaze_y

    def local_in(self, state, x, y):
        cx, cy = self.centre(state)
        return (x - cx) / state.iris_scale, (y - cy) / state.iris_scale

    def local_out(self, state, mx, my):
        cx, cy = self.centre(state)
        return cx + mx * state.iris_scale, cy + my * state.iris_scale


class Mouth(Carrier):
    """The mouth's opening; teeth of the upper jaw lie still on the front of the head, so its map is the identity."""

    def along(self, state: Performance, x: Array) -> Array:
        """Position along the mouth: -1 the left corner, 1 the right."""
        return x / (self.person.mouth_width * state.width)

    def curves(self, state: Performance, s: Array) -> tuple[Array, Array, Array, Array]:
        """y of the upper lip's outer and inner and the lower lip's inner and outer edge."""
        p = self.person
        round_ = np.clip(1.0 - s * s, 1e-4, 1.0)
        arch = round_**state.power
        height = np.where(s < 0, state.corner[0], state.corner[1])
        line = p.mouth_height + state.shift + 0.25 * 0.5 * (state.corner[0] + state.corner[1]) - height * s * s
        share = smoothstep(-0.9, 0.9, s)
        lift = state.upper[0] + (state.upper[1] - state.upper[0]) * share
        upper, lower = line - lift * arch, line + state.lower * arch
        bow = 1.0 - 0.30 * np.exp(-((s / 0.20) ** 2))
        thick = p.lip_thickness * 0.038 * state.upper_lip * round_**0.62 * bow
        thin = p.lip_thickness * 0.046 * state.lower_lip * round_**0.70 * (1.0 - 0.25 * s * s)
        return upper - thick - 0.002, upper, lower, lower + thin + 0.002


class Lip(Carrier):
    """A lip: along it, and across it from the inner edge (0) to the outer (1)."""

    def __init__(self, mouth: Mouth, lower: bool):
        super().__init__(mouth.person, mouth)
        self.mouth, self.lower = mouth, lower

    def edges(self, state: Performance, s: Array) -> tuple[Array, Array]:
        upper_outer, upper, lower, lower_outer = self.mouth.curves(state, s)
        return (lower, lower_outer) if self.lower else (upper, upper_outer)

    def local_in(self, state, x, y):
        s = self.mouth.along(state, x)
        inner, outer = self.edges(state, s)
        return s, (y - inner) / (outer - inner)

    def local_out(self, state, mx, my):
        inner, outer = self.edges(state, mx)
        return mx * self.person.mouth_width * state.width, inner + my * (outer - inner)


class Moustache(Carrier):
    """Hair on the upper lip: across the face relative to the mouth's width, and up from the lip's outer edge."""

    def __init__(self, mouth: Mouth):
        super().__init__(mouth.person, mouth)
        self.mouth = mouth

    def stretch(self, state: Performance) -> Array:
        return 1.0 + 0.6 * (state.width - 1.0)

    def edge(self, state: Performance, mx: Array) -> Array:
        """y of the lip's outer edge below a point of the moustache; it runs on level beyond the mouth's corners."""
        s = np.clip(0.9 * mx / self.person.mouth_width, -1.0, 1.0)
        return self.mouth.curves(state, s)[0]

    def local_in(self, state, x, y):
        mx = x / self.stretch(state)
        return mx, y - self.edge(state, mx)

    def local_out(self, state, mx, my):
        return mx * self.stretch(state), my + self.edge(state, mx)


class Jaw(Carrier):
    """Tongue and lower teeth: they drop with the jaw."""

    def local_in(self, state, x, y):
        return x, y - state.lower - state.shift

    def local_out(self, state, mx, my):
        return mx, my + state.lower + state.shift


class Rig:
    """All carriers of a person, and the table from part numbers (as in `Canvas.part`) to carriers."""

    def __init__(self, person: ToonSubject):
        self.screen = Screen()
        self.stage = Stage(person, self.screen)
        self.torso = Torso(person, self.stage)
        self.neck = Neck(person, self.stage)
        self.head = Head(person, self.stage)
        self.hair_back = HairBack(person, self.head)
        self.ears = Behind(person, self.head, 0.15)
        self.front = Front(person, self.head)
        self.skin = Skin(person, self.front)
        self.brows = [Brow(person, self.front, k) for k in (0, 1)]
        self.eyes = [Eye(person, self.front, k) for k in (0, 1)]
        self.upper_lids = [Lid(eye, lower=False) for eye in self.eyes]
        self.lower_lids = [Lid(eye, lower=True) for eye in self.eyes]
        self.irises = [Iris(eye) for eye in self.eyes]
        self.mouth = Mouth(person, self.front)
        self.upper_lip, self.lower_lip = Lip(self.mouth, lower=False), Lip(self.mouth, lower=True)
        self.moustache = Moustache(self.mouth)
        self.jaw = Jaw(person, self.mouth)
        # Parts that share a carrier keep numbers of their own: one covering the other must count as occlusion.
        parts = [
            ("backdrop", self.screen), ("hair_back", self.hair_back), ("neck", self.neck), ("clothes", self.torso),
            ("ears", self.ears), ("face", self.skin), ("hair_front", self.front), ("glasses", self.front),
            ("mouth", self.mouth), ("upper_teeth", self.mouth), ("lower_teeth", self.jaw), ("tongue", self.jaw),
            ("moustache", self.moustache), ("upper_lip", self.upper_lip), ("lower_lip", self.lower_lip),
        ]  # fmt: skip
        for k in (0, 1):
            parts += [
                (f"brow_{k}", self.brows[k]), (f"white_{k}", self.eyes[k]), (f"iris_{k}", self.irises[k]),
                (f"pupil_{k}", self.irises[k]), (f"upper_lid_{k}", self.upper_lids[k]),
                (f"lash_{k}", self.upper_lids[k]), (f"lower_lid_{k}", self.lower_lids[k]),
            ]  # fmt: skip
        self.carriers = [carrier for _, carrier in parts]
        self.number = {name: i for i, (name, _) in enumerate(parts)}
