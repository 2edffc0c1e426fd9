"""The package where Python has none of the modules that Windows lacks, such as `resource`."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import builtins
import importlib
import pkgutil
from pathlib import Path

imports = builtins.__import__


def windows(name, globals=None, *args, **kwargs):
    # To this package alone: on Linux others count on them.
    if name in ("resource", "fcntl", "pwd", "grp", "termios") and (globals or {}).get("__name__", "").startswith("lfdm"):
        raise ImportError(f"No module named {name}")
    return imports(name, globals, *args, **kwargs)


def missing(self, *args, **kwargs):
    raise FileNotFoundError  # there is no /proc either


builtins.__import__ = windows
import lfdm_diffusers

for module in pkgutil.walk_packages(lfdm_diffusers.__path__, "lfdm_diffusers."):
    # The rendered people need packages of their own, which are not always there.
    if not module.name.endswith("__main__") and ".data.people." not in module.name:
        importlib.import_module(module.name)
import torch

from lfdm_diffusers.evaluation.report import hardware

Path.read_text = missing
assert hardware(torch.device("cpu"))["peak_memory_bytes"] is None
"""


@pytest.mark.integration
def test_every_module_is_imported_without_what_windows_lacks():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
