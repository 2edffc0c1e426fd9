"""Files changed at random, for every reader: each is read, or refused in one sentence, in bounded time.

`LFDM_FUZZ=200000 pytest tests/test_fuzz.py` tries so many for each reader, `LFDM_FUZZ_SEED=7` others.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from clip_files import frames_of, write_animation, write_video

from lfdm_diffusers.cli.clips import read_mask
from lfdm_diffusers.cli.convert import _read_model_params
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.data.picture_reading import bounded_picture
from lfdm_diffusers.data.published_datasets import read_natops_segments
from lfdm_diffusers.data.tables import read_table
from lfdm_diffusers.data.true_motion import true_motion
from lfdm_diffusers.files.numpy_pickles import read_arrays
from lfdm_diffusers.files.reading import read_json, reading
from lfdm_diffusers.files.torch_files import load_checkpoint, load_state
from lfdm_diffusers.pipelines import Motion

COUNT, SEED = int(os.environ.get("LFDM_FUZZ", 45)), int(os.environ.get("LFDM_FUZZ_SEED", 0))
SLOWEST = 5.0  # seconds for one file, on a machine with other work


def picture(suffix: str, **options: object) -> Callable[[Path], None]:
    image = PIL.Image.fromarray(frames_of(1)[0])
    return lambda path: image.save(path, suffix, **options)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"params": {"a": np.arange(6, dtype="f4").reshape(2, 3)}}, protocol=4))


def arrays(path: Path) -> None:
    with reading(path, "arrays"):
        read_arrays(io.BytesIO(path.read_bytes()))


def motion_archive(path: Path) -> None:
    np.savez_compressed(path, flow=np.zeros((2, 2, 8, 8), "f2"), visibility=np.ones((2, 1, 8, 8), "u1"))


def archived_motion(path: Path) -> None:
    true_motion(Clip(path.with_name("clip.mp4")))


# By name: what writes a whole file, and what reads it.
READERS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "a.pth": (lambda path: torch.save({"generator": {"w": torch.ones(3, 4), "b": torch.ones(2)}}, path), load_checkpoint),
    "legacy.pth": (
        lambda path: torch.save({"g": {"w": torch.ones(3, 4)}}, path, _use_new_zipfile_serialization=False), load_checkpoint,
    ),
    "state.pt": (lambda path: torch.save({"step": 3, "optimizer": {"state": {0: torch.ones(2)}}}, path), load_state),
    "a.safetensors": (lambda path: Motion(torch.zeros(2, 2, 4, 4), torch.ones(2, 1, 4, 4), {"label": "a"}).save(path), Motion.load),
    "config.json": (lambda path: path.write_text(json.dumps({"a": [1, 2.5, "b"], "c": {"d": None}})), read_json),
    "metadata.jsonl": (lambda path: path.write_text('{"file_name": "a.mp4", "label": "b"}\n' * 3), read_table),
    "metadata.csv": (lambda path: path.write_text("file_name,label\na.mp4,b\nc.mp4,\"d,e\"\n"), read_table),
    "arrays.ckpt": (pickled, arrays),
    "a.png": (picture("PNG"), lambda path: bounded_picture(path, 10**6)),
    "a.jpg": (picture("JPEG"), lambda path: bounded_picture(path, 10**6)),
    "a.tiff": (picture("TIFF", compression="tiff_lzw"), lambda path: bounded_picture(path, 10**6)),
    "a.bmp": (picture("BMP"), lambda path: bounded_picture(path, 10**6)),
    "a.gif": (lambda path: write_animation(path, frames_of(3)), read_clip),
    "a.webp": (lambda path: write_animation(path, frames_of(3)), read_clip),
    "animated.png": (lambda path: write_animation(path, frames_of(3)), read_clip),
    "a.mp4": (lambda path: write_video(path, frames_of(3)), read_clip),
    "a.avi": (lambda path: write_video(path, frames_of(3)), read_clip),
    "a.webm": (lambda path: write_video(path, frames_of(3)), read_clip),
    "mask.png": (picture("PNG"), lambda path: read_mask(str(path))),
    "mine.yaml": (lambda path: path.write_text("model_params:\n  num_regions: 3\n  a: {b: [1, 2.5, null]}\n"), lambda path: _read_model_params(str(path))),
    "segmentation.txt": (lambda path: path.write_text("// Subject 1\n1,2,3\n1:2,5\n2:6,9\n1,2,3\n1:1,8\n"), read_natops_segments),
    "clip.flow.npz": (motion_archive, archived_motion),
}  # fmt: skip


def changed(whole: bytes, random: np.random.Generator) -> bytes:
    """Bytes cut off, overwritten, doubled, removed, or exchanged for extreme numbers."""
    data = bytearray(whole)
    for _ in range(int(random.integers(1, 4))):
        at, way = int(random.integers(len(data) or 1)), int(random.integers(5))
        if way == 0:
            del data[at:]
        elif way == 1:
            data[at : at + 1] = random.bytes(1)
        elif way == 2:
            data[at:at] = data[at : at + int(random.integers(1, 40))]
        elif way == 3:
            del data[at : at + int(random.integers(1, 40))]
        else:
            data[at : at + 4] = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"9999"][
                int(random.integers(4))
            ]
    return bytes(data)


@pytest.mark.fast
@pytest.mark.parametrize("name", READERS)
def test_changed_files_are_read_or_refused_in_one_sentence(tmp_path, name):
    write, read = READERS[name]
    path = tmp_path / name
    write(path)
    whole, random = path.read_bytes(), np.random.default_rng([SEED, len(name), *name.encode()])
    read(path)
    refused = 0
    for trial in range(COUNT):
        path.write_bytes(changed(whole, random))
        since = time.perf_counter()
        try:
            read(path)
        except ValueError as error:
            refused += 1
            message = str(error)
            assert str(path) in message and "\n" not in message and "\x1b" not in message, (trial, message)
        assert time.perf_counter() - since < SLOWEST, trial
    assert refused > COUNT / 20
