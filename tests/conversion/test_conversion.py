"""Checkpoint files in, one folder out: layouts, damage, safety, whole-or-nothing, verification, the command line."""

from __future__ import annotations

import collections
import copy
import functools
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
import yaml
from diffusers import DiffusionPipeline
from huggingface_hub import ModelCard
from loopback_hub import READ_TOKEN, WRITE_TOKEN, LoopbackHub
from tiny import tiny_text_encoder

from lfdm_diffusers import LatentFlowAutoencoder, LFDMPipeline
from lfdm_diffusers.cli.convert import main
from lfdm_diffusers.conversion import (
    convert_lfae,
    convert_lfae_checkpoint,
    convert_pipeline,
    convert_unet,
    convert_unet_checkpoint,
    lfae_config,
    read_betas,
)
from lfdm_diffusers.conversion.folder import convert_files
from lfdm_diffusers.conversion.names import (
    LFAE_MODULES,
    LFAE_NAMES,
    SCHEDULE_BUFFERS,
    UNET_NAMES,
    released_lfae_name,
    released_unet_name,
    renamed,
)
from lfdm_diffusers.conversion.presets import PRESETS, Preset, get_preset
from lfdm_diffusers.conversion.reference import plain_decode, plain_flow, plain_unet
from lfdm_diffusers.conversion.verification import Verification, verify_folder, verify_lfae, verify_unet
from lfdm_diffusers.files.torch_files import LeftOut, load_checkpoint
from lfdm_diffusers.schedulers import released_scheduler

ROOT = Path(__file__).parents[2]
SMALL = reference.layout("small")
SMALL_PRESET = Preset(
    "small", "formulas", sample_size=64, num_frames=6, labels=("anger", "surprise"), learned_null_embedding=None
)
RELEASED = ("mug128", "mhad128", "natops128")


def small_lfae() -> dict:
    return reference.lfae_checkpoint(SMALL)


@functools.cache
def computed_unet(variant: str) -> dict:
    return reference.unet_checkpoint(SMALL[variant])


def small_unet(variant: str = "unet_default") -> dict:
    """A copy, which a test may change."""
    return copy.deepcopy(computed_unet(variant))


def adam(old: bool = False) -> torch.optim.Adam:
    """An Adam that has taken a step; `old` is pickled with what PyTorch 1.4 kept of it."""
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=2e-4, betas=(0.5, 0.999))
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    if old:
        groups = ("params", "lr", "betas", "eps", "weight_decay", "amsgrad")
        state = collections.defaultdict(dict)
        state.update({p: {**s, "step": 1} for p, s in optimizer.state.items()})
        optimizer.__dict__ = {
            "defaults": dict(optimizer.defaults),
            "state": state,
            "param_groups": [{k: g[k] for k in groups} for g in optimizer.param_groups],
        }
    return optimizer


def mraa(shapes: dict, optimizer) -> dict:
    """A checkpoint laid out like MRAA's."""
    modules = {k: v for k, v in reference.lfae_checkpoint(shapes).items() if k in LFAE_MODULES}
    avd_network = {"id_encoder.0.weight": torch.ones(4, 4)}
    return {**modules, "avd_network": avd_network, "optimizer_reconstruction": optimizer, "epoch": 99}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Small checkpoints as files, a BERT of width 768 that knows few words, and the YAML of the small configuration."""
    folder = tmp_path_factory.mktemp("files")
    paths = {name: folder / f"{name}.pth" for name in ("lfae", "unet", "unet_upconv_lnc", "mraa")}
    torch.save(small_lfae(), paths["lfae"])
    torch.save(small_unet(), paths["unet"])
    torch.save(small_unet("unet_upconv_lnc"), paths["unet_upconv_lnc"])
    torch.save(mraa(SMALL, adam()), paths["mraa"])
    encoder, tokenizer = tiny_text_encoder(hidden_size=768, num_hidden_layers=1)
    paths["bert"] = folder / "bert"
    encoder.save_pretrained(paths["bert"])
    tokenizer.save_pretrained(paths["bert"])
    paths["yaml"] = folder / "small.yaml"
    paths["yaml"].write_text(yaml.safe_dump({"dataset_params": {}, "model_params": SMALL["model_params"]}))
    return paths


def small_arguments(files: dict[str, Path], output: Path) -> list[str]:
    arguments = {"lfae": files["lfae"], "unet": files["unet"], "model_params": files["yaml"], "sample_size": 64}
    arguments |= {"text_encoder": files["bert"], "labels": "anger, surprise", "num_frames": 6, "output": output}
    return [str(word) for name, value in arguments.items() for word in (f"--{name}", value)]


def convert_small(files: dict[str, Path], output: Path, **options) -> None:
    options = {"text_encoder": str(files["bert"]), "model_params": SMALL["model_params"], **options}
    convert_files(files["lfae"], files["unet"], SMALL_PRESET, output, **options)


# --- Reading files ----------------------------------------------------------------------------------------------------


class Unsafe:
    """Its pickle runs a command that makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.fast
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_adam_objects_are_read_as_nothing(tmp_path, legacy, old):
    path = tmp_path / "mraa.pth"
    torch.save(mraa(SMALL, adam(old)), path, _use_new_zipfile_serialization=not legacy)
    checkpoint = load_checkpoint(path)
    assert type(checkpoint["optimizer_reconstruction"]) is LeftOut
    assert not vars(checkpoint["optimizer_reconstruction"])
    expected = small_lfae()["generator"]
    assert all(torch.equal(checkpoint["generator"][k], v) for k, v in expected.items())


