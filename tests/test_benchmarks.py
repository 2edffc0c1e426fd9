"""The benchmarks measure what they say, and docs/performance.md is what its script writes of the committed runs."""

from __future__ import annotations

import json
from dataclasses import asdict

import performance_page
import plain
import precision
import pytest
import speed
import startup
import torch
import torch.nn.functional as F
from speed import Case
from tiny import IMAGE_SIZE, LATENT_CHANNELS, TEXT_DIM, tiny_lfae, tiny_unet
from torch.utils.flop_counter import FlopCounterMode

from lfdm_diffusers.pipelines.motion import beside

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
    options = ["--output", str(output), "--device", "cpu", "--models", "toon64", "--batches", "1", "--items", "encode"]
    options = [*options, "--dtypes", "float32", "bfloat16", "--as-trained"]
    speed.main([*options, "--dtypes", "float32"])
    speed.main(options)
    assert asked == [Case("encode", "toon64"), Case("encode", "toon64", "bfloat16")]
    assert len(json.loads(output.read_text())["rows"]) == 2
    speed.main([*options, "--again", "--dtypes", "float32"])
    assert asked[2:] == [Case("encode", "toon64")] and len(json.loads(output.read_text())["rows"]) == 2
    before = len(asked)
    speed.main([*options[:4], "--items", "decode", "unet_step", "--as-trained"])
    assert not any(case.frames or case.size or case.compiled for case in asked[before:])


@torch.no_grad()
def test_the_plain_formulas_give_the_models_numbers():
    """They are what the models are timed against; and all fast paths together stand against them here."""
    unet, lfae = tiny_unet(), tiny_lfae()
    volume, text, latent = (
        torch.randn(2, 3, 5, 16, 16),
        torch.randn(2, TEXT_DIM),
        torch.randn(2, LATENT_CHANNELS, 16, 16),
    )
    steps = torch.tensor([3, 700])
    expected = plain.denoise(unet, volume, steps, text, latent)
    torch.testing.assert_close(unet(volume, steps, text, latent).sample, expected, rtol=1e-4, atol=1e-5)
    picture, occlusion = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE), torch.rand(1, 1, 5, 8, 8)
    flow = beside(0.3 * torch.randn(1, 2, 5, 8, 8), lfae.identity_grid(8, 8)) + 0.3 * torch.randn(1, 2, 5, 8, 8)
    levels = plain.encode(lfae, picture)
    torch.testing.assert_close(levels, list(lfae.encode(picture).skips), rtol=1e-4, atol=1e-5)
    expected = plain.decode(lfae, picture, levels, flow, occlusion)
    torch.testing.assert_close(
        lfae.decode(lfae.encode(picture), flow, occlusion).sample, expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.integration
@pytest.mark.parametrize("item", speed.PLAIN)
def test_plain_rows_are_timed_as_such(hurried, monkeypatch, item):
    monkeypatch.setattr(speed, "LEAST_CALLS", 1)
    monkeypatch.setattr(speed, "MOST_CALLS", 1)
    calls, denoise, decode = [], plain.denoise, plain.decode
    monkeypatch.setattr(plain, "denoise", lambda *args: calls.append("unet_step") or denoise(*args))
    monkeypatch.setattr(plain, "decode", lambda *args: calls.append("decode") or decode(*args))
    row = speed.measure(Case(item, frames=1, plain=True))
    assert row["plain"] and row["seconds"] > 0
    assert set(calls) == ({"unet_step", "decode"} if item == "video_ddim10" else {item})


def test_models_are_made_in_the_precision_of_their_row():
    before = torch.get_default_dtype()
    for item, dtype in (("decode", torch.bfloat16), ("train_lfae_step", torch.float32)):
        work = speed.Workload(Case(item, "toon64", "bfloat16"))
        assert {parameter.dtype for parameter in work.lfae.parameters()} == {dtype}
        assert work.lfae.training == (item in speed.TRAINING)
    assert torch.get_default_dtype() == before


def test_comparisons_are_of_the_rows():
    def row(item: str, dtype: str, seconds: float, **more: object) -> dict:
        known = {"gemm_gflops": {"float32": 100.0, dtype: 100.0 if dtype == "float32" else 250.0}, "seconds": seconds}
        memory = {"peak_memory_gb": 0.9, "memory_after_imports_gb": 0.5}
        return asdict(Case(item, "mug128", dtype)) | known | memory | more

    rows = [row("decode", "bfloat16", 2.0), row("decode", "float32", 4.0), row("decode", "float32", 8.0, plain=True)]
    assert performance_page.plain_of(rows[0], rows) is rows[2]
    assert performance_page.plain_of(row("unet_step", "float32", 1.0), rows) is None
    assert "Here it is 2.5 times" in performance_page.matrix_told(rows)
    assert performance_page.matrix_told(rows[1:]) == ""
    assert "decode all frames 0.90 against 0.62, without what is imported 0.4" in performance_page.memory_told(rows)
    assert performance_page.memory_told(rows[:1]) == ""


def test_growth_is_a_power_law():
    assert performance_page.exponent(((40, 3.0), (160, 12.0))) == pytest.approx(1)
    assert performance_page.exponent(((128, 1.0), (256, 4.0))) == pytest.approx(2)


def test_attention_is_counted_whichever_kernel_computes_it():
    query, key, value = torch.randn(2, 3, 80, 8), torch.randn(2, 3, 90, 8), torch.randn(2, 3, 90, 8)
    with FlopCounterMode(display=False, custom_mapping=speed.CPU_ATTENTION) as counter:
        F.scaled_dot_product_attention(query, key, value)
    assert counter.get_total_flops() == 2 * (2 * 3 * 80 * 90 * 8) * 2


@pytest.mark.integration
def test_startup_times_processes_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(startup, "PROGRAMS", {"nothing": "print('alone 0.25')", "a list": "kept = [0] * 25_000_000"})
    startup.main(["--output", str(tmp_path / "startup.json"), "--calls", "1"])
    rows = json.loads((tmp_path / "startup.json").read_text())["seconds"]
    assert rows["a list"]["memory_gb"] > rows["nothing"]["memory_gb"] + 0.1 and rows["nothing"]["median"] == 0.25
    assert "a list: " in capsys.readouterr().out


@pytest.mark.integration
def test_precision_compares_with_float32(tmp_path):
    output = tmp_path / "precision.json"
    precision.main(["--output", str(output), "--device", "cpu", "--dtypes", "bfloat16", "--pictures", "1"])
    found = json.loads(output.read_text())["differences"]["bfloat16"]
    assert 0 < found["latent"]["mean"] < found["latent"]["largest"]
    assert 0 < found["decoding alone"]["mean"] < found["two seeds"]["mean"]
    assert found["pixels"]["mean"] < found["two seeds"]["mean"]
