"""The script that trains what LFDM is compared with: every system, at a tiny size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DiffusionPipeline
from safetensors.torch import load_file
from tiny import tiny_baseline, tiny_label_embeddings, tiny_unet
from training_scripts import assert_same, command_line, load_script, records, stop_at

from lfdm_diffusers import ImaginatorPipeline, LDMVideoPipeline, VDMPipeline
from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.dataset import ClipDataset
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.scan import scan_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.embedded import embedded_model
from lfdm_diffusers.pipelines import FRAME_SPACES
from lfdm_diffusers.training import presets
from lfdm_diffusers.training import run as training_run
from lfdm_diffusers.training.averaged_weights import AveragedWeights
from lfdm_diffusers.training.baselines.frame_diffusion import SETTLED_BY_SPACE
from lfdm_diffusers.training.baselines.inputs import SETTLED
from lfdm_diffusers.training.checkpoints import checkpoints
from lfdm_diffusers.training.diffusion import FrameTask

train_baseline = load_script("train_baseline")
run, refusal = train_baseline.run, train_baseline.refusal

AUTOENCODER = {"block_out_channels": [8, 16], "norm_num_groups": 4}
PIPELINES = {"vdm": VDMPipeline, "ldm": LDMVideoPipeline, "imaginator": ImaginatorPipeline}
MAIN_WEIGHTS = {"vdm": "unet", "ldm": "unet", "imaginator": "imaginator"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Two people to train on, one to test: clips of 6 frames of 32 pixels; the networks' configurations."""
    root = tmp_path_factory.mktemp("faces")
    write_toon_faces(root / "data", 3, 1, labels=("happiness", "surprise"), num_frames=6, size=32, progress=False)
    unet = {k: v for k, v in tiny_unet(block_out_channels=(8,)).config.items() if not k.startswith("_")}
    for name in (*SETTLED, *SETTLED_BY_SPACE):
        del unet[name]
    networks = {"vdm": unet | {"patch_size": 4}, "ldm": unet | {"patch_size": 2}}
    networks["two-levels"] = networks["ldm"] | {"block_out_channels": (8, 16)}
    networks |= {"autoencoder": AUTOENCODER, "imaginator": {"base_channels": 8}}
    for system, network in networks.items():
        (root / f"{system}.json").write_text(json.dumps(network))
    return root


def arguments(faces: Path, output: Path, system: str, **changes) -> list[str]:
    """Arguments of a run of 4 steps; a change to None leaves one out, True is a flag."""
    values = {
        "system": system,
        "train_data_dir": faces / "data",
        "output_dir": output,
        "preset": "toon64",
        "model_config": faces / f"{system}.json",
        "resolution": 32,
        "num_frames": None if system == "autoencoder" else 4,
        "text_encoder": None if system == "autoencoder" else "none",
        "cache_dir": faces / "cache",
        "train_batch_size": 2,
        "max_train_steps": 4,
        "checkpointing_steps": 2,
        "validation_steps": 0,
        "num_validation_clips": 2,
        "num_validation_pictures": 1,
        "num_inference_steps": 2 if system in ("vdm", "ldm") else None,
        "logging_steps": 1,
        "autoencoder": faces / "autoencoder" / "vae" if system == "ldm" else None,
        **changes,
    }
    return command_line(values)


@pytest.fixture(scope="module")
def trained_autoencoder(faces) -> Path:
    run(arguments(faces, faces / "autoencoder", "autoencoder"))
    return faces / "autoencoder"


@pytest.fixture(scope="module")
def whole_runs(faces, trained_autoencoder) -> Path:
    for system in PIPELINES:
        run(arguments(faces, faces / "runs" / system, system))
    return faces / "runs"


def test_autoencoder(trained_autoencoder):
    vae = AutoencoderKL.from_pretrained(trained_autoencoder / "vae")
    assert (vae.config.sample_size, vae.config.latent_channels) == (32, 3)
    assert vae.encode(torch.zeros(1, 3, 32, 32)).latent_dist.mode().shape == (1, 3, 16, 16)
    assert records(trained_autoencoder)[-1].keys() == {"step", "validation/l1"}
    assert "Trained for 4 steps of 2 pairs of frames" in (trained_autoencoder / "vae" / "README.md").read_text()


