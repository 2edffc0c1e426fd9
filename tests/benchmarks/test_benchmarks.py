"""The benchmarks measure what they say, and docs/performance.md is what its script writes of the committed runs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import convolutions
import data_waiting
import faster_ways
import operations
import performance_page
import performance_speed
import plain
import precision
import pytest
import speed
import startup
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tiny import IMAGE_SIZE, LATENT_CHANNELS, TEXT_DIM, tiny_lfae, tiny_unet
from torch.utils.flop_counter import FlopCounterMode
from workloads import ITEMS, TRAINING, Case, Workload, save_models

from lfdm_diffusers import ops
from lfdm_diffusers.models.blocks_2d import FastConv2d
from lfdm_diffusers.ops.thresholds import DEFAULTS, current
from lfdm_diffusers.pipelines.motion import beside
from lfdm_diffusers.training import presets

# Limits with which models as small as those of tests are computed in all the ways that large ones are.
FAST = {f"winograd_{limit}": 1 for limit in ("channels", "pairs", "tiles")} | {"winograd": True, "columns": True}
COMMITTED = sorted(performance_page.RUNS.glob("*.json"))


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(speed, "gemm_peak", lambda device, dtype: 100.0)
    monkeypatch.setattr(speed, "LEAST_SECONDS", 0.0)


@pytest.fixture
def tiny_preset(monkeypatch) -> str:
    """A preset of models as small as those of other tests, which are run here rather than measured."""
    unet = tiny_unet(block_out_channels=(8,))
    for table, model in ((presets.LFAE_CONFIGS, tiny_lfae()), (presets.UNET_CONFIGS, unet)):
        config = {name: value for name, value in model.config.items() if not name.startswith("_")}
        monkeypatch.setitem(table, "tiny", config)
    return "tiny"


@pytest.fixture
def saved(tmp_path):
    """The folder of a case's models."""

    def save(case: Case) -> Path:
        before = torch.get_default_dtype()
        try:
            save_models(case, tmp_path)
        finally:
            torch.set_default_dtype(before)
        return tmp_path

    return save


def test_the_page_is_that_of_the_runs():
    assert COMMITTED
    assert (performance_page.DOCS / "performance.md").read_text(encoding="utf-8") == performance_page.page()


def test_a_row_says_what_was_measured(hurried, saved):
    case = Case("encode", "toon64", batch=2)
    row = speed.measure(case, saved(case))
    assert Case(**{name: row[name] for name in asdict(case)}) == case
    # A 7x7 convolution from 3 to 32 channels at 64 pixels, a 3x3 one to 64 before the halving; two operations each.
    multiplications = 2 * 64 * 64 * (49 * 3 * 32 + 9 * 32 * 64)
    assert row["gigaflop"] == pytest.approx(2 * multiplications / 1e9)
    assert row["spread"][0] <= row["seconds"] <= row["spread"][1] and row["calls"] >= speed.LEAST_CALLS
    assert row["share_of_peak"] == pytest.approx(row["gigaflop"] / row["seconds"] / 100)
    assert row["seconds_x_peak"] == pytest.approx(100 * row["seconds"])
    assert row["peak_memory_gb"] >= row["memory_after_imports_gb"] > 0.1


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_runs(hurried, saved, tiny_preset, monkeypatch, item):
    monkeypatch.setattr(speed, "LEAST_CALLS", 1)
    monkeypatch.setattr(speed, "MOST_CALLS", 1)
    dtype = "bfloat16" if speed.has_instructions(torch.bfloat16) else "float32"
    case = Case(item, tiny_preset, dtype, frames=2, checkpointing=item in TRAINING)
    row = speed.measure(case, saved(case))
    assert row["seconds"] > 0 and (row["gigaflop"] is None) == (item == "video_ddpm1000")


def test_a_thousand_steps_are_extrapolated_from_few(hurried, saved, tiny_preset, monkeypatch):
    times = iter([9.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0])  # the first call; three of 15 steps; three of 5
    monkeypatch.setattr(speed, "synchronised", lambda call, device: next(times))
    case = Case("video_ddpm1000", tiny_preset)
    row = speed.measure(case, saved(case))
    assert row["seconds"] == pytest.approx(1 + 995 * 0.1)


