"""Types of options: what they take, and the sentence that refuses the rest."""

import argparse

import pytest

from lfdm_diffusers.arguments.types import number, some_of, stroke, whole_number


def refusal(kind, text: str) -> str:
    with pytest.raises(argparse.ArgumentTypeError) as error:
        kind(text)
    return str(error.value)


def test_whole_numbers():
    assert [whole_number(1)("1"), whole_number(0, 3)("3")] == [1, 3]
    assert refusal(whole_number(1), "0") == "must be a whole number of at least 1, got '0'"
    assert refusal(whole_number(1, 3), "4") == "must be a whole number from 1 to 3, got '4'"
    assert refusal(whole_number(1), "1.5") == "must be a whole number of at least 1, got '1.5'"


def test_numbers():
    assert [number(0)("0"), number(0, 1)("1"), number()("-2.5"), number(above=0)("1e-9")] == [0, 1, -2.5, 1e-9]
    assert refusal(number(0), "-1") == "must be a number of at least 0, got '-1'"
    assert refusal(number(0, 1), "1.1") == "must be a number from 0 to 1, got '1.1'"
    assert refusal(number(above=0), "0") == "must be a number of more than 0, got '0'"
    assert refusal(number(), "nan") == "must be a finite number, got 'nan'"
    assert refusal(number(0), "inf") == "must be a number of at least 0, got 'inf'"


def test_lists():
    assert some_of(("gif", "mp4"))(" MP4,gif,mp4") == ["mp4", "gif"]
    assert refusal(some_of(("gif", "mp4")), "avi") == "must be some of gif,mp4 with commas, or all, got 'avi'"
    assert some_of(("gif", "mp4"))("all") == ["gif", "mp4"]
    assert refusal(some_of(("gif", "mp4")), ",") == "must be some of gif,mp4 with commas, or all, got ','"


def test_strokes():
    assert stroke("1,2 3.5,4") == ([(1, 2), (3.5, 4)], None, None)
    assert stroke(" 1,2  3,4 5,6 @ 8") == ([(1, 2), (3, 4), (5, 6)], 8, None)
    assert stroke("1,2 3,4 @8 ~2.5") == stroke("1,2 3,4~2.5@8") == ([(1, 2), (3, 4)], 8, 2.5)
    assert stroke("1,2 3,4 ~20") == ([(1, 2), (3, 4)], None, 20)
    for text in (
        "1,2", "1,2 3", "1,2 3,4,5", "1,2 3,nan", "1,2 3,4 @", "1,2 3,4 @1.5", "a,b c,d", "", "@8", "1,2 3,4 ~",
        "1,2 3,4 ~0", "1,2 3,4 ~inf", "1,2 3,4 @1 @2", "1,2 3,4 ~1 ~2", "1,2 @8 3,4",
    ):  # fmt: skip
        expected = f'must be "X,Y X,Y ..." in pixels, and perhaps @FRAME and ~RADIUS, got {text!r}'
        assert refusal(stroke, text) == expected
