"""The ComfyUI nodes, loaded as ComfyUI loads a folder of nodes, with a small stand-in for ComfyUI: they make what the pipeline makes."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from comfy_stand_in import ProgressBar, comfy_modules, run_node
from tiny import tiny_painter, tiny_pipeline

import lfdm_diffusers
from lfdm_diffusers import LFDMPipeline, embedded

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

FOLDER = Path(__file__).parents[2] / "comfyui"
PICTURE = torch.rand(1, 48, 40, 3, generator=torch.Generator().manual_seed(4))
MASK = (torch.arange(48)[None, :, None] < 20).float().expand(1, 48, 40)


@pytest.fixture(scope="module")
def nodes() -> dict[str, type]:
    """By their ids, as `comfy_entrypoint` gives them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in comfy_modules().items():
            patch.setitem(sys.modules, name, module)
        # Under a name of its own, as ComfyUI does it: a folder's name need not be one of Python's.
        file = str(FOLDER / "__init__.py")
        spec = importlib.util.spec_from_file_location(
            "custom_nodes_lfdm", file, submodule_search_locations=[str(FOLDER)]
        )
        package: ModuleType = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, package)
        spec.loader.exec_module(package)
        found = asyncio.run(asyncio.run(package.comfy_entrypoint()).get_node_list())
        patch.delitem(sys.modules, f"{spec.name}.nodes")
    return {node.define_schema().node_id: node for node in found}


@pytest.fixture(scope="module")
def pipe() -> LFDMPipeline:
    return tiny_pipeline(painter=tiny_painter())


@pytest.fixture(scope="module")
def model(nodes, pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    pipe.save_pretrained(folder)
    return run_node(nodes["LFDMLoad"], model=f" {folder} ", device="cpu")


def test_every_node_says_what_it_is(nodes):
    assert list(nodes) == ["LFDMLoad", "LFDMEncode", "LFDMGenerate", "LFDMEdit", "LFDMRender"]
    for node in nodes.values():
        schema = node.define_schema()
        schema.validate()
        assert schema.display_name and schema.description and schema.category == "latent flow diffusion"
        assert all(socket.display_name for socket in schema.outputs)
        assert all(socket.tooltip for socket in schema.inputs if socket.id in ("motion_scale", "loop", "hold", "mask"))


def test_a_graph_of_nodes_is_the_pipeline(nodes, model, pipe):
    """One picture, encoded once; its motion as it is at the model's size, and edited at the picture's own and at another."""
    ProgressBar.shown.clear()
    picture = run_node(nodes["LFDMEncode"], model=model, image=PICTURE)
    motion = run_node(nodes["LFDMGenerate"], model=model, picture=picture, prompt="anger", seed=3, steps=2)
    assert ProgressBar.shown == [(1, 2), (2, 2)]
    graph = {"model": model, "picture": picture}
    edited = run_node(nodes["LFDMEdit"], **graph, motion=motion, motion_scale=0.5, loop="ease", hold=1, mask=MASK)

    call = {"image": PICTURE[0].permute(2, 0, 1), "prompt": "anger", "num_inference_steps": 2, "output_type": "pt"}
    edits = {"motion_scale": 0.5, "loop": "ease", "hold": 1, "motion_mask": MASK[0]}
    for rendered, more in (
        ({"motion": motion, "size": "model"}, {}),
        ({"motion": edited}, edits | {"output_size": "picture"}),
        ({"motion": edited, "size": "width x height", "width": 60, "height": 72}, edits | {"output_size": (72, 60)}),
    ):
        (frames,) = run_node(nodes["LFDMRender"], **graph, **rendered)
        wanted = pipe(**call, **more, generator=torch.Generator().manual_seed(3)).frames[0]
        assert frames.shape == (*wanted.shape[:1], *wanted.shape[2:], 3) and frames.dtype == torch.float32
        torch.testing.assert_close(frames, wanted.permute(0, 2, 3, 1), atol=5e-5, rtol=0)


def test_a_batch_is_a_list_of_videos(nodes, model):
    picture = run_node(
        nodes["LFDMEncode"], model=model, image=PICTURE.repeat(2, 1, 1, 1) * 1.01, image_fit="center_crop"
    )
    motion = run_node(nodes["LFDMGenerate"], model=model, picture=picture, steps=1, num_frames=3)
    videos = run_node(nodes["LFDMRender"], model=model, picture=picture, motion=motion)
    assert [tuple(video.shape) for video in videos] == [(3, 48, 40, 3)] * 2
    assert picture.canvas.image_fit == "center_crop"


def test_masks_add_up_and_must_fit_each_other(nodes, model):
    picture = run_node(nodes["LFDMEncode"], model=model, image=PICTURE)
    graph = {"model": model, "picture": picture}
    motion = run_node(nodes["LFDMGenerate"], **graph, steps=1)
    once = run_node(nodes["LFDMEdit"], **graph, motion=motion, mask=MASK)
    twice = run_node(nodes["LFDMEdit"], **graph, motion=once, mask=1 - MASK)
    (frames,) = run_node(nodes["LFDMRender"], **graph, motion=twice)
    torch.testing.assert_close(frames, PICTURE.expand_as(frames))  # nothing is left to move
    with pytest.raises(ValueError, match=r"`mask` must be as large as the one before it, \(48, 40\), got \(8, 8\)"):
        run_node(nodes["LFDMEdit"], **graph, motion=once, mask=torch.ones(1, 8, 8))


def test_a_folder_without_a_model_is_named(nodes, tmp_path, pipe):
    pipe.save_pretrained(tmp_path)
    for file in (tmp_path / "unet").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"`model`.* could not be loaded: it has no unet"):
        run_node(nodes["LFDMLoad"], model=str(tmp_path))


def test_models_of_the_package_have_names(nodes, pipe, tmp_path, monkeypatch):
    pipe.save_pretrained(tmp_path / "tiny")
    monkeypatch.setattr(embedded, "ASSETS", tmp_path)
    loaded = run_node(nodes["LFDMLoad"], model=" tiny ", device="cpu")
    assert torch.equal(next(loaded.unet.parameters()), next(pipe.unet.parameters()))


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_what_the_registry_reads():
    told = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))
    assert told["project"]["version"] == lfdm_diffusers.__version__
    assert told["project"]["dependencies"] == (FOLDER / "requirements.txt").read_text().split()
    assert {"PublisherId", "DisplayName"} <= told["tool"]["comfy"].keys()
