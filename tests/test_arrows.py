"""Imports run one way: a room knows only the rooms below it, and no file is imported by what it imports."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lfdm_diffusers"

# From the top; rooms on one line do not import each other. CONTRIBUTING.md shows the same table.
FLOORS = """
__init__ __main__
cli
app
training
evaluation
conversion visualization export web blocks
pipelines
models metrics
hub data
ops files arguments schedulers embedded version
"""
FLOOR = {room: floor for floor, line in enumerate(FLOORS.split("\n")) for room in line.split()}
# Above all; the package does not import them. (They stand beside it, where a script would find them.)
SCRIPTS = {path.parent.name for path in PACKAGE.parent.glob("*/*.py")} - {PACKAGE.name}

pytestmark = pytest.mark.fast


def module_name(path: Path) -> str:
    """ "pipelines.motion" of a file; a room's own name of its `__init__.py`, and "__init__" of the package's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


@cache
def imports(name: str) -> set[str]:
    """The files of this package that a file imports, in functions and for types too, and "/folder" of scripts."""
    found: set[str] = set()
    path = FILES[name]
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            here = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # `from . import x` names a file or something in `__init__.py`.
            found |= {f"{module}.{alias.name}" for alias in node.names}
    known = set()
    for first, _, rest in (module.partition(".") for module in found):
        if first == PACKAGE.name:
            known.add(next((name for name in (rest, rest.rpartition(".")[0]) if name in FILES), "__init__"))
        elif first in SCRIPTS:
            known.add(f"/{first}")
    return known


def test_a_room_imports_what_stands_below_it():
    wrong = [
        f"{name} imports {other}"
        for name in FILES
        for other in imports(name)
        for room, known in [(name.split(".")[0], other.split(".")[0])]
        if room != known and FLOOR[room] >= FLOOR.get(known, -1)
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_file_is_imported_by_what_it_imports():
    graph = {name: imports(name) - {name} for name in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_every_room_and_file_says_its_idea():
    silent = [name for name in FILES if not ast.get_docstring(parsed(name))]
    assert not silent
