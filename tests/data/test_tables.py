"""Tables of labels as people, Excel and the Hub write them: each label read, or one sentence with file and line."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import pytest

from lfdm_diffusers.data import tables
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.scan import ScanReport

pytestmark = pytest.mark.fast


def labels(folder: Path, table: str | bytes, name: str = "metadata.csv") -> list[tuple[str, str]]:
    """The clips (relative paths) and labels that a table gives."""
    (folder / name).write_bytes(table if isinstance(table, bytes) else table.encode())
    return [(clip.path.relative_to(folder).as_posix(), clip.label) for clip in find_clips(folder)]


HAPPY_SAD = [("a.mp4", "happy"), ("b.mp4", "sad")]
READ_RIGHTLY = {
    "blanks": "file_name, label\na.mp4, happy \nb.mp4 , sad\n",
    "capitals": "File_Name,Label\na.mp4,happy\nb.mp4,sad\n",
    "text": "file_name,text\na.mp4,happy\nb.mp4,sad\n",
    "the Hub's caption": "file_name,caption\na.mp4,happy\nb.mp4,sad\n",
    "the Hub's prompt": "file_name,prompt\na.mp4,happy\nb.mp4,sad\n",
    "blank rows": "file_name,label\n\na.mp4,happy\n,\nb.mp4,sad\n",
    "commas at the end": "file_name,label,\na.mp4,happy,\nb.mp4,sad,,\n",
    "semicolons": "file_name;label\na.mp4;happy\nb.mp4;sad\n",
    "tabs": "file_name\tlabel\na.mp4\thappy\nb.mp4\tsad\n",
    "several lines in a cell": 'file_name,label\na.mp4," happy\n"\nb.mp4,sad\n',
    "blanks of no width": "file_name,\u200blabel\na.mp4,happy\nb.mp4,sad\n",
    "two marks": "\ufeff\ufefffile_name,label\na.mp4,happy\nb.mp4,sad\n",
    "quotes": '"file_name", "label"\n"a.mp4", "happy"\n"b.mp4", "sad"\n',
    "an old Mac": "file_name,label\ra.mp4,happy\rb.mp4,sad\r",
    "a mark of UTF-8": "\ufefffile_name,label\na.mp4,happy\nb.mp4,sad\n",
    "UTF-16": "file_name,label\na.mp4,happy\nb.mp4,sad\n".encode("utf-16"),
    "UTF-16, the other end first": "\ufefffile_name,label\na.mp4,happy\nb.mp4,sad\n".encode("utf-16-be"),
}


@pytest.mark.parametrize("table", READ_RIGHTLY.values(), ids=READ_RIGHTLY)
def test_labels_are_read_rightly(tmp_path, table):
    assert labels(tmp_path, table) == HAPPY_SAD


def test_json_is_read_by_the_same_rules(tmp_path):
    rows = [{" File_Name ": "a.mp4 ", "Label": None, "caption": " happy"}, {"file_name": "b.mp4", "label": ["sad"]}]
    assert labels(tmp_path, "\n".join(map(json.dumps, rows)), "metadata.jsonl") == HAPPY_SAD
    assert labels(tmp_path, '{"file_name": "a.mp4", "label": NaN}', "metadata.jsonl") == [("a.mp4", "")]
    assert labels(tmp_path, '{"file_name": "a.mp4", "label": "\\ud83d"}', "metadata.jsonl") == [("a.mp4", r"\ud83d")]


REFUSED = {
    "file_name,label\na.mp4,happy, smiling\n": "line 2: the row has 3 cells, more than the 2",
    "file_name,label\n,sad\n": "line 2: every row must have a `file_name`",
    "name,label\na.mp4,sad\n": "line 1: the header must name a column `file_name`, got name, label",
    "na\x1b[31mme,label\na.mp4,sad\n": r"line 1: the header must name a column `file_name`, got na\x1b[31mme, label",
    "file_name,a\x1bb,A\x1bB\na.mp4,x,y\n": r"line 1: there are two columns `a\x1bb`",
    "file_name,label,Label\na.mp4,sad,x\n": "line 1: there are two columns `label`",
    'file_name,label\na.mp4,"happy\nb.mp4,sad\n': "line 3: no row of a table",
    f"file_name,label\na.mp4,{'x' * 200_000}\n": "line 2: no row of a table",
    "file_name,label\na.mp4,ha\0ppy\n": "line 2: holds zero bytes",
    "file_name,label\n": "has no rows",
    "file_name,label\n/etc/passwd,x\n": "line 2: `file_name` must lie in",
    "file_name,label\nsub/../../x.mp4,x\n": "line 2: `file_name` must lie in",
    "file_name,label\n..\\x.mp4,x\n": "line 2: `file_name` must lie in",
    "file_name,label\n.,x\n": "line 2: `file_name` must lie in",
}  # fmt: skip


@pytest.mark.parametrize("table", REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_read_rightly_is_one_sentence(tmp_path, table):
    with pytest.raises(ValueError) as caught:
        labels(tmp_path, table)
    assert f"{tmp_path / 'metadata.csv'}" in str(caught.value) and REFUSED[table] in str(caught.value)


@pytest.mark.parametrize(
    "row, message",
    [
        ('{"file_name": "a.mp4", "label": ["happy", "smiling"]}', "line 1: `label` must be one text"),
        ('{"file_name": "a.mp4", "label": {"en": "happy"}}', "line 1: `label` must be one text"),
        ('{"file_name": ["a.mp4", "b.mp4"]}', "line 1: `file_name` must be one text"),
        (f'{{"file_name": {"[" * 100_000}', "line 1: not a JSON object"),
        (f'{{"file_name": "a.mp4", "label": {"9" * 5000}}}', "line 1: not a JSON object"),
        ('"\x1b[31m"', r"line 1: not a JSON object"),
        ("[1, 2]", r"line 1: must be a JSON object, got \[1, 2\]"),
    ],
    ids=range(7),
)
def test_a_json_row_that_is_no_clip_is_one_sentence(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        labels(tmp_path, row, "metadata.jsonl")


def test_encodings_are_read_as_words_or_refused(tmp_path):
    for words in ("héros", "fröhlich… „sehr“", "à la crème", "Öl", "FRÖHLICH"):
        table = f"file_name,label\na.mp4,{words}\n".encode("cp1252")
        assert labels(tmp_path, table) == [("a.mp4", words)]
        (note,) = find_clips(tmp_path).notes
        assert "metadata.csv" in note and f"line 2 is 'a.mp4,{words}'" in note
    for encoding, words in {
        "gbk": "高兴", "big5": "高興", "shift_jis": "カタカナ", "euc-kr": "행복", "cp1251": "радость", "koi8-r": "радость",
        "cp1253": "χαρά", "mac-roman": "héros", "utf-16-le": "é",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=r"metadata\.csv, line 2: (not UTF-8 text|holds zero bytes)"):
            labels(tmp_path, f"file_name,label\na.mp4,{words}\n".encode(encoding))


def test_names_lead_to_the_clips_that_are_there(tmp_path):
    (tmp_path / "sub").mkdir()
    there = ["a.mp4", "sub/b.mp4", unicodedata.normalize("NFD", "é.mp4")]
    for name in there:
        (tmp_path / name).touch()
    for written, path in zip((f"{tmp_path}/a.mp4", "sub\\b.mp4", "é.mp4", "sub/../a.mp4"), [*there, "a.mp4"]):
        assert labels(tmp_path, f"file_name,label\n{written},happy\n") == [(path, "happy")]
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    linked = find_clips(tmp_path / "link")  # another name of the same folder
    assert [clip.path for clip in linked] == [tmp_path / "link" / "a.mp4"]
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{tmp_path}/a.mp4,happy\n")
    assert [clip.path for clip in find_clips(tmp_path / "link")] == [tmp_path / "link" / "a.mp4"]
    (tmp_path / "metadata.csv").rename(tmp_path / "Metadata.CSV")
    assert [clip.label for clip in find_clips(tmp_path)] == ["happy"]


def test_clips_without_labels_are_counted_aloud(tmp_path):
    assert labels(tmp_path, "file_name,emotion\na.mp4,happy\n") == [("a.mp4", "")]
    (note,) = find_clips(tmp_path, split=None).notes
    assert "no column label, text, caption or prompt, only file_name, emotion: its clips have no label" in note
    report = ScanReport([Clip("a.mp4", "happy", num_frames=2), Clip("b.mp4", num_frames=2)], [], [note])
    assert note in str(report) and "1 of 2 clips have a label." in str(report)


def test_a_cell_of_several_lines_is_one_label(tmp_path):
    assert labels(tmp_path, 'file_name,label\na.mp4,"very\n\u2028 happy"\n') == [("a.mp4", "very happy")]


def test_the_numbers_of_rows_are_no_texts(tmp_path):
    """A column without a name, as pandas writes it."""
    (tmp_path / "metadata.csv").write_text(",file_name,label\n0,a.mp4,happy\n1,b.mp4,\n")
    assert [(clip.label, clip.texts) for clip in find_clips(tmp_path)] == [("happy", ()), ("", ())]


def test_more_than_a_table_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_TEXT", 20)
    with pytest.raises(ValueError, match=r"metadata\.csv has 24 bytes, too many for a table: at most 20"):
        labels(tmp_path, "file_name,label\na.mp4,x\n")


def test_forty_thousand_columns_take_no_time(tmp_path):
    since = time.perf_counter()
    names = ",".join(map(str, range(40_000)))
    assert labels(tmp_path, f"{names},file_name,label\n{',' * 40_000}a.mp4,x\n") == [("a.mp4", "x")]
    assert time.perf_counter() - since < 5
