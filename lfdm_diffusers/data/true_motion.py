"""The true motion of clips of which it is known: those with a file of flow beside them, and drawn ones."""

from __future__ import annotations

import zipfile

import numpy as np

from ..files.limits import require_bytes
from ..files.reading import UnreadableFileError, reading
from .clips import Clip
from .toon_faces.redrawing import redrawn_motion


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
    file = path.with_name(f"{path.name if path.is_dir() else path.stem}.flow.npz")
    if not file.is_file():
        try:
            return redrawn_motion(clip)
        except ValueError as error:
            raise ValueError(
                f"The true motion of {path} is not known: there is no {file.name} beside it, and {error}"
            ) from error
    try:
        with reading(file, "an archive of arrays"), zipfile.ZipFile(file) as archive:
            require_bytes(sum(member.file_size for member in archive.infolist()), f"{file.name}'s arrays take")
        with reading(file, "an archive of arrays"), np.load(file) as arrays:
            flow, visibility = arrays["flow"], arrays["visibility"]
    except (UnreadableFileError, MemoryError) as error:  # an array's header may claim any size
        raise ValueError(f"{file} must hold arrays `flow` and `visibility`: {error}") from error
    if flow.dtype.kind != "f" or visibility.dtype.kind not in "biuf":  # a byte for each number would be four
        raise ValueError(
            f"{file} must hold flow of floats and visibility of numbers, got {flow.dtype} and {visibility.dtype}."
        )
    if flow.ndim != 4 or flow.shape[1] != 2 or visibility.shape != (len(flow), 1, *flow.shape[2:]):
        raise ValueError(
            f"{file} must hold flow (F, 2, H, W) and visibility (F, 1, H, W), got {flow.shape} and {visibility.shape}."
        )
    return flow.astype(np.float32), visibility.astype(bool)
