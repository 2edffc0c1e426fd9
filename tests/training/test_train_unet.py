"""Stage two's training script at tiny size on toon faces: what it caches, learns, repeats and saves."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from loopback_hub import WRITE_TOKEN
from safetensors.torch import load_file
from tiny import tiny_lfae, tiny_pipeline, tiny_text_encoder, tiny_unet
from training_scripts import assert_same, command_line, load_script, records, stop_at

from lfdm_diffusers import LatentFlowAutoencoder, LFDMPipeline, UNet3DVideoModel
from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.motion_maps import residual_motion
from lfdm_diffusers.data.sampling import sample_indices
from lfdm_diffusers.data.scan import scan_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.models.text_encoders import embed_text
from lfdm_diffusers.pipelines.motion import volume_to_motion
from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training.checkpoints import checkpoints
from lfdm_diffusers.training.diffusion import DenoisingLoss, MotionTask
from lfdm_diffusers.training.expression_motion import middle, without_affine
from lfdm_diffusers.training.labels import embed_labels, unrelated_rows
from lfdm_diffusers.training.motion_cache import MotionCache, MotionDataset, MotionSample

train_unet = load_script("train_unet")
run, refusal = train_unet.run, train_unet.refusal


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Two people to train on, one to test: clips of 6 frames; an auto-encoder; a U-Net's configuration."""
    root = tmp_path_factory.mktemp("faces")
    write_toon_faces(root / "data", 3, 1, labels=("happiness", "surprise"), num_frames=6, size=32, progress=False)
    lfae = tiny_lfae(flow_grid="centers")
    with torch.no_grad():
        lfae.flow_predictor.occlusion.weight.mul_(20)  # occlusion that varies
    lfae.save_pretrained(root / "lfae")
    config = {k: v for k, v in tiny_unet(block_out_channels=(8,)).config.items() if not k.startswith("_")}
    for name in ("image_latent_channels", "text_embed_dim", "sample_size", "num_frames"):  # the script's to settle
        del config[name]
    (root / "config.json").write_text(json.dumps(config))
    return root


def arguments(faces: Path, output: Path, **changes) -> list[str]:
    """Arguments of a run of 6 steps; a change to None leaves one out, True is a flag."""
    values = {
        "train_data_dir": faces / "data",
        "output_dir": output,
        "lfae": faces / "lfae",
        "model_config_name_or_path": faces / "config.json",
        "text_encoder": "none",
        "num_frames": 4,
        "cache_dir": faces / "cache",
        "motion_cache_dir": faces / "motion",
        "train_batch_size": 2,
        "max_train_steps": 6,
        "checkpointing_steps": 2,
        "validation_steps": 0,
        "num_validation_clips": 2,
        "num_validation_pictures": 1,
        "num_inference_steps": 2,
        "logging_steps": 1,
        **changes,
    }
    return command_line(values)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def whole_run(faces, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("whole")
    run(arguments(faces, output))
    return output


@pytest.fixture(scope="module")
def cache(faces) -> MotionCache:
    return MotionCache(faces / "motion", LatentFlowAutoencoder.from_pretrained(faces / "lfae"), ClipReader(32, 32))


def scanned(faces: Path, split: str = "train"):
    return scan_clips(find_clips(faces / "data", split=split), ClipReader(32, 32), progress=False).clips


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_output(whole_run, faces):
    assert [path.name for path in checkpoints(whole_run)] == [f"checkpoint-{n}" for n in (2, 4, 6)]
    assert not list(whole_run.glob(".*"))
    pipe = LFDMPipeline.from_pretrained(whole_run / "pipeline")
    assert pipe.labels == ["happiness", "surprise"]
    assert pipe.config.default_num_inference_steps == 2
    assert pipe.text_encoder is None
    config = pipe.unet.config
    assert (config.num_frames, config.sample_size, config.flow_target) == (4, 8, "residual")
    assert (config.image_latent_channels, config.text_embed_dim) == (16, 64)
    assert not pipe.scheduler.config.thresholding
    card = (whole_run / "pipeline" / "README.md").read_text()
    assert "Trained for 6 steps of 2 videos from 4 clips" in card and "not stated here: ask" in card
    assert (
        "| validation at step 6 | |" in card and f"| loss | {records(whole_run)[-1]['validation/loss']:.4g} |" in card
    )
    assert [record["step"] for record in records(whole_run)] == [1, 2, 3, 4, 5, 6, 6]
    assert 0.5 < records(whole_run)[-1]["validation/loss"] < 2  # noise is hardly known yet; its variance is 1
    with PIL.Image.open(whole_run / "samples" / "step-000006.png") as sheet:
        assert sheet.width > 2 * 128 and sheet.height > 7 * 128  # the picture, 4 frames, flow and occlusion
    pipe.set_progress_bar_config(disable=True)
    picture = PIL.Image.new("RGB", (32, 32), "red")
    output = pipe(picture, "surprise", output_type="pt")
    assert output.frames.shape == (1, 4, 3, 32, 32)
    torch.testing.assert_close(pipe.animate(picture, output.motion(), output_type="pt").frames, output.frames)
    # A checkpoint's U-Net is ready for use: the averaged weights, which are the final ones in the end.
    assert_same(load_file(whole_run / "checkpoint-6/unet/diffusion_pytorch_model.safetensors"), weights(whole_run))
    state = torch.load(whole_run / "checkpoint-6/training_state.pt", weights_only=True)["more"]
    assert any(not torch.equal(state["weights"][name], value) for name, value in weights(whole_run).items())


@pytest.mark.integration
def test_loss_falls(faces, tmp_path):
    changes = {"max_train_steps": 50, "train_batch_size": 4, "learning_rate": 3e-3, "checkpointing_steps": 50}
    run(arguments(faces, tmp_path, **changes, prediction_type="v_prediction", no_augment=True))
    losses = [record["loss"] for record in records(tmp_path) if "loss" in record]
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {
                "gradient_accumulation_steps": 2,
                "mixed_precision": "bf16",
                "lr_milestones": 2,
                "ema_decay": 0,
                "flip": True,
            },
            marks=pytest.mark.integration,
        ),
        pytest.param(
            {"gradient_checkpointing": True, "snr_gamma": 5, "prediction_type": "v_prediction", "lr_warmup_steps": 3},
            marks=pytest.mark.integration,
        ),
    ],
)
def test_goes_on_bit_for_bit(faces, whole_run, tmp_path, monkeypatch, changes):
    whole = tmp_path / "whole" if changes else whole_run
    if changes:
        run(arguments(faces, whole, **changes))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 5)
        run(arguments(faces, tmp_path / "cut", **changes))
    assert checkpoints(tmp_path / "cut")[-1].name == "checkpoint-4"
    run(arguments(faces, tmp_path / "cut", **changes, resume_from_checkpoint="latest"))
    assert_same(weights(tmp_path / "cut"), weights(whole))
    assert [r.get("loss") for r in records(tmp_path / "cut")] == [r.get("loss") for r in records(whole)]


