"""The clip that a file of a data set holds, drawn again from the settings of that set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...files.reading import read_json
from ..captions.timing import specification_of
from ..clips import Clip, read_clip
from .clips import VERSION, ToonClip, toon_clip
from .writing import ACTIONS_FOLDER, SETTINGS

UNLIKE = 12  # levels of 255 that a lossy file may be off, in the mean; another drawing is off by more


def drawn_again(path: Path, takes_later: int = 0) -> ToonClip:
    """The clip that a file of `write_toon_faces` holds, root/split/label/subject_take, with all that is known about it.

    With `takes_later` it is the take so many further on, of the same person and label.

    Raises:
        ValueError: if it is none, or an earlier version of this package drew it.
    """
    try:
        settings = read_json(path.parents[2] / SETTINGS)
        subject, take = map(int, (path.name if path.is_dir() else path.stem).split("_"))
        version, what = settings["version"], [settings[name] for name in ("seed", "num_frames", "size")]
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"{path} is not in a data set that `lfdm data toon-faces` wrote.") from error
    if version != VERSION:
        raise ValueError(
            f"{path} was drawn by version {version} of toon faces, which this is not ({VERSION}): draw the data set again."
        )
    seed, num_frames, size = what
    take += takes_later
    name = path.parent.name
    does = specification_of(seed, subject, take) if name == ACTIONS_FOLDER else name
    return toon_clip(seed, subject, does, take, num_frames, size, settings.get("style", "painted"))


def redrawn_motion(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Flow `(F, 2, H, W)` and visibility `(F, 1, H, W)` bool of a clip against its first frame, as `ToonClip.flow` gives them.

    Raises:
        ValueError: as `drawn_again`, or if the clip is not the one that its data set's settings draw.
    """
    drawn, frames = drawn_again(clip.path), read_clip(clip)
    if frames.shape != drawn.frames.shape or np.abs(frames.astype(float) - drawn.frames).mean() > UNLIKE:
        raise ValueError(f"{clip.path} is not the clip that {SETTINGS} of its data set says.")
    flow, visibility = drawn.flow_from_first()
    return flow, visibility.astype(bool)
