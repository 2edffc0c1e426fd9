"""The looks of toon people: every number and colour that tells one person from another, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from ..chance import random_stream
from .drawing import Colour, choose, mix, rgb, shade, uniform

SKIN_TONES = ["ffe3cc", "ffd8b8", "f7c9a2", "edb98c", "dfa674", "cf9160", "b87848", "9c6238", "875433", "6e4229"]
HAIR_COLOURS = {
    "2b2730": 5, "3d2b26": 5, "5e3f2e": 5, "86552f": 4, "a8562c": 3, "d97a35": 3, "c99a55": 3, "eecb7c": 4,
    "f1e4c6": 1.5, "9a9aa4": 2, "dfe0e4": 1.5, "e87fa6": 1, "5b83d6": 1, "49b3a4": 1, "9a6bd0": 1,
}  # fmt: skip
FAIR = ("a8562c", "d97a35", "c99a55", "eecb7c", "f1e4c6")
DYED = ("e87fa6", "5b83d6", "49b3a4", "9a6bd0")
IRIS_COLOURS = {
    "6b4326": 5, "4a2f1f": 4, "94662e": 2, "4f8f4c": 2.5, "3f86c6": 3, "6b7f93": 2, "2f9c9c": 1, "7d5bb0": 0.7,
}  # fmt: skip
CLOTHES_COLOURS = [
    "e4572e",
    "f3a712",
    "2e86ab",
    "4b5d91",
    "3fa07c",
    "d1495b",
    "7b4b94",
    "f2f2ee",
    "2f3640",
    "66b2b2",
    "f4b6c2",
    "8fb339",
]
BACKGROUNDS = ["8fd3e8", "a8dcc2", "ffd28c", "f7b7a8", "c3b5ec", "f4c2d7", "9fc3f2", "d9dc8f", "b9d7d9", "f2c6a0"]
HAIR_STYLES = {
    "crop": 2, "side_part": 3, "quiff": 2.5, "messy": 2.5, "curls": 2.5, "afro": 2, "bob": 2.5, "long": 3,
    "waves": 2.5, "bun": 2, "pigtails": 1.6, "ponytail": 2, "bald": 1, "receding": 0.8, "beanie": 1.3,
    "headscarf": 1.3, "pixie": 2, "mohawk": 0.9, "braids": 1.6, "long_curls": 2,
}  # fmt: skip
BEARDS = {"none": 1, "stubble": 0.8, "full": 1, "goatee": 0.6, "moustache": 0.8}
SOFT_STYLES = ("bob", "long", "waves", "bun", "pigtails", "ponytail", "headscarf", "pixie", "braids", "long_curls")
TALL_STYLES = ("quiff", "bun", "beanie", "afro", "mohawk")


@dataclass(frozen=True)
class ToonSubject:
    """One person's appearance and manner. Lengths in scene units (the picture is 2 wide), colours RGB in [0, 1].

    `index` and `seed` name the person; all else is drawn by `ToonSubject.sample`. Any field can be changed with
    `dataclasses.replace` to make a person of one's own.
    """

    seed: int
    index: int
    # colours
    skin: Colour
    hair: Colour
    brow: Colour
    beard_colour: Colour
    iris: Colour
    lip: Colour
    clothes: Colour
    accent: Colour
    background: Colour
    # head
    face_width: float
    face_top: float
    chin: float
    taper: float
    squareness: float
    ear_size: float
    zoom: float
    shift: float
    light: float  # -1: light from the left, 1: from the right
    # features
    eye_gap: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    eye_roundness: float
    iris_size: float
    lashes: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    nose: str
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_height: float
    lip_thickness: float
    blush: float
    freckles: float
    # extras
    hair_style: str
    beard: str
    glasses: str
    earrings: bool
    clothes_style: str
    backdrop: str
    # manner
    intensity: float
    tempo: float
    liveliness: float
    asymmetry: float
    bares_teeth: float  # anger: lips pressed (0) to teeth bared (1)

    @classmethod
    def sample(cls, seed: int, index: int) -> ToonSubject:
        """The person with this number in the population of this seed.

        Args:
            seed: population, an integer of 0 or more.
            index: number of the person, an integer of 0 or more.

        Raises:
            ValueError: if either is negative or not an integer.
        """
        for name, value in (("seed", seed), ("index", index)):
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
                raise ValueError(f"{name} must be an integer of 0 or more, got {value!r}")
        seed, index = int(seed), int(index)
        rng = random_stream(seed, index, 1)

        def u(low: float, high: float) -> float:
            return uniform(rng, low, high)

        def pick(options: list[str]) -> str:
            return options[int(u(0, len(options)))]

        skin = rgb(pick(SKIN_TONES))
        style = choose(rng, HAIR_STYLES)
        soft = style in SOFT_STYLES  # looks that rarely go with a beard and often with lashes and lipstick
        depth = 1.0 - sum(skin) / 3.0
        rarer = 0.25 if depth > 0.5 else 1.0  # fair hair on deep skin
        hair_code = choose(rng, {code: w * (rarer if code in FAIR else 1.0) for code, w in HAIR_COLOURS.items()})
        hair = rgb(hair_code)
        dyed = hair_code in DYED
        grown = rgb(pick(["3d2b26", "5e3f2e", "86552f"]))  # the hair's own colour where it is dyed
        brow = tuple(mix(shade(hair, 0.35), rgb("3a2a24"), 0.35).ravel().tolist())
        made_up = soft and u(0, 1) < 0.65
        natural_lip = tuple(
            mix(shade(skin, 0.10), rgb("c4504f"), 0.38 + 0.35 * max(depth - 0.35, 0.0)).ravel().tolist()
        )
        lipstick = rgb(pick(["d5425a", "c2334d", "e0607a", "b5485f", "d96a5b"]))
        backdrop_colour = rgb(pick(BACKGROUNDS))
        clothes = rgb(pick(CLOTHES_COLOURS))
        accent = rgb(pick(CLOTHES_COLOURS))
        beard = choose(rng, BEARDS) if (not soft and u(0, 1) < 0.5) else "none"
        return cls(
            seed=seed,
            index=index,
            skin=skin,
            hair=hair,
            brow=brow,
            beard_colour=grown if dyed else hair,
            iris=rgb(choose(rng, IRIS_COLOURS)),
            lip=lipstick if made_up else natural_lip,
            clothes=clothes,
            accent=accent if accent != clothes else shade(clothes, -0.6),
            background=backdrop_colour,
            face_width=u(0.435, 0.505),
            face_top=u(0.53, 0.57),
            chin=u(0.585, 0.655) - (0.02 if soft else 0.0),
            taper=u(0.06, 0.24) + (0.05 if soft else 0.0),
            squareness=u(2.0, 2.35) + (0.0 if soft else u(0.0, 0.35)),
            ear_size=u(0.85, 1.2),
            zoom=u(1.54, 1.65) - (0.11 if style in TALL_STYLES else 0.0),
            shift=u(-0.03, 0.03),
            light=-1.0 if u(0, 1) < 0.6 else 1.0,
            eye_gap=u(0.192, 0.218),
            eye_width=u(0.108, 0.126),
            eye_height=u(0.088, 0.116),
            eye_tilt=u(-0.012, 0.03),
            eye_roundness=u(0.0, 1.0),
            iris_size=u(0.070, 0.082),
            lashes=u(0.6, 1.0) if soft else u(0.0, 0.35),
            brow_height=u(0.185, 0.215),
            brow_thickness=u(0.019, 0.026) if soft else u(0.026, 0.038),
            brow_arch=u(0.015, 0.04),
            brow_tilt=u(-0.012, 0.02),
            nose=pick(["button", "straight", "round", "long"]),
            nose_width=u(0.85, 1.25),
            nose_length=u(0.235, 0.275),
            mouth_width=u(0.145, 0.18),
            mouth_height=u(0.405, 0.43),
            lip_thickness=u(0.75, 1.2) + (0.15 if made_up else 0.0),
            blush=u(0.15, 0.6),
            freckles=u(0.5, 1.0) if u(0, 1) < 0.22 else 0.0,
            hair_style=style,
            beard=beard,
            glasses=pick(["round", "square", "round"]) if u(0, 1) < 0.24 else "none",
            earrings=bool(soft and style != "headscarf" and u(0, 1) < 0.5),
            clothes_style=pick(["tee", "vneck", "hoodie", "collar", "turtleneck", "stripes"]),
            backdrop=pick(["plain", "disc", "hills", "dots", "rays"]),
            intensity=u(0.85, 1.12),
            tempo=u(0.85, 1.15),
            liveliness=u(0.6, 1.2),
            asymmetry=u(-1.0, 1.0),
            bares_teeth=float(u(0, 1) < 0.5),
        )
