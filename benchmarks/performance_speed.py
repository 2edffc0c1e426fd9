"""The part of docs/performance.md that a run of speed.py has: its table beside the released code, memory, and what grows how."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from speed import is_of, plan, usual_batch
from workloads import ITEMS, Case

DOCS = Path(__file__).parents[1] / "docs"
RUNS = DOCS / "performance"

# Seconds and GB of the released code, mug128 in float32 on two CPU cores with a peak of 400 GFLOP/s; one video (stage one: four
# pairs). Measured once, by a program that called it; its licence keeps it out of this project, and so that program too.
RELEASED = {
    "encode": (0.0195, 0.57),
    "flow": (0.172, 0.65),
    "decode": (3.69, 0.62),
    "unet_step": (2.64, 1.27),
    "video_ddim10": (28.3, 1.53),
    "train_unet_step": (17.9, 5.2),
    "train_lfae_step": (2.15, 2.07),
}
RELEASED_PEAK = 400
MATRIX_PEAK = 2500  # of the same machine in bfloat16, for which its processor has matrix instructions


def as_trained(row: dict) -> bool:
    return row["frames"] is None and row["size"] is None


def released(row: dict) -> tuple[float, float] | None:
    """Seconds and GB of the released code for the same, if they are known."""
    fits = (
        row["model"] == "mug128"
        and as_trained(row)
        and row["device"] == "cpu"
        and not row["compiled"]
        and not row["checkpointing"]
    )
    return RELEASED.get(row["item"]) if fits and row["batch"] == usual_batch(row["item"]) else None


def plain_of(row: dict, rows: list[dict]) -> dict | None:
    """The row of the plain formulas for the same, if there is one."""
    same = ("item", "model", "batch", "frames", "size", "device")
    return next((other for other in rows if other["plain"] and all(other[k] == row[k] for k in same)), None)


def named(row: dict) -> str:
    words = [row["dtype"]]
    words += [word for word in ("compiled", "checkpointing", "plain") if row[word]]
    return ", ".join(words)


def speed_table(rows: list[dict], half: bool) -> str:
    """Everything as trained, a line each; `half`: whether the processor has instructions for bfloat16."""
    heads = "model | | precision | batch | seconds | first call | GB | GFLOP | share of peak | seconds x peak | than plain | than released"
    lines = [f"| {heads} |", "|" + " --- |" * (heads.count("|") + 1)]
    for row in filter(as_trained, rows):
        low, high = row["spread"]
        spread = "" if row["extrapolated"] else f" ({low:.3g} to {high:.3g})"
        # CPUs without instructions for a type have no peak of it that would say anything.
        told = ("float32", "bfloat16") if half else ("float32",)
        has_peak = row["share_of_peak"] and (row["device"] != "cpu" or row["dtype"] in told)
        share = f"{row['share_of_peak']:.0%}" if has_peak else ""
        flops = f"{row['gigaflop']:.4g}" if row["gigaflop"] else ""
        theirs = released(row)
        times = ""
        if theirs:
            times = f"{theirs[0] * RELEASED_PEAK / row['seconds_x_peak']:.1f} ({theirs[0] / row['seconds']:.1f})"
        plain = plain_of(row, rows)
        than_plain = f"{plain['seconds'] / row['seconds']:.1f}" if plain and not row["plain"] else ""
        memory = f"{row['peak_memory_gb']:.2f}" + (f" ({theirs[1]:.2f})" if theirs else "")
        cells = [row["model"], ITEMS[row["item"]], named(row), row["batch"], f"{row['seconds']:.4g}{spread}"]
        cells += [f"{row['first_call']:.3g}", memory, flops, share, f"{row['seconds_x_peak']:.4g}", than_plain, times]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def matrix_told(rows: list[dict]) -> str:
    """How much bfloat16 can gain here, and where the released code was measured."""
    both = [row["gemm_gflops"] for row in rows if {"float32", "bfloat16"} <= row["gemm_gflops"].keys()]
    if not both:
        return ""
    gains = sorted(peaks["bfloat16"] / peaks["float32"] for peaks in both)
    return (
        f"The processor that the released code was measured on has matrix instructions: its peak in bfloat16, about {MATRIX_PEAK} GFLOP/s, is "
        f"{MATRIX_PEAK / RELEASED_PEAK:.1f} times that in float32. Here it is {statistics.median(gains):.1f} times (median of the rows, "
        f"{gains[0]:.1f} to {gains[-1]:.1f}), which bounds what bfloat16 can gain."
    )


def memory_told(rows: list[dict]) -> str:
    """What takes more memory than the released code, and how much of it libraries are."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RUNS.glob("*.json"))]
    imports = next((content["seconds"] for content in files if "seconds" in content), {})
    compared = [
        (row, released(row)) for row in rows if row["dtype"] == "float32" and not row["plain"] and released(row)
    ]
    more = [(row, theirs[1]) for row, theirs in compared if row["peak_memory_gb"] > theirs[1]]
    if not more or "torch" not in imports:
        return ""
    torch, imported = imports["torch"]["memory_gb"], max(row["memory_after_imports_gb"] for row, _ in more)
    each = "; ".join(
        f"{ITEMS[row['item']]} {row['peak_memory_gb']:.2f} against {theirs:.2f}, without what is imported "
        f"{row['peak_memory_gb'] - row['memory_after_imports_gb']:.2f} against {theirs - torch:.2f}"
        for row, theirs in more
    )
    return (
        f"In float32 this takes more GB than the released code: {each}. What is imported takes {imported:.2f} GB, and torch alone {torch:.2f}, "
        "which is all that is taken off the released code's; its other imports are not known."
    )


