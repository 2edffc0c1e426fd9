"""The loop by itself, with a task of one weight: what it calls when, what it counts, and what it records."""

from __future__ import annotations

import argparse
from pathlib import Path

import PIL.Image
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from torch.utils.data import Dataset
from training_scripts import command_line, records

from lfdm_diffusers.data.batches import Draw
from lfdm_diffusers.training import log_window
from lfdm_diffusers.training import run as training_run
from lfdm_diffusers.training.arguments import add_data_arguments, add_hub_arguments, add_run_arguments
from lfdm_diffusers.training.run import TrainingRun
from lfdm_diffusers.training.task import Losses, Result, Task, Validation


class Numbers(Dataset):
    """Item i is the number i."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, key: Draw) -> torch.Tensor:
        return torch.tensor(float(key.item))


class Product(nn.Module):
    """w x, as a loss; its gradient is x."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.weight * x).mean()


class ToyTask(Task):
    """One weight. Notes what is called in `calls`, and the chance of each batch in `draws`."""

    unit = "numbers"

    def __init__(self):
        self.module, self.dataset = Product(), Numbers()
        self.models, self.calls, self.draws = [self.module], [], []

    def parameters(self):
        return [{"params": [self.module.weight], "lr_scale": 0.5}]

    def start(self) -> Validation:
        self.calls.append("start")
        return self.found()

    def load(self, checkpoint: Path) -> None:
        self.calls.append(f"load {checkpoint.name}")

    def load_state(self, state: dict) -> None:
        with torch.no_grad():
            self.module.weight.copy_(state["weight"])

    def before_step(self, progress: float) -> None:
        self.calls.append(f"before {progress:g}")

    def losses(self, module: nn.Module, batch: torch.Tensor, draws: range) -> Losses:
        self.draws.append(draws)
        loss = module(batch)
        return Losses({"half": loss / 2, "other": loss / 2}, {"largest": batch.max()})

    def after_step(self) -> None:
        self.calls.append("after")

    def found(self) -> Validation:
        return Validation({"weight": self.module.weight.item()}, {"dots": PIL.Image.new("RGB", (2, 2))})

    def validate(self) -> Validation:
        self.calls.append("validate")
        return self.found()

    def save(self, folder: Path) -> None:
        self.calls.append("save")
        (folder / "weight.txt").write_text(str(self.module.weight.item()))

    def state(self) -> dict:
        return {"weight": self.module.weight.detach()}

    def facts(self) -> dict:
        self.calls.append("facts")
        return {"notes": ["A note."], "base_model": "me/base"}

    def summary(self) -> str:
        return "a summary"

    def results(self) -> list[Result]:
        def write(folder: Path, facts: dict, repo_id: str | None) -> None:
            (folder / "facts.txt").write_text(f"{facts} {repo_id}")

        return [Result("one", write, "one({})"), Result("two", write, "two({})")]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """`start(**options) -> TrainingRun` in `tmp_path`, with batches of two and no decay of the learning rate."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")

    def run_of(**options) -> TrainingRun:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        parser = argparse.ArgumentParser()
        add_data_arguments(parser)
        add_run_arguments(parser, batch_size=2, learning_rate=0.1, milestones=(), adam_betas=(0.9, 0.99))
        add_hub_arguments(parser)
        values = {"train_data_dir": "x", "output_dir": tmp_path, "logging_steps": 1, "validation_steps": 0, **options}
        return TrainingRun(parser.parse_args(command_line(values)), "toy")

    return run_of


def test_what_is_called_when(start):
    """Validation comes before the checkpoint of the same step, so that a run killed between the two validates again."""
    task = ToyTask()
    start(max_train_steps=4, validation_steps=2, checkpointing_steps=3).fit(task)
    step = ["before 0", "after", "before 0.25", "after", "validate", "before 0.5", "after", "save"]
    assert task.calls == ["start", *step, "before 0.75", "after", "validate", "save"]


def test_a_checkpoint_is_loaded_after_the_start(start, tmp_path):
    """What has to be beaten is the model as it came; only then is it what the checkpoint has."""
    whole, first, second = ToyTask(), ToyTask(), ToyTask()
    start(max_train_steps=4, output_dir=tmp_path / "whole").fit(whole)
    start(max_train_steps=4, checkpointing_steps=2).fit(first)
    (tmp_path / "checkpoint-4").rename(tmp_path / "later")
    start(max_train_steps=4, resume_from_checkpoint="latest").fit(second)
    assert second.calls[:3] == ["start", "load checkpoint-2", "before 0.5"]
    assert torch.equal(second.module.weight, whole.module.weight) and second.draws == whole.draws[2:]
    recorded = [record for record in records(tmp_path) if record["step"] == 0]
    assert [record["validation/weight"] for record in recorded] == [1.0]  # by the first run alone


def test_other_batches_go_on_at_the_same_place(start, tmp_path):
    """As of another number of processes: each epoch of eight numbers has each of them once, over two changes."""
    tasks, seen = [], []
    for steps, size in ((3, 2), (5, 4), (7, 1)):
        tasks.append(ToyTask())
        losses = tasks[-1].losses

        def watched(module, batch, draws, losses=losses):
            seen.extend(batch.tolist())
            return losses(module, batch, draws)

        tasks[-1].losses = watched
        start(max_train_steps=steps, train_batch_size=size, resume_from_checkpoint="latest").fit(tasks[-1])
    assert [draws for task in tasks for draws in task.draws] == [
        *(range(0, 2), range(2, 4), range(4, 6)),
        *(range(6, 10), range(10, 14)),
        *(range(14, 15), range(15, 16)),
    ]
    assert sorted(seen[:8]) == sorted(seen[8:]) == list(range(8)) and seen[:8] != seen[8:]


def test_accumulated_passes(start, tmp_path):
    """A step of four passes has the mean gradient of all; each pass has chance of its own."""
    task, large = ToyTask(), ToyTask()
    start(max_train_steps=2, gradient_accumulation_steps=4).fit(task)
    start(max_train_steps=2, train_batch_size=8, output_dir=tmp_path / "large").fit(large)
    assert task.draws == [range(first, first + 2) for first in range(0, 16, 2)]
    assert task.calls.count("after") == 2
    torch.testing.assert_close(task.module.weight, large.module.weight)
    lines = [record for record in records(tmp_path) if "loss" in record]
    assert [record["step"] for record in lines] == [1, 2]
    assert lines[0]["loss"] == pytest.approx(3.5)  # w = 1 times the mean of 0 to 7
    assert lines[0]["half"] == pytest.approx(1.75) and lines[0]["loss"] == lines[0]["half"] + lines[0]["other"]


def test_rates_of_groups(start):
    """Each group learns at its own multiple of the rate of the step."""
    rates = []
    run, task = start(max_train_steps=4, lr_milestones=0.5, lr_warmup_steps=2), ToyTask()
    task.after_step = lambda: rates.append(run._optimizer.param_groups[0]["lr"])
    run.fit(task)
    assert rates == pytest.approx([0.025, 0.05, 0.005, 0.005])


def test_gradients_are_clipped(start, monkeypatch):
    norms = []
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(
        torch.nn.utils,
        "clip_grad_norm_",
        lambda weights, most, **given: norms.append(most) or clip(weights, most, **given),
    )
    start(max_train_steps=2, max_grad_norm=0.25).fit(ToyTask())
    assert norms == [0.25, 0.25]


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to."""

    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(log_window, "time", clock)
    return clock