@pytest.mark.integration
def test_accumulation_is_a_larger_batch(faces, tmp_path):
    """The chance of an example is its own, whichever pass it comes in."""
    common = {"max_train_steps": 3, "ema_decay": 0}
    run(arguments(faces, tmp_path / "a", **common, train_batch_size=4))
    run(arguments(faces, tmp_path / "b", **common, train_batch_size=1, gradient_accumulation_steps=4))
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=2e-5, rtol=0)


def test_target_scale(faces, whole_run, tmp_path):
    run(arguments(faces, tmp_path, max_train_steps=1, target_scale=0.25))
    plain, scaled = (LFDMPipeline.from_pretrained(path / "pipeline").unet.config for path in (whole_run, tmp_path))
    assert scaled.target_mean == plain.target_mean
    np.testing.assert_allclose(scaled.target_std, 4 * np.array(plain.target_std))


def test_absolute_target(faces, tmp_path):
    """As published: the grid itself and 2m - 1, epsilon."""
    run(arguments(faces, tmp_path, flow_target="absolute", max_train_steps=1))
    pipe = LFDMPipeline.from_pretrained(tmp_path / "pipeline")
    config = pipe.unet.config
    assert config.flow_target == "absolute" and config.prediction_type == "epsilon"
    assert pipe.scheduler.config.thresholding
    assert (list(config.target_mean), list(config.target_std)) == ([0, 0, 0.5], [1, 1, 0.5])


