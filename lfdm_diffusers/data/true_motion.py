"""The true motion of clips of which it is known: toon faces, and clips with a file of flow beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .clips import Clip, read_clip
from .toon_faces import SETTINGS, VERSION, ToonClip, toon_clip

UNLIKE = 12  # levels of 255 that a lossy file may be off, in the mean; another drawing is off by more


def true_motion(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Where every pixel of a clip comes from in its first frame.

    It is read from CLIP.flow.npz beside the clip (arrays `flow` and `visibility` as below; `write_toon_faces(with_flow=True)`
    writes them), or, for a toon face, the clip is drawn again.

    Args:
        clip: a file, or a folder of frames.

    Returns:
        flow `(F, 2, H, W)` float32, an absolute sampling grid as `ToonClip.flow` gives it, and visibility `(F, 1, H, W)` bool.

    Raises:
        ValueError: if it is not known; if the file is broken; if the clip is not the one that its data set's settings draw.
    """
    path = clip.path
    file = path.with_name(f"{_name(path)}.flow.npz")
    if file.is_file():
        try:
            with np.load(file) as arrays:
                flow, visibility = arrays["flow"].astype(np.float32), arrays["visibility"].astype(bool)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{file} must hold arrays `flow` and `visibility`: {error}") from error
        if flow.ndim != 4 or flow.shape[1] != 2 or visibility.shape != (len(flow), 1, *flow.shape[2:]):
            raise ValueError(
                f"{file} must hold flow (F, 2, H, W) and visibility (F, 1, H, W), got {flow.shape} and {visibility.shape}."
            )
        return flow, visibility
    drawn = drawn_again(path)
    frames = read_clip(clip)
    if frames.shape != drawn.frames.shape or np.abs(frames.astype(float) - drawn.frames).mean() > UNLIKE:
        raise ValueError(f"{path} is not the clip that {SETTINGS} of its data set says: its true motion is not known.")
    flow, visibility = drawn.flow_from_first()
    return flow, visibility.astype(bool)


def _name(path: Path) -> str:
    """Of a clip, which is a file or a folder of frames, without suffix."""
    return path.name if path.is_dir() else path.stem


def drawn_again(path: Path, takes_later: int = 0) -> ToonClip:
    """The clip that a file of `write_toon_faces` holds, root/split/label/subject_take, with all that is known about it.

    With `takes_later` it is the take so many further on, of the same person and label.

    Raises:
        ValueError: if it is none, or an earlier version of this package drew it.
    """
    try:
        settings = json.loads((path.parents[2] / SETTINGS).read_text(encoding="utf-8"))
        subject, take = map(int, _name(path).split("_"))
        version, what = settings["version"], [settings[name] for name in ("seed", "num_frames", "size")]
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ValueError(
            f"the true motion of {path} is not known: there is no {_name(path)}.flow.npz beside it, and it is not in a data set "
            "that `lfdm data toon-faces` wrote."
        ) from error
    if version != VERSION:
        raise ValueError(
            f"{path} was drawn by version {version} of toon faces, which this is not ({VERSION}): draw the data set again."
        )
    seed, num_frames, size = what
    return toon_clip(
        seed, subject, path.parent.name, take + takes_later, num_frames, size, settings.get("style", "painted")
    )
