"""A font that has the letters of a text: Pillow's own, else one of the system; and what is written where none has them."""

from __future__ import annotations

import functools
import importlib.util
import io
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import PIL.ImageFont

Font = PIL.ImageFont.FreeTypeFont
# Of many scripts, as Linux, Windows and macOS have them. Pillow looks for them where the system keeps its fonts.
KNOWN = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "arialuni.ttf", "Arial Unicode.ttf", "segoeui.ttf",
    "msyh.ttc", "YuGothM.ttc", "malgun.ttf", "PingFang.ttc", "AppleSDGothicNeo.ttc", "Nirmala.ttf", "seguisym.ttf",
)  # fmt: skip
NO_CHARACTER = "\U0010fffd"  # of a private plane: what a font draws for it, it draws for all that it does not have
SPELLED_OUT = ("HIRAGANA", "KATAKANA", "HANGUL")  # scripts whose characters are named by their sound


def text_font(size: int, texts: Iterable[str] = ()) -> Font:
    """The first font of this size that has all characters of `texts`, or that which has the most."""
    return _font(size, frozenset(character for text in texts for character in _shown(text)))


def legible(text: str, font: Font) -> str:
    """`text` with what `font` has not: letters without their accents, syllables by their sound, others by their number."""
    return "".join(character if _has(font, character) else _replaced(character, font) for character in _shown(text))


def _shown(text: str) -> str:
    """The characters that are drawn on one line, accents and their letters as one."""
    composed = unicodedata.normalize("NFC", text)
    shown = (character for character in composed if unicodedata.category(character) != "Cf")
    return "".join(" " if character.isspace() else character for character in shown if not _selects(character))


def _selects(character: str) -> bool:
    """Whether it only says which form of the character before is meant."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


@functools.lru_cache(maxsize=64)
def _font(size: int, characters: frozenset[str]) -> Font:
    best, most = None, -1
    for font in _fonts(size, characters):
        count = sum(_has(font, character) for character in characters)
        if count > most:
            best, most = font, count
        if count == len(characters):
            break
    return cast(Font, best)


def _fonts(size: int, characters: frozenset[str]) -> Iterator[Font]:
    """Pillow's own, which every installation has; those that are known; and what fontconfig finds for the rest."""
    default = PIL.ImageFont.load_default(size)
    yield cast(Font, default)  # the other kind has no sizes
    for name in (*KNOWN, *_of_matplotlib()):
        yield from _opened(name, size)
    missing = sorted(character for character in characters if not _has(cast(Font, default), character))
    for found in dict.fromkeys(_of_fontconfig(character) for character in missing[:20]):
        yield from _opened(found, size)


def _opened(name: str | None, size: int) -> Iterator[Font]:
    if name:
        try:
            yield PIL.ImageFont.truetype(name, size)
        except OSError:  # not here
            return


def _of_matplotlib() -> list[str]:
    """DejaVu Sans, where matplotlib is installed."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return []
    return [str(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")]


def _of_fontconfig(character: str) -> str | None:
    if shutil.which("fc-match") is None:
        return None
    command = ["fc-match", "--format=%{file}", f":charset={ord(character):x}:scalable=true"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None


def _has(font: Font, character: str) -> bool:
    if character.isspace():
        return True
    mask = _drawn(font, character)
    return mask != _drawn(font, NO_CHARACTER) and any(mask[1])


@functools.lru_cache(maxsize=4096)
def _drawn(font: Font, character: str) -> tuple[tuple[int, int], bytes]:
    mask = _plain(font).getmask(character)
    return mask.size, bytes(mask)


@functools.lru_cache(maxsize=64)
def _plain(font: Font) -> Font:
    """The font without shaping, which would put a circle below an accent that stands alone.

    `font_variant` cannot make it: to Pillow, the engine of number 0 is none that was asked for.
    """
    source = io.BytesIO(font.font_bytes) if hasattr(font, "font_bytes") else font.path
    return Font(source, font.size, font.index, font.encoding, PIL.ImageFont.Layout.BASIC)


def _replaced(character: str, font: Font) -> str:
    name = unicodedata.name(character, "")
    if name.startswith(SPELLED_OUT):
        return name.split()[-1].lower()
    plain = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    if stroked := re.match(
        "LATIN (CAPITAL|SMALL) LETTER ([A-Z]{1,2})( WITH .*)?$", name
    ):  # whose strokes are no accents
        plain = plain if plain.isascii() else stroked[2].lower() if stroked[1] == "SMALL" else stroked[2]
    if plain and plain != character and all(_has(font, part) for part in plain):
        return plain
    if character == "\u00df":
        return "ss"
    return f" U+{ord(character):04X} "
