"""What is kept of the systems that LFDM is compared with, and that it is not trained again."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_baseline

from lfdm_diffusers.pipelines import ImageToVideoPipeline
from lfdm_diffusers.pipelines.loading import load_pipeline


@pytest.fixture(scope="module")
def compared_systems() -> ModuleType:
    """The script; not imported above, for every run of other tests would wait for its matplotlib."""
    return importlib.import_module("compared_systems")


@pytest.fixture
def project(compared_systems, tmp_path, monkeypatch):
    """An empty project."""
    monkeypatch.setattr(compared_systems, "ROOT", tmp_path / "project")
    return tmp_path / "project"


def put_training(work, name: str, folder: str | None = None) -> None:
    """What a run leaves behind."""
    (work / name).mkdir(parents=True)
    if folder:
        tiny_baseline(name).save_pretrained(work / name / folder)
    records = [{"step": step, "loss": 1 / step, "lr": 1e-4, "steps_per_second": 0.5} for step in range(10, 310, 10)]
    records.append({"step": 300, "validation/loss": 0.25})
    (work / name / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_trained_systems_are_kept(compared_systems, tmp_path, project, capsys):
    put_training(tmp_path, "ldm", "pipeline")
    put_training(tmp_path, "autoencoder")
    compared_systems.keep(tmp_path)
    assert "vdm/pipeline is not there: not kept" in capsys.readouterr().out
    (folder,) = (project / "baselines").iterdir()
    trained, kept = (load_pipeline(path, kind=ImageToVideoPipeline) for path in (tmp_path / "ldm/pipeline", folder))
    for name in ("unet", "vae"):
        for before, after in zip(getattr(trained, name).parameters(), getattr(kept, name).parameters()):
            assert torch.equal(before.half().float(), after)
    picture = Image.fromarray(np.full((32, 32, 3), 99, dtype=np.uint8))
    assert len(kept(picture, "anger", num_inference_steps=2).frames[0]) == kept.num_frames

    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "--system autoencoder" in card and "--system ldm --autoencoder autoencoder/vae" in card
    assert "| ldm | 300 | 0.2 | loss 0.25 |" in card  # two seconds a step
    written = "".join(file.read_text() for file in folder.rglob("*.json*"))
    assert str(tmp_path) not in card + written
    thinned = [json.loads(line) for line in (folder / "ldm.jsonl").read_text().splitlines()]
    assert [record["step"] for record in thinned] == [100, 200, 300, 300]
    with Image.open(folder / "training.png") as drawn:
        assert drawn.width > 500


def test_what_is_kept_or_trained_is_not_trained_again(compared_systems, tmp_path, project, monkeypatch):
    runs = []
    monkeypatch.setattr(compared_systems.subprocess, "run", lambda command, **_: runs.append(command))
    (project / "baselines" / "imaginator").mkdir(parents=True)
    (project / "baselines" / "imaginator" / "model_index.json").write_text("{}")
    (tmp_path / "autoencoder" / "vae").mkdir(parents=True)
    compared_systems.train(tmp_path)
    systems = [command[command.index("--system") + 1] for command in runs]
    assert systems == ["vdm", "ldm"]
    for command in runs:  # all are told the same, and see the same
        assert "--label_embeddings" in command
        steps, batch = (int(command[command.index(name) + 1]) for name in ("--max_train_steps", "--train_batch_size"))
        assert steps * batch == compared_systems.CLIPS_SEEN
