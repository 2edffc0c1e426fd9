"""The libraries that the page runs, by npm: pinned in `page/package.json`, and checked by their integrity hash."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files.whole import whole

PAGE = Path(__file__).parent / "page"
WAIT = 600  # seconds for one package; the largest has 25 MB


def packages() -> dict[str, dict[str, Any]]:
    """By name: `version`, `integrity` of the package's archive as npm writes it, and the `files` of it that the page needs."""
    about = json.loads((PAGE / "package.json").read_text(encoding="utf-8"))
    return {name: {"version": version, **about["lfdm"][name]} for name, version in about["dependencies"].items()}


def default_cache() -> Path:
    """Where packages are kept: `lfdm_diffusers/web` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lfdm_diffusers" / "web"


def runtime_files(
    folder: str | Path | None = None,
    cache: Path | None = None,
    fetch_missing: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Path]:
    """The libraries' files, by the name that the page knows them by.

    Args:
        folder: holds the unpacked packages, each under its name, as npm's `node_modules` does. By default they are taken from
            `cache`, and what is not there is fetched by npm.
        cache: by default `default_cache()`.
        fetch_missing: whether npm may be asked.
        say: told what is fetched.

    Raises:
        ValueError: if a package is missing or has another version, npm is missing or fails, or an archive has another hash.
    """
    found = {}
    for name, about in packages().items():
        place = (cache or default_cache()) / f"{name}-{about['version']}" if folder is None else Path(folder) / name
        if folder is None and fetch_missing and not place.is_dir():
            say(f"fetching {name} {about['version']} by npm")
            fetch(name, about, place)
        require_version(name, about["version"], place)
        for file in about["files"]:
            if not (place / file).is_file():
                raise ValueError(
                    f"`--runtime`: {name} in {place} has no {file}; it must be version {about['version']}."
                )
            title = Path(file).name
            owner = name.replace("/", "-").removeprefix("@")  # of a package in a scope: one name of a file
            found[f"{owner}-{title}" if title.startswith("LICENSE") else title] = place / file
    return found


def require_version(name: str, version: str, place: Path) -> None:
    """Raise a ValueError unless `place` holds a package of this version."""
    try:
        got = json.loads((place / "package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"`--runtime` must be a folder that holds {name} {version} unpacked under that name, as npm's node_modules "
            f"does; there is none in {place}."
        ) from None
    if got != version:
        raise ValueError(f"`--runtime` must hold {name} {version}, got {got} in {place}.")


def fetch(name: str, about: dict[str, Any], place: Path) -> None:
    """Fetch a package's archive by npm, check it, and unpack the files that the page needs into `place`."""
    npm = shutil.which("npm")
    wanted = f"{name}@{about['version']}"
    if npm is None:
        raise ValueError(
            f"The page needs {wanted}, which npm fetches, and npm is not installed: install Node.js, or name a folder that "
            "holds the package by `--runtime`."
        )
    with tempfile.TemporaryDirectory() as work:
        asked = [npm, "pack", wanted, "--ignore-scripts", "--silent", "--pack-destination", work]
        try:
            done = subprocess.run(asked, cwd=work, capture_output=True, text=True, timeout=WAIT)
        except subprocess.TimeoutExpired:
            raise ValueError(f"npm did not fetch {wanted} within {WAIT} seconds.") from None
        archives = list(Path(work).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            why = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise ValueError(f"npm could not fetch {wanted}: {why}")
        unpack(archives[0], name, about, place)


def unpack(archive: Path, name: str, about: dict[str, Any], place: Path) -> None:
    """Check an archive of npm and write what the page needs of it, whole or not at all.

    Raises:
        ValueError: for another hash than the pinned one.
    """
    kind, _, digest = about["integrity"].partition("-")
    got = base64.b64encode(hashlib.new(kind, archive.read_bytes()).digest()).decode()
    if got != digest:
        raise ValueError(
            f"The archive of {name} {about['version']} has another {kind} hash than the pinned one: {got}."
        )
    with tarfile.open(archive) as tar, whole(place) as folder:
        for file in (*about["files"], "package.json"):
            member = tar.extractfile(f"package/{file}")
            if member is None:
                raise ValueError(f"The archive of {name} {about['version']} has no {file}.")
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(member.read())
