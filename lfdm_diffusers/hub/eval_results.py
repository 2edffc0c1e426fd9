"""Scores of `lfdm evaluate` as the Hub shows them on a model's page and on a benchmark's board: `.eval_results/NAME.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ..files.whole import write_text

FOLDER = ".eval_results"


def eval_results(results: dict[str, Any], benchmark: str) -> list[dict[str, Any]]:
    """One entry for each score, as https://huggingface.co/docs/hub/eval-results says.

    Args:
        results: what `lfdm evaluate` has left in results.json.
        benchmark: the data set's repository on the Hub. Its tasks have the names of scores: fvd, accuracy, ...

    Raises:
        ValueError: if `results` is something else.
    """
    try:
        scores, receipt = results["scores"], results["receipt"]
        videos, data = receipt["videos"], receipt["data"]
        split = f" ({data['split']})" if data["split"] else ""
        about = [
            f"{videos['generated']} clips against {videos['real']} real ones of {data['name']}{split}, {videos['frames']} frames of "
            f"{videos['width']}x{videos['height']} pixels"
        ]
        if sampling := receipt.get("sampling"):
            about.append(", ".join(f"{name} {sampling[name]}" for name in SAMPLING if sampling.get(name) is not None))
        if receipt.get("reconstructed"):
            about.append("reconstructed, not generated")
        return [
            {
                "dataset": {"id": benchmark, "task_id": name},
                "value": score["value"],
                "notes": "; ".join([*about, *(f"{key} {score[key]:.4g}" for key in BESIDE if key in score)]),
            }
            for name, score in scores.items()
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`results` must be what `lfdm evaluate` leaves in results.json, with scores and their receipt; {error!r} is missing or "
            "of another kind."
        ) from error


SAMPLING = ("scheduler", "num_inference_steps", "guidance_scale", "eta", "seed")
BESIDE = ("real_against_real", "real_value", "static_l1", "no_motion")  # what a score is compared with


def write_eval_results(folder: Path, name: str, entries: list[dict[str, Any]]) -> Path:
    """Entries in a model's folder, from where `push_folder` uploads them; returns the file."""
    path = folder / FOLDER / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    write_text(path, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120))
    return path


def plain_results(folder: Path) -> list[Path]:
    """The files of results in a model's folder.

    Raises:
        ValueError: if one is a link, which may lead to what is not meant to be pushed.
    """
    found = sorted((folder / FOLDER).glob("*.yaml"))
    for path in (folder / FOLDER, *found):
        if path.is_symlink():
            raise ValueError(f"{path} is a link; put a copy in its place.")
    return found
