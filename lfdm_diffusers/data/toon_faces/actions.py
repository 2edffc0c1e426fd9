"""How toon faces act what a specification says: single actions, on one side or both, gestures of the head, one after another."""

from __future__ import annotations

import numpy as np

from ..captions import Action, Specification
from ..captions.timing import AMOUNTS, slot_key, strength_over_time, swing
from ..chance import random_stream
from .drawing import Array, uniform
from .expressions import TARGETS as EXPRESSIONS
from .expressions import Performance, rest
from .people import ToonSubject

# What each action adds to a face at rest when it goes as far as "plain" means at a strength of 0.8.
TARGETS: dict[str, dict[str, float]] = {
    "brows_up": dict(brow_inner=0.1, brow_middle=0.115, brow_outer=0.1, furrow=0.5),
    "brows_down": dict(brow_inner=-0.085, brow_middle=-0.055, brow_outer=-0.012, brow_pinch=0.03, frown=0.9),
    "eyes_close": dict(open=-1.05, lower_lid=0.15, cheek=0.2),
    "eyes_wide": dict(open=0.45, lower_lid=-0.2, iris_scale=-0.14),
    "eyes_squint": dict(open=-0.38, lower_lid=0.6, cheek=0.35),
    "look_up": dict(gaze_y=-0.052, open=0.12),
    "look_down": dict(gaze_y=0.046, open=-0.28),
    "look_aside": dict(gaze_x=0.052),
    "nose_wrinkle": dict(wrinkle=1.25, cheek=0.4, lower_lid=0.15, upper=0.012),
    "smile": dict(corner=0.085, width=0.34, cheek=0.65, fold=0.5, lower_lid=0.2),
    "mouth_down": dict(corner=-0.12, lower_lip=0.35, upper_lip=-0.1, shift=0.012, width=-0.05),
    "mouth_open": dict(lower=0.15, upper=0.04, power=-0.28, tongue=0.6, upper_teeth=0.3, width=-0.12),
    "mouth_pucker": dict(width=-0.52, upper_lip=0.6, lower_lip=0.6, shift=-0.006),
    "mouth_press": dict(upper_lip=-0.75, lower_lip=-0.75, width=0.14, shift=-0.006, fold=0.2),
    "bare_teeth": dict(upper=0.042, lower=0.056, power=-0.42, upper_teeth=1.0, lower_teeth=1.0, width=0.26, fold=0.4),
    "nod": dict(pitch=0.075, head_y=0.03),
    "shake": dict(yaw=0.1, head_x=0.012),
    "turn": dict(yaw=0.105, head_x=0.025),
    "tilt": dict(roll=0.15),
    **{name: target for name, target in EXPRESSIONS.items() if target},
}  # fmt: skip
# Fields whose sign is the side, the person's left being the picture's right.
TOWARDS = ("gaze_x", "yaw", "roll", "head_x")
SIDE = {"left": 1, "right": 0}


def act(
    subject: ToonSubject, specification: Specification, take: int, num_frames: int, seed: int
) -> tuple[Performance, dict[str, Array]]:
    """The states of a face that does what is said, and the true strength of each action in each frame.

    Head motion, gaze, blinks and the face at rest are those of the take, as in `expressions.perform`; nothing of an action is in
    the first frame.

    Returns:
        The performance of F frames; and by "name" or "name_side" the strengths `(F,)`: 0 none, 0.4 slight, 0.8 plain, 1.25
        strong, give or take what tells people apart.
    """
    time = np.arange(num_frames) / max(num_frames - 1, 1)
    state = rest(subject, take, time, seed)
    rng = random_stream(seed, subject.index, 32, take)
    person = 0.5 + 0.5 * subject.intensity
    strengths: dict[str, Array] = {}
    turned = np.zeros(num_frames)
    for action in specification.actions:
        amount = 1.0 if action.name == "eyes_close" else AMOUNTS[action.strength] * person * uniform(rng, 0.95, 1.05)
        curve = strength_over_time(action, amount, time, min(subject.tempo, 1.0))
        key = slot_key(action)
        strengths[key] = np.maximum(strengths.get(key, 0.0), curve)
        for name, target in TARGETS[action.name].items():
            added = target * curve * gain(action, name, state[name].ndim) * swing(action, time)
            if name == "roll":
                turned = turned + added
            state[name] = state[name] + added
        if action.name == "eyes_close" and not action.side:
            # A blink in closed eyes would lift the lower lids alone.
            state["blink"] = state["blink"] * (1 - curve)
    # Long hair hangs while the head tilts, as in `rest`.
    state["swing"] = state["swing"] - 0.3 * turned
    # Lids do not open beyond what the eye is, nor below shut; nothing turns further than the rig goes.
    state["open"] = np.clip(state["open"], 0.0, 1.65)
    state["width"] = np.clip(state["width"], 0.38, 1.65)
    for name, most in (("yaw", 0.15), ("pitch", 0.14), ("gaze_x", 0.075), ("gaze_y", 0.07)):
        state[name] = np.clip(state[name], -most, most)
    for name in ("upper_lip", "lower_lip"):
        state[name] = np.maximum(state[name], 0.08)
    return Performance(**state), strengths


def gain(action: Action, field: str, sides: int) -> float | Array:
    """What a target is multiplied by: the side's sign, or its share of each side, `(2, 1)`."""
    if not action.side:
        return 1.0
    if field in TOWARDS:
        return 1.0 if action.side == "left" else -1.0
    if sides == 2:
        return np.eye(2)[SIDE[action.side]][:, None]
    return {"brow_pinch": 0.0, "iris_scale": 0.0}.get(field, 0.5)
