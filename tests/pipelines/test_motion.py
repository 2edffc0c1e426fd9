"""Motion in the user's hands: what each change does, what stays intact, and what cannot be."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from tiny import tiny_image, tiny_lfae, tiny_pipeline, tiny_unet

from lfdm_diffusers import Box, LFDMPipeline, Motion
from lfdm_diffusers.data.picture_fitting import fit_picture, to_rgb_tensors
from lfdm_diffusers.models.checks import check_choice
from lfdm_diffusers.models.geometry import RegionParameters, matmul_2x2, principal_axes, relative_regions
from lfdm_diffusers.pipelines import driving
from lfdm_diffusers.pipelines.checks import NotDenoisedError, require_denoised
from lfdm_diffusers.pipelines.motion import volume_to_motion
from lfdm_diffusers.pipelines.motion_files import save_motion


@pytest.fixture(params=["corners", "centers"])
def pipe(request) -> LFDMPipeline:
    """Released models and those trained here read flow in different ways."""
    residual = request.param == "centers"
    more = {"flow_target": "residual", "target_mean": [0, 0, 0.5], "target_std": [0.1, 0.1, 0.3]} if residual else {}
    padding = {"warp_padding": "border"} if residual else {}
    return tiny_pipeline(lfae=tiny_lfae(flow_grid=request.param, **padding), unet=tiny_unet(**more))


def call(pipe: LFDMPipeline, **options):
    return pipe(
        **{"image": tiny_image(), "prompt": "anger", "num_inference_steps": 2, "output_type": "pt"} | options,
        generator=torch.Generator().manual_seed(0),
    )


def random_motion(frames: int = 5, height: int = 8, width: int = 6, seed: int = 0) -> Motion:
    generator = torch.Generator().manual_seed(seed)
    motion = Motion(torch.zeros(frames, 2, height, width), torch.rand(frames, 1, height, width, generator=generator))
    flow = motion.still + 0.2 * torch.randn(frames, 2, height, width, generator=generator)
    return Motion(flow, motion.occlusion, {"label": "fear"})


def assert_same(one: Motion, other: Motion) -> None:
    torch.testing.assert_close(one.flow, other.flow)
    torch.testing.assert_close(one.occlusion, other.occlusion)


# ---- what stays intact ----------------------------------------------------------------------------------------------


def test_no_motion_leaves_every_pixel_as_it_is(pipe):
    picture = tiny_image()
    for options in ({"motion_scale": 0}, {"motion_scale": [0] * 4}, {"motion_mask": torch.zeros(20, 30)}):
        still = call(pipe, **options)
        assert (still.frames[0] - picture).abs().max() < 1e-5
        assert (still.occlusion == 1).all()


def test_outside_a_mask_nothing_changes(pipe):
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    masked, free = call(pipe, motion_mask=mask), call(pipe)
    picture = tiny_image()
    assert (masked.frames[0] - picture).abs()[..., 16:].max() < 1e-5
    assert (masked.frames[0] - picture).abs()[..., :12].mean() > 0.5 * (free.frames[0] - picture).abs()[
        ..., :12
    ].mean()
    everything = call(pipe, motion_mask=PIL.Image.new("L", (7, 9), 255))
    inner = slice(4, -4)
    torch.testing.assert_close(everything.warped[..., inner, inner], free.warped[..., inner, inner], rtol=0, atol=1e-4)


def test_a_scale_for_each_frame(pipe):
    scales = [0.0, 0.5, 1.0, 2.0]
    output = call(pipe, motion_scale=scales)
    for i, scale in enumerate(scales):
        one = call(pipe, motion_scale=scale if scale != 1 else 1 + 1e-7)
        torch.testing.assert_close(output.frames[:, i], one.frames[:, i], rtol=0, atol=1e-4)


# ---- motions --------------------------------------------------------------------------------------------------------


def test_scaled():
    motion = random_motion()
    assert_same(motion.scaled(1), motion)
    still = motion.scaled(0)
    assert torch.equal(still.flow, motion.still.expand_as(motion.flow)) and (still.occlusion == 1).all()
    torch.testing.assert_close(motion.scaled(3).flow - motion.still, 3 * (motion.flow - motion.still))
    assert torch.equal(motion.scaled(3).occlusion, motion.occlusion)
    assert (motion.scaled(-1).occlusion == 1).all()  # nothing says what a contrary motion uncovers
    each = motion.scaled(torch.tensor([0, 0.25, 0.5, 1, 2]))
    assert_same(each._frames(torch.tensor([2])), motion.scaled(0.5)._frames(torch.tensor([2])))
    assert motion.scaled(0.5).about == motion.about


def test_masked_blends_at_soft_edges():
    motion = random_motion()
    half = motion.masked(torch.full((8, 6), 0.5))
    torch.testing.assert_close(half.flow, (motion.flow + motion.still) / 2)
    torch.testing.assert_close(half.occlusion, (motion.occlusion + 1) / 2)


def test_blended_goes_from_one_to_the_other():
    one, other = random_motion(), random_motion(seed=1)
    assert_same(one.blended(other, 0), one)
    assert_same(one.blended(other, 1), other)
    both = one.blended(other, np.linspace(0, 1, 5))
    assert_same(both._frames(torch.tensor([0])), one._frames(torch.tensor([0])))
    torch.testing.assert_close(both.flow[2], (one.flow[2] + other.flow[2]) / 2)
    with pytest.raises(ValueError, match=r"`other` must have flow of shape .*`resampled` changes"):
        one.blended(random_motion(frames=4), 0.5)


def test_ping_pong_and_reversed():
    motion = random_motion()
    there_and_back = motion.ping_pong()
    assert len(there_and_back) == 8
    assert torch.equal(there_and_back.flow, motion.flow[[0, 1, 2, 3, 4, 3, 2, 1]])
    assert torch.equal(motion.reversed().occlusion, motion.occlusion.flip(0))
    assert len(random_motion(frames=1).ping_pong()) == 1


def test_looped_glides_back_to_its_beginning():
    flow = torch.linspace(0, 1, 16).view(16, 1, 1, 1).expand(16, 2, 4, 4)
    motion = Motion(flow.contiguous(), 1 - flow[:, :1].contiguous())
    looped = motion.looped(6)
    assert torch.equal(looped.flow[:10], motion.flow[:10])
    step = 1 / 15
    around = torch.cat((looped.flow, looped.flow[:1]))[:, 0, 0, 0].diff()
    assert around[10:].max() < step and around.abs().max() < 3.5 * step  # without easing the jump is 15 steps
    assert abs(looped.flow[-1, 0, 0, 0]) < 0.15
    assert torch.equal(motion.looped(0).flow, motion.flow)
    with pytest.raises(ValueError, match="`ease` must be a whole number from 0 to 15"):
        motion.looped(16)


@pytest.mark.parametrize("apex, comes_back", [(3, True), (3, False), (7, False), (0, True)])
def test_held_stays_at_its_apex_and_is_let_go(apex, comes_back):
    """A motion of eight frames to the right, whose size is `sizes` and whose occlusion tells frames apart."""
    sizes = torch.tensor([1.0 - abs(i - apex) / 8 for i in range(8)])
    if comes_back:
        sizes[-1] = 0.0
    still = Motion(torch.zeros(8, 2, 4, 4), torch.ones(8, 1, 4, 4)).still
    motion = Motion(still + 0.1 * sizes.view(-1, 1, 1, 1), 1 - 0.5 * sizes.view(-1, 1, 1, 1).expand(8, 1, 4, 4))
    assert motion.apex() == apex and motion.held(0) is motion
    held = motion.held(20)
    size = (held.flow - still).mean(dim=(1, 2, 3)) / 0.1
    assert len(held) == 28 and len(held.occlusion) == 28
    start = min(apex, 5)
    assert (held.flow[start : start + 21] == motion.flow[apex]).all()  # to the bit
    assert torch.allclose(
        size[: start + 1], sizes[: apex + 1] if apex <= 5 else torch.linspace(1 / 8, 1, 6), atol=1e-5
    )
    if comes_back:
        assert torch.equal(held.flow[start + 21 :], motion.flow[apex + 1 :])
    else:
        assert torch.allclose(held.flow[-1], motion.flow[0], atol=1e-6)  # where it came from
        assert (size[start + 20 :].diff() < 0).all()
    twice = motion.resized(8, 8).held(20).flow - motion.held(20).resized(8, 8).flow  # in whichever order
    assert twice.abs().max() < 1e-5


def test_mixed_is_a_mean_as_strong_as_the_largest_weight():
    one, other = random_motion(seed=0), random_motion(seed=1)
    assert_same(Motion.mixed([one], [0.5]), one.scaled(0.5))
    assert_same(Motion.mixed([one, other], [1, 1]), one.blended(other, 0.5))
    assert_same(Motion.mixed([one, other], [1.2, 0.4]), one.blended(other, 0.25).scaled(1.2))
    none = Motion.mixed([one, other], [0, 0])
    torch.testing.assert_close(none.flow, one.still.expand_as(one.flow))
    assert (none.occlusion == 1).all()
    with pytest.raises(ValueError, match="`weights` must be a finite number of at least 0, got -1"):
        Motion.mixed([one, other], [1, -1])
    for motions, weights in (([one], [1, 2]), ([], []), ([one, other.reversed().resampled(3)], [1, 1])):
        with pytest.raises(ValueError, match=r"`(weights|motions)` must (be|hold)"):
            Motion.mixed(motions, weights)
    for motions in (5, None, np.ones(2), [one, 5], "ab"):
        with pytest.raises(ValueError, match=r"`motions` must be a Motion or a non-empty list of them"):
            Motion.mixed(motions, [1, 1])
    for weights in (5, None, np.ones(2), "ab"):
        with pytest.raises(ValueError, match=r"`weights` must be a list of one for each of 2 motions, got"):
            Motion.mixed([one, other], weights)


def test_words_and_numbers_of_an_edit_are_named():
    motion = random_motion()
    for value in (1.5, True, -1, "2", None):
        with pytest.raises(ValueError, match="`hold` must be a whole number"):
            motion.edited(hold=value)
    for value in (np.ones(2), torch.ones(2), ["ease"], 1.0):
        with pytest.raises(ValueError, match=r"`loop` must be one of"):
            motion.edited(loop=value)
        with pytest.raises(ValueError, match=r"`image_fit` must be one of"):
            fit_picture(torch.ones(3, 8, 9), 4, 4, value)
        with pytest.raises(ValueError, match=r"`name` must be one of 'a', 'b'"):
            check_choice("name", value, ("a", "b"))


def test_resampled_and_resized():
    motion = random_motion()
    assert_same(motion.resampled(5), motion)
    more = motion.resampled(9)
    assert_same(more._frames(torch.arange(0, 9, 2)), motion)
    torch.testing.assert_close(more.flow[1], (motion.flow[0] + motion.flow[1]) / 2)
    assert_same(motion.resampled(2), motion._frames(torch.tensor([0, 4])))
    assert len(random_motion(frames=1).resampled(3)) == 3
    large = motion.scaled(0).resized(32, 24)
    assert torch.equal(large.flow, large.still.expand_as(large.flow))


def test_saved_and_loaded(tmp_path):
    motion = random_motion()
    motion.save(tmp_path / "fear.safetensors")
    found = Motion.load(tmp_path / "fear.safetensors")
    assert_same(found, motion)
    assert found.about == {"label": "fear"} and repr(found) == "Motion(5 frames, 8x6, {'label': 'fear'})"
    for name, content in (("none.safetensors", None), ("text.safetensors", b"hello")):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="`path` must be a motion saved by this package"):
            Motion.load(tmp_path / name)


@pytest.mark.parametrize(
    "bad, message",
    [
        (lambda m: Motion(m.flow[:, :1], m.occlusion), r"`flow` must have shape \(frames, 2, height, width\)"),
        (lambda m: Motion(m.flow, m.occlusion[:2]), r"`occlusion` must have shape \(5, 1, 8, 6\), got \(2, 1, 8, 6\)"),
        (lambda m: m.scaled("fast"), r"`scale` must be a finite number .*, or one for each of 5 frames, got 'fast'"),
        (
            lambda m: m.scaled([1, 2]),
            r"`scale` must be a finite number from .* or one for each of 5 frames, got .* \(2,\)",
        ),
        (lambda m: m.scaled(float("nan")), "`scale` must be a finite number"),
        (lambda m: m.masked(torch.ones(3, 8, 8)), r"`mask` must be a grey picture, .* got a tensor \(3, 8, 8\)"),
        (lambda m: m.masked("face.png"), r"`mask` must be a grey picture, .* got 'face.png'"),
        (lambda m: m.masked(np.full((8, 8), 2.0)), r"`mask` must lie in \[0, 1\]"),
        (lambda m: m.resampled(0), "`num_frames` must be a whole number of at least 1"),
        (lambda m: m.held(-1), "`num_frames` must be a whole number of at least 0"),
        (lambda m: m.resized(8, 0), "`width` must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be(bad, message):
    with pytest.raises(ValueError, match=message):
        bad(random_motion())


# ---- other pictures -------------------------------------------------------------------------------------------------


def test_animate_gives_the_same_clip_and_moves_other_pictures(pipe):
    output = call(pipe)
    motion = output.motion()
    again = pipe.animate(tiny_image(), motion, output_type="pt")
    torch.testing.assert_close(again.frames, output.frames)
    torch.testing.assert_close(again.warped, output.warped)
    assert torch.equal(again.flow, output.flow)
    pictures = [tiny_image(), tiny_image().flip(-1)]
    both = pipe.animate(pictures, motion.ping_pong(), output_type="pt")
    assert both.frames.shape == (2, 6, 3, 32, 32)
    torch.testing.assert_close(both.frames[0, :4], output.frames[0], rtol=0, atol=1e-5)
    two = pipe.animate(pictures[0], [motion, motion.scaled(0)], output_type="pt")
    assert (two.frames[1, :, :, 2:-2, 2:-2] - pictures[0][..., 2:-2, 2:-2]).abs().max() < 1e-5
    frames, _, _, warped = pipe.animate(pictures[0], motion, return_dict=False)
    assert len(frames) == 1 and len(frames[0]) == 4 and isinstance(warped[0][0], PIL.Image.Image)


@pytest.mark.parametrize(
    "edit",
    [{"motion_scale": 0.5}, {"motion_mask": torch.eye(32)}, {"loop": "ping_pong", "motion_scale": 0}, {"hold": 3}],
)
def test_animate_edits_as_a_call_does(pipe, edit):
    generated, output = call(pipe, **edit), call(pipe)
    animated = pipe.animate(tiny_image(), output.motion(), output_type="pt", **edit)
    torch.testing.assert_close(animated.frames, generated.frames, rtol=0, atol=1e-5)
    torch.testing.assert_close(animated.flow, generated.flow, rtol=0, atol=1e-5)
    assert (animated.frames[0, 1] - output.frames[0, 1]).abs().max() > 1e-3


def test_an_edit_that_changes_nothing_changes_no_pixel(pipe):
    """Of motion as large as real motion, on maps that the edits are made on, and those that the decoder makes itself."""
    motion = random_motion(frames=4, height=8, width=8).resampled(8)
    plain = pipe.animate(tiny_image(), motion, output_type="pt").frames
    assert (plain[0] - tiny_image()).abs().mean() > 0.02
    for edit in (
        {"motion_mask": torch.ones(32, 32)},
        {"motion_scale": [1] * 8},
        {"loop": "ping_pong"},
        {"motion_scale": 0.99999},
    ):
        frames = pipe.animate(tiny_image(), motion, output_type="pt", **edit).frames[:, :8]
        assert (frames - plain).abs().max() < 1e-3, edit


@pytest.mark.parametrize("fit", ["letterbox", "center_crop"])
def test_a_mask_as_large_as_the_picture_is_fitted_with_it(pipe, fit):
    picture, mask = torch.rand(3, 16, 48, generator=torch.Generator().manual_seed(1)), torch.zeros(16, 48)
    mask[:8] = 1
    found = pipe.animate(picture, random_motion(height=8, width=8), motion_mask=mask, image_fit=fit, output_type="pt")
    moved = (found.occlusion[0, :, 0] < 1).any(dim=0).any(dim=1).tolist()
    assert moved[:2] == [fit == "center_crop"] * 2, "above a letterboxed picture is nothing"
    assert moved[3] and not any(moved[5:]), "its upper half, and an edge"


def test_one_frame_eases():
    assert len(random_motion(frames=1).edited(loop="ease")) == 1


def test_animate_refuses(pipe):
    motion = call(pipe).motion()
    for options, message in (
        ({"motion": motion.flow}, "`motion` must be a Motion or a non-empty list of them, got Tensor"),
        ({"motion": []}, "`motion` must be a Motion or a non-empty list"),
        ({"motion": [motion, motion.ping_pong()]}, "`motion` must hold motions of one length and size"),
        ({"motion": [motion] * 3, "image": [tiny_image()] * 2}, "`image` holds 2 pictures and `motion` 3 motions"),
        ({"output_type": "latent"}, "`output_type` must be 'pil', 'np', 'pt' or 'stream'"),
        ({"motion_scale": [1, 2]}, "`motion_scale` must be a finite number from .* or one for each of 4 frames"),
        ({"loop": "twice"}, "`loop` must be one of"),
        ({"height": 0}, "`height` must be a whole number of at least 1"),
        ({"decode_chunk_size": 0}, "`decode_chunk_size` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            pipe.animate(**{"image": tiny_image(), "motion": motion} | options)


def test_transfer(pipe, monkeypatch):
    """Relative to a clip's first frame, a picture gets the clip's motion; for that frame itself both ways are one."""
    clip = [tiny_image().roll(i, dims=-1) for i in range(3)]
    relative, absolute = (pipe.transfer(clip[0], clip, relative=kind) for kind in (True, False))
    assert len(relative) == 3
    torch.testing.assert_close(relative.flow, absolute.flow, rtol=0, atol=1e-4)
    other = tiny_image().flip(-1)
    still = pipe.transfer(other, [clip[1]] * 2)
    with torch.no_grad():
        itself = pipe.lfae.predict_flow(other[None], other[None])
    torch.testing.assert_close(still.flow[0], itself.flow[0], rtol=0, atol=1e-4)
    assert (pipe.transfer(other, clip, relative=False).flow - pipe.transfer(other, clip).flow).abs().max() > 1e-3
    assert len(pipe.animate(other, relative).frames[0]) == 3
    with pytest.raises(ValueError, match="`image` must be one picture, got 2"):
        pipe.transfer(clip[:2], clip)
    with pytest.raises(ValueError, match="`driving` holds no frames"):
        pipe.transfer(other, [])
    with pytest.raises(ValueError, match="`driving` must"):
        pipe.transfer(other, 3)
    with pytest.raises(ValueError, match="`height` must be a multiple of 16, got 40; the nearest are 32 and 48"):
        pipe.transfer(other, clip, height=40)
    for given in ((frame for frame in clip), np.stack([frame.permute(1, 2, 0).numpy() for frame in clip])):
        assert_same(pipe.transfer(other, given), pipe.transfer(other, clip))
    at_once = pipe.transfer(other, clip)
    monkeypatch.setattr(driving, "FRAMES_AT_ONCE", 2)
    told = []
    parts = pipe.transfer(other, clip, callback_on_frames_end=lambda *done: told.append(done))
    torch.testing.assert_close(parts.flow, at_once.flow, rtol=0, atol=1e-5)
    assert told == [(2, 3), (3, 3)]
    boxes = [Box(0, 0, 20, 20), Box(10, 10, 30, 30)]
    pipe.transfer(other, clip, subjects=boxes, callback_on_frames_end=lambda *done: told.append(done))
    assert told[2:] == [(2, 6), (3, 6), (5, 6), (6, 6)]


def test_regions_move_as_others_do():
    def regions(seed: int) -> RegionParameters:
        generator = torch.Generator().manual_seed(seed)
        root = torch.randn(1, 3, 2, 2, generator=generator)
        covar = root @ root.transpose(-1, -2)
        shift = torch.randn(1, 3, 2, generator=generator)
        return RegionParameters(
            shift=shift, covar=covar, affine=principal_axes(covar), heatmap=torch.zeros(1, 3, 4, 4)
        )

    reference, start, driving = map(regions, range(3))
    unmoved = relative_regions(reference, start, start)
    for name in ("shift", "covar", "affine"):
        torch.testing.assert_close(unmoved[name], reference[name], rtol=1e-4, atol=1e-5)
    own = relative_regions(start, start, driving)
    torch.testing.assert_close(own.covar, driving.covar, rtol=1e-4, atol=1e-5)
    moved = relative_regions(reference, start, driving)
    change = matmul_2x2(reference.affine, torch.linalg.inv(moved.affine))
    torch.testing.assert_close(change, start.affine @ torch.linalg.inv(driving.affine), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(moved.shift - reference.shift, driving.shift - start.shift)


def test_the_volume_of_a_motion(pipe):
    volume = torch.randn(1, 3, 4, 8, 8)
    config = pipe.unet.config
    flow, occlusion = volume_to_motion(volume, config)
    units = [volume[:, i] * config.target_std[i] + config.target_mean[i] for i in range(3)]
    torch.testing.assert_close(occlusion[:, 0], units[2].clamp(0, 1))
    still = (2 * torch.arange(8) + 1) / 8 - 1 if config.flow_target == "residual" else torch.zeros(8)
    torch.testing.assert_close(flow[:, 0], units[0] + still)  # x
    torch.testing.assert_close(flow[:, 1], units[1] + still[:, None])  # y


def test_arguments_that_are_none_get_errors_that_name_them():
    motion = Motion(torch.zeros(3, 2, 8, 8), torch.ones(3, 1, 8, 8))
    loop: list = []
    loop.append(loop)
    for make, message in (
        (lambda: motion.blended(5, 0.5), "`other` must be a Motion, got int"),
        (lambda: motion.masked(torch.zeros(0, 4)), r"`mask` must be a grey picture, .* got a tensor \(0, 4\)"),
        (lambda: motion.masked(np.zeros((4, 4), object)), r"`mask` must be a grey picture, .* got an array"),
        (lambda: motion.masked(torch.zeros(4, 4, dtype=torch.complex64)), "`mask` must be a grey picture"),
        (lambda: motion.scaled(loop), "`scale` must be"),
        (lambda: motion.scaled(1e308), r"`scale` must be a finite number from -1e\+06 to 1e\+06, got 1e\+308"),
        (lambda: motion.resampled(10**9), r"`num_frames` must be a whole number from 1 to 1e\+06, got 1000000000"),
        (
            lambda: Motion(torch.full((3, 2, 8, 8), 1e30), motion.occlusion),
            r"`flow` must hold numbers from -1e\+06 to 1e\+06",
        ),
        (
            lambda: Motion(motion.flow, 2 * motion.occlusion),
            r"`occlusion` must lie in \[0, 1\], got values from 2 to 2",
        ),
        (
            lambda: Motion(motion.flow, motion.occlusion - 1.5),
            r"`occlusion` must lie in \[0, 1\], got values from -0.5",
        ),
        (lambda: to_rgb_tensors(loop), "`image` must be pictures or a list of them, got a list in lists without end"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_a_motion_file_whose_occlusion_no_decoder_gives_is_refused(tmp_path):
    """By its name; and mixtures beyond either motion are none, but keep the nearer one's occlusion."""
    motion = Motion(torch.zeros(3, 2, 8, 8), torch.full((3, 1, 8, 8), 0.25))
    save_motion(tmp_path / "seven.safetensors", motion.flow, 28 * motion.occlusion)
    with pytest.raises(
        ValueError, match=r"`path` .*seven.* holds no motion: `occlusion` must lie in \[0, 1\], got .* 7 to 7"
    ):
        Motion.load(tmp_path / "seven.safetensors")
    other = Motion(torch.ones(3, 2, 8, 8), torch.full((3, 1, 8, 8), 0.75))
    for weight, flow, occlusion in ((5, 5, 0.75), (-2, -2, 0.25), (0.5, 0.5, 0.5)):
        between = motion.blended(other, weight)
        assert between.flow.unique().item() == flow and between.occlusion.unique().item() == occlusion


def test_denoising_says_which_clips_came_to_nan():
    volumes = torch.zeros(4, 3, 2, 2, 2)
    require_denoised(volumes, "DDIMScheduler")
    volumes[1, 0, 0, 0, 0], volumes[3, 2, 1, 1, 1] = torch.nan, torch.inf
    with pytest.raises(NotDenoisedError, match="came to NaN or infinite numbers in clip 2, 4 of 4: ") as raised:
        require_denoised(volumes, "DDIMScheduler")
    assert raised.value.clips == [1, 3]
    with pytest.raises(NotDenoisedError, match="came to NaN or infinite numbers: "):
        require_denoised(volumes[1:2], "DDIMScheduler")


def test_looped_eases_smoothly():
    """Of frames that are all as far from the first, an eased one keeps 1 - s^2 (3 - 2 s), at shares s of the way back."""
    flow = torch.ones(8, 2, 4, 4)
    flow[0] = 0
    looped = Motion(flow, torch.ones(8, 1, 4, 4)).looped(3)
    torch.testing.assert_close(looped.flow[:, 0, 0, 0], torch.tensor([0, 1, 1, 1, 1, 0.84375, 0.5, 0.15625]))
