"""What each label does to a face, and when: facial actions over the frames of a clip, gaze, blinks and the head.

The cues follow the facial action coding system (AU below) in the names of face trackers, which Anny uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..chance import random_stream
from .actions import ACTIONS
from .draws import smoothstep
from .person import Person

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
# What each expression does at its apex; a name without a side stands for both.
APEX: dict[str, dict[str, float]] = {
    "anger": dict(  # AU 4 5 9 10 16 25
        browDown=1.6, eyeWide=0.5, noseSneer=0.8, mouthUpperUp=0.7, mouthLowerDown=1.0, mouthStretch=0.3, jawOpen=0.2,
    ),
    "disgust": dict(  # AU 4 6 7 9 10 15
        noseSneer=1.6, mouthUpperUp=1.3, browDown=0.5, cheekSquint=1.1, eyeSquint=0.9, eyeBlink=0.12, mouthFrown=0.8,
        mouthShrugLower=0.4,
    ),
    "fear": dict(  # AU 1 2 4 5 15 16 20 25
        browInnerUp=1.6, browOuterUp=0.4, browDown=0.4, eyeWide=1.6, mouthStretch=1.6, jawOpen=0.12, mouthLowerDown=1.2,
        mouthFrown=0.7, mouthUpperUp=0.4,
    ),
    "happiness": dict(  # AU 6 12 25
        mouthSmile=1.2, cheekSquint=0.9, eyeSquint=0.25, mouthDimple=0.2, browOuterUp=0.1, mouthUpperUp=0.45,
        mouthLowerDown=0.15, jawOpen=0.07,
    ),
    "neutral": dict(),
    "sadness": dict(  # AU 1 4 15 17
        browInnerUp=1.5, browDown=0.4, mouthFrown=1.5, mouthShrugLower=0.65, eyeBlink=0.22, cheekSquint=0.1, mouthRollLower=0.1,
    ),
    "surprise": dict(  # AU 1 2 5 26
        browInnerUp=1.5, browOuterUp=1.4, eyeWide=1.0, jawOpen=0.55, mouthFunnel=0.2, mouthUpperUp=0.1,
    ),
}  # fmt: skip
# What people add who have the habit, for each unit of it above a half.
OPTIONAL: dict[str, dict[str, dict[str, float]]] = {
    "anger": {
        "lips": dict(mouthUpperUp=-0.7, mouthLowerDown=-1.0, mouthStretch=-0.3, jawOpen=-0.2, mouthPress=1.2, mouthFrown=0.6),
        "teeth": dict(jawOpen=0.1, mouthUpperUp=0.3, mouthLowerDown=0.3, mouthStretch=0.4), "brows": dict(noseSneer=0.6), "jaw": dict(jawForward=0.6),
    },
    "disgust": {"tongue": dict(jawOpen=0.3, mouthLowerDown=0.4, tongueOut=0.3), "lips": dict(mouthPucker=0.3), "jaw": dict(mouthLeft=0.5)},
    "fear": {"jaw": dict(jawOpen=0.35), "teeth": dict(mouthUpperUp=0.4)},
    "happiness": {
        "teeth": dict(jawOpen=0.2, mouthUpperUp=0.5, mouthLowerDown=0.4), "brows": dict(browInnerUp=0.25, browOuterUp=0.3),
        "squint": dict(eyeSquint=0.8),
    },
    "neutral": {},
    "sadness": {"lips": dict(mouthPucker=0.4, mouthRollLower=0.4), "squint": dict(eyeBlink=0.3), "brows": dict(browDown=0.4)},
    "surprise": {"jaw": dict(jawOpen=0.6), "lips": dict(mouthFunnel=0.6, mouthPucker=0.3), "squint": dict(eyeWide=0.5)},
}  # fmt: skip
# Turns of the head that go with a label, radians at the apex: pitch (down > 0), and how often and how far it turns aside.
HEAD = {"sadness": (0.10, 0.03), "disgust": (-0.02, 0.08), "surprise": (-0.04, 0.0), "fear": (-0.05, 0.02), "anger": (0.05, 0.0), "happiness": (-0.02, 0.02)}  # fmt: skip


@dataclass(frozen=True)
class Performance:
    """A clip's motion: F frames of A actions.

    Attributes:
        actions: (F, A) strengths of `ACTIONS`, 0 at rest, 1 as far as the action goes, up to 1.7.
        head: (F, 3) yaw (towards the figure's left > 0), pitch (down > 0), roll, radians, against the room.
        torso: (F, 3) the same of the upper body.
        shift: (F, 3) of the whole figure, metres.
        gaze: (F, 2) turn of the eyes in the head, to the figure's left and down, radians.
        level: (F,) strength of the label's expression over time, in [0, 1].
        before: label and strength of the face in the first frame.
    """

    actions: np.ndarray
    head: np.ndarray
    torso: np.ndarray
    shift: np.ndarray
    gaze: np.ndarray
    level: np.ndarray
    before: tuple[str, float]


def apex(person: Person, label: str, names: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Actions (A,) of a person's expression at its apex, with their habits, their lopsidedness and a little chance."""
    amounts = dict(APEX[label])
    for habit, extra in OPTIONAL[label].items():
        much = max(0.0, min(person.habits[habit] + rng.normal(0, 0.12), 1.0) - 0.5)
        for name, amount in extra.items():
            amounts[name] = amounts.get(name, 0.0) + 2 * much * amount
    gains = {name: person.intensity * rng.uniform(0.85, 1.15) for name in sorted(amounts)}
    sided = rng.normal(0, 0.05) + person.asymmetry * {"disgust": 0.3, "neutral": 0.0}.get(label, 0.14)
    out = np.zeros(len(names))
    for i, name in enumerate(names):
        base = name.removesuffix("Left").removesuffix("Right")
        key = name if name in amounts else base
        if key in amounts:
            side = sided if name.endswith("Left") else -sided if name.endswith("Right") else 0.0
            out[i] = np.clip(amounts[key] * gains[key] * (1 + side), 0, 1.6)
    return out


def drift(rng: np.random.Generator, time: np.ndarray, size: float) -> np.ndarray:
    """A slow smooth wander of about +-`size` that starts at 0, (F,)."""
    out = np.zeros(len(time))
    for cycles in (0.5, 1.1, 2.1):
        phase = rng.uniform(0, 2 * np.pi)
        out += rng.uniform(0.2, 0.7) / cycles**0.7 * (np.sin(2 * np.pi * cycles * time + phase) - np.sin(phase))
    return size * out


@dataclass(frozen=True)
class Rest:
    """What a clip shows whatever is done in it: F frames, as in `Performance`.

    Attributes:
        head, torso, shift, gaze: how the person sits and looks about.
        blink: (F,) of both eyes, in [0, 1].
        idle: (A,) what is always there a little.
        first: (A,) the expression of the first frame; `before`, its label and strength.
    """

    head: np.ndarray
    torso: np.ndarray
    shift: np.ndarray
    gaze: np.ndarray
    blink: np.ndarray
    idle: np.ndarray
    first: np.ndarray
    before: tuple[str, float]


def rest(person: Person, take: int, num_frames: int, seed: int) -> Rest:
    """Pose, gaze, blinks and the face of the first frame, from a stream that does not know what is done."""
    names = ACTIONS
    time = moments(num_frames)
    rng = random_stream(seed, person.index, 21, take)
    live = person.liveliness

    # The room's view of head and body, and how they sway.
    facing = np.clip(rng.normal(0, [0.20, 0.10, 0.06]), [-0.43, -0.26, -0.16], [0.43, 0.26, 0.16])
    sway = np.stack([drift(rng, time, s * live) for s in (0.045, 0.03, 0.03)], 1)
    torso = np.array(
        [facing[0] * rng.uniform(0.2, 1.0) + rng.normal(0, 0.12), rng.normal(0, 0.04), rng.normal(0, 0.03)]
    )
    torso = torso + np.stack([drift(rng, time, s * live) for s in (0.012, 0.008, 0.008)], 1)
    shift = np.stack([drift(rng, time, s * live) for s in (0.003, 0.002, 0.002)], 1)
    # Mostly into the lens, sometimes elsewhere; eyes hold still and jump.
    gaze = np.zeros((num_frames, 2))
    away = rng.normal(0, [0.22, 0.10]) if rng.random() < 0.3 else rng.normal(0, 0.03, 2)
    spots = [away] + [away + rng.normal(0, [0.10, 0.05]) * live for _ in range(2)]
    jumps = (-1.0, rng.uniform(0.15, 0.5), rng.uniform(0.55, 0.95))
    for spot, last, moment in zip(spots, [np.zeros(2), *spots], jumps):
        gaze += (spot - last) * smoothstep(moment, moment + 0.06, time)[:, None]
    blink = np.zeros(num_frames)
    for half in range(2):
        centre, odds = rng.uniform(0.06, 0.5) + 0.47 * half, rng.random()
        if odds < 0.5:
            blink = np.maximum(blink, np.maximum(1 - ((time - centre) / 0.07) ** 2, 0) ** 1.2)
    idle = np.zeros(len(names))
    for name in ("mouthSmile", "mouthFrown", "browInnerUp", "browDown", "mouthPress", "eyeSquint", "jawOpen"):
        amount = abs(rng.normal(0, 0.07))
        for i, full in enumerate(names):
            if full.startswith(name):
                idle[i] += amount
    # A photograph often smiles already, mostly with teeth.
    odds, others = rng.random(), rng.integers(len(LABELS))
    before = (
        ("neutral", 0.0)
        if odds < 0.4
        else ("happiness" if odds < 0.85 else LABELS[others], float(rng.uniform(0.3, 1.1)))
    )
    first = before[1] * apex(person, before[0], names, rng)
    return Rest(facing + sway, torso, shift, gaze, blink, idle, first, before)


def with_lids(actions: np.ndarray, blink: np.ndarray, gaze: np.ndarray) -> np.ndarray:
    """Actions (F, A) with blinks (F,), and lids that follow the eyes (F, 2); in [0, 1.7]."""
    actions = actions.copy()
    for i, name in enumerate(ACTIONS):
        if name.startswith("eyeBlink"):
            actions[:, i] = np.maximum(actions[:, i], blink)
            wide = ACTIONS.index(name.replace("Blink", "Wide"))
            actions[:, wide] *= 1 - blink
            actions[:, ACTIONS.index(name.replace("Blink", "Squint"))] *= 1 - 0.7 * blink
        if name.startswith("eyeLookDown"):
            actions[:, i] += np.clip(gaze[:, 1] / 0.4, 0, 1) * (1 - blink)
        if name.startswith("eyeLookUp"):
            actions[:, i] += np.clip(-gaze[:, 1] / 0.4, 0, 1) * (1 - blink)
    return np.clip(actions, 0, 1.7)


def moments(num_frames: int) -> np.ndarray:
    """Times of the frames as shares of a clip, (F,)."""
    return np.arange(num_frames) / max(num_frames - 1, 1)


def perform(person: Person, label: str, take: int, num_frames: int, seed: int) -> Performance:
    """The performance of a label by a person: onset, apex, offset over `num_frames` frames.

    Pose, gaze, blinks and the face of the first frame come from a stream that does not know the label, so that the first frame
    cannot give the label away; for the same person and take it is the same for all labels.
    """
    names, time = ACTIONS, moments(num_frames)
    still = rest(person, take, num_frames, seed)
    rng = random_stream(seed, person.index, 22, LABELS.index(label), take)
    start, rise = rng.uniform(0.04, 0.16), rng.uniform(0.16, 0.28) / person.tempo
    hold, fall = rng.uniform(0.22, 0.4), rng.uniform(0.18, 0.28) / person.tempo
    stays = rng.random() < 0.15  # the expression is still there at the end
    strength = rng.uniform(0.8, 1.15)
    target = strength * apex(person, label, names, rng)
    lags = rng.uniform(0, 0.04, len(names))  # parts of the face do not move as one
    for i, name in enumerate(names):
        lags[i] = lags[i - 1] if name.endswith("Right") and i else lags[i]

    def envelope(lag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        up = smoothstep(start, start + rise, time[:, None] - lag)
        down = 0.0 if stays else smoothstep(start + rise + hold, start + rise + hold + fall, time[:, None] - lag)
        return up, up * (1 - down)

    up, level = envelope(lags[None])
    wobble = 1 + np.stack([drift(rng, time, 0.04)] * len(names), 1)
    actions = still.idle + still.first * (1 - up) + 0.35 * still.first * (up - level) + target * level * wobble
    actions = with_lids(actions, still.blink, still.gaze)
    level = envelope(np.zeros((1, 1)))[1][:, 0]
    pitch, aside = HEAD.get(label, (0.0, 0.0))
    nod = rng.uniform(0.0, 1.4) * pitch * strength
    turn = rng.normal(0, 1) * aside * strength
    tilt = rng.normal(0, 0.03) * strength
    head = still.head + level[:, None] * np.array([turn, nod, tilt])
    gaze = still.gaze
    if label == "sadness":
        gaze = gaze + level[:, None] * np.array([0.0, rng.uniform(0, 0.2)])
    return Performance(actions, head, still.torso, still.shift, gaze, level, still.before)
