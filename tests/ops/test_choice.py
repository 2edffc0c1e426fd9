"""Every faster way against its formula, in values and gradients; programs that are compiled or exported take the formula."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest
import torch
from tiny import IMAGE_SIZE, tiny_lfae, tiny_unet
from torch import nn

from lfdm_diffusers import ops
from lfdm_diffusers.models.attention_3d import RotaryPositions, VideoAttention
from lfdm_diffusers.models.blocks_2d import FastConv2d, UpBlock2d
from lfdm_diffusers.ops import attention_cpu, convolution_cpu, warp_cpu
from lfdm_diffusers.ops.choice import may_be_faster
from lfdm_diffusers.ops.thresholds import DEFAULTS, current
from lfdm_diffusers.ops.warp import resample

# Limits with which models as small as those of tests take all the ways that large ones do.
SMALL = {
    "gathered_channels": 1,
    "doubled_places": 0,
    "columns": True,
    "winograd": True,
    "winograd_channels": 5,
    "winograd_pairs": 1,
    "winograd_tiles": 1,
    "product_channels": 0,
    "attention_block_bytes": 1,
}


class Warp(nn.Module):
    def forward(self, feature: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return resample(feature, grid)


class OverFrames(nn.Module):
    """Attention over three frames, with positions and a bias."""

    def __init__(self):
        super().__init__()
        self.attention = VideoAttention(8, 2, 4, "frames")

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        rotary = RotaryPositions.create(3, 2, 4, 4, x.device, x.dtype)
        return self.attention(x, 3, rotary, bias)


class OverPlaces(nn.Module):
    def __init__(self, linear: bool):
        super().__init__()
        self.attention = VideoAttention(8, 2, 4, "places", linear=linear)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, 3)


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


GATHER, WINOGRAD = (warp_cpu, "gather_resample"), (convolution_cpu, "by_winograd")
COLUMNS, PRODUCT = (convolution_cpu, "by_columns"), (convolution_cpu, "by_product")
DOUBLING = (convolution_cpu, "by_transposition")
BLOCKS, PRODUCTS = (attention_cpu, "in_blocks"), (attention_cpu, "attend_by_products")
LATE, TURNED = (attention_cpu, "normalise_late"), (attention_cpu, "attend_turning_weights")
SUMS = (attention_cpu, "attend_projecting_sums")
# Of a faster way: a module that takes it, and what that is given.
WITH_GRADIENTS: dict[tuple, Callable[[], tuple]] = {
    GATHER: lambda: (Warp(), maps(2, 6, 5, 7), torch.rand(2, 3, 4, 4, 2) * 2.4 - 1.2),
    WINOGRAD: lambda: (FastConv2d(6, 5, 3, padding=1), maps(2, 6, 8, 8)),
    COLUMNS: lambda: (FastConv2d(6, 3, 7, padding=3), maps(2, 6, 8, 8)),
    PRODUCT: lambda: (FastConv2d(6, 5, 7, padding=3), maps(2, 6, 8, 8)),
    DOUBLING: lambda: (UpBlock2d(6, 5).eval(), maps(2, 6, 8, 8)),
    BLOCKS: lambda: (OverFrames(), maps(6, 8, 5, 4), torch.randn(1, 2, 3, 3)),
    PRODUCTS: lambda: (OverPlaces(linear=False), maps(3, 8, 5, 4)),
    SUMS: lambda: (OverPlaces(linear=True), maps(3, 8, 5, 4)),
}
WITHOUT: dict[tuple, Callable[[], tuple]] = {
    LATE: lambda: (OverPlaces(linear=False), maps(3, 8, 5, 4)),
    TURNED: WITH_GRADIENTS[BLOCKS],
}


def watched(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> list:
    """The calls of a faster way."""
    calls, way = [], getattr(place, name)
    monkeypatch.setattr(place, name, lambda *args, **options: calls.append(args) or way(*args, **options))
    return calls


def outcomes(module: nn.Module, given: list[torch.Tensor], call: Callable | None = None) -> list[torch.Tensor]:
    """What a module gives, and its gradients if they are asked for."""
    out = (module if call is None else call)(*given)
    if not torch.is_grad_enabled():
        return [out]
    return [out, *torch.autograd.grad(out.square().mean(), [*given, *module.parameters()])]


ways = pytest.mark.parametrize(
    ("way", "gradients"),
    [(way, asked) for way in (*WITH_GRADIENTS, *WITHOUT) for asked in (True, False) if not (asked and way in WITHOUT)],
    ids=lambda value: value[1] if isinstance(value, tuple) else str(value),
)


def module_and_inputs(way: tuple, gradients: bool) -> tuple[nn.Module, list[torch.Tensor]]:
    module, *given = (WITH_GRADIENTS | WITHOUT)[way]()
    return module, [x.requires_grad_(gradients) for x in given]


@ways
def test_faster_ways_are_their_formulas(monkeypatch, way, gradients):
    module, given = module_and_inputs(way, gradients)
    calls = watched(monkeypatch, *way)
    with torch.set_grad_enabled(gradients), ops.limits(**SMALL):
        fast = outcomes(module, given)
        assert calls
        calls.clear()
        with ops.plain():
            plain = outcomes(module, given)
    assert not calls
    for found, expected in zip(fast, plain):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.integration
@pytest.mark.ends
@ways
def test_programs_take_the_formulas(monkeypatch, way, gradients):
    module, given = module_and_inputs(way, gradients)
    calls = watched(monkeypatch, *way)
    with torch.set_grad_enabled(gradients), ops.limits(**SMALL):
        with ops.plain():
            plain = outcomes(module, given)
        torch.compiler.reset()
        compiled = outcomes(module, given, torch.compile(module, backend="eager", fullgraph=True))
        exported = torch.export.export(module, tuple(given)).module()
        traced = exported(*given)
    assert not calls
    for found, expected in zip((*compiled, traced), (*plain, plain[0])):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_models_give_the_same_either_way():
    """All of it together."""
    lfae, unet = tiny_lfae(), tiny_unet()
    reference, driving = torch.rand(2, 1, 3, IMAGE_SIZE, IMAGE_SIZE).unbind(0)
    volume, embeds = torch.randn(1, 3, 4, 8, 8), torch.randn(1, 16)
    latents = torch.randn(1, unet.config.image_latent_channels, 8, 8)
    results = []
    for context in (ops.limits(**SMALL), ops.plain()):
        with context:
            made = lfae(reference, driving)
            results.append([made.sample, made.flow, unet(volume, 3, embeds, latents).sample])
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["lfae", "unet"])
def test_nothing_faster_is_taken_in_plain(monkeypatch, model):
    calls = [watched(monkeypatch, *way) for way in (*WITH_GRADIENTS, *WITHOUT)]
    with ops.limits(**SMALL), ops.plain():
        if model == "lfae":
            tiny_lfae().train()(*torch.rand(2, 2, 3, IMAGE_SIZE, IMAGE_SIZE)).sample.sum().backward()
        else:
            with torch.no_grad():
                tiny_unet()(torch.randn(1, 3, 4, 8, 8), 3, None, torch.randn(1, 16, 8, 8))
    assert not any(calls)


def test_limits_hold_in_their_context_and_thread():
    with ops.limits(doubled_places=7):
        assert current().doubled_places == 7
        with ops.limits(late_logit=1.0), contextlib.suppress(KeyError):
            assert (current().doubled_places, current().late_logit) == (7, 1.0)
            raise KeyError
        assert current().late_logit == DEFAULTS.late_logit
        others = []
        thread = threading.Thread(target=lambda: others.append(current()))
        thread.start()
        thread.join()
        assert others == [DEFAULTS]
    assert current() == DEFAULTS
    with (
        pytest.raises(ValueError, match=r"`limits` takes faster_ways, .*; got 'doubled_place'"),
        ops.limits(doubled_place=1),
    ):
        pass


def test_only_a_cpu_has_faster_ways_but_for_those_that_save_arithmetic():
    x = torch.zeros(1)
    assert may_be_faster(x) and not may_be_faster(x.to("meta")) and may_be_faster(x.to("meta"), any_device=True)
    with ops.plain():
        assert not may_be_faster(x) and not may_be_faster(x, any_device=True)
