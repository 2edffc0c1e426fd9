"""Winograd's convolution against the library's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lfdm_diffusers import ops
from lfdm_diffusers.ops import winograd


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(1, 8, 5, 8), (3, 6, 12, 7), (2, 5, 3, 1)])
@pytest.mark.parametrize("size", [1, 3000, 2**23])
def test_fewer_multiplications_are_the_same_convolution(layout, shape, size):
    """Its gradients too, whichever parts it is computed in."""
    torch.manual_seed(0)
    weight = torch.randn(7, shape[1], 3, 3).contiguous(memory_format=layout).requires_grad_()
    x, bias = torch.randn(shape, requires_grad=True), torch.randn(7, requires_grad=True)
    gradient = torch.randn(shape[0], 7, *shape[2:])
    for given in ((x, weight, bias), (x, weight)):
        results = []
        with ops.limits(winograd_block_bytes=size, winograd_weight_bytes=size):
            for out in (winograd.winograd_conv2d(*given), F.conv2d(*given, padding=1)):
                results.append([out, *torch.autograd.grad(out, given, gradient)])
        for found, expected in zip(*results):
            assert found.shape == expected.shape
            assert (found - expected).norm() < 1e-5 * expected.norm()
        assert results[0][0].is_contiguous(memory_format=torch.channels_last)
        assert results[0][2].stride() == weight.stride()  # what DDP and the fused optimizer ask for


def test_fewer_multiplications_lose_no_digits():
    """At the size of the decoder's bottleneck; see `winograd_conv2d`."""
    torch.manual_seed(0)
    x, weight = torch.randn(1, 256, 32, 32), torch.randn(256, 256, 3, 3)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    assert (
        winograd.winograd_conv2d(x, weight) - exact
    ).norm() < 5e-6 * exact.norm()  # 2.0e-6 to 3.3e-6, by how a processor adds up products


def test_gradients_that_are_not_asked_for_are_not_computed(monkeypatch):
    computed = []
    for name in ("convolve", "weight_gradient"):
        function = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *args, f=function, n=name: computed.append(n) or f(*args))
    x, weight = torch.randn(1, 2, 4, 4, requires_grad=True), torch.randn(3, 2, 3, 3, requires_grad=True)
    winograd.winograd_conv2d(x, weight.detach()).sum().backward()
    assert computed == ["convolve", "convolve"]
    winograd.winograd_conv2d(x.detach(), weight).sum().backward()
    assert computed[2:] == ["convolve", "weight_gradient"]


def test_fewer_multiplications_behave_as_a_convolution_does():
    x, weight = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(5, 3, 3, 3, requires_grad=True)
    seconds = []
    for convolve in (winograd.winograd_conv2d, lambda x, weight: F.conv2d(x, weight, padding=1)):
        out = convolve(x, weight)
        out += 1  # adapters and hooks may do so
        (gradient,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        seconds.append(torch.autograd.grad(gradient.square().sum(), (x, weight)))
    for found, expected in zip(*seconds):
        assert (found - expected).norm() < 1e-4 * expected.norm()
    out = winograd.winograd_conv2d(x, weight)
    with torch.autocast("cpu", torch.bfloat16):
        (gradient,) = torch.autograd.grad(out.sum(), weight)
    assert gradient.dtype == torch.float32
    winograd.transforms.cache_clear()
    with torch.device("meta"):
        assert winograd.winograd_conv2d(x, weight).device.type == "cpu"
