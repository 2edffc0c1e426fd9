"""Clips a second that the data sets of both stages give, decoding every time and from the cache.

python benchmarks/clip_reading.py                              # 12 toon faces, 64 frames of 256 x 256, H.264
python benchmarks/clip_reading.py --data DATA --workers 4      # your own data
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from lfdm_diffusers.data.batches import StepBatchSampler
from lfdm_diffusers.data.cache import CachedClipReader, ClipReader
from lfdm_diffusers.data.dataset import ClipDataset, PairDataset
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.scan import scan_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces


def items_per_second(dataset: ClipDataset | PairDataset, batch_size: int, workers: int, seconds: float) -> float:
    """Items a second that a loader gives, after its first batch, over about `seconds`."""
    sampler = StepBatchSampler(len(dataset), batch_size, num_steps=1_000_000)
    batches = iter(DataLoader(dataset, batch_sampler=sampler, num_workers=workers))
    next(batches)
    begin, items = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        next(batches)
        items += batch_size
    return items / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set in any layout; default: toon faces, drawn for this")
    parser.add_argument("--format", default="mp4", choices=["mp4", "webm", "webp", "png"], help="of the toon faces")
    parser.add_argument("--clips", type=int, default=12, help="toon faces to draw")
    parser.add_argument("--size", type=int, default=128, help="side of the training pictures in pixels")
    parser.add_argument("--compress", action="store_true", help="compress the cache")
    parser.add_argument("--num_frames", type=int, default=40, help="frames of a stage-two clip")
    parser.add_argument("--batch_size", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0, help="loader processes")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each measurement")
    args = parser.parse_args()
    torch.set_num_threads(1)

    with tempfile.TemporaryDirectory() as folder:
        root = args.data
        if root is None:
            root = Path(folder, "toon")
            write_toon_faces(
                root, args.clips, 0, labels=("surprise",), num_frames=64, size=256, format=args.format, progress=False
            )
        plain = ClipReader(args.size, args.size)
        cached = CachedClipReader(Path(folder, "cache"), args.size, args.size, compress=args.compress)
        begin = time.perf_counter()
        report = scan_clips(find_clips(root), cached, workers=args.workers)
        print(f"scan, which fills the cache: {time.perf_counter() - begin:.1f} s")
        print(report)
        frames = sum(clip.num_frames for clip in report.clips)
        kept = sum(path.stat().st_size for path in Path(folder, "cache").rglob("*.*"))
        print(f"cache: {kept / 1e6:.1f} MB, {kept / frames / 1e3:.1f} kB a frame")

        print(f"\n{os.cpu_count()} cores, {args.workers} workers, {args.size} x {args.size} pixels")
        print(f"{'':46}{'decoding':>10}{'cached':>10}{'times':>8}")
        for name, make in (
            (
                f"stage two, clips of {args.num_frames} a second",
                lambda r, a: _clips(report.clips, r, args.num_frames, a),
            ),
            ("stage one, pairs a second", lambda r, a: PairDataset(report.clips, r, augment=a)),
        ):
            for augment in (True, False):
                rates = [
                    items_per_second(make(reader, augment), args.batch_size, args.workers, args.seconds)
                    for reader in (plain, cached)
                ]
                row = f"{name}, {'augmented' if augment else 'as they are'}"
                print(f"{row:46}{rates[0]:10.1f}{rates[1]:10.1f}{rates[1] / rates[0]:8.1f}", flush=True)


def _clips(clips: list, reader: ClipReader, num_frames: int, augment: bool) -> ClipDataset:
    return ClipDataset(clips, reader, num_frames, strategy="random", augment=augment)


if __name__ == "__main__":
    main()
