"""Which files are clips, frames and pictures, by their suffixes: one list for finding, reading and messages."""

from __future__ import annotations

from pathlib import Path

# The settings of a data set that this package has drawn, at its root.
TOON_FACES_SETTINGS = "toon_faces.json"
PEOPLE_SETTINGS = "people.json"

# Those of clips that an evaluation has generated, which stand beside them, and what they hold in any case.
GENERATED_SETTINGS, GENERATED_KEYS = "settings.json", frozenset({"sampling", "num_videos"})
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".mpg", ".mpeg", ".wmv", ".asf", ".3gp", ".3g2", ".mts", ".m2ts", ".ts",
    ".flv", ".ogv", ".vob", ".mjpeg",
)  # fmt: skip
ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".apng", ".avif")  # which may as well hold one picture
HEIF_SUFFIXES = (".heic", ".heif", ".hif")  # pictures of iPhones and cameras; reading them needs an extra
LOSSLESS_SUFFIXES = (".png", ".apng", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
TAR_SUFFIX = ".tar"  # of WebDataset; clips in it are read where they lie
PICTURE_SUFFIXES = (
    *ANIMATION_SUFFIXES, ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", *HEIF_SUFFIXES,
)  # fmt: skip


def is_video(path: Path) -> bool:
    """Whether a path is a video's by its name; a folder of such a name is one too."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def may_be_animated(path: Path) -> bool:
    """Whether a file of this name may be an animated picture."""
    return path.suffix.lower() in ANIMATION_SUFFIXES


def is_picture(path: Path) -> bool:
    """Whether a path is a picture's by its name; hidden files are none."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def is_gif(path: Path) -> bool:
    """Whether a path is a GIF's by its name: beside other pictures those are previews, not frames."""
    return path.suffix.lower() == ".gif"


def is_drawn(clip: Path, settings: str) -> bool:
    """Whether a clip lies in a data set that this package drew, root/split/label/subject_take; `settings` says which kind."""
    return len(clip.parts) > 3 and (clip.parents[2] / settings).is_file()
