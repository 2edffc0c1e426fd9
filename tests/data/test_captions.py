"""The language of clips: specifications, their sentences, and what training sets never hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfdm_diffusers.data.captions import (
    ACTIONS,
    HELD_OUT_PAIRS,
    SLOTS,
    Action,
    Specification,
    captions,
    draw_specification,
    vocabulary,
)
from lfdm_diffusers.data.captions.drawing import KINDS, may_go_together
from lfdm_diffusers.data.captions.english import gerund, third_person

pytestmark = pytest.mark.fast


def drawn(count: int = 400, seed: int = 0, **options) -> list[Specification]:
    rng = np.random.default_rng(seed)
    return [draw_specification(rng, **options) for _ in range(count)]


def plain(text: str) -> str:
    return text.casefold().rstrip(".")


@pytest.mark.parametrize(
    ("verb", "third", "ing"),
    [("raise", "raises", "raising"), ("press", "presses", "pressing"), ("nod", "nods", "nodding"),
     ("be", "is", "being"), ("pucker", "puckers", "puckering"), ("say", "says", "saying")],
)  # fmt: skip
def test_forms_of_verbs(verb, third, ing):
    assert (third_person(verb), gerund(verb)) == (third, ing)


def test_same_seed_same_sentences_and_all_say_something_else():
    specification = Specification((Action("brows_up", "left", "strong"),))
    first, again = (captions(specification, np.random.default_rng(3), 6) for _ in range(2))
    assert first == again and len({plain(text) for text in first}) == 6
    assert captions(specification, np.random.default_rng(4), 6) != first


def test_training_sentences_hold_nothing_that_is_held_out():
    """Looked up as words: no held-out adverb, subject or phrase stands in any training sentence."""
    adverbs = {word for pair in vocabulary.HELD_OUT_ADVERBS.values() for words in pair for word in words}
    adverbs |= {word for words in vocabulary.HELD_OUT_DEGREES.values() for word in words}
    nouns = {phrase.split(" ", 1)[0] for words in ACTIONS.values() for phrase in words.held_out}
    usual = {phrase.split(" ", 1)[0] for words in ACTIONS.values() for phrase in (*words.plain, *words.one, *words.strong, *words.slight)}  # fmt: skip
    forbidden = {*adverbs, *vocabulary.HELD_OUT_WHO, *(third_person(verb) for verb in nouns - usual)}
    assert len(forbidden) > 15
    rng = np.random.default_rng(1)
    texts = [plain(text) for s in drawn(300) for text in captions(s, rng, 3)]
    assert len(texts) > 850
    for words in forbidden:
        assert not [text for text in texts if re.search(rf"\b{re.escape(words)}\b", text)], words


def test_held_out_sentences_are_no_training_sentences():
    rng = np.random.default_rng(2)
    for specification in drawn(60):
        usual = {plain(text) for text in captions(specification, rng, 20)}
        held_out = {plain(text) for text in captions(specification, rng, 5, held_out=True)}
        assert held_out and not usual & held_out


def test_pairs_held_out_are_drawn_alone_or_not_at_all():
    assert not any(s.pair in HELD_OUT_PAIRS for s in drawn(600))
    found = drawn(300, held_out_pairs=True)
    assert {s.pair for s in found} == HELD_OUT_PAIRS
    for pair in HELD_OUT_PAIRS:
        assert pair <= set(ACTIONS) and len(pair) == 2


def test_kinds_are_what_they_are_called():
    for kind in KINDS:
        for s in drawn(40, kind=kind):
            assert len(s.actions) == {"still": 0, "together": 2, "sequence": 2}.get(kind, 1)
            assert s.is_sequence == (kind == "sequence") and bool(s.without) >= (kind == "without")
            assert kind != "together" or may_go_together(*s.actions)


def test_every_action_is_drawn_on_every_side_it_has():
    found = {(a.name, a.side) for s in drawn(2500) for a in s.actions}
    assert found == set(SLOTS)


def test_sides_strengths_and_order_are_said():
    rng = np.random.default_rng(5)
    for held_out in (False, True):
        for text in captions(Specification((Action("turn", "left", "slight"),)), rng, 8, held_out):
            assert "left" in text and "right" not in text
        first, then = Action("nod", begin=0.1, end=0.5), Action("eyes_close", "right", begin=0.5, end=0.9)
        texts = captions(Specification((first, then)), rng, 12, held_out)
        assert len(texts) == 12
        for text in map(plain, texts):
            nod, wink = (min(text.find(w) for w in words if w in text) for words in (("nod", "yes", "head", "bob", "chin"), ("wink", "eye")))  # fmt: skip
            text = text.replace(" after it", "")
            behind = re.search(
                r"\bafter (?!that)|only once|when done|but first|beforehand", text
            ) and not text.startswith(("after", "when"))
            before = text.startswith("before")
            assert (wink < nod) == bool(behind or before), text


def test_what_is_not_done_is_negated():
    rng = np.random.default_rng(6)
    still = Specification((), ("smile",))
    for text in captions(still, rng, 12):
        assert re.search(r"\bnot\b|never|without|no attempt", text), text
    for text in captions(Specification((Action("nod"),), ("brows",)), rng, 8):
        assert re.search(r"without moving|still|not move|at rest|unmoved", text) and "brows" in text, text


def test_a_specification_comes_back_from_json():
    for s in drawn(30):
        again = Specification.from_json(s.to_json())
        assert again.meaning == s.meaning and again.without == s.without
    with pytest.raises(ValueError, match="not a specification"):
        Specification.from_json({"actions": [{"nam": "nod"}], "without": []})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(name="dance"), "`name` must be one of"),
        (dict(name="nod", side="left"), "`side` of nod"),
        (dict(name="turn"), "`side` of turn must be one of 'left', 'right'"),
        (dict(name="eyes_close", strength="slight"), "`strength` of eyes_close"),
        (dict(name="nod", begin=0.9, end=0.2), "0 <= begin < end <= 1"),
    ],
)
def test_actions_that_there_are_not_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Action(**arguments)


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="which `actions` do"):
        Specification((Action("smile"),), ("mouth",))
    with pytest.raises(ValueError, match="in the order"):
        Specification((Action("nod", begin=0.5), Action("smile", begin=0.1)))
    with pytest.raises(ValueError, match="held_out_pairs"):
        draw_specification(np.random.default_rng(0), "single", held_out_pairs=True)
    with pytest.raises(ValueError, match="`count`"):
        captions(Specification(), np.random.default_rng(0), 0)
