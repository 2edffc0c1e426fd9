"""Data sets that come by once: the clips, labels and frames of a folder, whatever interrupts them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled
from tar_files import write_tar

from lfdm_diffusers.data import named_sets, streamed_sets
from lfdm_diffusers.data.cache import CachedClipReader, ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.named_sets import NamedSet
from lfdm_diffusers.data.scan import scan_clips
from lfdm_diffusers.data.streamed_sets import open_stream, stream_together
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.files.kept_lines import KeptLines

pytestmark = pytest.mark.fast

LABELS = ("happiness", "surprise")
SIDE = 16


@pytest.fixture(scope="module", autouse=True)
def datasets():
    return pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("faces") / "data"
    write_toon_faces(root, 4, 1, labels=LABELS, num_frames=3, size=32, format="webp", progress=False)
    return root


@pytest.fixture(scope="module")
def clips(folder) -> list[Clip]:
    return find_clips(folder)


@pytest.fixture
def tables(datasets, clips, tmp_path) -> Path:
    """Two files of training clips, one of test clips."""
    features = {"video": datasets.Video(decode=False), "label": datasets.ClassLabel(names=list(LABELS))}
    train = [clip for clip in clips if clip.split == "train"]
    chosen = {"train-00000-of-00002": train[:2], "train-00001-of-00002": train[2:]}
    chosen["test-00000-of-00001"] = [clip for clip in clips if clip.split == "test"]
    (tmp_path / "tables").mkdir()
    for name, rows in chosen.items():
        cells = {
            "video": [{"bytes": clip.path.read_bytes(), "path": None} for clip in rows],
            "label": [LABELS.index(clip.label) for clip in rows],
        }
        table = datasets.Dataset.from_dict(cells, features=datasets.Features(features))
        table.to_parquet(tmp_path / "tables" / f"{name}.parquet")
    return tmp_path / "tables"


def assert_those(found: list[Clip], reader: CachedClipReader, clips: list[Clip], order=("train", "test")) -> None:
    """The same frames, labels and splits, in the same order."""
    wanted = sorted(clips, key=lambda clip: order.index(clip.split))
    assert [(clip.label, clip.split) for clip in found] == [(clip.label, clip.split) for clip in wanted]
    plain = ClipReader(SIDE, SIDE)
    for clip, like in zip(found, wanted):
        np.testing.assert_array_equal(reader.read(clip, range(3)), plain.read(like, range(3)))


def streamed(path: Path, cache: Path, **options) -> tuple[list[Clip], CachedClipReader]:
    reader = CachedClipReader(cache, SIDE, SIDE)
    named = NamedSet(str(path), **options)
    return stream_together(named, reader, "--x", 0, 0, 1), reader


def test_tables(tables, clips, tmp_path, monkeypatch):
    assert_those(*streamed(tables, tmp_path / "cache"), clips)
    monkeypatch.setattr(streamed_sets, "splits_of", pytest.fail)  # what is finished is asked for no more
    assert_those(*streamed(tables, tmp_path / "cache"), clips)


def test_saved(datasets, tables, clips, tmp_path):
    datasets.load_dataset(str(tables)).save_to_disk(str(tmp_path / "saved"))
    assert_those(*streamed(tmp_path / "saved", tmp_path / "cache"), clips)


def test_tars(clips, tmp_path):
    (tmp_path / "tars").mkdir()
    for split in ("train", "test"):
        members = {}
        for n, clip in enumerate(clips):
            if clip.split == split:
                members[f"{n}.webp"] = clip.path.read_bytes()
                members[f"{n}.json"] = json.dumps({"label": clip.label})
        write_tar(tmp_path / "tars" / f"{split}-0.tar", members)
    assert_those(*streamed(tmp_path / "tars", tmp_path / "cache"), clips)


def test_tars_whose_folders_are_labels(clips, tmp_path):
    (tmp_path / "tars").mkdir()
    train = [clip for clip in clips if clip.split == "train"]
    write_tar(
        tmp_path / "tars" / "0.tar", {f"{clip.label}/{n}.webp": clip.path.read_bytes() for n, clip in enumerate(train)}
    )
    found, _ = streamed(tmp_path / "tars", tmp_path / "cache")
    assert [clip.label for clip in found] == [clip.label for clip in train]


def test_files_in_folders(clips, tmp_path):
    rows = [{"file_name": f"{n}.webp", "label": clip.label} for n, clip in enumerate(clips)]
    for n, clip in enumerate(clips):
        (tmp_path / "files" / clip.split).mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, tmp_path / "files" / clip.split / f"{n}.webp")
        with open(tmp_path / "files" / clip.split / "metadata.jsonl", "a") as file:
            file.write(json.dumps(rows[n]) + "\n")
    found, reader = streamed(tmp_path / "files", tmp_path / "cache")
    assert {clip.label for clip in found} == set(LABELS)
    assert scan_clips(found, reader, progress=False).bad == []


def test_interrupted(tables, clips, tmp_path, monkeypatch):
    """What broke off goes on behind its last whole line, and each clip is decoded once."""
    reader, decoded = CachedClipReader(tmp_path / "cache", SIDE, SIDE), []
    check = CachedClipReader.check

    def check_or_break(self, clip):
        if len(decoded) == 3:
            decoded.append(None)
            raise RuntimeError("the machine stops")
        decoded.append(str(clip.path))
        return check(self, clip)

    monkeypatch.setattr(CachedClipReader, "check", check_or_break)
    opened = open_stream(NamedSet(str(tables)), reader)
    with pytest.raises(RuntimeError):
        opened.stream(reader, progress=False)
    decoded.append("went on")
    last = max(opened.folder.glob("*.jsonl"))
    last.write_text(last.read_text() + '{"path": "x", "lab')  # a kill in the middle of a line
    again = open_stream(NamedSet(str(tables)), reader)
    again.stream(reader, progress=False)
    names = [name for name in decoded if name not in (None, "went on")]
    assert len(names) == len(set(names)) == len(clips)
    monkeypatch.undo()
    assert_those(again.clips(), reader, clips)


def test_breaks_off(tables, tmp_path, monkeypatch):
    """A network that goes away is one sentence; what came before is kept."""

    def rows_that_break(rows):
        yield from rows
        raise OSError("no route to host")

    splits_of = streamed_sets.splits_of

    def breaking(name, options):
        made = []
        for split, rows in splits_of(name, options):
            rows = rows.decode(False)
            fake = SimpleNamespace(features=rows.features, num_shards=rows.num_shards)
            fake.shard = lambda rows=rows, **which: SimpleNamespace(
                skip=lambda first: rows_that_break(rows.shard(**which).skip(first))
            )
            fake.decode = lambda _, fake=fake: fake
            made.append((split, fake))
        return made

    monkeypatch.setattr(streamed_sets, "splits_of", breaking)
    with pytest.raises(ValueError, match=r"broke off: no route to host\. What came before is kept"):
        streamed(tables, tmp_path / "cache")
    (lines,) = (tmp_path / "cache" / "streamed").glob("*/*.jsonl")
    assert len(lines.read_text().splitlines()) == 2


def test_two_runs_at_once(tables, clips, tmp_path):
    """They write the same lines; each counts once."""
    reader = CachedClipReader(tmp_path / "cache", SIDE, SIDE)
    opened = open_stream(NamedSet(str(tables)), reader)
    both = [KeptLines(tmp_path / "lines.jsonl") for _ in range(2)]
    for number in range(3):
        for lines in both:
            lines.add({"told": number})
    for lines in both:
        assert not KeptLines(tmp_path / "lines.jsonl").finished or lines is both[1]
        lines.finish()
    again = KeptLines(tmp_path / "lines.jsonl")
    assert again.finished and again.lines == [{"told": number} for number in range(3)]
    for _ in range(2):
        opened.stream(reader, progress=False)
    assert_those(opened.clips(), reader, clips)


def test_processes_share_files(tables, clips, tmp_path):
    reader = CachedClipReader(tmp_path / "cache", SIDE, SIDE)
    opened = open_stream(NamedSet(str(tables)), reader)
    opened.stream(reader, 1, 2, progress=False)
    assert 0 < len(opened.clips()) < len(clips)
    opened.stream(reader, 0, 2, workers=2, progress=False)
    assert_those(opened.clips(), reader, clips)


def test_of_the_hub(tables, clips, tmp_path, monkeypatch):
    """At the commit that the Hub names; without a network what came by last counts."""
    asked = []

    class Hub:
        offline = False

        def dataset_info(self, name, revision=None):
            if self.offline:
                raise OfflineModeIsEnabled("no network")
            return SimpleNamespace(sha="c0ffee")

        def list_repo_files(self, name, repo_type, revision):
            return [path.name for path in tables.iterdir()]

    def splits_of(name, options, load=streamed_sets.splits_of):
        asked.append((name, options))
        return load(str(tables), options | {"revision": None})

    monkeypatch.setattr(streamed_sets, "HfApi", Hub)
    monkeypatch.setattr(named_sets, "HfApi", Hub)
    monkeypatch.setattr(streamed_sets, "splits_of", splits_of)
    assert_those(*streamed(Path("me/faces"), tmp_path / "cache"), clips)
    assert {name for name, _ in asked} == {"me/faces"}
    assert all(options == {"name": None, "revision": "c0ffee", "streaming": True} for _, options in asked)
    Hub.offline, before = True, len(asked)
    assert_those(*streamed(Path("me/faces"), tmp_path / "cache"), clips)
    assert len(asked) == before
    for other in ("me/others", "me/faces"):
        with pytest.raises(ValueError, match=f"`--x` '{other}' cannot be had from the Hub: no network"):
            streamed(Path(other), tmp_path / ("cache" if other == "me/others" else "other"))


def test_what_cannot_be_read_is_named(datasets, clips, tmp_path):
    """A broken clip, an empty row, and frames that somebody deletes; also after the stream is finished."""
    content = clips[0].path.read_bytes()
    cells = [{"bytes": content, "path": "a.webp"}, {"bytes": content[:60], "path": "b.webp"}, None]
    features = datasets.Features({"video": datasets.Video(decode=False), "text": datasets.Value("string")})
    table = datasets.Dataset.from_dict({"video": cells, "text": ["joy", "joy", "joy"]}, features=features)
    (tmp_path / "tables").mkdir()
    table.to_parquet(tmp_path / "tables" / "train.parquet")
    for _ in range(2):  # as it comes by, and afterwards
        found, reader = streamed(tmp_path / "tables", tmp_path / "cache")
        report = scan_clips(found, reader, progress=False)
        assert [clip.label for clip in report.clips] == ["joy"]
        assert [bad.clip.path.name for bad in report.bad] == ["00000-000001.webp"]
        assert report.bad[0].reason.count("00000-000001.webp") == 1
        assert "left out: 1 rows of" in found.notes[0]
    reader.path(found[0]).unlink()
    with pytest.raises(ValueError, match="no longer in the cache"):
        reader.check(found[0])


def test_files_that_are_gone_or_too_large(clips, tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / "files" / "joy").mkdir(parents=True, exist_ok=True)
        shutil.copy(clips[number].path, tmp_path / "files" / "joy" / f"{number}.webp")
    fetched = streamed_sets._fetched

    def gone(cell):
        if cell["path"].endswith("1.webp"):
            raise FileNotFoundError(2, "No such file or directory")
        if cell["path"].endswith("2.webp"):
            monkeypatch.setenv("LFDM_MAX_GIGABYTES", "1e-9")
        return fetched(cell)

    monkeypatch.setattr(streamed_sets, "_fetched", gone)
    found, reader = streamed(tmp_path / "files", tmp_path / "cache")
    report = scan_clips(found, reader, progress=False)
    assert len(report.clips) == 1
    assert "No such file" in report.bad[0].reason and "more than the 1e-09 that are allowed" in report.bad[1].reason


def test_other_frames_come_by_again(tables, clips, tmp_path):
    streamed(tables, tmp_path / "cache")
    larger = CachedClipReader(tmp_path / "cache", 24, 24)
    found = stream_together(NamedSet(str(tables)), larger, "--x", 0, 0, 1)
    assert larger.read(found[0], [0]).shape == (1, 24, 24, 3)
    changed = next(tables.glob("train-00001*"))
    shutil.copy(next(tables.glob("train-00000*")), changed)  # the data set is another one now
    found, _ = streamed(tables, tmp_path / "cache")
    assert [clip.label for clip in found[:2]] == [clip.label for clip in found[2:4]]


def test_refusals(datasets, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"`--x` .* holds neither clips, nor tars, nor tables: nothing"):
        streamed(tmp_path / "empty", tmp_path / "cache")
    datasets.Dataset.from_dict({"label": ["a"]}).to_parquet(tmp_path / "empty" / "train.parquet")
    with pytest.raises(ValueError, match="has no column of videos, only label"):
        streamed(tmp_path / "empty", tmp_path / "cache")
    with pytest.raises(ValueError, match="`--x` 'me/nothing' cannot be had from the Hub: "):
        streamed(Path("me/nothing"), tmp_path / "cache")
