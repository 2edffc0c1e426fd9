"""Offloading without an accelerator: weights that a hook has put away are NaN until the hook brings them back.

Whatever reads a weight whose hook has not run (a method without `apply_forward_hook`, a weight used outside its own
module) then gives NaN here, where a GPU machine would raise an error about devices.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import accelerate.hooks
import pytest
import torch
from diffusers.hooks.group_offloading import ModuleGroup
from tiny import tiny_baseline, tiny_painter, tiny_pipeline, tiny_text_encoder, tiny_unet
from video import tiny_image, tiny_video


class Poison:
    """Puts tensors away (NaN in their place) and brings them back."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def put_away(self, tensors: Iterator[torch.Tensor]) -> None:
        for tensor in tensors:
            if id(tensor) not in self.kept and tensor.is_floating_point():
                self.kept[id(tensor)] = tensor, tensor.data
                tensor.data = torch.full_like(tensor, float("nan"))

    def bring_back(self, tensors: Iterator[torch.Tensor]) -> None:
        for tensor in tensors:
            if id(tensor) in self.kept:
                tensor.data = self.kept.pop(id(tensor))[1]


def of_module(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def of_group(group: ModuleGroup) -> Iterator[torch.Tensor]:
    for module in group.modules:
        yield from of_module(module)
    yield from group.parameters
    yield from group.buffers


@pytest.fixture
def poison(monkeypatch) -> Poison:
    poison = Poison()
    hook = accelerate.hooks.CpuOffload

    def init_hook(self, module):
        poison.put_away(of_module(module))
        return module

    def pre_forward(self, module, *args, **kwargs):
        if self.prev_module_hook is not None:
            poison.put_away(of_module(self.prev_module_hook.model))
        poison.bring_back(of_module(module))
        return args, kwargs

    monkeypatch.setattr(hook, "init_hook", init_hook)
    monkeypatch.setattr(hook, "pre_forward", pre_forward)
    monkeypatch.setattr(ModuleGroup, "_onload_from_memory", lambda group: poison.bring_back(of_group(group)))
    monkeypatch.setattr(ModuleGroup, "_offload_to_memory", lambda group: poison.put_away(of_group(group)))
    return poison


OPTIONS = [{}, {"guidance_scale": 2.0}, {"prompt": None}, {"output_type": "latent"}, {"decode_chunk_size": 1}]


def video(pipe, options) -> torch.Tensor:
    arguments = {"prompt": "anger", "output_type": "pt", "num_inference_steps": 2, **options}
    return pipe(tiny_image(), generator=torch.Generator().manual_seed(0), **arguments).frames


@pytest.mark.parametrize("text_encoder", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_model_cpu_offload(poison, options, text_encoder):
    parts = {"text_encoder": text_encoder, "label_embeddings": not text_encoder}
    expected = video(tiny_pipeline(**parts), options)
    pipe = tiny_pipeline(**parts)
    for _ in range(1 if options else 2):  # once more, as after a call
        pipe.enable_model_cpu_offload(device="cpu")
        torch.testing.assert_close(video(pipe, options), expected, rtol=1e-4, atol=1e-5)
        modules = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
        assert all(torch.isnan(next(module.parameters())).all() for module in modules), "left on the accelerator"


@pytest.mark.parametrize("offload_type", ["block_level", "leaf_level"])
@pytest.mark.parametrize("part", ["lfae", "unet", "label_embeddings"])
def test_group_offload(poison, part, offload_type):
    reading = dict(unet=tiny_unet(image_blocks=1, image_block_channels=8))
    torch.nn.init.normal_(reading["unet"].picture_reader.conv_out.weight)
    expected = tiny_video(tiny_pipeline(**reading))
    pipe = tiny_pipeline(**reading)
    getattr(pipe, part).enable_group_offload(
        onload_device=torch.device("cpu"), offload_type=offload_type, num_blocks_per_group=1
    )
    assert poison.kept, "nothing was offloaded"
    torch.testing.assert_close(tiny_video(pipe), expected, rtol=1e-4, atol=1e-5)


def test_group_offload_of_the_whole_pipeline(poison):
    expected = tiny_video(tiny_pipeline())
    pipe = tiny_pipeline()
    pipe.enable_group_offload(onload_device=torch.device("cpu"), offload_type="leaf_level")
    torch.testing.assert_close(tiny_video(pipe), expected, rtol=1e-4, atol=1e-5)


BASELINES = ("vdm", "ldm", "imaginator")


@pytest.mark.parametrize("name", BASELINES)
def test_baselines(poison, name):
    def made(pipe) -> torch.Tensor:
        options = {} if name == "imaginator" else {"num_inference_steps": 2}
        return pipe(
            tiny_image(), "anger", generator=torch.Generator().manual_seed(0), output_type="pt", **options
        ).frames

    expected, pipe = made(tiny_baseline(name)), tiny_baseline(name)
    for _ in range(2):
        pipe.enable_model_cpu_offload(device="cpu")
        torch.testing.assert_close(made(pipe), expected, rtol=1e-4, atol=1e-5)
        modules = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
        assert all(torch.isnan(next(module.parameters())).all() for module in modules), "left on the accelerator"


@pytest.mark.parametrize("name", ["lfdm", *BASELINES])
def test_the_offload_order_names_every_model(name):
    encoder, tokenizer = tiny_text_encoder()
    make = tiny_pipeline if name == "lfdm" else functools.partial(tiny_baseline, name)
    pipe = make(
        **{"text_encoder": True, "painter": tiny_painter()}
        if name == "lfdm"
        else {"text_encoder": encoder, "tokenizer": tokenizer}
    )
    models = {name for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    order = pipe.model_cpu_offload_seq.split("->")
    assert set(order) == models and len(order) == len(models)
