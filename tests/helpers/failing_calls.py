"""Writing through `files/whole.py` while a call of the system fails or the process ends; apart from its test because it is also
done in a process that holds no large libraries."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lfdm_diffusers.files.whole as whole_module
from lfdm_diffusers.files.whole import whole

# What `whole` asks of the system, and how it replaces a folder.
PATHLIB = getattr(pathlib, "_NormalAccessor", None)  # of Python 3.10: what it took of `os` at its import
CALLS = ("listdir", "mkdir", "open", "fsync", "chmod", "rename", "replace", "scandir", "unlink", "rmdir", "_exchange")


def write(path: Path, kind: str, text: str) -> None:
    """A file, or a folder of two files, one of them in a folder."""
    if kind == "file":
        path.write_text(text)
    else:
        (path / "deep").mkdir(parents=True)
        (path / "a").write_text(text)
        (path / "deep" / "b").write_text(text)


class Calls:
    """Counts calls of the system and does `act` before or after the n-th."""

    def __init__(self, act: Callable[[], None], number: int, after: bool):
        self.act, self.number, self.after, self.done = act, number, after, 0
        self.failed, self.removing = "", False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda opened: None)  # counted, but not waited for
            for name in CALLS:
                place = whole_module if name == "_exchange" else os
                call = getattr(place, name)
                watched = self.wrap(name, call)
                patch.setattr(place, name, watched)
                if getattr(PATHLIB, name, None) is call:
                    patch.setattr(PATHLIB, name, staticmethod(watched))
            patch.setattr(shutil, "rmtree", self.wrap_removal(shutil.rmtree))
            yield

    def wrap(self, name: str, call: Callable) -> Callable:
        def wrapped(*args, **kwargs):
            self.done += 1
            if self.done != self.number:
                return call(*args, **kwargs)
            self.failed = "removal" if self.removing else name
            try:
                if self.after:
                    call(*args, **kwargs)
            finally:
                self.act()

        return wrapped

    def wrap_removal(self, call: Callable) -> Callable:
        """What is called in it counts too, but is told apart: a failure then is a failure to tidy up."""

        def wrapped(*args, **kwargs):
            self.removing = True
            try:
                call(*args, **kwargs)
            finally:
                self.removing = False

        return wrapped


def attempt(target: Path, kind: str, calls: Calls) -> None:
    """Write "new" with watched system calls."""
    with calls.watched(), whole(target) as part:
        calls.wrap("write", write)(part, kind, "new")


def in_child(act: Callable[[], None]) -> int:
    """The number of a new process that does `act` and ends with 0, or with 1 if it raises."""
    child = os.fork()
    if not child:
        code = 1
        try:
            act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(number: int, target: Path, kind: str, exchange: bool) -> int:
    """The exit code of a process that is killed (9) by its call of this number while it writes "new"; 0 if it makes fewer."""

    def act() -> None:
        if not exchange:
            whole_module._exchange = lambda one, other: False
        attempt(target, kind, Calls(lambda: os._exit(9), number, False))

    return exit_code(in_child(act))
