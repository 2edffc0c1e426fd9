"""The parts that decide how a large data set is trained on: bytes a clip, and clips a second, on one core.

python benchmarks/scale.py --output docs/scale.json            # toon faces, drawn for this, in tars
python benchmarks/scale.py --data 'shards/{000..007}.tar' --clips 200      # your own
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from lfdm_diffusers.data.cache import CachedClipReader, ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.scan import scan_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.embedded import embedded_model
from lfdm_diffusers.evaluation.report import hardware
from lfdm_diffusers.files.shards import ArrayShards
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.models import LatentFlowAutoencoder
from lfdm_diffusers.training.motion_cache import MotionCache

MEMBERS = 4_000  # of the tar and of the index that are measured by themselves


def per_second(work: Callable[[object], object], items: Iterable[object]) -> float:
    """Items a second of the process's own time, so that what else the machine does counts little."""
    begin, count = time.process_time(), 0
    for item in items:
        work(item)
        count += 1
    return count / (time.process_time() - begin)


def write_tar(path: Path, root: Path) -> None:
    """A tar of a folder's clips, under their names."""
    with tarfile.open(path, "w") as tar:
        for clip in find_clips(root):
            tar.add(clip.path, clip.path.relative_to(root).as_posix())


def measure_clips(clips: list[Clip], folder: Path, size: int, lfae: LatentFlowAutoencoder) -> dict[str, float]:
    """What decoding, caching, motion and reading take."""
    plain, cached = ClipReader(size, size), CachedClipReader(folder / "frames", size, size)
    clips = scan_clips(clips, plain, progress=False).clips
    found: dict[str, float] = {"frames a clip": float(np.mean([clip.num_frames for clip in clips]))}
    found["bytes a clip, as it came"] = float(
        np.mean([clip.packed.size if clip.packed else clip.path.stat().st_size for clip in clips])
    )
    found["decoded a second"] = per_second(plain.check, clips)
    found["decoded, scaled and kept a second"] = per_second(cached.check, clips)
    found["bytes a clip, frames"] = float(np.mean([cached.path(clip).stat().st_size for clip in clips]))
    cache = MotionCache(folder / "motion", lfae, cached)
    found["motion a second"] = per_second(cache.load, clips)
    cache.shards.finish()
    shards = list((folder / "motion").glob("*.tar"))
    found["bytes a clip, motion"] = sum(shard.stat().st_size for shard in shards) / len(clips)
    order = np.random.default_rng(0).permutation(len(clips))
    found["motion read a second"] = per_second(lambda at: np.array(cache.load(clips[at])), [*order] * 10)
    return found


def measure_indices(folder: Path) -> dict[str, float]:
    """What finding clips and motion takes where there are many of them."""
    members, shards = folder / "many.tar", ArrayShards(folder / "many")
    with tarfile.open(members, "w") as tar:
        for number in range(MEMBERS // 2):
            for name in (f"{number:06d}.mp4", f"{number:06d}.txt"):
                tar.addfile(tarfile.TarInfo(name))
    for number in range(MEMBERS):
        shards.add(f"{number:032x}", np.zeros((1, 1), np.float16))
    shards.finish()

    def seconds(work: Callable[[], object]) -> float:
        begin = time.process_time()
        work()
        return time.process_time() - begin

    again = ArrayShards(folder / "many")
    found = {
        "clips found in tars a second": MEMBERS / 2 / seconds(lambda: find_clips(members)),
        "motion found in shards a second": MEMBERS / seconds(again.refresh),
    }
    places = again._places
    found["bytes a clip, index in memory"] = float(
        sys.getsizeof(places) / len(places)
        + np.mean([sys.getsizeof(k) + sys.getsizeof(v) + 64 for k, v in places.items()])
    )
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set in any layout; default: toon faces, drawn for this")
    parser.add_argument("--clips", type=int, default=24, help="of them that are measured")
    parser.add_argument("--frames", type=int, default=16, help="of each toon face")
    parser.add_argument("--pixels", type=int, default=256, help="side of the toon faces")
    parser.add_argument(
        "--size", type=int, default=64, help="side of the training pictures, which the model must take"
    )
    parser.add_argument("--lfae", type=Path, help="the auto-encoder; default: toon64's")
    parser.add_argument("--output", type=Path, help="gets the numbers as JSON")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    lfae = LatentFlowAutoencoder.from_pretrained(args.lfae or Path(embedded_model("toon64"), "lfae"))
    lfae = lfae.float().requires_grad_(False).eval()
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), args.data
        if data is None:
            write_toon_faces(
                folder / "toon", args.clips, 0, labels=("surprise",), num_frames=args.frames, size=args.pixels,
                format="mp4", progress=False,
            )  # fmt: skip
            data = folder / "toon.tar"
            write_tar(data, folder / "toon")
        found = measure_clips(find_clips(data)[: args.clips], folder, args.size, lfae) | measure_indices(folder)
    for what, number in found.items():
        print(f"{what:40}{number:14,.1f}")
    if args.output:
        about = {
            "clips": args.clips,
            "pixels": args.pixels,
            "size": args.size,
            "hardware": hardware(torch.device("cpu")),
        }
        write_json(args.output, {"scale": found} | about, indent=2)
        print(f"wrote {args.output}: {json.dumps(about)[:200]}")


if __name__ == "__main__":
    main()
