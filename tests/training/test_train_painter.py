"""The painter's training script at tiny size: it learns, resumes exactly, and its result paints a pipeline's frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_image, tiny_pipeline
from training_scripts import assert_same, command_line, load_script, records, stop_at

from lfdm_diffusers import FullSizePainter, LFDMPipeline
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.training.reconstruction_loss import sharpness_loss

train_painter = load_script("train_painter")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Clips of twice the size of a pipeline that knows nothing yet."""
    root = tmp_path_factory.mktemp("base")
    write_toon_faces(root / "data", 2, 1, labels=("happiness",), num_frames=3, size=64, progress=False)
    tiny_pipeline().save_pretrained(root / "pipeline")
    return root


def arguments(base: Path, output: Path, **changes) -> list[str]:
    values = {
        "train_data_dir": base / "data",
        "output_dir": output,
        "pretrained_model_name_or_path": base / "pipeline",
        "cache_dir": base / "cache",
        "perceptual": "none",
        "scale": 2,
        "train_batch_size": 1,
        "max_train_steps": 4,
        "checkpointing_steps": 2,
        "validation_steps": 2,
        "logging_steps": 1,
        **changes,
    }
    return command_line(values)


@pytest.mark.integration
def test_it_learns_resumes_exactly_and_paints(base, tmp_path, monkeypatch):
    train_painter.run(arguments(base, tmp_path / "whole"))
    rows = records(tmp_path / "whole")
    before, *_, after = [row for row in rows if "validation/l1" in row]
    assert before["validation/l1"] == pytest.approx(
        before["validation/plain_l1"], abs=5e-3
    )  # untrained: the plain rule
    assert after["validation/l1"] != before["validation/l1"]
    assert after["validation/plain_l1"] == pytest.approx(before["validation/plain_l1"])

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 3)
        train_painter.run(arguments(base, tmp_path / "parts"))
    train_painter.run([*arguments(base, tmp_path / "parts"), "--resume_from_checkpoint", "latest"])
    weights = [
        load_file(tmp_path / run / "painter" / "diffusion_pytorch_model.safetensors") for run in ("whole", "parts")
    ]
    assert_same(*weights)

    painter = FullSizePainter.from_pretrained(tmp_path / "whole" / "painter")
    pipe = LFDMPipeline.from_pretrained(base / "pipeline", painter=painter)
    pipe.set_progress_bar_config(disable=True)
    options = dict(num_inference_steps=1, output_size="picture", output_type="pt")
    made = [
        each(tiny_image(), "anger", generator=torch.Generator().manual_seed(0), **options).frames
        for each in (pipe, tiny_pipeline())
    ]
    assert 0 < (made[0] - made[1]).abs().mean() < 0.1


@pytest.mark.integration
def test_it_goes_on_from_a_painter_by_true_motion(base, tmp_path):
    """Steps of no learning leave a painter as it was; its network is as the file says, and true motion is another error."""
    (tmp_path / "network.json").write_text('{"base_channels": 8, "coarse_channels": 16, "num_blocks": 1}')
    write_toon_faces(
        tmp_path / "data", 2, 1, labels=("happiness",), num_frames=3, size=64, with_flow=True, progress=False
    )
    few = {"train_data_dir": tmp_path / "data", "max_train_steps": 2, "sharpness_loss_weight": 1}
    network = {"model_config_name_or_path": tmp_path / "network.json"}
    train_painter.run([*arguments(base, tmp_path / "one", **few, **network), "--true_motion"])
    first = FullSizePainter.from_pretrained(tmp_path / "one" / "painter")
    assert first.config.num_blocks == 1 and first.conv_in.out_channels == 8
    losses = [row for row in records(tmp_path / "one") if "sharpness" in row]
    assert losses and all(row["sharpness"] > 0 for row in losses)

    on = {**few, "painter": tmp_path / "one" / "painter", "learning_rate": 1e-12}
    train_painter.run(arguments(base, tmp_path / "two", **on))
    second = FullSizePainter.from_pretrained(tmp_path / "two" / "painter")
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=1e-6)
    by_truth, by_eye = (
        next(row["validation/plain_l1"] for row in records(tmp_path / run) if "validation/plain_l1" in row)
        for run in ("one", "two")
    )
    assert abs(by_truth - by_eye) > 1e-3
    for wrong, told in (
        ({"scale": 4}, "`--scale` must be that of `--painter`, 2, got 4."),
        (network, "`--model_config_name_or_path` is of a new painter"),
    ):
        assert told in train_painter.refusal(arguments(base, tmp_path / "three", **{**on, **wrong}))


def test_sharpness_counts_texture_wherever_its_edges_fall():
    stripes = (torch.arange(32) % 4 < 2).float().expand(1, 3, 32, 32)
    assert (
        sharpness_loss(stripes.roll(1, -1), stripes) < 0.4 < 4 < sharpness_loss(torch.full_like(stripes, 0.5), stripes)
    )
    softer = 0.5 + 0.5 * (stripes - 0.5)
    torch.testing.assert_close(
        sharpness_loss(softer, stripes), 5 * stripes.diff(dim=-1).abs().mean(), rtol=0.05, atol=0
    )
    assert sharpness_loss(stripes, stripes) == 0
    brighter = stripes.clone().requires_grad_()
    sharpness_loss(brighter, softer).backward()
    assert brighter.grad.abs().sum() > 0


def test_the_size_is_the_auto_encoders_times_the_scale(base, tmp_path):
    assert "`--resolution` must be 64, 2 times the auto-encoder's 32 pixels, got 96." in train_painter.refusal(
        arguments(base, tmp_path, resolution=96)
    )
