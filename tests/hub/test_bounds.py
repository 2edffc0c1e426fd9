"""Configurations that ask for endless work, and folders of which more would be pushed than was meant."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from lfdm_command import lfdm
from tiny import tiny_image, tiny_lfae, tiny_painter, tiny_pipeline

from lfdm_diffusers import LatentFlowAutoencoder, UNet3DVideoModel
from lfdm_diffusers.hub import push
from lfdm_diffusers.hub.bounds import require_bounded
from lfdm_diffusers.models import FullSizePainter, LabelEmbeddings
from lfdm_diffusers.models.imaginator import ImaginatorDiscriminators, ImaginatorGenerator
from lfdm_diffusers.pipelines.loading import load_pipeline
from lfdm_diffusers.pipelines.scheduler_settings import require_settings
from lfdm_diffusers.schedulers import SCHEDULERS, released_scheduler, scheduler_by_name

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"num_bottleneck_blocks": 10**9}, r"num_bottleneck_blocks = 1000000000; allowed are whole numbers up to 128"),
        ({"base_channels": 10**30}, "base_channels = 1000000"),
        ({"region_temperature": float("nan")}, "region_temperature = nan"),
        ({"block_out_channels": [1] * 200_000}, "more than 100000 entries"),
        ({"a": {"num_layers": -1000}}, "a.num_layers = -1000"),
    ],
)
def test_numbers_that_no_network_has(tmp_path, entry, message):
    tiny_lfae().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | entry))
    with pytest.raises(ValueError, match=message) as caught:
        LatentFlowAutoencoder.from_pretrained(tmp_path)
    assert str(config) in str(caught.value)


def test_real_configurations_are_within_bounds():
    root = Path(push.__file__).parents[1] / "assets"
    found = list(root.rglob("*config.json"))
    assert len(found) >= 4
    for path in found:
        require_bounded(json.loads(path.read_text()), path)
    with pytest.raises(ValueError, match="x must hold an object of JSON, got list"):
        require_bounded([], "x")


def test_parts_of_other_libraries_are_bounded_too(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    config = tmp_path / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_train_timesteps": 10**10}))
    with pytest.raises(ValueError, match="num_train_timesteps = 10000000000"):
        load_pipeline(tmp_path)


def test_what_is_pushed_is_what_lies_in_the_folder(tmp_path, monkeypatch):
    seen = {}

    class Api:
        def __init__(self, token):
            pass

        def create_repo(self, repo_id, **options):
            return type("Repo", (str,), {"repo_id": repo_id})(repo_id)

        def upload_folder(self, **options):
            from huggingface_hub.utils import filter_repo_objects

            names = (str(p.relative_to(options["folder_path"])) for p in Path(options["folder_path"]).rglob("*"))
            seen["files"] = sorted(filter_repo_objects(names, ignore_patterns=options["ignore_patterns"]))

    monkeypatch.setattr(push, "HfApi", Api)
    folder = tmp_path / "model"
    for name in ("config.json", ".env", ".part-x/a", "unet/.env", "unet/config.json", "unet/.git/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "same.json").symlink_to(folder / "config.json")
    push.push_folder(folder, "me/x")
    assert seen["files"] == ["config.json", "same.json", "unet", "unet/config.json"]
    (tmp_path / "secret").write_text("x")
    for target in (tmp_path / "secret", tmp_path, Path("/etc/passwd")):
        (folder / "unet" / "link").symlink_to(target)
        with pytest.raises(ValueError, match="unet/link is a link out of the folder"):
            push.push_folder(folder, "me/x")
        os.unlink(folder / "unet" / "link")
    for target in (".env", "unet/.git/config", ".part-x"):
        (folder / "link").symlink_to(target)
        with pytest.raises(ValueError, match="link is a link to what is hidden"):
            push.push_folder(folder, "me/x")
        os.unlink(folder / "link")
    (folder / "unet" / ".git" / "link").symlink_to("/etc/passwd")  # it stays here
    push.push_folder(folder, "me/x")


def test_a_card_is_not_written_through_a_link_out_of_the_folder(tmp_path, capsys):
    tiny_painter().save_pretrained(tmp_path / "model")
    (tmp_path / "notes").mkdir()
    (tmp_path / "model" / "README.md").symlink_to(tmp_path / "notes" / "mine")
    assert lfdm("push", tmp_path / "model", "me/x") == 2
    assert "README.md is a link out of the folder" in capsys.readouterr().err
    assert not any((tmp_path / "notes").iterdir())


def test_what_is_saved_beside_a_users_files_is_pushed_without_those_that_are_hidden(tmp_path, monkeypatch):
    """`save_pretrained(..., push_to_hub=True)` uploads all of a folder, as it was before too."""
    seen = {}
    monkeypatch.setattr(push, "upload_folder", lambda **options: seen.update(options))
    monkeypatch.setattr(push, "file_exists", lambda *names, **options: True)
    model = tiny_painter()
    model._upload_folder(tmp_path, "me/x", token="t", subfolder="painter")
    assert seen["ignore_patterns"] == push.HIDDEN and seen["path_in_repo"] == "painter" and seen["token"] == "t"
    (tmp_path / "notes").symlink_to("/etc/passwd")
    seen.clear()
    with pytest.raises(ValueError, match="notes is a link out of the folder"):
        model._upload_folder(tmp_path, "me/x")
    assert not seen


NETWORKS = (
    LatentFlowAutoencoder,
    UNet3DVideoModel,
    LabelEmbeddings,
    FullSizePainter,
    ImaginatorGenerator,
    ImaginatorDiscriminators,
)
WRONG = [{}, object(), float("nan"), 1e308, 10**400, -1, "no such word", b"x", torch.ones(2), [None], [[1]]]


@pytest.mark.parametrize("network", NETWORKS)
def test_constructors_refuse_absurd_arguments_by_name(network):
    for name, parameter in list(inspect.signature(network.__init__).parameters.items())[1:]:
        kinds = parameter.annotation.split(" | ")
        for wrong in [*WRONG, *([] if "None" in kinds else [None]), *([] if "bool" in kinds else [True])]:
            with pytest.raises(ValueError, match=f"`{name}`"):
                network(**{name: wrong})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block_out_channels": [8] * 200}, "`block_out_channels` must hold at most 128 numbers, got 200"),
        ({"block_out_channels": []}, "`block_out_channels` must be a list with something in it, got list"),
        ({"num_attention_heads": 129}, "`num_attention_heads` must be a whole number from 1 to 128, got 129"),
        ({"num_frames": 0}, "`num_frames` must be a whole number from 1 to 16384, got 0"),
        ({"block_out_channels": [12], "norm_num_groups": 8}, r"`norm_num_groups` must divide .* \[12, 12\], got 8"),
        ({"base_channels": 2, "block_out_channels": [4], "norm_num_groups": 1}, "must be at least 4, got 2"),
        ({"target_std": [1, 0, 1]}, "`target_std` must hold numbers of more than 0"),
    ],
)
def test_configurations_of_which_nothing_finite_can_come(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNet3DVideoModel(**arguments)


SETTINGS = [
    ({"dynamic_thresholding_ratio": -1}, "a number from 0 to 1 as dynamic_thresholding_ratio, got -1"),
    ({"dynamic_thresholding_ratio": "x"}, "a number from 0 to 1 as dynamic_thresholding_ratio, got 'x'"),
    ({"sample_max_value": [1, 2]}, "a number as sample_max_value, got list"),
    ({"rescale_betas_zero_snr": 0.5}, "True or False as rescale_betas_zero_snr, got 0.5"),
    ({"timestep_spacing": None}, "a text as timestep_spacing, got None"),
    ({"trained_betas": [0.1, 0.2]}, "1000 numbers from 0 to 1 as trained_betas, one for each step, got list"),
    ({"trained_betas": 3}, "1000 numbers from 0 to 1 as trained_betas"),
]


@pytest.mark.parametrize(("entry", "message"), SETTINGS, ids=[str(entry)[:40] for entry, _ in SETTINGS])
def test_settings_of_a_scheduler_that_are_none(entry, message):
    scheduler = released_scheduler()
    scheduler.register_to_config(**entry)
    with pytest.raises(ValueError, match=f"^`scheduler` must have {message}"):
        require_settings(scheduler)


def test_every_scheduler_on_offer_has_settings_and_loads_again(tmp_path):
    for name in SCHEDULERS:
        require_settings(scheduler_by_name(name, released_scheduler()))
    pipe = tiny_pipeline(scheduler=scheduler_by_name("dpm++", released_scheduler()))  # one of its settings is -inf
    pipe.save_pretrained(tmp_path)
    assert type(load_pipeline(tmp_path).scheduler) is type(pipe.scheduler)


def test_frames_of_no_number_are_refused():
    """A schedule whose last step has no signal left, which a prediction of noise cannot be taken out of."""
    pipe = tiny_pipeline(scheduler=DDPMScheduler(3, trained_betas=[0.1, 0.5, 1.0], clip_sample=False))
    with pytest.raises(ValueError, match="NaN or infinite numbers"):
        pipe(tiny_image(), "anger", num_inference_steps=3)
