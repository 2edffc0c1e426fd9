"""docs/results.md is what its script writes of the committed results, and these are of the model that comes with the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import paper_tables
import pytest

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.embedded import embedded_model
from lfdm_diffusers.evaluation.report import weights_sha256

ROOT = Path(__file__).parents[1]
FILES = sorted(paper_tables.RESULTS.glob("table*.json"))
ROWS = {row.name: row for table in paper_tables.TABLES.values() for row in table.rows}


def test_the_page_is_that_of_the_results():
    assert FILES
    assert (paper_tables.DOCS / "results.md").read_text(encoding="utf-8") == paper_tables.page()


def test_results_are_of_the_embedded_model_and_its_rows():
    pipe = LFDMPipeline.from_pretrained(embedded_model())
    expected = {name: weights_sha256(getattr(pipe, name)) for name in ("lfae", "unet")}
    assert {file.stem for file in FILES} <= set(ROWS)
    real = set()
    for file in FILES:
        receipt = json.loads(file.read_text(encoding="utf-8"))["receipt"]
        if ROWS[file.stem].source is None:
            assert receipt["model_sha256"] == expected, file
        elif receipt["kind"] == "model":  # its decoder was adapted
            assert receipt["model_sha256"]["unet"] == expected["unet"] and receipt["model_sha256"] != expected, file
        if "--data toon " in receipt["command"] and "--num-real" not in receipt["command"]:
            real.add(receipt["data"]["sha256"])
        assert ROWS[file.stem].options in receipt["command"], file
        if "fvd" in ROWS[file.stem].options:
            assert receipt["detectors"]["video"]["name"] == "I3D, Kinetics-400", file
    assert len(real) == 1


def test_a_table_is_measured_once(tmp_path, monkeypatch):
    """Rows that are there are not measured again; what the file says is the command that makes it."""
    commands = []

    def run(work: Path, command: str, *more) -> None:
        commands.append(command)
        name = command.split("--output ")[1]
        (work / name).mkdir()
        (work / name / "results.json").write_text(json.dumps({"scores": {}, "receipt": {"command": "?"}}))

    rows = [paper_tables.Row("one", "One", "--data toon"), paper_tables.Row("two", "Two", "--data toon", "static")]
    table = paper_tables.Table("T", "", rows, ["fvd"], lambda work: None)
    monkeypatch.setattr(paper_tables, "run", run)
    monkeypatch.setattr(paper_tables, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    for _ in range(2):
        paper_tables.measure(table, tmp_path)
    assert commands == [
        "-m lfdm_diffusers evaluate --data toon --output one",
        "-m lfdm_diffusers evaluate static --data toon --output two",
    ]
    saved = json.loads((tmp_path / "results" / "two.json").read_text())
    assert saved["receipt"]["command"] == "lfdm evaluate static --data toon --output two"
    assert paper_tables.lines_of(table)[2:] == ["| [One](results/one.json) |  |", "| [Two](results/two.json) |  |"]


@pytest.mark.parametrize(
    "score, text", [({"value": 3.14159}, "3.142"), ({"value": 3, "standard_error": 0.123}, "3 ± 0.12")]
)
def test_cells(score, text):
    results = {"scores": {"fvd": score}, "receipt": {"sampling": None}}
    assert paper_tables.cell("name", results, "fvd") == text and paper_tables.cell("name", results, "kvd") == ""
    assert paper_tables.cell("name", results, "seconds") == ""


def test_the_card_at_the_root_is_the_embedded_models():
    from make_embedded import root_card

    folder = embedded_model()
    card = (folder / "README.md").read_text(encoding="utf-8")
    at_root = (ROOT / "model_card.md").read_text(encoding="utf-8")
    assert at_root == root_card(card, folder.relative_to(ROOT).as_posix())
    for link in re.findall(r"\]\(([^)]+)\)", at_root):
        assert link.startswith("https://") or (ROOT / link).is_file(), link


def test_every_sampler_is_timed_in_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(paper_tables, "RESULTS", tmp_path)
    monkeypatch.setattr(
        paper_tables,
        "SAMPLERS",
        [paper_tables.sampler("unipc", 4, guidance=2), paper_tables.sampler("ddim", 2, eta=0)],
    )
    paper_tables.time_samplers()
    found = json.loads((tmp_path / "seconds.json").read_text())["seconds"]
    assert set(found) == {"table6-unipc-4-guidance2", "table6-ddim-2-eta0"}
    for name, row in found.items():
        assert len(row["calls"]) == 3 and row["median"] == sorted(row["calls"])[1] > 0
        assert paper_tables.cell(name, {"scores": {}}, "seconds") == f"{row['median']:.3g}"