@pytest.mark.integration
def test_autoencoder_learns(faces, tmp_path):
    changes = {"max_train_steps": 60, "learning_rate": 2e-3, "checkpointing_steps": 60}
    run(arguments(faces, tmp_path, "autoencoder", **changes))
    losses = [record["reconstruction"] for record in records(tmp_path) if "reconstruction" in record]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


@pytest.mark.parametrize("system", PIPELINES)
def test_result(whole_runs, system):
    output = whole_runs / system
    pipe = DiffusionPipeline.from_pretrained(output / "pipeline")
    assert type(pipe) is PIPELINES[system] and pipe.labels == ["happiness", "surprise"]
    assert (pipe.sample_size, pipe.num_frames, pipe.text_embed_dim) == (32, 4, 64)
    pipe.set_progress_bar_config(disable=True)
    picture, seed = PIL.Image.new("RGB", (32, 32), "red"), torch.Generator().manual_seed(0)
    frames = pipe(picture, "surprise", generator=seed, output_type="pt").frames
    assert frames.shape == (1, 4, 3, 32, 32) and frames.isfinite().all() and frames.std() > 0
    card = (output / "pipeline" / "README.md").read_text()
    assert "Trained for 4 steps of 2 videos from 4 clips" in card and "baseline of" in card
    assert [path.name for path in checkpoints(output)] == ["checkpoint-2", "checkpoint-4"]
    with PIL.Image.open(output / "samples" / "step-000004.png") as sheet:
        assert sheet.width > 2 * 128 and sheet.height > 5 * 128  # the picture, and 4 frames


def test_goes_on_with_what_is_asked_for_now(whole_runs, faces, tmp_path, capsys, monkeypatch):
    """Rates, betas and decay are this run's, not those that the checkpoint has; the run says what is not as it was."""
    shutil.copytree(whole_runs / "imaginator" / "checkpoint-2", tmp_path / "checkpoint-2")
    groups, decays, made = [], [], []
    build, average, rate = training_run.build_optimizer, AveragedWeights.step, training_run.learning_rate

    def averaged(self) -> None:
        decays.append(self._ema.decay)
        average(self)

    def rated(*values) -> float:
        groups.extend(dict(group) for group in made[0].param_groups)
        return rate(*values)

    monkeypatch.setattr(training_run, "build_optimizer", lambda *given: made.append(build(*given)) or made[0])
    monkeypatch.setattr(AveragedWeights, "step", averaged)
    monkeypatch.setattr(training_run, "learning_rate", rated)
    changes = {"discriminator_lr_scale": 0.5, "adam_beta1": 0.4, "ema_decay": 0.25, "resume_from_checkpoint": "latest"}
    run(arguments(faces, tmp_path, "imaginator", **changes))
    assert [group["lr_scale"] for group in groups[:2]] == [1, 0.5] and groups[0]["betas"][0] == 0.4
    assert set(decays) == {0.25}
    assert (
        "adam_beta1 was 0.9, is 0.4; discriminator_lr_scale was 1.0, is 0.5; ema_decay was" in capsys.readouterr().out
    )


@pytest.mark.parametrize("system", ["autoencoder", *PIPELINES])
def test_goes_on_exactly(whole_runs, faces, tmp_path, monkeypatch, system):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 3)
        run(arguments(faces, tmp_path, system))
    run(arguments(faces, tmp_path, system, resume_from_checkpoint="latest"))
    whole = faces / "autoencoder" if system == "autoencoder" else whole_runs / system
    part = "vae" if system == "autoencoder" else f"pipeline/{MAIN_WEIGHTS[system]}"
    ours, theirs = (load_file(x / part / "diffusion_pytorch_model.safetensors") for x in (tmp_path, whole))
    assert_same(ours, theirs)


def test_discriminators_learn_at_their_own_rate(faces, tmp_path):
    """At none at all, they stay what they were, and the generator learns on."""
    run(arguments(faces, tmp_path, "imaginator", discriminator_lr_scale=0, ema_decay=0, checkpointing_steps=1))
    first, last = checkpoints(tmp_path)[0], checkpoints(tmp_path)[-1]
    weights = {
        player: [load_file(step / player / "diffusion_pytorch_model.safetensors") for step in (first, last)]
        for player in ("imaginator", "discriminators")
    }
    assert_same(*weights["discriminators"])
    before, after = (found["encoder.0.0.weight"] for found in weights["imaginator"])
    assert (after - before).abs().max() > 1e-5


