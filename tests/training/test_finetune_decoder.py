"""The fine-tuning script at tiny size on toon faces: only the decoder learns; and decoders in files of their own."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from loopback_hub import READ_TOKEN, WRITE_TOKEN
from loopback_python import RemoteError
from safetensors.torch import load_file
from tiny import tiny_image, tiny_lfae, tiny_pipeline
from training_scripts import assert_same, command_line, load_script, records, stop_at

from lfdm_diffusers import LatentFlowAutoencoder, LFDMPipeline
from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.evaluation.reconstruction import evaluate_reconstruction, reconstruction_pairs
from lfdm_diffusers.models import decoder_files
from lfdm_diffusers.training.checkpoints import checkpoints
from lfdm_diffusers.training.clips import choose_clips
from lfdm_diffusers.training.decoder import DecoderLoss
from lfdm_diffusers.training.equivariance import RandomTransform
from lfdm_diffusers.training.lfae import LFAELoss
from lfdm_diffusers.training.reconstruction_loss import PixelPyramidLoss

finetune_decoder = load_script("finetune_decoder")
SCRIPT = finetune_decoder.__file__
run, refusal = finetune_decoder.run, finetune_decoder.refusal


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Clips of two people to train on and of one to test; and a pipeline whose auto-encoder knows nothing yet."""
    root = tmp_path_factory.mktemp("base")
    labels = ("happiness", "surprise")
    write_toon_faces(root / "data", 3, 1, labels=labels, num_frames=4, size=32, progress=False)
    tiny_pipeline().save_pretrained(root / "pipeline")
    return root


def arguments(base: Path, output: Path, **changes) -> list[str]:
    """Arguments of a run of 6 steps in which all of the decoder learns; a change to None leaves one out."""
    values = {
        "train_data_dir": base / "data",
        "output_dir": output,
        "pretrained_model_name_or_path": base / "pipeline",
        "cache_dir": base / "cache",
        "perceptual": "none",
        "train_batch_size": 2,
        "max_train_steps": 6,
        "checkpointing_steps": 2,
        "validation_steps": 3,
        "num_validation_pairs": 2,
        "logging_steps": 1,
        "freeze_batchnorm_after": 1,
        **changes,
    }
    return command_line(values)


def decoder(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "decoder" / "decoder.safetensors")


@pytest.fixture(scope="module")
def whole_run(base, tmp_path_factory) -> Path:
    """6 steps without an interruption."""
    output = tmp_path_factory.mktemp("whole")
    run(arguments(base, output, base_model="me/base"))
    return output


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_only_the_decoder_changes(base, whole_run):
    before = LatentFlowAutoencoder.from_pretrained(base / "pipeline", subfolder="lfae")
    after = LatentFlowAutoencoder.from_pretrained(whole_run / "lfae").state_dict()
    learnt = before.decoder.state_dict().keys()
    assert {name.split(".")[0] for name in learnt} == {"bottleneck", "up_blocks", "conv_out"}
    changed = {name for name, value in before.state_dict().items() if not torch.equal(value, after[name])}
    assert changed == set(learnt)  # running statistics and all
    assert decoder(whole_run).keys() == changed
    assert all(torch.equal(value, after[name]) for name, value in decoder(whole_run).items())


def test_output(whole_run):
    assert [path.name for path in checkpoints(whole_run)] == [f"checkpoint-{n}" for n in (2, 4, 6)]
    assert {path.name for path in (whole_run / "decoder").iterdir()} == {
        "decoder.safetensors",
        "decoder_config.json",
        "README.md",
    }
    assert {path.name for path in (whole_run / "checkpoint-6").iterdir()} == {"decoder", "training_state.pt"}
    assert not list(whole_run.glob(".*")) and not list((whole_run / "decoder").glob(".*"))
    config = json.loads((whole_run / "decoder" / "decoder_config.json").read_text())
    assert config["base_model"] == "me/base" and len(set(config["frozen_sha256"].values())) == 3
    steps = [record["step"] for record in records(whole_run)]
    assert steps == [0, 1, 2, 3, 3, 4, 5, 6, 6]
    first, last = records(whole_run)[0], records(whole_run)[-1]
    assert first.keys() == last.keys() and "validation/l1_moving" in first
    for name in first:  # flow predictor and clips are the same
        same = name.startswith(("validation/static", "validation/occlusion"))
        assert name == "step" or (first[name] == last[name]) == same
    for step in (0, 3, 6):
        with PIL.Image.open(whole_run / "samples" / f"step-{step:06d}.png") as sheet:
            assert sheet.width == 7 * 130 - 2
    card = (whole_run / "decoder" / "README.md").read_text()
    assert "base_model: me/base\n" in card and "base_model_relation: adapter\n" in card
    assert 'LFDMPipeline.from_pretrained("me/base")' in card and "pipe.lfae.load_decoder(" in card
    assert "Trained for 6 steps of 2 pairs of frames from 4 clips with `training/finetune_decoder.py`" in card
    l1 = [record["validation/l1"] for record in (first, last)]
    assert f"| l1 | {l1[0]:.4f} | {l1[1]:.4f} |" in card
    assert "base_model: me/base\n" in (whole_run / "lfae" / "README.md").read_text()