@pytest.mark.fast
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_unsafe_pickles_are_refused_and_not_run(tmp_path, legacy):
    path, touched = tmp_path / "unsafe.pth", tmp_path / "touched"
    torch.save({"generator": Unsafe(touched)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"unsafe\.pth was refused as unsafe: .*posix\.system"):
        load_checkpoint(path)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Unsafe(touched), protocol=2))
    with pytest.raises(ValueError, match=r"plain\.pth was refused as unsafe"):
        load_checkpoint(plain)
    torch.save({"generator": torch.nn.Linear(1, 1)}, path)
    with pytest.raises(ValueError, match=r"refused as unsafe: .*linear\.Linear"):
        load_checkpoint(path)
    assert not touched.exists()


def damaged(kind: str, tmp_path: Path) -> Path:
    """A file of the kind named."""
    path = tmp_path / f"{kind}.pth"
    torch.save(
        {"generator": {"weight": torch.arange(4000.0)}}, path, _use_new_zipfile_serialization="legacy" not in kind
    )
    whole = path.read_bytes()
    contents = {
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
        "page": b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>",
        "empty": b"",
        "cut": whole[: len(whole) * 2 // 3],
        "cut_early": whole[:9],
        "cut_legacy": whole[: len(whole) * 2 // 3],
        "cut_legacy_early": whole[:9],
        "flipped": whole.replace(np.float32(2000).tobytes(), np.float32(2001).tobytes(), 1),
        "text": b"not a checkpoint",
        "gzip": b"\x1f\x8b" + whole,
        "noise": np.random.default_rng(0).bytes(999),
    }
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("lfae.pth", whole)
    elif kind == "list":
        torch.save([torch.ones(1)], path)
    elif kind == "missing":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(contents[kind])
    return path


DAMAGE = {
    "pointer": "is a Git LFS pointer",
    "page": "is an HTML page",
    "empty": "is empty",
    "cut": "is truncated",
    "cut_early": "is truncated",
    "cut_legacy": "is truncated or damaged",
    "cut_legacy_early": "is truncated or damaged",
    "flipped": "fails its checksum",
    "text": "is not a PyTorch checkpoint",
    "gzip": "is an archive",
    "noise": "is not a PyTorch checkpoint",
    "zip": "is a zip archive",
    "list": "holds a list",
    "missing": "does not exist",
    "folder": "is a folder",
}


@pytest.mark.fast
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_get_one_sentence_and_no_output(tmp_path, files, capsys, kind):
    path, output = damaged(kind, tmp_path), tmp_path / "out"
    with pytest.raises(ValueError, match=DAMAGE[kind]) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    arguments = small_arguments(files, output)
    for option in ("--lfae", "--unet"):
        assert main([*arguments, option, str(path)]) == 2
        said = capsys.readouterr().err
        assert DAMAGE[kind] in said and said.startswith("error: ") and said.count("\n") == 1
    assert not output.exists() and {p.name for p in tmp_path.iterdir()} <= {path.name}


@pytest.mark.fast
def test_a_report_for_scripts(tmp_path, files, capsys):
    assert main([*small_arguments(files, tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["output"] == str(tmp_path / "out") and told["address"] is None
    assert any(f"to {tmp_path / 'out'}" in line for line in told["report"])


# --- Tensors ----------------------------------------------------------------------------------------------------------


@pytest.mark.fast
@pytest.mark.parametrize("name", RELEASED)
def test_every_name_has_one_of_ours_and_leads_back(name):
    layout = full_layout(name)
    for module in LFAE_MODULES:
        for key in layout[module]:
            ours = renamed(f"{module}.{key}", LFAE_NAMES)
            assert released_lfae_name(ours) == f"{module}.{key}"
    ours = set()
    for key in layout["unet"]:
        if "rotary_emb." not in key:
            ours.add(renamed(key, UNET_NAMES))
            assert released_unet_name(renamed(key, UNET_NAMES)) == f"denoise_fn.{key}"
    assert len(ours) == sum("rotary_emb." not in key for key in layout["unet"])


def tampered(checkpoint: dict, section: str, kind: str, key: str) -> dict:
    tensors = checkpoint[section]
    if kind == "missing":
        del tensors[key]
    elif kind == "unexpected":
        tensors[key] = torch.ones(1)
    elif kind == "shape":
        tensors[key] = tensors[key][:-1]
    elif kind == "nan":
        tensors[key].view(-1)[3] = float("nan")
    elif kind == "text":
        tensors[key] = "a string"
    return checkpoint


@pytest.mark.fast
@pytest.mark.parametrize(
    ("section", "kind", "key", "words"),
    [
        ("generator", "missing", "first.conv.weight", r"missing: generator\.first\.conv\.weight"),
        ("generator", "missing", "bottleneck.r1.norm2.running_var", r"missing: generator\.bottleneck\.r1\.norm2"),
        (
            "region_predictor",
            "missing",
            "predictor.decoder.up_blocks.1.conv.bias",
            r"predictor\.decoder\.up_blocks\.1",
        ),
        ("bg_predictor", "unexpected", "fc2.weight", r"unexpected: bg_predictor\.fc2\.weight"),
        ("generator", "unexpected", "surprise.weight", r"unexpected: generator\.surprise\.weight"),
        ("generator", "shape", "final.weight", r"generator\.final\.weight gives \(2, 16, 7, 7\) instead of \(3, 16"),
        ("region_predictor", "nan", "regions.weight", r"region_predictor.*NaN.*regions\.weight"),
        ("generator", "text", "final.bias", r"final\.bias.*must be a tensor, got str"),
        ("generator", "nan", "pixelwise_flow_predictor.down.weight", "anti-alias kernel"),
        ("diffusion", "missing", "denoise_fn.downs.1.2.fn.fn.to_qkv.weight", r"downs\.1\.2\.fn\.fn\.to_qkv\.weight"),
        ("diffusion", "missing", "denoise_fn.init_conv.bias", r"missing: denoise_fn\.init_conv\.bias"),
        ("diffusion", "missing", "denoise_fn.init_conv.weight", "init_conv.weight"),
        ("diffusion", "unexpected", "denoise_fn.downs.1.2.extra", r"unexpected: denoise_fn\.downs\.1\.2\.extra"),
        ("diffusion", "unexpected", "ema.weight", r"unexpected: ema\.weight"),
        ("diffusion", "shape", "denoise_fn.mid_block1.block1.proj.weight", r"mid_block1\.block1\.proj\.weight gives"),
        ("diffusion", "nan", "denoise_fn.time_mlp.1.weight", r"NaN.*time_mlp\.1\.weight"),
    ],
)
def test_every_tensor_is_accounted_for(section, kind, key, words):
    if section == "diffusion":
        with pytest.raises(ValueError, match=words):
            convert_unet_checkpoint(tampered(small_unet(), section, kind, key))
    else:
        with pytest.raises(ValueError, match=words):
            convert_lfae_checkpoint(tampered(small_lfae(), section, kind, key), SMALL["model_params"])


@pytest.mark.fast
def test_checkpoints_of_another_kind_are_named():
    with pytest.raises(
        ValueError, match=r"no generator, region_predictor, bg_predictor.*diffusion model's \(DM\) file"
    ):
        convert_lfae_checkpoint(small_unet(), SMALL["model_params"])
    with pytest.raises(ValueError, match=r"no diffusion.*auto-encoder's \(LFAE\) file"):
        convert_unet_checkpoint(small_lfae())
    with pytest.raises(ValueError, match="must be a dict"):
        convert_unet_checkpoint(torch.ones(1))
    with pytest.raises(ValueError, match="under ema_generator"):
        convert_lfae_checkpoint({**small_lfae(), "ema_generator": {"w": torch.ones(1)}}, SMALL["model_params"])
    with pytest.raises(ValueError, match=r"pixelwise_flow_predictor_params.*missing"):
        convert_lfae_checkpoint(small_lfae(), {**SMALL["model_params"], "generator_params": {}})
    other_scale = small_lfae()
    other_scale["region_predictor"]["down.weight"] *= 1.01
    with pytest.raises(ValueError, match=r"anti-alias kernel `region_predictor\.down\.weight`"):
        convert_lfae_checkpoint(other_scale, SMALL["model_params"])


def released_layout(lfae: LatentFlowAutoencoder) -> dict:
    """The checkpoint that the released code would have written for `lfae`."""
    checkpoint = {module: {} for module in LFAE_MODULES}
    kernels = {k: v for k, v in lfae.named_buffers() if k.endswith("downsample.kernel")}
    for name, value in {**lfae.state_dict(), **kernels}.items():
        module, key = released_lfae_name(name).split(".", 1)
        if key.endswith("down.weight") and value.numel() == 3:  # scale 1: 0/0 there
            value = torch.full_like(value, float("nan"))
        if key == "fc.bias" and len(value) > 2:
            value = value + torch.eye(3).flatten()[: len(value)]
        checkpoint[module][key] = value
    return checkpoint


@torch.no_grad()
@pytest.mark.parametrize(
    "section,changes",
    [
        ("bg_predictor_params", {"bg_type": "zero"}),
        ("bg_predictor_params", {"bg_type": "shift"}),
        ("bg_predictor_params", {"bg_type": "perspective"}),
        ("generator_params", {"skips": False}),
        ("generator_params.pixelwise_flow_predictor_params", {"use_deformed_source": False}),
        ("generator_params.pixelwise_flow_predictor_params", {"use_covar_heatmap": False}),
        ("generator_params.pixelwise_flow_predictor_params", {"scale_factor": 0.5}),
        ("generator_params.pixelwise_flow_predictor_params", {"scale_factor": 1}),
        ("region_predictor_params", {"scale_factor": 1}),
        ("region_predictor_params", {"pad": 0}),
        ("", {"revert_axis_swap": False}),
    ],
    ids=str,
)
def test_variants_of_the_released_code(section, changes):
    params = copy.deepcopy(SMALL["model_params"])
    place = params
    for name in filter(None, section.split(".")):
        place = place[name]
    place.update(changes)
    torch.manual_seed(0)
    lfae = LatentFlowAutoencoder(**lfae_config(params)).eval()
    if lfae.background_predictor.entries:
        torch.nn.init.normal_(lfae.background_predictor.fc.weight, std=0.1)
    converted = convert_lfae_checkpoint(released_layout(lfae), params)
    pictures = reference.source(), reference.driving()
    torch.testing.assert_close(converted(*pictures).sample, lfae(*pictures).sample, rtol=0, atol=1e-5)


@pytest.mark.fast
def test_the_schedule_is_the_checkpoints_own():
    checkpoint = reference.unet_checkpoint(SMALL["unet_default"], steps=40)
    assert read_betas(checkpoint) == checkpoint["diffusion"]["betas"].tolist()
    checkpoint["diffusion"]["alphas_cumprod"] = reference.cosine_betas(40)
    with pytest.raises(ValueError, match=r"'alphas_cumprod'.*does not belong"):
        read_betas(checkpoint)
    del checkpoint["diffusion"]["betas"]
    with pytest.raises(ValueError, match="must hold a noise schedule"):
        read_betas(checkpoint)


# --- Presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.fast
@pytest.mark.parametrize("name", RELEASED)
def test_presets_are_the_released_configurations(name):
    layout, preset = reference.layout(name), PRESETS[name]
    assert lfae_config(preset.model_params) == lfae_config(layout["model_params"])
    unet = layout["unet_kwargs"]
    assert preset.padding_mode == unet.get("padding_mode", "zeros")
    assert preset.upsample_type == ("deconv" if unet.get("use_deconv", True) else "nearest")
    assert preset.learned_null_embedding == unet.get("learn_null_cond", False)
    assert len(preset.labels) == {"mug128": 7, "mhad128": 27, "natops128": 24}[name]
    assert len({label.lower() for label in preset.labels}) == len(preset.labels)
    assert (preset.sample_size, preset.num_frames) == (128, 40)


@pytest.mark.fast
def test_files_of_another_preset_are_refused():
    with pytest.raises(ValueError, match=r"not of preset mug128: it has upsampling 'nearest' instead of 'deconv'"):
        convert_unet(small_unet("unet_upconv_lnc"), PRESETS["mug128"])
    with pytest.raises(ValueError, match=r"not of preset natops128: .*learned null embedding False instead of True"):
        convert_unet(small_unet(), PRESETS["natops128"])
    with pytest.raises(ValueError, match="has no U-Net"):
        convert_unet(small_unet(), PRESETS["vox256"])
    with pytest.raises(ValueError, match=r"one of MRAA's.*not mug128's"):
        convert_lfae(mraa(SMALL, None), PRESETS["mug128"], SMALL["model_params"])
    with pytest.raises(ValueError, match=r"one of LFDM's, not MRAA's taichi256"):
        convert_lfae(small_lfae(), PRESETS["taichi256"], SMALL["model_params"])
    with pytest.raises(
        ValueError, match="`preset` must be one of mug128, mhad128, natops128, vox256, taichi256, got 'x'"
    ):
        get_preset("x")


@pytest.mark.fast
def test_parts_that_do_not_fit_are_refused():
    encoder, tokenizer = tiny_text_encoder()
    with pytest.raises(ValueError, match="gives 16 numbers per text, but the U-Net was trained with 768"):
        convert_pipeline(small_lfae(), small_unet(), SMALL_PRESET, encoder, tokenizer, SMALL["model_params"])
    narrow = small_unet()
    narrow["diffusion"]["denoise_fn.init_conv.weight"] = torch.ones(16, 3 + 32, 1, 7, 7)
    with pytest.raises(ValueError, match="64 channels and the U-Net expects 32"):
        convert_pipeline(small_lfae(), narrow, SMALL_PRESET, model_params=SMALL["model_params"])


# --- Folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.fast
def test_a_converted_folder_serves_labels_with_and_without_its_text_encoder(tmp_path, files):
    output, said = tmp_path / "new" / "folder", []
    convert_small(files, output, say=said.append)
    assert said[-1].startswith("wrote the pipeline") and str(output) in said[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["new"] and [p.name for p in (tmp_path / "new").iterdir()] == [
        "folder"
    ]

    pipe = DiffusionPipeline.from_pretrained(output)
    pipe.set_progress_bar_config(disable=True)
    assert type(pipe) is LFDMPipeline and pipe.labels == ["anger", "surprise"]
    assert pipe.scheduler.config.trained_betas == small_unet()["diffusion"]["betas"].tolist()
    assert (pipe.lfae.config.sample_size, pipe.unet.config.sample_size, pipe.unet.config.num_frames) == (64, 16, 6)
    without = DiffusionPipeline.from_pretrained(output, text_encoder=None, tokenizer=None)
    without.set_progress_bar_config(disable=True)
    pipe.register_modules(label_embeddings=None)  # so that the text encoder must embed
    videos = [
        p(reference.source()[0], "surprise", num_inference_steps=2, output_type="pt", generator=torch.manual_seed(0))
        for p in (pipe, without)
    ]
    assert videos[0].frames.shape == (1, 6, 3, 64, 64)
    torch.testing.assert_close(videos[0].frames, videos[1].frames, atol=1e-5, rtol=0)

    card = ModelCard.load(output / "README.md")
    assert card.data.library_name == "diffusers" and card.data.pipeline_tag == "image-to-video"
    assert "`surprise`" in card.text and "lfae.pth" in card.text and "DiffusionPipeline.from_pretrained" in card.text


@pytest.mark.fast
def test_texts_may_be_left_out(tmp_path, files):
    convert_small(files, tmp_path / "table", drop_text_encoder=True)
    pipe = LFDMPipeline.from_pretrained(tmp_path / "table")
    assert pipe.text_encoder is None and pipe.labels == ["anger", "surprise"]
    assert not (tmp_path / "table" / "text_encoder").exists()
    convert_small(files, tmp_path / "none", text_encoder="none")
    pipe = LFDMPipeline.from_pretrained(tmp_path / "none")
    assert pipe.text_encoder is None and pipe.labels is None
    with pytest.raises(ValueError, match="keeps the labels' embeddings alone, but there are none"):
        convert_small(files, tmp_path / "both", text_encoder="none", drop_text_encoder=True)
    assert not (tmp_path / "both").exists()


@pytest.mark.fast
def test_mraa_becomes_an_auto_encoder_alone(tmp_path, files):
    output = tmp_path / "mraa"
    options = {"model_params": SMALL["model_params"], "verify": True}
    convert_files(files["mraa"], None, PRESETS["vox256"], output, **options)
    lfae = LatentFlowAutoencoder.from_pretrained(output)
    assert lfae.config.sample_size == 256
    expected = convert_lfae_checkpoint(small_lfae(), SMALL["model_params"])
    for name, value in expected.state_dict().items():
        assert torch.equal(lfae.state_dict()[name], value), name
    assert "auto-encoder" in ModelCard.load(output / "README.md").text
    with pytest.raises(ValueError, match="vox256 is one of MRAA's, which has no U-Net"):
        convert_files(files["mraa"], files["unet"], PRESETS["vox256"], tmp_path / "no", **options)
    with pytest.raises(ValueError, match="`unet` is missing"):
        convert_files(files["lfae"], None, SMALL_PRESET, tmp_path / "no", **options)
    assert not (tmp_path / "no").exists()


@pytest.mark.fast
@pytest.mark.parametrize("moment", ["saving", "verifying", "  U-Net fingerprint"])
def test_an_interrupted_conversion_leaves_nothing(tmp_path, files, moment):
    def interrupt(line: str) -> None:
        if line.startswith(moment):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_small(files, tmp_path / "new" / "out", verify=True, say=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fast
def test_only_folders_of_ours_are_overwritten_and_only_by_whole_ones(tmp_path, files):
    output = tmp_path / "out"
    convert_small(files, output)
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*")}
    with pytest.raises(ValueError, match="is not empty"):
        convert_small(files, output)
    with pytest.raises(ValueError, match="could not be loaded"):
        convert_small(files, output, overwrite=True, text_encoder=str(tmp_path / "no_bert"))
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*")} == before
    convert_small(files, output, overwrite=True, text_encoder="none")
    assert not (output / "text_encoder").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]

    for name in ("model_index.json", "config.json", "notes.txt"):
        other = tmp_path / f"other_{name}"
        other.mkdir()
        (other / name).write_text('{"_class_name": "SomethingElse"}')
        with pytest.raises(ValueError, match="holds something else"):
            convert_small(files, other, overwrite=True)
        assert (other / name).exists()
    with pytest.raises(ValueError, match="is a file"):
        convert_small(files, Path(files["lfae"]), overwrite=True)


@pytest.mark.fast
@pytest.mark.parametrize("target", ["converted", "nothing"])
def test_links_are_neither_replaced_nor_written_through(tmp_path, files, target):
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "model_index.json").write_text('{"_class_name": "LFDMPipeline"}')
    link = tmp_path / "link"
    link.symlink_to(tmp_path / target)
    with pytest.raises(ValueError, match=r"`output` must be a folder, but .*link is a link"):
        convert_small(files, link, overwrite=True, text_encoder="none")
    assert link.is_symlink() and not (tmp_path / "nothing").exists()
    assert [path.name for path in (tmp_path / "converted").iterdir()] == ["model_index.json"]


# --- Verification -----------------------------------------------------------------------------------------------------


@pytest.mark.parity
def test_the_plain_computation_reaches_the_goldens():
    golden = reference.golden("unet")
    volume = 0.9 * reference.wave((2, 67, 6, 16, 16), 0.37, 0.2) + 0.4 * reference.wave(
        (2, 67, 6, 16, 16), 0.0113, 1.1
    )
    text = 0.5 * reference.wave((2, 768), 0.91, 0.7)
    noise = plain_unet(small_unet()["diffusion"], volume[:, :3], torch.tensor([7, 640]), text, volume[:, 3:, 0])
    torch.testing.assert_close(noise.float(), golden["cond"], atol=1e-4, rtol=0)

    golden, checkpoint = reference.golden("lfae"), small_lfae()
    config = lfae_config(SMALL["model_params"])
    flow, occlusion = plain_flow(checkpoint, reference.source(), reference.driving(), config)
    torch.testing.assert_close(flow.permute(0, 2, 3, 1).float(), golden["gen_optical_flow"], atol=1e-4, rtol=0)
    torch.testing.assert_close(occlusion.float(), golden["gen_occlusion_map"], atol=1e-4, rtol=0)
    frame, _ = plain_decode(checkpoint, reference.source(), flow, occlusion)
    torch.testing.assert_close(frame.float(), golden["gen_prediction"], atol=1e-4, rtol=0)


@pytest.mark.fast
@pytest.mark.parametrize(
    "key",
    [
        "generator.first.conv.bias",
        "generator.bottleneck.r1.conv2.weight",
        "generator.pixelwise_flow_predictor.mask.weight",
        "region_predictor.regions.weight",
        "bg_predictor.fc.bias",
    ],
)
def test_verify_notices_one_changed_tensor_of_the_lfae(key):
    lfae = convert_lfae_checkpoint(small_lfae(), SMALL["model_params"])
    lfae.register_to_config(sample_size=64)
    assert verify_lfae(lfae, small_lfae()).failures == []
    checkpoint = small_lfae()
    module, name = key.split(".", 1)
    checkpoint[module][name] = checkpoint[module][name] * 1.1 + 0.02
    assert verify_lfae(lfae, checkpoint).failures


@pytest.mark.fast
@pytest.mark.parametrize("variant", ["unet_default", "unet_upconv_lnc"])
def test_verify_notices_queries_and_keys_that_changed_places(variant):
    checkpoint = small_unet(variant)
    unet = convert_unet_checkpoint(checkpoint, "reflect")
    unet.register_to_config(sample_size=8)
    assert verify_unet(unet, checkpoint).failures == []
    temporal = unet.mid_block.attention.temporal
    temporal.to_q.weight.data, temporal.to_k.weight.data = temporal.to_k.weight.data, temporal.to_q.weight.data
    assert verify_unet(unet, checkpoint).failures == ["U-Net noise with a text", "U-Net noise without a text"]
    report = Verification()
    report.compare("nothing", torch.tensor([float("nan")]), torch.zeros(1))
    assert report.failures == ["nothing"]


@pytest.mark.fast
def test_verify_notices_a_folder_that_is_not_what_was_converted(tmp_path, files):
    lfae, unet = small_lfae(), small_unet()
    pipe = convert_pipeline(lfae, unet, SMALL_PRESET, model_params=SMALL["model_params"])
    pipe.unet.conv_in.bias.data += 1e-7
    pipe.save_pretrained(tmp_path / "saved")
    fresh = convert_pipeline(lfae, unet, SMALL_PRESET, model_params=SMALL["model_params"])
    with pytest.raises(ValueError, match="`verify` found differences in: unet saved and loaded again"):
        verify_folder(tmp_path / "saved", fresh, lfae, unet)
    fresh.save_pretrained(tmp_path / "same")
    assert "bit by bit the same: lfae, unet" in verify_folder(tmp_path / "same", fresh, lfae, unet)[-1]
    fresh.scheduler = released_scheduler([beta / 2 for beta in read_betas(unet)])
    fresh.save_pretrained(tmp_path / "rescheduled")
    with pytest.raises(ValueError, match="`verify` found differences in: scheduler saved and loaded again"):
        verify_folder(tmp_path / "rescheduled", fresh, lfae, unet)


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.mark.fast
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--model_params": None}, "`--preset` is missing"),
        ({"--preset": "mug"}, "`preset` must be one of mug128"),
        ({"--preset": "natops128"}, "not of preset natops128"),
        ({"--preset": "mug128", "--model_params": None}, "does not fit the configuration given"),
        ({"--sample_size": "50"}, "must be a multiple of 32"),
        ({"--num_frames": "0"}, "at least 1"),
        ({"--labels": ","}, "at least one label"),
        ({"--labels": "lables.txt"}, "`--labels` lables.txt is no file"),
        ({"--output": f"{__file__}/out"}, "`output` must be a folder, but "),
        ({"--text_encoder": "nowhere/bert"}, "The text encoder nowhere/bert could not be loaded"),
        ({"--push_to_hub": "a/b/c"}, "'a/b/c'"),
        ({"--unet": None}, "`unet` is missing"),
    ],
)
def test_wrong_options_get_one_sentence_and_no_output(tmp_path, files, capsys, changes, words):
    arguments = small_arguments(files, tmp_path / "out")
    for option, value in changes.items():
        if option in arguments:
            at = arguments.index(option)
            del arguments[at : at + 2]
        arguments += [option, value] if value is not None else []
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.startswith("error: ") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fast
def test_files_released_for_another_preset_are_known_by_name(tmp_path, files, capsys):
    lfae = tmp_path / "RegionMM_0100_S043100.pth"
    lfae.symlink_to(files["lfae"])
    arguments = ["--lfae", lfae, "--unet", files["unet"], "--preset", "mug128", "--output", tmp_path / "out"]
    assert main(list(map(str, arguments))) == 2
    assert "released for preset mhad128, but `preset` is mug128" in capsys.readouterr().err


def full_layout(name: str) -> dict:
    """Shapes of a released pair of checkpoints: the LFAE's modules and `unet` (unprefixed)."""
    tensors = reference.layout(name)["state_dict"]
    if isinstance(tensors, str):  # "identical ... to mug128"
        tensors = reference.layout("mug128")["state_dict"]
    prefix = "denoise_fn."
    unet = {k.removeprefix(prefix): v for k, v in tensors["diffusion"].items() if k.startswith(prefix)}
    return {**{module: tensors[module] for module in LFAE_MODULES}, "unet": unet}


def command(*arguments, **environment) -> subprocess.CompletedProcess:
    """Run the script as a user would."""
    settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    words = [sys.executable, str(ROOT / "scripts" / "convert_checkpoint.py"), *map(str, arguments)]
    return subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True, timeout=900)


@pytest.mark.integration
@pytest.mark.parametrize("name", RELEASED)
def test_full_size_checkpoints_of_every_preset(tmp_path, files, capsys, name):
    layout, output = full_layout(name), tmp_path / "out"
    torch.save(reference.lfae_checkpoint(layout), tmp_path / "lfae.pth")
    torch.save(reference.unet_checkpoint(layout["unet"]), tmp_path / "dm.pth")
    arguments = ["--lfae", tmp_path / "lfae.pth", "--unet", tmp_path / "dm.pth", "--preset", name, "--output", output]
    arguments = [*map(str, arguments), "--text_encoder", str(files["bert"]), "--verify"]
    if name == "mug128":  # by the script, in a process of its own
        done = command(*arguments)
        code, said, wrong = done.returncode, done.stdout, done.stderr
    else:
        code, (said, wrong) = main(arguments), capsys.readouterr()
    assert code == 0, wrong
    assert f"to {output}" in said and "FAILED" not in said and "U-Net noise with a text" in said
    assert "Traceback" not in wrong

    pipe = DiffusionPipeline.from_pretrained(output)
    counts = reference.layout(name)["counts"]
    trainable = sum(counts[module]["trainable_params"] for module in LFAE_MODULES)
    assert sum(p.numel() for p in pipe.lfae.parameters()) == trainable
    assert sum(p.numel() for p in pipe.unet.parameters()) == counts["diffusion"]["trainable_params"]
    # Every element of the state dicts, but those that are computed: anti-alias kernels, rotary frequencies, schedule.
    left_out = 2 * 3 * 13 * 13
    stored = sum(counts[module]["state_dict_elements"] for module in LFAE_MODULES)
    assert sum(t.numel() for t in pipe.lfae.state_dict().values()) == stored - left_out
    left_out = len(SCHEDULE_BUFFERS) * 1000 + sum(
        int(np.prod(s)) for k, (s, _) in layout["unet"].items() if "rotary" in k
    )
    stored = counts["diffusion"]["state_dict_elements"]
    assert sum(t.numel() for t in pipe.unet.state_dict().values()) == stored - left_out
    assert pipe.labels == list(PRESETS[name].labels)
    assert pipe.unet.config.padding_mode == PRESETS[name].padding_mode
    assert pipe.lfae.config.region_padding == PRESETS[name].region_padding
    assert name in ModelCard.load(output / "README.md").text


@pytest.mark.integration
def test_full_size_mraa(tmp_path):
    torch.save(
        mraa(full_layout("mug128"), adam(old=True)), tmp_path / "taichi256.pth", _use_new_zipfile_serialization=False
    )
    arguments = [
        "--lfae",
        tmp_path / "taichi256.pth",
        "--preset",
        "taichi256",
        "--output",
        tmp_path / "out",
        "--verify",
    ]
    assert main(list(map(str, arguments))) == 0
    lfae = LatentFlowAutoencoder.from_pretrained(tmp_path / "out")
    assert (lfae.config.sample_size, lfae.config.region_padding) == (256, 0)


@pytest.mark.integration
def test_the_finished_folder_is_pushed(tmp_path, files, loopback_hub: LoopbackHub):
    hub = {
        "HF_ENDPOINT": loopback_hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
    }
    arguments = [*small_arguments(files, tmp_path / "out"), "--push_to_hub", "me/converted"]
    done = command(*arguments, "--hub_token", WRITE_TOKEN, "--private", **hub)
    assert done.returncode == 0, done.stderr
    pushed = loopback_hub.files("me/converted")
    written = {
        str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()
    }
    assert written.items() <= pushed.items()
    assert b'"me/converted"' in pushed["README.md"]

    done = command(*arguments, "--overwrite", "--hub_token", READ_TOKEN, **hub)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{tmp_path / 'out'} is complete, but the push to me/converted failed" in done.stderr
    assert (tmp_path / "out" / "model_index.json").exists()
