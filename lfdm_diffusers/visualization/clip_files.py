"""What `lfdm generate` writes for one picture: clips, a grid and a sheet of all of them, and their motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from ..data.marks import mark_file
from ..data.video_writing import added_pixels, check_format, clip_path, write_clips
from ..files.whole import whole
from ..pipelines.motion_files import save_motion
from ..pipelines.videos import RenderedVideo
from . import clip_grid, clips_sheet, grid_columns, motion_clip, motion_sheet
from .clip_views import WATCHABLE, ClipViews

KINDS = ("clips", "grid", "sheet", "motion")
SECONDS = 1.6  # what a clip of the trained length takes by default: 10 frames a second for 16, 25 for 40
MOST_FPS = 240
DEFAULT_FPS = 50  # at most, where nothing says how fast a clip is
CLIP = 0.3  # of the time that a clip and its motion take to be drawn and written
GIF_SIDE = 480  # at most, of a clip's GIF: larger ones take tens of megabytes
GRID_WIDTH = 1280  # a grid's tiles are enlarged less where it would become wider


def default_scale(side: int | None) -> int:
    """The whole factor that brings pictures of `side` pixels (128, if a model says none) nearest to `WATCHABLE`."""
    return max(1, round(WATCHABLE / (side or 128)))


def default_fps(num_frames: int, rate: float | None = None) -> float:
    """Frames a second: the `rate` of what a clip comes from, at most `MOST_FPS`, or whole ones, so that it takes `SECONDS`."""
    if rate:
        return min(MOST_FPS, rate)
    return min(DEFAULT_FPS, max(1, round(num_frames / SECONDS)))


def kept_rate(about: Mapping[str, str]) -> float | None:
    """Frames a second of a motion, as its file says about itself; None if it does not say."""
    try:
        rate = float(about.get("fps", ""))
    except ValueError:
        return None
    return rate if 0.001 <= rate <= 1000 else None


def at_rate(frames: np.ndarray, rate: float, fps: float) -> np.ndarray:
    """Frames `(F, ...)` of `rate` a second, as many of each as it takes to play them as fast at `fps`."""
    count = max(1, round(len(frames) * fps / rate))
    return frames[np.minimum(np.floor((np.arange(count) + 0.5) * rate / fps).astype(int), len(frames) - 1)]


@dataclass
class PictureFiles:
    """The files of one picture, in a folder of its own.

    Attributes:
        folder: where they go.
        names: of the clips, as file names without suffix: by seed, then by label.
        kinds: some of `KINDS`.
        formats: of everything that moves; see `write_clip`.
        fps: frames a second of clips that are not in `rates`.
        rates: frames a second of clips, by label. What shows several has the most of all.
        scale: a whole factor by which clips are enlarged.
        tile_scale: the same of what stands beside others; None brings it to about `WATCHABLE` pixels.
        subjects: how many motions a clip has.
        mark: whether clips and pictures say in their metadata that they are generated (`data.marks`).
        written: what has been written: path, kind, label and seed of each file or folder of frames, and of one that has rows and
            columns beyond its frames (`added_pixels`) how many.
    """

    folder: Path
    names: dict[int, dict[str | None, str]]
    kinds: list[str]
    formats: list[str]
    fps: float
    scale: int
    tile_scale: int | None = None
    subjects: int = 1
    mark: bool = True
    rates: Mapping[str | None, float] = field(default_factory=dict)
    written: list[dict[str, Any]] = field(default_factory=list)

    def _moving(self, folder: Path, name: str) -> list[Path]:
        return [clip_path(folder, name, format) for format in self.formats]

    def _of_all(self, kind: str, seed: int) -> str:
        return kind if len(self.names) == 1 else f"{kind}-seed{seed}"

    def planned(self) -> list[Path]:
        """All files (and folders of frames) that will be written."""
        motion, paths = self.folder / "motion", []
        for seed, names in self.names.items():
            for name in names.values():
                paths += self._moving(self.folder, name) if "clips" in self.kinds else []
                for each in self._of_subjects(name) if "motion" in self.kinds else []:
                    paths += [*self._moving(motion, each), motion / f"{each}.png", motion / f"{each}.safetensors"]
            paths += self._moving(self.folder, self._of_all("grid", seed)) if "grid" in self.kinds else []
            paths += [self.folder / f"{self._of_all('sheet', seed)}.png"] if "sheet" in self.kinds else []
        return paths

    def rate(self, label: str | None) -> float:
        """Frames a second of a clip."""
        return self.rates.get(label, self.fps)

    def check(self, height: int, width: int) -> None:
        """Raise a ValueError, before any work, for clips of this size that some format does not hold."""
        for format in self.formats if "clips" in self.kinds else []:
            check_format(format, height * self.scale, width * self.scale)

    def write_one(
        self,
        label: str | None,
        seed: int,
        views: ClipViews,
        about: Sequence[dict[str, object]],
        tell: Callable[[float, str], None] = lambda share, what: None,
    ) -> None:
        """The clip of one label and seed, and its motions.

        Args:
            about: what the file of each motion says about itself.
            tell: called with the share that is done, from 0 to 1, and what comes next; what it raises ends the work, and leaves no file
                half-written.
        """
        count = len(views.frames)
        views = views.watched(lambda number: tell(CLIP * number / count, f"drawing frame {number + 1} of {count}"))
        name, of, fps = self.names[seed][label], {"label": label, "seed": seed}, self.rate(label)
        if "clips" in self.kinds:
            self._write_moving(self.folder, name, views.resized(self.scale), views.tiles, fps, kind="clips", **of)
        motions = zip(self._of_subjects(name), views.motions, about)
        for number, (each, motion, facts) in enumerate(motions if "motion" in self.kinds else []):
            begun, part = CLIP + (1 - CLIP) * number / len(views.motions), (1 - CLIP) / len(views.motions)
            tell(begun, "drawing the motion")
            folder = self.folder / "motion"
            shown = motion.reference, motion.frames, motion.warped, motion.flow.numpy(), motion.occlusion.numpy()
            clip = motion_clip(*shown, self._tile_scale(5, motion.reference))
            self._write_moving(folder, each, clip, clip, fps, kind="motion", **of)
            tell(begun + 0.8 * part, "drawing the motion, frame by frame")
            self._write_picture(folder / f"{each}.png", motion_sheet(*shown), kind="motion", **of)
            path = folder / f"{each}.safetensors"
            save_motion(path, motion.flow, motion.occlusion, {**facts, "fps": fps})
            self._note(path, kind="motion", **of)

    def write_all(self, seed: int, views: dict[str | None, ClipViews]) -> None:
        """The grid and the sheet of all labels' clips of one seed; shorter ones wait at their end."""
        fps = max(map(self.rate, views))
        clips = {label: at_rate(each.tiles, self.rate(label), fps) for label, each in views.items()}
        longest, reference = max(map(len, clips.values())), next(iter(views.values())).tile
        clips = {
            name: np.concatenate((clip, clip[-1:].repeat(longest - len(clip), 0))) for name, clip in clips.items()
        }
        names = [str(label or "no label") for label in clips]
        if "grid" in self.kinds:
            tiles = [reference, *clips.values()]
            columns = grid_columns(len(tiles))
            grid = clip_grid(tiles, ["reference", *names], self._tile_scale(columns, reference), columns)
            of = {"label": None, "seed": seed}
            self._write_moving(self.folder, self._of_all("grid", seed), grid, grid, fps, kind="grid", **of)
        if "sheet" in self.kinds:
            sheet = clips_sheet(reference, list(clips.values()), names)
            path = self.folder / f"{self._of_all('sheet', seed)}.png"
            self._write_picture(path, sheet, kind="sheet", label=None, seed=seed)

    def _of_subjects(self, name: str) -> list[str]:
        """Names of the files of a clip's motions."""
        return [name, *(f"{name}-subject{number}" for number in range(2, self.subjects + 1))]

    def _tile_scale(self, columns: int, reference: np.ndarray) -> int:
        scale = self.tile_scale or default_scale(max(reference.shape[:2]))
        return max(1, min(scale, GRID_WIDTH // (columns * reference.shape[1])))

    def _write_moving(
        self,
        folder: Path,
        name: str,
        frames: np.ndarray | RenderedVideo,
        colours: np.ndarray,
        fps: float,
        **about: str | int | None,
    ) -> None:
        targets = dict(zip(self._moving(folder, name), self.formats))
        side = GIF_SIDE if about["kind"] == "clips" else None
        write_clips(targets, frames, fps, colours, self.mark, side)
        for path, format in targets.items():
            added = added_pixels(format, *frames.shape[1:3])
            self._note(path, **about, **({"added_rows_and_columns": list(added)} if any(added) else {}))

    def _write_picture(self, path: Path, picture: PIL.Image.Image, **about: str | int | None) -> None:
        with whole(path) as part:
            picture.save(part)
            if self.mark:
                mark_file(part, "png")
        self._note(path, **about)

    def _note(self, path: Path, **about: object) -> None:
        self.written.append({"path": str(path), **about})


def file_name(text: str, taken: set[str], most: int = 60) -> str:
    """A file name, without suffix, that tells `text`, and that is not in `taken`; it is added there."""
    words = "".join(character if character.isalnum() else " " for character in text.lower()).split()
    # 60 characters may be 240 bytes; file systems take 255, of which seed and suffix need some.
    base = "-".join(words)[:most].encode()[: 3 * most].decode(errors="ignore").rstrip("-") or "unnamed"
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}-{count}"
    taken.add(name)
    return name
