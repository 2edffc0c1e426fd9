"""Stage one's training script at tiny size on toon faces: it learns, repeats bit for bit, and stops with one sentence."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from leftovers import workshop_of_a_killed_process
from loopback_hub import READ_TOKEN, WRITE_TOKEN
from safetensors.torch import load_file
from tiny import tiny_lfae
from torch import nn
from training_scripts import assert_same, command_line, environment, load_script, records, stop_at

from lfdm_diffusers import LatentFlowAutoencoder, UNet3DVideoModel
from lfdm_diffusers.data import chance
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.metrics.feature_networks import VGGFeatures
from lfdm_diffusers.training import batchnorm
from lfdm_diffusers.training import run as training_run
from lfdm_diffusers.training.arguments import public_command
from lfdm_diffusers.training.checkpoints import checkpoints
from lfdm_diffusers.training.clips import choose_clips
from lfdm_diffusers.training.equivariance import RandomTransform
from lfdm_diffusers.training.lfae import LFAELoss
from lfdm_diffusers.training.presets import LFAE_CONFIGS, get_lfae_config, get_unet_config
from lfdm_diffusers.training.reconstruction_loss import (
    PerceptualPyramidLoss,
    PixelPyramidLoss,
    build_reconstruction_loss,
)
from lfdm_diffusers.visualization import contact_sheet, flow_in_pixels, flow_to_color

train_lfae = load_script("train_lfae")
SCRIPT = train_lfae.__file__
run, refusal = train_lfae.run, train_lfae.refusal


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Two people to train on, one to test: clips of 4 frames, and their cache beside them."""
    root = tmp_path_factory.mktemp("faces")
    labels = ("happiness", "surprise")
    write_toon_faces(root / "data", 3, 1, labels=labels, num_frames=4, size=32, progress=False)
    (root / "config.json").write_text(json.dumps(dict(tiny_lfae().config)))
    return root


def arguments(faces: Path, output: Path, **changes) -> list[str]:
    """Arguments of a run of 6 steps; a change to None leaves one out."""
    values = {
        "train_data_dir": faces / "data",
        "output_dir": output,
        "model_config_name_or_path": faces / "config.json",
        "cache_dir": faces / "cache",
        "perceptual": "none",
        "train_batch_size": 2,
        "max_train_steps": 6,
        "checkpointing_steps": 2,
        "validation_steps": 0,
        "num_validation_pairs": 2,
        "logging_steps": 1,
        **changes,
    }
    return command_line(values)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "lfae" / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def whole_run(faces, tmp_path_factory) -> Path:
    """6 steps without an interruption."""
    output = tmp_path_factory.mktemp("whole")
    run(arguments(faces, output))
    return output


def test_the_command_on_a_card_tells_no_secrets():
    words = [
        "/home/me/x.py",
        "--train_data_dir",
        "/home/me/clips",
        "--output_dir=/data/run",
        "--hub_token",
        "hf_x",
        "--flip",
    ]
    told = public_command(
        [*words, "--hub_token=hf_y", "--lr_milestones", ".7", "--lfae", "../mine/lfae"], "training/x.py"
    )
    assert told == "python training/x.py --train_data_dir clips --output_dir=run --flip --lr_milestones .7 --lfae lfae"


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_output(whole_run):
    assert [path.name for path in checkpoints(whole_run)] == [f"checkpoint-{n}" for n in (2, 4, 6)]
    assert not list(whole_run.glob(".*"))
    lfae = LatentFlowAutoencoder.from_pretrained(whole_run / "lfae")
    assert lfae.config.sample_size == 32
    assert "Trained for 6 steps of 2 pairs" in (whole_run / "lfae" / "README.md").read_text()
    steps = [record["step"] for record in records(whole_run)]
    assert steps == [1, 2, 3, 4, 5, 6, 6]
    final = records(whole_run)[-1]
    expected = {f"{name}l1{where}" for name in ("", "inpainted_", "static_") for where in ("", "_moving")}
    expected |= {"step", "occlusion_mean", "occlusion_min", "occlusion_below_half", "l1_painted", "static_l1_painted"}
    assert {key.removeprefix("validation/") for key in final} == expected
    told = {key.removeprefix("validation/"): value for key, value in final.items()}
    assert 0 <= told["occlusion_min"] < told["occlusion_mean"] < 1 and 0 <= told["occlusion_below_half"] <= 1
    assert all(0 < value < 1 for name, value in told.items() if "l1" in name)
    assert told["static_l1"] < told["static_l1_moving"] and told["static_l1"] < told["l1"]  # 6 steps teach little
    with PIL.Image.open(whole_run / "samples" / "step-000006.png") as sheet:
        assert sheet.width == 7 * 130 - 2
    rates = [record["lr"] for record in records(whole_run) if "lr" in record]
    assert rates == pytest.approx([2e-4] * 4 + [2e-5] * 1 + [2e-6] * 1)  # milestones .6 and .9 of 6 steps: 4 and 5