def test_each_case_is_planned_once_and_rows_that_are_there_stay(tmp_path, monkeypatch, capsys):
    for device, half in (("cpu", True), ("cpu", False), ("cuda", True)):
        cases = speed.plan(device, half)
        assert len(set(cases)) == len(cases)
    assert not any(case.model == "mug128" and case.dtype != "float32" for case in speed.plan("cpu", half=False))
    asked = []

    def fake(case: Case, saved: Path) -> object:
        asked.append(case)
        row = asdict(case) | {"seconds": 1.0, "peak_memory_gb": 1.0}
        return type("Done", (), {"returncode": 0, "stdout": json.dumps(row)})

    monkeypatch.setattr(speed, "in_a_process", fake)
    monkeypatch.setattr(speed, "has_instructions", lambda dtype: True)
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
    with ops.limits(**FAST):
        torch.testing.assert_close(unet(volume, steps, text, latent).sample, expected, rtol=1e-4, atol=1e-5)
    picture, occlusion = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE), torch.rand(1, 1, 5, 8, 8)
    flow = beside(0.3 * torch.randn(1, 2, 5, 8, 8), lfae.identity_grid(8, 8)) + 0.3 * torch.randn(1, 2, 5, 8, 8)
    levels = plain.encode(lfae, picture)
    torch.testing.assert_close(levels, list(lfae.encode(picture).skips), rtol=1e-4, atol=1e-5)
    expected = plain.decode(lfae, picture, levels, flow, occlusion)
    with ops.limits(**FAST):
        found = lfae.decode(lfae.encode(picture), flow, occlusion).sample
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("item", speed.PLAIN)
def test_plain_rows_are_timed_as_such(hurried, saved, tiny_preset, monkeypatch, item):
    monkeypatch.setattr(speed, "LEAST_CALLS", 1)
    monkeypatch.setattr(speed, "MOST_CALLS", 1)
    calls, denoise, decode = [], plain.denoise, plain.decode
    monkeypatch.setattr(plain, "denoise", lambda *args: calls.append("unet_step") or denoise(*args))
    monkeypatch.setattr(plain, "decode", lambda *args: calls.append("decode") or decode(*args))
    case = Case(item, tiny_preset, frames=1, plain=True)
    row = speed.measure(case, saved(case))
    assert row["plain"] and row["seconds"] > 0
    assert set(calls) == ({"unet_step", "decode"} if item == "video_ddim10" else {item})


def test_models_are_saved_and_loaded_in_the_precision_of_their_row(saved):
    for item, dtype in (("decode", torch.bfloat16), ("train_lfae_step", torch.float32)):
        case = Case(item, "toon64", "bfloat16")
        folder = saved(case)
        assert {weight.dtype for weight in load_file(next((folder / "unet").glob("*.safetensors"))).values()} == {
            dtype
        }
        work = Workload(case, folder)
        assert {parameter.dtype for parameter in work.lfae.parameters()} == {dtype}
        assert work.lfae.training == (item in TRAINING)


