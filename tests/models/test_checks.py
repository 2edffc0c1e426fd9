"""What models say of arguments that do not fit."""

from __future__ import annotations

import re

import pytest
import torch

from lfdm_diffusers.models.checks import check_choice, check_shape, check_sides

PICTURE, CLIP = ("batch", 3, "height", "width"), ("batch", 3, "frames", "height", "width")


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 1, 4, 5)])
def test_shapes_that_fit(shape):
    check_shape("x", torch.empty(shape), PICTURE, CLIP)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 4, 5), (0, 3, 4, 5), (1, 3, 4, 0), (1, 3, 0, 4, 5)])
def test_shapes_that_do_not_fit_are_told_with_those_that_do(shape):
    message = f"`x` must have shape (batch, 3, height, width) or (batch, 3, frames, height, width), got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_shape("x", torch.empty(shape), PICTURE, CLIP)


def test_a_single_size_is_written_as_a_tuple():
    with pytest.raises(ValueError, match=r"^`rows` must have shape \(2,\), got \(3,\)\.$"):
        check_shape("rows", torch.empty(3), (2,))


@pytest.mark.parametrize(
    ("shape", "nearest"),
    [((9, 8), "height 8 or 12, width 8"), ((3, 8), "height 4, width 8"), ((8, 1), "height 8, width 4")],
)
def test_sides_that_do_not_fit_are_told_with_the_nearest(shape, nearest):
    check_sides("x", torch.empty(1, 8, 4), 4)
    message = f"`x` is {shape[0]}x{shape[1]} places (height x width), but both sides must be multiples of 4. Nearest allowed: {nearest}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_sides("x", torch.empty(1, *shape), 4, unit="places")


def test_words_that_are_not_allowed_are_told_with_those_that_are():
    check_choice("kind", "b", ("a", "b"))
    with pytest.raises(ValueError, match=r"^`kind` must be one of 'a', 'b', got 'c'\.$"):
        check_choice("kind", "c", ("a", "b"))
