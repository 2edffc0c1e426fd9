"""`metadata.jsonl` and `metadata.csv` -> rows, as people, Excel and the Hub write them; anything else is refused in one sentence."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..files.names import printable
from ..files.packed import Packed
from ..files.reading import MOST_TEXT, UnreadableFileError, require_plain_file
from .clips import Clip
from .labels import visible
from .splits import SPLIT_NAMES

TABLES = ("metadata.jsonl", "metadata.csv")
LABEL_COLUMNS = ("label", "text", "caption", "prompt")
# Where one text, or several that say the same in other words, may stand beside a label.
TEXT_COLUMNS = ("text", "caption", "captions", "prompt")
# The longer marks first: UTF-32's begins with UTF-16's.
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
DELIMITERS = ",;\t"  # Excel writes semicolons where the comma is the decimal sign


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        place: "file, line n", for messages.
        cells: by the column's name in small letters; cells of blanks alone, null and NaN are not among them.
        columns: all columns that the row might have.
    """

    place: str
    cells: dict[str, object]
    columns: tuple[str, ...]

    def text(self, *columns: str) -> str:
        """The first of `columns` that is given, as a text without blanks around it; "" if none is.

        Raises:
            ValueError: if it is neither a text nor a number, nor a list of one.
        """
        column = next((column for column in columns if column in self.cells), None)
        if column is None:
            return ""
        value = self.cells[column]
        if isinstance(value, list) and len(value) == 1:
            (value,) = value
        if not isinstance(value, (str, int, float)):
            raise ValueError(f"{self.place}: `{column}` must be one text, got {json.dumps(value)[:80]}.")
        return str(value).strip()

    def texts(self, *columns: str) -> tuple[str, ...]:
        """All texts of the first of `columns` that is given, each once: one, or a list of several; () if none is.

        Raises:
            ValueError: if it is neither.
        """
        column = next((column for column in columns if column in self.cells), None)
        if column is None:
            return ()
        values = self.cells[column]
        values = values if isinstance(values, list) else [values]
        if not all(isinstance(value, (str, int, float)) for value in values):
            raise ValueError(
                f"{self.place}: `{column}` must be a text or a list of texts, got {json.dumps(values)[:80]}."
            )
        return tuple(dict.fromkeys(text for text in (str(value).strip() for value in values) if text))


def find_table(folder: Path) -> Path | None:
    """The table of a folder, whatever the case of its name."""
    names = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True)}
    return next((names[name] for name in TABLES if name in names and names[name].is_file()), None)


