"""Sentences about a clip, from what is known of it."""

from __future__ import annotations

import numpy as np

from .. import captions as language
from ..chance import random_stream
from .actions import ACTIONS
from .expressions import LABELS, Performance
from .person import Person
from .wear import Outfit

MOVES = {
    "browInnerUp": "raises the inner eyebrows", "browOuterUp": "raises the outer eyebrows", "browDown": "lowers the eyebrows",
    "eyeWide": "widens the eyes", "cheekSquint": "lifts the cheeks", "noseSneer": "wrinkles the nose", "jawOpen": "opens the mouth",
    "mouthSmile": "pulls the corners of the mouth up", "mouthFrown": "pulls the corners of the mouth down",
    "mouthStretch": "stretches the lips", "mouthPress": "presses the lips together", "mouthUpperUp": "raises the upper lip",
    "mouthLowerDown": "shows the lower teeth", "mouthPucker": "puckers the lips", "mouthFunnel": "rounds the lips",
}  # fmt: skip
ALREADY = {
    "happiness": "smiling",
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "scared",
    "sadness": "sad",
    "surprise": "surprised",
}
# Of clips in which an expression of the first frame goes, and nothing else comes; {doing} is of `STOPPING`, {being} of `ALREADY`.
RELAXING = (
    "goes back to a neutral face", "relaxes the face", "lets the face go blank", "becomes calm", "stops {doing}", "is no longer {being}",
    "looks neutral again", "calms down", "loses all expression",
)  # fmt: skip
STOPPING = {label: "smiling" if label == "happiness" else f"being {word}" for label, word in ALREADY.items()}


def described(person: Person, outfit: Outfit) -> str:
    """Who is seen: "an elderly man with a full beard and glasses, in a shirt"."""
    noun = {"child": {"male": "boy", "female": "girl"}, "adult": {"male": "man", "female": "woman"}, "elder": {"male": "elderly man", "female": "elderly woman"}}[person.years][person.sex]  # fmt: skip
    seen = []
    colour = "greying" if 0.3 < person.grey <= 0.55 else "grey" if person.grey > 0.55 else person.hair_colour_name
    colour = {"dyed": "dyed red"}.get(colour, colour)
    if person.hat != "none":
        seen.append({"beanie": "a woollen hat", "cap": "a cap", "scarf": "a headscarf"}[person.hat])
    elif person.hair_style in ("bald", "balding"):
        seen.append("a bald head" if person.hair_style == "bald" else "thinning hair")
    else:
        shape = "long" if person.hair_length > 0.25 else "curly" if person.hair_curl > 0.5 else "tied" if person.hair_style in ("bun", "ponytail") else "short" if person.hair_length < 0.05 else ""  # fmt: skip
        seen.append(" ".join(w for w in (shape, colour, "hair") if w))
    if person.beard in ("moustache", "goatee", "full"):
        seen.append({"full": "a full beard"}.get(person.beard, f"a {person.beard}"))
    if person.glasses != "none":
        seen.append("sunglasses" if person.glasses == "sun" else "glasses")
    article = "an" if noun[0] in "aeiou" else "a"
    return f"{article} {noun} with {', '.join(seen[:-1])}{' and ' if len(seen) > 1 else ''}{seen[-1]}, in a {outfit.kind.replace('neck', 'neck shirt') if 'neck' in outfit.kind and outfit.kind != 'turtleneck' else outfit.kind}"  # fmt: skip


def moves(performance: Performance) -> list[str]:
    """What the strongest actions are, from their means over both sides, in words, the strongest first."""
    gained = performance.actions.max(0) - performance.actions[0]
    found = {}
    for name, words in MOVES.items():
        amount = float(np.mean([gained[i] for i, action in enumerate(ACTIONS) if action.startswith(name)]))
        if amount > 0.3:
            found[words] = amount
    return sorted(found, key=lambda words: found[words], reverse=True)


def specification(label: str, performance: Performance) -> language.Specification:
    """What a clip does: its label's expression, as strong as the actions become, from when to when."""
    seen = np.flatnonzero(performance.level > 0.05)
    if label == "neutral" or not len(seen):
        return language.Specification()
    strength = float(performance.actions.max(0).sum() - performance.actions[0].sum())
    frames = len(performance.level)
    begin, end = max(seen[0] - 1, 0) / frames, (seen[-1] + 1) / frames
    how = "slight" if strength < 3 else "strong" if strength > 7 else "plain"
    return language.Specification((language.Action(label, "", how, begin, end),))


def captions(person: Person, outfit: Outfit, label: str, performance: Performance, seed: int, take: int) -> list[str]:
    """Several sentences of different kinds: the label, what is done and by whom, which parts move, and from what."""
    rng = random_stream(seed, person.index, 81, take, LABELS.index(label))
    if label == "neutral" and performance.before[0] in ALREADY:
        return relaxing(person, outfit, performance.before[0], rng)
    does = specification(label, performance)
    out = [
        label,
        *language.captions(does, rng, 2),
        *language.captions(does, rng, 1, who=f"{described(person, outfit)},"),
    ]
    found = moves(performance)[:3]
    if found:
        out.append("the person " + " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found))
    before = ALREADY.get(performance.before[0], "")
    start = f"at first {before}, then the person" if before and performance.before[1] > 0 else "from rest the person"
    return [*out, *language.captions(does, rng, 1, who=start)]


def relaxing(person: Person, outfit: Outfit, before: str, rng: np.random.Generator) -> list[str]:
    """Sentences about a face whose expression, the label `before`, goes: it does not keep still."""
    being, doing = ALREADY[before], STOPPING[before]
    said = [RELAXING[i].format(being=being, doing=doing) for i in rng.permutation(len(RELAXING))]
    pronoun = "she" if person.sex == "female" else "he"
    who = (
        "the person ",
        "",
        f"{pronoun} ",
        f"at first {being}, then the person ",
        f"{described(person, outfit)}, ",
    )
    return ["neutral", *(f"{subject}{text}" for subject, text in zip(who, said))]