@pytest.mark.integration
def test_lora(faces, whole_run, tmp_path):
    """Adapters are trained alone, kept in checkpoints and beside the pipeline, and merged into its U-Net."""
    changes = {
        "lfae": None, "model_config_name_or_path": None, "text_encoder": None, "lora_rank": 2, "learning_rate": 1e-2,
        "pretrained_model_name_or_path": whole_run / "pipeline",
    }  # fmt: skip
    run(arguments(faces, tmp_path / "whole", **changes))
    card = (tmp_path / "whole" / "pipeline" / "README.md").read_text()
    assert "Its training started from the weights of pipeline, whose licence is not stated there." in card
    before, after = weights(whole_run), weights(tmp_path / "whole")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-6)}
    assert moved and all(".to_" in name for name in moved)
    unet = UNet3DVideoModel.from_pretrained(whole_run / "pipeline" / "unet")
    unet.load_lora_adapter(
        tmp_path / "whole/pipeline/lora", prefix=None, weight_name="pytorch_lora_weights.safetensors"
    )
    unet.fuse_lora()
    unet.unload_lora()
    for name, value in unet.state_dict().items():
        torch.testing.assert_close(value, after[name])
    assert (tmp_path / "whole/checkpoint-4/lora/pytorch_lora_weights.safetensors").is_file()
    for step in (4, 6):
        shutil.rmtree(tmp_path / "whole" / f"checkpoint-{step}")
    run(arguments(faces, tmp_path / "whole", **changes, resume_from_checkpoint="latest"))
    assert_same(weights(tmp_path / "whole"), after)


def test_picture_reader(faces, whole_run, tmp_path, capsys):
    """A trained U-Net learns to read the picture, and goes on from what it has read; guidance and steps stay the pipeline's own."""
    changes = {"lfae": None, "model_config_name_or_path": None, "text_encoder": None, "max_train_steps": 2}
    changes["num_inference_steps"] = None
    base = LFDMPipeline.from_pretrained(whole_run / "pipeline")
    base.register_to_config(default_guidance_scale=1.5, default_num_inference_steps=1, face_frame=2.0)
    base.save_pretrained(tmp_path / "base")
    first = {"pretrained_model_name_or_path": tmp_path / "base", "image_blocks": 1}
    run(arguments(faces, tmp_path / "first", **changes, **first))
    assert "The new pipeline has no `face_frame`" in capsys.readouterr().out
    found = LFDMPipeline.from_pretrained(tmp_path / "first" / "pipeline").config
    assert (found.default_guidance_scale, found.default_num_inference_steps) == (1.5, 1) and "face_frame" not in found
    then = {"pretrained_model_name_or_path": tmp_path / "first" / "pipeline"}
    run(arguments(faces, tmp_path / "then", **changes, **then))
    learnt, more = weights(tmp_path / "first"), weights(tmp_path / "then")
    assert learnt["picture_reader.conv_out.weight"].any() and learnt.keys() == more.keys()
    run(arguments(faces, tmp_path / "summing", **changes, **then, image_summary=4))
    assert weights(tmp_path / "summing")["picture_reader.summary.conv_out.weight"].any()


def test_flow_map(faces, whole_run, tmp_path):
    """A pipeline that samples by itself in few steps."""
    changes = {
        "lfae": None, "model_config_name_or_path": None, "text_encoder": None, "objective": "flow_map",
        "pretrained_model_name_or_path": whole_run / "pipeline", "teacher_steps": 2, "guidance_scale": 2,
        "max_train_steps": 1, "num_inference_steps": 1, "num_validation_clips": 1,
    }  # fmt: skip
    run(arguments(faces, tmp_path, **changes))
    first, *_, last = records(tmp_path)
    assert first["step"] == 0 and first.keys() == last.keys()
    assert {f"validation/error_{steps}_steps" for steps in (1, 2, 4, 8)} < last.keys()
    pipe = LFDMPipeline.from_pretrained(tmp_path / "pipeline")
    assert pipe.unet.config.flow_map and pipe.unet.config.prediction_type == "v_prediction"
    assert type(pipe.scheduler).__name__ == "DPMSolverMultistepScheduler" and pipe.default_guidance() == 1
    pipe.set_progress_bar_config(disable=True)
    assert pipe(PIL.Image.new("RGB", (32, 32), "red"), "surprise", output_type="pt").frames.isfinite().all()


def test_another_autoencoder(faces, whole_run, tmp_path):
    """A trained U-Net goes on with a retrained auto-encoder: its motion, and the statistics of that."""
    torch.manual_seed(1)
    lfae = LatentFlowAutoencoder.from_pretrained(faces / "lfae")
    with torch.no_grad():
        lfae.flow_predictor.occlusion.weight.mul_(0.1)
    lfae.save_pretrained(tmp_path / "lfae")
    changes = {
        "lfae": tmp_path / "lfae", "model_config_name_or_path": None, "text_encoder": None, "max_train_steps": 1,
        "pretrained_model_name_or_path": whole_run / "pipeline", "learning_rate": 1e-6,
    }  # fmt: skip
    run(arguments(faces, tmp_path / "out", **changes))
    old, new = (LFDMPipeline.from_pretrained(folder / "pipeline") for folder in (whole_run, tmp_path / "out"))
    assert_same(new.lfae.state_dict(), lfae.state_dict())
    assert new.unet.config.target_std[2] < 0.8 * old.unet.config.target_std[2]
    for name, value in old.unet.state_dict().items():
        torch.testing.assert_close(new.unet.state_dict()[name], value, rtol=0, atol=1e-4)


