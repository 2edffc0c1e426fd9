"""Words on pictures: wrapped, measured, drawn."""

from __future__ import annotations

from collections.abc import Sequence

import PIL.ImageDraw
import PIL.ImageFont

from .fonts import legible


def wrap_text(text: str, font: PIL.ImageFont.FreeTypeFont, width: float, lines: int = 3) -> str:
    """`text` with line breaks where `width` pixels are full, and an ellipsis if it takes more than `lines` lines."""
    done, line = [], ""
    for word in legible(text, font).split():
        while word:
            whole = f"{line} {word}".strip()
            if font.getlength(whole) <= width:
                line, word = whole, ""
            elif line:
                done.append(line)
                line = ""
            else:  # a word that is longer than a line
                fits = max(1, sum(font.getlength(word[: i + 1]) <= width for i in range(len(word))))
                done.append(word[:fits])
                word = word[fits:]
    done.append(line)
    if len(done) > lines:
        last = done[lines - 1]
        while last and font.getlength(last + "...") > width:
            last = last[:-1]
        done = [*done[: lines - 1], last + "..."]
    return "\n".join(done)


def text_height(texts: Sequence[str], font: PIL.ImageFont.FreeTypeFont) -> int:
    """Pixels that the tallest of `texts` takes, line by line, as `draw_text` writes it."""
    return max((text.count("\n") + 1 for text in texts), default=0) * line_height(font)


def line_height(font: PIL.ImageFont.FreeTypeFont) -> int:
    """Pixels from one line of text to the next."""
    return round(font.size * 1.25)


def draw_text(
    draw: PIL.ImageDraw.ImageDraw, x: float, y: float, text: str, font: PIL.ImageFont.FreeTypeFont, anchor: str = "l"
) -> None:
    """Write `text` below `y`, line by line; beginning at `x` ("l"), or centred on it ("m")."""
    spacing = line_height(font) - font.getbbox("A")[3]  # Pillow's lines are a capital letter and this apart
    align = {"l": "left", "m": "center"}[anchor]
    text = "\n".join(legible(line, font) for line in text.split("\n"))
    draw.multiline_text((x, y), text, "black", font, anchor=f"{anchor}a", spacing=spacing, align=align)
