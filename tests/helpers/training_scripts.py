"""Running the training scripts in tests, and looking at what they leave."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from lfdm_diffusers.training import metrics_file

ROOT = Path(__file__).parents[2]


def load_script(name: str) -> ModuleType:
    """training/NAME.py as a module, with `run(argv)`: in this process, on the CPU, as if no other run had been there;
    and `refusal(argv)`: the sentence that it ends with."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "training" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(argv: list[str]) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ACCELERATE_USE_CPU", "true")
            script.main(argv)

    def refusal(argv: list[str]) -> str:
        with pytest.raises(SystemExit) as stop:
            run(argv)
        return str(stop.value)

    script.run, script.refusal = run, refusal
    return script


def command_line(values: dict[str, object]) -> list[str]:
    """Arguments by name as texts: None leaves one out, True is a flag."""
    texts = []
    for name, value in values.items():
        if value is not None:
            texts += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return texts


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


def records(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the run end as by a kill when `step` has been logged, before its checkpoint is written."""
    write = metrics_file.MetricsFile.write

    def killed(self, at, values):
        write(self, at, values)
        if at == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(metrics_file.MetricsFile, "write", killed)


def environment() -> dict[str, str]:
    """For a script in a process of its own, on one thread of the CPU."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
