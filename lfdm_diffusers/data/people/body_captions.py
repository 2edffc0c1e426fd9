"""Sentences about a clip of a whole figure: what is done, with which side, how often, by whom, in what."""

from __future__ import annotations

from ..chance import random_stream
from .captions import described
from .garments import Attire
from .moves import BODY_LABELS, BodyPerformance
from .person import Person

# {side} left or right, {away} the other; what one side does, what both do.
DOES = {
    "arms_spread": ("spreads both arms", "holds the arms out to the sides", "opens the arms wide"),
    "bow": ("bows", "bends forward from the hips", "takes a bow"),
    "clap": ("claps", "claps the hands before the chest", "applauds"),
    "cross_arms": ("crosses the arms", "folds the arms on the chest"),
    "jumping_jack": ("does jumping jacks", "jumps with arms and legs apart", "does star jumps"),
    "kick": ("kicks with the {side} leg", "kicks forward", "swings the {side} foot up in a kick"),
    "knee_raise": ("lifts the {side} knee", "stands on the {away} leg and raises the {side} knee"),
    "lunge": ("lunges with the {side} leg", "makes a lunge", "steps far out with the {side} foot and sinks down"),
    "point": ("points with the {side} arm", "points at something", "stretches out the {side} arm and points"),
    "punch": ("punches with the {side} fist", "boxes", "throws a punch"),
    "reach_up": ("reaches up with both arms", "stretches upwards"),
    "shrug": ("shrugs", "raises the shoulders and turns up the palms"),
    "side_bend": ("bends to the {side}", "leans to the {side} with one arm overhead"),
    "squat": ("squats", "goes down into a squat", "bends the knees deeply"),
    "stop_signal": ("signals stop with the {side} hand", "holds out the {side} palm", "says stop with a raised hand"),
    "throw": ("throws with the {side} arm", "throws something overhand", "swings back the {side} arm and throws"),
    "walk_in_place": ("walks on the spot", "marches in place", "steps in place"),
    "wave_both": ("waves with both hands", "waves both arms"),
    "wave_left": ("waves with the left hand", "raises the left hand and waves"),
    "wave_right": ("waves with the right hand", "raises the right hand and waves"),
}
REPEATS = (
    "clap",
    "jumping_jack",
    "knee_raise",
    "punch",
    "squat",
    "walk_in_place",
    "wave_both",
    "wave_left",
    "wave_right",
)
OFTEN = {1: "once", 2: "twice", 3: "three times"}
COUNTED = ("jumping_jack", "knee_raise", "punch", "squat")
LOWER = {"trousers": "trousers", "shorts": "shorts", "skirt": "a skirt", "tights": "tights"}


def body_captions(
    person: Person, attire: Attire, label: str, performance: BodyPerformance, seed: int, take: int
) -> list[str]:
    """The label; what a person does; who does it, in what; how often or with which side."""
    rng = random_stream(seed, person.index, 82, take, BODY_LABELS.index(label))
    side = performance.side.lower()
    away = "left" if side == "right" else "right"
    does = [sentence.format(side=side, away=away) for sentence in DOES[label]]
    some = lambda: does[int(rng.integers(len(does)))]  # noqa: E731
    who = described(person, attire)
    if attire.lower == "dress":
        who = who[: who.rindex(", in ")] + ", in a dress"
    else:
        who = f"{who} and {LOWER[attire.lower]}"
    out = [label.replace("_", " "), f"a person {some()}", f"{who}, {some()}"]
    if label in COUNTED:
        out.append(f"the person {does[0]} {OFTEN[performance.times]}")
    out.append(f"from standing the person {some()}, and stands again")
    return out
