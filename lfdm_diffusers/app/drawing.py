"""What is drawn on the picture, boxes of subjects and strokes: rows of two tables, what clicks make of them, and how they look.

A row of subjects is left, top, width, height, label; one of strokes from x, from y, to x, to y, frame, radius; numbers in the picture's
pixels. Rows without any number are left out; frame and radius may be empty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import torch

from ..data.picture_fitting import over_white
from ..pipelines import Box, Stroke
from ..pipelines.videos import pixels_of
from ..visualization.fonts import legible, text_font

SUBJECT_COLUMNS = ["left", "top", "width", "height", "label"]
STROKE_COLUMNS = ["from x", "from y", "to x", "to y", "frame", "radius"]
STROKE, NEW_BOX = "a stroke", "a new box"
SHOWN = 720  # pixels of the longer side of a picture that is drawn on
COLORS = ("#2563eb", "#16a34a", "#d97706", "#9333ea", "#0891b2", "#db2777")  # of boxes
ARROW = "#e11d48"
FINE = 2  # drawn so many times as large, so that slanted lines are smooth

Table = Sequence[Sequence] | None
Point = tuple[float, float]


def subjects_in(table: Table) -> list[tuple[Box, str | None]]:
    """Boxes and labels of the table's rows.

    Raises:
        ValueError: for a row that is no box; names it.
    """
    subjects = []
    for number, (left, top, width, height, label) in _rows(table, SUBJECT_COLUMNS, "Subject", named=True):
        try:
            x, y = _number(left), _number(top)
            box = Box(x, y, x + _number(width), y + _number(height))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Subject {number} must have left, top, width and height in pixels, got {str([left, top, width, height])[:80]}."
            ) from error
        subjects.append((box, str(label or "").strip() or None))
    return subjects


def strokes_in(table: Table) -> list[Stroke]:
    """Strokes of the table's rows.

    Raises:
        ValueError: for a row that is none; names it.
    """
    strokes = []
    for number, row in _rows(table, STROKE_COLUMNS, "Stroke"):
        x, y, to_x, to_y, frame, radius = row
        try:
            points = [(_number(x), _number(y)), (_number(to_x), _number(to_y))]
            at = None if _empty(frame) else _number(frame)
            if at is not None and at != int(at):
                raise ValueError("no whole frame")
            strokes.append(
                Stroke(points, None if at is None else int(at), None if _empty(radius) else _number(radius))
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Stroke {number} must have two places in pixels, and perhaps a frame from 1 on and a radius, got {str(row)[:80]}."
            ) from error
    return strokes


def after_click(
    point: Point, what: str, pending: Point | None, subjects: Table, strokes: Table
) -> tuple[Point | None, list[list], list[list]]:
    """What a click on the picture makes of a place that waits for a second one, and of both tables.

    Args:
        point: of the click, in the picture's pixels.
        what: is drawn: `STROKE`, `NEW_BOX`, or one of `drawable`, a box that is to lie elsewhere.
        pending: of the click before, where that was a stroke's beginning or a box's corner.
        subjects, strokes: the tables' rows.
    """
    boxes = [list(row) for _, row in _rows(subjects, SUBJECT_COLUMNS, "Subject", named=True)]
    lines = [list(row) for _, row in _rows(strokes, STROKE_COLUMNS, "Stroke")]
    if pending is None:
        return point, boxes, lines
    if what == STROKE:
        return None, boxes, [*lines, [*map(round, (*pending, *point)), None, None]]
    (left, right), (top, bottom) = (sorted(map(round, both)) for both in zip(pending, point))
    sides = [left, top, right - left, bottom - top]
    place = drawable(boxes).index(what) - 2 if what in drawable(boxes) else -1
    if 0 in sides[2:]:  # the same row or column twice
        return None, boxes, lines
    if place < 0:
        return None, [*boxes, [*sides, ""]], lines
    boxes[place][:4] = sides
    return None, boxes, lines


def drawable(subjects: Table) -> list[str]:
    """What two clicks may draw, while there are these boxes."""
    count = len(_rows(subjects, SUBJECT_COLUMNS, "Subject", named=True))
    return [STROKE, NEW_BOX, *(f"box {number + 1} anew" for number in range(count))]


def small_picture(picture: torch.Tensor) -> tuple[PIL.Image.Image, float]:
    """A picture `(3 or 4, H, W)` to draw on, over white, `SHOWN` pixels a side; and how many times as large it is."""
    image = PIL.Image.fromarray(pixels_of(over_white(picture)))
    factor = SHOWN / max(image.size)
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), PIL.Image.Resampling.LANCZOS), factor


def drawn(
    picture: PIL.Image.Image,
    factor: float,
    subjects: Sequence[tuple[Box, str | None]],
    strokes: Sequence[Stroke],
    pending: Point | None = None,
    label: str | None = None,
) -> PIL.Image.Image:
    """Boxes with their labels (or that of the clip), arrows, and a first click, on a `small_picture`."""
    width, height = picture.size
    canvas = picture.resize((width * FINE, height * FINE))
    pen, scale = PIL.ImageDraw.Draw(canvas), factor * FINE
    line = max(3, round(max(canvas.size) / 220))
    for number, (box, own) in enumerate(subjects):
        color = COLORS[number % len(COLORS)]
        x, y = (np.clip(np.array(pair) * scale, 0, most - 1) for pair, most in zip(_sides(box), canvas.size))
        pen.rectangle((x[0], y[0], x[1], y[1]), outline=color, width=line)
        text = f"{number + 1}: {own or label or 'as the clip'}"
        font = text_font(max(12, round(max(canvas.size) / 32)), [text])
        text = legible(text[:40], font)
        low, high = font.getbbox(text)[1::2]
        wide = font.getlength(text) + 4 * line
        left = max(0, min(x[0], canvas.width - wide))  # a narrow box has a wider bar
        pen.rectangle((left, y[0], left + wide, y[0] + high - low + 4 * line), fill=color)
        pen.text((left + 2 * line, y[0] + 2 * line - low), text, fill="white", font=font)
    for stroke in strokes:
        _arrow(pen, [(x * scale, y * scale) for x, y in stroke.points], line)
    if pending is not None:
        _dot(pen, (pending[0] * scale, pending[1] * scale), 2.2 * line)
    return canvas.resize(picture.size, PIL.Image.Resampling.LANCZOS)


def _arrow(pen: PIL.ImageDraw.ImageDraw, points: Sequence[Point], line: int) -> None:
    """A dot where the place is, and a head where it goes."""
    *_, (x, y), (u, v) = points
    length = math.hypot(u - x, v - y)
    _dot(pen, points[0], 1.6 * line)
    if length == 0:
        return
    across, down = (u - x) / length, (v - y) / length
    head = min(5 * line, 0.7 * length)
    base = (u - across * head, v - down * head)
    for color, wider in (("white", line), (ARROW, 0)):  # light around dark is seen on every picture
        pen.line([*points[:-1], base], fill=color, width=line + wider)
        tip = (u + across * wider, v + down * wider)
        side = 0.6 * head + wider
        wings = [(base[0] + s * down * side, base[1] - s * across * side) for s in (1, -1)]
        pen.polygon([tip, *((a - across * wider / 2, b - down * wider / 2) for a, b in wings)], fill=color)


def _dot(pen: PIL.ImageDraw.ImageDraw, place: Point, radius: float) -> None:
    x, y = place
    for color, size in (("white", 1.5 * radius), (ARROW, radius)):
        pen.ellipse((x - size, y - size, x + size, y + size), fill=color)


def _sides(box: Box) -> tuple[Point, Point]:
    return (box.left, box.right), (box.top, box.bottom)


def _empty(value: Any) -> bool:
    return value is None or str(value).strip().lower() in ("", "nan")


def _number(value: Any) -> float:
    """A finite number, written or not.

    Raises:
        ValueError, TypeError: if it is none.
    """
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def _rows(table: Table, columns: Sequence[str], what: str, named: bool = False) -> list[tuple[int, list]]:
    """Rows that hold any number, each with its place in the table from 1 on; with `named` the last column holds none.

    Raises:
        ValueError: for a table of other columns.
    """
    if table is not None and not isinstance(table, (list, tuple)):
        raise ValueError(f"{what}s must be a list of rows, got {type(table).__name__}.")
    found = []
    for number, row in enumerate(table or [], 1):
        if row == []:  # of an empty table
            continue
        if not isinstance(row, (list, tuple)) or len(row) != len(columns):
            raise ValueError(f"{what} {number} must have {', '.join(columns)}, got {str(row)[:80]}.")
        if not all(_empty(value) for value in (row[:-1] if named else row)):
            found.append((number, list(row)))
    return found