def test_spaces_are_standardised(whole_runs, faces):
    """Pixels from -1 to 1; latents of the training clips with mean 0 and the deviation asked for."""
    clips = scan_clips(find_clips(faces / "data", split="train"), ClipReader(32, 32), progress=False).clips
    dataset = ClipDataset(clips, ClipReader(32, 32), 6, "uniform", augment=False)
    frames = torch.stack([dataset[i].frames for i in range(len(dataset))]).transpose(1, 2).flatten(0, 1)
    pixels = VDMPipeline.from_pretrained(whole_runs / "vdm/pipeline").scaled_latents(frames)
    torch.testing.assert_close(pixels, frames * 2 - 1)
    latents = LDMVideoPipeline.from_pretrained(whole_runs / "ldm/pipeline").scaled_latents(frames)
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3


@pytest.fixture(scope="module")
def scaled_runs(whole_runs, faces) -> Path:
    """Runs of one step with a target of a quarter."""
    for system in ("vdm", "ldm"):
        run(arguments(faces, faces / "scaled" / system, system, max_train_steps=1, target_scale=0.25))
    return faces / "scaled"


@pytest.mark.parametrize("system", ["vdm", "ldm"])
def test_target_scale(whole_runs, scaled_runs, system):
    whole, scaled = (PIPELINES[system].from_pretrained(x / system / "pipeline") for x in (whole_runs, scaled_runs))
    assert scaled.unet.config.target_mean == whole.unet.config.target_mean
    expected = [4 * value for value in whole.unet.config.target_std]
    assert scaled.unet.config.target_std == pytest.approx(expected)


