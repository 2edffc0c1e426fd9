"""Every writer of the package, killed at each of its system calls: what was there, or what is new, is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from failing_calls import Calls, exit_code, in_child
from safetensors.torch import load_file
from tiny import tiny_lfae

from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.drawn_sets import write_flow
from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.files.whole import PREFIX, sweep, write_json
from lfdm_diffusers.pipelines import Motion
from lfdm_diffusers.training.metrics_file import MetricsFile
from lfdm_diffusers.visualization.clip_files import PictureFiles

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")


def frames(version: int) -> np.ndarray:
    return np.full((2, 16, 16, 3), 60 + 80 * version, np.uint8)


def level(path: Path) -> int:
    """Which version a clip or a picture shows; fails if it is not whole."""
    pixels = read_clip(path) if path.suffix != ".png" else np.asarray(PIL.Image.open(path))
    assert path.suffix == ".png" or len(pixels) == 2
    return round((float(pixels.mean()) - 60) / 80)


def write_motion(path: Path, version: int) -> None:
    Motion(torch.full((2, 2, 4, 4), version / 2), torch.ones(2, 1, 4, 4)).save(path)


def write_clip_file(path: Path, version: int) -> None:
    write_clip(path, frames(version), path.suffix[1:], 25.0)


def write_picture(path: Path, version: int) -> None:
    files = PictureFiles(path.parent, {0: {}}, [], [], 25.0, 1)
    files._write_picture(path, PIL.Image.fromarray(frames(version)[0]))


def write_metrics(path: Path, version: int) -> None:
    MetricsFile(path).write(0, {"loss": float(version)})


def read_metrics(path: Path) -> int:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return round(records[-1]["loss"])  # the first version's record is kept: its step comes before


DECODERS = {version: tiny_lfae(version) for version in (0, 1)}


def write_decoder(path: Path, version: int) -> None:
    DECODERS[version].save_decoder(path.parent)


def read_decoder(path: Path) -> int:
    found = load_file(path)
    same = [all(torch.equal(found[k], v) for k, v in DECODERS[n].decoder.state_dict().items()) for n in (0, 1)]
    return same.index(True)


# By the file's name: what writes version 0 or 1 of it, and what reads which of them is there.
WRITERS: dict[str, tuple[Callable[[Path, int], object], Callable[[Path], int]]] = {
    "a.safetensors": (write_motion, lambda path: round(2 * float(Motion.load(path).flow.mean()))),
    "a.gif": (write_clip_file, level),
    "a.mp4": (write_clip_file, level),
    "sheet.png": (write_picture, level),
    "settings.json": (lambda path, version: write_json(path, {"v": version}), lambda path: json.loads(path.read_text())["v"]),
    "flow.npz": (
        lambda path, version: write_flow(path, np.full((1, 2, 4, 4), version), np.ones((1, 1, 4, 4))),
        lambda path: int(np.load(path)["flow"].max()),
    ),
    "metrics.jsonl": (write_metrics, read_metrics),
    "decoder.safetensors": (write_decoder, read_decoder),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_a_kill_at_any_call_of_a_writer_loses_nothing(tmp_path, name):
    write, read = WRITERS[name]
    killed, number = True, 0
    while killed:
        number += 1
        path = tmp_path / str(number) / name
        write(path, 0)

        def again(path: Path = path, number: int = number) -> None:
            with Calls(lambda: os._exit(9), number, False).watched():
                write(path, 1)

        code = exit_code(in_child(again))
        assert code in (0, 9)
        killed = code == 9
        sweep(path.parent)
        assert read(path) in ({0, 1} if killed else {1}), number
        assert not [each for each in os.listdir(path.parent) if each.startswith(PREFIX)]
    assert number > 5
