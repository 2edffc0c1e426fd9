"""The actions that sentences know, their wordings, and which wordings and pairs of actions no training set may hold.

Verbs stand in their base form, first in each phrase. {the} becomes the, her, his, their or your; {side} left or right, which
are the person's own. Wordings named `held_out` are for scoring alone.
"""

from __future__ import annotations

from typing import NamedTuple

PARTS = {
    "brows": ("the eyebrows", "the brows"), "eyes": ("the eyelids", "the lids"), "gaze": ("the gaze", "the direction of the eyes"),
    "nose": ("the nose",), "mouth": ("the mouth", "the lips"), "head": ("the head",), "face": ("the face",),
}  # fmt: skip
# Parts that an action of "face" needs beside its own; gaze and head stay free.
FACE = frozenset({"brows", "eyes", "nose", "mouth"})


class Words(NamedTuple):
    """An action in words.

    Attributes:
        part: of `PARTS`.
        sides: "both" (it has none), "either" (both sides together, or one), "one" (always left or right).
        graded: whether it can be slight or strong.
        plain, held_out: phrases for both sides.
        one, held_out_one: phrases for one side, with {side}.
        slight, strong: phrases, of both sides, that say a strength by themselves.
        held_out_slight, held_out_strong: the same.
        noun: what it is called, with its article; "" if nothing.
    """

    part: str
    sides: str
    graded: bool
    plain: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    one: tuple[str, ...] = ()
    held_out_one: tuple[str, ...] = ()
    slight: tuple[str, ...] = ()
    strong: tuple[str, ...] = ()
    held_out_slight: tuple[str, ...] = ()
    held_out_strong: tuple[str, ...] = ()
    noun: str = ""


