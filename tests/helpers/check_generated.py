"""Look at what the README's main command made: `python tests/helpers/check_generated.py FOLDER`, the photograph's folder.

Every file is there and readable, each clip begins with the photograph, its surroundings stay, and brows and mouth go where the
labels say. OpenCV's dense optical flow measures that in the clips themselves.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.embedded import embedded_photographs

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
APEX = range(8, 15)  # frames in which an expression is full
# Rows and columns in the frame of the face, as shares of its side.
BROWS = ((0.28, 0.44), (0.28, 0.72))
CORNERS = ((0.59, 0.69), (0.31, 0.41)), ((0.59, 0.69), (0.59, 0.69))


def frames_of(path: Path, side: int) -> np.ndarray:
    """All frames of a clip, `(F, side, side, 3)`, uint8."""
    reader, clip = ClipReader(side, side), Clip(path)
    return reader.read(clip, range(reader.count(clip)))


def fallen(face: np.ndarray) -> dict[str, float]:
    """How many pixels brows and corners of the mouth have come down at the apex of a face's clip `(F, H, W, 3)`."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in face]
    down = np.mean([flow.calc(grey[0], grey[i], None)[..., 1] for i in APEX], axis=0)

    def of(rows: tuple[float, float], columns: tuple[float, float]) -> float:
        (top, bottom), (left, right) = ([round(len(down) * share) for share in side] for side in (rows, columns))
        return float(down[top:bottom, left:right].mean())

    return {"brows": of(*BROWS), "mouth": float(np.mean([of(*corner) for corner in CORNERS]))}


def main(folder: Path) -> None:
    ((path, (left, top, right, bottom)),) = embedded_photographs().items()
    photograph = np.asarray(PIL.Image.open(path)).astype(float)
    side = len(photograph)
    moved = {}
    for label in LABELS:
        clip = frames_of(folder / f"{label}.mp4", side)
        assert clip.shape == (24, side, side, 3), f"{label}.mp4: {clip.shape}"
        assert np.abs(clip[0] - photograph).mean() < 4, f"{label} does not begin with the photograph"
        around = np.ones((side, side), bool)
        around[top:bottom, left:right] = False
        changed = np.abs(clip - photograph).mean(axis=(0, 3))
        assert changed[around].mean() < 4, f"{label}: what is around the face does not stay"
        moved[label] = fallen(clip[:, top:bottom, left:right])
        print(label, {part: f"{pixels:+.1f}" for part, pixels in moved[label].items()})
    brows, mouth = ({label: each[part] for label, each in moved.items()} for part in ("brows", "mouth"))
    assert brows["anger"] > 1 > -1 > max(brows["surprise"], brows["fear"]), "brows"
    assert mouth["sadness"] > 1 > -1 > mouth["happiness"], "corners of the mouth"
    # The photograph smiles: a neutral face lets go of that, and does nothing else.
    assert abs(brows["neutral"]) < 2 and 0 < mouth["neutral"] < 0.8 * mouth["sadness"], "a neutral face moves"
    others = {path.name for path in folder.iterdir()} - {f"{label}.mp4" for label in LABELS}
    assert not others, f"nobody asked for {others}"
    print("all there: faces move as their labels say, and nothing else does")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
