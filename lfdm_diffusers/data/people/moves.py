"""What each label does to a body, and when: key poses over a clip, drawn per person and clip.

Key poses stand at moments from 0 to 1 of the action, first and last at rest; what a key leaves out is at rest in it. Between
keys each parameter runs monotonously with level ends (Fritsch and Carlson 1980), so that nothing overshoots a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..chance import random_stream
from .draws import smoothstep
from .expressions import drift, perform
from .person import Person
from .rig import LIMITS, PARAMETERS, SIDES

Keys = list[tuple[float, dict[str, float]]]

BODY_LABELS = (
    "arms_spread", "bow", "clap", "cross_arms", "jumping_jack", "kick", "knee_raise", "lunge", "point", "punch", "reach_up",
    "shrug", "side_bend", "squat", "stop_signal", "throw", "walk_in_place", "wave_both", "wave_left", "wave_right",
)  # fmt: skip


def both(**amounts: float) -> dict[str, float]:
    """The same for both sides."""
    return {name + side: amount for name, amount in amounts.items() for side in SIDES}


def one(side: str, **amounts: float) -> dict[str, float]:
    return {name + side: amount for name, amount in amounts.items()}


def other(side: str) -> str:
    return "Left" if side == "Right" else "Right"


def repeated(first: dict[str, float], second: dict[str, float], start: float, end: float, times: int) -> Keys:
    """first, second, first, ... `times` there and back between two moments."""
    moments = np.linspace(start, end, 2 * times + 1)
    return [(float(moment), second if k % 2 else first) for k, moment in enumerate(moments)]


def keys_of(label: str, side: str, times: int, rng: np.random.Generator) -> Keys:
    """Key poses of a label, done `times` over with `side` where one side does it; variants by chance."""
    sign = 1.0 if side == "Left" else -1.0
    away = other(side)
    u = rng.uniform
    if label.startswith("wave"):
        low = u(45, 80)
        which = SIDES if label == "wave_both" else ("Left",) if label == "wave_left" else ("Right",)
        raised = u(60, 95)

        def arm(bend: float) -> dict[str, float]:
            return {
                k: v
                for s in which
                for k, v in one(s, armSide=raised, armForward=10, armTwist=85, elbow=bend, shoulder=4, fist=4).items()
            }

        lean = 0.0 if label == "wave_both" else (3.0 if which[0] == "Left" else -3.0)
        a, b = arm(low + 45) | {"bend": -lean}, arm(low) | {"bend": lean}
        return repeated(a, b, 0.2, 0.8, times + 1)
    if label == "clap":
        height, bend = u(28, 42), u(70, 84)
        apart = both(armForward=height - 6, armSide=u(14, 24), armTwist=u(0, 18), elbow=bend, palm=0, fist=3)
        shut = both(armForward=height, armSide=3, armTwist=-40, elbow=bend, palm=0, fist=3)
        return repeated(apart, shut, 0.14, 0.86, times + 2)
    if label == "throw":
        back = one(side, armSide=95, armForward=-15, armTwist=80, elbow=100, fist=55, wrist=-25) | one(
            away, armForward=55, armSide=25, elbow=15
        )
        back |= {"twist": -sign * -28, "hipsForward": -0.05, "lean": -6}
        past = one(side, armForward=115, armSide=20, armTwist=20, elbow=25, fist=10, wrist=25) | one(
            away, armForward=10, armSide=25, elbow=40
        )
        past |= {"twist": sign * -25, "lean": 14, "hipsForward": 0.08}
        after = one(side, armForward=40, armSide=-15, armTwist=-20, elbow=25, fist=8) | {
            "twist": sign * -22,
            "lean": 12,
            "hipsForward": 0.08,
        }
        return [(0.38, back), (0.44, back), (0.56, past), (0.68, after), (0.74, after)]
    if label == "kick":
        back = (
            one(side, footForward=-0.38, footUp=0.22, toeUp=-40)
            | {"hipsOut": -sign * 0.1, "lean": 8}
            | one(away, armForward=30, armSide=20, elbow=20)
        )
        high = u(0.32, 0.62)
        out = one(side, footForward=0.78, footUp=high, toeUp=-5) | {
            "hipsOut": -sign * 0.1,
            "hipsForward": -0.04,
            "lean": -8,
            "hipTilt": -6,
        }
        out |= one(away, armForward=55, armSide=25, elbow=25) | one(side, armForward=-25, armSide=30, elbow=20)
        middle = one(side, footForward=0.1, footUp=0.10) | {"hipsOut": -sign * 0.1}
        return [
            (0.12, {"hipsOut": -sign * 0.08}),
            (0.30, back),
            (0.46, out),
            (0.52, out),
            (0.68, middle),
            (0.84, {"hipsOut": -sign * 0.03}),
        ]
    if label == "squat":
        depth = u(0.32, 0.52)
        down = both(footTurn=18, armForward=u(95, 112), armSide=8, elbow=10, palm=60) | {
            "hipsDown": depth,
            "hipsForward": -0.16 - 0.2 * depth,
            "hipTilt": 26,
            "lean": 10,
            "headDown": -16,
        }
        return (
            repeated(both(footTurn=18, armForward=15), down, 0.06, 0.94, times)
            if times > 1
            else [(0.1, both(footTurn=12)), (0.42, down), (0.58, down)]
        )
    if label == "lunge":
        ahead = (
            one(side, footForward=0.78)
            | one(away, toeUp=-42)
            | {"hipsForward": 0.36, "hipsDown": u(0.16, 0.26), "lean": 3}
        )
        ahead |= (
            both(elbow=75, armSide=28, armForward=-18, palm=20, armTwist=-35)
            if u(0, 1) < 0.5
            else both(elbow=20, armForward=12)
        )
        if u(0, 1) < 0.4:
            aside = (
                one(side, footOut=0.72, footTurn=30)
                | both(elbow=95, armForward=30, armSide=12, armTwist=-35)
                | {"hipsOut": sign * 0.34, "hipsForward": -0.12, "hipsDown": u(0.14, 0.22), "lean": 14, "hipTilt": 8}
            )
            move = one(side, footOut=0.35, footUp=0.1) | {"hipsOut": -sign * 0.03}
            return [
                (0.1, {"hipsOut": -sign * 0.09}),
                (0.24, move),
                (0.44, aside),
                (0.62, aside),
                (0.78, move),
                (0.92, {"hipsOut": -sign * 0.07}),
            ]
        step = one(side, footForward=0.35, footUp=0.13, toeUp=10) | {"hipsOut": -sign * 0.07, "hipsForward": 0.02}
        back = one(side, footForward=0.28, footUp=0.12, toeUp=5) | {"hipsOut": -sign * 0.07, "hipsForward": 0.0}
        return [
            (0.1, {"hipsOut": -sign * 0.09}),
            (0.24, step),
            (0.42, ahead),
            (0.62, ahead),
            (0.78, back),
            (0.92, {"hipsOut": -sign * 0.07}),
        ]
    if label == "jumping_jack":
        open_ = both(armSide=u(145, 165), armTwist=30, elbow=18, footOut=0.28, footTurn=8)
        flight = both(armSide=85, elbow=15, footOut=0.15, toeUp=-22) | {"jump": 0.09}
        bent = both(elbow=15) | {"hipsDown": 0.08}
        keys: Keys = []
        edges = np.linspace(0.04, 0.94, times + 1)
        for start, end in pairwise(edges):
            for share, pose in (  # feet move aside only while they are off the ground
                (0.0, bent), (0.06, bent | {"jump": 0.012}), (0.22, flight), (0.36, open_ | {"jump": 0.012}), (0.43, open_),
                (0.52, open_ | {"hipsDown": 0.05}), (0.58, open_ | {"jump": 0.012}), (0.75, flight), (0.88, both(elbow=12) | {"jump": 0.012}),
                (0.95, both(elbow=12)),
            ):  # fmt: skip
                keys.append((float(start + share * (end - start)), pose))
        return keys
    if label == "bow":
        deep = u(0.7, 1.0)
        bowed = {"hipTilt": 42 * deep, "lean": 38 * deep, "hipsForward": -0.13 * deep, "headDown": 10.0} | both(
            armForward=60 * deep if u(0, 1) < 0.4 else 8.0, elbow=12
        )
        return [(0.1, {"lean": -2.0}), (0.42, bowed), (0.6, bowed)]
    if label == "point":
        way = u(-10, 45)
        pointing = one(side, armForward=88 - 0.5 * abs(way), armSide=way, elbow=4, palm=55, fist=0, shoulder=3) | {
            "headTurn": sign * 0.6 * way,
            "twist": sign * 0.15 * way,
        }
        return [(0.14, one(side, armForward=-8, elbow=25)), (0.38, pointing), (0.72, pointing)]
    if label == "arms_spread":
        spread = both(armSide=u(82, 98), elbow=6, palm=-20 if u(0, 1) < 0.5 else 60, armTwist=10, shoulder=0) | {
            "lean": -4.0
        }
        return [(0.1, both(armForward=12, armSide=-4, elbow=25)), (0.4, spread), (0.68, spread)]
    if label == "stop_signal":
        stopping = one(
            side, armForward=u(76, 88), armSide=u(0, 22), elbow=u(4, 14), palm=85, wrist=-84, shoulder=4
        ) | {"lean": -3.0}
        return [(0.12, one(side, armForward=20, elbow=75, palm=50)), (0.34, stopping), (0.7, stopping)]
    if label == "walk_in_place":
        keys = []
        moments = np.linspace(0.04, 0.96, 2 * times + 3)
        high = u(0.2, 0.34)
        for k in range(len(moments) - 1):
            lifted, standing = (side, away) if k % 2 == 0 else (away, side)
            lean = 1.0 if standing == "Left" else -1.0
            pose = one(lifted, footUp=high, footForward=0.12, toeUp=-22, armForward=-24, elbow=28) | one(
                standing, armForward=38, elbow=48
            )
            pose |= {"hipsOut": 0.055 * lean, "twist": -6.0 * lean, "hipTurn": 4.0 * lean}
            keys.append((float(0.5 * (moments[k] + moments[k + 1])), pose))
            keys.append((float(moments[k + 1]), both(elbow=35)))
        return keys[:-1]
    if label == "punch":
        guard = both(elbow=125, armForward=28, armSide=12, armTwist=-22, fist=85, palm=20) | both(footTurn=5)
        hit = (
            dict(guard)
            | one(side, armForward=88, armSide=-6, elbow=6, palm=70, armTwist=0, fist=85)
            | {"twist": -sign * 26, "hipTurn": -sign * 10, "lean": 5}
        )
        return [(0.14, guard), *repeated(guard, hit, 0.24, 0.78, times), (0.84, guard)]
    if label == "knee_raise":
        knee_up = (
            one(side, footUp=u(0.42, 0.56), footForward=0.20, toeUp=-12)
            | {"hipsOut": -sign * 0.10}
            | one(away, armForward=50, elbow=85)
            | one(side, armForward=-28, elbow=60)
        )
        shifted = {"hipsOut": -sign * 0.09}
        return [(0.1, shifted), *repeated(shifted, knee_up, 0.16, 0.84, times), (0.9, shifted)]
    if label == "reach_up":
        reaching = (
            both(armForward=u(120, 150), armSide=u(35, 60), elbow=8, armTwist=10, fist=0, shoulder=10)
            | both(toeUp=-25 if u(0, 1) < 0.6 else 0)
            | {"headDown": -18.0, "lean": -5}
        )
        return [(0.1, both(armForward=-6) | {"hipsDown": 0.03}), (0.42, reaching), (0.66, reaching)]
    if label == "cross_arms":
        folded = one(side, armForward=38, armSide=10, armTwist=-62, elbow=108, palm=30) | one(
            away, armForward=30, armSide=10, armTwist=-60, elbow=104, palm=30
        )
        return [(0.12, both(armForward=25, armSide=20, elbow=40)), (0.4, folded), (0.74, folded)]
    if label == "shrug":
        shrugged = both(shoulder=24, armSide=u(22, 34), armTwist=u(50, 65), elbow=u(75, 95), palm=-75, fist=2) | {
            "headLean": sign * 9.0,
            "headDown": -3,
        }
        return [(0.3, shrugged), (0.44, shrugged), (0.58, shrugged | both(shoulder=16)), (0.68, shrugged)]
    far = (
        one(side, armSide=-4)
        | one(away, armSide=u(140, 165), armTwist=20, elbow=u(20, 40))
        | {"bend": -sign * u(22, 32), "hipsOut": -sign * 0.06}
    )
    return [(0.4, far), (0.64, far)]  # side_bend


@dataclass(frozen=True)
class BodyPerformance:
    """A clip's motion of a whole figure.

    Attributes:
        pose: (F, len(PARAMETERS)) of `rig.PARAMETERS`.
        facing: (F,) degrees that the figure is turned to its left from the camera.
        actions, gaze: of the face, as in `expressions.Performance`.
        level: (F,) how far from rest the pose is, over its largest, in [0, 1].
        side: "Left" or "Right", which side does what one side does; times: how often.
    """

    pose: np.ndarray
    facing: np.ndarray
    actions: np.ndarray
    gaze: np.ndarray
    level: np.ndarray
    side: str
    times: int

    def at(self, frame: int) -> dict[str, float]:
        return dict(zip(PARAMETERS, self.pose[frame]))


def stance(rng: np.random.Generator) -> dict[str, float]:
    """How somebody stands before and after: feet, hanging arms, shoulders."""
    u = rng.uniform
    out = dict.fromkeys(PARAMETERS, 0.0)
    apart, turn = u(0.0, 0.12), u(0, 15)
    for side in SIDES:
        out |= one(side, footOut=apart, footTurn=turn + u(-3, 3), armSide=u(7, 14), armForward=u(-4, 8), armTwist=u(-30, 5), elbow=u(6, 24),
                   palm=u(0, 30), fist=u(8, 28), shoulder=u(-1, 3), footForward=u(-0.03, 0.03))  # fmt: skip
    if rng.random() < 0.18:  # hands before the body
        out |= both(armForward=u(18, 28), armTwist=-48, elbow=u(55, 75))
    out |= {
        "lean": u(-3, 4),
        "headDown": u(-4, 8),
        "headTurn": u(-14, 14),
        "headLean": u(-5, 5),
        "hipsOut": u(-0.02, 0.02),
    }
    return out


def off_ground(key: dict[str, float], name: str) -> float:
    """How high the foot of a parameter is in a key pose, in lengths of a leg."""
    side = "Left" if name.endswith("Left") else "Right"
    return key.get("footUp" + side, 0.0) + key.get("jump", 0.0)


def held(moments: list[float], values: list[float], up: list[float]) -> tuple[list[float], list[float]]:
    """Moments and values with more of them, at which a foot that stands (`up` 0) is still where it was, or already where it will
    be: it leaves the ground before it goes, and is down only where it stays."""
    marks, places = [moments[0]], [values[0]]
    for k in range(1, len(moments)):
        gap = moments[k] - moments[k - 1]
        for here, low, value in (
            (moments[k - 1] + 0.2 * gap, up[k - 1] == 0, values[k - 1]),
            (moments[k] - 0.2 * gap, up[k] == 0, values[k]),
        ):
            if low and up[k - 1] != up[k]:
                marks.append(here)
                places.append(value)
        marks.append(moments[k])
        places.append(values[k])
    return marks, places


def perform_body(person: Person, label: str, take: int, num_frames: int, seed: int) -> BodyPerformance:
    """The performance of a label of `BODY_LABELS`: rest, anticipation, apex or repetitions, return, over `num_frames` frames.

    Stance, facing and face of the first frame come from streams that do not know the label.
    """
    from scipy.interpolate import PchipInterpolator

    time = np.arange(num_frames) / max(num_frames - 1, 1)
    face = perform(person, "neutral", take, num_frames, seed)
    rng = random_stream(seed, person.index, 24, take)
    rest = stance(rng)
    facing = np.clip(rng.normal(0, 12), -28, 28) + drift(rng, time, 0.7 * person.liveliness)
    sway = {name: drift(rng, time, size * person.liveliness) for name, size in (
        ("hipsOut", 0.005), ("hipsForward", 0.005), ("lean", 0.8), ("bend", 0.8), ("twist", 1.0), ("headTurn", 3.0), ("headDown", 2.0),
        ("armForwardLeft", 1.2), ("armForwardRight", 1.2), ("armSideLeft", 0.8), ("armSideRight", 0.8), ("elbowLeft", 1.5), ("elbowRight", 1.5),
    )}  # fmt: skip

    rng = random_stream(seed, person.index, 25, BODY_LABELS.index(label), take)
    side = SIDES[int(rng.random() < 0.6)]
    times = int(np.clip(round(rng.uniform(1, 2.6) * person.tempo), 1, 3))
    size = float(np.clip(person.intensity * rng.uniform(0.88, 1.08), 0.75, 1.15))
    keys = keys_of(label, side, times, rng)
    start, end = rng.uniform(0.03, 0.10), rng.uniform(0.90, 0.97)
    warp = rng.uniform(0.9, 1.12)
    moments = [0.0, start, *[start + (end - start) * moment**warp for moment, _ in keys], end, 1.0]
    if moments[2] - start < 0.02:
        moments[1] = moments[2] - 0.5 * (moments[2])
    pose = np.empty((num_frames, len(PARAMETERS)))
    # Lengths that the legs need are kept; angles grow and shrink with the person's manner.
    for i, name in enumerate(PARAMETERS):
        base, scale = rest[name], size if name not in ("footUp", "hipsForward", "armTwist") else 1.0
        if label in ("clap", "cross_arms"):
            scale = 1.0
        targets = [base + scale * (key[name] - base) if name in key else base for _, key in keys]
        chance = rng.normal(0, 0.03, len(keys))
        if not name.startswith(("arm", "elbow", "head")):  # what stands in two keys stands at one place
            chance[:] = chance[0]
        targets = [base + (target - base) * (1 + more) for target, more in zip(targets, chance)]
        marks, values = moments, [base, base, *targets, base, base]
        if name.startswith(("footOut", "footForward")):
            marks, values = held(marks, values, [0.0, 0.0, *[off_ground(key, name) for _, key in keys], 0.0, 0.0])
        pose[:, i] = np.clip(PchipInterpolator(marks, values)(time) + sway.get(name, 0.0), *LIMITS[name])
    moved = [i for i, name in enumerate(PARAMETERS) if any(name in key for _, key in keys)]
    spans = np.array([LIMITS[PARAMETERS[i]][1] - LIMITS[PARAMETERS[i]][0] for i in moved])
    still = np.array([rest[PARAMETERS[i]] for i in moved])
    far = np.linalg.norm((pose[:, moved] - still) / spans, axis=1)
    level = smoothstep(0.0, 0.9, far / max(far.max(), 1e-9)) if num_frames > 1 else np.zeros(1)
    # The head stays with the onlooker while the body turns and leans.
    number = {name: i for i, name in enumerate(PARAMETERS)}
    share = 0.55
    pose[:, number["headTurn"]] -= share * (pose[:, number["twist"]] + pose[:, number["hipTurn"]]) + 0.35 * facing
    for name, sources in (("headDown", ("lean", "hipTilt")), ("headLean", ("bend",))):
        carried = np.sum([pose[:, number[source]] for source in sources], axis=0)
        pose[:, number[name]] -= share * carried[0] + (0.25 if label == "bow" else share) * (carried - carried[0])
    for name in ("headTurn", "headDown", "headLean"):
        pose[:, number[name]] = np.clip(pose[:, number[name]], *LIMITS[name])
    return BodyPerformance(pose, facing, face.actions, face.gaze, level, side, times)


def strengths(performance: BodyPerformance) -> dict[str, np.ndarray]:
    """How far each parameter that moves goes, (F,): its change since the first frame over the span of its limits, in [-1, 1]."""
    out = {}
    for i, name in enumerate(PARAMETERS):
        moved = (performance.pose[:, i] - performance.pose[0, i]) / (LIMITS[name][1] - LIMITS[name][0])
        if np.abs(moved).max() >= 0.04:
            out[name] = moved
    return out
