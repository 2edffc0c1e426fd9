"""The published augmentations of both stages, on uint8 frames with Pillow, as the published code's libraries do.

Stage one changes the finished picture, black bars included; stage two changes the clip before it gets its bars. `degrade` is not published.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageEnhance

ENHANCERS = {
    "brightness": PIL.ImageEnhance.Brightness,
    "contrast": PIL.ImageEnhance.Contrast,
    "saturation": PIL.ImageEnhance.Color,
}


def change_colors(frames: np.ndarray, changes: Sequence[tuple[str, float]]) -> np.ndarray:
    """Apply colour changes, in their order, to every frame alike.

    Args:
        frames: (F, H, W, 3) uint8.
        changes: ("brightness" | "contrast" | "saturation", factor): 1 changes nothing, 0 gives black, the frame's
            mean grey, or grey; ("hue", turn): 0 changes nothing, 0.5 gives the opposite colours; in [-0.5, 0.5].

    Returns:
        (F, H, W, 3) uint8.
    """
    return np.stack([np.asarray(_change(PIL.Image.fromarray(frame), changes)) for frame in frames])


def _change(image: PIL.Image.Image, changes: Sequence[tuple[str, float]]) -> PIL.Image.Image:
    for name, amount in changes:
        image = _turn_hue(image, amount) if name == "hue" else ENHANCERS[name](image).enhance(amount)
    return image


def _turn_hue(image: PIL.Image.Image, turn: float) -> PIL.Image.Image:
    shift = round(turn * 255)
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    return PIL.Image.merge("HSV", (hue, saturation, value)).convert("RGB")


class PairChanges(NamedTuple):
    """How a pair of stage one is changed.

    Attributes:
        exchanged: the pictures change places in time.
        mirrored: left becomes right.
        colors: as in `change_colors`.
    """

    exchanged: bool
    mirrored: bool
    colors: list[tuple[str, float]]


def draw_pair_changes(rng: np.random.Generator, exchange: bool = True) -> PairChanges:
    """Stage one: half the pairs are swapped; of the others, half are mirrored. Both pictures then change colours alike.

    Brightness, contrast and saturation by U(0.9, 1.1), hue by U(-0.1, 0.1), in random order.

    Args:
        exchange: False leaves their order, and mirrors half of all.
    """
    exchanged = exchange and rng.random() < 0.5
    mirrored = not exchanged and rng.random() < 0.5
    changes = [(name, rng.uniform(0.9, 1.1)) for name in ENHANCERS] + [("hue", rng.uniform(-0.1, 0.1))]
    return PairChanges(exchanged, mirrored, [changes[i] for i in rng.permutation(len(changes))])


def change_pair(pair: np.ndarray, changes: PairChanges) -> np.ndarray:
    """The reference and the driving picture, (2, H, W, 3) uint8, changed."""
    if changes.exchanged:
        pair = pair[::-1]
    if changes.mirrored:
        pair = pair[:, :, ::-1]
    return change_colors(np.ascontiguousarray(pair), changes.colors)


def augment_clip(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stage two: brightness U(1 - 64/255, 1 + 64/255), contrast and saturation U(0.75, 1.25), hue U(-0.04, 0.04).

    One set of factors for the clip, in this order. No flips: labels may say left and right.

    Args:
        frames: (F, H, W, 3) uint8, without black bars, which contrast would turn grey.
    """
    ranges = (("brightness", 1, 64 / 255), ("contrast", 1, 0.25), ("saturation", 1, 0.25), ("hue", 0, 0.04))
    return change_colors(frames, [(name, rng.uniform(mid - reach, mid + reach)) for name, mid, reach in ranges])


def mirrored_sentence(text: str) -> str:
    """What a sentence says of the mirror image: left and right change places."""

    def other(found: re.Match[str]) -> str:
        side = "right" if found[0].lower() == "left" else "left"
        return side.upper() if found[0].isupper() else side.capitalize() if found[0].istitle() else side

    return re.sub(r"\b(left|right)\b", other, text, flags=re.IGNORECASE)


# Of `degrade`: the share of its pixels on a side that a picture keeps at least, the exponent that its levels get at most (or one by it),
# the deviation of its noise in levels at most, and the quality of its JPEG.
LEAST_SHARE = 0.22
MOST_GAMMA = 2.2
MOST_NOISE = 10.0
QUALITIES = 25, 90


def degrade(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture as a small, dark, noisy or hard-pressed photograph shows it: each in half of all calls, at random strength.

    The sharpness goes, then the light changes, then noise and the blocks of JPEG come, as in a camera. Nothing moves.

    Args:
        picture: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    smaller, lit, noisy, pressed = rng.random(4) < 0.5
    height, width = picture.shape[:2]
    image = PIL.Image.fromarray(picture)
    if smaller:
        share = rng.uniform(LEAST_SHARE, 1)
        size = max(1, round(share * width)), max(1, round(share * height))
        image = image.resize(size, PIL.Image.Resampling.BOX).resize((width, height), PIL.Image.Resampling.BICUBIC)
    levels = np.asarray(image, dtype=np.float64)
    if lit:
        levels = 255 * (levels / 255) ** MOST_GAMMA ** rng.uniform(-1, 1)
    if noisy:
        levels = levels + rng.normal(0, rng.uniform(0, MOST_NOISE), levels.shape)
    image = PIL.Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))
    if pressed:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(*QUALITIES)))
        image = PIL.Image.open(file)
    return np.array(image)
