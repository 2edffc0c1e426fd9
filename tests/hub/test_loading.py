"""Loading and saving: from a folder and from a Hub, whole and in parts, with the package imported and without."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import AutoModel, DDIMScheduler, DiffusionPipeline
from diffusers.pipelines import pipeline_loading_utils
from loopback_hub import READ_TOKEN, WRITE_TOKEN, LoopbackHub
from loopback_python import LoopbackPython, RemoteError
from tiny import (
    LABELS,
    tiny_label_embeddings,
    tiny_lfae,
    tiny_pipeline,
    tiny_text_encoder,
    tiny_unet,
    tiny_video,
)

import lfdm_diffusers
from lfdm_diffusers import LabelEmbeddings, LatentFlowAutoencoder, LFDMPipeline, UNet3DVideoModel

MODELS = {"lfae": LatentFlowAutoencoder, "unet": UNet3DVideoModel, "label_embeddings": LabelEmbeddings}
THRESHOLDING_SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
    "LCMScheduler",
    "TCDScheduler",
)


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether all parameters and buffers are equal to the bit."""
    state, other_state = one.state_dict(), other.state_dict()
    return state.keys() == other_state.keys() and all(torch.equal(state[key], other_state[key]) for key in state)


def same_video(one: LFDMPipeline, other: LFDMPipeline, prompt: str | None = "anger") -> bool:
    """Whether two pipelines hold equal weights and generate the same.

    Not to the bit: how weights lie in memory, mapped from a file or not, changes the order of sums in convolutions.
    """
    weights = all(same_weights(getattr(one, name), getattr(other, name)) for name in ("lfae", "unet"))
    return weights and torch.allclose(tiny_video(one, prompt), tiny_video(other, prompt), atol=1e-5, rtol=0)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# From a folder.


@pytest.mark.fast
@pytest.mark.parametrize("loader", [LFDMPipeline, DiffusionPipeline])
@pytest.mark.parametrize(
    ("parts", "prompt"),
    [
        ({"text_encoder": True}, "the face smiles"),
        ({"text_encoder": True, "label_embeddings": False}, "anger"),
        ({}, "anger"),
        ({"label_embeddings": False}, None),
    ],
    ids=["everything", "text encoder", "labels", "neither"],
)
def test_folder_round_trip(tmp_path, loader, parts, prompt):
    pipe = tiny_pipeline(**parts, default_num_inference_steps=3)
    pipe.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert type(loaded) is LFDMPipeline
    assert same_video(loaded, pipe, prompt)
    assert loaded.config.default_num_inference_steps == 3
    assert {name for name, part in loaded.components.items() if part is None} == {
        name for name, part in pipe.components.items() if part is None
    }
    assert not any(part.training for part in loaded.components.values() if isinstance(part, torch.nn.Module))