@pytest.mark.parametrize("system", ["vdm", "ldm"])
def test_examples(whole_runs, faces, system):
    """The U-Net is given the first frame of what it shall denoise; mirrored examples are mirrored as a whole."""
    pipe = PIPELINES[system].from_pretrained(whole_runs / system / "pipeline")
    task = FrameTask(pipe, ema_decay=0)
    clips = scan_clips(find_clips(faces / "data", split="train"), ClipReader(32, 32), progress=False).clips
    plain, mirrored = (
        ClipDataset(clips, ClipReader(32, 32), 4, "uniform", seed, augment=False, flip=seed > 0) for seed in (0, 1)
    )
    sample = plain[0]
    batch = type(sample)(sample.frames[None], sample.indices[None], [sample.label], [sample.subject])
    volume, given = task.targets(batch)
    torch.testing.assert_close(given, volume[:, :, 0])
    torch.testing.assert_close(given, pipe.encode_image(sample.frames[:, 0]))
    assert volume.shape == (1, 3, 4, *[32 // pipe.downscale_factor] * 2)
    same = [torch.equal(plain[i].frames, mirrored[i].frames) for i in range(len(plain))]
    turned = [torch.equal(plain[i].frames, mirrored[i].frames.flip(-1)) for i in range(len(plain))]
    assert all(a or b for a, b in zip(same, turned)) and any(turned)


def test_label_embeddings_of_another_system(whole_runs, faces, tmp_path):
    changes = {"text_encoder": None, "label_embeddings": whole_runs / "ldm" / "pipeline", "max_train_steps": 1}
    run(arguments(faces, tmp_path, "vdm", **changes))
    ours, theirs = (
        load_file(x / "pipeline/label_embeddings/diffusion_pytorch_model.safetensors")
        for x in (tmp_path, whole_runs / "ldm")
    )
    assert_same(ours, theirs)
    changes["label_embeddings"] = tmp_path / "other"
    tiny_baseline("vdm", label_embeddings=tiny_label_embeddings(labels=("one",))).save_pretrained(tmp_path / "other")
    assert "other has no happiness, surprise, a label" in refusal(arguments(faces, tmp_path / "new", "vdm", **changes))


@pytest.mark.parametrize("system", ["vdm", "ldm"])
def test_clipping_is_for_what_has_an_end(whole_runs, scaled_runs, system):
    """Pixels end at the target's scale, and samplers keep them there; latents end nowhere."""
    config = PIPELINES[system].from_pretrained(whole_runs / system / "pipeline").scheduler.config
    assert (config.thresholding, config.clip_sample, config.clip_sample_range) == (False, system == "vdm", 1)
    pipe = PIPELINES[system].from_pretrained(scaled_runs / system / "pipeline")
    assert pipe.scheduler.config.clip_sample_range == 0.25
    white = pipe.scaled_latents(torch.ones(1, 3, 32, 32))
    assert system == "ldm" or white.max() == 0.25


def test_auto_encoders_of_other_channels(faces, tmp_path):
    """Four channels at a quarter of the size, and the size that it was trained on by default."""
    config = {"latent_channels": 4, "block_out_channels": [8, 8, 16], "norm_num_groups": 4}
    (tmp_path / "ae.json").write_text(json.dumps(config))
    run(arguments(faces, tmp_path / "ae", "autoencoder", model_config=tmp_path / "ae.json", max_train_steps=1))
    changes = {"autoencoder": tmp_path / "ae" / "vae", "resolution": None, "max_train_steps": 1}
    run(arguments(faces, tmp_path / "out", "ldm", **changes))
    pipe = LDMVideoPipeline.from_pretrained(tmp_path / "out" / "pipeline")
    assert (pipe.sample_size, pipe.downscale_factor, pipe.latent_channels, pipe.unet.config.in_channels) == (
        32,
        4,
        4,
        4,
    )
    pipe.set_progress_bar_config(disable=True)
    assert pipe(PIL.Image.new("RGB", (32, 32)), "surprise", output_type="pt").frames.shape == (1, 4, 3, 32, 32)


def test_smaller_pictures_than_the_auto_encoder_saw(trained_autoencoder, faces, tmp_path):
    """The pipeline's size is that of its own training."""
    run(arguments(faces, tmp_path, "ldm", resolution=16, max_train_steps=1))
    pipe = LDMVideoPipeline.from_pretrained(tmp_path / "pipeline")
    assert pipe.vae.config.sample_size == 32 and pipe.sample_size == 16
    pipe.set_progress_bar_config(disable=True)
    assert pipe(PIL.Image.new("RGB", (16, 16)), "surprise", output_type="pt").frames.shape == (1, 4, 3, 16, 16)


def test_another_space_or_network_does_not_go_on(whole_runs, faces, tmp_path):
    changes = {"resume_from_checkpoint": "latest", "max_train_steps": 6}
    for system, change, message in (
        ("vdm", {"target_scale": 0.5}, "trained in another space"),
        ("vdm", {"prediction_type": "sample"}, "it predicted epsilon, pixels"),
        ("vdm", {"model_config": faces / "ldm.json"}, "another network"),
        ("imaginator", {"model_config": faces / "wide.json"}, "another network"),
        ("autoencoder", {"model_config": faces / "wide-autoencoder.json"}, "another network"),
    ):
        (faces / "wide.json").write_text(json.dumps({"base_channels": 16}))
        (faces / "wide-autoencoder.json").write_text(json.dumps(AUTOENCODER | {"block_out_channels": [8, 24]}))
        made = faces / "autoencoder" if system == "autoencoder" else whole_runs / system
        shutil.copytree(made / "checkpoint-2", tmp_path / system / "checkpoint-2", dirs_exist_ok=True)
        assert message in refusal(arguments(faces, tmp_path / system, system, **changes | change))


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("system", ["autoencoder", *PIPELINES])
def test_two_processes_are_one(whole_runs, faces, tmp_path, scripts, system):
    """Two processes give what one gives with the same batch; nearly so where BatchNorm sees only a process's share."""
    argv = arguments(faces, tmp_path, system, train_batch_size=1)
    done = scripts.done("train_baseline", argv, tmp_path / "said", processes=2)
    assert done == [0, 0], (tmp_path / "said").read_text()
    whole = faces / "autoencoder" if system == "autoencoder" else whole_runs / system
    ours, theirs = ([r["loss"] for r in records(n) if "loss" in r] for n in (tmp_path, whole))
    assert ours == pytest.approx(theirs, rel=0.5 if system == "imaginator" else 1e-3)


class ShuffledVDM(VDMPipeline):
    """Another space, in a few lines: pixels two by two, as channels."""

    latent_channels = 12
    downscale_factor = 2
    target = "shuffled pixels"

    def statistics(self, frames: Iterable[torch.Tensor]) -> tuple[list[float], list[float]]:
        return [0.5] * 12, [0.5] * 12

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        return F.pixel_unshuffle(frames, 2)

    def decode_frames(self, latents: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(latents, 2)


def test_another_space_is_one_class(faces, tmp_path, monkeypatch):
    """Named once, it is trained, saved, carded, loaded and called like the others."""
    monkeypatch.setitem(FRAME_SPACES, "shuffled", ShuffledVDM)
    monkeypatch.setitem(train_baseline.SYSTEMS, "shuffled", train_baseline.SYSTEMS["vdm"])
    monkeypatch.setitem(presets.FRAME_UNET_CONFIGS, "shuffled", presets.FRAME_UNET_CONFIGS["ldm"])
    run(arguments(faces, tmp_path, "shuffled", model_config=faces / "two-levels.json", max_train_steps=1))
    pipe = ShuffledVDM.from_pretrained(tmp_path / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(PIL.Image.new("RGB", (32, 32)), "surprise", output_type="pt", eta=0).frames
    assert frames.shape == (1, 4, 3, 32, 32) and (pipe.sample_size, pipe.stride) == (32, 8)
    assert "of shuffled pixels" in (tmp_path / "pipeline" / "README.md").read_text()


def test_refusals(faces, tmp_path, capsys):
    new = tmp_path / "new"
    for system, option in (
        ("imaginator", {"target_scale": 0.5}),
        ("autoencoder", {"flip": True}),
        ("vdm", {"kl_weight": 1}),
        ("imaginator", {"autoencoder": "ae"}),
        ("vdm", {"discriminator_lr_scale": 0.5}),
    ):
        refusal(arguments(faces, new, system, **option))
        (name,) = option
        assert f"--{name} has no use for --system {system}" in capsys.readouterr().err
    assert "a frame auto-encoder, which must be given" in refusal(arguments(faces, new, "ldm", autoencoder=None))
    assert "must be an AutoencoderKL" in refusal(
        arguments(faces, new, "ldm", autoencoder=embedded_model("toon64") / "lfae")
    )
    told = refusal(arguments(faces, new, "ldm", autoencoder=tmp_path))
    assert told.startswith("train_baseline: `--autoencoder` for --system ldm: ")
    nowhere = {"text_encoder": None, "label_embeddings": tmp_path}
    assert f"`--label_embeddings` {tmp_path}: " in refusal(arguments(faces, new, "vdm", **nowhere))
    assert "has no networks besides the U-Net, got ae" in refusal(arguments(faces, new, "vdm", autoencoder="ae"))
    refusal(arguments(faces, new, "vdm", label_embeddings="pipe"))
    assert "--text_encoder and --label_embeddings" in capsys.readouterr().err
    refusal(arguments(faces, new, "vdm", target_scale=0))
    assert "argument --target_scale: must be a number of more than 0" in capsys.readouterr().err
    assert "`--model_config` must be a JSON file" in refusal(arguments(faces, new, "vdm", model_config="none.json"))
    for content, message in (
        ("[1]", "must hold an object of JSON"),
        ('{"width": 3}', "must hold arguments of UNet3DVideoModel ("),
        ('{"num_frames": 3}', "got num_frames"),
        ('{"target_std": [1, 1, 1], "text_embed_dim": 4}', "got target_std, text_embed_dim"),
        ('{"block_out_channels": 5}', "makes no network: "),
    ):
        (tmp_path / "config.json").write_text(content)
        assert message in refusal(arguments(faces, new, "vdm", model_config=tmp_path / "config.json"))
    levels = {"model_config": faces / "two-levels.json", "resolution": 34}
    assert "multiple of 4 for this network" in refusal(arguments(faces, new, "vdm", **levels))
    assert "`--resolution` 48" in refusal(arguments(faces, new, "imaginator", resolution=48))
    assert "`num_frames` must be a multiple of 4" in refusal(arguments(faces, new, "imaginator", num_frames=6))
    assert not (new / "pipeline").exists()