ACTIONS: dict[str, Words] = {
    "brows_up": Words(
        "brows", "either", True,
        plain=("raise {the} eyebrows", "raise {the} brows", "lift {the} eyebrows", "pull {the} eyebrows up", "move {the} brows up", "arch {the} eyebrows", "push {the} eyebrows up"),
        held_out=("hoist {the} eyebrows", "bring {the} brows up", "elevate {the} eyebrows"),
        one=("raise {the} {side} eyebrow", "lift {the} {side} brow", "arch {the} {side} eyebrow", "pull {the} {side} eyebrow up", "move {the} {side} brow up", "raise one eyebrow, {the} {side} one"),
        held_out_one=("hoist {the} {side} eyebrow", "bring {the} {side} brow up", "elevate {the} {side} eyebrow"),
        noun="raised eyebrows",
    ),
    "brows_down": Words(
        "brows", "either", True,
        plain=("lower {the} eyebrows", "lower {the} brows", "knit {the} brows", "pull {the} eyebrows down", "draw {the} eyebrows together", "furrow {the} brow", "move {the} brows down"),
        held_out=("bring {the} brows down", "drop {the} eyebrows", "contract {the} brows"),
        one=("lower {the} {side} eyebrow", "pull {the} {side} brow down", "move {the} {side} eyebrow down", "lower {the} {side} brow"),
        held_out_one=("bring {the} {side} brow down", "drop {the} {side} eyebrow"),
        noun="lowered eyebrows",
    ),
    "eyes_close": Words(
        "eyes", "either", False,
        plain=("close {the} eyes", "shut {the} eyes", "close both eyes", "shut both eyes", "keep {the} eyes closed for a moment"),
        held_out=("let {the} eyelids fall", "have {the} eyes shut for a while", "let {the} eyes fall shut"),
        one=("wink with {the} {side} eye", "close {the} {side} eye", "shut {the} {side} eye", "wink {the} {side} eye", "give a wink with {the} {side} eye", "wink on the {side}"),
        held_out_one=("let {the} {side} eyelid fall", "do a wink of {the} {side} eye", "close one eye, the {side} one"),
        noun="closed eyes",
    ),
    "eyes_wide": Words(
        "eyes", "both", True,
        plain=("open {the} eyes wide", "widen {the} eyes", "stare with wide eyes", "make big eyes", "make {the} eyes bigger", "stare"),
        held_out=("enlarge {the} eyes", "goggle", "have {the} eyes wide open"),
        noun="wide eyes",
    ),
    "eyes_squint": Words(
        "eyes", "both", True,
        plain=("squint", "narrow {the} eyes", "squint {the} eyes", "screw up {the} eyes", "tighten {the} eyelids"),
        held_out=("peer through narrow eyes", "make {the} eyes small", "make slits of {the} eyes"),
        noun="narrowed eyes",
    ),
    "look_up": Words(
        "gaze", "both", True,
        plain=("look up", "look upwards", "turn {the} eyes up", "glance up", "raise {the} gaze", "gaze up", "look at the ceiling"),
        held_out=("cast {the} eyes up", "look towards the sky", "roll {the} eyes upwards"),
        noun="an upward look",
    ),
    "look_down": Words(
        "gaze", "both", True,
        plain=("look down", "look downwards", "turn {the} eyes down", "glance down", "lower {the} gaze", "gaze down", "look at the floor"),
        held_out=("cast {the} eyes down", "look towards the ground", "let {the} gaze sink"),
        noun="a downward look",
    ),
    "look_aside": Words(
        "gaze", "one", True,
        one=("look to the {side}", "look {side}", "turn {the} eyes to the {side}", "glance to the {side}", "glance {side}", "gaze to the {side}", "move {the} eyes to the {side}"),
        held_out_one=("cast {the} eyes to the {side}", "peek towards the {side}", "shift {the} gaze to the {side}"),
    ),
    "nose_wrinkle": Words(
        "nose", "both", True,
        plain=("wrinkle {the} nose", "crinkle {the} nose", "scrunch up {the} nose", "sneer with {the} nose"),
        held_out=("screw {the} nose up", "pucker {the} nose"),
        noun="a wrinkled nose",
    ),
    "smile": Words(
        "mouth", "either", True,
        plain=("smile", "give a smile", "show a smile", "break into a smile", "lift the corners of {the} mouth", "pull the corners of {the} mouth up", "put on a smile"),
        held_out=("curl {the} lips into a smile", "raise the corners of {the} lips", "crack a smile"),
        one=("smile with {the} {side} side of the mouth", "smile on the {side} only", "smirk on the {side}", "lift the {side} corner of {the} mouth", "pull the {side} corner of {the} mouth up", "give a lopsided smile on the {side}"),
        held_out_one=("raise the {side} corner of {the} lips", "half-smile on the {side}", "curl the {side} corner of {the} mouth up"),
        slight=("give a hint of a smile", "show a faint smile", "show the trace of a smile"),
        strong=("grin", "grin broadly", "smile broadly", "give a big smile", "smile from ear to ear", "show a wide smile"),
        held_out_slight=("give the ghost of a smile", "hint at a smile"),
        held_out_strong=("flash a huge smile", "put on a great big grin"),
        noun="a smile",
    ),
    "mouth_down": Words(
        "mouth", "either", True,
        plain=("pull the corners of {the} mouth down", "lower the corners of {the} mouth", "turn down {the} mouth", "pout with {the} mouth turned down", "let the corners of {the} mouth sink"),
        held_out=("drop the corners of {the} mouth", "bend {the} mouth downwards"),
        one=("pull the {side} corner of {the} mouth down", "lower the {side} corner of {the} mouth", "let the {side} corner of {the} mouth sink"),
        held_out_one=("drop the {side} corner of {the} mouth", "draw the {side} end of {the} mouth down"),
        noun="a mouth turned down",
    ),
    "mouth_open": Words(
        "mouth", "both", True,
        plain=("open {the} mouth", "drop {the} jaw", "let {the} mouth fall open", "part {the} lips", "say ah", "move {the} jaw down"),
        held_out=("lower {the} jaw", "have {the} mouth ajar", "let {the} jaw sink"),
        slight=("open {the} mouth a crack",),
        strong=("open {the} mouth wide", "gape", "open {the} mouth as if to shout"),
        held_out_strong=("tear {the} mouth open", "open {the} mouth to its full extent"),
        noun="an open mouth",
    ),
    "mouth_pucker": Words(
        "mouth", "both", True,
        plain=("pucker {the} lips", "purse {the} lips", "pout {the} lips for a kiss", "blow a kiss", "make a kissing mouth", "push {the} lips forward"),
        held_out=("make a kiss face", "round {the} lips as for a kiss", "form a kiss with {the} lips"),
        noun="puckered lips",
    ),
    "mouth_press": Words(
        "mouth", "both", True,
        plain=("press {the} lips together", "press {the} lips", "tighten {the} lips", "squeeze {the} lips together", "draw {the} lips in"),
        held_out=("compress {the} lips", "clamp {the} lips together"),
        noun="pressed lips",
    ),
    "bare_teeth": Words(
        "mouth", "both", True,
        plain=("bare {the} teeth", "show {the} teeth", "clench {the} teeth visibly", "stretch {the} lips to show teeth", "grit {the} teeth"),
        held_out=("expose {the} teeth", "let {the} teeth be seen"),
        noun="bared teeth",
    ),
    "nod": Words(
        "head", "both", True,
        plain=("nod", "nod {the} head", "give a nod", "nod yes", "say yes with {the} head", "move {the} head up and down"),
        held_out=("bob {the} head up and down", "signal yes with {the} head", "nod in agreement"),
        noun="a nod",
    ),
    "shake": Words(
        "head", "both", True,
        plain=("shake {the} head", "say no with {the} head", "give a shake of the head", "move {the} head from side to side", "shake {the} head no"),
        held_out=("wag {the} head from side to side", "signal no with {the} head", "shake {the} head in refusal"),
        noun="a shake of the head",
    ),
    "turn": Words(
        "head", "one", True,
        one=("turn {the} head to the {side}", "turn to the {side}", "turn {the} head {side}", "turn {the} face to the {side}", "rotate {the} head to the {side}", "move {the} head round to the {side}"),
        held_out_one=("swing {the} head to the {side}", "face to the {side}", "bring {the} head round to the {side}"),
    ),
    "tilt": Words(
        "head", "one", True,
        one=("tilt {the} head to the {side}", "tilt {the} head {side}", "lean {the} head to the {side}", "incline {the} head to the {side}", "tip {the} head to the {side}", "lay {the} head on the {side} shoulder"),
        held_out_one=("cock {the} head to the {side}", "bend {the} head over to the {side}", "let {the} head hang to the {side}"),
    ),
    "anger": Words(
        "face", "both", True,
        plain=("get angry", "be angry", "look angry", "show anger", "frown in anger", "make an angry face", "scowl", "glare"),
        held_out=("lose {the} temper", "glower", "look cross"),
        slight=("look annoyed", "be a bit cross"), strong=("look furious", "be in a rage", "get furious"),
        held_out_slight=("look irritated",), held_out_strong=("look enraged",), noun="anger",
    ),
    "disgust": Words(
        "face", "both", True,
        plain=("be disgusted", "look disgusted", "show disgust", "pull a face of disgust", "make a disgusted face", "look at something revolting", "find something yucky"),
        held_out=("be revolted", "grimace with revulsion", "look sickened"), noun="disgust",
    ),
    "fear": Words(
        "face", "both", True,
        plain=("get scared", "be afraid", "look frightened", "show fear", "look scared", "make a frightened face", "be frightened"),
        held_out=("look fearful", "take fright", "be full of dread"),
        slight=("look worried",), strong=("be terrified", "look horrified"), held_out_strong=("look panic-stricken",), noun="fear",
    ),
    "happiness": Words(
        "face", "both", True,
        plain=("be happy", "look happy", "smile with joy", "show happiness", "smile happily", "beam with joy", "make a happy face", "be glad"),
        held_out=("look joyful", "be delighted", "look cheerful"),
        slight=("look content", "be amused"), strong=("laugh", "burst out laughing", "be overjoyed", "laugh out loud"),
        held_out_slight=("look pleased",), held_out_strong=("roar with laughter", "crack up laughing"), noun="happiness",
    ),
    "sadness": Words(
        "face", "both", True,
        plain=("get sad", "be sad", "look sad", "look unhappy", "show sadness", "make a sad face", "be about to cry"),
        held_out=("look sorrowful", "be gloomy", "look downcast"),
        slight=("look disappointed",), strong=("be heartbroken", "look miserable"), held_out_strong=("be grief-stricken",), noun="sadness",
    ),
    "surprise": Words(
        "face", "both", True,
        plain=("be surprised", "look surprised", "show surprise", "look astonished", "make a surprised face", "be amazed"),
        held_out=("be taken aback", "look startled", "be dumbfounded"),
        strong=("be stunned", "look shocked with amazement"), held_out_strong=("look thunderstruck",), noun="surprise",
    ),
}  # fmt: skip
# Each action with each of its sides.
SIDES = {"both": ("",), "either": ("", "left", "right"), "one": ("left", "right")}
SLOTS = tuple((name, side) for name, words in ACTIONS.items() for side in SIDES[words.sides])

