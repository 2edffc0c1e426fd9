#!/usr/bin/env python
"""docs/results.md, of the results in docs/results that paper_tables.py measured.

python reproduction/results_page.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
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
    RESULTS,
    SECONDS,
    TABLES,
    Row,
    Table,
)

from lfdm_diffusers.evaluation.report import TITLES
from lfdm_diffusers.files.whole import whole


def load(name: str) -> dict | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def costs_of(name: str) -> dict:
    """What a row of table 1 costs, or a sampler of table 6; empty if that was not measured."""
    samplers = (load(Path(SECONDS).stem) or {"seconds": {}})["seconds"]
    if name in samplers:
        return {"seconds": samplers[name]["median"]}
    return (load("costs") or {"systems": {}})["systems"].get(name.removeprefix("table1-"), {})


def cost_cell(name: str, column: str) -> str:
    """For the table."""
    costs = costs_of(name)
    if column not in costs:
        return ""
    if column == "training_petaflop":
        before = costs["petaflop_before_denoiser"]
        return f"{costs[column]:.2g}" + (f" ({before:.2g})" if before else "")
    return f"{costs[column]:.3g}"


def scores_of(row: Row) -> dict:
    """Of a row, if it was measured."""
    return (load(row.name) or {"scores": {}})["scores"]


def compare(first: Row, second: Row, score: str) -> str | None:
    """Which of two rows is lower in a score, and by how many standard errors of their difference."""
    found = [load(row.name) for row in (first, second)]
    if None in found:
        return None
    a, b = (results["scores"][score] for results in found)
    errors = abs(a["value"] - b["value"]) / math.hypot(a["standard_error"], b["standard_error"])
    verdict = "lower" if a["value"] < b["value"] else "higher"
    return (
        f"{first.title} has the {verdict} {TITLES[score]}, {a['value']:.4g} against {b['value']:.4g} of {second.title}: "
        f"{errors:.1f} standard errors of the difference."
    )


def against_lfdm() -> Iterator[str]:
    of_lfdm = load(LFDM.name)["scores"]["accuracy"]["value"]
    for row in BASELINES:
        results = load(row.name)
        if results and (accuracy := results["scores"]["accuracy"]["value"]) > of_lfdm:
            clips = results["receipt"]["videos"]["generated"]
            yield (
                f"{row.title} has the higher label accuracy, {accuracy:.4g} against {of_lfdm:.4g} of {LFDM.title}: "
                f"{round((accuracy - of_lfdm) * clips)} clips of {clips}."
            )
        for score in ("fvd", "kvd"):
            if sentence := compare(row, LFDM, score):
                yield sentence
        if cheaper := [title for key, title in COSTS.items() if costs_less(row, key)]:
            yield f"{row.title} has fewer {', '.join(cheaper)} than {LFDM.title}."


def costs_less(row: Row, column: str) -> bool:
    """Than LFDM's own sampling."""
    theirs, ours = (costs_of(name) for name in (row.name, LFDM.name))
    return column in theirs and column in ours and theirs[column] < ours[column]


def gap_of_people() -> Iterator[str]:
    for row in (LFDM, *BASELINES):
        if (results := load(row.name)) is None or "gap" not in results["scores"]:
            continue
        gap = results["scores"]["gap"]
        yield (
            f"{row.title}: with {gap['clips_each']} clips, FVD is {gap['seen']:.4g} for pictures of people whom the model was trained on, "
            f"against their clips, and {gap['unseen']:.4g} for others: a gap of {gap['value']:.3g}, its standard error "
            f"{gap['standard_error']:.2g}."
        )
    for row in BASELINES:
        ours, theirs = (scores_of(each).get("gap") for each in (LFDM, row))
        if not theirs or theirs["value"] >= ours["value"]:
            continue
        higher = [kind for kind in ("seen", "unseen") if theirs[kind] > ours[kind]]
        yield f"{compare(row, LFDM, 'gap')} Its FVD is the higher one for {' and '.join(higher) or 'neither seen nor unseen'} people."


def steps_of_ddim() -> Iterator[str]:
    if sentence := compare(DDIM_10, DDIM_100, "fvd"):
        yield f"The paper finds 10 steps of DDIM better than 100. Here, {sentence}"
    if sentence := compare(DDPM_1000, FEW_DDIM_10, "fvd"):
        yield f"With 56 clips each, {sentence}"


# Sentences below a table, of the results that there are.
FINDINGS = {"table1": against_lfdm, "table2": gap_of_people, "table6": steps_of_ddim}


def cell(name: str, results: dict, column: str) -> str:
    """A score with its standard error, or its deviation over groups."""
    if column in COSTS:
        return cost_cell(name, column)
    if (score := results["scores"].get(column)) is None:
        return ""
    spread = score.get("standard_error", score.get("std"))
    return f"{score['value']:.4g}" + (f" ± {spread:.2g}" if spread is not None else "")


def lines_of(table: Table) -> list[str]:
    """A table in Markdown; its rows that are not measured are left out."""
    titles = TITLES | COSTS
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
        "The tables of the LFDM paper (Ni et al., CVPR 2023) on toon faces ([toon-faces.md](toon-faces.md)), for the model that comes "
        "with the package, and people whom it has never seen. Numbers are not comparable with the paper's, whose data are other. "
        "Every row links to its results with the receipt: command, hashes, versions, hardware. ± is a standard error, or for means "
        "over groups their standard deviation. What each score means, and what measures it: [evaluation.md](evaluation.md).",
        f"Clips have {videos['frames']} frames of {videos['width']}x{videos['height']} pixels. Halves of the {videos['real']} real "
        f"clips, {fvd['real_against_real_clips']} each, are FVD {fvd['real_against_real']:.4g} apart; the judge of labels calls "
        f"{accuracy['real_value']:.3f} of the real clips by their label. torch {receipt['software']['torch']}, "
        f"{receipt['hardware']['threads']} CPU threads. Each table is measured again by the command below it, all at once by "
        "`all`; `python reproduction/results_page.py` writes this page.",
    ]
    for name, table in TABLES.items():
        parts += [f"## {table.title}", table.text, "\n".join(lines_of(table)), *FINDINGS.get(name, lambda: ())()]
        parts.append(f"```bash\npython reproduction/paper_tables.py {name}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def main() -> None:
    with whole(DOCS / "results.md") as part:
        part.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
