"""The 3-D U-Net: fast paths against plain ones, sizes, conditions, and what diffusers' tools expect of a model."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from tiny import tiny_unet

from lfdm_diffusers import UNet3DVideoModel, ops
from lfdm_diffusers.models import attention_3d
from lfdm_diffusers.models.attention_3d import (
    LinearAttnProcessor,
    RelativePositionBias,
    RotaryPositions,
)
from lfdm_diffusers.models.blocks_3d import FrameGroupNorm


def inputs(batch: int = 2, frames: int = 4, height: int = 8, width: int = 8, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "sample": torch.randn(batch, 3, frames, height, width, generator=generator),
        "timestep": torch.tensor([3, 700][:batch]),
        "text_embeds": torch.randn(batch, 16, generator=generator),
        "image_latents": torch.randn(batch, 16, height, width, generator=generator),
    }


def test_group_norm_with_film_equals_the_plain_formula_over_all_frames():
    norm = FrameGroupNorm(4, 16, eps=1e-5)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    for batch in (1, 2):
        x = torch.randn(batch * 3, 16, 5, 4).contiguous(memory_format=torch.channels_last)
        film = torch.randn(batch, 32)
        volume = x.unflatten(0, (batch, 3)).transpose(1, 2)  # (B, C, F, h, w)
        scale, shift = film[:, :, None, None, None].chunk(2, dim=1)
        plain = torch.nn.functional.group_norm(volume, 4, norm.weight, norm.bias, 1e-5)
        plain = torch.nn.functional.silu(plain * (scale + 1) + shift).transpose(1, 2).flatten(0, 1)
        torch.testing.assert_close(norm(x, 3, film), plain, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(norm(x, 3, film), plain, rtol=1e-4, atol=1e-5)


def test_rotary_positions_turn_pairs():
    rotary = RotaryPositions.create(5, 2, 8, 4, torch.device("cpu"), torch.float32)
    x = torch.randn(3, 5, 2, 8)
    turned = rotary.rotate(x)
    torch.testing.assert_close(turned[..., 4:], x[..., 4:])
    angle = torch.arange(5)[:, None] * 10000.0 ** (-torch.tensor([0.0, 2.0]) / 4)  # (F, pairs)
    pairs = torch.view_as_complex(x[..., :4].unflatten(-1, (2, 2)).contiguous())
    expected = torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)[:, None]).flatten(-2)
    torch.testing.assert_close(turned[..., :4], expected)


def test_relative_position_buckets():
    buckets = RelativePositionBias(2).buckets(40)
    assert buckets[0, 0] == 0 and buckets[7, 0] == 7 and buckets[8, 0] == 8
    assert buckets[0, 1] == 17  # the key is later
    assert buckets[39, 0] == 15 and buckets[0, 39] == 31


def test_linear_attention_equals_its_definition():
    query, key, value = torch.randn(3, 2, 6, 4, 8).unbind(0)
    q, k = query.softmax(-1) * 8**-0.5, key.softmax(1)
    expected = torch.einsum("bhde,blhd->blhe", torch.einsum("blhd,blhe->bhde", k, value), q)
    torch.testing.assert_close(LinearAttnProcessor()(None, query, key, value), expected)


@torch.no_grad()
def test_image_projection_is_the_same_as_image_latents():
    unet = tiny_unet()
    arguments = inputs()
    whole = unet(**arguments).sample
    arguments["image_projection"] = unet.project_image(arguments.pop("image_latents"))
    torch.testing.assert_close(unet(**arguments).sample, whole)


@torch.no_grad()
def test_a_batch_of_pictures_equals_single_calls():
    """Each row sees its own picture in all of its frames, also where the picture was projected before."""
    unet, arguments = tiny_unet(), inputs()
    projected = {k: v for k, v in arguments.items() if k != "image_latents"}
    projected["image_projection"] = unet.project_image(arguments["image_latents"])
    for given in (arguments, projected):
        both = unet(**given).sample
        for row in range(2):
            single = unet(**{k: v[row : row + 1] for k, v in given.items()}).sample
            torch.testing.assert_close(single, both[row : row + 1], rtol=1e-4, atol=1e-5)
        swapped = unet(**given | {name: given[name].flip(0) for name in given if name.startswith("image")}).sample
        assert (swapped - both).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-3


@torch.no_grad()
def test_batch_equals_singles_and_one_picture_serves_all():
    unet = tiny_unet()
    arguments = inputs()
    arguments["image_latents"] = arguments["image_latents"][:1]
    both = unet(**arguments).sample
    for row in range(2):
        single = {k: v if k == "image_latents" else v[row : row + 1] for k, v in arguments.items()}
        torch.testing.assert_close(unet(**single).sample, both[row : row + 1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("frames,height,width", [(1, 8, 8), (7, 4, 12), (70, 2, 2)])
def test_other_frame_counts_and_sizes(frames, height, width):
    unet, arguments = tiny_unet(), inputs(1, frames, height, width)
    output = unet(**arguments).sample
    assert output.shape == arguments["sample"].shape
    with ops.plain():
        torch.testing.assert_close(output, unet(**arguments).sample, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_patches_are_channels_of_a_coarser_volume():
    patched = tiny_unet(patch_size=2)
    arguments = inputs()
    output = patched(**arguments).sample
    assert output.shape == arguments["sample"].shape

    def coarse(x: torch.Tensor) -> torch.Tensor:  # (B, C, F, h, w) -> (B, 4C, F, h/2, w/2)
        return torch.nn.functional.pixel_unshuffle(x.transpose(1, 2), 2).transpose(1, 2)

    arguments["sample"] = coarse(arguments["sample"])
    arguments["image_latents"] = torch.nn.functional.pixel_unshuffle(arguments["image_latents"], 2)
    expected = []
    # Models without patches whose first head is the patched one's head for flow (2 x 4 channels), or for occlusion (4).
    for head, channels in (("flow_head", 8), ("occlusion_head", 4)):
        plain = tiny_unet(
            in_channels=12,
            image_latent_channels=64,
            out_channels=channels + 1,
            target_mean=[0.0] * (channels + 1),
            target_std=[1.0] * (channels + 1),
        )
        state = {k: v for k, v in patched.state_dict().items() if not k.startswith(("flow_head", "occlusion_head"))}
        state |= {f"flow_head.{k}": v for k, v in getattr(patched, head).state_dict().items()}
        state |= {k: v for k, v in plain.state_dict().items() if k.startswith("occlusion_head")}
        plain.load_state_dict(state)
        expected.append(plain(**arguments).sample[:, :channels])
    torch.testing.assert_close(coarse(output), torch.cat(expected, dim=1), rtol=1e-4, atol=1e-5)


def test_patches_must_fit():
    with pytest.raises(ValueError, match="`patch_size` must be a whole number from 1 to 16384, got 0"):
        tiny_unet(patch_size=0)
    unet = tiny_unet(patch_size=2)
    assert unet.size_stride == 2 * tiny_unet().size_stride
    with pytest.raises(ValueError, match=f"multiples of {unet.size_stride}"):
        unet(**inputs(height=unet.size_stride + 2))
    with pytest.raises(ValueError, match=r"`image_latents` is 8x7 places .* multiples of 2"):
        unet.project_image(torch.zeros(1, 16, 8, 7))


@torch.no_grad()
def test_frames_see_each_other_and_their_order():
    unet = tiny_unet()
    arguments = inputs(1)
    output = unet(**arguments).sample
    backwards = unet(**{**arguments, "sample": arguments["sample"].flip(2)}).sample
    assert (output.flip(2) - backwards).abs().max() > 1e-3  # positions matter
    changed = arguments["sample"].clone()
    changed[:, :, 3] += 1
    assert (unet(**{**arguments, "sample": changed}).sample - output)[:, :, 0].abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("learned", [False, True])
def test_null_condition(learned):
    unet = tiny_unet(learned_null_embedding=learned)
    arguments = inputs()
    null = unet(**{**arguments, "text_embeds": None}).sample
    conditional = unet(**arguments).sample
    assert (null - conditional).abs().max() > 1e-4
    mixed = unet(**arguments, null_mask=torch.tensor([True, False])).sample
    torch.testing.assert_close(mixed[0], null[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed[1], conditional[1], rtol=1e-4, atol=1e-5)
    zeros = unet(**{**arguments, "text_embeds": torch.zeros(2, 16)}).sample
    assert torch.allclose(zeros, null, atol=1e-5) is not learned


@torch.no_grad()
@pytest.mark.parametrize("timestep", [3, 3.0, torch.tensor(3), torch.tensor([3]), torch.tensor([3.0, 3.0])])
def test_timesteps_of_every_kind(timestep):
    unet = tiny_unet()
    arguments = inputs()
    expected = unet(**{**arguments, "timestep": torch.tensor([3, 3])}).sample
    torch.testing.assert_close(unet(**{**arguments, "timestep": timestep}).sample, expected)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    arguments = inputs()
    exact = tiny_unet()(**arguments).sample
    half = tiny_unet().to(dtype)(**{k: v.to(dtype) if v.is_floating_point() else v for k, v in arguments.items()})
    assert half.sample.dtype == dtype
    assert (half.sample.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        unet = tiny_unet().train()
        if checkpointing:
            unet.enable_gradient_checkpointing()
        unet(**inputs()).sample.square().mean().backward()
        gradients.append({name: p.grad for name, p in unet.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_learned_null_vector_always_gets_a_gradient_in_training():
    unet = tiny_unet(learned_null_embedding=True).train()
    for null, moved in ((True, True), (False, False)):
        unet.zero_grad()
        unet(**inputs(), null_mask=torch.tensor([null, False])).sample.square().mean().backward()
        assert (unet.null_text_embed.grad.abs().max() > 0) == moved


@torch.no_grad()
@pytest.mark.parametrize(("upsample", "more"), [("deconv", ()), ("nearest", ("upsample.conv",))])
def test_lora(tmp_path, upsample, more):
    unet = tiny_unet(upsample_type=upsample)
    arguments = inputs()
    before = unet(**arguments).sample
    targets = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv_image", *more]
    unet.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    adapted = unet(**arguments).sample
    assert (adapted - before).abs().max() > 1e-3
    unet.save_lora_adapter(tmp_path)
    fresh = tiny_unet(upsample_type=upsample)
    fresh.load_lora_adapter(tmp_path, prefix=None, weight_name="pytorch_lora_weights.safetensors")
    torch.testing.assert_close(fresh(**arguments).sample, adapted)
    fresh.disable_adapters()
    torch.testing.assert_close(fresh(**arguments).sample, before)


@torch.no_grad()
def test_attention_backend_is_honoured(monkeypatch):
    unet = tiny_unet()
    arguments = inputs()
    before = unet(**arguments).sample
    backends = []
    dispatch = attention_3d.dispatch_attention_fn

    def spy(*args, **kwargs):
        backends.append(kwargs["backend"])
        return dispatch(*args, **kwargs)

    monkeypatch.setattr(attention_3d, "dispatch_attention_fn", spy)
    unet.set_attention_backend("_native_math")
    after = unet(**arguments).sample
    unet.reset_attention_backend()
    assert {backend.value for backend in backends} == {"_native_math"}
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_fused_projections_give_the_same_numbers():
    unet = tiny_unet()
    arguments = inputs()
    before = unet(**arguments).sample
    unet.fuse_qkv_projections()
    torch.testing.assert_close(unet(**arguments).sample, before, rtol=1e-4, atol=1e-5)
    unet.unfuse_qkv_projections()
    torch.testing.assert_close(unet(**arguments).sample, before)


@pytest.mark.integration
@pytest.mark.ends
@torch.no_grad()
def test_compiles_in_one_graph():
    unet = tiny_unet()
    arguments = inputs()
    torch.compiler.reset()
    compiled = torch.compile(unet, backend="aot_eager", fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(2):
            arguments = inputs(seed=seed)
            torch.testing.assert_close(compiled(**arguments).sample, unet(**arguments).sample, rtol=1e-4, atol=1e-5)


@pytest.mark.integration
@pytest.mark.ends
@torch.no_grad()
def test_compiles_once_for_all_sizes():
    """Frame counts and sizes on both sides of what faster ways are chosen by: none of it is a reason to compile again."""
    from torch._dynamo.testing import CompileCounter  # seconds, which every run of other tests would pay

    unet, seen = tiny_unet(), CompileCounter()
    torch.compiler.reset()
    compiled = torch.compile(unet, backend=seen, dynamic=True, fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        # All sizes differ at first, as torch takes equal ones for the same; on one thread its own convolutions ask for 16 maps.
        for frames, height, width in ((9, 8, 12), (70, 4, 6), (8, 16, 10)):
            arguments = inputs(2, frames, height, width)
            torch.testing.assert_close(compiled(**arguments).sample, unet(**arguments).sample, rtol=1e-4, atol=1e-5)
    assert seen.frame_count == 1


@pytest.mark.integration
@pytest.mark.ends
@torch.no_grad()
def test_exports_for_all_sizes():
    unet = tiny_unet()
    frames, height, width = (torch.export.Dim(name, min=1, max=500) for name in ("frames", "height", "width"))
    frames, height, width = frames, 2 * height, 2 * width
    arguments = inputs(2, 5, 8, 12)
    shapes = {
        "sample": {2: frames, 3: height, 4: width},
        "timestep": None,
        "text_embeds": None,
        "image_latents": {2: height, 3: width},
    }
    program = torch.export.export(unet, (), arguments, dynamic_shapes=shapes).module()
    for sizes in ((5, 8, 12), (70, 4, 6)):
        arguments = inputs(2, *sizes)
        torch.testing.assert_close(program(**arguments).sample, unet(**arguments).sample, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_layerwise_casting_runs():
    unet = tiny_unet()
    arguments = inputs()
    before = unet(**arguments).sample
    unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    after = unet(**arguments).sample
    assert unet.conv_image.weight.dtype == torch.float8_e4m3fn
    assert (after - before).abs().mean() < 0.3 * before.abs().mean()


@pytest.mark.parametrize(
    "change,message",
    [
        ({"sample": torch.zeros(2, 4, 4, 8, 8)}, r"`sample` must have shape \(batch, 3, frames"),
        ({"sample": torch.zeros(2, 3, 4, 7, 8)}, "`sample` is 7x8 .* multiples of 2"),
        ({"text_embeds": torch.zeros(2, 5)}, r"`text_embeds` must have shape \(2, 16\)"),
        ({"image_latents": torch.zeros(2, 5, 8, 8)}, r"`image_latents` must have shape \(batch, 16"),
        ({"image_latents": torch.zeros(2, 16, 4, 4)}, "latent map must be 8x8"),
        ({"image_latents": None}, "either `image_latents` or `image_projection`"),
        ({"null_mask": torch.tensor([True])}, "`null_mask` must be booleans of shape"),
        ({"timestep": torch.tensor([1, 2, 3])}, "`timestep` must be one number or 2"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        tiny_unet()(**{**inputs(), **change})


@pytest.mark.parametrize(
    "options", [{"upsample_type": "x"}, {"padding_mode": "x"}, {"prediction_type": "x"}, {"flow_target": "x"}]
)
def test_bad_configurations_are_named(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be one of"):
        tiny_unet(**options)


@torch.no_grad()
def test_released_variants_round_trip(tmp_path):
    unet = tiny_unet(upsample_type="nearest", padding_mode="reflect", learned_null_embedding=True, base_channels=8)
    arguments = inputs()
    unet.save_pretrained(tmp_path, max_shard_size="40KB")
    assert (tmp_path / "diffusion_pytorch_model.safetensors.index.json").is_file()
    again = UNet3DVideoModel.from_pretrained(tmp_path)
    torch.testing.assert_close(again(**arguments).sample, unet(**arguments).sample)
