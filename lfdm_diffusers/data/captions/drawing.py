"""Specifications drawn at random, as training sets hold them, or of the pairs that they never hold."""

from __future__ import annotations

import numpy as np

from .specification import STRENGTHS, Action, Specification
from .vocabulary import ACTIONS, FACE, HELD_OUT_PAIRS, PARTS

# Kinds of clips, and their shares.
KINDS = {"single": 0.42, "together": 0.2, "sequence": 0.24, "without": 0.08, "still": 0.06}


def may_go_together(a: Action, b: Action) -> bool:
    """Whether a face can do both at once, and both can be seen."""
    parts = {a.part, b.part}
    if len(parts) == 1 or ("face" in parts and parts & FACE):
        return False
    return not ("eyes_close" in (a.name, b.name) and "gaze" in parts and not (a.side or b.side))


def draw_specification(
    rng: np.random.Generator, kind: str | None = None, held_out_pairs: bool = False
) -> Specification:
    """A specification of a clip.

    Args:
        rng: the same state gives the same specification everywhere.
        kind: of `KINDS`; drawn by their shares if None.
        held_out_pairs: pairs of `HELD_OUT_PAIRS` alone, or none of them. Only "together" and "sequence" have pairs.

    Raises:
        ValueError: for an unknown kind, or one that has no pairs with `held_out_pairs`.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}.")
    if held_out_pairs and kind not in (None, "together", "sequence"):
        raise ValueError(f"`kind` must be 'together' or 'sequence' with `held_out_pairs`, got {kind!r}.")
    if kind is None:
        names = ["together", "sequence"] if held_out_pairs else list(KINDS)
        shares = np.cumsum([KINDS[name] for name in names])
        kind = names[min(int(np.searchsorted(shares, rng.random() * shares[-1], side="right")), len(names) - 1)]
    if kind == "still":
        return Specification((), (_pick(rng, list(ACTIONS)),) if rng.random() < 0.5 else ())
    if kind in ("single", "without"):
        action = _action(rng, _pick(rng, list(ACTIONS)), *_times(rng))
        if kind == "single":
            return Specification((action,))
        taken = FACE | {"face"} if action.part == "face" else {action.part, "face"}
        others = [part for part in PARTS if part not in taken]
        names = [name for name, words in ACTIONS.items() if words.part in others]
        return Specification((action,), (_pick(rng, others if rng.random() < 0.5 else names),))
    while True:
        if held_out_pairs:
            pairs = sorted(sorted(pair) for pair in HELD_OUT_PAIRS)
            first, second = pairs[int(rng.integers(len(pairs)))][:: 1 if rng.random() < 0.5 else -1]
        else:
            first, second = (_pick(rng, list(ACTIONS)) for _ in range(2))
        if kind == "together":
            begin, end = _times(rng)
            actions = (_action(rng, first, begin, end), _action(rng, second, begin, end))
            allowed = may_go_together(*actions)
        else:
            border = rng.uniform(0.48, 0.53)
            actions = (
                _action(rng, first, rng.uniform(0.05, 0.09), border),
                _action(rng, second, border, rng.uniform(0.92, 0.97)),
            )
            allowed = (first, actions[0].side) != (second, actions[1].side)
        specification = Specification(actions)
        if allowed and (specification.pair in HELD_OUT_PAIRS) == held_out_pairs:
            return specification


def _pick(rng: np.random.Generator, names: list[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _times(rng: np.random.Generator) -> tuple[float, float]:
    return rng.uniform(0.06, 0.14), rng.uniform(0.86, 0.96)


def _action(rng: np.random.Generator, name: str, begin: float, end: float) -> Action:
    """The named action with a side and a strength; half of all are plain, as most sentences do not say."""
    words, odds = ACTIONS[name], rng.random()
    sides = {"both": [""], "either": ["", "", "left", "right"], "one": ["left", "right"]}[words.sides]
    strength = STRENGTHS[1 if odds < 0.5 or not words.graded else 0 if odds < 0.75 else 2]
    return Action(name, _pick(rng, sides), strength, begin, end)
