"""What documents and docstrings name is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
ROOMS = (
    "benchmarks",
    "comfyui",
    "examples",
    "lfdm_diffusers",
    "reproduction",
    "scripts",
    "space",
    "tests",
    "training",
)
WRITTEN = {"blocks.py", "pipeline.py"}  # beside a saved pipeline
FILE = re.compile(r"`([\w/.]+\.py)`")


def test_files_that_are_named_are_there():
    code = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    known = ["/" + path.relative_to(ROOT).as_posix() for path in code]
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in [*PAGES, *code]
        for name in FILE.findall(page.read_text(encoding="utf-8"))
        if name not in WRITTEN and not any(path.endswith(f"/{name}") for path in known)
    ]
    assert len(PAGES) > 15 and not missing
