"""Who a person is: everything that stays the same in all of their clips, drawn from (seed, subject)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ..chance import random_stream
from .draws import linear, one_of

SKIN_TONES = tuple(
    linear(tone) for tone in ("f0d2c2", "e8c0a6", "dcae8e", "cc9a76", "b98560", "9c6a48", "7a4e35", "5a3827", "40281d")
)  # from lightest to darkest
HAIR_COLOURS = {
    "black": "0d0b0a", "dark brown": "20150f", "brown": "3d2818", "light brown": "6a4a2e", "dark blond": "8a6c46",
    "blond": "b99a66", "auburn": "5c2a18", "red": "93461f", "grey": "76736f", "white": "b4b0a8", "dyed": "7a2f55",
}  # fmt: skip
IRIS_COLOURS = {
    "dark brown": "2a1a10", "brown": "4a2e18", "hazel": "6a5228", "green": "5d6e46", "blue": "5d7f9e", "grey": "7d868c",
}  # fmt: skip
PATTERNS = ("plain", "stripes", "checks", "dots", "heather", "blocks")
FABRICS = (
    "f2f0ec", "e8e4da", "1a1a1c", "26262a", "3a3d44", "6e7278", "1d2b4a", "2f4a7a", "5a86b8", "8fb3d4", "7a1f26",
    "a8322f", "c96a55", "d8a03a", "e5cf6a", "3d5a3a", "6f8a5a", "2e5e5e", "4a2f55", "8a6aa0", "c88aa0", "6b4a32", "b59a78",
    "d6c4a4",
)  # fmt: skip
# What faces differ in beside phenotype; each name without a side stands for both.
FACE_CHANGES = (
    "cheek-volume", "cheek-inner", "cheek-bones", "chin-jaw-drop", "chin-height", "chin-prominent", "chin-bones", "chin-width",
    "chin-cleft", "ear-shape-round", "ear-scale", "ear-wing", "eyebrows-trans-up", "eye-corner1-up", "eye-corner2-up",
    "eye-height2", "eye-scale", "eye-bag", "eye-epicanthus", "eye-eyefold", "forehead-temple", "forehead-trans-forward",
    "forehead-scale-vert", "head-fat", "head-scale-horiz", "head-scale-vert", "head-scale-depth", "mouth-lowerlip-height",
    "mouth-scale-horiz", "mouth-cupidsbow", "mouth-laugh-lines", "mouth-lowerlip-volume", "mouth-upperlip-volume",
    "mouth-upperlip-height", "mouth-trans-up", "mouth-philtrum-volume", "neck-double", "neck-scale-horiz", "nose-flaring",
    "nose-curve", "nose-scale-depth", "nose-scale-vert", "nose-point-width", "nose-scale-horiz", "nose-width1", "nose-width2",
    "nose-width3", "nose-trans-up", "nose-hump", "nose-nostrils-width", "nose-greek", "nose-point-up", "nose-septumangle",
    "nose-base-up", "nose-volume", "nose-nostrils-angle",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """One person. Lengths in metres, colours linear light (3,) in [0, 1], other amounts in [0, 1] if nothing else is said."""

    seed: int
    index: int
    group: str  # skin tone in words: light, medium or dark
    sex: str  # female or male
    years: str  # child, adult or elder
    phenotype: dict[str, float]
    changes: dict[str, float]
    skin: np.ndarray
    tone: float  # 0 lightest, 1 darkest
    redness: float
    blotches: float
    freckles: float
    moles: float
    wrinkles: float
    shine: float
    dark_under_eyes: float
    lip: np.ndarray
    lipstick: float
    eyeshadow: float
    hair_style: str
    hair_colour_name: str
    hair: np.ndarray
    grey: float  # share of strands that are grey
    hair_length: float
    hair_curl: float
    hair_part: float  # side of the parting, from -1 (right) to 1
    receding: float
    brow: np.ndarray
    brow_thickness: float
    brow_arch: float
    lashes: float
    beard: str  # none, stubble, moustache, goatee or full
    beard_length: float
    iris: np.ndarray
    iris_name: str
    iris_radius: float
    teeth: np.ndarray
    glasses: str  # none, thin, thick or sun
    glasses_colour: np.ndarray
    glasses_shape: tuple[float, float, float]  # half width, half height, exponent of the outline
    hat: str  # none, beanie, cap or scarf
    hat_colour: np.ndarray
    intensity: float  # of expressions, about 1
    asymmetry: float  # from -1 to 1
    tempo: float  # about 1
    liveliness: float  # of the head, about 1
    habits: dict[str, float] = field(default_factory=dict)  # which optional action units, how much

    @classmethod
    @lru_cache(maxsize=8)
    def sample(cls, seed: int, index: int) -> Person:
        """Person `index` of the population of `seed`."""
        rng = random_stream(int(seed), int(index), 11)
        uniform, chance = rng.uniform, lambda p: rng.random() < p
        male = chance(0.5)
        years = one_of(rng, {"child": 0.07, "adult": 0.70, "elder": 0.23})
        age = {"child": uniform(0.27, 0.45), "adult": uniform(0.6, 0.84), "elder": uniform(0.84, 1.0)}[years]
        main = one_of(rng, {"african": 0.3, "asian": 0.3, "caucasian": 0.4})
        ancestry = dict(zip(("african", "asian", "caucasian"), rng.dirichlet([0.5, 0.5, 0.5])))
        mix = uniform(0.0, 0.45)
        ancestry = {name: mix * share + (1 - mix) * (name == main) for name, share in ancestry.items()}
        phenotype = dict(
            gender=float(np.clip((0.92 if male else 0.06) + rng.normal(0, 0.07), 0, 1)),
            age=age,
            muscle=float(np.clip(rng.normal(0.5, 0.15), 0, 1)),
            weight=float(np.clip(rng.normal(0.52, 0.2), 0, 1)),
            height=0.5,
            proportions=float(np.clip(rng.normal(0.55, 0.15), 0, 1)),
            cupsize=0.4, firmness=0.6, **ancestry,
        )  # fmt: skip
        changes = {name: float(np.clip(rng.normal(0, 0.27 if male else 0.22), -0.75, 0.75)) for name in FACE_CHANGES}
        lopsided = float(np.clip(rng.normal(0, 0.4), -1, 1))
        tone = {"african": uniform(0.5, 1.0), "asian": uniform(0.1, 0.55), "caucasian": uniform(0.0, 0.5)}[main]
        place = tone * (len(SKIN_TONES) - 1)
        low = min(int(place), len(SKIN_TONES) - 2)
        skin = SKIN_TONES[low] + (place - low) * (SKIN_TONES[low + 1] - SKIN_TONES[low])
        skin = np.clip(skin * np.exp(rng.normal(0, [0.05, 0.035, 0.07])), 0.01, 0.9)
        dark = tone > 0.45
        elder = years == "elder"
        hair_name = one_of(
            rng,
            {"black": 5, "dark brown": 2.5, "brown": 0.4, "dyed": 0.0 if male else 0.12}
            if dark or main == "asian"
            else {
                "black": 0.6, "dark brown": 2.2, "brown": 2.2, "light brown": 1.6, "dark blond": 1.1, "blond": 1.1, "auburn": 0.5,
                "red": 0.5, "dyed": 0.0 if male else 0.2,
            },
        )  # fmt: skip
        grey = uniform(0.25, 1.0) if elder else (uniform(0, 0.2) if years == "adult" and chance(0.3) else 0.0)
        if grey > 0.75:
            hair_name = one_of(rng, {"grey": 1, "white": 1})
        hair = linear(HAIR_COLOURS[hair_name]) * np.exp(rng.normal(0, [0.12, 0.1, 0.1]))
        if male:
            styles = {
                "buzz": 2, "crop": 4, "side part": 3, "slicked back": 1.2, "curly short": 1.5, "afro": 0.3, "fringe": 1,
                "balding": 2.5 if elder else 0.5, "bald": 0.8 if elder else 0.35, "long straight": 0.3, "long wavy": 0.3, "bun": 0.2,
            }  # fmt: skip
        else:
            styles = {
                "crop": 0.8, "side part": 0.6, "curly short": 0.8, "afro": 0.4, "bob": 2.5, "long straight": 3, "long wavy": 3,
                "long curly": 1.5, "ponytail": 1.8, "bun": 1.5, "fringe": 1.0, "buzz": 0.15,
            }  # fmt: skip
        if main == "african":
            styles |= {"afro": 2.5, "buzz": 3.0 if male else 0.8, "curly short": 2.5, "side part": 0.2, "fringe": 0.1}
        style = one_of(rng, styles)
        length = {
            "buzz": uniform(0.002, 0.006), "crop": uniform(0.012, 0.035), "side part": uniform(0.045, 0.08),
            "slicked back": uniform(0.06, 0.11), "curly short": uniform(0.03, 0.06), "afro": uniform(0.035, 0.085),
            "bob": uniform(0.18, 0.26), "long straight": uniform(0.3, 0.45), "long wavy": uniform(0.28, 0.42),
            "long curly": uniform(0.2, 0.34), "ponytail": 0.2, "bun": 0.2, "fringe": uniform(0.05, 0.085),
            "balding": uniform(0.006, 0.03), "bald": 0.0015,
        }[style]  # fmt: skip
        curl = {
            "afro": 1.0,
            "long curly": uniform(0.55, 0.9),
            "curly short": uniform(0.6, 1.0),
            "long wavy": uniform(0.2, 0.45),
        }
        beard = "none"
        if male and years != "child":
            beard = one_of(rng, {"none": 5, "stubble": 3, "moustache": 0.8, "goatee": 1.0, "full": 2.0})
        lip = skin * np.array([uniform(0.8, 1.0), uniform(0.48, 0.7), uniform(0.5, 0.75)])
        makeup = not male and years != "child"
        lipstick = uniform(0.4, 0.9) if makeup and chance(0.4) else 0.0
        if lipstick:
            lip = linear(one_of(rng, dict.fromkeys(("a0283a", "b8464e", "c4657a", "7a2030", "c96a5a", "96485a"), 1)))
        iris = one_of(
            rng,
            {"dark brown": 5, "brown": 3, "hazel": 0.3}
            if dark or main == "asian"
            else {"dark brown": 1, "brown": 2, "hazel": 1.2, "green": 0.8, "blue": 2, "grey": 0.8},
        )
        hat = one_of(rng, {"none": 88, "beanie": 5, "cap": 4, "scarf": 0 if male or years == "child" else 6})
        glasses = one_of(rng, {"none": 76, "thin": 9, "thick": 12, "sun": 1.5})
        return cls(
            seed=int(seed), index=int(index), group="light" if tone < 0.3 else "medium" if tone < 0.6 else "dark",
            sex="male" if male else "female", years=years, phenotype=phenotype, changes=changes, skin=skin, tone=tone,
            redness=uniform(0.2, 1.0), blotches=uniform(0.3, 1.0),
            freckles=uniform(0.3, 1.0) if tone < 0.3 and chance(0.3) else 0.0,
            moles=uniform(0, 1), wrinkles={"child": 0.0, "adult": uniform(0.0, 0.45), "elder": uniform(0.6, 1.0)}[years],
            shine=uniform(0.25, 1.0), dark_under_eyes=uniform(0.1, 0.9), lip=lip, lipstick=lipstick,
            eyeshadow=uniform(0.2, 0.7) if makeup and chance(0.35) else 0.0, hair_style=style, hair_colour_name=hair_name,
            hair=hair, grey=grey if hair_name not in ("grey", "white") else 0.3, hair_length=length,
            hair_curl=curl.get(style, uniform(0, 0.12)), hair_part=float(rng.choice([-1, 1]) * uniform(0.1, 0.8)),
            receding=(uniform(0, 0.6) if elder else uniform(0, 0.3)) if male and years != "child" else uniform(0, 0.08),
            brow=np.minimum(hair * uniform(0.5, 1.0) + (0.0 if male else 0.012), 0.13 + 0.08 * grey), brow_thickness=uniform(0.7, 1.2) if male else uniform(0.35, 0.8),
            brow_arch=uniform(-0.2, 0.5) if male else uniform(0.1, 1.0), lashes=uniform(0.2, 0.6) if male else uniform(0.5, 1.0),
            beard=beard, beard_length=uniform(0.006, 0.014) if beard != "full" else float(rng.choice([0.008, 0.014, 0.03])),
            iris=linear(IRIS_COLOURS[iris]) * np.exp(rng.normal(0, 0.15, 3)), iris_name=iris, iris_radius=uniform(0.0056, 0.0063),
            teeth=np.array([0.72, 0.66, 0.54]) * uniform(0.75, 1.05) * np.array([1, 1, uniform(0.85, 1.1)]),
            glasses=glasses, glasses_colour=linear(one_of(rng, dict.fromkeys(("101012", "101012", "3a2416", "6a4a2a", "8a8a90", "1d2b4a", "7a1f26"), 1))),
            glasses_shape=(uniform(0.023, 0.027), uniform(0.015, 0.022), uniform(2.0, 4.5)), hat=hat,
            hat_colour=linear(FABRICS[int(rng.integers(len(FABRICS)))]), intensity=uniform(0.8, 1.2), asymmetry=lopsided,
            tempo=uniform(0.8, 1.3), liveliness=uniform(0.5, 1.5),
            habits=dict(
                teeth=uniform(0, 1), brows=uniform(0, 1), jaw=uniform(0, 1), squint=uniform(0, 1), lips=uniform(0, 1), tongue=uniform(0, 1),
            ),
        )  # fmt: skip

    @property
    def local_changes(self) -> dict[str, float]:
        """`changes` under the names of Anny, for both sides of the face, which differ a little."""
        from .figure import anny_model

        labels = anny_model().local_change_labels
        rng = random_stream(self.seed, self.index, 12)
        amounts = {}
        for label in labels:
            side, _, rest = label.partition("-") if label[:2] in ("l-", "r-") else ("", "", label)
            for name, amount in self.changes.items():
                if rest.startswith(name):
                    amounts[label] = float(np.clip(amount + (0.05 * rng.normal() if side else 0), -1, 1))
                    break
        return amounts
