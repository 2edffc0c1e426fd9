"""How people act what a specification says: single actions, on one side or both, gestures of the head, one after another."""

from __future__ import annotations

import numpy as np

from ..captions import Action, Specification
from ..captions.timing import AMOUNTS, slot_key, strength_over_time, swing
from ..chance import random_stream
from .actions import ACTIONS
from .expressions import LABELS, Performance, apex, moments, rest, with_lids
from .person import Person

# What each action of the language does when it goes as far as "plain" means at a strength of 0.8: facial actions, a name
# without a side for both; turns of the head and of the gaze in radians, to the person's left and down, tilt to the right.
FACE: dict[str, dict[str, float]] = {
    "brows_up": dict(browInnerUp=1.5, browOuterUp=1.7),
    "brows_down": dict(browDown=2.0),
    "eyes_close": dict(eyeBlink=1.0, cheekSquint=0.2),
    "eyes_wide": dict(eyeWide=1.9, browOuterUp=0.2),
    "eyes_squint": dict(eyeSquint=1.7, cheekSquint=1.1, eyeBlink=0.3),
    "look_up": {},
    "look_down": {},
    "look_aside": {},
    "nose_wrinkle": dict(noseSneer=2.0, mouthUpperUp=0.5, cheekSquint=0.5, browDown=0.2),
    "smile": dict(mouthSmile=1.5, cheekSquint=0.7, mouthUpperUp=0.35, mouthDimple=0.3),
    "mouth_down": dict(mouthFrown=2.0, mouthShrugLower=0.6),
    "mouth_open": dict(jawOpen=1.0, mouthLowerDown=0.2),
    "mouth_pucker": dict(mouthPucker=1.8, mouthFunnel=0.35),
    "mouth_press": dict(mouthPress=1.6, mouthRollLower=0.7, mouthRollUpper=0.7),
    "bare_teeth": dict(mouthUpperUp=1.5, mouthLowerDown=1.7, mouthStretch=1.0, jawOpen=0.08),
    "nod": {},
    "shake": {},
    "turn": {},
    "tilt": {},
}
HEAD = {"nod": (0.0, 0.26, 0.0), "shake": (0.34, 0.0, 0.0), "turn": (0.42, 0.0, 0.0), "tilt": (0.0, 0.0, -0.32)}
GAZE = {"look_up": (0.0, -0.42), "look_down": (0.0, 0.46), "look_aside": (0.5, 0.0)}
# Expressions are drawn as strong as labels' clips at 1.2 times their plain strength.
EXPRESSION_GAIN = 1.2
# The parts of a face that an action of the mouth, or of the whole face, takes over from the expression of the first frame.
MOUTH = ("mouth", "jaw", "cheek", "tongue")
MOST_TURN, MOST_GAZE = np.array([0.62, 0.36, 0.4]), np.array([0.55, 0.5])


def target(action: Action, person: Person, rng: np.random.Generator) -> np.ndarray:
    """Facial actions (A,) of an action at a strength of 1, on its side alone."""
    if action.name in LABELS:
        return EXPRESSION_GAIN * apex(person, action.name, ACTIONS, rng)
    out = np.zeros(len(ACTIONS))
    side = action.side.capitalize()
    for name, amount in FACE[action.name].items():
        for i, full in enumerate(ACTIONS):
            if full in (name, f"{name}Left", f"{name}Right"):
                middle = full == name  # it has no sides: half of it, where one is meant
                out[i] = amount * (1.0 if not side or full.endswith(side) else 0.35 if middle else 0.0)
    return out


def taken_over(action: Action, goal: np.ndarray) -> np.ndarray:
    """Which facial actions (A,) an action sets, whatever the face showed before."""
    if action.part == "face":
        return np.ones(len(goal), bool)
    if action.part == "mouth":
        own = action.side.capitalize()
        return np.array([n.startswith(MOUTH) and (not own or not n.endswith(("Left", "Right")) or n.endswith(own)) for n in ACTIONS])  # fmt: skip
    return goal > 0


def act(
    person: Person, specification: Specification, take: int, num_frames: int, seed: int
) -> tuple[Performance, dict[str, np.ndarray]]:
    """What a person does, and the true strength of each action in each frame.

    Pose, gaze, blinks and the face of the first frame are those of the take (`expressions.rest`). What an action does not set
    stays as the first frame shows it: who smiles and raises an eyebrow goes on smiling.

    Returns:
        The performance of F frames; and by "name" or "name_side" the strengths `(F,)`: 0 none, 0.4 slight, 0.8 plain, 1.25
        strong, give or take what tells people apart.
    """
    time = moments(num_frames)
    still = rest(person, take, num_frames, seed)
    rng = random_stream(seed, person.index, 32, take)
    actions = np.repeat((still.idle + still.first)[None], num_frames, 0)
    head, gaze, blink = still.head.copy(), still.gaze.copy(), still.blink.copy()
    strengths: dict[str, np.ndarray] = {}
    level = np.zeros(num_frames)
    for action in specification.actions:
        amount = (
            1.0
            if action.name == "eyes_close"
            else AMOUNTS[action.strength] * person.intensity * rng.uniform(0.95, 1.05)
        )
        curve = strength_over_time(action, amount, time, min(person.tempo, 1.0))
        key, goal = slot_key(action), target(action, person, rng)
        strengths[key] = np.maximum(strengths.get(key, 0.0), curve)
        level = np.maximum(level, curve / amount)
        share = (curve / amount)[:, None] * taken_over(action, goal)
        actions = actions * (1 - share) + share * (0.3 * still.idle + amount * goal)
        towards = -1.0 if action.side == "right" else 1.0
        turned = towards * curve * swing(action, time)
        head += turned[:, None] * np.array(HEAD.get(action.name, (0.0, 0.0, 0.0)))
        gaze += turned[:, None] * np.array(GAZE.get(action.name, (0.0, 0.0)))
        if action.part == "eyes":  # a blink would be taken for it, or hide it
            blink = blink * (1 - curve / amount)
        if action.part == "gaze":  # not from where the eyes have jumped to meanwhile
            gaze -= (curve / amount)[:, None] * (still.gaze - still.gaze[:1])
    head = still.head[:1] + np.clip(head - still.head[:1], -MOST_TURN, MOST_TURN)
    gaze = np.clip(gaze, -MOST_GAZE, MOST_GAZE)
    return (
        Performance(
            with_lids(actions, blink, gaze), head, still.torso, still.shift, gaze, np.clip(level, 0, 1), still.before
        ),
        strengths,
    )