@pytest.mark.fast
def test_index_names_the_package_and_no_module(tmp_path):
    tiny_pipeline(text_encoder=True, default_num_inference_steps=10).save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    del index["_diffusers_version"]
    tokenizer = index.pop("tokenizer")
    assert tokenizer[0] == "transformers"
    assert tokenizer[1].startswith("BertTokenizer")
    assert index == {
        "_class_name": "LFDMPipeline",
        "lfae": ["lfdm_diffusers", "LatentFlowAutoencoder"],
        "unet": ["lfdm_diffusers", "UNet3DVideoModel"],
        "label_embeddings": ["lfdm_diffusers", "LabelEmbeddings"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "text_encoder": ["transformers", "BertModel"],
        "painter": [None, None],
        "default_num_inference_steps": 10,
    }


@pytest.mark.fast
def test_parts_that_are_missing_are_null_in_the_index(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index.get("text_encoder", [None, None]) == [None, None]
    assert not (tmp_path / "text_encoder").exists()
    assert not (tmp_path / "README.md").exists()


@pytest.mark.fast
@pytest.mark.parametrize("loader", ["its class", "AutoModel"])
@pytest.mark.parametrize("name", MODELS)
def test_single_model_by_subfolder(tmp_path, name, loader):
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path)
    model = (MODELS[name] if loader == "its class" else AutoModel).from_pretrained(str(tmp_path), subfolder=name)
    assert type(model) is MODELS[name]
    assert same_weights(model, getattr(pipe, name))
    assert not model.training


@pytest.mark.fast
@pytest.mark.parametrize("name", MODELS)
def test_single_model_in_a_folder_of_its_own(tmp_path, name):
    model = getattr(tiny_pipeline(), name)
    model.save_pretrained(tmp_path)
    assert same_weights(MODELS[name].from_pretrained(tmp_path), model)
    assert same_weights(AutoModel.from_pretrained(str(tmp_path)), model)
    assert "lfdm_diffusers" not in json.loads((tmp_path / "config.json").read_text())["_class_name"]


@pytest.mark.fast
def test_label_embeddings_keep_labels(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    assert LFDMPipeline.from_pretrained(tmp_path).labels == list(LABELS)


@pytest.mark.fast
def test_half_precision_variant(tmp_path):
    pipe = tiny_pipeline(text_encoder=True)
    pipe.to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    weights = {name for name in files_of(tmp_path) if name.endswith(".safetensors")}
    assert weights == {
        "lfae/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "label_embeddings/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
    }
    loaded = LFDMPipeline.from_pretrained(tmp_path, variant="fp16", torch_dtype=torch.float16)
    for name in (*MODELS, "text_encoder"):
        assert getattr(loaded, name).dtype == torch.float16
        assert same_weights(getattr(loaded, name), getattr(pipe, name))
    assert same_video(LFDMPipeline.from_pretrained(tmp_path, variant="fp16"), pipe.to(torch.float32))
    with pytest.raises((OSError, ValueError), match="no file named"):
        LFDMPipeline.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="variant=bf16"):
        LFDMPipeline.from_pretrained(tmp_path, variant="bf16")


@pytest.mark.fast
def test_both_precisions_in_one_folder(tmp_path):
    pipe = tiny_pipeline()
    before = tiny_video(pipe)
    pipe.save_pretrained(tmp_path)
    pipe.to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    assert torch.allclose(tiny_video(LFDMPipeline.from_pretrained(tmp_path)), before, atol=1e-5)
    assert (
        LFDMPipeline.from_pretrained(tmp_path, variant="fp16", torch_dtype=torch.float16).unet.dtype == torch.float16
    )


@pytest.mark.fast
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_asked_for_at_loading(tmp_path, dtype):
    tiny_pipeline().save_pretrained(tmp_path)
    loaded = LFDMPipeline.from_pretrained(tmp_path, torch_dtype=dtype)
    for name in MODELS:
        floating = [t for t in getattr(loaded, name).state_dict().values() if t.is_floating_point()]
        assert {tensor.dtype for tensor in floating} == {dtype}


@pytest.mark.fast
def test_bfloat16_pipeline_generates(tmp_path):
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path)
    video = tiny_video(LFDMPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16))
    assert (video.float() - tiny_video(pipe)).abs().mean() < 0.05


@pytest.mark.fast
def test_sharded_weights(tmp_path):
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path, max_shard_size="100KB")
    for name in ("lfae", "unet"):
        index = json.loads((tmp_path / name / "diffusion_pytorch_model.safetensors.index.json").read_text())
        shards = set(index["weight_map"].values())
        assert len(shards) > 1
        assert shards == {file.name for file in (tmp_path / name).glob("*.safetensors")}
    assert same_video(DiffusionPipeline.from_pretrained(tmp_path), pipe)
    assert same_weights(AutoModel.from_pretrained(str(tmp_path), subfolder="unet"), pipe.unet)


@pytest.mark.fast
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_whole_weights_saved_over_shards(tmp_path, variant):
    """diffusers leaves the index of the shards it removes, and then looks for them."""
    unet = tiny_unet()
    unet.save_pretrained(tmp_path, max_shard_size="100KB", variant=variant)
    unet.save_pretrained(tmp_path, variant=variant)
    assert not list(tmp_path.glob("*.index*"))
    assert same_weights(UNet3DVideoModel.from_pretrained(tmp_path, variant=variant), unet)


@pytest.mark.fast
def test_pickled_weights(tmp_path):
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path, safe_serialization=False)
    assert (tmp_path / "unet" / "diffusion_pytorch_model.bin").is_file()
    assert not list(tmp_path.rglob("*.safetensors"))
    assert same_video(LFDMPipeline.from_pretrained(tmp_path), pipe)


@pytest.mark.fast
@pytest.mark.parametrize("loader", [LFDMPipeline, DiffusionPipeline])
def test_optional_parts_left_out_at_loading(tmp_path, loader):
    pipe = tiny_pipeline(text_encoder=True)
    pipe.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path, text_encoder=None, tokenizer=None)
    assert loaded.text_encoder is None
    assert loaded.tokenizer is None
    assert same_video(loaded, pipe)
    with pytest.raises(ValueError, match="Unknown label 'a face smiles'"):
        tiny_video(loaded, "a face smiles")
    without_labels = loader.from_pretrained(tmp_path, label_embeddings=None)
    assert without_labels.labels is None
    assert same_video(without_labels, pipe, "a face smiles")


