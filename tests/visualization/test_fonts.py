"""Labels in any script can be read on grids and sheets, whatever fonts there are: never boxes."""

from __future__ import annotations

import PIL.ImageFont
import pytest

from lfdm_diffusers.visualization import fonts
from lfdm_diffusers.visualization.fonts import legible, text_font
from lfdm_diffusers.visualization.text import wrap_text

pytestmark = pytest.mark.fast


@pytest.fixture
def no_fonts(monkeypatch):
    """An installation without any font but Pillow's."""
    monkeypatch.setattr(fonts, "KNOWN", ())
    monkeypatch.setattr(fonts, "_of_matplotlib", lambda: [])
    monkeypatch.setattr(fonts, "_of_fontconfig", lambda character: None)
    fonts._font.cache_clear()
    yield
    fonts._font.cache_clear()


def test_plain_letters_keep_pillows_font():
    assert text_font(13, ["happiness"]).getname() == PIL.ImageFont.load_default(13).getname()
    assert legible("happiness (left)", text_font(13)) == "happiness (left)"


def test_a_font_of_the_system_has_the_letters():
    pytest.importorskip("matplotlib")  # which brings one
    for text in ("héros", "Łódź", "радость", "χαρά", "سعادة"):
        font = text_font(13, ["happy", text])
        assert legible(text, font) == text
        assert font.getname() != PIL.ImageFont.load_default(13).getname()
    assert legible("e\u0301", text_font(13, ["é"])) == "é"


def test_a_mark_that_a_font_has_not_is_no_box():
    """Shaped, it would be a circle beside the box, which is another picture than the box alone."""
    pytest.importorskip("matplotlib")
    mark = "\u103c"  # of Burmese
    font = PIL.ImageFont.truetype(fonts._of_matplotlib()[0], 22)
    assert fonts._plain(font).layout_engine == PIL.ImageFont.Layout.BASIC
    assert not fonts._has(font, mark) and legible(mark, font).strip() == "U+103C"
    assert fonts._has(font, "\u0301") and fonts._has(font, "e")


def test_what_is_not_seen_takes_no_place():
    font = text_font(13)
    assert legible("a\tb\nc\u2028d\u00a0e", font) == "a b c d e"
    assert legible("a\ufe0fb\U000e0100\u200d", font) == "ab"


def test_without_a_font_it_is_written_in_plain_letters(no_fonts):
    written = {
        "héros enchanté": "heros enchante", "fröhlich Łódź": "frohlich Lodz", "groß": "gross", "행복": "haengbog",
        "うれしい": "uresii", "幸福": "U+5E78 U+798F", "हँ": "U+0939 U+0901", "zero\u200dwidth": "zerowidth",
    }  # fmt: skip
    for text, expected in written.items():
        font = text_font(13, [text])
        assert " ".join(legible(text, font).split()) == expected
        assert wrap_text(text, font, 1000) == expected
        assert all(fonts._has(font, character) for character in legible(text, font))
