#!/usr/bin/env python
"""Both stages on a set ten times larger than the memory given to them, beside a small one, under the same limit (Linux, as root).

python benchmarks/larger_than_memory.py --output docs/performance/larger_than_memory.json

Frames and motion are noise, of which reading cannot tell: what they cost to compute is in scale.py. The limit is that of a control group
for memory, which counts the pages of files that are read, too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from data_waiting import ROOT, STAGES, medians

from lfdm_diffusers.data.cache import CachedClipReader
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.embedded import embedded_model
from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.models import LatentFlowAutoencoder
from lfdm_diffusers.training.motion_cache import MotionCache

SIZE, FRAMES = 64, 16
BATCH = "2"  # examples: little memory for itself, and steps that leave little time to read in
STEPS = 5  # between two records
GROUPS = {"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"}


def write_set(folder: Path, clips: int) -> int:
    """A tar of `clips` clips that nobody will decode, with their frames and their motion; returns the bytes of those."""
    folder.mkdir()
    with tarfile.open(folder / "clips.tar", "w") as tar:
        for number in range(clips):
            tar.addfile(tarfile.TarInfo(f"{number:06d}.mp4"))
    reader = CachedClipReader(folder / "frames", SIZE, SIZE)
    lfae = LatentFlowAutoencoder.from_pretrained(Path(embedded_model("toon64"), "lfae")).float()
    motion = MotionCache(folder / "motion", lfae, reader)
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, SIZE, SIZE, 3), np.uint8)
    side = lfae.flow_size(SIZE, SIZE)
    still = np.full((FRAMES, 3, *side), 0.5, np.float16)
    still[0, :2], still[0, 2] = 0, 1
    size = 0
    for clip in find_clips(folder / "clips.tar"):
        path = reader.path(clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, noise)
        motion.shards.add(motion.key(clip), still)
        size += noise.nbytes + still.nbytes
    motion.shards.finish()
    return size


def forget(folder: Path) -> None:
    """Have the system give up the pages of files: those that it has are counted as the memory of who read them first."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class MemoryLimit:
    """A control group for memory; processes are put into it.

    Raises:
        OSError: if this user may not make one.
    """

    def __init__(self, size: int):
        parent, limit = next((Path(path), name) for path, name in GROUPS.items() if Path(path).is_dir())
        self.folder = parent / f"lfdm-{os.getpid()}"
        self.folder.mkdir()
        (self.folder / limit).write_text(str(size))

    def join(self) -> None:
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        self.folder.rmdir()


def train(name: str, data: Path, output: Path, steps: int, limit: MemoryLimit) -> dict[str, float]:
    """Medians over the records of a short training; the first, with what a start costs, does not count."""
    script, options = STAGES[name]
    command = [sys.executable, str(ROOT / "training" / script), *options.split(), "--train_batch_size", BATCH]
    for option, value in {
        "train_data_dir": data / "clips.tar", "cache_dir": data / "frames", "resolution": SIZE, "output_dir": output,
        "max_train_steps": steps, "logging_steps": STEPS, "validation_steps": 0,
    }.items():  # fmt: skip
        command += [f"--{option}", str(value)]
    if script == "train_unet.py":
        command += ["--pretrained_model_name_or_path", str(embedded_model("toon64"))]
        command += ["--motion_cache_dir", str(data / "motion")]
    forget(data)
    shards = sorted((data / "motion").glob("*.tar"))
    subprocess.run(command, check=True, preexec_fn=limit.join)
    assert sorted((data / "motion").glob("*.tar")) == shards, "motion was computed instead of read"
    return medians(output)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.5, help="of memory, for everything")
    parser.add_argument("--times", type=float, default=10, help="how much larger the large set is")
    parser.add_argument("--small", type=int, default=200, help="clips of the small set")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--folder", type=Path, help="of the sets while they are measured; default: the system's")
    parser.add_argument("--output", type=Path, default=Path("larger_than_memory.json"))
    args = parser.parse_args(argv)
    memory = int(args.gigabytes * 1e9)
    clip = FRAMES * SIZE * SIZE * 3 + FRAMES * 3 * (SIZE // 2) ** 2 * 2
    rows: dict[str, dict[str, float]] = {}
    limit = MemoryLimit(memory)
    try:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            folder = Path(name)
            sets = {"small": args.small, "large": int(args.times * memory / clip)}
            sizes = {kind: write_set(folder / kind, clips) for kind, clips in sets.items()}
            for number, kind in enumerate(("small", "large", "small")):  # in turns
                for stage in STAGES:
                    what = f"{stage.split(',')[0]}, {kind}" + (", again" if number == 2 else "")
                    rows[what] = train(stage, folder / kind, folder / what, args.steps, limit)
                    print(f"{what} ({sizes[kind] / 1e9:.2f} GB): {rows[what]}", flush=True)
    finally:
        limit.remove()
    content = {"larger_than_memory": rows, "clips": sets, "bytes": sizes, "memory": memory, "software": software()}
    write_json(args.output, content | {"hardware": hardware(torch.device("cpu"))})


if __name__ == "__main__":
    main()
