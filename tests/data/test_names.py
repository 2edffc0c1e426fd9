"""Names of files that others would take for something else: colons, bytes that are not UTF-8, circles, system folders."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_files import frames_of, level, told, write_folder

from lfdm_diffusers.cli import main
from lfdm_diffusers.data import video_writing
from lfdm_diffusers.data.cache import CachedClipReader
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.data.folders import walk
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.rates import frame_rate
from lfdm_diffusers.data.scan import scan_clips
from lfdm_diffusers.data.video_writing import clip_path, write_clip
from lfdm_diffusers.files.names import printable
from lfdm_diffusers.files.whole import write_text
from lfdm_diffusers.pipelines import loading
from lfdm_diffusers.pipelines.motion_files import load_motion, save_motion
from lfdm_diffusers.visualization.clip_files import file_name

pytestmark = pytest.mark.fast

NAMES = [
    "a:1", "run:1/clip", "http:x", "pipe:1", "concat:a|b", "%03d", "-dash", "new\nline", "\x1b[31m", "é" * 120,
    os.fsdecode(b"\x83e\x83X\x83g"),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_clips_are_written_and_read_by_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # relative paths
    for format in ("mp4", "mkv", "gif", "webp", "png"):
        path = clip_path(Path(), name, format)
        write_clip(path, frames_of(3), format, 20)
        assert told(read_clip(path)) == [level(0), level(1), level(2)]
        assert frame_rate(path) == (20 if path.suffix else None)


def test_an_encoder_that_gives_up_says_so_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(video_writing.FORMATS, "mp4", replace(video_writing.FORMATS["mp4"], most=65535))
    with pytest.raises(OSError, match=r"x\.mp4 could not be written: the mp4 encoder says"):
        write_clip(tmp_path / "x.mp4", np.zeros((1, 20000, 2, 3), np.uint8), "mp4", 10)
    assert not list(tmp_path.iterdir())


def test_names_that_are_not_utf8_go_through_everything(tmp_path, monkeypatch):
    label, other = (os.fsdecode(name) for name in (b"\x83e", b"\x84e"))
    for folder in (label, other):
        write_folder(tmp_path / "data" / folder / "clip", frames_of(2))
    clips = find_clips(tmp_path / "data")
    assert [clip.label for clip in clips] == [r"\x83e", r"\x84e"]  # different labels stay different
    gone = Clip(tmp_path / "data" / label / os.fsdecode(b"\x85.mp4"))
    report = scan_clips([*clips, gone], CachedClipReader(tmp_path / "cache", 16, 16), progress=False)
    assert len(report.clips) == 2 and r"\x83e/\x85.mp4" in str(report)
    str(report).encode()
    write_text(tmp_path / "report.txt", f"of {label}")
    assert (tmp_path / "report.txt").read_text() == r"of \udc83e"
    motion = tmp_path / os.fsdecode(b"\x83.safetensors")
    save_motion(motion, torch.zeros(2, 2, 4, 4), torch.zeros(2, 1, 4, 4), {"picture": label})
    assert load_motion(motion)[2] == {"picture": r"\x83e"}


def test_a_terminal_gets_what_it_can_show(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main([]) == 2
    print("fröhlich", os.fsdecode(b"\x83e"), flush=True)
    assert terminal.buffer.getvalue() == b"fr\\xf6hlich \\udc83e\n"
    assert printable("a\x1b[31m\u202eb\nfröhlich") == r"a\x1b[31m\u202eb\x0afröhlich"


def test_circles_end_and_system_folders_are_no_data(tmp_path):
    root = tmp_path / "root"
    for name in ("wave/a", "wave/@eaDir/x/y/z/thumbs", "#recycle/b", "jump/c"):
        write_folder(root / name, frames_of(2))
    (root / "wave" / "up").symlink_to("..", target_is_directory=True)
    (root / "wave" / "above").symlink_to(tmp_path, target_is_directory=True)
    (root / "wave" / "there").symlink_to("../jump", target_is_directory=True)
    (root / "jump" / "back").symlink_to("../wave", target_is_directory=True)
    assert [clip.path.relative_to(root).as_posix() for clip in find_clips(root)] == [
        "jump/back/a", "jump/c", "wave/a", "wave/there/c",
    ]  # fmt: skip


def test_folders_that_are_linked_with_each_other_come_to_an_end(tmp_path):
    """Nine of them have 9! ways that go through none twice."""
    for one in range(9):
        write_folder(tmp_path / str(one) / "clip", frames_of(2))
        for other in range(9):
            (tmp_path / str(one) / f"to{other}").symlink_to(f"../{other}", target_is_directory=True)
    found = [path.relative_to(tmp_path).as_posix() for path, _, files in walk(tmp_path) if files]
    assert {f"{one}/to{other}/clip" for one in range(9) for other in range(9) if one != other} < set(found)
    assert {f"{one}/clip" for one in range(9)} < set(found) and len(found) <= 9 + 72 + 9


def test_names_of_outputs_fit_into_a_file_system():
    name = file_name("𠀀" * 100, set())  # four bytes each
    assert len(f"{name}-2-seed{2**62}.safetensors".encode()) <= 255 and name.startswith("𠀀𠀀")


def test_a_model_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"_class_name": "LFAE"}')
    assert loading.read_model_config("~/model") == {"_class_name": "LFAE"}