def test_new_labels_keep_the_old(faces, whole_run, tmp_path):
    """Going on with another data set, without an encoder: its labels get rows of their own beside the old ones, which stay."""
    shutil.copytree(faces / "data" / "train" / "happiness", tmp_path / "data" / "winking")
    changes = {
        "lfae": None,
        "model_config_name_or_path": None,
        "text_encoder": None,
        "train_data_dir": tmp_path / "data",
        "max_train_steps": 1,
    }
    changes["pretrained_model_name_or_path"] = whole_run / "pipeline"
    run(arguments(faces, tmp_path / "out", **changes))
    before, after = (LFDMPipeline.from_pretrained(root / "pipeline") for root in (whole_run, tmp_path / "out"))
    old, new = (pipe.label_embeddings for pipe in (before, after))
    assert list(new.labels) == [*old.labels, "winking"]
    torch.testing.assert_close(new.embedding.weight[:-1], old.embedding.weight)
    card = (tmp_path / "out" / "pipeline" / "README.md").read_text()
    assert '"winking"' in card and '"happiness"' not in card  # the label to try is one that it was trained on


def test_rows_of_new_labels_are_like_nothing_known():
    known = torch.randn(5, 32, generator=torch.Generator().manual_seed(1)) * 3 + 1
    rows = unrelated_rows(4, 32, 0, known)
    length = known.norm(dim=1).mean()
    torch.testing.assert_close(rows @ rows.T, length**2 * torch.eye(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(rows @ known.T, torch.zeros(4, 5), atol=1e-3, rtol=0)
    assert not torch.equal(rows, unrelated_rows(4, 32, 1, known))
    crowded = unrelated_rows(30, 32, 0, known)  # no room for right angles
    assert crowded.shape == (30, 32) and len(crowded.unique(dim=0)) == 30
    torch.testing.assert_close(crowded.norm(dim=1), length.expand(30))


def test_an_encoder_of_another_width_is_refused(whole_run, tmp_path):
    pipe = LFDMPipeline.from_pretrained(whole_run / "pipeline")
    with pytest.raises(ValueError, match="gives 16 numbers a text, the U-Net was trained with 64"):
        embed_with_tiny_bert(["winking"], pipe, tmp_path)


def embed_with_tiny_bert(labels: list[str], pipe: LFDMPipeline | None, folder: Path):
    for part in tiny_text_encoder():
        part.save_pretrained(folder / "bert")
    return embed_labels(labels, str(folder / "bert"), pipe)


@pytest.mark.integration
def test_tracker(faces, tmp_path):
    """Numbers, settings and sheets reach a tracker too."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(arguments(faces, tmp_path, max_train_steps=2, report_to="tensorboard"))
    events = EventAccumulator(str(tmp_path / "train_unet")).Reload()
    assert {"loss", "lr", "validation/loss"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [1, 2]
    assert events.Tags()["images"]
    assert "`--report_to` comet_ml is not installed" in refusal(arguments(faces, tmp_path / "x", report_to="comet_ml"))


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_refusals(faces, whole_run, tmp_path, capsys):
    new = tmp_path / "new"
    assert "`--lfae` (for a new U-Net) or `--pretrained" in refusal(arguments(faces, new, lfae=None))
    old = {"pretrained_model_name_or_path": whole_run / "pipeline", "text_encoder": None}
    assert "settles `--model_config_name_or_path`" in refusal(arguments(faces, new, **old, lfae=None))
    assert "either `--preset` or" in refusal(arguments(faces, new, preset="toon64"))
    assert "`preset` must be one of mug128" in refusal(
        arguments(faces, new, preset="vox256", model_config_name_or_path=None)
    )
    assert "`--lora_rank` adapts a trained" in refusal(arguments(faces, new, lora_rank=2))
    assert "multiple of 16" in refusal(arguments(faces, new, resolution=40))
    assert "The text encoder nothing could not be loaded" in refusal(arguments(faces, new, text_encoder="nothing"))
    tiny_lfae(flow_scale=0.5).save_pretrained(tmp_path / "fine")
    assert "a U-Net needs both of one size" in refusal(arguments(faces, new, lfae=tmp_path / "fine"))
    refusal(arguments(faces, new, target_scale=0.5, flow_target="absolute"))
    assert "--target_scale goes with --flow_target residual" in capsys.readouterr().err
    refusal(arguments(faces, new, target_scale=0))
    assert "argument --target_scale: must be a number of more than 0, got '0'" in capsys.readouterr().err
    assert "settles `--target_scale`" in refusal(
        arguments(faces, new, **old, lfae=None, model_config_name_or_path=None, target_scale=0.5)
    )
    refusal(arguments(faces, new, null_condition_prob=1.5))
    assert "argument --null_condition_prob: must be a number from 0 to 1, got '1.5'" in capsys.readouterr().err
    other = refusal(arguments(faces, whole_run, resume_from_checkpoint="latest", ema_decay=0, max_train_steps=7))
    assert "`--ema_decay` differs" in other


def test_nan(faces, whole_run, tmp_path, monkeypatch):
    shutil.copytree(whole_run / "checkpoint-2", tmp_path / "checkpoint-2")
    monkeypatch.setattr(DenoisingLoss, "weights", lambda self, t: t * float("nan"))
    message = refusal(arguments(faces, tmp_path, resume_from_checkpoint="latest"))
    assert message.startswith("train_unet: the loss is nan at step 3")
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-2"]


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_motion_cache(faces, cache, tmp_path):
    clip = scanned(faces)[0]
    cached = cache.load(clip)
    assert cached.shape == (6, 3, 8, 8) and cached.dtype == np.float16
    frames = torch.from_numpy(cache.reader.read(clip, range(6))).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        motion = cache.lfae.predict_flow(frames[:1].expand(6, -1, -1, -1), frames)
    config = {"flow_target": "residual", "target_mean": [0, 0, 0], "target_std": [1, 1, 1]}
    flow, occlusion = volume_to_motion(torch.from_numpy(cached.astype(np.float32)).transpose(0, 1)[None], config)
    torch.testing.assert_close(flow[0].transpose(0, 1), motion.flow, atol=2e-4, rtol=0)
    torch.testing.assert_close(occlusion[0].transpose(0, 1), motion.occlusion, atol=5e-4, rtol=0)
    # In pieces; in another folder; a file that was cut off; other weights and other clips have other names.
    small = MotionCache(tmp_path, cache.lfae, cache.reader, batch_size=4)
    np.testing.assert_allclose(small.load(clip), cached, atol=1e-3)
    small.shards.finish()
    (shard,) = tmp_path.glob("*.tar")
    shard.write_bytes(shard.read_bytes()[:700])
    np.testing.assert_allclose(small.load(clip), cached, atol=1e-3)
    assert len(list(tmp_path.glob("*.tar"))) == 2 and not list(tmp_path.rglob(".*"))
    key = small.key(clip)
    others = {
        small.key(scanned(faces)[1]),
        MotionCache(tmp_path, tiny_lfae(1), cache.reader).key(clip),
        MotionCache(tmp_path, cache.lfae, ClipReader(32, 32, "center_crop")).key(clip),
        MotionCache(tmp_path, cache.lfae, cache.reader, dtype=torch.bfloat16).key(clip),
    }
    assert len(others | {key}) == 5


def test_cache_of_the_frames_that_even_sampling_takes(faces, cache, tmp_path):
    """Rows of the whole motion, under a name of their own, which a shorter clip does not need; the examples are the same."""
    clip = scanned(faces)[0]
    some = MotionCache(tmp_path, cache.lfae, cache.reader, batch_size=2, num_frames=3)
    whole, rows = cache.load(clip), [0, 2, 5]
    assert whole.shape[0] == 6 and sample_indices("uniform", 6, 3).tolist() == rows
    np.testing.assert_allclose(some.load(clip), whole[rows], atol=1e-3)
    assert some.key(clip) != cache.key(clip)
    assert MotionCache(tmp_path, cache.lfae, cache.reader, num_frames=6).key(clip) == cache.key(clip)
    sparse, full = (MotionDataset([clip], each, 3, "uniform", augment=False)[0].motion for each in (some, cache))
    torch.testing.assert_close(sparse, full, atol=1e-3, rtol=0)
    true = MotionCache(tmp_path, cache.lfae, cache.reader, true_motion=True, num_frames=3)
    assert true.load(clip).shape[0] == 3


def test_cache_of_true_motion(faces, cache, tmp_path):
    """The drawn motion, pooled; not the auto-encoder's, whose weights do not count."""
    clip = scanned(faces)[0]
    true = MotionCache(tmp_path, cache.lfae, cache.reader, true_motion=True)
    flow, visibility = residual_motion(clip, 32, 32)
    cached = torch.from_numpy(true.load(clip).astype(np.float32))
    assert cached[0, :2].abs().max() == 0 and cached[1:, :2].abs().max() > 0.01  # it begins at rest, and moves
    torch.testing.assert_close(cached[:, 2:], torch.nn.functional.avg_pool2d(visibility, 4), atol=1e-3, rtol=0)
    open_ = cached[:, 2] == 1
    pooled = torch.nn.functional.avg_pool2d(flow, 4)
    assert open_.float().mean() > 0.5
    for axis in range(2):
        torch.testing.assert_close(cached[:, axis][open_], pooled[:, axis][open_], atol=1e-3, rtol=0)
    assert MotionCache(tmp_path, tiny_lfae(1), cache.reader, true_motion=True).key(clip) == true.key(clip)
    assert MotionCache(tmp_path, cache.lfae, cache.reader).key(clip) != true.key(clip)
    smaller = MotionCache(tmp_path, cache.lfae, ClipReader(16, 16), true_motion=True)
    with pytest.raises(
        ValueError, match="has 32x32 pixels, and is not stretched: pictures must have that size, got 16x16"
    ):
        smaller.load(clip)


def test_statistics(faces, cache):
    clips = scanned(faces)
    mean, std = cache.statistics(clips)
    everything = np.concatenate([cache.load(clip).astype(np.float64) for clip in clips])
    np.testing.assert_allclose(mean, everything.mean(axis=(0, 2, 3)), atol=1e-9)
    np.testing.assert_allclose(std, everything.std(axis=(0, 2, 3)), atol=1e-9)


def test_motion_dataset(faces, cache):
    clips = scanned(faces)
    plain = MotionDataset(clips, cache, 4, "uniform", augment=False)
    sample = plain[1]
    assert sample.label == clips[1].label
    np.testing.assert_array_equal(sample.motion[:, 2], cache.load(clips[1])[3].astype(np.float32))  # 0 1 3 5
    reference = cache.reader.read(clips[1], [0])[0]
    np.testing.assert_allclose(sample.reference.permute(1, 2, 0) * 255, reference, atol=1e-3)
    mirrored = MotionDataset(clips, cache, 4, "uniform", augment=False, flip=True)
    seen = {(epoch, torch.equal(mirrored[(epoch, 1)].reference, sample.reference)) for epoch in range(8)}
    assert {same for _, same in seen} == {True, False}
    flipped = next(mirrored[(epoch, 1)] for epoch, same in seen if not same)
    torch.testing.assert_close(flipped.reference.flip(-1), sample.reference)
    torch.testing.assert_close(flipped.motion.flip(-1) * torch.tensor([-1, 1, 1]).view(3, 1, 1, 1), sample.motion)
    told = [replace(clip, texts=("Left, then the right side",)) for clip in clips]
    spoken = MotionDataset(told, cache, 4, "uniform", augment=False, flip=True, caption_prob=1.0)
    said = {same: spoken[(epoch, 1)].label for epoch, same in seen}
    assert said == {True: "Left, then the right side", False: "Right, then the left side"}
    augmented = MotionDataset(clips, cache, 4, "uniform")[1]
    assert not torch.equal(augmented.reference, sample.reference)
    torch.testing.assert_close(augmented.motion, sample.motion)
    framed = MotionDataset(clips, cache, 4, "uniform", augment=False, reframe=0.2)
    one, other = framed[(0, 1)], framed[(1, 1)]
    assert not torch.equal(one.reference, sample.reference) and not torch.equal(one.motion, sample.motion)
    assert not torch.equal(one.motion, other.motion)
    assert torch.equal(framed[(0, 1)].motion, one.motion)
    worse = MotionDataset(clips, cache, 4, "uniform", augment=False, degrade=1.0)
    seen = [worse[(epoch, 1)] for epoch in range(4)]
    assert len({float(one.reference.sum()) for one in seen}) > 2
    assert all(torch.equal(one.motion, sample.motion) for one in seen)
    with pytest.raises(ValueError, match="`clips` is empty"):
        MotionDataset([], cache, 4)


class Oracle(torch.nn.Module):
    """Knows the noise: predicts exactly, in whichever way is asked for."""

    def __init__(self, prediction_type: str, volume: torch.Tensor, noise: torch.Tensor, off: float | torch.Tensor):
        super().__init__()
        self.config = tiny_unet(prediction_type=prediction_type).config
        self.volume, self.noise, self.off = volume, noise, off

    def forward(self, sample, timestep, *args, **kwargs):
        alphas = torch.cumprod(1 - released_scheduler().betas.double(), 0)[timestep]
        a, b = (x.sqrt().view(-1, 1, 1, 1, 1).float() for x in (alphas, 1 - alphas))
        torch.testing.assert_close(sample, a * self.volume + b * self.noise)
        x0 = self.volume + self.off  # wrong by so much in what is denoised
        noise = (sample - a * x0) / b
        return ({"epsilon": noise, "sample": x0, "v_prediction": a * noise - b * x0}[self.config.prediction_type],)


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_denoising_loss(prediction_type):
    """Exact predictions cost nothing; with min-SNR weights an error in x0 costs min(SNR, gamma) times its square."""
    generator = torch.Generator().manual_seed(0)
    volume, noise = torch.randn(2, 2, 3, 4, 8, 8, generator=generator)
    alphas = torch.cumprod(1 - released_scheduler().betas.double(), 0)
    timesteps = torch.tensor([150, 600])
    exact = DenoisingLoss(Oracle(prediction_type, volume, noise, 0.0), alphas)
    assert exact(volume, noise, timesteps, None, None, None) < 1e-10
    wrong = DenoisingLoss(Oracle(prediction_type, volume, noise, 0.1), alphas, snr_gamma=5.0)
    snr = (alphas / (1 - alphas))[timesteps]
    expected = (snr.clamp(max=5.0) * 0.1**2).mean()
    torch.testing.assert_close(wrong(volume, noise, timesteps, None, None, None).double(), expected, rtol=1e-3, atol=0)


def test_the_heads_own_motion_is_taken_out():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    turned = torch.stack((0.1 + 0.2 * x - 0.3 * y, 0.5 * x + 0.01))
    smile = torch.exp(-30 * (x**2 + (y - 0.3) ** 2)) * torch.tensor([0.2, -0.1])[:, None, None]
    torch.testing.assert_close(without_affine(turned), torch.zeros_like(turned), rtol=0, atol=1e-6)
    torch.testing.assert_close(without_affine(turned + smile), without_affine(smile), rtol=0, atol=1e-6)
    assert middle(smile).shape == (2, 22, 20)


def test_expression_weight():
    """An error that an affine motion of the flow explains costs no more; a mouth's does, and so does what it uncovers."""
    generator = torch.Generator().manual_seed(0)
    volume, noise = torch.randn(2, 1, 3, 4, 32, 32, generator=generator)
    alphas, time = torch.cumprod(1 - released_scheduler().betas.double(), 0), torch.tensor([700])
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    turned = torch.stack((0.1 * x, 0.2 - 0.1 * y, torch.zeros_like(x)))[:, None]
    mouth = turned + torch.exp(-30 * (x**2 + (y - 0.3) ** 2)) * torch.tensor([0.2, 0.0, 0.0]).view(3, 1, 1, 1)

    def loss(off: torch.Tensor, weight: float) -> torch.Tensor:
        unet = Oracle("sample", volume, noise, off)
        return DenoisingLoss(unet, alphas, None, weight)(volume, noise, time, None, None, None)

    torch.testing.assert_close(loss(turned, 20.0), loss(turned, 0.0), rtol=1e-4, atol=1e-7)
    own = middle(without_affine(mouth[:2])).square().mean() * 2 / 3  # of three channels
    torch.testing.assert_close(loss(mouth, 20.0), loss(mouth, 0.0) + 20 * own, rtol=1e-4, atol=1e-7)
    opened = (mouth - turned)[:1] * torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1)
    own = middle(opened[:, 0]).square().mean()
    torch.testing.assert_close(loss(opened, 20.0), loss(opened, 0.0) + 20 * own, rtol=1e-4, atol=1e-7)


def test_null_condition():
    """Unlabelled examples, and the asked-for share of the others, see the null condition; the rest their own row."""
    pipe = tiny_pipeline()
    task = MotionTask(pipe, null_condition_prob=0.3)
    motion, reference = torch.randn(64, 3, 4, 8, 8), torch.rand(64, 3, 32, 32)
    labels = ["surprise"] * 60 + [""] * 4
    _, noise, timesteps, embeds, null, _ = task.arguments(MotionSample(reference, motion, labels), range(64))
    assert null[60:].all() and 8 <= null[:60].sum() <= 28
    torch.testing.assert_close(embeds[0], pipe.label_embeddings("surprise").text_embeds[0])
    assert timesteps.min() < 100 and timesteps.max() > 900 and timesteps.unique().numel() > 50
    again = task.arguments(MotionSample(reference[8:], motion[8:], labels[8:]), range(8, 64))
    torch.testing.assert_close(again[1], noise[8:])  # an example's chance does not depend on its neighbours
    assert torch.equal(again[2], timesteps[8:]) and torch.equal(again[4], null[8:])


def test_timestep_bias():
    """Twice as often: the mean of u^(1/2) is 2/3."""
    task = MotionTask(tiny_pipeline(), timestep_bias=2)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([task.timestep(generator) for _ in range(2000)]).float()
    assert 640 < drawn.mean() < 690 and drawn.max() <= 999 and drawn.min() >= 0


def test_averaged_weights():
    pipe = tiny_pipeline()
    task = MotionTask(pipe, ema_decay=0.5)
    before = {name: weight.detach().clone() for name, weight in task.weights.items()}
    task.after_step()  # the first one takes the weights over as they are
    with torch.no_grad():
        for weight in task.weights.values():
            weight.add_(1)
    task.after_step()
    name = "conv_in.weight"
    raw = task.weights[name].detach().clone()
    with task.average.in_place():
        assert not pipe.unet.training
        moved = (task.weights[name] - before[name]).mean().item()
        assert 0.4 < moved < 1  # diffusers begins with a smaller decay than asked for
    assert pipe.unet.training and torch.equal(task.weights[name], raw)


def test_embed_labels(tmp_path):
    table, encoder, _ = embed_labels(["a", "b", "c"], "none")
    rows = table.embedding.weight
    torch.testing.assert_close(rows @ rows.T, 64 * torch.eye(3), atol=1e-4, rtol=0)
    assert encoder is None and torch.equal(embed_labels(["a", "b", "c"], "none")[0].embedding.weight, rows)
    assert embed_labels([], "none")[0] is None
    table, encoder, tokenizer = embed_with_tiny_bert(["anger", "surprise"], None, tmp_path)
    with torch.no_grad():
        expected = [embed_text(encoder, tokenizer, [label])[0] for label in ("anger", "surprise")]
    torch.testing.assert_close(table.embedding.weight.detach(), torch.stack(expected))
    pipe = tiny_pipeline()
    assert embed_labels(["Anger"], None, pipe)[0] is pipe.label_embeddings


# ---- processes ------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_killed_and_resumed(faces, tmp_path, scripts):
    """SIGKILL while motion is being cached and as soon as a checkpoint is there; the end is the same."""
    changes = {"max_train_steps": 20, "checkpointing_steps": 4, "validation_steps": 8, "motion_cache_dir": None}
    run(arguments(faces, tmp_path / "whole", **changes))
    output = tmp_path / "killed"
    argv = arguments(faces, output, **changes, resume_from_checkpoint="latest")
    for wanted in ("motion/*.tar", "checkpoint-4", "checkpoint-12"):
        code = scripts.killed_when(lambda: list(output.glob(wanted)), "train_unet", argv, tmp_path / "said")  # noqa: B023
        assert code == -signal.SIGKILL
        assert not (output / "pipeline").exists()
    run(argv)
    assert_same(weights(output), weights(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.integration
def test_two_processes_are_one(faces, tmp_path, scripts):
    """Two processes give what one gives with the same global batch, to rounding."""
    changes = {"max_train_steps": 4, "motion_cache_dir": None}
    run(arguments(faces, tmp_path / "one", **changes, train_batch_size=4))
    argv = arguments(faces, tmp_path / "two", **changes, train_batch_size=2)
    assert scripts.done("train_unet", argv, tmp_path / "said", processes=2) == [0, 0], (tmp_path / "said").read_text()
    assert "4 steps of 4 examples in 2 processes\n" in (tmp_path / "said").read_text()
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-5, rtol=0)
    ours, theirs = ([r["loss"] for r in records(tmp_path / n) if "loss" in r] for n in ("one", "two"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.integration
def test_push(faces, tmp_path, loopback_hub, scripts):
    argv = arguments(faces, tmp_path / "out", max_train_steps=1, hub_model_id="me/lfdm", hub_token=WRITE_TOKEN)
    done = scripts.done("train_unet", [*argv, "--push_to_hub", "--gallery"], tmp_path / "said")
    assert done == [0], (tmp_path / "said").read_text()
    files = loopback_hub.files("me/lfdm")
    clips = sorted(path for path in files if path.startswith("gallery/"))
    assert clips == ["gallery/happiness.webp", "gallery/surprise.webp"]
    assert all(b"trainedAlgorithmicMedia" in files[path] for path in clips)
    assert all(f"]({path})".encode() in files["README.md"] for path in clips)
    assert {"model_index.json", "README.md", "unet/diffusion_pytorch_model.safetensors"} <= files.keys()
    assert b"me/lfdm" in files["README.md"]