@pytest.mark.fast
def test_parts_replaced_at_loading(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    unet = tiny_unet(seed=1)
    scheduler = DDIMScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    text_encoder, tokenizer = tiny_text_encoder()
    loaded = LFDMPipeline.from_pretrained(
        tmp_path, unet=unet, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer
    )
    assert loaded.unet is unet
    assert loaded.scheduler is scheduler
    assert loaded.text_encoder is text_encoder
    assert same_video(loaded, tiny_pipeline(unet=unet, scheduler=scheduler))


@pytest.mark.fast
def test_saving_what_was_loaded(tmp_path):
    """What is loaded and saved again is the same to the byte, but for where it came from."""
    tiny_pipeline(text_encoder=True).save_pretrained(tmp_path / "first")
    LFDMPipeline.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")
    first, second = (json.loads((tmp_path / name / "model_index.json").read_text()) for name in ("first", "second"))
    assert {**second, "_name_or_path": None} == {**first, "_name_or_path": None}


@pytest.mark.fast
def test_folder_that_is_a_file(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for thing in (tiny_pipeline(), tiny_lfae()):
        with pytest.raises(ValueError, match="`save_directory` must be a folder"):
            thing.save_pretrained(file)
    assert file.read_text() == "mine"


@pytest.mark.fast
def test_from_pipe_shares_parts_and_settings():
    pipe = tiny_pipeline(text_encoder=True, default_num_inference_steps=7)
    again = LFDMPipeline.from_pipe(pipe)
    assert again is not pipe
    assert all(again.components[name] is part for name, part in pipe.components.items())
    assert again.config.default_num_inference_steps == 7
    assert same_video(again, pipe)


@pytest.mark.fast
def test_from_pipe_with_other_parts():
    pipe = tiny_pipeline()
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    table = tiny_label_embeddings(labels=("nod",))
    other = LFDMPipeline.from_pipe(pipe, scheduler=scheduler, label_embeddings=table, default_num_inference_steps=5)
    assert other.unet is pipe.unet
    assert other.scheduler is scheduler
    assert other.labels == ["nod"]
    assert other.config.default_num_inference_steps == 5
    assert pipe.labels == list(LABELS)


@pytest.mark.fast
@pytest.mark.parametrize("name", THRESHOLDING_SCHEDULERS)
def test_scheduler_from_config_keeps_betas_and_thresholding(tmp_path, name):
    tiny_pipeline().save_pretrained(tmp_path)
    pipe = LFDMPipeline.from_pretrained(tmp_path)
    scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config)
    betas = tiny_pipeline().scheduler.config.trained_betas
    assert len(betas) == 1000
    assert scheduler.config.trained_betas == betas
    assert max(betas) == torch.tensor(0.9999).item()  # 0.999 in diffusers' own cosine schedule
    assert scheduler.config.num_train_timesteps == 1000
    assert scheduler.config.thresholding is True
    assert scheduler.config.dynamic_thresholding_ratio == 0.9
    assert scheduler.config.sample_max_value == 1e9
    assert scheduler.config.prediction_type == "epsilon"
    assert torch.equal(scheduler.betas, torch.tensor(betas, dtype=torch.float32))
    if "clip_sample" in scheduler.config:
        assert scheduler.config.clip_sample is False


@pytest.mark.fast
def test_scheduler_survives_a_round_trip_through_others():
    """DDPM -> DDIM -> DPMSolver -> DDPM: nothing is lost on the way."""
    original = tiny_pipeline().scheduler
    scheduler = original
    for name in ("DDIMScheduler", "DPMSolverMultistepScheduler", "DDPMScheduler"):
        scheduler = getattr(diffusers, name).from_config(scheduler.config)
    kept = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    assert kept == {key: value for key, value in original.config.items() if not key.startswith("_")}


# Code for those who have not imported the package.


@pytest.mark.fast
def test_folder_with_code(tmp_path):
    pipe = tiny_pipeline(text_encoder=True)
    pipe.save_pretrained(tmp_path / "plain")
    pipe.save_pretrained(tmp_path / "code", remote_code=True)
    code = {"pipeline.py", "blocks.py", "modular_config.json", *(f"{name}/lfdm_diffusers.py" for name in MODELS)}
    assert files_of(tmp_path / "code") == files_of(tmp_path / "plain") | code
    index = json.loads((tmp_path / "code" / "model_index.json").read_text())
    assert index["_class_name"] == ["pipeline", "LFDMPipeline"]
    assert index["unet"] == ["lfdm_diffusers", "UNet3DVideoModel"]
    # The package is here: its class needs none of that code and asks for no trust.
    loaded = LFDMPipeline.from_pretrained(tmp_path / "code")
    assert same_video(loaded, pipe)
    assert loaded.config.unet == ("lfdm_diffusers", "UNet3DVideoModel")
    assert same_weights(AutoModel.from_pretrained(str(tmp_path / "code"), subfolder="unet"), pipe.unet)
    # The base class cannot know that, and says what to do.
    with pytest.raises(ValueError, match=r"custom code in pipeline\.py.*\n?.*trust_remote_code=True"):
        DiffusionPipeline.from_pretrained(tmp_path / "code")


@pytest.mark.fast
def test_saving_without_code_over_a_folder_with_code(tmp_path):
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path, remote_code=True)
    pipe.save_pretrained(tmp_path)
    assert not list(tmp_path.rglob("*.py"))
    assert type(DiffusionPipeline.from_pretrained(tmp_path)) is LFDMPipeline