# Pairs that no training clip holds, together or one after the other: for scoring alone.
HELD_OUT_PAIRS = frozenset(
    frozenset(pair)
    for pair in (
        ("brows_up", "mouth_pucker"), ("brows_up", "nod"), ("brows_down", "bare_teeth"), ("eyes_close", "smile"),
        ("eyes_wide", "mouth_press"), ("look_up", "mouth_open"), ("look_aside", "smile"), ("tilt", "smile"),
        ("turn", "brows_up"), ("shake", "mouth_down"), ("look_down", "sadness"), ("look_up", "happiness"),
        ("nod", "happiness"), ("tilt", "surprise"), ("eyes_squint", "nose_wrinkle"), ("turn", "anger"),
    )
)  # fmt: skip

# How much, before the verb or behind the phrase.
ADVERBS = {
    "slight": (("slightly", "barely", "gently"), ("slightly", "a little", "a bit", "just a little", "a tiny bit", "only a little")),
    "strong": (("strongly", "really"), ("strongly", "very much", "a lot", "as far as possible", "with all might", "very strongly")),
}  # fmt: skip
HELD_OUT_ADVERBS = {
    "slight": (("faintly", "subtly"), ("a touch", "ever so slightly", "by a small amount")),
    "strong": (("intensely", "vigorously"), ("to an extreme degree", "to the utmost", "as much as one can")),
}
# Before an adjective, of an expression of the whole face.
DEGREES = {"slight": ("slightly", "a bit", "a little"), "strong": ("very", "really", "so")}
HELD_OUT_DEGREES = {"slight": ("mildly", "somewhat"), "strong": ("extremely", "terribly")}