def read_table(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a .jsonl or a .csv file with a header, and sentences about rows that may be mistakes.

    The text is UTF-8, what a byte-order mark says, or, with such a sentence, Windows-1252 where that gives words. Names of
    columns count without case and blanks; commas, semicolons or tabs part cells.

    Raises:
        ValueError: naming the file and the line that cannot be read, or if there are no rows.
    """
    text, notes = _decoded(path)
    rows = list((_csv_rows if path.suffix.lower() == ".csv" else _json_rows)(path, text))
    if not rows:
        raise ValueError(f"{printable(path)} has no rows: each names a clip by its `file_name`.")
    columns = list(dict.fromkeys(column for row in rows for column in row.columns))
    if not set(columns) & {*LABEL_COLUMNS, *TEXT_COLUMNS}:
        wanted = f"{', '.join(LABEL_COLUMNS[:-1])} or {LABEL_COLUMNS[-1]}"
        notes.append(
            f"{printable(path)} has no column {wanted}, only {printable(', '.join(columns))}: its clips have no label."
        )
    return rows, notes


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    header = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=header.count)
    # strict: a quote that is never closed would swallow all rows behind it
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    columns: tuple[str, ...] = ()
    try:
        for cells in reader:
            place = f"{printable(path)}, line {reader.line_num}"
            cells = [cell.strip() for cell in cells]
            while cells and not cells[-1]:  # a row that ends in commas
                cells.pop()
            if not cells:
                continue
            if not columns:
                columns = _columns(place, cells)
                if "file_name" not in columns:
                    raise ValueError(
                        f"{place}: the header must name a column `file_name`, got {printable(', '.join(columns))}."
                    )
                continue
            if len(cells) > len(columns):
                raise ValueError(
                    f"{place}: the row has {len(cells)} cells, more than the {len(columns)} of the header; put a text that "
                    f"holds {delimiter!r} into double quotes."
                )
            yield _row(place, dict(zip(columns, cells)), columns)
    except csv.Error as error:
        raise ValueError(f"{printable(path)}, line {reader.line_num}: no row of a table ({error}).") from error


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{printable(path)}, line {number}"
        yield json_row(line, place)


def json_row(text: str, place: str) -> Row:
    """The row that a JSON object is; `place` is for messages.

    Raises:
        ValueError: naming the place, if it is none, or if two of its names are alike.
    """
    try:
        cells = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not a JSON object: {error}.") from error
    if not isinstance(cells, dict):
        raise ValueError(f"{place}: must be a JSON object, got {printable(text.strip()[:40])}.")
    return row_of(cells, place)


def row_of(cells: Mapping[str, object], place: str) -> Row:
    """The row of some cells by their columns' names, whatever the case of those.

    Raises:
        ValueError: naming the place, if two names are alike.
    """
    columns = _columns(place, list(cells))
    return _row(place, dict(zip(columns, cells.values())), columns)


def clip_of_row(row: Row, path: Path, split: str = "", packed: Packed | None = None) -> Clip:
    """The clip that a row tells of; its `split` counts for more than the one given, which comes from where the clip lies.

    Raises:
        ValueError: naming the row, if a cell is none of what its column holds.
    """
    split = SPLIT_NAMES.get(row.text("split").lower(), row.text("split")) or split
    texts, subject = tuple(map(_in_one_line, row.texts(*TEXT_COLUMNS))), printable(row.text("subject"))
    # Several sentences are no label; a single one is, as where a data set's labels stand in `text`.
    several = "label" not in row.cells and len(texts) > 1
    label = "" if several else _in_one_line(row.text(*LABEL_COLUMNS))
    texts = () if texts == (label,) else texts
    return Clip(path, label=label, subject=subject, split=split, texts=texts, packed=packed)


def _columns(place: str, names: list[str]) -> tuple[str, ...]:
    """The names of columns as they are looked up: in small letters, without blanks and what is not seen, `File Name` as
    `file_name`."""
    columns = tuple(re.sub(r"[\s-]+", "_", visible(name).strip().casefold()) for name in names)
    if twice := next((column for column, count in Counter(columns).items() if column and count > 1), None):
        raise ValueError(f"{place}: there are two columns `{printable(twice)}`.")
    return columns


def _in_one_line(text: str) -> str:
    """A label or a sentence in printable characters; a cell of a spreadsheet may have several lines."""
    return printable(" ".join(text.split()))


def _row(place: str, cells: dict[str, object], columns: tuple[str, ...]) -> Row:
    return Row(place, {column: cell for column, cell in cells.items() if _given(cell)}, columns)


def _given(cell: object) -> bool:
    if isinstance(cell, float):
        return not math.isnan(cell)
    return cell is not None and cell != [] and not (isinstance(cell, str) and not cell.strip())


def _decoded(path: Path) -> tuple[str, list[str]]:
    size = require_plain_file(path)
    if size > MOST_TEXT:
        raise UnreadableFileError(f"{printable(path)} has {size} bytes, too many for a table: at most {MOST_TEXT}.")
    data, notes = path.read_bytes(), []
    mark, encoding = next(((mark, name) for mark, name in MARKS.items() if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        text = "" if mark else data.decode("cp1252", "replace")
        line = data[: len(mark) + error.start].count(b"\n")
        if not _western_words(text):
            raise ValueError(
                f"{printable(path)}, line {line + 1}: not {encoding.upper()} text; save the table as UTF-8 (in Excel: CSV UTF-8)."
            ) from error
        notes.append(
            f"{printable(path)} is not UTF-8 and was read as Windows-1252: line {line + 1} is {text.splitlines()[line][:80]!r}. Save it "
            "as UTF-8 if that is wrong."
        )
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(
            f"{printable(path)}, line {line}: holds zero bytes; save the table as UTF-8 (in Excel: CSV UTF-8)."
        )
    return text, notes


def _western_words(text: str) -> bool:
    """Whether letters with accents stand among plain ones, as in Western words; other encodings read as Windows-1252 give no such.

    Each word of more than one letter is in small letters but for its first, or in capitals; only letters, typographic quotes,
    dashes and the signs of money, degree and ellipsis are taken.
    """
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    letters = "".join(words)
    signs = set(text) - set(letters)
    allowed = set("\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014\u2026\u20ac\u00a3\u00b0\u00a0\u00bf\u00a1")
    return (
        bool(words)
        and all(sign.isascii() or sign in allowed for sign in signs if not sign.isalpha())
        and all("LATIN" in unicodedata.name(letter, "") for letter in letters)
        and all(word.isupper() or word[1:] == word[1:].lower() for word in words)
        and sum(letter.isascii() for letter in letters) >= len(letters) / 2
    )