@pytest.mark.integration
def test_a_case_is_measured_in_a_process_that_finds_its_models(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(speed.subprocess, "run", lambda command, **options: asked.append(command))
    cases = [Case("encode", "toon64", "bfloat16"), Case("decode", "toon64", "bfloat16")]
    for case in cases:
        speed.in_a_process(case, tmp_path)
    assert [Case(**json.loads(command[command.index("--case") + 1])) for command in asked] == cases
    assert asked[0][-1] == asked[1][-1]  # the models are made once
    found = {file.parent.name: load_file(file) for file in Path(asked[0][-1]).glob("*/*.safetensors")}
    assert found.keys() == {"lfae", "unet"}
    assert all(weight.dtype == torch.bfloat16 for weight in found["lfae"].values() if weight.is_floating_point())
    speed.in_a_process(Case("train_lfae_step", "toon64", "bfloat16"), tmp_path)  # weights in float32
    assert asked[2][-1] != asked[0][-1]
    with pytest.raises(SystemExit, match="could not be saved"):
        speed.in_a_process(Case("encode", "no model"), tmp_path)


@pytest.mark.integration
def test_a_case_is_measured_in_a_process_of_its_own(tmp_path):
    found = speed.in_a_process(Case("encode"), tmp_path)
    assert not found.returncode, found.stderr
    row = json.loads(found.stdout.splitlines()[-1])
    assert row["item"] == "encode" and row["seconds"] > 0
    # Of the auto-encoder, 0.26 GB in its file, no more than the encoder is in memory.
    assert row["peak_memory_gb"] < row["memory_after_imports_gb"] + 0.2


def test_multiplications_are_counted_in_full():
    """Of the convolution as it is defined, however few there were."""
    conv, x = FastConv2d(128, 128, 3, padding=1), torch.randn(1, 128, 32, 32)
    found = []
    for winograd in (True, False):
        with FlopCounterMode(display=False) as counter, ops.limits(winograd=winograd), torch.no_grad():
            conv(x)
        found.append(counter.get_total_flops())
    assert found[0] < found[1] == 2 * 9 * 128 * 128 * 1024


@pytest.mark.integration
def test_operations_of_a_call_are_told(capsys):
    operations.main(["--item", "encode", "--model", "toon64", "--device", "cpu", "--rows", "3"])
    *rows, total = capsys.readouterr().out.splitlines()
    assert len(rows) == 3 and any("conv" in row for row in rows)
    assert float(rows[0].split()[0]) >= float(rows[1].split()[0]) and float(total.split()[0]) > 0


def test_convolutions_are_compared_with_what_gives_the_same_numbers(tmp_path, monkeypatch, capsys):
    small = {shape.way: replace(shape, maps=1, channels_in=8, channels_out=4, side=8) for shape in convolutions.SHAPES}
    small["product"] = replace(small["product"], channels_out=64, side=2)
    small = small.values()
    for shape in small:
        conv, x = convolutions.layer(shape)
        expected, found = convolutions.library(conv, x), convolutions.WAYS[shape.way](conv, x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(convolutions, "SHAPES", small)
    convolutions.main(["--output", str(tmp_path / "convolutions.json"), "--calls", "1"])
    rows = json.loads((tmp_path / "convolutions.json").read_text())["convolutions"]
    assert (
        [row["way"] for row in rows] == ["winograd", "columns", "product"]
        and not rows[0]["taken"]
        and rows[2]["taken"]
    )
    assert all(min(convolutions.gains(row)) > 0 for row in rows) and capsys.readouterr().out.count("\n") == 3


def test_each_faster_way_is_left_out_in_turn(monkeypatch, tmp_path):
    monkeypatch.setattr(faster_ways, "Workload", lambda case, folder: SimpleNamespace(call=lambda: list))
    monkeypatch.setattr(faster_ways, "own_seconds", lambda call: 2.0 if current() == DEFAULTS else 3.0)
    for case in faster_ways.CASES:
        row, ways = faster_ways.measure(case, tmp_path, seconds=0), faster_ways.ways_of(case)
        assert (row["seconds"], row["turns"]) == (2.0, 3) and row["times_without"].keys() == ways.keys()
        for name, times in row["times_without"].items():  # winograd may never be taken on the processor at hand
            assert times == (1.0 if replace(DEFAULTS, **ways[name]) == DEFAULTS else 1.5)
        assert row["times_without"]["nothing"] == 1.0


def test_comparisons_are_of_the_rows():
    def row(item: str, dtype: str, seconds: float, **more: object) -> dict:
        known = {"gemm_gflops": {"float32": 100.0, dtype: 100.0 if dtype == "float32" else 250.0}, "seconds": seconds}
        memory = {"peak_memory_gb": 0.9, "memory_after_imports_gb": 0.5}
        return asdict(Case(item, "mug128", dtype)) | known | memory | more

    rows = [row("decode", "bfloat16", 2.0), row("decode", "float32", 4.0), row("decode", "float32", 8.0, plain=True)]
    assert performance_speed.plain_of(rows[0], rows) is rows[2]
    assert performance_speed.plain_of(row("unet_step", "float32", 1.0), rows) is None
    assert "Here it is 2.5 times" in performance_speed.matrix_told(rows)
    assert performance_speed.matrix_told(rows[1:]) == ""
    assert "decode all frames 0.90 against 0.62, without what is imported 0.4" in performance_speed.memory_told(rows)
    assert performance_speed.memory_told(rows[:1]) == ""


def test_growth_is_told_in_the_precision_that_it_was_measured_in():
    def row(seconds: float, frames: int | None, dtype: str = "float32", peak: float = 50.0, **more: object) -> dict:
        memory = {"peak_memory_gb": 0.5 + seconds / 100, "memory_after_imports_gb": 0.5}
        measured = {"seconds": seconds, "seconds_x_peak": seconds * peak}
        return asdict(Case("unet_step", "mug128", dtype, frames=frames)) | measured | memory | more

    # The machine was half as fast when the longer video was measured.
    rows = [row(3.0, None), row(9.0, None, plain=True), row(2.0, None, "bfloat16"), row(24.0, 160, peak=25.0)]
    table, dtype = performance_speed.growth(rows)
    assert dtype == "float32" and "| 40, 160 | 3, 24 | frames^1.00 |" in table
    assert performance_speed.growth(rows[:3]) == ("", "")


def test_growth_is_a_power_law():
    assert performance_speed.exponent(((40, 3.0), (160, 12.0))) == pytest.approx(1)
    assert performance_speed.exponent(((128, 1.0), (256, 4.0))) == pytest.approx(2)


def test_attention_is_counted_whichever_kernel_computes_it():
    query, key, value = torch.randn(2, 3, 80, 8), torch.randn(2, 3, 90, 8), torch.randn(2, 3, 90, 8)
    with FlopCounterMode(display=False, custom_mapping=speed.CPU_ATTENTION) as counter:
        F.scaled_dot_product_attention(query, key, value)
    assert counter.get_total_flops() == 2 * (2 * 3 * 80 * 90 * 8) * 2


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read as Linux tells it")
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
    few = ["--pictures", "1", "--labels", "1"]
    precision.main(["--output", str(output), "--device", "cpu", "--dtypes", "bfloat16", *few])
    found = json.loads(output.read_text())["differences"]["bfloat16"]
    assert 0 < found["latent"]["mean"] < found["latent"]["largest"]
    assert 0 < found["decoding alone"]["mean"] < found["two seeds"]["mean"]
    assert found["pixels"]["mean"] < found["two seeds"]["mean"]


@pytest.mark.parametrize(("half", "precision"), [(True, "bf16"), (False, "no")])
def test_waiting_is_the_median_of_the_records_after_the_first(tmp_path, monkeypatch, half, precision):
    commands = []

    def train(command: list[str], check: bool) -> None:
        commands.append(command)
        folder = Path(command[command.index("--output_dir") + 1])
        folder.mkdir()
        records = [{"step": 0, "validation_loss": 1}]
        records += [{"waiting_for_data": share, "steps_per_second": 2 * share} for share in (0.9, 0.1, 0.3, 0.2)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    monkeypatch.setattr(data_waiting.subprocess, "run", train)
    monkeypatch.setattr(data_waiting, "has_instructions", lambda dtype: half)
    data_waiting.main(["--train_data_dir", "clips", "--output", str(tmp_path / "data.json")])
    rows = json.loads((tmp_path / "data.json").read_text())["waiting"]
    assert list(rows.values()) == [{"waiting_for_data": 0.2, "steps_per_second": 0.4}] * 2
    assert [command[command.index("--mixed_precision") + 1] for command in commands] == [precision] * 2
    assert all(Path(command[1]).is_file() for command in commands)
