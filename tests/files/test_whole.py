"""Files and folders that are whole or not there: each system call fails in turn, raises an interrupt, or ends the process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from failing_calls import Calls, attempt, exit_code, in_child, write
from loopback_python import LoopbackPython
from safetensors.torch import save_file

import lfdm_diffusers.files.whole as whole_module
from lfdm_diffusers.files.whole import PREFIX, remove, sweep, whole, write_json, write_text

posix = pytest.mark.skipif(os.name != "posix", reason="processes are forked, permissions are POSIX's")

KINDS = ("file", "folder")
# What is written, and what was there before: of a folder that holds something no file takes the place.
PAIRS = [("file", None), ("file", "file"), ("folder", None), ("folder", "file"), ("folder", "folder")]
NOBODY = 65534
WAYS = ("exchange", "renames")  # Linux's renameat2 for folders, or two renames


@pytest.fixture(params=WAYS)
def way(request, monkeypatch) -> str:
    """Both ways to replace a folder."""
    if request.param == "renames":
        monkeypatch.setattr(whole_module, "_exchange", lambda one, other: False)
    return request.param


def read(path: Path) -> str | None:
    """What `write` has written; fails if it is not whole."""
    if not path.exists():
        return None
    if path.is_file():
        return path.read_text()
    texts = {(path / name).read_text() for name in ("a", "deep/b")}
    assert len(texts) == 1 and len(list(path.rglob("*"))) == 3, sorted(path.rglob("*"))
    return texts.pop()


def litter(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(PREFIX)]


def full() -> None:
    raise OSError(28, "No space left on device")


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind, there", PAIRS)
@pytest.mark.parametrize("act, after", [(full, False), (interrupt, False), (interrupt, True)])
def test_whatever_call_fails_the_old_or_the_new_is_whole(tmp_path, way, kind, there, act, after):
    failed = []
    for number in range(1, 200):
        folder = tmp_path / str(number)
        folder.mkdir()
        target, before = folder / "x.gif", "old" if there else None
        if there:
            write(target, there, "old")
        calls, error = Calls(act, number, after), None
        try:
            attempt(target, kind, calls)
        except (OSError, KeyboardInterrupt) as raised:
            error = raised
        failed.append(calls.failed)
        # Written if it is said to be; not written if it is said not to be; an interrupt may come at any time.
        allowed = {"new"} if error is None else {before} if isinstance(error, OSError) else {before, "new"}
        assert read(target) in allowed, (number, calls.failed)
        tidying = calls.failed in ("removal", "rename", "listdir", "scandir", "rmdir")  # or may have been
        if isinstance(error, OSError) or not tidying:
            assert litter(folder) == [], (number, calls.failed)
        if isinstance(error, OSError):
            assert str(error).startswith(f"{target} could not be written: No space left on device.")
            assert ("What had been saved before is kept." in str(error)) == bool(there)
        sweep(folder)
        assert litter(folder) == []
        if not calls.failed:
            break
    assert {"mkdir", "fsync", "write", "removal"} <= {*failed} and not failed[-1] and len(failed) > 8


KILLED = """
from pathlib import Path
from failing_calls import killed_at
result = killed_at(number, Path(target), kind, exchange)
"""


@pytest.fixture(scope="module")
def small_process(tmp_path_factory) -> Iterator[LoopbackPython]:
    """To fork this one, with all that it holds, takes longer than what is tested."""
    process = LoopbackPython("http://127.0.0.1:9", tmp_path_factory.mktemp("home"))
    yield process
    process.close()


@posix
@pytest.mark.parametrize("kind, there", PAIRS)
def test_a_kill_at_any_call_loses_nothing(tmp_path, small_process, way, kind, there):
    before, gaps, killed, number = "old" if there else None, 0, True, 0
    while killed:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        target = folder / "x.gif"
        if there:
            write(target, there, "old")
        code = small_process.run(KILLED, number=number, target=str(target), kind=kind, exchange=way == "exchange")
        assert code in (0, 9)
        killed = code == 9
        first = read(target)
        sweep(folder)
        assert read(target) in ({before, "new"} if killed else {"new"}) and litter(folder) == []
        if there and first is None:
            gaps += 1
            assert read(target) == "old"
    assert number > 8
    # Between two renames the name stands for nothing for a moment, which is what the sweep is for.
    assert bool(gaps) == (way == "renames" and bool(there) and "folder" in (kind, there))


@posix
@pytest.mark.parametrize("kind", KINDS)
def test_writers_at_once_do_no_harm(tmp_path, way, kind):
    def work(writer: int) -> None:
        for round in range(15):
            with contextlib.suppress(ZeroDivisionError), whole(tmp_path / "made" / "x") as part:
                write(part, kind, f"{writer} {round} " * 1000)
                if round % 5 == 4:
                    raise ZeroDivisionError

    children = [in_child(lambda writer=writer: work(writer)) for writer in range(4)]
    assert [exit_code(child) for child in children] == [0, 0, 0, 0]
    # Of whichever writer was last, the last round that succeeded.
    assert read(tmp_path / "made" / "x")[1:5] == " 13 " and os.listdir(tmp_path / "made") == ["x"]


def test_another_writer_in_the_same_process(tmp_path, way):
    with whole(tmp_path / "x") as first:
        write(first, "folder", "first")
        with whole(tmp_path / "x") as second:
            write(second, "folder", "second")
        assert read(tmp_path / "x") == "second" and read(first) == "first"
    assert read(tmp_path / "x") == "first" and os.listdir(tmp_path) == ["x"]


def test_a_live_writer_is_left_alone_and_an_abandoned_one_is_not(tmp_path):
    machine, mine = whole_module._machine(), os.getpid()
    another = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    kept = [f"{PREFIX}{machine}-{another.pid}-00000000", f"{PREFIX}{'0' * 8}-1-00000000", f"{PREFIX}mine", ".part"]
    swept = [f"{PREFIX}{machine}-{gone.pid}-00000000", f"{PREFIX}{machine}-{mine}-00000000"]
    for name in (*kept, *swept):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("half")
    with whole(tmp_path / "x") as part:
        part.write_text("new")
        assert len(litter(tmp_path)) == 4 + (os.name != "posix") * 2
    if os.name == "posix":
        assert sorted(os.listdir(tmp_path)) == sorted([*kept, "x"])
    another.communicate(b"\n")
    # Of another machine, it cannot be asked: only after a day without a change it is abandoned.
    day = time.time() - whole_module.ABANDONED_AFTER - 1
    for path in [*(tmp_path / kept[1]).rglob("*"), tmp_path / kept[1]]:
        os.utime(path, (day, day))
    sweep(tmp_path)
    assert kept[1] not in os.listdir(tmp_path) and {kept[2], kept[3]} <= {*os.listdir(tmp_path)}


def test_what_a_killed_writer_moved_aside_does_not_replace_what_came_after(tmp_path):
    aside = tmp_path / f"{PREFIX}{whole_module._machine()}-{os.getpid()}-00000000" / whole_module.OLD
    for there in (False, True):
        write(aside / "x", "folder", "old")
        if there:
            write(tmp_path / "x", "folder", "newer")
        sweep(tmp_path)
        assert read(tmp_path / "x") == ("newer" if there else "old") and os.listdir(tmp_path) == ["x"]
        remove(tmp_path / "x")
        assert os.listdir(tmp_path) == []


def test_says_where_the_old_is_if_it_cannot_be_put_back(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_module, "_exchange", lambda one, other: False)
    target, rename = tmp_path / "x", os.rename
    write(target, "folder", "old")

    def onto_target(source, destination):
        if Path(destination) == target:
            raise OSError(5, "Input/output error")
        rename(source, destination)

    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match=r"Input/output error\. What had been saved") as caught,
    ):
        patch.setattr(os, "rename", onto_target)
        with whole(target) as part:
            write(part, "folder", "new")
    assert read(Path(str(caught.value).split("lies in ")[1].rstrip("."))) == "old"
    sweep(tmp_path)
    assert read(target) == "old" and os.listdir(tmp_path) == ["x"]


def test_failure_of_the_block_leaves_no_trace_not_even_parents(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(ZeroDivisionError), whole(tmp_path / "there" / "a" / "b" / "x") as part:
        part.mkdir()
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_the_part_has_the_name_of_the_target(tmp_path):
    """A `.pth` file holds its own name, libraries tell formats by suffixes: bytes must not depend on chance."""
    for folder in ("a", "b"):
        with whole(tmp_path / folder / "state.pt") as part:
            assert part.name == "state.pt" and not part.exists()
            torch.save({"x": torch.zeros(2)}, part)
    assert (tmp_path / "a" / "state.pt").read_bytes() == (tmp_path / "b" / "state.pt").read_bytes()
    with whole(tmp_path / "y.npz") as part:
        np.savez(part, x=np.zeros(2))
    assert (tmp_path / "y.npz").is_file()


def test_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda opened: (order.append("fsync"), fsync(opened)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("rename"), replace(*names)))
    monkeypatch.setattr(
        whole_module, "_swap", lambda part, target, old: (order.append("rename"), os.rename(part, target))
    )
    with whole(tmp_path / "x") as part:
        part.write_text("new")
    assert order == ["fsync", "rename"]
    order.clear()
    with whole(tmp_path / "x", durable=False) as part:
        part.write_text("newer")
    assert order == ["rename"]
    order.clear()
    with whole(tmp_path / "folder") as part:
        write(part, "folder", "new")
    folders = 2 if os.name == "posix" else 0
    assert order == ["fsync"] * (2 + folders) + ["rename"]


@posix
def test_permissions(tmp_path, way):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "new", "")
        write_text(tmp_path / "private", "")
        os.chmod(tmp_path / "private", 0o600)
        with whole(tmp_path / "private") as part:
            part.write_text("")
            assert part.parent.stat().st_mode & 0o777 == 0o700  # nobody reads it while it is written
        for _ in range(2):
            with whole(tmp_path / "folder") as part:
                write(part, "folder", "")
            if _ == 0:
                assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750
                os.chmod(tmp_path / "folder", 0o700)
    finally:
        os.umask(before)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("new", "private", "folder", "folder/a")}
    assert modes == {"new": 0o640, "private": 0o600, "folder": 0o700, "folder/a": 0o640}


@posix
def test_beneath_a_folder_that_may_not_be_written():
    def check() -> None:
        if os.geteuid() == 0:  # permissions do not hold for root
            os.setuid(NOBODY)
        for name in ("x", "y", "z/w"):
            with pytest.raises(OSError, match=f"{name} could not be written: Permission denied.") as caught:
                write_text(folder / name, "new")
            assert ("is kept" in str(caught.value)) == (name == "x")
        with pytest.raises(PermissionError):
            remove(folder / "x")
        assert os.listdir(folder) == ["x"] and read(folder / "x") == "old"

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "x", "folder", "old")
        if os.geteuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        os.chmod(folder, 0o500)
        try:
            assert exit_code(in_child(check)) == 0
        finally:
            os.chmod(folder, 0o700)


def test_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    for name in ("file/x", "file/y/x"):
        with pytest.raises(OSError, match=f"{name} could not be written: (Not a directory|File exists)."):
            write_text(tmp_path / name, "new")
    assert (tmp_path / "file").read_text() == "mine" and os.listdir(tmp_path) == ["file"]


@posix
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_link_points_to_is_replaced(tmp_path, way, kind):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "x")
    for text in ("first", "second"):  # at first it points to nothing
        with whole(tmp_path / "link") as part:
            write(part, kind, text)
        assert (tmp_path / "link").is_symlink() and read(tmp_path / "elsewhere" / "x") == text
    assert os.listdir(tmp_path / "elsewhere") == ["x"] and sorted(os.listdir(tmp_path)) == ["elsewhere", "link"]
    remove(tmp_path / "link")
    assert os.listdir(tmp_path) == ["elsewhere"] and read(tmp_path / "elsewhere" / "x") == "second"


def test_links_inside_a_folder_are_kept(tmp_path):
    with whole(tmp_path / "x") as part:
        part.mkdir()
        (part / "a").write_text("a")
        (part / "link").symlink_to("a")
        (part / "nowhere").symlink_to("b")
    assert os.readlink(tmp_path / "x" / "link") == "a" and (tmp_path / "x" / "link").read_text() == "a"


def test_without_replacement(tmp_path, way):
    write(tmp_path / "x", "folder", "old")
    (tmp_path / "empty").mkdir()
    refused = r"x could not be written: it exists already\. What .* is kept"
    with pytest.raises(OSError, match=refused), whole(tmp_path / "x", replace=False):
        raise AssertionError("the block must not run")
    for name in ("empty", "none"):
        with whole(tmp_path / name, replace=False) as part:
            write(part, "folder", "new")
        assert read(tmp_path / name) == "new"
    with pytest.raises(OSError, match="it exists already"), whole(tmp_path / "late", replace=False) as part:
        write(part, "folder", "new")
        write(tmp_path / "late", "folder", "quicker")
    assert read(tmp_path / "late") == "quicker" and litter(tmp_path) == []


@posix
def test_what_is_no_file_stays_what_it_is(tmp_path):
    """As root, a file in the place of /dev/null would be everybody's; so would be one in the place of all of somebody's results."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match=rf"{name} could not be written: it is a named pipe, not a file\.$"):
            write_text(tmp_path / name, "new")
        assert (tmp_path / "pipe").is_fifo() and litter(tmp_path) == []
    write(tmp_path / "results", "folder", "old")
    with pytest.raises(
        OSError, match=r"results could not be written: it is a folder that holds other files\. What .* is kept"
    ):
        write_text(tmp_path / "results", "new")
    assert read(tmp_path / "results") == "old" and litter(tmp_path) == []
    (tmp_path / "empty").mkdir()
    write_text(tmp_path / "empty", "new")
    assert read(tmp_path / "empty") == "new"