def test_base_numbers_are_the_base_models(base, whole_run):
    held_out, _, _ = choose_clips(base / "data", "auto", "test", "test")
    pairs = reconstruction_pairs(held_out, ClipReader(32, 32), 2)
    numbers, _ = evaluate_reconstruction(LatentFlowAutoencoder.from_pretrained(base / "pipeline/lfae"), *pairs)
    first = records(whole_run)[0]
    assert {name: first[f"validation/{name}"] for name in numbers} == pytest.approx(numbers, abs=1e-6)


@pytest.mark.integration
def test_loss_falls(base, tmp_path):
    """Of an auto-encoder by itself, with half precision and weights for what moves."""
    run(
        arguments(
            base,
            tmp_path,
            pretrained_model_name_or_path=base / "pipeline/lfae",
            max_train_steps=60,
            train_batch_size=4,
            learning_rate=1e-3,
            checkpointing_steps=60,
            validation_steps=0,
            mixed_precision="bf16",
            motion_loss_weight=5,
        )
    )
    losses = [record["loss"] for record in records(tmp_path) if "loss" in record]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    first, last = records(tmp_path)[0], records(tmp_path)[-1]
    assert last["validation/inpainted_l1"] < 0.9 * first["validation/inpainted_l1"]
    assert "path/to/a/pipeline/with/its/base/model" in (tmp_path / "decoder" / "README.md").read_text()


def test_goes_on_bit_for_bit(base, whole_run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 5)
        run(arguments(base, tmp_path))
    assert checkpoints(tmp_path)[-1].name == "checkpoint-4"
    run(arguments(base, tmp_path, resume_from_checkpoint="latest"))
    assert_same(decoder(tmp_path), decoder(whole_run))
    assert [r["step"] for r in records(tmp_path)] == [r["step"] for r in records(whole_run)]
    for name in ("loss", "validation/l1"):
        assert [r.get(name) for r in records(tmp_path)] == [r.get(name) for r in records(whole_run)]
    # A run that was whole already has nothing left to do.
    run(arguments(base, tmp_path, resume_from_checkpoint="latest"))
    assert_same(decoder(tmp_path), decoder(whole_run))


def test_killed_before_the_first_checkpoint(base, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 1)
        run(arguments(base, tmp_path))
    run(arguments(base, tmp_path, max_train_steps=2, resume_from_checkpoint="latest"))
    assert [record["step"] for record in records(tmp_path)] == [0, 1, 2, 2]