@pytest.mark.integration
def test_loss_falls(faces, tmp_path):
    run(arguments(faces, tmp_path, max_train_steps=60, train_batch_size=4, learning_rate=1e-3, checkpointing_steps=60))
    losses = [record["loss"] for record in records(tmp_path) if "loss" in record]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_goes_on_bit_for_bit(faces, whole_run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 5)
        run(arguments(faces, tmp_path))
    assert checkpoints(tmp_path)[-1].name == "checkpoint-4"
    (tmp_path / workshop_of_a_killed_process() / "checkpoint-6").mkdir(parents=True)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "lo')
    run(arguments(faces, tmp_path, resume_from_checkpoint="latest"))
    assert_same(weights(tmp_path), weights(whole_run))
    assert [r["step"] for r in records(tmp_path)] == [r["step"] for r in records(whole_run)]
    assert [r.get("loss") for r in records(tmp_path)] == [r.get("loss") for r in records(whole_run)]
    assert not list(tmp_path.glob(".*"))


def test_new_model_with_the_weights_of_another_where_they_fit(faces, whole_run, tmp_path, capsys):
    """A finer latent map, as one grows from a coarse model: regions and flow predictor are the other's."""
    finer = {"num_down_blocks": 1, "flow_scale": 0.5, "max_channels": 12}
    config = {k: v for k, v in tiny_lfae().config.items() if not k.startswith("_")} | finer
    (tmp_path / "finer.json").write_text(json.dumps(config))
    changes = {"model_config_name_or_path": tmp_path / "finer.json", "reference_frame": "first", "learning_rate": 0}
    run(arguments(faces, tmp_path / "new", pretrained_model_name_or_path=whole_run / "lfae", **changes))
    said = capsys.readouterr().out
    assert "but new ones in " in said and "bottleneck.0" in said and "region_predictor" not in said
    assert f"next: python training/train_unet.py --lfae {tmp_path / 'new' / 'lfae'} --train_data_dir DATA" in said
    before, after = weights(whole_run), weights(tmp_path / "new")
    learned = [
        name for name in before if name.startswith(("region_predictor.", "flow_predictor.")) and "weight" in name
    ]
    assert len(learned) > 10 and all(torch.equal(before[name], after[name]) for name in learned)
    assert LatentFlowAutoencoder.from_pretrained(tmp_path / "new" / "lfae").downscale_factor == 2


def test_goes_on_with_accumulation_and_bf16(faces, tmp_path, monkeypatch):
    advised = []
    monkeypatch.setattr(training_run, "advise_precision", lambda *args: advised.append(args))
    changes = {
        "gradient_accumulation_steps": 2,
        "mixed_precision": "bf16",
        "max_train_steps": 4,
        "lr_milestones": 2,  # never
    }
    run(arguments(faces, tmp_path / "a", **changes))
    run(arguments(faces, tmp_path / "b", **changes, resume_from_checkpoint=tmp_path / "a/checkpoint-2"))
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert advised == [(torch.device("cpu"), torch.bfloat16)] * 2


def test_accumulation_is_a_larger_batch(faces, tmp_path):
    """The pairs of an update are the same; only BatchNorm and the transforms see halves."""
    run(arguments(faces, tmp_path, gradient_accumulation_steps=2, train_batch_size=1, max_train_steps=2))
    assert [record["step"] for record in records(tmp_path)] == [1, 2, 2]


def test_frozen_batchnorm(faces, whole_run, tmp_path):
    """From the share of the training on that is asked for, running statistics stay; before it, all is as without."""
    run(arguments(faces, tmp_path, freeze_batchnorm_after=0.5, max_train_steps=6))
    kept = {
        step: load_file(tmp_path / f"checkpoint-{step}" / "lfae" / "diffusion_pytorch_model.safetensors")
        for step in (2, 4, 6)
    }
    means = [name for name in kept[2] if "running_mean" in name]
    assert not any(torch.equal(kept[2][name], kept[4][name]) for name in means)
    assert all(torch.equal(kept[4][name], kept[6][name]) for name in means)
    assert not torch.equal(kept[4]["conv_out.weight"], kept[6]["conv_out.weight"])
    assert_same(kept[2], load_file(whole_run / "checkpoint-2" / "lfae" / "diffusion_pytorch_model.safetensors"))


