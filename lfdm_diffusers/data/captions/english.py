"""The forms of an English verb that sentences about actions need."""

from __future__ import annotations

from typing import NamedTuple

THIRD = {"be": "is", "have": "has", "do": "does"}
# One syllable with one vowel before the last consonant, which doubles.
DOUBLED = frozenset({"get", "let", "put", "set", "shut", "grin", "nod", "knit", "wag", "dip", "sit", "cut", "drop"})


def third_person(verb: str) -> str:
    """ "raise" -> "raises", "press" -> "presses", "be" -> "is"."""
    if verb in THIRD:
        return THIRD[verb]
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def gerund(verb: str) -> str:
    """ "raise" -> "raising", "nod" -> "nodding", "be" -> "being"."""
    if verb in DOUBLED:
        return verb + verb[-1] + "ing"
    if verb.endswith("e") and not verb.endswith(("ee", "ye")) and verb != "be":
        return verb[:-1] + "ing"
    return verb + "ing"


class Phrase(NamedTuple):
    """What someone does: "slightly" + "raise" + "the left eyebrow"."""

    before: str
    verb: str
    after: str

    def form(self, verb: str) -> str:
        return " ".join(part for part in (self.before, verb, self.after) if part)

    @property
    def base(self) -> str:
        return self.form(self.verb)

    @property
    def third(self) -> str:
        return self.form(third_person(self.verb))

    @property
    def ing(self) -> str:
        return self.form(gerund(self.verb))
