"""How strong an action is, and when: what all who act a specification share."""

from __future__ import annotations

import numpy as np

from ..chance import random_stream
from .drawing import draw_specification
from .specification import Action, Specification

AMOUNTS = {"slight": 0.4, "plain": 0.8, "strong": 1.25}
# Gestures that go to and fro; of more than this share of a clip, twice.
TO_AND_FRO = ("nod", "shake")
LONG = 0.6


def specification_of(seed: int, subject: int, take: int) -> Specification:
    """What a person does in a take of a data set with actions."""
    return draw_specification(random_stream(seed, subject, 31, take))


def slot_key(action: Action) -> str:
    """The name of an action with its side in metadata: "name" or "name_side"."""
    return "_".join(filter(None, (action.name, action.side)))


def activation(time: np.ndarray, start: float, rise: float, hold: float, fall: float) -> np.ndarray:
    """Strength of an expression over time: 0, rising from `start`, 1 for `hold`, falling back to 0."""

    def ramp(begin: float, length: float) -> np.ndarray:
        t = np.clip((time - begin) / length, 0.0, 1.0)
        return t * t * (3.0 - 2.0 * t)

    return ramp(start, rise) * (1.0 - ramp(start + rise + hold, fall))


def strength_over_time(action: Action, amount: float, time: np.ndarray, tempo: float = 1.0) -> np.ndarray:
    """Strength of an action, `(F,)`: 0 before it begins and after its end, `amount` for about half of what lies between."""
    length = action.end - action.begin
    rise, fall = 0.28 * length / tempo, 0.24 * length / tempo
    return amount * activation(time, action.begin, rise, length - rise - fall, fall)


def swing(action: Action, time: np.ndarray) -> np.ndarray:
    """What the strength of an action is multiplied by, `(F,)`: 1, or to and fro between -1 and 1."""
    if action.name not in TO_AND_FRO:
        return np.ones_like(time)
    length = action.end - action.begin
    return np.sin(2 * np.pi * (2 if length > LONG else 1) * (time - action.begin) / length)