def test_speed_is_of_steps_alone(start, tmp_path, clock):
    """Validation and checkpoints between two lines of numbers are no part of it; steps before and after them are."""
    task = ToyTask()
    takes = {"before_step": 0.5, "after_step": 0.5, "validate": 100.0, "save": 1000.0}
    for name, seconds in takes.items():
        do = getattr(task, name)

        def timed(*given, do=do, seconds=seconds):
            clock.now += seconds
            return do(*given)

        setattr(task, name, timed)
    start(max_train_steps=8, logging_steps=4, validation_steps=3, checkpointing_steps=2).fit(task)
    speeds = [record["steps_per_second"] for record in records(tmp_path) if "steps_per_second" in record]
    assert speeds == pytest.approx([1.0, 1.0])


def test_waiting_is_a_share_of_the_time(clock):
    def slow():
        for batch in range(4):
            clock.now += 3.0
            yield batch

    window = log_window.LogWindow()
    for _ in window.timed(slow()):
        clock.now += 1.0
        window.count_step()
    assert window.speed() == {"steps_per_second": 4 / 16, "waiting_for_data": 12 / 16}
    window.clear()
    clock.now += 2.0
    window.count_step()
    assert window.speed() == {"steps_per_second": 1 / 2, "waiting_for_data": 0.0}


@pytest.mark.parametrize("where", ["start", "losses", "validate", "facts"])
def test_half_precision_ends_with_an_error(start, where):
    """Under autocast all of them run; when one raises, what comes after the run is not in half precision."""
    task, seen = ToyTask(), []

    def fails(*given):
        seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        raise ZeroDivisionError

    setattr(task, where, fails)
    run = start(max_train_steps=1, mixed_precision="bf16")
    with pytest.raises(ZeroDivisionError):
        run.fit(task)
        run.finish(task)
    assert seen == [torch.bfloat16] and not torch.is_autocast_enabled("cpu")


def test_a_loss_that_is_not_finite_ends_it(start, tmp_path):
    task = ToyTask()
    task.losses = lambda module, batch, draws: Losses({"a": module(batch), "b": module(batch) * torch.inf}, {})
    with pytest.raises(FloatingPointError, match=r"the loss is inf at step 1 \(a .*, b inf\)"):
        start(max_train_steps=2).fit(task)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_results(start, tmp_path, capsys, monkeypatch):
    """Every folder is written with the same facts; the last is what is pushed."""
    pushed = []
    monkeypatch.setattr(
        training_run, "push_folder", lambda folder, repo, *given: pushed.append((folder.name, repo)) or "hub"
    )
    changes = {
        "gradient_accumulation_steps": 2,
        "push_to_hub": True,
        "hub_model_id": "me/toy",
        "hub_token": "hf_secret",
    }
    run, task = start(max_train_steps=1, **changes), ToyTask()
    run.fit(task)
    run.finish(task)
    one, two = ((tmp_path / name / "facts.txt").read_text() for name in ("one", "two"))
    assert one.endswith(" None") and two == one.removesuffix("None") + "me/toy" and pushed == [("two", "me/toy")]
    assert "'dataset': '8 clips'" in one and "'base_model': 'me/base'" in one
    assert "Trained for 1 steps of 4 numbers from 8 clips" in one and one.index("Trained") < one.index("A note.")
    said = capsys.readouterr().out
    assert "1 steps of 4 examples in 1 process\n" in said
    assert said.index("a summary") < said.index(f"one: one('{tmp_path / 'one'}')") < said.index("pushed to hub")
    assert task.calls.count("facts") == 1
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 4 and not [path for path in written if b"hf_secret" in path.read_bytes()]