@pytest.mark.fast
def test_saving_leaves_foreign_code_alone(tmp_path):
    (tmp_path / "pipeline.py").write_text("# somebody's own\n")
    tiny_pipeline().save_pretrained(tmp_path)
    assert (tmp_path / "pipeline.py").read_text() == "# somebody's own\n"


@pytest.mark.fast
def test_code_for_a_class_outside_the_package(tmp_path):
    class OtherPipeline(LFDMPipeline):
        pass

    pipe = OtherPipeline(**tiny_pipeline().components)
    with pytest.raises(ValueError, match=r"`remote_code=True`.*OtherPipeline"):
        pipe.save_pretrained(tmp_path / "other", remote_code=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.fast
def test_registration_is_complete_and_harms_nobody():
    models = {name: getattr(lfdm_diffusers.models, name) for name in lfdm_diffusers.models.__all__}
    for name, cls in (lfdm_diffusers.pipelines.PIPELINES | models).items():
        assert getattr(diffusers, name) is cls
        assert name in lfdm_diffusers.__all__
    assert set(pipeline_loading_utils.LOADABLE_CLASSES["lfdm_diffusers"]) == models.keys()
    assert "ModelMixin" in pipeline_loading_utils.LOADABLE_CLASSES["diffusers"]
    # A folder of this name in diffusers.pipelines would take the place of the package.
    assert not hasattr(diffusers.pipelines, "lfdm_diffusers")


# From a Hub. `python` has imported nothing yet; `importing` has the package.


@pytest.fixture
def python(loopback_hub: LoopbackHub, tmp_path) -> Iterator[LoopbackPython]:
    """Never imports the package by itself; only code from a repository may, and then it stays imported."""
    process = LoopbackPython(loopback_hub.url, tmp_path)
    process.run("import torch, diffusers")
    yield process
    process.close()


@pytest.fixture(scope="module")
def importing_home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home_importing")


@pytest.fixture(scope="module")
def importing(loopback_hub: LoopbackHub, importing_home) -> Iterator[LoopbackPython]:
    """Has the package imported, and the Hub filled with one repository of each kind."""
    process = LoopbackPython(loopback_hub.url, importing_home)
    process.run(
        """
import tempfile, torch, lfdm_diffusers
from tiny import tiny_pipeline
pipe = tiny_pipeline(text_encoder=True)
pipe.push_to_hub("me/plain")
pipe.push_to_hub("me/code", remote_code=True)
pipe.lfae.push_to_hub("me/lfae")
pipe.unet.push_to_hub("me/unet")
pipe.label_embeddings.push_to_hub("me/labels")
tiny_pipeline().push_to_hub("me/no_text_encoder")
# Without the text encoder: transformers saves it as safetensors all the same, and diffusers then downloads none of it.
tiny_pipeline().push_to_hub("me/pickled", safe_serialization=False)
with tempfile.TemporaryDirectory() as folder:
    pipe.save_pretrained(folder, max_shard_size="100KB", push_to_hub=True, repo_id="me/sharded")
pipe.push_to_hub("me/half")
pipe.to(torch.float16).push_to_hub("me/half", variant="fp16")
""",
        token=WRITE_TOKEN,
    )
    yield process
    process.close()


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    return tiny_video(tiny_pipeline(text_encoder=True))


VIDEO = """
from video import tiny_video
result = [type(pipe).__name__, tiny_video(pipe).tolist()]
"""


def check_video(answer: list, expected: torch.Tensor, atol: float = 1e-5) -> None:
    name, video = answer
    assert name == "LFDMPipeline"
    torch.testing.assert_close(torch.tensor(video), expected, atol=atol, rtol=0)


@pytest.mark.integration
@pytest.mark.parametrize("loader", ["lfdm_diffusers.LFDMPipeline", "diffusers.DiffusionPipeline"])
@pytest.mark.parametrize("repo", ["me/plain", "me/sharded", "me/pickled", "me/no_text_encoder", "me/half"])
def test_hub_round_trip(importing, expected, repo, loader):
    """With the package imported, every kind of repository loads with no flag."""
    answer = importing.run(
        f"import diffusers, lfdm_diffusers\npipe = {loader}.from_pretrained(repo)\n{VIDEO}", repo=repo
    )
    check_video(answer, expected)


@pytest.mark.integration
def test_hub_optional_parts_are_not_downloaded(importing, loopback_hub, expected):
    before = len(loopback_hub.requests)
    answer = importing.run(
        """
import tempfile
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained("me/plain", text_encoder=None, tokenizer=None, cache_dir=tempfile.mkdtemp())
"""
        + VIDEO
    )
    check_video(answer, expected)
    fetched = loopback_hub.requests[before:]
    assert any("/unet/" in request for request in fetched)
    assert not any("/text_encoder/model" in request or "/tokenizer/" in request for request in fetched)


@pytest.mark.integration
def test_hub_half_precision_variant(importing, loopback_hub, expected):
    before = len(loopback_hub.requests)
    code = """
import tempfile, torch
from diffusers import DiffusionPipeline
folder = tempfile.mkdtemp()
pipe = DiffusionPipeline.from_pretrained("me/half", variant="fp16", torch_dtype=torch.float16, cache_dir=folder)
result = [str(pipe.components[name].dtype) for name in ("lfae", "unet", "label_embeddings", "text_encoder")]
"""
    assert importing.run(code) == ["torch.float16"] * 4
    weights = [request for request in loopback_hub.requests[before:] if request.endswith(".safetensors")]
    assert weights
    assert all(request.endswith(".fp16.safetensors") for request in weights)
    code = "from diffusers import DiffusionPipeline\npipe = DiffusionPipeline.from_pretrained('me/half', variant='fp16')\n"
    check_video(importing.run(code + VIDEO), expected, atol=0.02)


@pytest.mark.integration
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("repo", ["me/plain", "me/code", "me/sharded", "its own"])
@pytest.mark.parametrize("loader", ["its class", "AutoModel"])
def test_hub_single_model(importing, name, repo, loader):
    own = {"lfae": "me/lfae", "unet": "me/unet", "label_embeddings": "me/labels"}[name]
    cls = MODELS[name].__name__
    code = f"""
import torch
from diffusers import AutoModel
from lfdm_diffusers import {cls}
from tiny import tiny_pipeline
model = {cls if loader == "its class" else "AutoModel"}.from_pretrained(repo, **kwargs)
state, other = model.state_dict(), getattr(tiny_pipeline(), {name!r}).state_dict()
result = [type(model).__name__, state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state)]
"""
    kwargs = {} if repo == "its own" else {"subfolder": name}
    assert importing.run(code, repo=own if repo == "its own" else repo, kwargs=kwargs) == [cls, True]


@pytest.mark.integration
def test_hub_from_pipe_and_another_scheduler(importing):
    code = """
from diffusers import DDIMScheduler, DiffusionPipeline
from lfdm_diffusers import LFDMPipeline
pipe = DiffusionPipeline.from_pretrained("me/plain")
pipe = LFDMPipeline.from_pipe(pipe, scheduler=DDIMScheduler.from_config(pipe.scheduler.config))
config = pipe.scheduler.config
result = [len(config.trained_betas), max(config.trained_betas), config.thresholding, config.sample_max_value]
"""
    assert importing.run(code) == [1000, torch.tensor(0.9999).item(), True, 1e9]


@pytest.mark.integration
def test_hub_without_the_import(importing, python, expected):
    """Only in this order does the last part show what it says: the code in the repository imports the package."""
    code = "import sys\nfrom diffusers import DiffusionPipeline\n"
    with pytest.raises(RemoteError, match="lfdm_diffusers"):
        python.run(code + "DiffusionPipeline.from_pretrained('me/plain')")
    with pytest.raises(RemoteError, match="trust_remote_code=True"):
        python.run(code + "DiffusionPipeline.from_pretrained('me/code')")
    assert python.run("import sys\nresult = 'lfdm_diffusers' in sys.modules") is False
    load = "pipe = DiffusionPipeline.from_pretrained('me/code', trust_remote_code=True)\n"
    check_video(python.run(code + load + VIDEO), expected)


@pytest.mark.integration
def test_blocks_of_a_hub(importing, python):
    """With the package imported they need no flag, and without it the code of a repository; parts come from that repository."""
    load = (
        "from diffusers import ModularPipeline\npipe = ModularPipeline.from_pretrained({})\npipe.load_components()\n"
    )
    tell = "result = [type(pipe).__name__, sorted(name for name, part in pipe.components.items() if part is not None)]"
    parts = ["label_embeddings", "lfae", "scheduler", "text_encoder", "tokenizer", "unet"]
    wanted = ["LFDMModularPipeline", parts]
    assert importing.run("import lfdm_diffusers\n" + load.format("'me/plain'") + tell) == wanted
    assert python.run(load.format("'me/code', trust_remote_code=True") + tell) == wanted


@pytest.mark.integration
def test_folder_without_the_import(loopback_hub, tmp_path, expected):
    tiny_pipeline(text_encoder=True).save_pretrained(tmp_path / "model", remote_code=True)
    process = LoopbackPython(loopback_hub.url, tmp_path / "home")
    load = f"""
import sys
from diffusers import DiffusionPipeline
assert "lfdm_diffusers" not in sys.modules
pipe = DiffusionPipeline.from_pretrained({str(tmp_path / "model")!r}, trust_remote_code=True)
"""
    try:
        check_video(process.run(load + VIDEO), expected)
    finally:
        process.close()


@pytest.mark.integration
def test_hub_repository_with_code_and_the_package_imported(importing, expected):
    load = "from lfdm_diffusers import LFDMPipeline\npipe = LFDMPipeline.from_pretrained('me/code')\n"
    check_video(importing.run(load + VIDEO), expected)
    code = "from diffusers import DiffusionPipeline\npipe = DiffusionPipeline.from_pretrained('me/code'{})\n"
    with pytest.raises(RemoteError, match="trust_remote_code=True"):
        importing.run(code.format(""))
    check_video(importing.run(code.format(", trust_remote_code=True") + VIDEO), expected)


@pytest.mark.integration
def test_second_load_needs_no_hub(importing, importing_home, loopback_hub, expected):
    load = "import lfdm_diffusers\nfrom diffusers import DiffusionPipeline\n"
    importing.run(load + "DiffusionPipeline.from_pretrained('me/plain')")
    before = len(loopback_hub.requests)
    local = "pipe = DiffusionPipeline.from_pretrained('me/plain', local_files_only=True)\n"
    check_video(importing.run(load + local + VIDEO), expected)
    offline = LoopbackPython("http://127.0.0.1:9", importing_home, HF_HUB_OFFLINE="1")
    try:
        check_video(offline.run(load + "pipe = DiffusionPipeline.from_pretrained('me/plain')\n" + VIDEO), expected)
        with pytest.raises(RemoteError, match="me/never_loaded"):
            offline.run(load + "DiffusionPipeline.from_pretrained('me/never_loaded')")
    finally:
        offline.close()
    assert len(loopback_hub.requests) == before


@pytest.mark.integration
def test_hub_revision(importing, loopback_hub, expected):
    """A commit's hash pins what is loaded, whatever came after it."""
    first = loopback_hub.repositories["me/no_text_encoder"].head
    code = """
from tiny import tiny_pipeline, tiny_unet
tiny_pipeline(unet=tiny_unet(seed=1)).push_to_hub("me/no_text_encoder")
"""
    importing.run(code, token=WRITE_TOKEN)
    load = "from diffusers import DiffusionPipeline\npipe = DiffusionPipeline.from_pretrained('me/no_text_encoder', "
    check_video(importing.run(f"{load}revision={first!r})\n{VIDEO}"), expected)
    _, video = importing.run(f"{load}revision='main')\n{VIDEO}")
    assert not torch.allclose(torch.tensor(video), expected, atol=1e-3)
    importing.run(
        "from tiny import tiny_pipeline\ntiny_pipeline().push_to_hub('me/no_text_encoder')", token=WRITE_TOKEN
    )


# Cards.

STOCK = "has been automatically generated"


@pytest.mark.integration
@pytest.mark.parametrize("repo", ["me/plain", "me/sharded", "me/code", "me/lfae", "me/unet", "me/labels"])
def test_cards_are_filled(importing, loopback_hub, repo):
    card = loopback_hub.files(repo)["README.md"].decode()
    assert STOCK not in card
    assert repo in card
    assert re.search(r"^library_name: diffusers$", card, re.MULTILINE)


@pytest.mark.integration
@pytest.mark.parametrize("thing", ["tiny_pipeline()", "tiny_lfae()"])
def test_card_in_the_repository_survives(importing, loopback_hub, tmp_path, thing):
    repo = f"me/own_card_{thing[:9]}"
    card = "---\nlibrary_name: diffusers\nlicense: mit\n---\n\n# Mine\n"
    loopback_hub.add(repo, {"README.md": card.encode()})
    code = f"""
from tiny import tiny_lfae, tiny_pipeline
{thing}.push_to_hub(repo)
{thing}.save_pretrained(folder, push_to_hub=True, repo_id=repo)
"""
    importing.run(code, token=WRITE_TOKEN, repo=repo, folder=str(tmp_path))
    pushed = loopback_hub.files(repo)["README.md"].decode()
    assert "# Mine" in pushed
    assert "license: mit" in pushed
    assert not (tmp_path / "README.md").exists()


@pytest.mark.integration
@pytest.mark.parametrize("thing", ["tiny_pipeline()", "tiny_unet()"])
def test_card_in_the_folder_survives(importing, loopback_hub, tmp_path, thing):
    repo = f"me/folder_card_{thing[:9]}"
    card = "---\nlicense: mit\n---\n\n# Written beside the weights, \u00e4\u00f6\u00fc\n"
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    code = f"from tiny import *\n{thing}.save_pretrained(folder, push_to_hub=True, repo_id=repo)"
    importing.run(code, token=WRITE_TOKEN, repo=repo, folder=str(tmp_path))
    assert loopback_hub.files(repo)["README.md"].decode() == card
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == card
    assert {"config.json", "model_index.json"} & files_of(tmp_path)


@pytest.mark.integration
def test_push_of_a_saved_folder_with_code(importing, loopback_hub, tmp_path, expected):
    code = """
from pathlib import Path
from tiny import tiny_pipeline
tiny_pipeline().save_pretrained(Path(folder), remote_code=True, push_to_hub=True, repo_id="me/folder_code")
"""
    importing.run(code, token=WRITE_TOKEN, folder=str(tmp_path))
    assert set(loopback_hub.files("me/folder_code")) == {*files_of(tmp_path), "README.md"}
    assert "unet/lfdm_diffusers.py" in loopback_hub.files("me/folder_code")
    load = "from lfdm_diffusers import LFDMPipeline\npipe = LFDMPipeline.from_pretrained('me/folder_code')\n"
    check_video(importing.run(load + VIDEO), expected)


@pytest.mark.integration
def test_push_to_a_subfolder(importing, loopback_hub):
    code = "from tiny import tiny_unet\ntiny_unet().push_to_hub('me/parts', subfolder='unet')"
    importing.run(code, token=WRITE_TOKEN)
    assert set(loopback_hub.files("me/parts")) == {"unet/config.json", "unet/diffusion_pytorch_model.safetensors"}


# Failures.

PUSHES = {
    "pipeline": "tiny_pipeline().push_to_hub(repo)",
    "model": "tiny_unet().push_to_hub(repo)",
    "folder": "tiny_pipeline().save_pretrained(folder, push_to_hub=True, repo_id=repo)",
}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("token", "status", "advice"),
    [(None, "401", "Pushing needs a token"), (READ_TOKEN, "403", "may not write there")],
    ids=["no token", "read-only token"],
)
@pytest.mark.parametrize("repo", ["me/plain", "me/refused"])
@pytest.mark.parametrize("push", PUSHES)
def test_push_without_the_right_to(importing, loopback_hub, tmp_path, push, repo, token, status, advice):
    head = loopback_hub.repositories["me/plain"].head
    with pytest.raises(RemoteError, match=advice) as error:
        importing.run("from tiny import *\n" + PUSHES[push], token=token, repo=repo, folder=str(tmp_path / "model"))
    assert error.value.kind == "HfHubHTTPError"
    assert status in error.value.message
    assert error.value.message.count(advice) == 1
    assert loopback_hub.repositories["me/plain"].head == head
    assert "me/refused" not in loopback_hub.repositories
    assert not list(tmp_path.rglob("README.md"))


