"""Decides when two labels are the same, and which other words mean them."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection

# Words for one expression. People ask for any of them; a model knows few. Only words that mean the same face stand together.
SYNONYMS = (
    ("happiness", "happy", "joy", "joyful", "smile", "smiling", "laugh", "laughing", "grin", "cheerful", "glad"),
    ("sadness", "sad", "sorrow", "unhappy", "unhappiness", "crying", "cry", "grief"),
    ("anger", "angry", "rage", "furious", "fury", "mad"),
    ("surprise", "surprised", "astonishment", "astonished", "amazement", "amazed"),
    ("fear", "afraid", "scared", "fright", "frightened", "terror", "terrified"),
    ("disgust", "disgusted", "revulsion"),
    ("neutral", "calm", "no expression", "expressionless"),
)

VARIANTS = tuple(map(chr, range(0xFE00, 0xFE10)))  # such as that which gives an emoji its colours


def normalized_label(label: str) -> str:
    """What labels are compared by: one case, one way of writing accents (both as Unicode's compatibility caseless match, D146, but
    composed), single spaces, and nothing that is not seen."""
    folded = unicodedata.normalize("NFD", visible(label)).casefold()
    folded = unicodedata.normalize("NFKC", folded).casefold()  # twice, as composing may undo what folding did
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def visible(text: str) -> str:
    """A text without characters that are not seen, such as blanks of no width, byte-order marks and selectors of variants."""
    return "".join(each for each in text if unicodedata.category(each) != "Cf" and each not in VARIANTS)


def closest_label(label: str, known: Collection[str]) -> str:
    """Of the labels that a model knows (at least one), in the form of `normalized_label`, the one that is spelt most like `label`, or has
    a synonym that is."""
    words = {word: own for own in known for word in next((words for words in SYNONYMS if own in words), ())}
    words |= {own: own for own in known}
    (closest,) = difflib.get_close_matches(normalized_label(label), words, n=1, cutoff=0.0)
    return words[closest]


def known_as(label: str, known: Collection[str]) -> str | None:
    """Of the labels that a model knows, in the form of `normalized_label`, the one that `label` means: itself, or a synonym; else
    None."""
    key = normalized_label(label)
    if key in known:
        return key
    same = next((words for words in SYNONYMS if key in words), ())
    return next((word for word in same if word in known), None)


def unlike_sentences(text: str) -> str:
    """What is said of a text that is unlike all that a model was trained on."""
    return f"{text!r} is unlike the sentences that this model was trained on: what it makes of it may have nothing to do with it."