WHO = ("", "", "", "the person", "a person", "she", "he", "the woman", "the man", "someone", "the face", "a toon face", "this person")  # fmt: skip
HELD_OUT_WHO = ("somebody", "the character", "our friend")

# {a} and {b} are what is said, in whatever form, {a_ing} a gerund, {a_base} the base form. In sequences a comes first in time, however it is said.
TOGETHER = ("{a} and {b}", "{a} while {b_ing}", "{a} and {b} at the same time", "{a}, {b_ing} at the same time", "while {b_ing}, {a}", "{a} and also {b}")  # fmt: skip
HELD_OUT_TOGETHER = ("{a}, and simultaneously {b}", "both {a} and {b}", "{a}, all the while {b_ing}")
SEQUENCE = ("{a}, then {b}", "{a} and then {b}", "first {a}, then {b}", "{a}, and after that {b}", "{a} before {b_ing}", "after {a_ing}, {b}", "{b} after {a_ing}", "before {b_ing}, {a}", "at first {a}, later {b}")  # fmt: skip
HELD_OUT_SEQUENCE = ("{a}; next, {b}", "begins by {a_ing} and ends by {b_ing}", "{a}, followed by {b_ing}", "{b}, but only once done with {a_ing}", "{a}, and subsequently {b}")  # fmt: skip
WITHOUT = (
    "{a} without {b_ing}",
    "without {b_ing}, {a}",
    "{a} but does not {b_base}",
    "{a} and does not {b_base}",
    "{a}, not {b_ing}",
)
HELD_OUT_WITHOUT = ("{a}, yet never {b}", "{a}, while taking care not to {b_base}", "{a} instead of {b_ing}")
PART_STILL = ("{a} without moving {part}", "without moving {part}, {a}", "{a} and keeps {part} still", "{a}, but {part} does not move")  # fmt: skip
HELD_OUT_PART_STILL = ("{a}, leaving {part} as it is", "{a} with {part} motionless")
NOTHING = ("not move", "not move at all", "stay still", "keep still", "keep a neutral face", "hold still", "look on calmly", "show no emotion", "remain motionless", "do nothing", "stay calm", "keep a straight face", "be neutral")  # fmt: skip
HELD_OUT_NOTHING = ("sit like a statue", "be as still as a stone", "stay put without any movement", "show no reaction", "stay expressionless")  # fmt: skip
NOT_DOING = (
    "does not {b_base}",
    "is not {b_ing}",
    "never {b}",
    "stays still without {b_ing}",
    "does not {b_base} at all",
)
HELD_OUT_NOT_DOING = ("refuses to {b_base}", "avoids {b_ing}", "in no way {b}")
# Words of templates that follow the subject: of whom it is said, and as an order.
AGREEMENT = {"does not": "do not", "is not": "do not be", "begins": "begin", "ends": "end", "keeps": "keep", "stays": "stay", "refuses": "refuse", "avoids": "avoid"}  # fmt: skip
FORMS = {
    "third": 0.8,
    "base": 0.13,
    "ing": 0.07,
}  # "raises the eyebrows", "raise the eyebrows", "raising the eyebrows"
