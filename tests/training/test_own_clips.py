"""The script for own clips in so many minutes, at tiny size: both stages, its plan kept, and no stage two where the first failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import tiny_pipeline, tiny_unet
from training_scripts import command_line, load_script

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.training import short_budget

own_clips = load_script("own_clips")
run, refusal = own_clips.run, own_clips.refusal
STAGES = {f"{name}.py": load_script(name) for name in ("train_lfae", "train_unet")}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("own")
    write_toon_faces(root / "data", 3, 1, labels=("anger", "fear"), num_frames=6, size=32, progress=False)
    tiny_pipeline(unet=tiny_unet(flow_target="residual")).save_pretrained(root / "base")
    return root


@pytest.fixture(autouse=True)
def few_steps(monkeypatch) -> list[list[str]]:
    """Stages of two steps, in this process; what was run."""
    ran = []

    def run_here(words):
        ran.append(words)
        STAGES[Path(words[0]).name].run(words[1:])

    monkeypatch.setattr(own_clips, "run_stage", run_here)
    monkeypatch.setattr(short_budget, "FEWEST_STEPS", 2)
    monkeypatch.setattr(short_budget, "BATCH", {"stage_one": 2, "stage_two": 2})
    monkeypatch.setattr(short_budget, "SAMPLED_STEPS", 2)
    return ran


def arguments(root: Path, output: Path, **changes) -> list[str]:
    values = {
        "train_data_dir": root / "data",
        "output_dir": output,
        "cache_dir": root / "cache",
        "pretrained_model_name_or_path": root / "base",
        "minutes": 0.001,
        "resolution": 32,
        "num_frames": 5,
        **changes,
    }
    return command_line(values)


@pytest.mark.integration
def test_from_clips_to_a_pipeline(root, few_steps, tmp_path, monkeypatch, capsys):
    """Stopped before stage one, and begun again by the same command where another number of steps would be planned."""
    monkeypatch.setattr(short_budget, "USELESS", 1e9)
    given, plan = arguments(root, tmp_path / "out"), tmp_path / "out" / own_clips.PLAN

    def stopped(words):
        raise SystemExit(130)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(own_clips, "run_stage", stopped)
        run(given)
    said = capsys.readouterr().out
    assert "of the picture moves" in said and "A label has 2 clips" in said and "Under 500 steps" in said
    planned = json.loads(plan.read_text())["stage_one"]
    monkeypatch.setattr(short_budget, "FEWEST_STEPS", 3)
    run(given)
    assert few_steps[0] == planned and planned[planned.index("--max_train_steps") + 1] == "2"
    assert few_steps[1][few_steps[1].index("--max_train_steps") + 1] == "3"
    said = capsys.readouterr().out
    assert "labels are hardly told apart" in said
    assert "It is followed in part" in said and "Loss of held-out clips" in said
    pipe = LFDMPipeline.from_pretrained(tmp_path / "out" / "pipeline")
    assert pipe.unet.config.num_frames == 5 and pipe.unet.config.first_frame_is_picture  # base: 4
    assert pipe.label_embeddings.knows("fear")  # of which the base had not heard
    card = (tmp_path / "out" / "pipeline" / "README.md").read_text()
    assert "Its training started from the weights of base" in card and "for 3 steps" in card
    run(given)  # all of it is there
    assert len(few_steps) == 2
    said = refusal(arguments(root, tmp_path / "out", num_frames=4))
    assert "was begun with --num_frames 5: give these, or another folder." in said
    assert "`--resolution` must be a multiple of 16 for this network, got 24" in refusal(
        arguments(root, tmp_path / "odd", resolution=24)
    )


def test_no_stage_two_where_motion_is_not_followed(root, few_steps, tmp_path, monkeypatch):
    monkeypatch.setattr(short_budget, "USELESS", 0.0)
    assert refusal(arguments(root, tmp_path / "out")) == "own_clips: stopped before stage two."
    assert len(few_steps) == 1 and not (tmp_path / "out" / "pipeline").exists()
