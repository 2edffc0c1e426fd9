"""What happens in a clip: which actions, on which side, how strongly, from when to when, and what does not happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .vocabulary import ACTIONS, PARTS, SIDES

STRENGTHS = ("slight", "plain", "strong")


@dataclass(frozen=True)
class Action:
    """One action of a clip.

    Attributes:
        name: of `ACTIONS`.
        side: the person's own "left" or "right"; "" for both sides, or where the action has none.
        strength: of `STRENGTHS`; always "plain" for an action that has no degrees.
        begin, end: when it happens, as shares of the clip, 0 <= begin < end <= 1.

    Raises:
        ValueError: for a name, side, strength or time that there is not.
    """

    name: str
    side: str = ""
    strength: str = "plain"
    begin: float = 0.1
    end: float = 0.9

    def __post_init__(self) -> None:
        if self.name not in ACTIONS:
            raise ValueError(f"`name` must be one of {', '.join(ACTIONS)}, got {self.name!r}.")
        words = ACTIONS[self.name]
        sides = SIDES[words.sides]
        if self.side not in sides:
            raise ValueError(f"`side` of {self.name} must be one of {', '.join(map(repr, sides))}, got {self.side!r}.")
        strengths = STRENGTHS if words.graded else ("plain",)
        if self.strength not in strengths:
            raise ValueError(
                f"`strength` of {self.name} must be one of {', '.join(strengths)}, got {self.strength!r}."
            )
        if not 0 <= self.begin < self.end <= 1:
            raise ValueError(f"`begin` and `end` must be 0 <= begin < end <= 1, got {self.begin} and {self.end}.")

    @property
    def part(self) -> str:
        """The part of the face that moves, of `PARTS`."""
        return ACTIONS[self.name].part


@dataclass(frozen=True)
class Specification:
    """What a clip does. No actions: the face keeps still.

    Attributes:
        actions: in the order in which they begin.
        without: what is said not to happen: parts (`PARTS`) that do not move, or actions.

    Raises:
        ValueError: for actions out of order, or that contradict `without`.
    """

    actions: tuple[Action, ...] = ()
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if [a.begin for a in self.actions] != sorted(a.begin for a in self.actions):
            raise ValueError("`actions` must stand in the order in which they begin.")
        for name in self.without:
            if name not in ACTIONS and name not in PARTS:
                raise ValueError(f"`without` must hold actions or parts ({', '.join(PARTS)}), got {name!r}.")
            if any(name in (action.name, action.part) for action in self.actions):
                raise ValueError(f"`without` holds {name!r}, which `actions` do.")

    @property
    def is_sequence(self) -> bool:
        """Whether the last action begins when the first is over."""
        return len(self.actions) > 1 and self.actions[-1].begin >= self.actions[0].end

    @property
    def pair(self) -> frozenset[str]:
        """The names of its actions."""
        return frozenset(action.name for action in self.actions)

    @property
    def meaning(self) -> tuple[Any, ...]:
        """What a sentence can say of it: equal for specifications that differ in their times alone, or in the order in which
        simultaneous actions are listed."""
        does = [(action.name, action.side, action.strength) for action in self.actions]
        return self.is_sequence, tuple(does if self.is_sequence else sorted(does))

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        times = [
            asdict(action) | {"begin": round(action.begin, 3), "end": round(action.end, 3)} for action in self.actions
        ]
        return {"actions": times, "without": list(self.without)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Specification:
        """Raises ValueError for what is none."""
        try:
            actions: Sequence[Mapping[str, Any]] = data["actions"]
            return cls(tuple(Action(**action) for action in actions), tuple(data["without"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a specification of a clip: {data!r}") from error
