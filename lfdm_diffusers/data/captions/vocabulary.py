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


def felt(*adjectives: str) -> tuple[str, ...]:
    """What a face shows, as phrases: "be glad", "look glad", "feel glad"."""
    return tuple(f"{verb} {adjective}" for adjective in adjectives for verb in ("be", "look", "feel"))


ACTIONS: dict[str, Words] = {
    "brows_up": Words(
        "brows", "either", True,
        plain=("raise {the} eyebrows", "raise {the} brows", "lift {the} eyebrows", "pull {the} eyebrows up", "move {the} brows up", "arch {the} eyebrows", "push {the} eyebrows up", "raise both eyebrows", "raise {the} brow", "lift both brows", "let {the} eyebrows rise", "shoot {the} eyebrows up", "put {the} eyebrows up", "send {the} brows upwards"),
        held_out=("hoist {the} eyebrows", "bring {the} brows up", "elevate {the} eyebrows"),
        one=("raise {the} {side} eyebrow", "lift {the} {side} brow", "arch {the} {side} eyebrow", "pull {the} {side} eyebrow up", "move {the} {side} brow up", "raise one eyebrow, {the} {side} one", "raise {the} {side} brow", "lift {the} {side} eyebrow", "move {the} {side} eyebrow up", "arch {the} {side} brow", "push {the} {side} eyebrow up", "let {the} {side} eyebrow rise", "raise just {the} {side} eyebrow", "raise an eyebrow on the {side}", "put {the} {side} brow up"),
        held_out_one=("hoist {the} {side} eyebrow", "bring {the} {side} brow up", "elevate {the} {side} eyebrow"),
        noun="raised eyebrows",
    ),
    "brows_down": Words(
        "brows", "either", True,
        plain=("lower {the} eyebrows", "lower {the} brows", "knit {the} brows", "pull {the} eyebrows down", "draw {the} eyebrows together", "furrow {the} brow", "move {the} brows down", "frown", "push {the} eyebrows down", "pull {the} brows together", "squeeze {the} eyebrows together", "let {the} brows sink", "crease {the} brow", "put {the} eyebrows down"),
        held_out=("bring {the} brows down", "drop {the} eyebrows", "contract {the} brows"),
        one=("lower {the} {side} eyebrow", "pull {the} {side} brow down", "move {the} {side} eyebrow down", "lower {the} {side} brow", "push {the} {side} eyebrow down", "let {the} {side} brow sink", "lower just {the} {side} eyebrow", "draw {the} {side} eyebrow down", "lower the eyebrow on the {side}", "put {the} {side} brow down"),
        held_out_one=("bring {the} {side} brow down", "drop {the} {side} eyebrow"),
        noun="lowered eyebrows",
    ),
    "eyes_close": Words(
        "eyes", "either", False,
        plain=("close {the} eyes", "shut {the} eyes", "close both eyes", "shut both eyes", "keep {the} eyes closed for a moment", "let {the} eyes close", "squeeze {the} eyes shut", "keep {the} eyes shut", "lower {the} eyelids", "close {the} eyelids", "blink slowly", "rest {the} eyes", "shut {the} lids"),
        held_out=("let {the} eyelids fall", "have {the} eyes shut for a while", "let {the} eyes fall shut"),
        one=("wink with {the} {side} eye", "close {the} {side} eye", "shut {the} {side} eye", "wink {the} {side} eye", "give a wink with {the} {side} eye", "wink on the {side}", "wink {side}", "shut just {the} {side} eye", "wink using {the} {side} eye", "blink with {the} {side} eye", "close {the} {side} eyelid", "lower {the} {side} eyelid", "keep {the} {side} eye shut", "close only {the} {side} eye", "give a {side} wink"),
        held_out_one=("let {the} {side} eyelid fall", "do a wink of {the} {side} eye", "close one eye, the {side} one"),
        noun="closed eyes",
    ),
    "eyes_wide": Words(
        "eyes", "both", True,
        plain=("open {the} eyes wide", "widen {the} eyes", "stare with wide eyes", "make big eyes", "make {the} eyes bigger", "stare", "open both eyes wide", "pop {the} eyes open", "raise the upper eyelids", "let {the} eyes grow big", "let {the} eyes grow wide", "make {the} eyes large", "look wide-eyed", "stretch {the} eyes open", "expand {the} eyes", "gawk", "gaze wide-eyed", "bulge {the} eyes", "bug {the} eyes out", "magnify {the} eyes"),
        held_out=("enlarge {the} eyes", "goggle", "have {the} eyes wide open"),
        noun="wide eyes",
    ),
    "eyes_squint": Words(
        "eyes", "both", True,
        plain=("squint", "narrow {the} eyes", "squint {the} eyes", "screw up {the} eyes", "tighten {the} eyelids", "look through narrowed eyes", "pinch {the} eyes", "tense {the} eyelids", "narrow {the} lids", "look with {the} eyes half shut", "make {the} eyes narrow", "make {the} eyes tiny", "contract {the} eyes", "blink against the light", "narrow {the} eyes to a line", "close {the} eyes halfway", "let {the} eyes become narrow", "shrink {the} eyes"),
        held_out=("peer through narrow eyes", "make {the} eyes small", "make slits of {the} eyes"),
        noun="narrowed eyes",
    ),
    "look_up": Words(
        "gaze", "both", True,
        plain=("look up", "look upwards", "turn {the} eyes up", "glance up", "raise {the} gaze", "gaze up", "look at the ceiling", "look above", "lift {the} gaze", "turn {the} gaze up", "move {the} eyes up", "look overhead", "direct {the} eyes upwards", "point {the} eyes up", "gaze upwards", "let {the} eyes go up", "glance at the ceiling", "peer up", "look up at the clouds", "turn {the} eyes to heaven", "raise {the} eyes"),
        held_out=("cast {the} eyes up", "look towards the sky", "roll {the} eyes upwards"),
        noun="an upward look",
    ),
    "look_down": Words(
        "gaze", "both", True,
        plain=("look down", "look downwards", "turn {the} eyes down", "glance down", "lower {the} gaze", "gaze down", "look at the floor", "look below", "drop {the} gaze", "lower {the} eyes", "move {the} eyes down", "direct {the} eyes downwards", "point {the} eyes down", "gaze downwards", "let {the} eyes go down", "glance at the floor", "peer down", "look at the feet", "stare at the floor", "look at the earth", "sink {the} gaze"),
        held_out=("cast {the} eyes down", "look towards the ground", "let {the} gaze sink"),
        noun="a downward look",
    ),
    "look_aside": Words(
        "gaze", "one", True,
        one=("look to the {side}", "look {side}", "turn {the} eyes to the {side}", "glance to the {side}", "glance {side}", "gaze to the {side}", "move {the} eyes to the {side}", "look towards the {side}", "turn {the} gaze to the {side}", "direct {the} eyes to the {side}", "point {the} eyes {side}", "let {the} eyes go to the {side}", "let {the} eyes wander to the {side}", "glance over to the {side}", "look over to the {side}", "move {the} gaze {side}", "peer to the {side}", "look {side} with the eyes only", "peep to the {side}", "sneak a look to the {side}", "take a look to the {side}"),
        held_out_one=("cast {the} eyes to the {side}", "peek towards the {side}", "shift {the} gaze to the {side}"),
    ),
    "nose_wrinkle": Words(
        "nose", "both", True,
        plain=("wrinkle {the} nose", "crinkle {the} nose", "scrunch up {the} nose", "sneer with {the} nose", "wrinkle up {the} nose", "scrunch {the} nose", "crease {the} nose", "twitch {the} nose", "make {the} nose wrinkle", "pull {the} nose up", "squeeze {the} nose up", "curl {the} nose", "shrivel {the} nose", "fold {the} nose", "crumple {the} nose", "tighten {the} nose"),
        held_out=("screw {the} nose up", "pucker {the} nose"),
        noun="a wrinkled nose",
    ),
    "smile": Words(
        "mouth", "either", True,
        plain=("smile", "give a smile", "show a smile", "break into a smile", "lift the corners of {the} mouth", "pull the corners of {the} mouth up", "put on a smile", "make a smile", "wear a smile", "let a smile appear", "have a smile on {the} lips", "turn the corners of {the} mouth up", "draw the corners of {the} mouth up", "bring the corners of {the} mouth up", "begin to smile", "smile nicely"),
        held_out=("curl {the} lips into a smile", "raise the corners of {the} lips", "crack a smile"),
        one=("smile with {the} {side} side of the mouth", "smile on the {side} only", "smirk on the {side}", "lift the {side} corner of {the} mouth", "pull the {side} corner of {the} mouth up", "give a lopsided smile on the {side}", "smile with the {side} corner of {the} mouth", "smile only on the {side}", "smirk with the {side} side of {the} mouth", "pull up just the {side} corner of {the} mouth", "give a crooked smile on the {side}", "bring the {side} corner of {the} mouth up", "smile one-sidedly on the {side}", "turn the {side} corner of {the} mouth up", "push the {side} corner of {the} mouth up", "give a smirk on the {side}"),
        held_out_one=("raise the {side} corner of {the} lips", "half-smile on the {side}", "curl the {side} corner of {the} mouth up"),
        slight=("give a hint of a smile", "show a faint smile", "show the trace of a smile", "give a small smile", "give a weak smile", "show a tiny smile", "give a timid smile", "show a shy smile", "give the beginning of a smile", "smile almost invisibly"),
        strong=("grin", "grin broadly", "smile broadly", "give a big smile", "smile from ear to ear", "show a wide smile", "beam", "smile widely", "give a wide grin", "grin from ear to ear", "give a huge smile", "smile with the whole mouth", "show a broad grin", "smile as wide as possible"),
        held_out_slight=("give the ghost of a smile", "hint at a smile"),
        held_out_strong=("flash a huge smile", "put on a great big grin"),
        noun="a smile",
    ),
    "mouth_down": Words(
        "mouth", "either", True,
        plain=("pull the corners of {the} mouth down", "lower the corners of {the} mouth", "turn down {the} mouth", "pout with {the} mouth turned down", "let the corners of {the} mouth sink", "draw the corners of {the} mouth down", "bring the corners of {the} mouth down", "push the corners of {the} mouth down", "pull {the} mouth down", "let {the} mouth droop", "curve {the} mouth down", "make a downturned mouth", "let the corners of {the} mouth hang", "turn the corners of {the} mouth down", "pull down the corners of {the} lips"),
        held_out=("drop the corners of {the} mouth", "bend {the} mouth downwards"),
        one=("pull the {side} corner of {the} mouth down", "lower the {side} corner of {the} mouth", "let the {side} corner of {the} mouth sink", "draw the {side} corner of {the} mouth down", "turn the {side} corner of {the} mouth down", "let the {side} corner of {the} mouth hang", "pull {the} mouth down on the {side}", "push down the {side} corner of {the} mouth", "bring the {side} corner of {the} mouth down", "let {the} mouth droop on the {side}"),
        held_out_one=("drop the {side} corner of {the} mouth", "draw the {side} end of {the} mouth down"),
        noun="a mouth turned down",
    ),
    "mouth_open": Words(
        "mouth", "both", True,
        plain=("open {the} mouth", "drop {the} jaw", "let {the} mouth fall open", "part {the} lips", "say ah", "move {the} jaw down", "open up {the} mouth", "open {the} lips", "let {the} jaw drop", "separate {the} lips", "pull {the} jaw down", "let {the} mouth hang open", "hold {the} mouth open", "let {the} chin drop", "have {the} mouth open", "sing ah", "open {the} jaws", "leave {the} mouth open", "have {the} lips apart"),
        held_out=("lower {the} jaw", "have {the} mouth ajar", "let {the} jaw sink"),
        slight=("open {the} mouth a crack", "open {the} lips a crack", "let {the} lips come apart a little"),
        strong=("open {the} mouth wide", "gape", "open {the} mouth as if to shout", "yawn", "shout", "scream", "open {the} mouth very wide", "open {the} mouth as wide as it goes", "let {the} jaw hang wide open"),
        held_out_strong=("tear {the} mouth open", "open {the} mouth to its full extent"),
        noun="an open mouth",
    ),
    "mouth_pucker": Words(
        "mouth", "both", True,
        plain=("pucker {the} lips", "purse {the} lips", "pout {the} lips for a kiss", "blow a kiss", "make a kissing mouth", "push {the} lips forward", "kiss", "kiss the air", "send a kiss", "give an air kiss", "make a duck face", "push {the} lips out", "stick {the} lips out", "purse {the} mouth", "make a small round mouth", "whistle", "shape {the} lips for a kiss", "make a pout of {the} lips"),
        held_out=("make a kiss face", "round {the} lips as for a kiss", "form a kiss with {the} lips"),
        noun="puckered lips",
    ),
    "mouth_press": Words(
        "mouth", "both", True,
        plain=("press {the} lips together", "press {the} lips", "tighten {the} lips", "squeeze {the} lips together", "draw {the} lips in", "press {the} mouth shut", "pinch {the} lips", "pinch {the} mouth shut", "hold {the} lips tightly together", "push {the} lips together", "seal {the} lips", "close {the} lips tightly", "make {the} lips thin", "suck {the} lips in", "bite {the} lips together", "squash {the} lips together", "clench {the} lips together", "tighten {the} mouth"),
        held_out=("compress {the} lips", "clamp {the} lips together"),
        noun="pressed lips",
    ),
    "bare_teeth": Words(
        "mouth", "both", True,
        plain=("bare {the} teeth", "show {the} teeth", "clench {the} teeth visibly", "stretch {the} lips to show teeth", "grit {the} teeth", "flash {the} teeth", "display {the} teeth", "reveal {the} teeth", "pull {the} lips back from the teeth", "snarl", "clench {the} teeth", "uncover {the} teeth", "stretch {the} lips over the teeth", "grimace with {the} teeth", "have {the} teeth seen", "lay {the} teeth bare"),
        held_out=("expose {the} teeth", "let {the} teeth be seen"),
        noun="bared teeth",
    ),
    "nod": Words(
        "head", "both", True,
        plain=("nod", "nod {the} head", "give a nod", "nod yes", "say yes with {the} head", "move {the} head up and down", "nod with {the} head", "dip {the} head", "agree with a nod", "say yes by nodding", "nod approvingly", "move {the} chin up and down", "rock {the} head up and down", "nod to say yes"),
        held_out=("bob {the} head up and down", "signal yes with {the} head", "nod in agreement"),
        noun="a nod",
    ),
    "shake": Words(
        "head", "both", True,
        plain=("shake {the} head", "say no with {the} head", "give a shake of the head", "move {the} head from side to side", "shake {the} head no", "shake {the} head as a no", "turn {the} head from side to side", "move {the} head left and right", "say no by shaking the head", "disagree by shaking the head", "rock {the} head from side to side", "deny with {the} head", "turn {the} head left and right"),
        held_out=("wag {the} head from side to side", "signal no with {the} head", "shake {the} head in refusal"),
        noun="a shake of the head",
    ),
    "turn": Words(
        "head", "one", True,
        one=("turn {the} head to the {side}", "turn to the {side}", "turn {the} head {side}", "turn {the} face to the {side}", "rotate {the} head to the {side}", "move {the} head round to the {side}", "turn {the} head towards the {side}", "turn {the} face {side}", "turn round to the {side}", "twist {the} head to the {side}", "move {the} face to the {side}", "rotate {the} face to the {side}", "spin {the} head to the {side}", "turn {the} nose to the {side}", "pivot {the} head to the {side}", "point {the} nose to the {side}", "look to the {side} with the whole head"),
        held_out_one=("swing {the} head to the {side}", "face to the {side}", "bring {the} head round to the {side}"),
    ),
    "tilt": Words(
        "head", "one", True,
        one=("tilt {the} head to the {side}", "tilt {the} head {side}", "lean {the} head to the {side}", "incline {the} head to the {side}", "tip {the} head to the {side}", "lay {the} head on the {side} shoulder", "tilt {the} head towards the {side}", "tilt {the} head over to the {side}", "lower {the} head to the {side} shoulder", "lean {the} head on the {side} shoulder", "slant {the} head to the {side}", "tip {the} head sideways to the {side}", "drop {the} head to the {side} shoulder", "slope {the} head to the {side}", "lean {the} head over to the {side}", "rest {the} head on the {side} shoulder", "angle {the} head to the {side}", "let {the} head sag to the {side}", "hold {the} head at an angle to the {side}"),
        held_out_one=("cock {the} head to the {side}", "bend {the} head over to the {side}", "let {the} head hang to the {side}"),
    ),
    "anger": Words(
        "face", "both", True,
        plain=("get angry", "be angry", "look angry", "show anger", "frown in anger", "make an angry face", "scowl", "glare", "be mad", "look mad", "get mad", "become angry", "fume", "look fierce", "be hostile", "seethe", "stare angrily", "frown angrily", "look grim", "look threatening", "look aggressive", "growl", "feel anger", "express anger", "grind {the} teeth in anger", "snap at someone", "pull an angry face", "burn with anger",
            *felt("irate", "outraged", "wrathful", "infuriated", "exasperated", "vexed", "resentful", "indignant", "bad-tempered", "sullen", "aggravated", "stern", "ferocious", "belligerent", "spiteful", "fed up"), "be in a temper", "have a temper", "be hopping mad", "be angered", "be peeved", "flare up", "be filled with anger", "look daggers at someone"),
        held_out=("lose {the} temper", "glower", "look cross"),
        slight=("look annoyed", "be a bit cross", "look displeased", "be miffed", "look grumpy", "look bothered"), strong=("look furious", "be in a rage", "get furious", "look livid", "explode with anger", "boil with anger", "be wild with fury", "look incensed"),
        held_out_slight=("look irritated",), held_out_strong=("look enraged",), noun="anger",
    ),
    "disgust": Words(
        "face", "both", True,
        plain=("be disgusted", "look disgusted", "show disgust", "pull a face of disgust", "make a disgusted face", "look at something revolting", "find something yucky", "look grossed out", "be grossed out", "feel disgust", "express disgust", "smell something bad", "smell something awful", "taste something foul", "be nauseated", "look repelled", "look repulsed", "show distaste", "find something gross", "make a yuck face", "recoil in disgust", "show loathing", "look as if something stinks", "gag", "retch", "say yuck", "say ew", "turn up {the} nose in disgust", "find it repugnant", "loathe something", "detest something", "see something rotten", "smell rotten eggs",
            *felt("nauseous", "queasy", "squeamish", "sick to the stomach", "averse to it"), "grimace with disgust", "be put off by it", "be repelled by it", "pull a disgusted grimace", "be filled with disgust"),
        held_out=("be revolted", "grimace with revulsion", "look sickened"), noun="disgust",
    ),
    "fear": Words(
        "face", "both", True,
        plain=("get scared", "be afraid", "look frightened", "show fear", "look scared", "make a frightened face", "be frightened", "look afraid", "become afraid", "feel fear", "express fear", "be scared", "get frightened", "show fright", "be alarmed", "look alarmed", "cower in fear", "be spooked", "look spooked", "tremble with fear", "look intimidated", "fear something", "see a ghost", "shrink back in fear", "quake", "shudder", "recoil in fear", "look at something frightening", "look at a monster", "freeze in fear",
            *felt("panicky", "timid", "apprehensive", "shaken", "jumpy", "dismayed", "aghast", "threatened", "horror-struck"), "be full of fear", "be filled with fear", "be in a fright", "be seized with terror"),
        held_out=("look fearful", "take fright", "be full of dread"),
        slight=("look worried", "look anxious", "look nervous", "look uneasy", "be a bit alarmed"), strong=("be terrified", "look horrified", "be petrified", "be scared to death", "look terrified", "be in terror", "be horrified"), held_out_strong=("look panic-stricken",), noun="fear",
    ),
    "happiness": Words(
        "face", "both", True,
        plain=("be happy", "look happy", "smile with joy", "show happiness", "smile happily", "beam with joy", "make a happy face", "be glad", "feel happy", "become happy", "be merry", "look merry", "be jolly", "look jolly", "be in a good mood", "look glad", "be full of joy", "show joy", "express joy", "rejoice", "be cheery", "look sunny", "chuckle", "giggle", "have fun", "light up with joy", "snicker", "grin happily", "smile and laugh", "enjoy something", "shine with happiness", "hear good news",
            *felt("joyous", "gleeful", "blissful", "radiant", "exuberant", "jubilant", "upbeat", "playful", "lighthearted", "good-humored", "tickled", "in high spirits"), "be in good spirits", "be filled with joy", "have a good time"),
        held_out=("look joyful", "be delighted", "look cheerful"),
        slight=("look content", "be amused", "look satisfied", "be quietly happy", "look amused"), strong=("laugh", "burst out laughing", "be overjoyed", "laugh out loud", "be thrilled", "be elated", "be ecstatic", "laugh loudly", "laugh heartily", "look overjoyed", "be euphoric", "shake with laughter", "break up laughing", "be in fits of laughter", "hoot with laughter"),
        held_out_slight=("look pleased",), held_out_strong=("roar with laughter", "crack up laughing"), noun="happiness",
    ),
    "sadness": Words(
        "face", "both", True,
        plain=("get sad", "be sad", "look sad", "look unhappy", "show sadness", "make a sad face", "be about to cry", "become sad", "feel sad", "be unhappy", "look glum", "be glum", "mope", "look depressed", "be depressed", "mourn", "look tearful", "look melancholy", "look dejected", "look hurt", "look upset", "be upset", "look mournful", "look crestfallen", "be down in the dumps", "lament", "sigh sadly", "sniffle", "whimper", "have tears in {the} eyes", "pull a long face", "be close to tears", "hear bad news",
            *felt("dismal", "blue", "somber", "despondent", "disheartened", "heavy-hearted", "regretful", "lonely", "woeful", "dispirited", "forlorn", "teary", "hopeless", "disconsolate", "sullen and sad"), "be low-spirited", "be filled with sadness", "be in mourning", "be cheerless", "be melancholic"),
        held_out=("look sorrowful", "be gloomy", "look downcast"),
        slight=("look disappointed", "look let down", "look wistful", "be a bit down"), strong=("be heartbroken", "look miserable", "be devastated", "weep bitterly", "be in despair", "look desolate", "sob", "cry"), held_out_strong=("be grief-stricken",), noun="sadness",
    ),
    "surprise": Words(
        "face", "both", True,
        plain=("be surprised", "look surprised", "show surprise", "look astonished", "make a surprised face", "be amazed", "look amazed", "be astonished", "show astonishment", "feel surprise", "become surprised", "get a surprise", "look baffled", "be astounded", "look astounded", "express surprise", "gasp", "gasp in surprise", "look perplexed", "marvel", "wonder at something", "say oh", "say wow", "get a shock", "jump in surprise", "be caught by surprise", "see something unexpected", "hear unexpected news",
            *felt("bewildered", "dazed", "stupefied", "staggered", "awestruck", "dumbstruck", "speechless", "nonplussed", "wonderstruck", "caught off guard"), "do a double take", "be struck with amazement", "be struck dumb", "be taken by surprise", "be caught unawares", "jump with surprise", "be confounded", "be floored"),
        held_out=("be taken aback", "look startled", "be dumbfounded"),
        strong=("be stunned", "look shocked with amazement", "be shocked", "be flabbergasted", "look stunned", "be blown away", "be speechless with surprise"), held_out_strong=("look thunderstruck",), noun="surprise",
        slight=("look puzzled", "be a bit surprised",),
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
    "slight": (
        ("slightly", "barely", "gently", "lightly", "softly", "weakly", "just barely", "delicately", "hardly"),
        ("slightly", "a little", "a bit", "just a little", "a tiny bit", "only a little", "a little bit", "only slightly", "very slightly", "lightly", "not very much", "minimally", "to a small degree", "by a hair", "marginally", "a fraction", "hardly at all", "timidly"),
    ),
    "strong": (
        ("strongly", "really", "forcefully", "powerfully", "fully", "heavily", "greatly", "violently", "energetically"),
        ("strongly", "very much", "a lot", "as far as possible", "with all might", "very strongly", "a great deal", "fully", "completely", "hard", "as strongly as possible", "to the maximum", "with full force", "enormously", "greatly", "to the limit", "all the way", "with great force", "wildly"),
    ),
}  # fmt: skip
HELD_OUT_ADVERBS = {
    "slight": (("faintly", "subtly"), ("a touch", "ever so slightly", "by a small amount")),
    "strong": (("intensely", "vigorously"), ("to an extreme degree", "to the utmost", "as much as one can")),
}
# Before an adjective, of an expression of the whole face.
DEGREES = {
    "slight": ("slightly", "a bit", "a little", "a tiny bit", "only a little", "a little bit"),
    "strong": (
        "very",
        "really",
        "so",
        "truly",
        "incredibly",
        "deeply",
        "totally",
        "completely",
        "utterly",
        "absolutely",
        "immensely",
    ),
}
HELD_OUT_DEGREES = {"slight": ("mildly", "somewhat"), "strong": ("extremely", "terribly")}

WHO = ("", "", "", "the person", "a person", "she", "he", "the woman", "the man", "someone", "the face", "a toon face", "this person", "the lady", "the guy", "the girl", "the boy", "a man", "a woman", "the child", "my friend", "the subject", "this face", "this man", "this woman", "the human", "the figure", "the one in the picture", "the person in the photo", "an old man", "a young woman", "the actor", "the kid", "the one we see", "this lady", "this guy", "our guest", "the neighbour", "my aunt", "my uncle")  # fmt: skip
HELD_OUT_WHO = ("somebody", "the character", "our friend")

# {a} and {b} are what is said, in whatever form, {a_ing} a gerund, {a_base} the base form. In sequences a comes first in time, however it is said.
TOGETHER = ("{a} and {b}", "{a} while {b_ing}", "{a} and {b} at the same time", "{a}, {b_ing} at the same time", "while {b_ing}, {a}", "{a} and also {b}", "{a}, {b_ing}", "{a}, and at the same time {b}", "{a} together with {b_ing}", "{a} as well as {b}", "{a}, also {b_ing}", "{a}, and {b} too")  # fmt: skip
HELD_OUT_TOGETHER = ("{a}, and simultaneously {b}", "both {a} and {b}", "{a}, all the while {b_ing}")
SEQUENCE = ("{a}, then {b}", "{a} and then {b}", "first {a}, then {b}", "{a}, and after that {b}", "{a} before {b_ing}", "after {a_ing}, {b}", "{b} after {a_ing}", "before {b_ing}, {a}", "at first {a}, later {b}", "{a}; then {b}", "{a}, afterwards {b}", "{a} and afterwards {b}", "{a}, and later {b}", "{a} and finally {b}", "{a}, and in the end {b}", "{a}; after that {b}", "starts by {a_ing}, then {b}", "starts with {a_ing} and finishes with {b_ing}", "{b}, but first {a}", "{b} when done {a_ing}", "when done {a_ing}, {b}", "{a}, and only then {b}", "{a}, thereafter {b}", "{a}; afterwards {b}", "{b} only after {a_ing}", "{a}, {b_ing} afterwards", "{a} as a start, then {b}", "starts out {a_ing} and winds up {b_ing}", "{a}, with {b_ing} after it", "{b}, {a_ing} beforehand", "{a} and, when that is over, {b}", "{a}, and {b} later on")  # fmt: skip
HELD_OUT_SEQUENCE = ("{a}; next, {b}", "begins by {a_ing} and ends by {b_ing}", "{a}, followed by {b_ing}", "{b}, but only once done with {a_ing}", "{a}, and subsequently {b}")  # fmt: skip
WITHOUT = (
    "{a} without {b_ing}",
    "without {b_ing}, {a}",
    "{a} but does not {b_base}",
    "{a} and does not {b_base}",
    "{a}, not {b_ing}",
    "{a}, but without {b_ing}",
    "{a}, but not {b_ing}",
    "{a}, no {b_ing}",
    "{a} and refrains from {b_ing}",
    "{a} only, without {b_ing}",
    "does not {b_base}, but {a}",
)
HELD_OUT_WITHOUT = ("{a}, yet never {b}", "{a}, while taking care not to {b_base}", "{a} instead of {b_ing}")
PART_STILL = ("{a} without moving {part}", "without moving {part}, {a}", "{a} and keeps {part} still", "{a}, but {part} does not move", "{a} with {part} still", "{a} but keeps {part} still", "{a}, {part} unmoved", "{a} with {part} at rest", "{a} only, without moving {part}")  # fmt: skip
HELD_OUT_PART_STILL = ("{a}, leaving {part} as it is", "{a} with {part} motionless")
NOTHING = ("not move", "not move at all", "stay still", "keep still", "keep a neutral face", "hold still", "look on calmly", "show no emotion", "remain motionless", "do nothing", "stay calm", "keep a straight face", "be neutral", "stay as is", "rest", "relax the face", "look neutral", "stay unmoved", "freeze", "hold the pose", "remain still", "remain calm", "sit still", "stay relaxed", "have a blank face", "look blank", "show nothing", "keep a poker face", "sit quietly", "stay the same", "stop moving", "go back to a neutral face")  # fmt: skip
HELD_OUT_NOTHING = ("sit like a statue", "be as still as a stone", "stay put without any movement", "show no reaction", "stay expressionless")  # fmt: skip
NOT_DOING = (
    "does not {b_base}",
    "is not {b_ing}",
    "never {b}",
    "stays still without {b_ing}",
    "does not {b_base} at all",
    "will not {b_base}",
    "is never {b_ing}",
    "makes no attempt to {b_base}",
    "is not {b_ing} at all",
    "does not ever {b_base}",
)
HELD_OUT_NOT_DOING = ("refuses to {b_base}", "avoids {b_ing}", "in no way {b}")
# Words of templates that follow the subject: of whom it is said, and as an order.
AGREEMENT = {"does not": "do not", "is not": "do not be", "begins": "begin", "ends": "end", "keeps": "keep", "stays": "stay", "refuses": "refuse", "avoids": "avoid", "starts": "start", "winds": "wind", "finishes": "finish", "refrains": "refrain", "makes": "make"}  # fmt: skip
FORMS = {
    "third": 0.8,
    "base": 0.13,
    "ing": 0.07,
}  # "raises the eyebrows", "raise the eyebrows", "raising the eyebrows"
