"""What an evaluation leaves: results.json with its receipt, a table, and plots."""

from __future__ import annotations

import contextlib
import json
import math
import platform
import re
import sys
from pathlib import Path
from typing import Any

import accelerate
import diffusers
import numpy as np
import safetensors
import torch
import transformers

from ..files.whole import whole, write_text
from ..version import __version__

FRECHET = {"fvd", "cfvd", "sfvd", "gap", "fid", "sfid"}  # metrics of means and covariances
TITLES = {
    "fvd": "FVD",
    "cfvd": "cFVD (mean over labels)",
    "sfvd": "sFVD (mean over subjects)",
    "kvd": "KVD",
    "gap": "FVD unseen - seen",
    "fid": "FID over frames",
    "sfid": "sFID (mean over subjects)",
    "accuracy": "label accuracy",
    "expression": "distance of judged expressions",
    "timing": "onset between seeds, frames",
    "identity": "similarity to the person",
    "background": "L1 of the background",
    "diversity": "L1 between seeds",
    "l1": "L1 of reconstruction",
    "epe": "end-point error, pixels",
    "occlusion": "occlusion of hidden places",
}


# What a score is compared with, by the first of these keys that it has.
BESIDE = {
    "value_of_halves": "halves ({real_against_real_clips} clips): {value_of_halves:.4g}, real ones {real_against_real:.4g}",
    "real_against_real": "{real_against_real:.4g} with {real_against_real_clips} clips each",
    "first_frame": "{real_value:.4g} of real clips, {first_frame:.4g} of their first frames",
    "real_value": "{real_value:.4g} of real clips",
    "of_visible": "{of_visible:.4g} of visible places",
    "static_l1": "{static_l1:.4g} if the first frame is repeated",
    "no_motion": "{no_motion:.4g} of no motion",
    "unseen": "{unseen:.4g} - {seen:.4g}, {clips_each} clips each",
}


def software() -> dict[str, str]:
    """Versions of what numbers depend on."""
    packages = (accelerate, diffusers, np, safetensors, torch, transformers)
    return {"lfdm_diffusers": __version__, "python": platform.python_version()} | {
        package.__name__: package.__version__ for package in packages
    }


def peak_memory_bytes() -> int | None:
    """The most memory that this process has held so far; None on Windows, which is not asked."""
    with contextlib.suppress(OSError):  # Linux's ru_maxrss starts at that of the process which started this one
        found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def hardware(device: torch.device) -> dict[str, Any]:
    """What it ran on, and the most memory that this process has held so far."""
    about: dict[str, Any] = {"device": str(device), "machine": platform.machine(), "threads": torch.get_num_threads()}
    about["peak_memory_bytes"] = peak_memory_bytes()
    if device.type == "cuda":
        about |= {
            "gpu": torch.cuda.get_device_name(device),
            "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(device),
        }
    return about


def rounded(value: Any, digits: int = 5) -> Any:
    """For JSON: numbers of nested dicts and lists to so many significant digits, and None for what is not a number."""
    if isinstance(value, dict):
        return {key: rounded(each, digits) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each, digits) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value


def table(results: dict) -> str:
    """The scores in Markdown, with what one must know to read them."""
    receipt, rows = results["receipt"], []
    for name, score in results["scores"].items():
        value = f"{score['value']:.4g}"
        if "interval" in score:
            value += f" ({score['interval'][0]:.4g} to {score['interval'][1]:.4g})"
        if "std" in score:
            value += f" ± {score['std']:.4g}"
        beside = next((text.format(**score) for key, text in BESIDE.items() if key in score), "")
        rows.append(f"| {TITLES[name]} | {value} | {beside} | {score.get('detector', score.get('judge', ''))} |")
    videos = receipt["videos"]
    lines = [
        f"# {Path(receipt['source']).name if receipt['kind'] == 'clips' else receipt['source']}",
        "",
        (
            f"{videos['generated']} clips against {videos['real']} real ones"
            if videos["generated"]
            else f"{videos['real']} real clips"
        )
        + f" of {receipt['data']['name']}"
        f"{' (' + receipt['data']['split'] + ')' if receipt['data']['split'] else ''}, {videos['frames']} frames of "
        f"{videos['width']}x{videos['height']} pixels.",
    ]
    if sampling := receipt.get("sampling"):
        how = "One pass"
        if sampling["num_inference_steps"]:
            how = f"{sampling['scheduler']}, {sampling['num_inference_steps']} steps, guidance {sampling['guidance_scale']:g}, "
            how += f"eta {sampling['eta']:g}"
        lines.append(f"{how}, seed {sampling['seed']}{'' if sampling['labels'] else ', without labels'}.")
    if receipt.get("reconstructed"):
        lines.append("Not generated: the real clips, as the model's auto-encoder gives them back.")
    scores, notes = results["scores"].values(), []
    if FRECHET & set(results["scores"]):
        notes.append(f"Covariances are divided by n - {receipt['rules']['ddof']}.")
    if any("interval" in score for score in scores):  # what the table shows, and nothing else
        notes.append("In brackets 95% intervals.")
    if any("std" in score for score in scores):
        notes.append("After ± the standard deviation over groups.")
    lines += [
        " ".join(notes),
        "",
        "| | value | to compare | measured by |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
    ]
    return "\n".join(lines)


def plot(results: dict, path: Path) -> bool:
    """Bars by label or subject and a line by frame, as PNG; returns whether there was anything to plot.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scores = results["scores"]
    panels = [(name, "groups") for name, score in scores.items() if score.get("groups")]
    panels += [(name, "per_frame") for name, score in scores.items() if score.get("per_frame")]
    if not panels:
        return False
    figure = Figure(figsize=(7, 2.8 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, kind) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels):
        values = scores[name][kind]
        axes.set_title(TITLES[name], loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        if kind == "groups":
            axes.bar(range(len(values)), list(values.values()), color="#3b6fb6")
            axes.axhline(scores[name]["value"], color="#b63b3b", linewidth=1)
            axes.set_xticks(
                range(len(values)), list(values), rotation=30 if len(values) <= 12 else 90, ha="right", fontsize=8
            )
        else:
            axes.plot(range(len(values)), values, color="#3b6fb6", marker=".")
            axes.set_xlabel("frame", fontsize=9)
        axes.set_ylim(bottom=min(0, *(values.values() if kind == "groups" else values)))  # KVD may be negative
    with whole(path) as part:
        figure.savefig(part, dpi=120, format="png")
    return True


def write_report(folder: str | Path, results: dict) -> list[Path]:
    """results.json, results.md and, with matplotlib, results.png; returns those written."""
    results = rounded(results, digits=6)
    folder = Path(folder)
    files = [folder / "results.json", folder / "results.md"]
    for file, text in zip(files, (json.dumps(results, indent=2) + "\n", table(results))):
        write_text(file, text)
    try:
        if plot(results, folder / "results.png"):
            files.append(folder / "results.png")
    except ImportError:
        print("no plots: pip install 'lfdm_diffusers[docs]'", file=sys.stderr)
    return files
