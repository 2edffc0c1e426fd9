#!/usr/bin/env python
r"""docs/own-data-45-minutes.webp: generated clips of pictures that were not trained on, and the real clips below each.

lfdm evaluate emoji/pipeline --data package/assets --split test --metrics fvd,cfvd,kvd,accuracy --output scores
python reproduction/draw_own_clips.py --scores scores --data package/assets --labels bowing cycling juggling "mountain biking" \
    "playing water polo" "raising the arms for ok" shrugging walking
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from draw_generated import save

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.sampling import spread
from lfdm_diffusers.evaluation.video_sets import VideoSet

COLUMNS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="what lfdm evaluate wrote")
    parser.add_argument("--data", type=Path, required=True, help="the clips that it was given")
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
        original = VideoSet([real[row["picture"]]], ClipReader(*clip.shape[1:3]), len(clip))
        true[f"{label}, real"] = original.frames(0).permute(0, 2, 3, 1).numpy() / 255
    save("own-data-45-minutes", made | true, columns=COLUMNS, scale=2)


if __name__ == "__main__":
    main()
