"""Clips in tars are scored as those in folders are."""

from __future__ import annotations

import pytest
from clip_files import frames_of, write_animation
from tar_files import write_tar

from lfdm_diffusers.cli import main
from lfdm_diffusers.data.cache import CachedClipReader, ClipReader
from lfdm_diffusers.data.named_sets import NamedSet
from lfdm_diffusers.data.streamed_sets import stream_together
from lfdm_diffusers.evaluation.video_sets import find_generated_clips, find_real_clips

pytestmark = pytest.mark.fast


def test_real_and_generated(tmp_path):
    clip = write_animation(tmp_path / "clips" / "waving" / "1.webp", frames_of(3, 16, 16))
    tar = write_tar(tmp_path / "tars" / "test.tar", {"waving/1.webp": clip.read_bytes()})
    real, folder = (
        find_real_clips(root, split, "auto", ClipReader(16, 16), 3, progress=False)
        for root, split in ((tar, "test"), (tmp_path / "clips", None))
    )
    assert real.fingerprint == folder.fingerprint and real.labels == ["waving"]
    made = find_generated_clips(tar.parent, 16, 16, 3)
    assert made.fingerprint == real.fingerprint
    gif = write_animation(tmp_path / "1.gif", frames_of(3, 16, 16))
    write_tar(tar, {"1.gif": gif.read_bytes()})
    with pytest.raises(ValueError, match=r"1 of 1 generated clips are in lossy files, such as .*test\.tar/1\.gif"):
        find_generated_clips(tar.parent, 16, 16, 3)


def test_streamed(tmp_path):
    datasets = pytest.importorskip("datasets")
    clip = write_animation(tmp_path / "clips" / "waving" / "1.webp", frames_of(3, 16, 16))
    features = datasets.Features({"video": datasets.Video(decode=False), "label": datasets.Value("string")})
    cells = {"video": [{"bytes": clip.read_bytes(), "path": None}], "label": ["waving"]}
    datasets.Dataset.from_dict(cells, features=features).save_to_disk(str(tmp_path / "table"))
    reader = CachedClipReader(tmp_path / "cache", 16, 16)
    streamed = stream_together(NamedSet(str(tmp_path / "table")), reader, "data", 0, 0, 1)
    real = find_real_clips(streamed, None, "auto", reader, 3, progress=False)
    folder = find_real_clips(tmp_path / "clips", None, "auto", ClipReader(16, 16), 3, progress=False)
    assert real.fingerprint == folder.fingerprint
    with pytest.raises(ValueError, match=r"`split` must be one that the data set has \(it has none"):
        find_real_clips(streamed, "test", "auto", reader, 3, progress=False)


def test_options_of_data_sets(tmp_path, capsys):
    few = ["evaluate", "static", "--metrics", "accuracy", "--output", str(tmp_path / "out")]
    assert main([*few, "--dataset-name", "./nothing"]) == 2
    assert "`data` must be a Hub id or a folder, got './nothing', which is neither" in capsys.readouterr().err
    assert main([*few, "--dataset-name", str(tmp_path), "--streaming"]) == 2
    assert "`streaming` keeps frames at one size: give `like`" in capsys.readouterr().err
    assert main([*few, "--data", str(tmp_path), "--streaming"]) == 2
    assert "go with `--dataset-name`" in capsys.readouterr().err
    assert main([*few, "--data", str(tmp_path), "--dataset-revision", "main"]) == 2
    assert "go with `--dataset-name`" in capsys.readouterr().err
