"""Files and folders that appear under their name when they are complete, or not at all.

A writer works in a hidden folder of its own beside the target, `.part-<machine>-<process>-<chance>`:

    NAME              what is being written, or was replaced; it bears the target's name, since formats read or keep that
    .part-old/NAME    what was there before, for the moment between two renames, where names cannot be exchanged at once

Writers share nothing, so any number may write to one target: the last rename wins. A process that is killed leaves its
folder behind. The next writer beside it finds the process gone, puts the old one back if nothing has the name, and removes the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from .reading import kind_of

PREFIX = ".part-"
OLD, SUPERSEDED = f"{PREFIX}old", f"{PREFIX}superseded"
WORKSHOP = re.compile(re.escape(PREFIX) + r"([0-9a-f]{8})-(\d+)-[0-9a-f]{8}")
ABANDONED_AFTER = 86400.0  # seconds without a change, where it cannot be asked whether the process still runs
TRIES = 20  # where other writers may come in between

_open: set[Path] = set()  # workshops of this process


@contextlib.contextmanager
def whole(path: str | os.PathLike, replace: bool = True, durable: bool = True) -> Iterator[Path]:
    """A path to write a file or a folder to, which gets the name `path` when the block ends, or vanishes if it raises.

    The path yielded is in the same file system, has the same name, and nothing is there yet. Its bytes are on the disk before the
    rename. A file or folder that it replaces keeps its permissions; there is no moment, not even of a kill, in which what was there
    is lost. Missing parents are made. Of a link, what it points to is replaced. Devices, named pipes and sockets are not, nor is a
    folder that holds something by a file.

    Args:
        path: of the file or folder.
        replace: False refuses if something else than an empty folder is there, before the block and after it.
        durable: False does not wait for the disk, which takes milliseconds a file: for a cache whose reader notices what a power cut
            has left empty or cut short, and makes it again.

    Raises:
        OSError: if it cannot be written (a full disk, say), in one sentence. Other errors of the block pass as they are.
    """
    target = Path(os.path.realpath(path))
    part = None
    before = False
    try:
        _refuse_special(target)
        before = os.path.lexists(target)
        _refuse(target, replace)
        sweep(target.parent)
        with _workshop(target) as folder:
            part = folder / target.name
            yield part
            if durable:
                _flush(part)
            _refuse(target, replace)
            if target.is_dir() and not part.is_dir() and any(target.iterdir()):
                raise IsADirectoryError(errno.EISDIR, "it is a folder that holds other files")
            _keep_permissions(part, target)
            if part.is_dir() or target.is_dir():
                _swap(part, target, folder / OLD / target.name)
            else:
                os.replace(part, target)
    except Exception as error:
        why = _reason(error, part, target, path)
        if why is None:
            raise
        aside = part and part.parent / OLD / target.name
        if before and os.path.lexists(target):
            why += ". What had been saved before is kept"
        elif before and aside and os.path.lexists(aside):
            why += f". What had been saved before lies in {aside}"
        raise OSError(f"{os.fspath(path)} could not be written: {why}.") from error


def require_free_or_ours(output: Path, overwrite: bool, is_ours: Callable[[Path], bool], kind: str) -> None:
    """Refuse to write a folder over what is there; `overwrite` allows it for those that an earlier call wrote.

    Args:
        output: the folder.
        overwrite: whether a folder of ours may be replaced.
        is_ours: whether a folder that is not empty is one.
        kind: what ours holds, in words.

    Raises:
        ValueError: names `output`.
    """
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise ValueError(f"`output` must be a folder, but {output} is a {'link' if output.is_symlink() else 'file'}.")
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise ValueError(f"`output` must be a folder, but {parent} is a file.")
    if not output.exists() or not any(output.iterdir()):
        return
    if not overwrite:
        raise ValueError(f"`output` {output} is not empty; name another folder, or give `overwrite`.")
    if not is_ours(output):
        raise ValueError(f"`output` {output} holds something else than {kind}, so `overwrite` does not touch it.")


def write_text(path: str | os.PathLike, text: str) -> None:
    """A text file in UTF-8, whole or not at all; lines end as in `text` on every system.

    What UTF-8 has no bytes for, as in the names of some files, is written out: \\udc83.
    """
    with whole(path) as part:
        part.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_json(path: str | os.PathLike, content: object, indent: int | None = 1) -> None:
    """JSON that people can read, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def remove(path: str | os.PathLike) -> None:
    """Delete a file or folder, of which no half ever stands under its name.

    Raises:
        OSError: if it is not there or may not be deleted; it is then as it was.
    """
    target = Path(path).absolute()
    with _workshop(target) as folder:
        os.rename(target, folder / target.name)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in `folder`, and put back what one of them was about to replace."""
    with contextlib.suppress(OSError):  # no folder yet
        for name in os.listdir(folder):
            if name.startswith(PREFIX) and not _is_alive(folder / name):
                with contextlib.suppress(OSError):  # another process is about it, or we may not: the next one will
                    _close(folder / name)


# ---- the writer's own folder ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """A writer's folder beside `target`; at the end nothing of it is left.

    Parents of `target` that had to be made go as well if the block raises.
    """
    made = [parent for parent in target.parents if not parent.exists()]
    folder = target.parent / f"{PREFIX}{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    _open.add(folder)
    try:
        for tries_left in reversed(range(TRIES)):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir(0o700)  # a private file's next version is private too
                break
            except FileNotFoundError:  # a writer that failed has just removed the parents that it had made
                if not tries_left:
                    raise
        yield folder
    except BaseException:
        _leave(folder)
        for parent in made:
            with contextlib.suppress(OSError):  # another process has put something there
                parent.rmdir()
        raise
    else:
        _leave(folder)
    finally:
        _open.discard(folder)


def _leave(folder: Path) -> None:
    with contextlib.suppress(OSError):  # what cannot be removed now is left for the next writer
        _close(folder)


def _close(folder: Path) -> None:
    """Remove a writer's folder; first what it had moved aside gets its name back, unless something else has that."""
    old = folder / OLD
    if old.is_dir():
        for each in old.iterdir():
            if not os.path.lexists(folder.parent / each.name):
                os.rename(each, folder.parent / each.name)
        os.rename(old, folder / SUPERSEDED)  # or half of it might be put back if this process is killed now
    shutil.rmtree(folder, ignore_errors=True)


