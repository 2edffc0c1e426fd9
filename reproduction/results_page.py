#!/usr/bin/env python
"""docs/results.md, of the results in docs/results that paper_tables.py measured.

python reproduction/results_page.py
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from paper_tables import (
    BASELINES,
    COSTS,
    DDIM_10,
    DDIM_100,
    DDPM_1000,
    DOCS,
    FEW_DDIM_10,
    LFDM,
    NOTES,
    RESULTS,
    SAMPLERS,
    SECONDS,
    STATIC,
    TABLES,
    Row,
    Table,
)

from lfdm_diffusers.evaluation.report import TITLES
from lfdm_diffusers.files.whole import write_text


def load(name: str) -> dict | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def costs_of(name: str) -> dict:
    """What a row of table 1 costs, or a sampler of table 6; empty if that was not measured."""
    samplers = (load(Path(SECONDS).stem) or {"seconds": {}})["seconds"]
    if name in samplers:
        return {"seconds": samplers[name]["median"]}
    return (load("costs") or {"systems": {}})["systems"].get(name.removeprefix("table1-"), {})


def plain(value: float, digits: int) -> str:
    """A number of so many digits that count, without an exponent."""
    return f"{float(f'{value:.{digits}g}'):.15g}"


def wrapped(text: str, mark: str = "") -> str:
    """A paragraph in lines of 120 characters, the first after `mark`."""
    return textwrap.fill(
        text,
        120,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def cost_cell(name: str, column: str) -> str:
    """For the table."""
    costs = costs_of(name)
    if column not in costs:
        return ""
    if column == "training_petaflop":
        before = costs["petaflop_before_denoiser"]
        return plain(costs[column], 2) + (f" ({plain(before, 2)})" if before else "")
    return plain(costs[column], 3)


def scores_of(row: Row) -> dict:
    """Of a row, if it was measured."""
    return (load(row.name) or {"scores": {}})["scores"]


def score_of(row: Row, score: str) -> float:
    return scores_of(row)[score]["value"]


def errors_apart(first: Row, second: Row, score: str = "fvd") -> float:
    """How far two rows lie apart, in standard errors of their difference."""
    a, b = (scores_of(row)[score] for row in (first, second))
    return abs(a["value"] - b["value"]) / math.hypot(a["standard_error"], b["standard_error"])


def listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def against_lfdm() -> str:
    """What table 1 shows."""
    rows = [row for row in BASELINES if scores_of(row)]
    best = min(rows, key=lambda row: score_of(row, "fvd"))
    text = (
        f"LFDM's FVD is {score_of(LFDM, 'fvd'):.4g}. The best of the compared systems, {best.title}, has {score_of(best, 'fvd'):.4g}, "
        f"{errors_apart(best, LFDM):.1f} standard errors away; repeating the first frame gives {score_of(STATIC, 'fvd'):.4g}."
    )
    accuracies = [score_of(row, "accuracy") for row in (LFDM, *rows)]
    clips = load(LFDM.name)["receipt"]["videos"]["generated"]
    text += (
        f" Label accuracy lies between {min(accuracies):.3g} and {max(accuracies):.3g}, {round((max(accuracies) - min(accuracies)) * clips)} "
        f"clips of {clips} apart, and does not rank them."
    )
    cheaper: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if columns := tuple(title for key, title in COSTS.items() if costs_less(row, key)):
            cheaper.setdefault(columns, []).append(row.title.replace(",", " at"))
    costs = [
        f"{listed(names)} in {'all costs' if len(columns) == len(COSTS) else listed(columns)}"
        for columns, names in cheaper.items()
    ]
    return f"{text} Cheaper than LFDM are {'; '.join(costs)}." if costs else text


def costs_less(row: Row, column: str) -> bool:
    """Than LFDM's own sampling."""
    theirs, ours = (costs_of(name) for name in (row.name, LFDM.name))
    return column in theirs and column in ours and theirs[column] < ours[column]


def gap_of_people() -> str:
    """What table 2 shows."""
    gaps = {row.title: scores_of(row)["gap"] for row in (LFDM, *BASELINES) if "gap" in scores_of(row)}
    clear = [title for title, gap in gaps.items() if abs(gap["value"]) > 2 * gap["standard_error"]]
    rest = [title for title in gaps if title not in clear]
    clips = scores_of(LFDM)["gap"]["clips_each"]
    text = f"Each FVD is of {clips} clips. "
    text += (
        f"The gap is more than two standard errors for {listed(clear)}"
        if clear
        else "No gap is more than two standard errors"
    )
    text += f", and less for {listed(rest)}." if clear and rest else "."
    return f"{text} For seen people too, LFDM's FVD is the lowest." if lowest_seen(gaps) == LFDM.title else text


