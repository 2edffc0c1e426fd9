"""docs/results.md is what its script writes of the committed results, and these are of the model that comes with the package."""

from __future__ import annotations

import argparse
import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import paper_tables
import pytest
import results_page
import torch
from tiny import tiny_pipeline

from lfdm_diffusers.cli.evaluate import add_arguments
from lfdm_diffusers.embedded import DRAWN_MODEL, MODEL, embedded_model, embedded_models
from lfdm_diffusers.files.fingerprints import weights_sha256
from lfdm_diffusers.pipelines import ImageToVideoPipeline
from lfdm_diffusers.pipelines.loading import DTYPES, load_pipeline

ROOT = Path(__file__).parents[2]
ROWS = {row.name: row for table in paper_tables.TABLES.values() for row in table.rows}
FILES = sorted(
    path for path in paper_tables.RESULTS.glob("*.json") if path.stem.startswith("table") or path.stem in ROWS
)


def test_the_page_is_that_of_the_results():
    assert FILES
    assert (paper_tables.DOCS / "results.md").read_text(encoding="utf-8") == results_page.page()


@functools.cache
def sha256_of_model(folder: Path, dtype: str) -> dict[str, str]:
    pipe = load_pipeline(folder, dtype=DTYPES[dtype], kind=ImageToVideoPipeline)
    networks = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {name: weights_sha256(part) for name, part in networks.items() if name != "label_embeddings"}


def test_results_are_of_the_projects_models_and_their_rows():
    assert {file.stem for file in FILES} <= set(ROWS)
    real = set()
    for file in FILES:
        receipt, source = json.loads(file.read_text(encoding="utf-8"))["receipt"], ROWS[file.stem].source
        if receipt["kind"] == "model":
            embedded = embedded_model(source if source in embedded_models() else "toon64")
            own = ROOT / (source or embedded)
            dtype = (receipt["sampling"] or {"dtype": "float32"})["dtype"]
            expected = sha256_of_model(own if own.is_dir() else embedded, dtype)
            expected.pop("painter", None)  # it came later, and frames of the model's size are not its
            if receipt["sampling"] is None:  # nothing was generated: a U-Net that learnt more changes nothing of it
                expected["unet"] = receipt["model_sha256"]["unet"]
            if source is None or source in embedded_models() or own.is_dir():
                assert receipt["model_sha256"] == expected, file
            else:  # its decoder was adapted
                assert receipt["model_sha256"]["unet"] == expected["unet"] and receipt["model_sha256"] != expected, (
                    file
                )
        if "--data toon " in receipt["command"] and "--num-real" not in receipt["command"]:
            real.add(receipt["data"]["sha256"])
        assert ROWS[file.stem].options in receipt["command"], file
        if "fvd" in ROWS[file.stem].options:
            assert receipt["detectors"]["video"]["name"] == "I3D, Kinetics-400", file
    assert len(real) == 1


def test_a_table_is_measured_once(tmp_path, monkeypatch):
    """Rows that are there are not measured again; what the file says is the command that makes it."""
    runs = []

    class Pool:
        """In the place of processes."""

        def __init__(self, count: int):
            assert count == 1

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def apply(self, run, arguments):
            work, row, source = arguments
            runs.append((run, row.name, source))
            (work / row.name).mkdir()
            (work / row.name / "results.json").write_text(json.dumps({"scores": {}, "receipt": {"command": "?"}}))

    (tmp_path / "project" / "kept" / "vdm").mkdir(parents=True)
    monkeypatch.setattr(paper_tables, "DOCS", tmp_path / "project" / "docs")
    sources = {"one": None, "two": "static", "three": "kept/vdm"}
    rows = [paper_tables.Row(name, name.title(), {"data": "toon"}, source) for name, source in sources.items()]
    table = paper_tables.Table("T", "", rows, ["fvd"], lambda work: None)
    monkeypatch.setattr(paper_tables, "get_context", lambda method: SimpleNamespace(Pool=Pool))
    for module in (paper_tables, results_page):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    for _ in range(2):
        paper_tables.measure(table, tmp_path)
    own = str(tmp_path / "project" / "kept" / "vdm")  # wherever the project lies
    assert runs == [(paper_tables.score, *row) for row in (("one", "toon64"), ("two", "static"), ("three", own))]
    receipts = [json.loads((tmp_path / "results" / f"{name}.json").read_text())["receipt"] for name in sources]
    assert receipts[1]["command"] == "lfdm evaluate static --data toon --output two"
    assert receipts[2]["command"] == "lfdm evaluate kept/vdm --data toon --output three"
    assert [receipt.get("source") for receipt in receipts] == list(sources.values())
    assert results_page.lines_of(table)[2:] == [f"| [{n.title()}](results/{n}.json) |  |" for n in sources]


