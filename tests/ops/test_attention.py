"""Attention in blocks, with turned weights, projected sums and late normalisation, against its formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import nn

from lfdm_diffusers import ops
from lfdm_diffusers.models.attention_3d import LinearAttnProcessor, RotaryPositions, VideoAttention
from lfdm_diffusers.ops import attention_cpu

NEVER = 10**9


def positions(frames: int, features: int, turned: int, dtype: torch.dtype = torch.float32) -> RotaryPositions:
    return RotaryPositions.create(frames, 2, features, turned, torch.device("cpu"), dtype)


@pytest.mark.parametrize(("axis", "linear"), [("frames", False), ("places", False), ("places", True)])
@pytest.mark.parametrize("batch", [1, 2])
def test_attention_block_by_block(monkeypatch, axis, linear, batch):
    torch.manual_seed(0)
    attention = VideoAttention(8, 2, 4, axis, linear=linear)
    assert isinstance(attention.processor, LinearAttnProcessor) == linear
    x = torch.randn(batch * 3, 8, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    rotary = bias = None
    if axis == "frames":
        rotary, bias = positions(3, 4, 4), torch.randn(1, 2, 3, 3)
    calls, results = [], []
    norm = attention.norm.forward
    monkeypatch.setattr(attention.norm, "forward", lambda tokens: calls.append(tokens) or norm(tokens))
    for context in (
        ops.limits(attention_block_bytes=1),
        ops.limits(attention_block_bytes=1400),
        ops.limits(attention_block_bytes=NEVER),
        ops.plain(),
    ):
        calls.clear()
        with context:
            out = attention(x, 3, rotary, bias)
            results.append([len(calls), out, *torch.autograd.grad(out.square().mean(), (x, attention.to_q.weight))])
            with torch.no_grad():  # each block is then put in its place
                results[-1].append(attention(x, 3, rotary, bias))
                assert results[-1][-1].is_contiguous(memory_format=torch.channels_last)
    assert results[0][0] > results[1][0] > results[2][0] == results[3][0] == 1
    for blocks in results[:3]:
        for found, expected in zip(blocks[1:], results[3][1:]):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(results[3][-1], results[3][1])


@pytest.mark.parametrize("out_bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_values_are_projected_after_their_sums(monkeypatch, dtype, tolerance, out_bias):
    torch.manual_seed(0)
    attention = VideoAttention(8, 2, 4, "places", linear=True, out_bias=out_bias).to(dtype)
    x = torch.randn(3, 8, 5, 4).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    called, project = [], attention_cpu.attend_projecting_sums
    monkeypatch.setattr(attention_cpu, "attend_projecting_sums", lambda *args: called.append(args) or project(*args))
    results = []
    for context in (ops.limits(), ops.plain(), ops.limits(projected_sums=False)):
        with context:
            out = attention(x, 3)
            weights = list(attention.parameters())
            results.append([out, *torch.autograd.grad((out * out.detach().cos()).mean(), (x, *weights))])
    assert len(called) == 1
    for fast, plain, other in zip(*results):
        assert fast.dtype == dtype
        assert (fast - plain).norm() < tolerance * plain.norm() and (other - plain).norm() < tolerance * plain.norm()


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02), (torch.float16, 0.003)]
)
@pytest.mark.parametrize("size", [1.0, 15.0, 300.0])
def test_weighted_sums_are_normalised_late_where_no_exponential_overflows(dtype, tolerance, size):
    torch.manual_seed(0)
    logits, values = (size * torch.randn(2, 7, 3)).to(dtype), torch.randn(2, 7, 4).to(dtype)
    expected = logits.double().softmax(dim=1).transpose(1, 2) @ values.double()
    found = attention_cpu.softmax_sums(logits, values)
    assert found.dtype == dtype and (found - expected).norm() < tolerance * expected.norm()
    assert attention_cpu.can_normalise_late(logits) == (size < 100 and dtype != torch.float16)


@torch.no_grad()
def test_nothing_is_normalised_late_that_would_go_wrong():
    logits = torch.zeros(1, 2, 3)
    assert attention_cpu.can_normalise_late(logits)
    assert not attention_cpu.can_normalise_late(torch.full((1, 2, 3), float("nan")))
    with ops.limits(late_logit=0.0):
        assert not attention_cpu.can_normalise_late(logits)
    low = torch.full((1, 2, 3), -200.0)  # whose exponentials are all 0
    assert not attention_cpu.can_normalise_late(low)
    torch.testing.assert_close(attention_cpu.softmax_sums(low, torch.ones(1, 2, 4)), torch.ones(1, 3, 4))
    with ops.plain():
        assert not attention_cpu.can_normalise_late(logits)
    with torch.enable_grad():
        assert not attention_cpu.can_normalise_late(logits)


def test_autocast_keeps_its_precision_where_values_are_projected_late():
    attention = VideoAttention(8, 2, 4, "places", linear=True, out_bias=True)
    x = torch.randn(3, 8, 5, 4, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        late = attention(x, 3)
        with ops.plain():
            first = attention(x, 3)
    assert late.dtype == first.dtype == torch.bfloat16
    assert (late - first).norm() < 0.02 * first.norm()


def test_values_are_projected_first_where_places_are_few_or_weights_are_not_all_there_is():
    attention = VideoAttention(8, 2, 4, "places", linear=True, out_bias=True)
    assert attention_cpu.can_project_sums(attention, torch.zeros(1, 9, 8))
    assert not attention_cpu.can_project_sums(attention, torch.zeros(1, 8, 8))
    assert not attention_cpu.can_project_sums(VideoAttention(8, 2, 4, "places"), torch.zeros(1, 9, 8))
    plain = attention.to_v.forward
    attention.to_v.forward = lambda x: 2 * plain(x)  # as hooks do
    assert not attention_cpu.can_project_sums(attention, torch.zeros(1, 9, 8))
    del attention.to_v.forward
    for hook in (attention.to_v.register_forward_hook, attention.to_out[0].register_forward_pre_hook):
        handle = hook(lambda *args: None)
        assert not attention_cpu.can_project_sums(attention, torch.zeros(1, 9, 8))
        handle.remove()
    assert attention_cpu.can_project_sums(attention, torch.zeros(1, 9, 8))
    attention.to_v, own = nn.Linear(8, 8), attention.to_v  # with a bias
    assert not attention_cpu.can_project_sums(attention, torch.zeros(1, 9, 8))
    attention.to_v = own
    frames = VideoAttention(8, 2, 4, "frames")
    frames.set_processor(LinearAttnProcessor())
    assert not attention_cpu.can_project_sums(frames, torch.zeros(1, 2, 9, 8))
    attention.to_out[0] = nn.Sequential(attention.to_out[0])  # as adapters do
    assert not attention_cpu.can_project_sums(attention, torch.zeros(1, 9, 8))
    attention.to_out[0] = attention.to_out[0][0]
    attention.fuse_projections()
    assert not attention_cpu.can_project_sums(attention, torch.zeros(1, 9, 8))


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_weights_turn_where_places_are_more_than_channels(monkeypatch, dtype, tolerance):
    torch.manual_seed(0)
    attention = VideoAttention(8, 2, 6, "frames").to(dtype)
    for projection in (attention.to_q, attention.to_k, attention.to_v):
        projection.weight.mul_(3)
    rotary = positions(4, 6, 4, dtype)
    bias = torch.randn(1, 2, 4, 4, dtype=dtype)
    turned, turn = [], attention_cpu.turned_weight
    monkeypatch.setattr(attention_cpu, "turned_weight", lambda *args: turned.append(1) or turn(*args))
    for batch, side, expected_turns in ((2, 5, 2), (1, 2, 0)):
        x = torch.randn(batch * 4, 8, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
        for block in (1, NEVER):
            turned.clear()
            with ops.limits(attention_block_bytes=block):
                found = attention(x, 4, rotary, bias)
                assert len(turned) == expected_turns
                with torch.enable_grad():
                    expected = attention(x, 4, rotary, bias)
            with ops.plain():
                plain = attention(x, 4, rotary, bias)
            assert len(turned) == expected_turns
            for other in (expected, plain):
                assert (found - other).norm() <= tolerance * (other - x).norm()


@torch.no_grad()
def test_weights_turn_only_where_they_are_all_there_is():
    x, bias = torch.randn(8, 8, 5, 5), torch.randn(1, 2, 4, 4)
    rotary, tokens = positions(4, 6, 4), torch.randn(2, 25, 4, 8)

    def turns(change: Callable[[VideoAttention], object] = lambda attention: None) -> bool:
        """Whether weights turn after a change, and that the numbers are those without."""
        torch.manual_seed(0)
        attention = VideoAttention(8, 2, 6, "frames")
        change(attention)
        found = attention(x, 4, rotary, bias)
        with ops.plain():
            torch.testing.assert_close(found, attention(x, 4, rotary, bias), rtol=1e-4, atol=1e-5)
        return attention_cpu.can_turn_weights(attention, tokens, rotary)

    assert turns()
    assert not turns(lambda attention: attention.to_k.register_forward_hook(lambda module, args, out: 2 * out))
    assert not turns(lambda attention: setattr(attention, "to_q", nn.Linear(8, 12)))  # with a bias
    assert not turns(lambda attention: attention.fuse_projections())
    with torch.autocast("cpu", torch.bfloat16):
        assert not attention_cpu.can_turn_weights(VideoAttention(8, 2, 6, "frames"), tokens, rotary)
    with ops.limits(turned_channels=7):
        assert not turns()


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("size", [1, 1000])  # of logits: one would overflow if exponentials were taken as they are
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 0.02), (torch.float16, 0.003)])
def test_attention_by_products_equals_the_dispatched(dtype, tolerance, size, grad, monkeypatch):
    query, key, value = torch.randn(3, 5, 7, 2, 8).to(dtype).unbind(0)
    taken = []
    for name in ("normalise_first", "normalise_late"):
        own = getattr(attention_cpu, name)
        monkeypatch.setattr(attention_cpu, name, lambda *a, own=own, name=name: taken.append(name) or own(*a))
    for bias in (None, torch.randn(1, 2, 7, 7).to(dtype)):
        with torch.set_grad_enabled(grad):
            plain = attention_cpu.attend_by_products(query * size, key, value, bias)
        exact = (x.double() for x in (query * size, key, value))
        bias = bias.double() if bias is not None else None
        fused = dispatch_attention_fn(*exact, attn_mask=bias)
        error = (plain.double() - fused).square().mean().sqrt() / fused.square().mean().sqrt()
        # Logits of hundreds are further apart than half precision tells: what wins there may be another.
        assert error < tolerance * (20 if size > 1 else 1)
    late = size == 1 and not grad and dtype != torch.float16  # whose exponentials end at 65504
    assert taken == ["normalise_late" if late else "normalise_first"] * 2


def test_many_tokens_and_the_formula_take_the_fused_kernel():
    assert attention_cpu.choose_softmax(torch.zeros(1, 64, 2, 4)) is attention_cpu.attend_by_products
    assert attention_cpu.choose_softmax(torch.zeros(1, 65, 2, 4)) is None
    with ops.plain():
        assert attention_cpu.choose_softmax(torch.zeros(1, 64, 2, 4)) is None