def test_warm_start(faces, whole_run, tmp_path):
    run(
        arguments(
            faces,
            tmp_path,
            model_config_name_or_path=None,
            pretrained_model_name_or_path=whole_run,
            subfolder="lfae",
            learning_rate=0,
            max_train_steps=1,
        )
    )
    before, after = weights(whole_run), weights(tmp_path)
    assert all(
        torch.equal(before[name], after[name]) for name in before if "running" not in name and "num" not in name
    )


def test_checkpoints_are_pruned(faces, tmp_path):
    run(arguments(faces, tmp_path, checkpointing_steps=1, max_train_steps=3, checkpoints_total_limit=2))
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-3"]


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_refusals(faces, whole_run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    new = tmp_path / "new"
    message = refusal(arguments(faces, new, train_data_dir=tmp_path / "empty"))
    assert message.startswith("train_lfae: `--train_data_dir`") and "holds no clips" in message
    assert not new.exists()
    assert "`--train_data_dir` must be a folder" in refusal(arguments(faces, new, train_data_dir=tmp_path / "no"))
    assert "multiple of 16" in refusal(arguments(faces, new, resolution=40))
    assert "`preset` must be one of mug128" in refusal(
        arguments(faces, new, preset="x", model_config_name_or_path=None)
    )
    assert "got --preset and --model_config" in refusal(arguments(faces, new, preset="toon64"))
    assert "got none" in refusal(arguments(faces, new, model_config_name_or_path=None))
    message = refusal(arguments(faces, new, perceptual="vgg19"))
    assert "`--perceptual` vgg19: " in message and "'none' needs no download" in message
    assert "holds checkpoint-6 of an earlier run" in refusal(arguments(faces, whole_run))
    message = refusal(arguments(faces, whole_run, resume_from_checkpoint="checkpoint-3"))
    assert "got 'checkpoint-3'" in message and "checkpoint-4" in message
    message = refusal(arguments(faces, whole_run, resume_from_checkpoint="checkpoint-4"))
    assert "holds checkpoint-6, so no run can go on from" in message
    refusal(arguments(faces, new, train_batch_size=0))
    assert "argument --train_batch_size: must be a whole number of at least 1, got '0'" in capsys.readouterr().err


def test_nan(faces, whole_run, tmp_path, monkeypatch):
    shutil.copytree(whole_run / "checkpoint-2", tmp_path / "checkpoint-2")
    before = load_file(tmp_path / "checkpoint-2" / "lfae" / "diffusion_pytorch_model.safetensors")
    monkeypatch.setattr(PixelPyramidLoss, "forward", lambda self, prediction, target: prediction.sum() * torch.nan)
    message = refusal(arguments(faces, tmp_path, resume_from_checkpoint="latest"))
    assert message.startswith("train_lfae: the loss is nan at step 3 (reconstruction nan")
    assert "--resume_from_checkpoint latest" in message
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-2"]
    assert_same(load_file(tmp_path / "checkpoint-2" / "lfae" / "diffusion_pytorch_model.safetensors"), before)


def test_weights_that_are_not_finite_are_not_saved(faces, tmp_path):
    """Weights can be lost in the very update before a checkpoint, without the loss having shown it yet."""
    message = refusal(arguments(faces, tmp_path, learning_rate=1e39, checkpointing_steps=1))
    assert "is not finite after step 1" in message
    assert not checkpoints(tmp_path)


def test_full_disk(faces, whole_run, tmp_path, monkeypatch):
    shutil.copytree(whole_run / "checkpoint-2", tmp_path / "checkpoint-2")

    def full(state, file):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    message = refusal(arguments(faces, tmp_path, resume_from_checkpoint="latest"))
    assert "checkpoint-4 could not be written" in message and "No space left on device" in message
    assert [path.name for path in tmp_path.glob("*checkpoint*")] == ["checkpoint-2"]


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_draw_generator():
    keys = [(0, 0), (0, 1), (1, 0), (1, 1)]
    first = [torch.rand(1, generator=chance.draw_generator(*key)).item() for key in keys]
    again = [torch.rand(1, generator=chance.draw_generator(*key)).item() for key in keys]
    assert first == again and len(set(first)) == 4


def test_choose_clips(faces, tmp_path):
    train, held_out, about = choose_clips(faces / "data", "auto", None, None)
    assert len(train) == 4 and len(held_out) == 2 and about == "the split test"
    train, held_out, about = choose_clips(faces / "data", "auto", "test", None)
    assert train == held_out and len(train) == 2 and "training clips" in about
    shutil.copytree(faces / "data" / "train", tmp_path / "all")
    train, held_out, about = choose_clips(tmp_path / "all", "auto", None, None)
    assert train == held_out and len(train) == 4 and "training clips" in about


def test_errors_name_the_options_of_the_scripts(faces, tmp_path):
    """And leave all else of a message as it is, a path with the name of an argument for one."""
    with pytest.raises(ValueError, match="`--validation_split` must be one of test, train, got 'x'"):
        choose_clips(faces / "data", "auto", None, "x")
    with pytest.raises(ValueError, match="`--train_split` must be one of test, train, got 'y'"):
        choose_clips(faces / "data", "auto", "y", "test")
    with pytest.raises(ValueError, match=r"`--train_data_dir` must be a folder, got '.*/`root`'"):
        choose_clips(tmp_path / "`root`", "auto", None, None)
    file = tmp_path / "`layers`.pth"
    torch.save(VGGFeatures(16, ["relu1_1"]).state_dict(), file)
    with pytest.raises(
        ValueError, match=r"`--perceptual_layers` must be one or more of relu1_1, .*, got x.*`layers`.pth"
    ):
        build_reconstruction_loss(str(file), ["x"])
    with pytest.raises(ValueError, match=r"^`--perceptual` .*/no: `--perceptual` must be 'vgg19'"):
        build_reconstruction_loss(str(tmp_path / "no"), None)
    assert build_reconstruction_loss(str(file), ["relu1_1"]).features.layers == ("relu1_1",)


@pytest.mark.parametrize("name", ["toon64", "mhad128"])
def test_presets(name):
    config = get_lfae_config(name)
    with torch.device("meta"):
        lfae = LatentFlowAutoencoder(**config)
    assert config["sample_size"] % lfae.flow_stride == 0
    if name == "toon64":
        assert 4.3e6 < sum(parameter.numel() for parameter in lfae.parameters()) < 4.5e6
    else:
        assert lfae.config.region_padding == 0
    assert {"mug128", "natops128", "vox256", "taichi256"} < set(LFAE_CONFIGS)


def test_people128_is_small_and_starts_from_toon64():
    """With its U-Net less than 23 MB in half precision; regions and flow of toon64's sizes, whose weights fit."""
    with torch.device("meta"):
        lfae = LatentFlowAutoencoder(**get_lfae_config("people128"))
        toon = LatentFlowAutoencoder(**get_lfae_config("toon64"))
        sizes = {"sample_size": 32, "image_latent_channels": lfae.latent_channels, "text_embed_dim": 384}
        unet = UNet3DVideoModel(**get_unet_config("people128") | sizes)
    assert lfae.config.sample_size // lfae.downscale_factor == 32
    assert 2 * sum(p.numel() for model in (lfae, unet) for p in model.parameters()) < 23e6
    shapes = {name: value.shape for name, value in toon.state_dict().items()}
    motion = [name for name in lfae.state_dict() if name.split(".")[0].endswith("predictor")]
    assert len(motion) > 100
    assert all(shapes[name] == lfae.state_dict()[name].shape for name in motion)


def test_pixel_pyramid():
    loss, target = PixelPyramidLoss(), torch.rand(2, 3, 32, 32)
    assert loss(target, target) == 0
    # A constant difference has no gradient; at full size it is itself, at the others less, by the zero padding.
    assert 10 * 0.1 < loss(target + 0.1, target) < 4 * 10 * 0.1
    pattern = 0.1 * (torch.arange(32) % 2 * 2 - 1).float().expand(2, 3, 32, 32)
    assert (
        loss(target + pattern, target) > 10 * 0.1 + 10 * 0.2
    )  # full size, and every horizontal gradient is off by .2


def test_perceptual_pyramid_of_small_pictures():
    """An eighth of 64 pixels cannot be halved four times."""
    loss = PerceptualPyramidLoss(VGGFeatures(19))
    picture = torch.rand(1, 3, 64, 64)
    assert [len(loss.features(down(picture))) for down in loss.pyramid] == [5, 5, 5, 4]
    assert loss(picture, picture.flip(-1)) > 0


def test_inpainted_loss_reaches_the_decoder():
    """Where the occlusion is 1 everywhere, only the extra loss has a gradient for the last convolution."""
    pictures, transform = torch.rand(2, 2, 3, 32, 32), RandomTransform.sample(2)

    def gradient(weight: float) -> float:
        lfae = tiny_lfae().train()
        lfae.flow_predictor.register_forward_hook(lambda module, given, out: (out[0], torch.ones_like(out[1])))
        losses, occlusion = LFAELoss(lfae, PixelPyramidLoss(), weight)(*pictures, transform)
        assert occlusion == 1
        sum(losses.values()).backward()
        return lfae.conv_out.weight.grad.abs().max().item()

    assert gradient(0) == 0 and gradient(1) > 0


def test_flow_to_color():
    flow = np.zeros((2, 4, 4))
    assert (flow_to_color(flow) == 1).all()
    flow[0] = 2
    np.testing.assert_allclose(flow_to_color(flow)[0, 0], (1, 0, 0))
    assert not np.allclose(flow_to_color(-flow)[0, 0], (1, 0, 0))
    np.testing.assert_allclose(flow_to_color(flow, largest=4)[0, 0], (1, 0.5, 0.5))
    identity = np.stack(np.meshgrid(np.linspace(-0.75, 0.75, 4), np.linspace(-0.75, 0.75, 4)))
    moved = flow_in_pixels(identity + np.array([0.5, 0])[:, None, None], 16, 32)
    np.testing.assert_allclose(moved, np.array([8.0, 0])[:, None, None] + np.zeros((2, 4, 4)), atol=1e-12)


def test_contact_sheet():
    rows = [[np.zeros((8, 8, 3)), np.ones((4, 4))]] * 2
    sheet = np.asarray(contact_sheet(rows, ["a", "b"], tile=16))
    assert sheet.shape == (32 + 2 * 18 - 2, 2 * 18 - 2, 3)
    assert (sheet[32:48, :16] == 0).all() and (sheet[32:48, 18:] == 255).all()
    with pytest.raises(ValueError, match="must hold 2 pictures"):
        contact_sheet([[np.zeros((8, 8))]], ["a", "b"])


# ---- processes ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.integration
def test_killed_and_resumed(faces, tmp_path, scripts):
    """SIGKILL as soon as a checkpoint is there, as often as it takes; the end is the same."""
    changes = {"max_train_steps": 40, "checkpointing_steps": 5, "validation_steps": 10}
    run(arguments(faces, tmp_path / "whole", **changes))
    output = tmp_path / "killed"
    argv = arguments(faces, output, **changes, resume_from_checkpoint="latest")
    for wanted in (5, 15):
        there = (output / f"checkpoint-{wanted}").exists
        assert scripts.killed_when(there, "train_lfae", argv, tmp_path / "said") == -signal.SIGKILL
        assert not (output / "lfae").exists()
    run(argv)
    assert_same(weights(output), weights(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.integration
def test_two_processes(faces, tmp_path, scripts):
    """Both do their share of each batch, BatchNorm's statistics are averaged, and going on gives the same."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", SCRIPT]
    argv = arguments(faces, tmp_path / "two", max_train_steps=4, train_batch_size=2)
    done = subprocess.run([*torchrun, *argv], env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("training: 4 clips") == 1
    assert [record["step"] for record in records(tmp_path / "two")] == [1, 2, 3, 4, 4]
    assert "of 4 pairs" in (tmp_path / "two" / "lfae" / "README.md").read_text()
    argv = arguments(
        faces, tmp_path / "on", max_train_steps=4, resume_from_checkpoint=tmp_path / "two" / "checkpoint-2"
    )
    assert scripts.done("train_lfae", argv, tmp_path / "said", processes=2) == [0, 0], (tmp_path / "said").read_text()
    # The learning rate's milestones and the data are those of the whole run; so is everything else.
    assert_same(weights(tmp_path / "on"), weights(tmp_path / "two"))


@pytest.mark.integration
def test_push(faces, tmp_path, loopback_hub, scripts):
    argv = arguments(faces, tmp_path / "out", max_train_steps=1, hub_model_id="me/trained-lfae")
    argv = [*argv, "--push_to_hub", "--hub_token"]
    assert scripts.done("train_lfae", [*argv, READ_TOKEN], tmp_path / "refused") == [1]
    refused = (tmp_path / "refused").read_text()
    assert "train_lfae: " in refused and "step/s" not in refused
    assert scripts.done("train_lfae", [*argv, WRITE_TOKEN], tmp_path / "said") == [0], (tmp_path / "said").read_text()
    files = loopback_hub.files("me/trained-lfae")
    for name in ("config.json", "diffusion_pytorch_model.safetensors", "README.md"):
        assert files[name] == (tmp_path / "out" / "lfae" / name).read_bytes()
    assert b"me/trained-lfae" in files["README.md"]


def test_average_running_statistics(monkeypatch):
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(1.0)
    dist = batchnorm.dist
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.add_(3.0))  # the other process's share
    batchnorm.average_running_statistics(nn.Sequential(norm))
    assert norm.running_mean.tolist() == [2.0, 2.0] and norm.running_var.tolist() == [2.0, 2.0]
