"""Arrays in shards: each once, whole, whatever number of processes write and wherever they are killed."""

from __future__ import annotations

import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from lfdm_diffusers.files.shards import ArrayShards

pytestmark = pytest.mark.fast


def array(number: int) -> np.ndarray:
    return np.full((2, 3, 4, 5), number, np.float16)


def filled(folder: Path, numbers: range, **options: int) -> ArrayShards:
    shards = ArrayShards(folder, **options)
    for number in numbers:
        shards.add(f"key{number}", array(number))
    return shards


def known(folder: Path) -> dict[str, np.ndarray]:
    """What a process that has just begun finds."""
    shards = ArrayShards(folder)
    shards.refresh()
    return {key: shards.get(key) for key in sorted(shards._places)}


def assert_holds(folder: Path, numbers: range) -> None:
    found = known(folder)
    assert set(found) == {f"key{number}" for number in numbers}
    for number in numbers:
        np.testing.assert_array_equal(found[f"key{number}"], array(number))


def test_arrays_come_back(tmp_path):
    shards = filled(tmp_path / "cache", range(12), shard_bytes=5000)
    assert shards.get("key3").dtype == np.float16 and shards.get("key12") is None
    assert not shards.get("key3").flags.writeable
    shards.finish()
    shards.finish()  # nothing to be done any more
    files = sorted(path.suffix for path in (tmp_path / "cache").iterdir())
    assert files == [".json"] * 3 + [".tar"] * 3  # of at least 5,000 bytes, the last of what was left
    assert_holds(tmp_path / "cache", range(12))
    for path in (tmp_path / "cache").glob("*.tar"):
        with tarfile.open(path) as tar:  # as others read them
            assert {f"{key}.npy" for key in json.loads(path.with_suffix(".json").read_text())} == set(tar.getnames())


@pytest.mark.parametrize("kept", range(0, 1024 * 3, 250))
def test_a_killed_writer_leaves_what_was_whole(tmp_path, kept):
    filled(tmp_path, range(3))  # its process ends here: no index
    (shard,) = tmp_path.iterdir()
    member = shard.stat().st_size // 3
    shard.write_bytes(shard.read_bytes()[:kept])
    assert_holds(tmp_path, range(min(3, kept // member)))
    later = filled(tmp_path, range(3))
    later.finish()
    assert_holds(tmp_path, range(3))


def test_a_power_cut_is_noticed(tmp_path):
    """Bytes that never reached the disk: such arrays are missing, and the later ones count."""
    shards = filled(tmp_path, range(3))
    shards.finish()
    (shard,) = tmp_path.glob("*.tar")
    content = shard.read_bytes()
    shard.write_bytes(content[:1024] + bytes(1024) + content[2048:])  # zeros in the place of the second
    shards = ArrayShards(tmp_path)
    shards.refresh()
    assert shards.get("key1") is None and shards.get("key2") is not None
    shards.add("key1", array(1))
    shards.finish()
    assert_holds(tmp_path, range(3))
    shard.with_suffix(".json").write_text("{")  # an index that was never written: the members tell
    shard.write_bytes(content)
    assert_holds(tmp_path, range(3))


def test_processes_share_a_folder(tmp_path):
    """Children that were forked with a shard open write to shards of their own, and see each other's."""
    shards = filled(tmp_path, range(2))
    children = []
    for first in (2, 4):
        child = os.fork()
        if not child:
            for number in range(first, first + 2):
                shards.add(f"key{number}", array(number))
            shards.finish()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    shards.add("key6", array(6))
    assert len(list(tmp_path.glob("*.tar"))) == 3
    assert_holds(tmp_path, range(7))
    assert shards.get("key4") is None
    shards.refresh()
    np.testing.assert_array_equal(shards.get("key4"), array(4))
    copy = pickle.loads(pickle.dumps(shards))  # as to a worker
    np.testing.assert_array_equal(copy.get("key6"), array(6))
    copy.add("key7", array(7))
    assert_holds(tmp_path, range(8))


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    shards = filled(tmp_path, range(1))
    write, file = shards._writer.file.write, shards._writer.file

    class Full:
        def write(self, data):
            write(data[:100])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(file, name)

    shards._writer.file = Full()
    with pytest.raises(OSError, match=rf"^{tmp_path} could not be written: No space left on device\.$"):
        shards.add("key1", array(1))
    shards._writer.file = file
    assert_holds(tmp_path, range(1))
    shards.add("key2", array(2))
    shards.finish()
    assert set(known(tmp_path)) == {"key0", "key2"}