def test_a_row_is_one_call_and_says_the_command_that_does_the_same(tmp_path, monkeypatch):
    calls = {}
    monkeypatch.setattr(paper_tables, "evaluate", lambda source, **arguments: calls | {"source": source} | arguments)
    monkeypatch.setattr(paper_tables, "write_report", lambda folder, results: calls.update(results, folder=folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    row = paper_tables.sampler("dpm++", 4, guidance=1.5, eta=0)
    paper_tables.score(tmp_path / "work", row, "static")
    assert Path.cwd() == tmp_path / "work"
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = vars(parser.parse_args(["static", *row.options.split(), "--output", calls["output"]]))
    assert calls.pop("folder") == Path(row.name)
    assert calls == {name: options[name] for name in calls} and len(calls) == 10
    plain = vars(parser.parse_args(["--data", "other", "--output", calls["output"]]))
    calls.pop("output")
    assert {name for name in options if options[name] != plain[name]} == calls.keys()


@pytest.mark.parametrize(
    "score, text", [({"value": 3.14159}, "3.142"), ({"value": 3, "standard_error": 0.123}, "3 ± 0.12")]
)
def test_cells(score, text):
    results = {"scores": {"fvd": score}, "receipt": {"sampling": None}}
    assert results_page.cell("name", results, "fvd") == text and results_page.cell("name", results, "kvd") == ""
    assert results_page.cell("name", results, "seconds") == ""


def rows(text: str) -> dict[str, list[str]]:
    """Of the tables of a Markdown file: the cells behind the first, by the first."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {first.strip(): [cell.strip() for cell in others] for first, *others in lines}


def test_the_card_at_the_root_says_of_the_models_what_their_cards_say():
    """The default stands first."""
    text = (ROOT / "model_card.md").read_text(encoding="utf-8")
    names = re.findall(r"\[\w+\]\(lfdm_diffusers/assets/(\w+)/README.md\)", text)
    assert names == [MODEL, DRAWN_MODEL]
    for column, name in enumerate(names):
        own = rows((embedded_model(name) / "README.md").read_text(encoding="utf-8"))
        for fact in ("output", "latent flow auto-encoder", "full-size painter", "U-Net", "sampling by default"):
            assert own.get(fact, ["none"])[0].partition(", predicts")[0] == rows(text)[fact][column]
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).is_file(), link


def test_the_embedded_models_card_has_the_numbers_of_the_page():
    """Beside the scores of an older script, those of `lfdm evaluate`, of the same weights."""
    card = (embedded_model("toon64") / "README.md").read_text(encoding="utf-8")
    found = {name: results_page.load(name)["scores"] for name in ("table1-lfdm", "table3-reconstruction")}
    l1, epe = (found["table3-reconstruction"][name] for name in ("l1", "epe"))
    accuracy = found["table1-lfdm"]["accuracy"]
    for said in (
        f"moving pixels {l1['l1_moving']:.4g} ({l1['inpainted_l1_moving']:.4g}; reference repeated: {l1['static_l1_moving']:.4g})",
        f"all pixels {l1['l1']:.4g} ({l1['inpainted_l1']:.4g}; {l1['static_l1']:.4g})",
        f"end-point error {epe['value']:.4g} (no flow: {epe['no_motion']:.4g})",
        f"label accuracy {accuracy['value']:.4g} (real clips: {accuracy['real_value']:.4g})",
    ):
        assert said in card


def test_every_sampler_is_timed_in_one_run(tmp_path, monkeypatch):
    for module in (paper_tables, results_page):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    monkeypatch.setattr(paper_tables, "embedded_model", lambda name: tmp_path / "tiny")
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
        assert results_page.cell(name, {"scores": {}}, "seconds") == f"{row['median']:.3g}"