def case_named(case: Case) -> str:
    """A case in words."""
    row = asdict(case)
    words = [case.model, ITEMS[case.item], named(row), f"batch {case.batch}"]
    words += [f"{row[name]} {unit}" for name, unit in (("frames", "frames"), ("size", "pixels")) if row[name]]
    return ", ".join(words)


def exponent(points: tuple[tuple[float, float], tuple[float, float]]) -> float:
    """Of the power law through two points."""
    (x0, y0), (x1, y1) = points
    return math.log(y1 / y0) / math.log(x1 / x0)


def growth(rows: list[dict]) -> tuple[str, str]:
    """Cost of longer and larger videos: the power laws between neighbours, and what each frame or pixel adds to memory; and in which
    precision that was measured."""
    dtype = next((row["dtype"] for row in rows if not as_trained(row)), "")
    heads = ("grows", "at", "seconds", "cost grows as", "GB", "memory grows by")
    lines = ["| | " + " | ".join(heads) + " |", "|" + " --- |" * 7]
    for item in ("unet_step", "decode"):
        for what, trained in (("frames", 40), ("size", 128)):
            other = "size" if what == "frames" else "frames"
            found = [
                row
                for row in rows
                if (row["item"], row["model"], row["dtype"], row["batch"]) == (item, "mug128", dtype, 1)
                and row[other] is None
                and not row["compiled"]
                and not row["plain"]
            ]
            found.sort(key=lambda row: row[what] or trained)
            if len(found) < 2:
                continue
            sizes = [row[what] or trained for row in found]
            seconds, costs = ([row[name] for row in found] for name in ("seconds", "seconds_x_peak"))
            memory = [row["peak_memory_gb"] - row["memory_after_imports_gb"] for row in found]
            powers = [f"{exponent(pair):.2f}" for pair in itertools.pairwise(zip(sizes, costs))]
            units = [size if what == "frames" else size**2 / 1000 for size in sizes]
            added = 1000 * (memory[-1] - memory[0]) / (units[-1] - units[0])
            label, unit = ("frames", "a frame") if what == "frames" else ("pixels a side", "for 1,000 pixels")
            lists = [", ".join(f"{v:.3g}" for v in values) for values in (sizes, seconds, memory)]
            lists[2:2] = [f"{what}^{', ^'.join(powers)}"]
            lines.append("| " + " | ".join((ITEMS[item], label, *lists, f"{added:.2g} MB {unit}")) + " |")
    return "\n".join(lines) if len(lines) > 2 else "", dtype


def in_order(rows: list[dict], cases: list[Case]) -> list[dict]:
    """As the plan has them, whenever they were run; what it does not have at the end."""
    places = [next((i for i, case in enumerate(cases) if is_of(case, row)), len(cases)) for row in rows]
    return [row for _, row in sorted(zip(places, rows), key=lambda pair: pair[0])]


def speed_part(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    machine, note = content["machine"], content.get("note")
    cases = plan(content["rows"][0]["device"], machine["half"])
    rows = in_order(content["rows"], cases)
    parts = [
        f"## {machine['processor']}, {machine['threads']} threads, torch {content['software']['torch']}",
        *filter(None, (note,)),
        f"```bash\n{machine['command']}\n```",
        speed_table(rows, machine["half"]),
    ]
    told = matrix_told(rows) if rows[0]["device"] == "cpu" and machine["half"] else ""
    parts += filter(None, (told, memory_told(rows)))
    commits = Counter(row["commit"] for row in rows)
    told = ", ".join(f"{count} of {commit}" for commit, count in commits.items())
    parts.append(f"Rows are of these commits of the project: {told}.")
    missing = [case for case in cases if not any(is_of(case, row) for row in rows)]
    if missing and not note:
        parts.append(f"Not measured: {'; '.join(map(case_named, missing))}.")
    table, dtype = growth(rows)
    if table:
        parts += [
            "### Longer and larger videos",
            f"mug128 in {dtype}; memory without the libraries' share. The exponents are of the power laws of `seconds x peak` from each "
            "size to the next, as a machine is not as fast in one hour as in another: the U-Net's grows with frames, as all frames of a place attend to each other.",
            table,
        ]
    return parts
