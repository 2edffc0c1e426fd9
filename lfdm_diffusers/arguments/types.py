"""Types of command-line options. Each says in one sentence what it accepts when it is given something else."""

from __future__ import annotations

import argparse
import contextlib
import math
import re
from collections.abc import Callable


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """An option's `type`: a whole number from `least` to `most`."""
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            value = int(text)
            if least <= value and (most is None or value <= most):
                return value
        raise argparse.ArgumentTypeError(f"must be a whole number {limits}, got {text!r}")

    return parse


def number(least: float = -math.inf, most: float = math.inf, *, above: float = -math.inf) -> Callable[[str], float]:
    """An option's `type`: a finite number from `least` to `most`, or one of more than `above`."""
    if math.isfinite(above):
        wanted = f"a number of more than {above:g}"
    elif math.isfinite(most):
        wanted = f"a number from {least:g} to {most:g}"
    else:
        wanted = f"a number of at least {least:g}" if math.isfinite(least) else "a finite number"

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = float(text)
            if math.isfinite(value) and least <= value <= most and value > above:
                return value
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")

    return parse


def frame_size(text: str) -> str | tuple[int, int]:
    """An option's `type`: "picture", "model", or height and width as in 720x1280."""
    word = text.strip().lower()
    if word in ("picture", "model"):
        return word
    height, cross, width = word.partition("x")
    if cross and height.isdecimal() and width.isdecimal() and int(height) and int(width):
        return int(height), int(width)
    raise argparse.ArgumentTypeError(f"must be picture, model, or HEIGHTxWIDTH in pixels, got {text!r}")


def some_of(allowed: tuple[str, ...]) -> Callable[[str], list[str]]:
    """An option's `type`: a list with commas of some of `allowed`, each once, in the order given; "all" is every one."""

    def parse(text: str) -> list[str]:
        given = list(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
        if given == ["all"]:
            return list(allowed)
        if not given or set(given) - set(allowed):
            raise argparse.ArgumentTypeError(f"must be some of {','.join(allowed)} with commas, or all, got {text!r}")
        return given

    return parse


def stroke(text: str) -> tuple[list[tuple[float, float]], int | None, float | None]:
    """An option's `type`: points "X,Y X,Y ...", at least two, and perhaps "@FRAME" and "~RADIUS": the points, the frame, the radius."""
    places, *marks = re.split("(?=[@~])", text)
    with contextlib.suppress(ValueError):
        points = [[float(number) for number in word.split(",")] for word in places.split()]
        frames = [int(mark[1:]) for mark in marks if mark[0] == "@"]
        radii = [float(mark[1:]) for mark in marks if mark[0] == "~"]
        pairs = len(points) > 1 and all(len(point) == 2 and all(map(math.isfinite, point)) for point in points)
        if pairs and len(frames) < 2 and len(radii) < 2 and all(0 < radius < math.inf for radius in radii):
            return [(x, y) for x, y in points], frames[0] if frames else None, radii[0] if radii else None
    raise argparse.ArgumentTypeError(f'must be "X,Y X,Y ..." in pixels, and perhaps @FRAME and ~RADIUS, got {text!r}')


def add_limit_arguments(group: argparse._ActionsContainer, dash: str = "-") -> None:
    """How large pictures and clips may be: `--max-megapixels` and `--max-gigabytes`, or with underscores."""
    group.add_argument(
        f"--max{dash}megapixels",
        type=number(above=0),
        metavar="N",
        help="largest picture that is read, in millions of pixels; a frame of a clip has a third (default: 100)",
    )
    group.add_argument(
        f"--max{dash}gigabytes",
        type=number(above=0),
        metavar="N",
        help="most memory that the frames of one clip may take (default: 4)",
    )