def _is_alive(folder: Path) -> bool:
    """Whether a writer may still be at work in its folder."""
    name = WORKSHOP.fullmatch(folder.name)
    if name is None:
        return True  # none of ours
    if name[1] == _machine() and os.name == "posix":  # on Windows `os.kill` would end the process
        if int(name[2]) == os.getpid():
            return folder in _open
        try:
            os.kill(int(name[2]), 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            pass
    try:
        latest = max(os.lstat(each).st_mtime for each in (folder, *folder.rglob("*")))
    except OSError:  # it is just being changed, or private
        return True
    return time.time() - latest < ABANDONED_AFTER


@functools.cache
def _machine() -> str:
    """Eight digits of what process numbers hold for: this start of this machine, and on Linux this container."""
    about = [platform.node()]
    with contextlib.suppress(OSError):
        about += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:8]


# ---- from the part to the target ------------------------------------------------------------------------------------


def _refuse(target: Path, replace: bool) -> None:
    if not replace and os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(errno.EEXIST, "it exists already")


def _refuse_special(target: Path) -> None:
    """Raise OSError for a device, a pipe or a socket: its name would come to stand for a file, for all who use it."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = os.lstat(target).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise FileExistsError(errno.EEXIST, f"it is {kind_of(mode)}, not a file")


def _flush(part: Path) -> None:
    """Bring a file, or all of a folder, to the disk: renamed before, it could be empty after a power cut."""
    if not part.is_dir():
        return _fsync(part)
    for folder, _, files in os.walk(part, topdown=False):
        for file in files:
            if not os.path.islink(os.path.join(folder, file)):
                _fsync(os.path.join(folder, file))
        if os.name == "posix":  # Windows opens no folders
            _fsync(folder)


def _fsync(path: str | Path) -> None:
    opened = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _keep_permissions(part: Path, target: Path) -> None:
    if not target.exists() or target.is_dir() != part.is_dir():
        return
    mode = stat.S_IMODE(target.stat().st_mode)
    if stat.S_IMODE(part.stat().st_mode) != mode:
        os.chmod(part, mode)


def _swap(part: Path, target: Path, old: Path) -> None:
    """Give `part` the name `target` where one of them is a folder, which cannot be renamed onto a folder that holds files."""
    if _exchange(part, target):
        return
    for tries_left in reversed(range(TRIES)):
        if os.path.lexists(target):
            old.parent.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another writer has just moved it aside
                os.rename(target, old)
        try:
            return os.rename(part, target)
        except OSError:
            if not tries_left or not os.path.lexists(target):
                raise  # `_close` puts `old` back
            with contextlib.suppress(
                FileNotFoundError
            ):  # another writer was quicker: `old` is superseded by what it wrote
                os.rename(old.parent, old.parent.with_name(f"{SUPERSEDED}-{tries_left}"))


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):  # not Linux, or a C library of before 2018
        return None


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places at once; returns whether the system and the file system could, and both were there."""
    at_cwd, rename_exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h>
    call = _renameat2()
    return call is not None and call(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange) == 0


# ---- errors ---------------------------------------------------------------------------------------------------------


def _reason(error: Exception, part: Path | None, target: Path, path: str | os.PathLike) -> str | None:
    """Why `path` could not be written, in words without a full stop; None if the error is about something else."""
    if isinstance(error, OSError):
        # Without a part, it is the folder that it would lie in which could not be made.
        about_path = part is None or error.filename is None or str(error.filename) in (str(part), str(target))
        text = error.strerror if about_path and error.strerror else str(error)
    elif type(error).__name__ == "SafetensorError" or "inline_container" in str(error):
        text = str(error)  # safetensors and torch report a full disk as their own
    else:
        return None
    return (text if part is None else text.replace(str(part), os.fspath(path))).rstrip(".")