def test_gradient_checkpointing_changes_nothing(base, whole_run, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        stop_at(monkeypatch, 3)
        run([*arguments(base, tmp_path), "--gradient_checkpointing"])
    assert_same(decoder(tmp_path / "checkpoint-2"), decoder(whole_run / "checkpoint-2"))
    assert [r.get("loss") for r in records(tmp_path)] == [r.get("loss") for r in records(whole_run)][:4]


def test_batchnorm_is_frozen_by_default(base, tmp_path):
    changes = {"max_train_steps": 2, "train_batch_size": 1, "validation_steps": 1, "freeze_batchnorm_after": None}
    run(arguments(base, tmp_path, **changes))
    before = LatentFlowAutoencoder.from_pretrained(base / "pipeline/lfae").decoder.state_dict()
    same = {name for name, value in decoder(tmp_path).items() if torch.equal(value, before[name])}
    assert same == {name for name in before if "running" in name or "num_batches" in name}


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_refusals(base, whole_run, tmp_path):
    new = tmp_path / "new"
    assert "`--train_data_dir` must be a folder" in refusal(arguments(base, new, train_data_dir=tmp_path / "no"))
    assert "multiple of 16" in refusal(arguments(base, new, resolution=40))
    unit = refusal(arguments(base, new, subfolder="unet"))
    assert "`--pretrained_model_name_or_path`" in unit and "a UNet3DVideoModel" in unit
    for nothing in (tmp_path, "nobody/nothing", "no such/thing at all"):
        message = refusal(arguments(base, new, pretrained_model_name_or_path=nothing))
        assert message.startswith("finetune_decoder: `--pretrained_model_name_or_path`") and str(nothing) in message
    assert not new.exists()
    assert "holds checkpoint-6 of an earlier run" in refusal(arguments(base, whole_run))
    tiny_lfae(seed=1).save_pretrained(tmp_path / "other")
    changes = {
        "pretrained_model_name_or_path": tmp_path / "other",
        "resume_from_checkpoint": whole_run / "checkpoint-2",
    }
    assert "was adapted to another encoder" in refusal(arguments(base, tmp_path / "b", **changes))


def test_empty_data(base, tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "broken.gif").write_bytes(b"GIF89a")
    message = refusal(arguments(base, tmp_path / "out", train_data_dir=tmp_path / "data"))
    assert message.startswith("finetune_decoder: ") and "broken.gif" in message


def test_nan(base, whole_run, tmp_path, monkeypatch):
    shutil.copytree(whole_run / "checkpoint-2", tmp_path / "checkpoint-2")
    before = decoder(tmp_path / "checkpoint-2")
    monkeypatch.setattr(PixelPyramidLoss, "forward", lambda self, prediction, target: prediction.sum() * torch.nan)
    message = refusal(arguments(base, tmp_path, resume_from_checkpoint="latest"))
    assert message.startswith("finetune_decoder: the loss is nan at step 3 (reconstruction nan")
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-2"]
    assert_same(decoder(tmp_path / "checkpoint-2"), before)


def test_weights_that_are_not_finite_are_not_saved(base, tmp_path):
    message = refusal(arguments(base, tmp_path, learning_rate=1e39, checkpointing_steps=1, validation_steps=0))
    assert "is not finite after step 1" in message
    assert not checkpoints(tmp_path) and not (tmp_path / "decoder").exists()


def test_full_disk(base, whole_run, tmp_path, monkeypatch):
    shutil.copytree(whole_run / "checkpoint-2", tmp_path / "checkpoint-2")

    def full(tensors, file):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoder_files, "save_file", full)
    message = refusal(arguments(base, tmp_path, resume_from_checkpoint="latest"))
    assert "checkpoint-4 could not be written" in message and "No space left on device" in message
    assert [path.name for path in tmp_path.glob("*checkpoint*")] == ["checkpoint-2"]


# ---- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion_weight", [0.0, 5.0])
def test_loss_is_that_of_stage_one(motion_weight):
    pictures, lfae = torch.rand(2, 2, 3, 32, 32), tiny_lfae()
    weights = {"inpainted_weight": 0.5, "motion_weight": motion_weight}
    whole, _ = LFAELoss(lfae, PixelPyramidLoss(), **weights)(*pictures, RandomTransform.sample(2))
    loss = DecoderLoss(lfae, PixelPyramidLoss(), **weights).eval()
    ours = loss(*pictures)
    assert list(ours) == ["reconstruction", "inpainted"]
    assert all(torch.allclose(ours[name], whole[name]) for name in ours)
    sum(ours.values()).backward()
    with_gradient = {name for name, weight in lfae.named_parameters() if weight.grad is not None}
    assert with_gradient == {name for name, _ in lfae.decoder.named_parameters()}


def test_true_motion():
    """Loss and validation decode by the motion that is given, and do not look for one."""
    lfae = tiny_lfae()
    loss = DecoderLoss(lfae, PixelPyramidLoss())
    lfae.predict_flow = None
    reference, hidden = torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    right = torch.tensor([8 / 32, 0]).view(1, 2, 1, 1).expand(2, 2, 32, 32)  # four pixels: a place of the latent map
    driving = torch.cat((reference[..., 4:], reference[..., -1:].expand(-1, -1, -1, 4)), dim=-1)
    seen = loss(reference, driving, (right, 1 - hidden))
    assert seen["reconstruction"] < 0.5 * loss(reference, driving, (0 * right, 1 - hidden))["reconstruction"]
    assert seen["reconstruction"] < 0.5 * loss(reference, driving, (right, hidden))["reconstruction"]
    numbers, _ = evaluate_reconstruction(lfae, reference, driving, right, 1 - hidden, rows=1)
    assert numbers["l1"] < 0.5 * numbers["static_l1"] and numbers["occlusion_min"] == 1


