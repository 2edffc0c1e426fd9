"""Nothing vanishes without a word: every kind of file that is read, and the names and reasons of those that are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.features
import PIL.Image
import pytest
from clip_files import frames_of, level, told, write_clip, write_folder

from lfdm_diffusers.cli.clips import find_pictures
from lfdm_diffusers.data import left_out, picture_decoders
from lfdm_diffusers.data.clips import UnreadableClipError, read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.scan import ScanReport
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.training.clips import choose_clips

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("suffix", [".jpe", ".jfif", ".jp2", ".gif", ".avif", ".pgm"])
def test_frames_of_every_kind_of_picture(tmp_path, suffix):
    if suffix == ".avif" and not PIL.features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    formats = {".jpe": "JPEG", ".jfif": "JPEG", ".jp2": "JPEG2000", ".pgm": "PPM"}
    for index, frame in enumerate(frames_of(3)):
        (tmp_path / "wave" / "clip").mkdir(parents=True, exist_ok=True)
        picture = PIL.Image.fromarray(frame[:, :24])
        picture.save(tmp_path / "wave" / "clip" / f"{index}{suffix}", formats.get(suffix))
    (clip,) = find_clips(tmp_path)
    assert clip.path == tmp_path / "wave" / "clip" and told(read_clip(clip)) == [level(0), level(1), level(2)]


def names_of(root: Path) -> tuple[list[str], list[str]]:
    """The clips of a folder, and what else is said."""
    clips = find_clips(root)
    return [clip.path.relative_to(root).as_posix() for clip in clips], clips.notes


def test_gifs_are_clips_frames_or_previews(tmp_path):
    write_clip(tmp_path / "a" / "w" / "b.gif")
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "a" / "w" / "a.png")
    assert names_of(tmp_path / "a") == (["w/b.gif"], ["left out: w/a.png: a picture beside clips"])
    write_folder(tmp_path / "b" / "w" / "clip", frames_of(2), "{}.jpg")
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "b" / "w" / "clip" / "preview.gif")
    (tmp_path / "b" / "metadata.csv").write_text("file_name,label\nw/clip,wave\n")
    assert names_of(tmp_path / "b") == (["w/clip"], ["left out: w/clip/preview.gif: no row of the table names it"])


def test_a_data_set_that_this_package_drew_holds_nothing_else(tmp_path):
    write_toon_faces(tmp_path, 2, 1, labels=("happiness",), num_frames=2, size=16, with_flow=True, progress=False)
    clips, said = names_of(tmp_path)
    assert len(clips) == 2 and said == []


def test_the_settings_of_generated_clips_are_no_file_that_is_left_out(tmp_path):
    """But a file of that name that is something else is."""
    write_clip(tmp_path / "a.mp4")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.mp4", "label": "wave"}\n')
    (tmp_path / "settings.json").write_text('{"sampling": {}, "num_videos": 1}')
    assert names_of(tmp_path) == (["a.mp4"], [])
    for other in ('{"theme": "dark"}', "not JSON"):
        (tmp_path / "settings.json").write_text(other)
        assert names_of(tmp_path) == (["a.mp4"], ["left out: settings.json: no picture, animation or video"])


def test_every_other_file_is_named_with_its_reason(tmp_path, monkeypatch):
    write_clip(tmp_path / "w" / "x.mp4")
    write_folder(tmp_path / "j" / "f", frames_of(2))
    for name in (
        "README.md",
        "w/a.txt",
        "w/b.txt",
        "w/cover.jpg",
        "w/x.flow.npz",
        "j/f/Thumbs.db",
        ".hidden",
        "w/\x1b.h5",
    ):
        (tmp_path / name).write_text("x")
    clips, notes = names_of(tmp_path)
    assert clips == ["j/f", "w/x.mp4"]
    assert sorted(notes) == [
        r"left out: 2 files ending in .txt, w/a.txt, w/b.txt: no picture, animation or video",
        r"left out: README.md: no picture, animation or video",
        r"left out: j/f/Thumbs.db: no picture, animation or video",
        r"left out: w/\x1b.h5: no picture, animation or video",
        r"left out: w/cover.jpg: a picture beside clips",
    ]
    monkeypatch.setattr(left_out, "NAMED", 1)
    assert "left out: 2 files ending in .txt, w/a.txt, and 1 more: no" in "\n".join(find_clips(tmp_path).notes)
    train, held_out, _ = choose_clips(tmp_path, "auto", None, None)
    report = [str(ScanReport(list(clips), [], list(getattr(clips, "notes", ())))) for clips in (train, held_out)]
    assert "README.md" in report[0] and "README.md" not in report[1]  # once


def test_what_no_row_names_is_said(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.mp4", "label": "x"}')
    (tmp_path / "metadata.csv").write_text("file_name,label\nb.mp4,x\n")
    assert names_of(tmp_path)[1] == [
        "left out: b.mp4: no row of the table names it",
        "left out: metadata.csv: another table is read",
    ]


def test_a_folder_without_clips_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"holds no clips.*\nleft out: notes\.txt: no picture, animation or video"):
        find_clips(tmp_path)


def test_a_folder_of_pictures_says_what_it_holds_besides(tmp_path, capsys):
    write_folder(tmp_path, frames_of(1), "a.jfif")
    (tmp_path / "b.mov").write_text("x")
    (tmp_path / "sub").mkdir()
    assert find_pictures([str(tmp_path)]) == [tmp_path / "a.jfif"]
    assert capsys.readouterr().err == f"left out of {tmp_path}, as no pictures: b.mov, sub/\n"


def test_heic_says_what_to_do(tmp_path, monkeypatch):
    """An iPhone's picture, whatever its name."""
    monkeypatch.setattr(picture_decoders, "_reads_heif", lambda: False)
    for name in ("0.heic", "1.jpg"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
        with pytest.raises(ValueError, match=r"HEIC, as iPhones.*pip install lfdm_diffusers\[heic\]"):
            picture_decoders.require_decoder(tmp_path / name)
    with pytest.raises(UnreadableClipError, match=r"0\.heic .*HEIC"):
        read_clip(tmp_path)


def test_heic_is_read_with_its_extra(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    frames = frames_of(3)
    for index, frame in enumerate(frames):
        pillow_heif.from_pillow(PIL.Image.fromarray(frame)).save(tmp_path / f"{index}.heic", quality=-1)
    assert told(read_clip(tmp_path)) == [level(0), level(1), level(2)]


def test_hdr_is_said(tmp_path, caplog):
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "0.png")
    data = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(data[:33] + b"\0\0\0\4cICP\x09\x10\0\1" + bytes(4) + data[33:])
    picture_decoders.require_decoder(tmp_path / "0.png")
    assert "0.png is HDR (PQ)" in caplog.text
    caplog.clear()
    (tmp_path / "1.png").write_bytes(data)
    picture_decoders.require_decoder(tmp_path / "1.png")
    assert not caplog.text
