"""Clips in tars and in rows of data sets: read where they lie, with the labels beside them."""

from __future__ import annotations

import json
import pickle
import tarfile

import numpy as np
import pytest
from clip_files import CODECS, PICTURES, write_clip
from tar_files import write_tar

from lfdm_diffusers.data.cache import CachedClipReader, ClipReader, clip_state
from lfdm_diffusers.data.clips import UnreadableClipError, count_frames, read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.scan import scan_clips

pytestmark = pytest.mark.fast


def test_every_format_gives_its_frames(tmp_path):
    files = {suffix: write_clip(tmp_path / f"clip{suffix}", 7) for suffix in (*CODECS, *PICTURES)}
    members = {f"{number:03d}{suffix}": path.read_bytes() for number, (suffix, path) in enumerate(files.items())}
    clips = find_clips(write_tar(tmp_path / "shard.tar", members))
    assert [clip.path for clip in clips] == [tmp_path / "shard.tar" / name for name in members]
    for clip, path in zip(clips, files.values()):
        whole = read_clip(path)
        np.testing.assert_array_equal(read_clip(clip), whole)
        np.testing.assert_array_equal(read_clip(clip, [6, 0]), whole[[6, 0]])
        assert count_frames(clip) == 7


def test_long_videos_are_jumped_in(tmp_path):
    path = write_clip(tmp_path / "long.mp4", 110)
    (clip,) = find_clips(write_tar(tmp_path / "shard.tar", {"a.txt": "x", "long.mp4": path.read_bytes()}), split=None)
    np.testing.assert_array_equal(read_clip(clip, [3, 100, 109]), read_clip(path)[[3, 100, 109]])


def test_labels_stand_beside_clips(tmp_path):
    clip = write_clip(tmp_path / "clip.gif", 2).read_bytes()
    told = {"label": "waving", "Subject": "anna", "split": "val", "caption": ["she waves", "a wave"]}
    write_tar(
        tmp_path / "shards" / "faces-train-000.tar",
        {
            "0001.gif": clip,
            "0001.json": json.dumps(told),
            "0002.txt": " nodding \n",
            "0002.view.gif": clip,
            "sub/0003.gif": clip,
            "sub/0003.cls": "bowing",
            "0004.jpg": b"",
        },
    )
    write_tar(tmp_path / "shards" / "test" / "7.tar", {"anna/waving/1.gif": clip, "anna/Waving/2.gif": clip})
    clips = find_clips(tmp_path / "shards")
    assert [(clip.label, clip.subject, clip.split, clip.texts) for clip in clips] == [
        ("waving", "anna", "validation", ("she waves", "a wave")),
        ("nodding", "", "train", ()),
        ("bowing", "", "train", ()),
        ("waving", "anna", "test", ()),
        ("waving", "anna", "test", ()),
    ]
    (note,) = clips.notes
    assert "left out: 1 of " in note and "0004: no animation or video among its files" in note
    assert [clip.label for clip in find_clips(tmp_path / "shards" / "faces-{train,train}-{000..000}.tar")[:3]]


