"""The benchmarks measure what they say, and docs/performance.md is what its script writes of the committed runs."""

from __future__ import annotations

import json
from dataclasses import asdict

import performance_page
import pytest
import speed
import torch
import torch.nn.functional as F
from speed import Case
from torch.utils.flop_counter import FlopCounterMode

COMMITTED = sorted(performance_page.RUNS.glob("*.json"))


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(speed, "gemm_peak", lambda device, dtype: 100.0)
    monkeypatch.setattr(speed, "LEAST_SECONDS", 0.0)


def test_the_page_is_that_of_the_runs():
    assert COMMITTED
    assert (performance_page.DOCS / "performance.md").read_text(encoding="utf-8") == performance_page.page()


def test_a_row_says_what_was_measured(hurried):
    row = speed.measure(Case("encode", "toon64", batch=2))
    assert Case(**{name: row[name] for name in asdict(Case("encode"))}) == Case("encode", "toon64", batch=2)
    # A 7x7 convolution from 3 to 32 channels at 64 pixels, a 3x3 one to 64 before the halving; two operations each.
    multiplications = 2 * 64 * 64 * (49 * 3 * 32 + 9 * 32 * 64)
    assert row["gigaflop"] == pytest.approx(2 * multiplications / 1e9)
    assert row["spread"][0] <= row["seconds"] <= row["spread"][1] and row["calls"] >= speed.LEAST_CALLS
    assert row["share_of_peak"] == pytest.approx(row["gigaflop"] / row["seconds"] / 100)
    assert row["seconds_x_peak"] == pytest.approx(100 * row["seconds"])
    assert row["peak_memory_gb"] >= row["memory_after_imports_gb"] > 0.1


@pytest.mark.parametrize("item", speed.ITEMS)
def test_every_item_runs(hurried, monkeypatch, item):
    monkeypatch.setattr(speed, "LEAST_CALLS", 1)
    monkeypatch.setattr(speed, "MOST_CALLS", 1)
    case = Case(item, "toon64", "bfloat16", frames=2, checkpointing=item in speed.TRAINING)
    row = speed.measure(case)
    assert row["seconds"] > 0 and (row["gigaflop"] is None) == (item == "video_ddpm1000")


def test_a_thousand_steps_are_extrapolated_from_few(hurried, monkeypatch):
    times = iter([9.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0])  # the first call; three of 15 steps; three of 5
    monkeypatch.setattr(speed, "synchronised", lambda call, device: next(times))
    row = speed.measure(Case("video_ddpm1000", "toon64"))
    assert row["seconds"] == pytest.approx(1 + 995 * 0.1)


def test_each_case_is_planned_once_and_rows_that_are_there_stay(tmp_path, monkeypatch, capsys):
    for device in ("cpu", "cuda"):
        cases = speed.plan(device)
        assert len(set(cases)) == len(cases)
    asked = []

    def fake(command: list[str], **options: object) -> object:
        asked.append(Case(**json.loads(command[-1])))
        row = asdict(asked[-1]) | {"seconds": 1.0, "peak_memory_gb": 1.0}
        return type("Done", (), {"returncode": 0, "stdout": json.dumps(row)})

    monkeypatch.setattr(speed.subprocess, "run", fake)
    output = tmp_path / "speed.json"
    options = ["--output", str(output), "--device", "cpu", "--models", "toon64", "--items", "encode"]
    speed.main([*options, "--dtypes", "float32"])
    speed.main(options)
    assert asked == [Case("encode", "toon64"), Case("encode", "toon64", "bfloat16")]
    assert len(json.loads(output.read_text())["rows"]) == 2
    speed.main([*options, "--again", "--dtypes", "float32"])
    assert asked[2:] == [Case("encode", "toon64")] and len(json.loads(output.read_text())["rows"]) == 2
    before = len(asked)
    speed.main([*options[:-2], "--items", "decode", "unet_step", "--as-trained"])
    assert not any(case.frames or case.size or case.compiled for case in asked[before:])


def test_growth_is_a_power_law():
    assert performance_page.exponent(((40, 3.0), (160, 12.0))) == pytest.approx(1)
    assert performance_page.exponent(((128, 1.0), (256, 4.0))) == pytest.approx(2)


def test_attention_is_counted_whichever_kernel_computes_it():
    query, key, value = torch.randn(2, 3, 80, 8), torch.randn(2, 3, 90, 8), torch.randn(2, 3, 90, 8)
    with FlopCounterMode(display=False, custom_mapping=speed.CPU_ATTENTION) as counter:
        F.scaled_dot_product_attention(query, key, value)
    assert counter.get_total_flops() == 2 * (2 * 3 * 80 * 90 * 8) * 2
