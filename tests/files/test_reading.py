"""Files of users: plain ones only, one sentence that names them, and no more work than a file is worth."""

from __future__ import annotations

import io
import os
import pickle
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lfdm_diffusers.files import torch_files
from lfdm_diffusers.files.numpy_pickles import read_arrays
from lfdm_diffusers.files.reading import UnreadableFileError, read_json, read_text, reading, require_plain_file
from lfdm_diffusers.files.torch_files import load_checkpoint, load_state

pytestmark = pytest.mark.fast


@pytest.fixture
def strange(tmp_path) -> dict[str, Path]:
    """What has a name in a folder and is no plain file."""
    names = {kind: tmp_path / kind for kind in ("a named pipe", "a socket", "a folder", "a circle", "nothing")}
    os.mkfifo(names["a named pipe"])
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path)
        server.bind("a socket")
    names["a folder"].mkdir()
    names["a circle"].symlink_to(names["a circle"])
    return names | {"a device": Path("/dev/zero")}


@pytest.fixture(autouse=True)
def here():
    before = Path.cwd()
    yield
    os.chdir(before)


@pytest.mark.parametrize("read", [require_plain_file, read_json, read_text, load_checkpoint, load_state])
def test_only_plain_files_are_opened(strange, read):
    for kind, path in strange.items():
        with pytest.raises(UnreadableFileError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(str(path)) and "\n" not in message
        assert {"a circle": "symbolic link", "nothing": "does not exist"}.get(kind, f"is {kind}") in message


def test_whatever_a_library_raises_is_one_sentence(tmp_path):
    path = tmp_path / "a\x1b[31m.bin"
    path.touch()
    for error, words in (
        (KeyError("weights"), "'weights' is missing"),
        (AssertionError(), "AssertionError"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (RuntimeError("first:\n  second line\x1b[0m\nthird"), r"second line\x1b[0m"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ):
        with pytest.raises(UnreadableFileError) as caught, reading(path, "a test"):
            raise error
        assert str(caught.value) == f"{tmp_path}/a\\x1b[31m.bin cannot be read as a test: {words}."
        assert caught.value.__cause__ is error
    with pytest.raises(MemoryError), reading(path, "a test"):
        raise MemoryError


def test_json(tmp_path):
    path = tmp_path / "config.json"
    for content, message in (
        ("[" * 100_000, "nested too deeply"),
        ("[]", "must hold an object of JSON, got list"),
        ("{", "cannot be read as JSON"),
        ("", "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
    ):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UnreadableFileError, match=message) as caught:
            read_json(path)
        assert str(path) in str(caught.value)
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}
    with pytest.raises(UnreadableFileError, match="has 11 bytes, too many for a text: at most 10"):
        read_text(path, most=10)


def saved(path: Path, content: object, **options: bool) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_checkpoints_of_tensors_that_no_network_has(tmp_path, legacy):
    weight = torch.ones(4)
    for value, words in (
        (torch.eye(3).to_sparse(), "a tensor of the layout sparse_coo"),
        (torch.ones(2, device="meta"), "a tensor without numbers"),
        (torch.ones(2).to(torch.float8_e4m3fn), "a tensor of float8_e4m3fn|truncated or damaged"),
        (torch.ones(2, dtype=torch.complex64), "a tensor of complex64"),
        (torch.ones(1).expand(1 << 30), "claims tensors of 4295 MB"),
    ):
        path = saved(
            tmp_path / "x.pth",
            {"generator": {"weight": value, "bias": weight}},
            _use_new_zipfile_serialization=not legacy,
        )
        with pytest.raises(ValueError, match=words) as caught:
            load_checkpoint(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    loop: dict = {"generator": {1: weight, (2, 3): weight}, "shared": [weight, weight]}
    loop["generator"]["itself"] = loop
    read = load_checkpoint(saved(tmp_path / "loop.pth", loop, _use_new_zipfile_serialization=not legacy))
    assert read["generator"]["itself"] is read and torch.equal(read["shared"][1], weight)


def test_small_files_that_mean_huge_work(tmp_path):
    path = saved(tmp_path / "bomb.pth", {"a": torch.zeros(1 << 25)})
    with (
        zipfile.ZipFile(path) as archive,
        zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    assert (tmp_path / "small.pth").stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"small\.pth has 0\.1 MB and claims to hold 134 MB"):
        load_checkpoint(tmp_path / "small.pth")


def test_training_states_of_more_than_their_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_files, "SMALL", 1 << 16)
    whole = saved(tmp_path / "whole.pt", {"w": torch.zeros(200_000)})
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as small:
        for name in archive.namelist():
            small.writestr(name, archive.read(name))
    one = saved(tmp_path / "one.pt", {"w": torch.ones(1).expand(2_000_000_000)})
    for path, message in ((tmp_path / "small.pt", "claims to hold 1 MB"), (one, "claims tensors of 8000 MB")):
        with pytest.raises(UnreadableFileError, match=f"{path.name} has 0.. MB and {message}"):
            load_state(path)
    assert load_state(whole)["w"].shape == (200_000,)


def test_arrays_of_more_bytes_than_there_are(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match="more bytes than memory holds"):
        read_arrays(io.BytesIO(b"\x80\x05\x96" + (1 << 60).to_bytes(8, "little") + b"."))


def test_cut_and_changed_archives(tmp_path):
    whole = saved(tmp_path / "x.pth", {"a": torch.arange(100.0)}).read_bytes()
    random = np.random.default_rng(0)
    for trial in range(60):
        data = bytearray(whole[: int(random.integers(1, len(whole)))] if trial % 2 else whole)
        for place in random.integers(0, len(data), 4):
            data[place] = random.integers(256)
        path = tmp_path / "changed.pth"
        path.write_bytes(data)
        try:
            load_checkpoint(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
