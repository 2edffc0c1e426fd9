"""The folder that is served: the page, the runtime's files, an exported model, and pictures to begin with."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files.exported import RUNNER, read_runner
from ..files.whole import require_free_or_ours, whole, write_json
from .runtime import PAGE

MARK = "files.js"
CARD = """---
title: A picture that moves
emoji: 🎭
colorFrom: indigo
colorTo: blue
sdk: static
app_file: index.html
license: apache-2.0
custom_headers:
  cross-origin-embedder-policy: require-corp
  cross-origin-opener-policy: same-origin
  cross-origin-resource-policy: cross-origin
tags:
- image-to-video
- lfdm
---

# A picture that moves

One picture and a label in, a short video of that subject out. All of it is computed in your browser: no picture is sent
anywhere. Made by `lfdm web` of lfdm_diffusers; the libraries in `runtime/` are onnxruntime-web (MIT), gifenc (MIT) and
@huggingface/tokenizers (Apache-2.0).
"""


@functools.cache
def content_security_policy() -> str:
    """What the page may load, as its own `<meta>` says it."""
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    found = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', page)
    assert found is not None, "index.html says what it may load"
    return found[1]


def compose(
    output: str | Path,
    model: str | Path,
    runtime: Mapping[str, Path],
    examples: Sequence[Path] = (),
    overwrite: bool = False,
) -> dict[str, int]:
    """Write the folder; it appears whole or not at all.

    Args:
        output: the folder.
        model: a folder that `lfdm export` wrote.
        runtime: the libraries' files by name, of `runtime_files`.
        examples: pictures that the page offers.
        overwrite: whether to replace a folder that was made so before.

    Returns:
        Bytes of the page, the model, the runtime and the examples.

    Raises:
        ValueError: if the model is none, or the folder holds something else.
    """
    model = Path(model)
    if not (model / RUNNER).is_file():
        raise ValueError(f"`model` must be a folder that `lfdm export` wrote; {model} has no {RUNNER}.")
    require_free_or_ours(Path(output), overwrite, lambda folder: (folder / MARK).is_file(), "a page")
    _, parts = read_runner(model)
    groups = {
        ".": {file.name: file for file in sorted(PAGE.iterdir()) if file.name != "package.json"},
        "model": {name: model / name for name in (RUNNER, *parts)},
        "runtime": dict(runtime),
        "examples": {file.name: file for file in examples},
    }
    sizes = {}
    with whole(output, replace=overwrite) as folder:
        for group, files in groups.items():
            (folder / group).mkdir(parents=True, exist_ok=True)
            for name, file in files.items():
                shutil.copyfile(file, folder / group / name)
            sizes["page" if group == "." else group] = sum(file.stat().st_size for file in files.values())
        write_json(folder / "page.json", {"examples": [f"./examples/{file.name}" for file in examples]})
        served = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "sw.js")
        hashes = {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in served}
        (folder / MARK).write_text(
            f"const CONTENT_SECURITY_POLICY = {json.dumps(content_security_policy())};\n"
            f"const FILES = {json.dumps(hashes, indent=1)};\n",
            encoding="utf-8",
        )
        (folder / "README.md").write_text(CARD, encoding="utf-8")
    return sizes