def test_validation_puts_every_mode_back():
    """Else the frozen parts would train, or the decoder would not, after the first validation."""
    lfae = tiny_lfae()
    DecoderLoss(lfae, PixelPyramidLoss())
    before = {name: module.training for name, module in lfae.named_modules()}
    assert set(before.values()) == {True, False} and not before["region_predictor"] and before["up_blocks.0.norm"]
    evaluate_reconstruction(lfae, *torch.rand(2, 2, 3, 32, 32))
    assert {name: module.training for name, module in lfae.named_modules()} == before


# ---- decoders in files of their own ---------------------------------------------------------------------------------


def test_one_line_puts_it_into_a_pipeline(base, whole_run):
    """Same motion, other paint; and the same as the whole auto-encoder gives."""
    pipe = LFDMPipeline.from_pretrained(base / "pipeline")
    pipe.set_progress_bar_config(disable=True)

    def generate(pipe: LFDMPipeline) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        out = pipe(tiny_image(), "anger", num_inference_steps=2, generator=generator, output_type="pt")
        return out.frames, out.flow

    frames, flow = generate(pipe)
    pipe.lfae.load_decoder(whole_run / "decoder")
    adapted_frames, adapted_flow = generate(pipe)
    assert torch.equal(flow, adapted_flow) and not torch.allclose(frames, adapted_frames, atol=1e-3)
    whole = LatentFlowAutoencoder.from_pretrained(whole_run / "lfae")
    assert_same(whole.state_dict(), pipe.lfae.state_dict())
    other = LFDMPipeline.from_pretrained(base / "pipeline", lfae=whole)
    other.set_progress_bar_config(disable=True)
    assert torch.allclose(generate(other)[0], adapted_frames, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_base_model_in_another_precision_is_known(base, whole_run, dtype):
    lfae = LatentFlowAutoencoder.from_pretrained(base / "pipeline/lfae", torch_dtype=dtype)
    lfae.load_decoder(whole_run / "decoder")
    assert lfae.conv_out.weight.dtype == dtype and not lfae.training
    assert torch.equal(lfae.conv_out.weight, decoder(whole_run)["conv_out.weight"].to(dtype))
    lfae.float().load_decoder(whole_run / "decoder")  # as a half-precision file of it is, loaded in float32


def test_other_models_are_refused_and_left_alone(base, whole_run, tmp_path):
    def refused(lfae: LatentFlowAutoencoder, source: Path = whole_run / "decoder", kind: type = ValueError) -> str:
        before = {name: value.clone() for name, value in lfae.state_dict().items() if not value.is_meta}
        with pytest.raises(kind) as error:
            lfae.load_decoder(source)
        assert all(torch.equal(value, lfae.state_dict()[name]) for name, value in before.items())
        return str(error.value)

    other = tiny_lfae(seed=1)
    message = refused(other)
    assert "base model: me/base) was adapted to another encoder and flow predictor" in message
    other.load_decoder(whole_run / "decoder", check_base=False)
    assert_same(other.decoder.state_dict(), decoder(whole_run))
    assert "conv_out.weight is (3, 8, 7, 7) there and (3, 4, 7, 7) here" in refused(tiny_lfae(base_channels=4))
    message = refused(tiny_lfae(num_bottleneck_blocks=2))
    assert "does not fit this model: bottleneck.1.conv1.bias is missing there and (16,) here" in message
    with torch.device("meta"):
        assert "load it before offloading" in refused(tiny_lfae())

    assert "holds no decoder_config.json and no decoder.safetensors" in refused(tiny_lfae(), whole_run, OSError)
    broken = tmp_path / "broken"
    shutil.copytree(whole_run / "decoder", broken)
    weights = (broken / "decoder.safetensors").read_bytes()
    (broken / "decoder.safetensors").write_bytes(weights[:-100])
    assert "does not hold a whole decoder" in refused(tiny_lfae(), broken)
    (broken / "decoder.safetensors").write_bytes(weights)
    for text in ("{", "[]", "{}"):
        (broken / "decoder_config.json").write_text(text)
        assert "does not hold a whole decoder" in refused(tiny_lfae(), broken)
    message = refused(tiny_lfae(), Path("no/such-decoder"), OSError)
    assert "must be a folder or a Hub repository that holds a decoder, got 'no/such-decoder'" in message


# ---- processes ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.integration
def test_killed_and_resumed(base, tmp_path, scripts):
    """SIGKILL as soon as a checkpoint is there; the end is the same."""
    changes = {"max_train_steps": 40, "checkpointing_steps": 5, "validation_steps": 10}
    run(arguments(base, tmp_path / "whole", **changes))
    output = tmp_path / "killed"
    argv = arguments(base, output, **changes, resume_from_checkpoint="latest")
    there = (output / "checkpoint-10").exists
    assert scripts.killed_when(there, "finetune_decoder", argv, tmp_path / "said") == -signal.SIGKILL
    assert not (output / "decoder").exists()
    run(argv)
    assert_same(decoder(output), decoder(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.integration
def test_two_processes(base, tmp_path, scripts):
    """The decoder's running statistics are averaged; the frozen ones stay as they were, to the bit."""
    argv = arguments(base, tmp_path, max_train_steps=4)
    done = scripts.done("finetune_decoder", argv, tmp_path / "said", processes=2)
    said = (tmp_path / "said").read_text()
    assert done == [0, 0] and said.count("step 0: l1 ") == 1, said
    assert [record["step"] for record in records(tmp_path)] == [0, 1, 2, 3, 3, 4, 4]
    LatentFlowAutoencoder.from_pretrained(base / "pipeline/lfae").load_decoder(tmp_path / "decoder")


@pytest.mark.integration
def test_push_and_load_from_the_hub(base, tmp_path, loopback_hub, scripts):
    for path in (base / "pipeline").rglob("*"):
        if path.is_file():
            loopback_hub.add("me/base", {path.relative_to(base / "pipeline").as_posix(): path.read_bytes()})
    argv = arguments(
        base,
        tmp_path / "out",
        pretrained_model_name_or_path="me/base",
        max_train_steps=1,
        hub_model_id="me/my-decoder",
    )
    argv = [*argv, "--push_to_hub", "--hub_token"]
    assert scripts.done("finetune_decoder", [*argv, READ_TOKEN], tmp_path / "refused") == [1]
    refused = (tmp_path / "refused").read_text()
    assert "finetune_decoder: " in refused and "step/s" not in refused
    done = scripts.done("finetune_decoder", [*argv, WRITE_TOKEN], tmp_path / "said")
    assert done == [0], (tmp_path / "said").read_text()
    files = loopback_hub.files("me/my-decoder")
    assert {name for name in files if not name.startswith(".")} == {
        "decoder.safetensors",
        "decoder_config.json",
        "README.md",
    }
    assert b"base_model: me/base\n" in files["README.md"]
    assert b'pipe.lfae.load_decoder("me/my-decoder")' in files["README.md"]

    loopback_hub.add("me/run", {f"decoder/{name}": content for name, content in files.items()})
    loopback_hub.add("me/half", {"decoder_config.json": files["decoder_config.json"]})
    load = """
from lfdm_diffusers import LFDMPipeline
pipe = LFDMPipeline.from_pretrained("me/base")
pipe.lfae.load_decoder(source, **options)
result = pipe.lfae.conv_out.weight.double().sum().item()
"""
    expected = pytest.approx(decoder(tmp_path / "out")["conv_out.weight"].double().sum().item(), abs=1e-9)
    assert scripts.run(load, source="me/my-decoder", options={}) == expected
    assert scripts.run(load, source="me/run", options={"subfolder": "decoder", "revision": "main"}) == expected
    for source, options, message in (
        ("me/half", {}, "me/half is no decoder: it holds no decoder.safetensors"),
        (
            "me/no-decoder-at-all",
            {},
            "must be a folder or a Hub repository that holds a decoder, got 'me/no-decoder-at-all'",
        ),
        ("me/my-decoder", {"revision": "0" * 40}, "got 'me/my-decoder'"),
    ):
        with pytest.raises(RemoteError) as error:
            scripts.run(load, source=source, options=options)
        assert error.value.kind == "OSError" and message in error.value.message
