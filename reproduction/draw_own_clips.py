#!/usr/bin/env python
"""docs/own-data-45-minutes.webp: generated clips of pictures that were not trained on, and the real clips below each.

lfdm evaluate emoji/pipeline --data emoji-test --split test --metrics accuracy --output scores
python reproduction/draw_own_clips.py --scores scores --data emoji-test
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from draw_generated import save

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.sampling import sample_indices, spread

COLUMNS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="what lfdm evaluate wrote")
    parser.add_argument("--data", type=Path, required=True, help="the clips that it was given")
    parser.add_argument("--name", default="own-data-45-minutes", help="of the picture in docs (default: %(default)s)")
    parser.add_argument("--labels", nargs="+", help=f"{COLUMNS} of them (default: spread over all)")
    args = parser.parse_args()
    folder = args.scores / "generated"
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    labels = args.labels or spread(sorted({row["label"] for row in rows}), COLUMNS)
    real = {str(clip.path): clip for clip in find_clips(args.data)}
    made, true = {}, {}
    for number, label in enumerate(labels):
        own = [row for row in rows if row["label"] == label]
        row = own[number % len(own)]  # another subject for each label
        clip = read_clip(folder / row["file_name"])
        made[label] = clip / 255
        reader, original = ClipReader(*clip.shape[1:3]), real[row["picture"]]
        frames = reader.read(original, sample_indices("uniform", reader.length(original), len(clip)))
        true[f"{label}, real"] = reader.place(frames) / 255
    save(args.name, made | true, columns=COLUMNS, scale=2)


if __name__ == "__main__":
    main()
