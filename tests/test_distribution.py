"""What is published: ranges that were run at both ends, type marks, and a page for the package index that needs no repository."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
DEVELOPERS = {"build", "mypy", "ruff"}  # read or build the code and never run it


def pinned(name: str) -> dict[str, str]:
    """The exact version of each package that a constraints file names."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(package): version for package, version in pairs}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in sum(extras, PROJECT["dependencies"])]


def test_constraints_lie_in_the_ranges():
    versions = pinned("constraints.txt")
    for requirement in requirements():
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_lower_bounds_are_those_that_are_run():
    versions, bounded = pinned("constraints-floor.txt"), set()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        if name in DEVELOPERS:
            continue
        (bound,) = [each for each in requirement.specifier if each.operator != "<"]
        assert bound.operator == ">="
        assert requirement.specifier.contains(versions[name]), f"{requirement}, but {versions[name]} is run"
        assert re.sub(r"(\.0)+$", "", bound.version) == re.sub(r"(\.0)+$", "", versions[name]), requirement
        bounded.add(name)
    assert bounded == set(versions)


def test_the_page_for_the_package_index_stands_alone():
    """An index shows neither pictures nor files of the repository: links there must be whole addresses."""
    page = (ROOT / PROJECT["readme"]).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert links and all(link.startswith("https://") for link in links), links
    assert "<img" not in page


def space_pins() -> list[Requirement]:
    lines = (ROOT / "space" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def space_settings() -> dict[str, str]:
    head = (ROOT / "space" / "README.md").read_text(encoding="utf-8").split("---")[1]
    return {
        name: value.strip().strip('"')
        for name, _, value in (line.partition(":") for line in head.splitlines())
        if value
    }


def test_the_space_has_pins_of_its_own():
    *pins, package = space_pins()
    assert str(package) == "lfdm_diffusers[app]"
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    extra = PROJECT["optional-dependencies"]["app"]
    needed = {canonicalize_name(each.name): each for each in map(Requirement, [*PROJECT["dependencies"], *extra])}
    assert needed.keys() - versions.keys() <= {"tqdm", "pyyaml"}, "nothing else may change under a Space"
    assert all(each.specifier.contains(versions[name]) for name, each in needed.items() if name in versions)
    settings = space_settings()
    assert settings["sdk_version"] == versions["gradio"]
    assert settings["python_version"] in ("3.10", "3.12")
    assert Version("2.8") <= Version(versions["torch"]) < Version("2.12")  # what ZeroGPU takes


@pytest.mark.slow
@pytest.mark.integration
def test_the_spaces_pins_go_together(tmp_path):
    """What pip would install on a Space's Python, all of it in wheels, without installing it."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "index", "versions", "torch"], capture_output=True).returncode:
        pytest.skip("no package index can be reached")
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    *pins, package = map(str, space_pins())
    resolved = subprocess.run(
        [
            *pip, "install", "--dry-run", "--ignore-installed", "--quiet", "--only-binary", ":all:", "--target", tmp_path / "none",
            "--python-version", space_settings()["python_version"], *pins, f"{package} @ {wheel.as_uri()}",
        ], capture_output=True, text=True,
    )  # fmt: skip
    assert resolved.returncode == 0, resolved.stderr


def test_types_are_marked():
    assert (files("lfdm_diffusers") / "py.typed").is_file()


def test_the_type_checker_reads_a_users_script_beside_the_package():
    """It takes minutes at first, so that `.ci/run` runs it, and no test; here only that it would read both."""
    settings = SETTINGS["tool"]["mypy"]
    assert [(ROOT / name).exists() for name in settings["files"]] == [True, True]
    assert settings["disallow_untyped_defs"] and settings["check_untyped_defs"] and settings["warn_unused_ignores"]
    (patterns,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"].values()
    assert "py.typed" in patterns