def lowest_seen(gaps: dict[str, dict]) -> str:
    return min(gaps, key=lambda title: gaps[title]["seen"])


def lost_by_autoencoders() -> str:
    """What table 3 shows."""
    ours, theirs = TABLES["table3"].rows
    best = min(
        (row for row in BASELINES if "ldm" in row.name and scores_of(row)), key=lambda row: score_of(row, "fvd")
    )
    generated = [score_of(row, "fvd") for row in (LFDM, best)]
    more = [value - score_of(row, "fvd") for value, row in zip(generated, (ours, theirs))]
    return (
        f"LDM's auto-encoder loses less than LFDM's, {errors_apart(ours, theirs):.1f} standard errors of FVD. What is generated (table 1) has an FVD "
        f"{more[0]:.3g} above that for LFDM, and {more[1]:.3g} above it for {best.title}."
    )


def worth_of_labels() -> str:
    """What table 4 shows."""
    without = TABLES["table4"].rows[1]
    more, more_kvd = (score_of(without, name) - score_of(LFDM, name) for name in ("fvd", "kvd"))
    return (
        f"Without labels FVD is {more:.3g} higher, {errors_apart(LFDM, without):.1f} standard errors, and KVD "
        f"{more_kvd:.2g} higher, {errors_apart(LFDM, without, 'kvd'):.1f} standard errors. Both compare all clips at once; whether a clip shows its label is what table 1 says."
    )


def worth_of_another_decoder() -> str:
    """What table 5 shows."""
    before, after = TABLES["table5"].rows
    less = {name: 1 - score_of(after, name) / score_of(before, name) for name in ("l1", "fid", "sfid", "fvd")}
    return (
        f"Adapted, L1 falls by {less['l1']:.0%}, FID by {less['fid']:.0%} ({errors_apart(before, after, 'fid'):.0f} standard errors), sFID by "
        f"{less['sfid']:.0%} and FVD by {less['fvd']:.0%} ({errors_apart(before, after):.1f} standard errors). The motion is the same before and after."
    )


def steps_of_ddim() -> str:
    """What table 6 shows."""
    rows = [row for row in SAMPLERS if scores_of(row) and row not in (DDPM_1000, FEW_DDIM_10)]
    values = [score_of(row, "fvd") for row in rows]
    error = max(scores_of(row)["fvd"]["standard_error"] for row in rows)
    slow, quick = costs_of(DDPM_1000.name)["seconds"], costs_of(FEW_DDIM_10.name)["seconds"]
    return (
        f"Samplers and numbers of steps hardly differ: FVD lies between {min(values):.4g} and {max(values):.4g}, with standard errors of up to "
        f"{error:.2g}. The paper finds 10 steps of DDIM better than 100; here they are {errors_apart(DDIM_10, DDIM_100):.1f} standard errors apart. "
        f"On 56 clips, 1,000 steps of DDPM and 10 of DDIM are {errors_apart(DDPM_1000, FEW_DDIM_10):.1f} standard errors apart, and the former take "
        f"{slow / quick:.0f} times as long."
    )


def people_unseen() -> str:
    """What the table of rendered people shows."""
    made, lost, motion, still = TABLES["people"].rows
    accuracy, identity, fvd, kvd = (scores_of(made)[name] for name in ("accuracy", "identity", "fvd", "kvd"))
    halves = scores_of(still)["fvd"]["value_of_halves"]
    text = (
        f"The judge calls {accuracy['value']:.0%} of the clips by their label, {accuracy['real_value']:.0%} of true ones and {accuracy['first_frame']:.0%} "
        "of first frames repeated: guidance makes expressions purer than people do. Frames are as like their person as in true clips "
        f"({identity['value']:.2f} and {identity['real_value']:.2f}; to the most similar other {identity['most_similar_other']:.2f}). Of halves of "
        f"{fvd['real_against_real_clips']} clips, FVD is {fvd['value_of_halves']:.4g}, of true ones {fvd['real_against_real']:.4g}, of still pictures "
        f"{halves:.4g}: it hardly sees motion as small as this. KVD does: {kvd['value']:.3g}, {kvd['real_against_real']:.2g} and {score_of(still, 'kvd'):.3g}."
    )
    if scores_of(lost):
        text += f" What the auto-encoder gives back of true clips has an FVD of {score_of(lost, 'fvd'):.4g}."
    if scores_of(motion):
        own, error = (scores_of(motion)[name] for name in ("l1", "epe"))
        text += (
            f" The auto-encoder's L1 over moving pixels, by motion that it sees itself, is {own['l1_moving']:.3g} of {own['static_l1_moving']:.3g} of the first frame repeated, its "
            f"end-point error {error['value']:.3g} pixels of {error['no_motion']:.3g} of no motion."
        )
    return text


