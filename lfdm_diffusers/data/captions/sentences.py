"""Sentences that say a specification, in wordings drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import vocabulary as words
from .english import Phrase
from .specification import Action, Specification

# Attempts at a sentence that is new, or that holds something held out.
TRIES = 40
HELD_OUT_SHARE = 0.6


class Wording:
    """Choices between wordings: of those for training, or also of those held out.

    Attributes:
        used: whether something held out was chosen.
        form: of `FORMS`, how the verbs stand.
        who: the subject of the sentence, or "".
    """

    def __init__(self, rng: np.random.Generator, held_out: bool, who: str | None = None):
        self.rng, self.held_out, self.used = rng, held_out, False
        odds, shares = rng.random(), np.cumsum(list(words.FORMS.values()))
        self.form = "third" if who else list(words.FORMS)[int(np.searchsorted(shares[:-1], odds, side="right"))]
        self.who = who or (self.pick(words.WHO, words.HELD_OUT_WHO) if self.form == "third" else "")
        own = {
            "she": "her",
            "woman": "her",
            "lady": "her",
            "girl": "her",
            "he": "his",
            "man": "his",
            "guy": "his",
            "boy": "his",
        }.get(self.who.split(" ")[-1])
        if self.form == "base":
            own = "your"
        options = ("the", "the", own) if own else ("the", "the", "her", "his", "their")
        self.possessive = options[int(rng.integers(len(options)))]

    def pick(self, usual: Sequence[str], held_out: Sequence[str] = ()) -> str:
        """One of the usual wordings; where held-out ones are wanted, mostly one of those."""
        if self.held_out and held_out and (not usual or self.rng.random() < HELD_OUT_SHARE):
            self.used, usual = True, held_out
        return usual[int(self.rng.integers(len(usual)))]

    def phrase(self, action: Action) -> Phrase:
        """What an action is called, with its side and strength."""
        about, strength = words.ACTIONS[action.name], action.strength
        own: tuple[Sequence[str], Sequence[str]] = ((), ())
        if not action.side and strength != "plain":
            own = (
                (about.slight, about.held_out_slight)
                if strength == "slight"
                else (about.strong, about.held_out_strong)
            )
        before = behind = ""
        if own[0] and self.rng.random() < 0.5:
            text = self.pick(*own)
        else:
            text = self.pick(*((about.one, about.held_out_one) if action.side else (about.plain, about.held_out)))
            if strength != "plain":
                verb, *rest = text.split()
                place = int(self.rng.random() < 0.6 or about.part == "face" or verb in ("be", "get", "feel"))
                usual, held_out = words.ADVERBS[strength][place], words.HELD_OUT_ADVERBS[strength][place]
                if about.part == "face" and verb in ("be", "get", "look", "feel") and len(rest) == 1:
                    # "is very happy", not "is happy as far as possible".
                    text = f"{verb} {self.pick(words.DEGREES[strength], words.HELD_OUT_DEGREES[strength])} {rest[0]}"
                elif about.part == "face":
                    behind = self.pick(usual[:3], held_out[:1])
                elif place:
                    behind = self.pick(usual, held_out)
                else:
                    before = self.pick(usual, held_out)
        verb, _, after = text.format(the=self.possessive, side=action.side).partition(" ")
        return Phrase(before, verb, f"{after} {behind}".strip())

    def said(self, phrase: Phrase) -> str:
        """A phrase in the form of this sentence."""
        return {"third": phrase.third, "base": phrase.base, "ing": phrase.ing}[self.form]

    def filled(self, template: str, first: str, a: Phrase, b: Phrase) -> str:
        """{a} is `first`, what has been said so far, whose verb is that of `a`."""
        if self.form != "third":
            for third, base in words.AGREEMENT.items():
                template = template.replace(third, base)
        return template.format(a=first, a_ing=a.ing, a_base=a.base, b=self.said(b), b_ing=b.ing, b_base=b.base)

    def sentence(self, specification: Specification) -> str:
        """One sentence."""
        if not specification.actions:
            return self.about_stillness(specification)
        phrases = [self.phrase(action) for action in specification.actions]
        templates: tuple[Sequence[str], Sequence[str]] = (words.SEQUENCE, words.HELD_OUT_SEQUENCE)
        if not specification.is_sequence:
            templates = (words.TOGETHER, words.HELD_OUT_TOGETHER)
            if self.rng.random() < 0.5:
                phrases.reverse()
        text = self.said(phrases[0])
        for other in phrases[1:]:
            text = self.filled(self.pick(*templates), text, phrases[0], other)
        for name in specification.without:
            if name in words.PARTS:
                part = self.pick(words.PARTS[name])
                template = self.pick(words.PART_STILL, words.HELD_OUT_PART_STILL)
                template = template.replace("does not move", "do not move") if part.endswith("s") else template
                template = template.replace("keeps", "keeps" if self.form == "third" else "keep")
                text = template.format(a=text, part=part)
            else:
                other = self.phrase(_plain(name, self.rng))
                text = self.filled(self.pick(words.WITHOUT, words.HELD_OUT_WITHOUT), text, phrases[0], other)
        return self.with_subject(text)

    def about_stillness(self, specification: Specification) -> str:
        """A sentence that says that nothing moves."""
        if specification.without and specification.without[0] in words.ACTIONS:
            other = self.phrase(_plain(specification.without[0], self.rng))
            template = self.pick(words.NOT_DOING, words.HELD_OUT_NOT_DOING)
            return self.with_subject(self.filled(template, "", other, other))
        verb, _, after = self.pick(words.NOTHING, words.HELD_OUT_NOTHING).partition(" ")
        if verb == "not":
            does = {"third": "does not", "base": "do not", "ing": "not"}[self.form]
            return self.with_subject(
                f"{does} {'moving' if self.form == 'ing' else 'move'}{after.removeprefix('move')}"
            )
        return self.with_subject(self.said(Phrase("", verb, after)))

    def with_subject(self, text: str) -> str:
        """Somebody who does it, or nobody; sometimes as a sentence is written."""
        opening, comma, rest = text.partition(", ")
        word, _, others = opening.partition(" ")
        if self.who and word == "first":
            text = f"first {self.who} {others}{comma}{rest}"
        elif self.who and opening.startswith("at first "):
            text = f"at first {self.who} {opening.removeprefix('at first ')}{comma}{rest}"
        elif self.who and word in ("after", "before", "without", "while", "when"):
            text = f"{opening}{comma}{self.who} {rest}"
        elif self.who:
            text = f"{self.who} {text}"
        return f"{text[0].upper()}{text[1:]}." if self.rng.random() < 0.2 else text


def _plain(name: str, rng: np.random.Generator) -> Action:
    sides = {"one": ("left", "right")}.get(words.ACTIONS[name].sides, ("",))
    return Action(name, sides[int(rng.integers(len(sides)))])


def captions(
    specification: Specification,
    rng: np.random.Generator,
    count: int = 4,
    held_out: bool = False,
    who: str | None = None,
) -> list[str]:
    """Different sentences that say what a clip does.

    Args:
        specification: what it does.
        rng: the same state gives the same sentences everywhere.
        count: how many, 1 or more; fewer come where the words do not allow so many.
        held_out: every sentence holds a wording that no training set does (and may hold others); else none does.
        who: the subject of all sentences; drawn if None.

    Raises:
        ValueError: if count is below 1.
    """
    if count < 1:
        raise ValueError(f"`count` must be 1 or more, got {count}.")
    found: dict[str, str] = {}
    for _ in range(TRIES * count):
        wording = Wording(rng, held_out, who)
        sentence = wording.sentence(specification)
        if wording.used == held_out:
            found.setdefault(sentence.casefold().rstrip("."), sentence)
        if len(found) == count:
            break
    return list(found.values())
