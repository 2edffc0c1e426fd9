"""Faster convolutions and pooling against the library's, also of maps that are doubled first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lfdm_diffusers import ops
from lfdm_diffusers.models.blocks_2d import FastConv2d, convolve_doubled
from lfdm_diffusers.models.blocks_3d import NearestUpsample
from lfdm_diffusers.ops import convolution_cpu

NEVER = 10**9


def both_ways(call: Callable[[], torch.Tensor], given: tuple[torch.Tensor, ...]) -> list[list[torch.Tensor]]:
    """What a call gives and its gradients, as things stand and by its formula."""
    results = []
    for context in (ops.limits, ops.plain):
        with context():
            out = call()
            results.append([out, *torch.autograd.grad(out.float().square().mean(), given)])
    return results


@pytest.fixture
def taken(monkeypatch) -> list[str]:
    """The names of the faster ways that are taken."""
    names: list[str] = []
    for name in ("by_winograd", "by_columns", "by_product", "by_transposition"):
        way = getattr(convolution_cpu, name)
        monkeypatch.setattr(convolution_cpu, name, lambda *args, w=way, n=name: names.append(n) or w(*args))
    return names


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_doubling_and_convolution_in_one(taken, dtype):
    conv, x = FastConv2d(6, 5, 3, padding=1).to(dtype), torch.randn(2, 6, 7, 4).to(dtype).requires_grad_()
    with ops.limits(doubled_places=0):
        results = both_ways(lambda: convolve_doubled(conv, x), (x, conv.weight, conv.bias))
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, **tolerance)
    assert results[0][0].shape == (2, 5, 14, 8) and taken == ["by_transposition"]
    convolve_doubled(conv, x)  # few places
    assert len(taken) == 1


@pytest.mark.parametrize("padding_mode", ["reflect", "circular"])
def test_other_paddings_are_doubled_as_they_say(padding_mode):
    up, x = NearestUpsample(4, padding_mode), torch.randn(1, 4, 6, 6)
    plain = nn.Conv2d(4, 4, 3, padding=1, padding_mode=padding_mode)
    plain.load_state_dict(up.conv.state_dict())
    with ops.limits(doubled_places=0):
        torch.testing.assert_close(up(x), plain(F.interpolate(x, scale_factor=2, mode="nearest")))


@pytest.mark.parametrize("change", ["hook", "forward"])
def test_what_is_done_to_a_convolution_holds_for_one_that_doubles(change):
    conv, x = FastConv2d(4, 4, 3, padding=1), torch.randn(1, 4, 6, 6)
    expected = 2 * convolve_doubled(conv, x)
    if change == "hook":
        conv.register_forward_hook(lambda module, given, out: 2 * out)
    else:
        plain = conv.forward
        conv.forward = lambda x: 2 * plain(x)
    with ops.limits(doubled_places=0):
        torch.testing.assert_close(convolve_doubled(conv, x), expected)


@pytest.mark.parametrize(
    "options",
    [{"stride": 2, "padding": 1}, {"padding": 0}, {"dilation": 2, "padding": 1}, {"groups": 2, "padding": 1}],
)
@pytest.mark.parametrize("doubled", [False, True])
def test_other_convolutions_are_computed_as_they_say(options, doubled):
    conv, plain, x = FastConv2d(4, 6, 3, **options), nn.Conv2d(4, 6, 3, **options), torch.randn(1, 4, 6, 6)
    plain.load_state_dict(conv.state_dict())
    expected = plain(F.interpolate(x, scale_factor=2, mode="nearest") if doubled else x)
    with ops.limits(doubled_places=0, product_channels=0):
        torch.testing.assert_close(convolve_doubled(conv, x) if doubled else conv(x), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_few_places_are_a_matrix_product(taken, kernel_size, layout):
    conv = FastConv2d(6, 5, kernel_size, padding=kernel_size // 2).to(memory_format=layout)
    x = torch.randn(2, 6, 2, 3, requires_grad=True)
    with ops.limits(product_channels=0):
        results = both_ways(lambda: conv(x), (x, conv.weight, conv.bias))
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-6)
    assert taken == ["by_product"]
    with ops.limits(product_channels=NEVER):
        conv(x)
    assert len(taken) == 1


@pytest.mark.parametrize("bias", [True, False])
def test_few_channels_are_convolved_by_columns(taken, bias):
    conv, x = FastConv2d(6, 3, 7, padding=3, bias=bias), torch.randn(2, 6, 5, 9, requires_grad=True)
    with ops.limits(columns=True, column_channels=3):
        results = both_ways(lambda: conv(x), (x, *conv.parameters()))
        assert taken == ["by_columns"]
        with torch.autocast("cpu", torch.bfloat16):
            conv(x)
        for change in ({"column_channels": 2}, {"column_kernel": 9}, {"columns": False}):
            with ops.limits(**change):
                conv(x)
        conv.bfloat16()(x.bfloat16())
    assert taken == ["by_columns"]
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-6)


class Quantised(torch.Tensor):
    """A weight that is more than its numbers."""


@torch.no_grad()
def test_fewer_multiplications_only_where_they_are_a_convolution_in_float32(taken):
    channels = 64
    conv, x = FastConv2d(channels, channels, 3, padding=1), torch.randn(2, channels, 16, 16)
    expected = F.conv2d(x, conv.weight, conv.bias, padding=1)
    with ops.limits(winograd=True, winograd_pairs=channels**2):
        assert (conv(x) - expected).norm() < 5e-6 * expected.norm()
        assert taken == ["by_winograd"]
        with torch.autocast("cpu", torch.bfloat16):
            assert conv(x).dtype == torch.bfloat16
        conv(x[..., :8])  # fewer places
        conv(x.view(-1, channels, 2, 2))  # less than a tile
        FastConv2d(channels, channels, 3, padding=0)(x)
        FastConv2d(channels, channels, 5, padding=2)(x)
        FastConv2d(channels, channels - 1, 3, padding=1)(x)
        FastConv2d(channels, channels, 3, padding=1, groups=2)(x)
        FastConv2d(channels, channels, 3, padding=1, padding_mode="reflect")(x)
        conv.double()(x.double())
        conv.to(torch.bfloat16)(x.bfloat16())
        conv.float()
        conv.weight = nn.Parameter(conv.weight.as_subclass(Quantised))
        conv(x)
        with ops.plain():
            FastConv2d(channels, channels, 3, padding=1)(x)
        assert len(taken) == 1
        FastConv2d(channels, channels, 3, padding=1)(x)
    assert taken == ["by_winograd"] * 2
