"""Name the animated people among Microsoft's Fluent emoji: a metadata.csv beside the pictures; see docs/own-data.md.

python examples/emoji_metadata.py package/assets
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

# The pictures are named by code points: action, tone of skin, gender, such as 1f6b6-1f3fb-200d-2640-fe0f.webp.
ACTIONS = {
    "1f6b6": "walking",
    "1f6b4": "cycling",
    "1f6b5": "mountain biking",
    "1f6a3": "rowing a boat",
    "1f938": "turning a cartwheel",
    "1f939": "juggling",
    "1f93d": "playing water polo",
    "1f93e": "playing handball",
    "1f64b": "raising a hand",
    "1f645": "crossing the arms for no",
    "1f646": "raising the arms for OK",
    "1f647": "bowing",
    "1f926": "covering the face",
    "1f937": "shrugging",
    "1f64d": "frowning",
    "1f64e": "pouting",
}
GENDERS = {"": "person", "-200d-2640-fe0f": "woman", "-200d-2642-fe0f": "man"}
TONES = {
    "": "yellow",
    "-1f3fb": "light",
    "-1f3fc": "medium-light",
    "-1f3fd": "medium",
    "-1f3fe": "medium-dark",
    "-1f3ff": "dark",
}
TEST_SUBJECTS = ("person medium-light", "woman yellow", "woman medium-dark", "man dark")


def write_metadata(folder: Path) -> Path:
    """metadata.csv in a folder: 16 actions of 18 subjects, four of whom are kept for testing."""
    rows = [
        (f"{action}{tone}{gender}.webp", label, subject, "test" if subject in TEST_SUBJECTS else "train")
        for gender, gender_name in GENDERS.items()
        for tone, tone_name in TONES.items()
        for subject in [f"{gender_name} {tone_name}"]
        for action, label in ACTIONS.items()
    ]
    path = folder / "metadata.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "label", "subject", "split"), *rows])
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="package/assets of @lobehub/fluent-emoji-anim-3")
    folder = parser.parse_args().folder
    if not (folder / "1f6b6.webp").is_file():
        parser.error(f"folder must hold the package's pictures, such as 1f6b6.webp, got {folder}")
    print(f"wrote {write_metadata(folder)}")
