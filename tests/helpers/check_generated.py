"""Look at what the README's main command made: `python tests/helpers/check_generated.py FOLDER`, one picture's folder.

Every file is there and readable, clips move, labels differ, and the judge of expressions finds the labels asked for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.toon_faces import LABELS
from lfdm_diffusers.metrics import load_judge

LEAST_RIGHT = 6  # of seven; it makes seven here, and 98% on average (see the card)


def clip_of(path: Path) -> torch.Tensor:
    """The frames of a file at 64x64, `(F, 3, 64, 64)` in [0, 1]."""
    reader = ClipReader(64, 64)
    clip = Clip(path)
    frames = reader.read(clip, range(reader.count(clip)))
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def main(folder: Path) -> None:
    clips = {label: clip_of(folder / f"{label}.mp4") for label in LABELS}
    for label, clip in clips.items():
        assert clip.shape == (16, 3, 64, 64), f"{label}.mp4: {tuple(clip.shape)}"
        assert (clip - clip[0]).abs().mean(dim=(1, 2, 3)).max() > 0.004, f"{label}: hardly anything moves"
    stacked = torch.stack(list(clips.values()))
    apart = [(stacked[i] - stacked[j]).abs().mean().item() for i in range(7) for j in range(i)]
    assert min(apart) > 0.001, "two labels gave the same clip"
    judge = load_judge("expression")
    with torch.no_grad():
        found = judge(stacked).logits.argmax(dim=1).tolist()
    right = [label == judge.labels[i] for label, i in zip(clips, found)]
    assert sum(right) >= LEAST_RIGHT, f"only {sum(right)} of 7 expressions are right"
    others = {path.name for path in folder.iterdir()} - {f"{label}.mp4" for label in LABELS}
    assert not others, f"nobody asked for {others}"
    print(f"all there: {sum(right)} of 7 expressions are right")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