@pytest.mark.parametrize(
    "members,told",
    [
        ({"a.gif": b"", "a.json": "[1]"}, r"shard\.tar, a\.json: must be a JSON object, got \[1\]"),
        ({"a.gif": b"", "a.txt": b"\xff\xfe\xfd"}, r"shard\.tar, a\.txt: not UTF-8 text"),
        ({"a.gif": b"", "a.json": '{"label": {}}'}, r"shard\.tar, a: `label` must be one text, got \{\}"),
        ({"a.jpg": b""}, r"holds no clips(.|\n)*left out: 1 of .*shard\.tar, a: no animation or video"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, members, told):
    with pytest.raises(ValueError, match=told):
        find_clips(write_tar(tmp_path / "shard.tar", members))


def test_patterns(tmp_path):
    clip = write_clip(tmp_path / "clip.gif", 2).read_bytes()
    for number in range(9, 12):
        write_tar(tmp_path / f"s-{number:03d}.tar", {f"{number}.gif": clip})
    assert [clip.path.name for clip in find_clips(tmp_path / "s-{009..011}.tar")] == ["9.gif", "10.gif", "11.gif"]
    assert [clip.path.name for clip in find_clips(tmp_path / "s-{011,009}.tar")] == ["11.gif", "9.gif"]
    for pattern, told in {
        "s-{009..012}.tar": r"`root` must be a folder or tars, got .*: there is no .*s-012\.tar",
        "s-{009}.tar": "braces hold a range such as",
        "s-{009..011.tar": "braces hold a range such as",
        "t.tar": r"there is no .*t\.tar",
    }.items():
        with pytest.raises(ValueError, match=told):
            find_clips(tmp_path / pattern)


def test_broken_tars_are_named(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", 7)
    tar = write_tar(tmp_path / "s.tar", {f"{name}.mp4": path.read_bytes() for name in "abc"})
    content = tar.read_bytes()
    end = 2 * (512 + -(-path.stat().st_size // 512) * 512)
    for cut in (end + 100, end + 600):  # inside a header, inside a clip
        tar.write_bytes(content[:cut])
        clips = find_clips(tar)
        assert [clip.path.name for clip in clips] == ["a.mp4", "b.mp4"]
        assert clips.notes == [f"{tar} is cut off: nothing behind b.mp4 can be read"]
    tar.write_bytes(b"this is no tar" * 99)
    with pytest.raises(ValueError, match=r"s\.tar cannot be read as a tar that is not compressed"):
        find_clips(tar)
    # Bytes that went bad after the clips were found: the scan names them.
    tar.write_bytes(content)
    clips = find_clips(tar)
    tar.write_bytes(content[: end + 600])
    with pytest.raises(UnreadableClipError, match=r"c\.mp4: it is cut off"):
        read_clip(clips[2])
    tar.unlink()
    with pytest.raises(UnreadableClipError, match=r"a\.mp4: .*does not exist"):
        read_clip(clips[0])


def test_files_with_holes_are_left_out_and_named(tmp_path):
    """What `tar --sparse` writes of a file with holes: a size of its own, and a map of what is stored (GNU tar's manual, basic format)."""
    clip = write_clip(tmp_path / "clip.gif", 2).read_bytes()
    stored = tarfile.TarInfo("a.gif")
    stored.size, stored.type = 512, tarfile.GNUTYPE_SPARSE
    header = bytearray(stored.tobuf(tarfile.GNU_FORMAT))
    # Where the stored bytes belong, how many, of how many in all.
    for at, number in ((386, 99 * 512), (398, 512), (483, 100 * 512)):
        header[at : at + 12] = b"%011o\0" % number
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    tar = write_tar(tmp_path / "s.tar", {"b.gif": clip})
    tar.write_bytes(bytes(header) + b"x" * 512 + tar.read_bytes())
    clips = find_clips(tar)
    assert [clip.path.name for clip in clips] == ["b.gif"]
    assert clips.notes == [f"{tar}: a.gif is stored with holes (`tar --sparse`), which is not read"]
    tar.write_bytes(bytes(header) + b"x" * 512 + tar.read_bytes())
    assert "a.gif and 1 more are stored with holes" in find_clips(tar).notes[0]
    tar.write_bytes(bytes(header) + b"x" * 512 + bytes(200))  # cut in the next header
    with pytest.raises(
        ValueError, match=r"s\.tar is cut off: nothing behind a\.gif can be read\n.*a\.gif is stored with holes"
    ):
        find_clips(tar)


def test_names_do_not_lead_out_of_the_tar(tmp_path):
    clip = write_clip(tmp_path / "clip.gif", 2).read_bytes()
    tar = write_tar(tmp_path / "s.tar", {"/abs/a.gif": clip, "../../b.gif": clip})
    assert [clip.path.relative_to(tar).as_posix() for clip in find_clips(tar)] == ["abs/a.gif", "b.gif"]


def test_tars_beside_clips_are_told_of(tmp_path):
    clip = write_clip(tmp_path / "waving" / "clip.gif", 2)
    write_tar(tmp_path / "s.tar", {"notes.txt": "nothing"})
    (tmp_path / "t.tar.gz").write_bytes(b"")
    clips = find_clips(tmp_path)
    assert [clip.path for clip in clips] == [clip]
    assert any("s.tar: a tar beside clips; the layout webdataset reads it" in note for note in clips.notes)
    assert any("t.tar.gz: clips are read from tars that are not compressed" in note for note in clips.notes)


def test_cache_and_workers(tmp_path):
    """A clip in a tar is cached as any, decoded again when its tar changes, and goes to other processes."""
    path = write_clip(tmp_path / "clip.mp4", 5)
    tar = write_tar(tmp_path / "s.tar", {"a.mp4": path.read_bytes(), "b.mp4": path.read_bytes()})
    reader = CachedClipReader(tmp_path / "cache", 16, 16)
    report = scan_clips(find_clips(tar), reader, progress=False)
    assert [clip.num_frames for clip in report.clips] == [5, 5]
    a, b = report.clips
    assert reader.path(a) != reader.path(b)
    np.testing.assert_array_equal(reader.read(a, [1, 4]), ClipReader(16, 16).read(path and a, [1, 4]))
    assert pickle.loads(pickle.dumps(a)) == a and hash(a) != hash(b)
    before = clip_state(a)
    write_tar(tar, {"a.mp4": path.read_bytes()})
    assert clip_state(a) != before