@pytest.mark.integration
@pytest.mark.parametrize("push", PUSHES)
def test_upload_that_breaks_off(importing, loopback_hub, tmp_path, expected, push):
    repo = f"me/broken_off_{push}"
    code = "from unittest import mock\nfrom tiny import *\nwith mock.patch('time.sleep'):\n    " + PUSHES[push]
    loopback_hub.cut_uploads = 1000
    try:
        with pytest.raises(RemoteError, match="broke off") as error:
            importing.run(code, token=WRITE_TOKEN, repo=repo, folder=str(tmp_path))
    finally:
        loopback_hub.cut_uploads = 0
    assert error.value.kind == "ConnectionError"
    assert repo in error.value.message
    assert loopback_hub.files(repo) == {}
    assert not (tmp_path / "README.md").exists()
    if push == "folder":  # what was saved is whole all the same
        check_video(["LFDMPipeline", tiny_video(LFDMPipeline.from_pretrained(tmp_path)).tolist()], expected)
    importing.run(code, token=WRITE_TOKEN, repo=repo, folder=str(tmp_path))
    assert any(path.endswith("diffusion_pytorch_model.safetensors") for path in loopback_hub.files(repo))


@pytest.mark.integration
def test_upload_that_breaks_off_leaves_the_earlier_version(importing, loopback_hub):
    code = "from unittest import mock\nfrom tiny import *\nwith mock.patch('time.sleep'):\n    "
    importing.run(code + "tiny_unet().push_to_hub('me/version')", token=WRITE_TOKEN)
    before = loopback_hub.files("me/version")
    loopback_hub.cut_uploads = 1000
    try:
        with pytest.raises(RemoteError, match="broke off"):
            importing.run(code + "tiny_unet(seed=1).push_to_hub('me/version')", token=WRITE_TOKEN)
    finally:
        loopback_hub.cut_uploads = 0
    assert loopback_hub.files("me/version") is before


