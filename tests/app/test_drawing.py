"""Boxes and strokes on the app's picture: their tables, the clicks that fill them, and how they look."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch

from lfdm_diffusers import Box, Stroke
from lfdm_diffusers.app.drawing import (
    NEW_BOX,
    STROKE,
    after_click,
    drawable,
    drawn,
    small_picture,
    strokes_in,
    subjects_in,
)

pytestmark = pytest.mark.fast


def test_the_table_of_subjects():
    rows = [[4, 2, 40, 30, "anger"], [None, "", None, None, ""], ["50", "2", "40", "30.5", None]]
    assert subjects_in(rows) == [(Box(4, 2, 44, 32), "anger"), (Box(50, 2, 90, 32.5), None)]
    assert subjects_in(None) == subjects_in([]) == subjects_in([[]]) == []
    for bad in (
        [4, 2, -1, 30, ""],
        [4, 2, None, 30, ""],
        ["x", 2, 3, 30, ""],
        [4, 2, "inf", 30, ""],
        [10**400, 2, 3, 30, ""],
        [1, 2, 3],
        "1234a",
    ):
        with pytest.raises(ValueError, match="Subject 1 must have left, top, width"):
            subjects_in([bad])
    with pytest.raises(ValueError, match="Subjects must be a list of rows, got int"):
        subjects_in(7)


def test_the_table_of_strokes():
    rows = [[4, 2, "40", 30, None, ""], ["", None, float("nan"), "", "", ""], [1, 2, 3, 4, 8.0, "2.5"]]
    assert strokes_in(rows) == [Stroke([(4, 2), (40, 30)]), Stroke([(1, 2), (3, 4)], 8, 2.5)]
    for bad in (
        [1, 2, 3, None, 8, 2],
        [1, 2, 3, 4, 0, 2],
        [1, 2, 3, 4, 1.5, 2],
        [1, 2, 3, 4, 8, -1],
        [1, 2, 3, 4, 1e400, 1],
        [1, 2, 3, 4, 1, 10**400],
    ):
        with pytest.raises(ValueError, match="Stroke 1 must have two places in pixels"):
            strokes_in([bad])
    with pytest.raises(ValueError, match="Stroke 2 must have from x, from y"):
        strokes_in([rows[0], [1, 2]])


def test_two_clicks_make_a_stroke_or_a_box():
    pending, boxes, lines = after_click((10.4, 20), STROKE, None, [[]], None)
    assert (pending, boxes, lines) == ((10.4, 20), [], [])
    pending, boxes, lines = after_click((30, 5.6), STROKE, pending, boxes, lines)
    assert (pending, boxes, lines) == (None, [], [[10, 20, 30, 6, None, None]])
    pending, boxes, lines = after_click((50, 9), NEW_BOX, (20, 40), boxes, lines)  # any two corners
    assert (pending, boxes, len(lines)) == (None, [[20, 9, 30, 31, ""]], 1)
    assert after_click((20, 50), NEW_BOX, (20, 40), boxes, lines)[1] == boxes  # of no width


def test_a_box_is_moved_and_keeps_its_label():
    rows = [[1, 2, 3, 4, "anger"], ["", "", "", "", ""], [5, 6, 7, 8, "happiness"]]
    assert drawable(rows) == [STROKE, NEW_BOX, "box 1 anew", "box 2 anew"]
    _, boxes, _ = after_click((30, 60), "box 2 anew", (10, 20), rows, [])
    assert boxes == [[1, 2, 3, 4, "anger"], [10, 20, 20, 40, "happiness"]]
    _, boxes, _ = after_click((30, 60), "box 9 anew", (10, 20), rows, [])  # there is none any more
    assert len(boxes) == 3


def test_what_is_drawn_is_where_it_belongs():
    large = torch.cat((torch.ones(3, 720, 1440), torch.zeros(1, 720, 1440)))
    small, factor = small_picture(large)
    assert small.size == (720, 360) and factor == 0.5 and small.getpixel((5, 5)) == (255, 255, 255)
    assert np.array_equal(drawn(small, factor, [], []), small)
    boxes = [(Box(-20, 40, 400, 400), None)]  # reaches beyond the picture
    shown = np.asarray(drawn(small, factor, boxes, [Stroke([(1000, 200), (1200, 400)])], pending=(800, 600)))
    changed = (shown != 255).any(axis=2)
    assert changed[20:200, 0].all() and changed[20, :200].all() and changed[100:199, 199].all()
    assert changed[150, 550] and changed[150, 551]  # half way along the arrow
    assert changed[300, 400] and not changed[300, 420:].any()
    assert not changed[210:, :380].any() and not changed[:80, 400:].any()


def test_labels_of_boxes_are_seen():
    small, factor = small_picture(torch.ones(3, 360, 720))
    plain, named = (np.asarray(drawn(small, factor, [(Box(10, 10, 690, 350), name)], [])) for name in ("", "anger"))
    assert (plain[10:30] != named[10:30]).any() and np.array_equal(plain[60:], named[60:])
    again = drawn(small, factor, [(Box(10, 10, 690, 350), None)], [], label="anger")
    assert np.array_equal(again, named) and isinstance(again, PIL.Image.Image)
