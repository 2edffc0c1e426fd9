"""How toon faces move: what each expression does to a face, and when, frame by frame.

The cues follow the facial action coding system (AU below): e.g. anger lowers and draws together the brows (AU 4),
raises the upper lids (5), tightens them (7) and presses the lips (24) or bares the teeth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from ..captions.timing import activation
from ..chance import random_stream
from .drawing import Array, smoothstep, uniform
from .people import ToonSubject

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


@dataclass(frozen=True)
class Performance:
    """The state of a face over F frames. Arrays (F,), or (2, F) where the left and right side of the picture differ.

    Lengths in scene units; angles in radians; `up` means towards the top of the picture although y points down.
    """

    # head and body
    head_x: Array
    head_y: Array
    roll: Array
    yaw: Array  # shift of the middle of the face against its outline, to the right
    pitch: Array  # the same, downwards
    swing: Array  # shift of the ends of long hair against the head
    torso_x: Array
    torso_y: Array
    # eyes
    gaze_x: Array
    gaze_y: Array
    blink: Array  # 0: as the expression wants, 1: shut
    open: Array  # (2, F) 1 at rest, 0 shut, above 1 wide
    slant: Array  # (2, F) inner part of the upper lid down (> 0) or up (< 0)
    lower_lid: Array  # (2, F) 0 at rest, 1 raised to the middle of the eye
    iris_scale: Array
    # brows: heights above rest
    brow_inner: Array  # (2, F)
    brow_middle: Array  # (2, F)
    brow_outer: Array  # (2, F)
    brow_pinch: Array  # shift of both brows towards each other
    # nose and cheeks
    cheek: Array  # (2, F) 0 at rest, 1 raised
    wrinkle: Array  # 0 at rest, 1 nose fully wrinkled
    frown: Array  # depth of the lines between the brows
    furrow: Array  # depth of the lines over the forehead
    fold: Array  # (2, F) depth of the line from nose to mouth corner
    # mouth
    corner: Array  # (2, F) height of the mouth's corners
    width: Array  # relative width
    shift: Array  # height of the whole mouth
    upper: Array  # (2, F) upper lip lifted off the line where lips meet
    lower: Array  # lower lip dropped below it; the jaw follows
    power: Array  # outline of the opening: 0.3 a box, 0.5 an ellipse, 1 an almond
    upper_lip: Array  # relative thickness
    lower_lip: Array
    upper_teeth: Array  # share of full length
    lower_teeth: Array
    tongue: Array

    def at(self, frames: int | slice) -> Performance:
        """The state at one frame (numbers) or over a range of frames, shaped (n, 1, 1) to broadcast over pixels."""
        shape = (lambda a: a[..., None, None]) if isinstance(frames, slice) else (lambda a: a)
        return replace(self, **{f.name: shape(getattr(self, f.name)[..., frames]) for f in fields(self)})


# Fields that are 1 at rest (all others are 0), and those that move with the brows and with the eyes.
ONES = ("open", "width", "upper_lip", "lower_lip", "iris_scale")
BROWS = ("brow_inner", "brow_middle", "brow_outer", "brow_pinch", "frown", "furrow")
EYES = ("open", "slant", "lower_lid", "iris_scale", "gaze_y")
# What each expression adds at its apex to a face at rest.
TARGETS: dict[str, dict[str, float]] = {
    "anger": dict(  # AU 4 + 5 + 7 + 23/24: see also BARED
        brow_inner=-0.075, brow_middle=-0.035, brow_outer=0.03, brow_pinch=0.036, frown=1.0, open=-0.16, slant=0.55,
        lower_lid=0.4, iris_scale=-0.08, wrinkle=0.25, cheek=0.1, corner=-0.055, width=-0.04, upper_lip=-0.35,
        lower_lip=-0.35, shift=0.008,
    ),
    "disgust": dict(  # AU 9 + 10 + 15/16 + 25
        brow_inner=-0.05, brow_middle=-0.04, brow_outer=-0.012, brow_pinch=0.02, frown=0.45, open=-0.42, slant=0.05,
        lower_lid=0.62, wrinkle=1.0, cheek=0.45, fold=0.75, corner=-0.075, width=-0.02, upper=0.05, lower=0.03,
        power=-0.1, shift=0.016, upper_teeth=0.9, tongue=0.6, lower_lip=0.15,
    ),
    "fear": dict(  # AU 1 + 2 + 4 + 5 + 20 + 25/26
        brow_inner=0.12, brow_middle=0.06, brow_outer=0.01, brow_pinch=0.03, furrow=0.8, frown=0.25, open=0.34,
        slant=-0.12, lower_lid=-0.12, iris_scale=-0.26, corner=-0.065, width=0.22, upper=0.026, lower=0.085,
        power=-0.36, upper_teeth=0.55, lower_teeth=0.65, upper_lip=-0.2, lower_lip=-0.15,
    ),
    "happiness": dict(  # AU 6 + 12 + 25
        brow_inner=0.018, brow_middle=0.028, brow_outer=0.018, open=-0.2, lower_lid=0.5, cheek=1.0, fold=0.55,
        corner=0.085, width=0.36, shift=-0.005, upper=0.004, lower=0.125, power=-0.12, upper_teeth=0.9, tongue=0.9,
        upper_lip=-0.15, lower_lip=-0.05,
    ),
    "neutral": dict(),
    "sadness": dict(  # AU 1 + 4 + 15 + 17
        brow_inner=0.085, brow_middle=0.005, brow_outer=-0.045, brow_pinch=0.02, frown=0.3, furrow=0.35, open=-0.34,
        slant=-0.55, lower_lid=0.06, gaze_y=0.022, corner=-0.1, width=-0.06, shift=0.014, lower_lip=0.4,
        upper_lip=-0.1, cheek=-0.15,
    ),
    "surprise": dict(  # AU 1 + 2 + 5 + 26/27
        brow_inner=0.105, brow_middle=0.135, brow_outer=0.1, furrow=0.6, open=0.36, lower_lid=-0.15,
        iris_scale=-0.14, width=-0.34, shift=0.03, upper=0.098, lower=0.11, corner=0.0, power=-0.25, tongue=0.55,
        upper_teeth=0.3, upper_lip=0.05, lower_lip=0.0, cheek=-0.2,
    ),
}  # fmt: skip
# What teeth bared in anger add to lips pressed.
BARED = dict(
    upper=0.030, lower=0.048, power=-0.40, upper_teeth=1.0, lower_teeth=1.0, width=0.12, corner=0.022, fold=0.5
)


def drift(time: Array, rng: np.random.Generator, size: float) -> Array:
    """A slow smooth wander of about +-`size` around a random offset."""
    out = np.full(time.shape, uniform(rng, -0.35, 0.35))
    for cycles in (0.55, 1.1, 1.9):
        out += uniform(rng, 0.1, 0.42) / cycles**0.5 * np.sin(2 * np.pi * (cycles * time + uniform(rng, 0, 1)))
    return size * out


def perform(subject: ToonSubject, label: str, take: int, num_frames: int, seed: int | None = None) -> Performance:
    """The performance of a label: `num_frames` states from neutral over onset and apex back to neutral.

    Head motion, gaze, blinks and the face at rest come from a random stream that does not know the label, and an
    expression's strength is exactly 0 in the first and the last frame, so the first frame cannot give the label away.

    Raises:
        ValueError: if the label is unknown, or take or num_frames are out of range.
    """
    if label not in LABELS:
        raise ValueError(f"label must be one of {', '.join(LABELS)}; got {label!r}")
    if isinstance(take, bool) or not isinstance(take, (int, np.integer)) or take < 0:
        raise ValueError(f"take must be an integer of 0 or more, got {take!r}")
    if isinstance(num_frames, bool) or not isinstance(num_frames, (int, np.integer)) or num_frames < 1:
        raise ValueError(f"num_frames must be an integer of 1 or more, got {num_frames!r}")
    time = np.arange(num_frames) / max(num_frames - 1, 1)  # (F,) in [0, 1]
    seed = subject.seed if seed is None else seed
    state = rest(subject, take, time, seed)
    rng = random_stream(seed, subject.index, 3, LABELS.index(label), take)
    strength = subject.intensity * uniform(rng, 0.92, 1.08)
    start, rise = uniform(rng, 0.06, 0.14), uniform(rng, 0.16, 0.24) / subject.tempo
    hold = uniform(rng, 0.30, 0.38)
    fall = min(uniform(rng, 0.18, 0.26) / subject.tempo, 0.97 - start - rise - hold - 0.03)
    lags = {name: uniform(rng, 0.0, 0.03) for name in ("brows", "eyes", "rest")}
    sneer = 1 if subject.asymmetry + uniform(rng, -0.6, 0.6) > 0 else 0  # the stronger side of lopsided expressions
    target = dict(TARGETS[label])
    if label == "anger":
        bared = subject.bares_teeth
        for name, amount in BARED.items():
            target[name] = target.get(name, 0.0) + bared * amount
    lopsided = 0.50 if label == "disgust" else 0.10 * abs(subject.asymmetry)
    for name, amount in target.items():
        lag = lags["brows" if name in BROWS else "eyes" if name in EYES else "rest"]
        curve = strength * amount * activation(time, start + lag, rise, hold, fall)
        old = state[name]
        if old.ndim == 2:
            gain = np.array([1.0 - lopsided, 1.0 - lopsided])
            gain[sneer] = 1.0 + lopsided
            if label == "disgust" and name in ("open", "slant", "corner"):
                gain = 1.0 + 0.3 * (gain - 1.0)
            curve = gain[:, None] * curve
        state[name] = old + curve
    return Performance(**state)


def rest(subject: ToonSubject, take: int, time: Array, seed: int) -> dict[str, Array]:
    """Everything but the expression: head motion, blinks, gaze and a slightly varied neutral face. Knows no label."""
    rng = random_stream(seed, subject.index, 2, take)
    frames = time.shape[0]
    two = ("open", "slant", "lower_lid", "brow_inner", "brow_middle", "brow_outer", "cheek", "fold", "corner", "upper")
    state = {
        f.name: np.full((2, frames) if f.name in two else (frames,), 1.0 if f.name in ONES else 0.0)
        for f in fields(Performance)
    }
    live = subject.liveliness
    state["head_x"] = drift(time, rng, 0.030 * live)
    state["head_y"] = drift(time, rng, 0.018 * live)
    state["roll"] = drift(time, rng, 0.055 * live)
    state["yaw"] = drift(time, rng, 0.040 * live)
    state["pitch"] = drift(time, rng, 0.022 * live)
    # Hair ends hang back while the head turns: the difference to where it was a moment ago.
    lag = np.maximum(time - 0.10, 0.0)
    sway = state["head_x"] - 0.6 * state["roll"]
    state["swing"] = 0.8 * (np.interp(lag, time, sway) - sway) + drift(time, rng, 0.012 * live)
    state["torso_x"] = 0.3 * state["head_x"] + drift(time, rng, 0.006)
    state["torso_y"] = drift(time, rng, 0.008)
    # Gaze holds still and jumps, as eyes do.
    for name, size in (("gaze_x", 0.022), ("gaze_y", 0.010)):
        gaze, before = np.zeros(frames), 0.0
        for moment in (-1.0, uniform(rng, 0.1, 0.45), uniform(rng, 0.55, 0.95)):
            after = uniform(rng, -size, size) * live
            gaze = gaze + (after - before) * smoothstep(moment, moment + 0.05, time)
            before = after
        state[name] = gaze
    blink = np.zeros(frames)
    for k in range(2):
        centre = uniform(rng, 0.04, 0.5) + 0.46 * k
        if uniform(rng, 0, 1) < 0.55:
            blink = np.maximum(blink, bump_at(time, centre, 0.055))
    state["blink"] = blink * smoothstep(0.0, 0.03, time)  # the first frame always shows open eyes
    # The face at rest: people differ a little from take to take, and are not quite symmetric.
    lean = 0.006 * subject.asymmetry
    brow = uniform(rng, -0.008, 0.008)
    for name in ("brow_inner", "brow_middle", "brow_outer"):
        state[name] += np.array([[brow + lean], [brow - lean]]) + drift(time, rng, 0.002)
    corner = uniform(rng, 0.018, 0.036)
    state["corner"] += np.array([[corner + lean], [corner - lean]])
    state["open"] += uniform(rng, -0.05, 0.05)
    state["width"] += uniform(rng, -0.02, 0.02) + drift(time, rng, 0.008)
    state["power"] += 0.8
    return state


def bump_at(time: Array, centre: float, half: float) -> Array:
    """A smooth pulse of height 1 and half-width `half`."""
    return np.maximum(1.0 - ((time - centre) / half) ** 2, 0.0) ** 1.5