def test_nothing_written(tmp_path):
    write_text(tmp_path / "x", "old")
    with pytest.raises(OSError, match="x could not be written: No such file"), whole(tmp_path / "x"):
        pass
    assert (tmp_path / "x").read_text() == "old" and os.listdir(tmp_path) == ["x"]


FULL = {
    "safetensors": lambda path: save_file({"x": torch.zeros(2**18)}, path),
    "torch": lambda path: torch.save({"x": torch.zeros(2**18)}, path),
    "numpy": lambda path: np.save(path, np.zeros(2**18)),
    "picture": lambda path: PIL.Image.effect_noise((512, 512), 50).save(path, "png"),
    "text": lambda path: path.write_text("x" * 2**18),
    "within": lambda path: write_text(path, "x" * 2**18),
}


@posix
@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("depth", ["", "deep"])
def test_a_full_disk_is_one_sentence_that_names_the_target(tmp_path, name, depth):
    """A limit on the size of files stands for the disk's; each library reports it in its own way."""
    import resource
    import signal

    target = tmp_path / "x.bin"
    write_text(target, "old")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError) as caught, whole(target) as part:
            if depth:
                part.mkdir()
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
            FULL[name](part / depth if depth else part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    text = str(caught.value)
    assert text.startswith(f"{target} could not be written: ") and text.endswith(
        ". What had been saved before is kept."
    )
    assert PREFIX not in text and "\n" not in text
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["x.bin"]


def test_remove(tmp_path):
    write(tmp_path / "x", "folder", "old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "unlink", lambda *args, **kwargs: full())
        remove(tmp_path / "x")  # no half of it stands under its name, even if it could not be deleted
        assert not (tmp_path / "x").exists() and len(litter(tmp_path)) == 1
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        remove(tmp_path / "x")
    assert os.listdir(tmp_path) == []


def test_text_and_json(tmp_path):
    write_text(tmp_path / "x.txt", "ü\n")
    assert (tmp_path / "x.txt").read_bytes() == "ü\n".encode()
    write_json(tmp_path / "deep" / "x.json", {"b": 1, "a": [2]})
    assert (tmp_path / "deep" / "x.json").read_text() == '{\n "b": 1,\n "a": [\n  2\n ]\n}\n'