def groups_of_people() -> str:
    """A table of `people_groups.py`, if it was measured."""
    if (found := load("people-groups")) is None:
        return ""
    lines = [
        "| | clips | label accuracy | of true clips | likeness | of true clips |",
        "| --- |" + " --- |" * 5,
    ]
    rows = {"all": found["all"]} | {
        f"{trait} {value}": scores for trait, values in found["groups"].items() for value, scores in values.items()
    }
    for name, scores in rows.items():
        cells = [scores[key] for key in ("accuracy", "real_accuracy", "identity", "real_identity")]
        lines.append(f"| {name} | {scores['clips']} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return (
        "\n".join(lines)
        + "\n\n"
        + wrapped(
            "By [people_groups.py](../reproduction/people_groups.py), of the same clips ([results](results/people-groups.json)). A share of .8 of n clips has a "
            "standard error of .4 / sqrt(n): .05 of 64, .11 of 14."
        )
    )


# What a table shows, in two or three sentences.
FINDINGS = {
    "table1": against_lfdm,
    "table2": gap_of_people,
    "table3": lost_by_autoencoders,
    "table4": worth_of_labels,
    "table5": worth_of_another_decoder,
    "table6": steps_of_ddim,
    "people": people_unseen,
}


GAP_COLUMNS = {"gap_seen": "FVD seen", "gap_unseen": "FVD unseen"}


def cell(name: str, results: dict, column: str) -> str:
    """A score with its standard error, or its deviation over groups."""
    if column in COSTS:
        return cost_cell(name, column)
    if column in GAP_COLUMNS:
        gap = results["scores"].get("gap")
        return f"{gap[column.removeprefix('gap_')]:.4g}" if gap else ""
    if (score := results["scores"].get(column)) is None:
        return ""
    spread = score.get("standard_error", score.get("std"))
    return f"{score['value']:.4g}" + (f" ± {plain(spread, 2)}" if spread is not None else "")


def lines_of(table: Table) -> list[str]:
    """A table in Markdown; its rows that are not measured are left out."""
    titles = TITLES | COSTS | GAP_COLUMNS
    lines = [
        "| | " + " | ".join(titles[column] for column in table.columns) + " |",
        "| --- |" + " --- |" * len(table.columns),
    ]
    for row in table.rows:
        if (results := load(row.name)) is not None:
            cells = [cell(row.name, results, column) for column in table.columns]
            lines.append(f"| [{row.title}](results/{row.name}.json) | " + " | ".join(cells) + " |")
    return lines if len(lines) > 2 else ["Not measured yet."]


def page() -> str:
    """docs/results.md, of the results that there are."""
    about = load(LFDM.name)
    receipt, fvd = about["receipt"], about["scores"]["fvd"]
    videos, accuracy = receipt["videos"], about["scores"]["accuracy"]
    parts = [
        "# Results",
        "The tables of the LFDM paper (Ni et al., CVPR 2023) for `toon64`, the package's model of drawn faces, on drawn people it has never seen "
        "([toon-faces.md](toon-faces.md)). The paper used other data, so its numbers cannot be compared with these.",
        f"Clips have {videos['frames']} frames of {videos['width']}x{videos['height']} pixels. FVD between two halves of the {videos['real']} real "
        f"clips is {fvd['real_against_real']:.4g}. The label judge classifies {accuracy['real_value']:.1%} of real clips correctly. ± is a standard "
        "error; for means over labels or subjects it is their standard deviation. [evaluation.md](evaluation.md) explains the scores.",
        f"Each row links to its results with the receipt: command, hashes, versions, hardware (torch {receipt['software']['torch']}, "
        f"{receipt['hardware']['threads']} CPU threads). The command below a table measures it again; `python reproduction/results_page.py` writes "
        "this page.",
    ]
    parts = [parts[0], *map(wrapped, parts[1:])]
    for name, table in TABLES.items():
        parts += [
            f"## {table.title}",
            wrapped(table.text),
            "\n".join(lines_of(table)),
            wrapped(FINDINGS[name]())
            if name in ("table1", "table2", "people") or all(map(scores_of, table.rows))
            else "",
        ]
        parts.append(f"```bash\npython reproduction/paper_tables.py {name}\n```")
        parts.append(groups_of_people() if name == "people" else "")
    parts += ["## Notes on table 1", "\n".join(wrapped(note, "* ") for note in NOTES)]
    return "\n\n".join(part for part in parts if part) + "\n"


def main() -> None:
    write_text(DOCS / "results.md", page())


if __name__ == "__main__":
    main()
