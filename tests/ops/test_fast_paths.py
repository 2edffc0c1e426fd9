"""What is computed another way on a CPU, against the plain way."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tiny import IMAGE_SIZE, LATENT_SIZE, tiny_lfae, tiny_unet
from torch import nn

from lfdm_diffusers.models import attention_3d, blocks_2d, latent_flow_autoencoder
from lfdm_diffusers.models.attention_3d import LinearAttnProcessor, VideoAttention
from lfdm_diffusers.models.blocks_2d import DownBlock2d, FastConv2d
from lfdm_diffusers.models.blocks_3d import NearestUpsample
from lfdm_diffusers.ops import warp, winograd
from lfdm_diffusers.ops.cpu import concatenate_chunks
from lfdm_diffusers.ops.warp import resample, sampling_grid
from lfdm_diffusers.ops.warp_cpu import gather_resample
from lfdm_diffusers.training.equivariance import RandomTransform
from lfdm_diffusers.training.optimizer import build_optimizer

NEVER = 10**9


def wild_grid(batch: int, count: int, height: int, width: int) -> torch.Tensor:
    """Places in the picture, at its edge, and far outside."""
    generator = torch.Generator().manual_seed(0)
    grid = sampling_grid(height, width) + 0.4 * torch.randn(batch, count, height, width, 2, generator=generator)
    grid[0, 0, 0, 0] = torch.tensor([1e30, -1e30])
    grid[0, 0, 0, 1] = torch.tensor([-1.0, 1.0])
    return grid


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_gathered_rows_equal_grid_sample(padding_mode, pictures):
    feature, grid = torch.randn(pictures, 20, 5, 7), wild_grid(2, 3, 6, 4)
    expected = F.grid_sample(
        feature.expand(2, -1, -1, -1),
        grid.reshape(2, 18, 4, 2),
        mode="bilinear",
        padding_mode=padding_mode,
        align_corners=False,
    )
    expected = expected.unflatten(2, (3, 6)).transpose(1, 2).flatten(0, 1)
    found = gather_resample(feature, grid, padding_mode)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(resample(feature, grid, padding_mode), found, rtol=0, atol=0)  # chosen here


def test_grids_that_are_not_numbers_read_something_and_do_no_harm():
    grid = torch.full((1, 1, 2, 2, 2), float("nan"))
    grid[0, 0, 0] = float("inf")
    for padding_mode in ("zeros", "border"):
        assert gather_resample(torch.randn(1, 16, 4, 4), grid, padding_mode).isfinite().all()


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_gathered_rows_have_the_gradients_of_grid_sample(monkeypatch, padding_mode, pictures):
    feature = torch.randn(pictures, 20, 5, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    grid = wild_grid(2, 3, 6, 4).requires_grad_()
    results = []
    for least in (0, NEVER):
        monkeypatch.setattr(warp, "LEAST_GATHERED_CHANNELS", least)
        out = resample(feature, grid, padding_mode)
        results.append(torch.autograd.grad(out.square().sum(), (feature, grid)))
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
    assert results[0][0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(6, 8), (7, 8), (6, 9)])
def test_pooling_has_the_gradients_of_the_plain_one(layout, size):
    block, plain = DownBlock2d(3, 4).train(), DownBlock2d(3, 4).train()
    plain.load_state_dict(block.state_dict())
    x = torch.randn(2, 3, *size).contiguous(memory_format=layout).requires_grad_()
    found = block(x)
    expected = F.avg_pool2d(plain.norm(plain.conv(x)).relu(), 2)
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(y.square().sum(), x) for y in (found, expected))):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_regions_of_pictures_put_together_are_those_of_each_alone():
    alone, together = tiny_lfae().train(), tiny_lfae().train()
    pictures, transform = torch.rand(2, 2, 3, IMAGE_SIZE, IMAGE_SIZE), RandomTransform.sample(2)
    transformed = transform.warp_picture(pictures[1])
    regions = [alone.region_predictor(picture) for picture in (*pictures, transformed)]
    found = together(*pictures, others=transformed)
    for expected, name in zip(regions, ("reference_regions", "driving_regions", "other_regions")):
        for one, other in zip(found[name].to_tuple(), expected.to_tuple()):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for one, other in zip(together.region_predictor.buffers(), alone.region_predictor.buffers()):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_doubling_and_convolution_in_one(monkeypatch, dtype):
    conv, x = FastConv2d(6, 5, 3, padding=1).to(dtype), torch.randn(2, 6, 7, 4).to(dtype).requires_grad_()
    results = []
    for least in (0, NEVER):
        monkeypatch.setattr(blocks_2d, "LEAST_DOUBLED_PLACES", least)
        out = conv(x, doubled=True)
        gradients = torch.autograd.grad(out.float().square().mean(), (x, conv.weight, conv.bias))
        results.append([out, *gradients])
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, **tolerance)
    assert results[0][0].shape == (2, 5, 14, 8)


@pytest.mark.parametrize("padding_mode", ["reflect", "circular"])
def test_other_paddings_are_doubled_as_they_say(monkeypatch, padding_mode):
    monkeypatch.setattr(blocks_2d, "LEAST_DOUBLED_PLACES", 0)
    up, x = NearestUpsample(4, padding_mode), torch.randn(1, 4, 6, 6)
    plain = nn.Conv2d(4, 4, 3, padding=1, padding_mode=padding_mode)
    plain.load_state_dict(up.conv.state_dict())
    torch.testing.assert_close(up(x), plain(F.interpolate(x, scale_factor=2, mode="nearest")))


@pytest.mark.parametrize(
    "options",
    [{"stride": 2, "padding": 1}, {"padding": 0}, {"dilation": 2, "padding": 1}, {"groups": 2, "padding": 1}],
)
@pytest.mark.parametrize("doubled", [False, True])
def test_other_convolutions_are_computed_as_they_say(monkeypatch, options, doubled):
    for name, value in (("LEAST_DOUBLED_PLACES", 0), ("CHANNELS_A_PLACE", 0)):
        monkeypatch.setattr(blocks_2d, name, value)
    conv, plain, x = FastConv2d(4, 6, 3, **options), nn.Conv2d(4, 6, 3, **options), torch.randn(1, 4, 6, 6)
    plain.load_state_dict(conv.state_dict())
    expected = F.interpolate(x, scale_factor=2, mode="nearest") if doubled else x
    torch.testing.assert_close(conv(x, doubled=doubled), plain(expected))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_few_places_are_a_matrix_product(monkeypatch, kernel_size, layout):
    conv = FastConv2d(6, 5, kernel_size, padding=kernel_size // 2).to(memory_format=layout)
    x = torch.randn(2, 6, 2, 3, requires_grad=True)
    results = []
    for channels in (0, NEVER):
        monkeypatch.setattr(blocks_2d, "CHANNELS_A_PLACE", channels)
        out = conv(x)
        results.append([out, *torch.autograd.grad(out.square().mean(), (x, conv.weight, conv.bias))])
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(1, 8, 5, 8), (3, 6, 12, 7), (2, 5, 3, 1)])
@pytest.mark.parametrize("size", [1, 3000, 2**23])
def test_fewer_multiplications_are_the_same_convolution(monkeypatch, layout, shape, size):
    """Its gradients too, whichever parts it is computed in."""
    torch.manual_seed(0)
    for name in ("BLOCK_BYTES", "WEIGHT_BYTES"):
        monkeypatch.setattr(winograd, name, size)
    weight = torch.randn(7, shape[1], 3, 3).contiguous(memory_format=layout).requires_grad_()
    x, bias = torch.randn(shape, requires_grad=True), torch.randn(7, requires_grad=True)
    gradient = torch.randn(shape[0], 7, *shape[2:])
    for given in ((x, weight, bias), (x, weight)):
        results = []
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


@torch.no_grad()
def test_fewer_multiplications_only_where_they_are_a_convolution_in_float32(monkeypatch):
    monkeypatch.setattr(blocks_2d, "WINOGRAD_PROCESSOR", True)
    channels = blocks_2d.LEAST_WINOGRAD_CHANNELS
    monkeypatch.setattr(blocks_2d, "LEAST_WINOGRAD_PAIRS", channels**2)
    conv, x = FastConv2d(channels, channels, 3, padding=1), torch.randn(2, channels, 16, 16)
    called, convolve = [], blocks_2d.winograd_conv2d
    monkeypatch.setattr(blocks_2d, "winograd_conv2d", lambda *args: called.append(args) or convolve(*args))
    expected = F.conv2d(x, conv.weight, conv.bias, padding=1)
    assert (conv(x) - expected).norm() < 5e-6 * expected.norm()
    assert len(called) == 1
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
    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        FastConv2d(channels, channels, 3, padding=1)(x)
    with blocks_2d.multiplied_in_full():
        FastConv2d(channels, channels, 3, padding=1)(x)
    assert len(called) == 1
    FastConv2d(channels, channels, 3, padding=1)(x)
    assert len(called) == 2


class Quantised(torch.Tensor):
    """A weight that is more than its numbers."""


@pytest.mark.parametrize("bias", [True, False])
def test_few_channels_are_convolved_by_columns(monkeypatch, bias):
    monkeypatch.setattr(blocks_2d, "WIDE_VECTORS", True)
    conv, x = FastConv2d(6, 3, 7, padding=3, bias=bias), torch.randn(2, 6, 5, 9, requires_grad=True)
    results = []
    for few in (3, 2):
        monkeypatch.setattr(blocks_2d, "FEW_CHANNELS", few)
        assert conv.is_of_few_channels(x) == (few == 3)
        out = conv(x)
        results.append([out, *torch.autograd.grad(out.square().mean(), (x, *conv.parameters()))])
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert not conv.is_of_few_channels(x)
    assert not conv.bfloat16().is_of_few_channels(x.bfloat16())


@pytest.mark.parametrize(("axis", "linear"), [("frames", False), ("places", False), ("places", True)])
@pytest.mark.parametrize("batch", [1, 2])
def test_attention_block_by_block(monkeypatch, axis, linear, batch):
    torch.manual_seed(0)
    attention = VideoAttention(8, 2, 4, axis, linear=linear)
    assert isinstance(attention.processor, LinearAttnProcessor) == linear
    x = torch.randn(batch * 3, 8, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    rotary = bias = None
    if axis == "frames":
        rotary = attention_3d.RotaryPositions.create(3, 2, 4, 4, torch.device("cpu"), torch.float32)
        bias = torch.randn(1, 2, 3, 3)
    calls, results = [], []
    attend = VideoAttention._attend
    monkeypatch.setattr(VideoAttention, "_attend", lambda *args: calls.append(args) or attend(*args))
    for size in (1, 1400, NEVER):
        calls.clear()
        monkeypatch.setattr(attention_3d, "BLOCK_BYTES", size)
        out = attention(x, 3, rotary, bias)
        results.append([len(calls), out, *torch.autograd.grad(out.square().mean(), (x, attention.to_q.weight))])
        with torch.no_grad():  # each block is then put in its place
            results[-1].append(attention(x, 3, rotary, bias))
    assert results[0][0] > results[1][0] > results[2][0] == 1
    for blocks in results[:2]:
        for found, expected in zip(blocks[1:], results[2][1:]):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(results[2][-1], results[2][1])


@pytest.mark.parametrize("out_bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_values_are_projected_after_their_sums(monkeypatch, dtype, tolerance, out_bias):
    torch.manual_seed(0)
    attention = VideoAttention(8, 2, 4, "places", linear=True, out_bias=out_bias).to(dtype)
    x = torch.randn(3, 8, 5, 4).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert attention._may_project_sums(x.flatten(2).transpose(1, 2))
    called, project = [], VideoAttention._project_sums
    monkeypatch.setattr(VideoAttention, "_project_sums", lambda *args: called.append(args) or project(*args))
    results = []
    for change in (lambda: None, lambda: monkeypatch.setattr(attention_3d, "is_plain", lambda projection: False)):
        change()
        out = attention(x, 3)
        weights = list(attention.parameters())
        results.append([out, *torch.autograd.grad((out * out.detach().cos()).mean(), (x, *weights))])
    assert len(called) == 1
    for fast, plain in zip(*results):
        assert fast.dtype == dtype
        assert (fast - plain).norm() < tolerance * plain.norm()


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02), (torch.float16, 0.003)]
)
@pytest.mark.parametrize("size", [1.0, 15.0, 300.0])
def test_weighted_sums_are_normalised_late_where_no_exponential_overflows(dtype, tolerance, size):
    torch.manual_seed(0)
    logits, values = (size * torch.randn(2, 7, 3)).to(dtype), torch.randn(2, 7, 4).to(dtype)
    expected = logits.double().softmax(dim=1).transpose(1, 2) @ values.double()
    found = attention_3d.softmax_sums(logits, values)
    assert found.dtype == dtype and (found - expected).norm() < tolerance * expected.norm()
    assert attention_3d.may_normalise_late(logits) == (size < 100 and dtype != torch.float16)


def test_autocast_keeps_its_precision_where_values_are_projected_late(monkeypatch):
    attention = VideoAttention(8, 2, 4, "places", linear=True, out_bias=True)
    x = torch.randn(3, 8, 5, 4, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        late = attention(x, 3)
        monkeypatch.setattr(attention_3d, "is_plain", lambda projection: False)
        first = attention(x, 3)
    assert late.dtype == first.dtype == torch.bfloat16
    assert (late - first).norm() < 0.02 * first.norm()


def test_values_are_projected_first_where_places_are_few_or_weights_are_not_all_there_is():
    attention = VideoAttention(8, 2, 4, "places", linear=True, out_bias=True)
    assert attention._may_project_sums(torch.zeros(1, 9, 8))
    assert not attention._may_project_sums(torch.zeros(1, 8, 8))
    assert not VideoAttention(8, 2, 4, "places")._may_project_sums(torch.zeros(1, 9, 8))
    plain = attention.to_v.forward
    attention.to_v.forward = lambda x: 2 * plain(x)  # as hooks do
    assert not attention._may_project_sums(torch.zeros(1, 9, 8))
    del attention.to_v.forward
    for hook in (attention.to_v.register_forward_hook, attention.to_out[0].register_forward_pre_hook):
        handle = hook(lambda *args: None)
        assert not attention._may_project_sums(torch.zeros(1, 9, 8))
        handle.remove()
    assert attention._may_project_sums(torch.zeros(1, 9, 8))
    frames = VideoAttention(8, 2, 4, "frames")
    frames.set_processor(LinearAttnProcessor())
    assert not frames._may_project_sums(torch.zeros(1, 9, 8))
    attention.to_out[0] = nn.Sequential(attention.to_out[0])  # as adapters do
    assert not attention._may_project_sums(torch.zeros(1, 9, 8))
    attention.to_out[0] = attention.to_out[0][0]
    attention.fuse_projections()
    assert not attention._may_project_sums(torch.zeros(1, 9, 8))


@torch.no_grad()
def test_positions_turn_in_place_only_where_no_gradient_is_asked_for():
    rotary = attention_3d.RotaryPositions.create(3, 2, 4, 4, torch.device("cpu"), torch.float32)
    x = torch.randn(5, 3, 2, 4)
    kept = x.clone()
    with torch.enable_grad():
        expected = rotary.rotate(x)
    assert torch.equal(x, kept)
    turned = rotary.rotate(x)
    assert torch.equal(turned, expected) and turned.data_ptr() == x.data_ptr()


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_weights_turn_where_places_are_more_than_channels(monkeypatch, dtype, tolerance):
    torch.manual_seed(0)
    attention = VideoAttention(8, 2, 6, "frames").to(dtype)
    for projection in (attention.to_q, attention.to_k, attention.to_v):
        projection.weight.mul_(3)
    rotary = attention_3d.RotaryPositions.create(4, 2, 6, 4, torch.device("cpu"), dtype)
    bias = torch.randn(1, 2, 4, 4, dtype=dtype)
    turned = []
    rotated = attention_3d.RotaryPositions.rotated_weight
    monkeypatch.setattr(
        attention_3d.RotaryPositions, "rotated_weight", lambda *args: turned.append(1) or rotated(*args)
    )
    for batch, side, expected_turns in ((2, 5, 2), (1, 2, 0)):
        x = torch.randn(batch * 4, 8, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
        for block in (1, NEVER):
            monkeypatch.setattr(attention_3d, "BLOCK_BYTES", block)
            turned.clear()
            found = attention(x, 4, rotary, bias)
            assert len(turned) == expected_turns
            with torch.enable_grad():
                expected = attention(x, 4, rotary, bias)
            assert len(turned) == expected_turns
            assert (found - expected).norm() <= tolerance * (expected - x).norm()


@torch.no_grad()
def test_weights_turn_only_where_they_are_all_there_is(monkeypatch):
    x, bias = torch.randn(8, 8, 5, 5), torch.randn(1, 2, 4, 4)
    rotary = attention_3d.RotaryPositions.create(4, 2, 6, 4, torch.device("cpu"), torch.float32)
    tokens = torch.randn(2, 25, 4, 8)

    def turns(change: Callable[[VideoAttention], object] = lambda attention: None) -> bool:
        """Whether weights turn after a change, and that the numbers are those without."""
        torch.manual_seed(0)
        attention = VideoAttention(8, 2, 6, "frames")
        change(attention)
        found = attention(x, 4, rotary, bias)
        with torch.enable_grad():
            torch.testing.assert_close(found, attention(x, 4, rotary, bias), rtol=1e-4, atol=1e-5)
        return attention._turned_weights(tokens, rotary) is not None

    assert turns()
    assert not turns(lambda attention: attention.to_k.register_forward_hook(lambda module, args, out: 2 * out))
    assert not turns(lambda attention: setattr(attention, "to_q", nn.Linear(8, 12)))  # with a bias
    assert not turns(lambda attention: attention.fuse_projections())
    with torch.autocast("cpu", torch.bfloat16):
        assert VideoAttention(8, 2, 6, "frames")._turned_weights(tokens, rotary) is None
    monkeypatch.setattr(attention_3d, "MOST_TURNED_CHANNELS", 7)
    assert not turns()


def test_frames_are_decoded_in_chunks_that_suit_the_device(monkeypatch):
    lfae = tiny_lfae()
    encoded = lfae.encode(torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    flow = lfae.identity_grid(LATENT_SIZE, LATENT_SIZE).permute(2, 0, 1)[None, :, None].repeat(1, 1, 6, 1, 1)
    flow, occlusion = flow + 0.1 * torch.randn(flow.shape), torch.rand(1, 1, 6, LATENT_SIZE, LATENT_SIZE)
    frames = []
    decode = lfae._decode_frames
    monkeypatch.setattr(lfae, "_decode_frames", lambda enc, maps: frames.append(maps[0].shape[1]) or decode(enc, maps))
    with torch.no_grad():
        whole = lfae.decode(encoded, flow, occlusion, chunk_size=6).sample
        largest = max(skip[0].numel() for skip in encoded.skips) * 4
        monkeypatch.setattr(latent_flow_autoencoder, "CPU_CHUNK_BYTES", 2 * largest)
        torch.testing.assert_close(lfae.decode(encoded, flow, occlusion).sample, whole)
        assert frames == [6, 2, 2, 2]
        lfae.train()  # BatchNorm's statistics would be those of a chunk
        lfae.decode(encoded, flow, occlusion)
    assert frames[4:] == [6] and whole.shape[-1] == IMAGE_SIZE


def test_frames_are_put_together_as_they_come():
    """None of a chunk is kept until the next: between large tensors that are freed, small ones leave holes in memory."""
    kept: list[weakref.ref] = []

    def chunks(sizes: tuple[int, ...]):
        for size in sizes:
            assert not any(chunk() is not None for chunk in kept)
            expected.append([torch.randn(2, size, channels, 4, 4) for channels in (3, 1)])
            made = [x.clone() for x in expected[-1]]
            kept.extend(map(weakref.ref, made))
            yield tuple(made.pop(0) for _ in range(2))

    for sizes in ((5,), (2, 2, 1)):
        expected: list[list[torch.Tensor]] = []
        kept.clear()
        found = concatenate_chunks(chunks(sizes), 5)
        assert all(whole.is_contiguous() for whole in found)
        for whole, parts in zip(found, zip(*expected)):
            torch.testing.assert_close(whole, torch.cat(parts, dim=1), rtol=0, atol=0)
    same = torch.randn(2, 5, 3, 4, 4)  # without skips a frame is what was inpainted
    first, second = concatenate_chunks([(same, same)], 5)
    assert first.data_ptr() != second.data_ptr()
    parts = torch.randn(1, 4, 3, 2, 2, requires_grad=True)
    (whole,) = concatenate_chunks(((part,) for part in (2 * parts).split(2, dim=1)), 4)
    (gradient,) = torch.autograd.grad(whole.square().sum(), parts)
    torch.testing.assert_close(gradient, 8 * parts)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fused_adam_equals_the_plain_one_whatever_the_layout(layout):
    generator, start = torch.Generator().manual_seed(0), torch.randn(4, 3, 3, 3)
    fused, plain = (nn.Parameter(start.clone(memory_format=layout)) for _ in range(2))
    optimizers = build_optimizer([fused], 1e-2, (0.5, 0.9)), torch.optim.Adam([plain], 1e-2, (0.5, 0.9))
    for _ in range(5):
        gradient = torch.randn(4, 3, 3, 3, generator=generator)
        for weight, optimizer in zip((fused, plain), optimizers):
            weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(fused, plain)


def test_fused_adam_goes_on_from_averages_of_another_layout():
    start, gradients = torch.randn(4, 3, 3, 3), torch.randn(4, 4, 3, 3, 3)
    plain = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([plain], 1e-2)
    for number, gradient in enumerate(gradients):
        if number == 2:
            fused = nn.Parameter(plain.detach().clone(memory_format=torch.channels_last))
            resumed = build_optimizer([fused], 1e-2, (0.9, 0.999))
            saved = copy.deepcopy(optimizer.state_dict()["state"])
            resumed.load_state_dict(resumed.state_dict() | {"state": saved})
        plain.grad = gradient.clone()
        optimizer.step()
        if number >= 2:
            fused.grad = gradient.clone()
            resumed.step()
    torch.testing.assert_close(fused, plain)


def test_models_give_the_same_either_way(monkeypatch):
    """All of it together, in models as small as these, where none of it would be chosen."""
    lfae, unet = tiny_lfae(), tiny_unet()
    reference, driving = torch.rand(2, 1, 3, IMAGE_SIZE, IMAGE_SIZE).unbind(0)
    volume, embeds = torch.randn(1, 3, 4, 8, 8), torch.randn(1, 16)
    latents = torch.randn(1, unet.config.image_latent_channels, 8, 8)
    results = []
    for doubled, channels, gathered, block, multiplied, few in (
        (NEVER, NEVER, NEVER, NEVER, NEVER, 0),
        (0, 0, 1, 1, 1, 4),
    ):
        monkeypatch.setattr(blocks_2d, "LEAST_DOUBLED_PLACES", doubled)
        monkeypatch.setattr(blocks_2d, "CHANNELS_A_PLACE", channels)
        monkeypatch.setattr(warp, "LEAST_GATHERED_CHANNELS", gathered)
        monkeypatch.setattr(attention_3d, "BLOCK_BYTES", block)
        for processor in ("WINOGRAD_PROCESSOR", "WIDE_VECTORS"):
            monkeypatch.setattr(blocks_2d, processor, True)
        for limit in ("CHANNELS", "PAIRS", "TILES"):
            monkeypatch.setattr(blocks_2d, f"LEAST_WINOGRAD_{limit}", multiplied)
        monkeypatch.setattr(blocks_2d, "FEW_CHANNELS", few)
        with torch.no_grad():
            made = lfae(reference, driving)
            results.append([made.sample, made.flow, unet(volume, 3, embeds, latents).sample])
    for fast, plain in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
