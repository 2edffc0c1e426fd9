"""The latent flow auto-encoder: shapes, sizes, precision, variants, errors, gradient checkpointing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tiny import IMAGE_SIZE, LATENT_SIZE, tiny_image, tiny_lfae
from torch.utils.checkpoint import checkpoint

from lfdm_diffusers import LatentFlowAutoencoder, ops
from lfdm_diffusers.models.blocks_2d import ConvBlock
from lfdm_diffusers.models.checkpointing import buffers_put_back
from lfdm_diffusers.training.equivariance import RandomTransform
from lfdm_diffusers.training.lfae import LFAELoss
from lfdm_diffusers.training.reconstruction_loss import PixelPyramidLoss


def pictures(batch: int = 2, height: int = 32, width: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, height, width, generator=generator), torch.rand(
        batch, 3, height, width, generator=generator
    )


@torch.no_grad()
@pytest.mark.parametrize("batch,height,width", [(1, 32, 32), (3, 32, 48), (1, 16, 64)])
def test_shapes_ranges_and_the_warp(batch, height, width):
    reference, driving = pictures(batch, height, width)
    output = tiny_lfae()(reference, driving)
    for name in ("sample", "warped", "inpainted"):
        assert output[name].shape == (batch, 3, height, width)
        assert output[name].min() >= 0 and output[name].max() <= 1
    assert output.flow.shape == (batch, 2, height // 4, width // 4)
    assert output.occlusion.shape == (batch, 1, height // 4, width // 4)
    assert output.driving_regions.affine.shape == (batch, 3, 2, 2)
    grid = F.interpolate(output.flow, (height, width), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    torch.testing.assert_close(output.warped, F.grid_sample(reference, grid, align_corners=False), rtol=0, atol=1e-5)


@torch.no_grad()
def test_clips_equal_single_frames_whatever_the_chunks():
    lfae = tiny_lfae()
    reference, _ = pictures()
    clip = torch.rand(2, 3, 5, 32, 32)
    motion = lfae.predict_flow(reference, clip)
    encoded = lfae.encode(reference)
    whole = lfae.decode(encoded, motion.flow, motion.occlusion)
    chunked = lfae.decode(encoded, motion.flow, motion.occlusion, chunk_size=2)
    torch.testing.assert_close(whole.sample, chunked.sample)
    for frame in range(5):
        single = lfae(reference, clip[:, :, frame])
        torch.testing.assert_close(single.flow, motion.flow[:, :, frame])
        torch.testing.assert_close(single.occlusion, motion.occlusion[:, :, frame])
        for name in ("sample", "warped", "inpainted"):
            torch.testing.assert_close(single[name], whole[name][:, :, frame])


@torch.no_grad()
def test_one_encoded_picture_serves_many_flows():
    lfae = tiny_lfae()
    flow, occlusion = torch.rand(3, 2, 2, 8, 8) * 2 - 1, torch.rand(3, 1, 2, 8, 8)
    image = tiny_image()[None]
    once = lfae.decode(lfae.encode(image), flow, occlusion).sample
    each = lfae.decode(lfae.encode(image.repeat(3, 1, 1, 1)), flow, occlusion).sample
    torch.testing.assert_close(once, each)


def test_the_picture_is_encoded_once_per_clip(monkeypatch):
    lfae = tiny_lfae()
    calls = []
    lfae.conv_in.register_forward_hook(lambda *_: calls.append(1))
    lfae(tiny_image()[None], tiny_image()[None, :, None].repeat(1, 1, 6, 1, 1))
    assert len(calls) == 1


@torch.no_grad()
def test_full_occlusion_keeps_the_warped_picture_and_none_the_inpainted():
    lfae = tiny_lfae()
    encoded = lfae.encode(tiny_image()[None])
    flow = torch.rand(1, 2, 8, 8) * 2 - 1
    kept = lfae.decode(encoded, flow, torch.ones(1, 1, 8, 8))
    torch.testing.assert_close(kept.sample, kept.warped)
    painted = lfae.decode(encoded, flow, torch.zeros(1, 1, 8, 8))
    torch.testing.assert_close(painted.sample, painted.inpainted)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    exact = tiny_lfae()(*pictures())
    half = tiny_lfae().to(dtype)(*(x.to(dtype) for x in pictures()))
    assert half.sample.dtype == dtype
    assert half.flow.dtype == half.occlusion.dtype == torch.float32
    assert half.driving_regions.affine.dtype == torch.float32
    assert (half.sample.float() - exact.sample).abs().mean() < 0.02
    assert (half.flow - exact.flow).abs().mean() < 0.02


def test_autocast_keeps_geometry_in_float32():
    lfae, exact = tiny_lfae().train(), tiny_lfae().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = lfae(*pictures())
    expected = exact(*pictures())
    assert output.flow.dtype == output.driving_regions.covar.dtype == torch.float32
    assert (output.sample.float() - expected.sample).abs().mean() < 0.02
    for result in (output, expected):
        result.sample.float().square().mean().backward()
    ours, theirs = (torch.cat([p.grad.flatten() for p in m.parameters() if p.grad is not None]) for m in (lfae, exact))
    assert F.cosine_similarity(ours, theirs, dim=0) > 0.95


def test_every_parameter_gets_a_gradient():
    lfae = tiny_lfae().train()
    # Background and its encoder start at zero weight: one step away they all take part.
    torch.nn.init.normal_(lfae.background_predictor.fc.weight, std=0.1)
    lfae(*pictures()).sample.square().mean().backward()
    without = [name for name, p in lfae.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize(
    "options",
    [
        {"background_motion": "zero"},
        {"background_motion": "shift"},
        {"background_motion": "perspective"},
        {"use_skips": False},
        {"use_deformed_source": False},
        {"use_covar_heatmap": False},
        {"revert_axis_swap": False},
        {"region_padding": 0, "region_num_blocks": 1},
        {"flow_scale": 0.5, "region_scale": 1.0},
    ],
)
def test_variants_run_and_round_trip(options, tmp_path):
    lfae = tiny_lfae(**options)
    with torch.no_grad():
        output = lfae(*pictures())
        lfae.save_pretrained(tmp_path)
        again = LatentFlowAutoencoder.from_pretrained(tmp_path)(*pictures())
        usual = tiny_lfae()
        shapes = {name: value.shape for name, value in usual.state_dict().items()}
        known = {name: value for name, value in lfae.state_dict().items() if shapes.get(name) == value.shape}
        usual.load_state_dict(known, strict=False)
        usual = usual(*pictures())
    torch.testing.assert_close(output.sample, again.sample)
    # The same weights mean something else; but every kind of background motion starts at none, and axes are seldom swapped.
    unchanged = options.keys() & {"background_motion", "revert_axis_swap"}
    assert torch.allclose(output.sample, usual.sample, atol=1e-5) == bool(unchanged)


def test_background_starts_at_the_identity():
    lfae = tiny_lfae()
    matrix = lfae.background_predictor(*pictures())
    torch.testing.assert_close(matrix, torch.eye(3).expand(2, 3, 3))


def test_sizes_that_do_not_fit_name_the_nearest():
    lfae = tiny_lfae()
    image = torch.rand(1, 3, 30, 33)
    with pytest.raises(ValueError, match=r"`image` is 30x33 .* multiples of 4\. .*height 28 or 32, width 32 or 36"):
        lfae.encode(image)
    assert lfae.flow_stride == 16
    with pytest.raises(ValueError, match=r"`reference` .* multiples of 16\. .*height 16 or 32, width 32 or 48"):
        lfae.predict_flow(image, image)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"flow": torch.zeros(1, 3, 8, 8)}, "`flow` must have shape"),
        ({"occlusion": torch.zeros(2, 1, 4, 4)}, "`occlusion` must have shape"),
        ({"chunk_size": 0}, "`chunk_size` must be a whole number of at least 1"),
        ({"flow": torch.zeros(3, 2, 8, 8), "occlusion": torch.zeros(3, 1, 8, 8)}, "`encoded` holds 2 pictures"),
    ],
)
def test_decode_names_what_is_wrong(change, message):
    lfae = tiny_lfae()
    arguments = {"flow": torch.zeros(2, 2, 8, 8), "occlusion": torch.zeros(2, 1, 8, 8), **change}
    with pytest.raises(ValueError, match=message):
        lfae.decode(lfae.encode(pictures()[0]), **arguments)


def test_reference_and_driving_must_agree():
    lfae = tiny_lfae()
    with pytest.raises(ValueError, match="`reference` and `driving` must agree"):
        lfae(torch.rand(1, 3, 32, 32), torch.rand(2, 3, 32, 32))
    with pytest.raises(ValueError, match="`driving` must have shape"):
        lfae(torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32))


@pytest.mark.parametrize(
    "options,message",
    [
        ({"flow_scale": 0.3}, "`flow_scale` must be 1/n"),
        ({"background_motion": "x"}, "`background_motion` must be"),
        ({"region_temperature": 0}, "`region_temperature` must be positive"),
        ({"region_padding": 4}, "`region_padding` must be from 0 to 3"),
    ],
)
def test_bad_configurations(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_lfae(**options)


@torch.no_grad()
def test_centered_flow_keeps_the_picture():
    """With flow_grid="centers" no motion is the identity at every size, up to the borders; "corners" stretches."""
    picture = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    for flow_grid, intact in (("centers", True), ("corners", False)):
        lfae = tiny_lfae(flow_grid=flow_grid, warp_padding="border")
        flow = lfae.identity_grid(LATENT_SIZE, LATENT_SIZE).permute(2, 0, 1)[None]
        warped = lfae.decode(lfae.encode(picture), flow, torch.ones(1, 1, LATENT_SIZE, LATENT_SIZE)).warped
        assert ((warped - picture).abs().max() < 1e-5) == intact
        # A shift by a pixel of the latent map, a quarter of the picture's: the same at every size.
        shifted = lfae.decode(
            lfae.encode(picture), flow + torch.tensor([2 / LATENT_SIZE, 0]).view(1, 2, 1, 1), flow[:, :1] * 0
        ).warped
        step = IMAGE_SIZE // LATENT_SIZE
        assert ((shifted[..., :-step] - picture[..., step:]).abs().max() < 1e-5) == intact
    with pytest.raises(ValueError, match="`flow_grid` must be one of"):
        tiny_lfae(flow_grid="center")


def test_centered_regions():
    """Regions are described in the same coordinates as flows."""
    picture = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    with torch.no_grad():
        corners, centers = (
            tiny_lfae(region_scale=0.5, flow_grid=grid).region_predictor(picture) for grid in ("corners", "centers")
        )
    size = IMAGE_SIZE // 2
    torch.testing.assert_close(centers.shift, corners.shift * (size - 1) / size)
    torch.testing.assert_close(centers.covar, corners.covar * ((size - 1) / size) ** 2)


# ---- gradient checkpointing -----------------------------------------------------------------------------------------


def training_step(checkpointing: bool, training: bool, autocast: bool, function: Callable | None = None) -> dict:
    """Loss, gradients and buffers after one step of stage one, in which the region predictor runs three times."""
    lfae = tiny_lfae().train(training)
    if checkpointing:
        lfae.enable_gradient_checkpointing(function)
    transform = RandomTransform.sample(2, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        losses, _ = LFAELoss(lfae, PixelPyramidLoss())(*pictures(), transform)
    loss = sum(losses.values())
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in lfae.named_parameters() if parameter.grad is not None}
    return {"loss": loss.detach(), **gradients, **dict(lfae.named_buffers())}


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_gradient_checkpointing_changes_nothing(training, autocast):
    plain, checkpointed = (training_step(on, training, autocast) for on in (False, True))
    assert plain["region_predictor.hourglass.encoder.down_blocks.0.norm.num_batches_tracked"] == (3 if training else 0)
    assert plain.keys() == checkpointed.keys()
    for name, value in plain.items():
        torch.testing.assert_close(checkpointed[name], value, rtol=0, atol=0, msg=name)


def test_gradient_checkpointing_by_another_function():
    """The statistics are the blocks' own affair, so any function that calls twice will do."""

    def reentrant(module: Callable, *args: torch.Tensor) -> torch.Tensor:
        return checkpoint(module, *(x.requires_grad_() if x.is_leaf else x for x in args), use_reentrant=True)

    plain, checkpointed = training_step(False, True, False), training_step(True, True, False, reentrant)
    for name, value in plain.items():
        torch.testing.assert_close(checkpointed[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_gradient_checkpointing_keeps_less_and_can_be_switched_off():
    lfae = tiny_lfae().train()

    def kept() -> int:
        sizes = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = lfae(*pictures(2, 64, 64))
        output.sample.sum().backward()
        return sum(sizes.values())

    plain = kept()
    lfae.enable_gradient_checkpointing()
    assert kept() < 0.6 * plain
    lfae.disable_gradient_checkpointing()
    assert kept() == pytest.approx(plain, rel=0.02)


def test_statistics_are_put_back_after_an_error():
    block = ConvBlock(3, 4)
    before = dict(block.named_buffers())
    with pytest.raises(RuntimeError, match="channels"), buffers_put_back(block):
        block.norm(torch.rand(2, 4, 8, 8))
        block(torch.rand(2, 5, 8, 8))
    assert all(buffer is before[name] for name, buffer in block.named_buffers())
    assert block.norm.num_batches_tracked == 0 and (block.norm.running_mean == 0).all()


@pytest.mark.integration
@pytest.mark.ends
@torch.no_grad()
def test_compiles():
    lfae = tiny_lfae()
    torch.compiler.reset()
    reference, driving = torch.rand(2, 1, 3, IMAGE_SIZE, IMAGE_SIZE)
    clip = torch.rand(1, 3, 3, IMAGE_SIZE, IMAGE_SIZE)
    compiled = torch.compile(lfae, backend="aot_eager", fullgraph=True)
    for pictures in ((reference, driving), (reference, clip)):
        found, expected = compiled(*pictures), lfae(*pictures)
        torch.testing.assert_close(found.flow, expected.flow, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.sample, expected.sample, rtol=1e-4, atol=1e-5)
    motion = lfae.predict_flow(reference, clip)
    encode, decode = (torch.compile(part, backend="aot_eager", fullgraph=True) for part in (lfae.encode, lfae.decode))
    expected = lfae.decode(lfae.encode(reference), motion.flow, motion.occlusion).sample
    for chunk_size in (None, 2):
        found = decode(encode(reference), motion.flow, motion.occlusion, chunk_size=chunk_size).sample
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


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
        with ops.limits(decoded_bytes_cpu=2 * largest):
            torch.testing.assert_close(lfae.decode(encoded, flow, occlusion).sample, whole)
        assert frames == [6, 2, 2, 2]
        lfae.train()  # BatchNorm's statistics would be those of a chunk
        lfae.decode(encoded, flow, occlusion)
    assert frames[4:] == [6] and whole.shape[-1] == IMAGE_SIZE