@pytest.mark.integration
def test_download_that_breaks_off(importing, loopback_hub, tmp_path, expected):
    """One interruption is made good; many give an error, and the next try starts from what is there."""
    code = """
from unittest import mock
from diffusers import DiffusionPipeline
with mock.patch("time.sleep"):
    pipe = DiffusionPipeline.from_pretrained("me/plain", cache_dir=folder)
"""
    loopback_hub.cut_downloads = 1
    check_video(importing.run(code + VIDEO, folder=str(tmp_path / "one")), expected)
    assert loopback_hub.cut_downloads == 0
    loopback_hub.cut_downloads = 1000
    try:
        with pytest.raises(RemoteError, match=r"closed connection|peer|disconnected|Error"):
            importing.run(code, folder=str(tmp_path / "many"))
    finally:
        loopback_hub.cut_downloads = 0
    check_video(importing.run(code + VIDEO, folder=str(tmp_path / "many")), expected)


@pytest.mark.integration
def test_repository_that_does_not_exist(importing):
    with pytest.raises(RemoteError, match="me/nowhere"):
        importing.run("from lfdm_diffusers import LFDMPipeline\nLFDMPipeline.from_pretrained('me/nowhere')")


# Importing.


@pytest.mark.integration
def test_import_is_light(loopback_hub, tmp_path):
    """Beyond what diffusers' own base classes import, the package imports itself and little else."""
    process = LoopbackPython(loopback_hub.url, tmp_path)
    code = """
import sys
from diffusers import DDPMScheduler, DiffusionPipeline, ModelMixin
from diffusers.loaders import PeftAdapterMixin
from diffusers.video_processor import VideoProcessor
before = set(sys.modules)
from lfdm_diffusers import LFDMPipeline
result = [sorted(set(sys.modules) - before), sorted(sys.modules)]
"""
    try:
        added, loaded = process.run(code)
    finally:
        process.close()
    packages = {name.split(".")[0] for name in added}
    assert packages <= {"lfdm_diffusers", "diffusers"}
    assert len(added) < 90
    for heavy in ("gradio", "av", "imageio", "cv2", "matplotlib", "pandas", "datasets"):
        assert heavy not in loaded
    assert "transformers.models.bert.modeling_bert" not in loaded
