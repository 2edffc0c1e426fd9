"""Known values imposed while denoising, and strokes: "this place of the picture is there in that frame"."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from diffusers import FlowMatchEulerDiscreteScheduler
from tiny import LABELS, tiny_image, tiny_lfae, tiny_pipeline, tiny_unet

from lfdm_diffusers import Stroke
from lfdm_diffusers.pipelines.imposing import KnownFrame, KnownMotion, NoiseLevel, reach
from lfdm_diffusers.pipelines.rendering import Box
from lfdm_diffusers.pipelines.strokes import shared_out
from lfdm_diffusers.pipelines.windows import Windows
from lfdm_diffusers.schedulers import SCHEDULERS, released_scheduler, scheduler_by_name

KINDS = ("epsilon", "v_prediction", "sample")


@pytest.mark.parametrize(
    ("name", "prediction"),
    [(name, kind) for name in SCHEDULERS for kind in KINDS if (name, kind) != ("euler-a", "sample")],
)
def test_every_schedulers_volume_is_read_as_it_is_made(name, prediction):
    """A changed prediction stands for the changed clean volume, and every scheduler's last step arrives at it."""
    scheduler = scheduler_by_name(name, released_scheduler(prediction_type=prediction))
    scheduler.register_to_config(thresholding=False)
    arrives(scheduler, prediction)


def test_a_flow_matching_schedulers_volume_is_read_as_it_is_made():
    arrives(FlowMatchEulerDiscreteScheduler(), "flow_prediction")


def arrives(scheduler, prediction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    wanted, volume = (torch.randn(1, 3, 2, 4, 4, generator=generator) for _ in range(2))
    scheduler.set_timesteps(4)
    scheduler.set_begin_index(0) if hasattr(scheduler, "set_begin_index") else None
    volume = volume * getattr(scheduler, "init_noise_sigma", 1.0)
    known = KnownMotion([KnownFrame(slice(0, 1), k, wanted[0, :, k], torch.ones(3, 4, 4), one(k)) for k in range(2)])
    for t in scheduler.timesteps:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(volume, t)
        level = NoiseLevel.before_step(scheduler, t, prediction)
        guess = known.imposed_on_prediction(torch.randn(volume.shape, generator=generator), volume, level)
        # In nearly pure noise, what is clean is a small difference of large numbers.
        rounding = 1e-6 * level.noise / level.signal
        torch.testing.assert_close(level.clean(guess, volume), wanted, atol=1e-4 + rounding, rtol=1e-3)
        volume = scheduler.step(guess, t, volume).prev_sample
    torch.testing.assert_close(volume, wanted, atol=0.02, rtol=1e-3)  # DEIS and TCD end at the least noise trained


def one(frame: int, count: int = 2) -> torch.Tensor:
    return F.one_hot(torch.tensor(frame), count).float()


def test_a_known_frames_change_fades_out_in_time():
    felt = reach(9, frame=4, before=2, after=4)
    assert felt[4] == 1 and felt[2] == felt[8] == 0 and felt[3] == pytest.approx(0.5)
    assert felt[6] == pytest.approx(0.5) and 0.8 < felt[5] < 0.9
    around = reach(9, frame=0, before=2, after=2, loop=True)
    assert around[0] == 1 and around[1] == around[8] == pytest.approx(0.5) and around[2:8].abs().max() < 1e-6

    clean, values = torch.zeros(2, 3, 9, 4, 4), torch.ones(3, 4, 4)
    weights = torch.zeros(3, 4, 4)
    weights[:2, 1, 1] = 1
    imposed = KnownMotion([KnownFrame(slice(1, 2), 4, values, weights, felt)]).imposed(clean)
    assert torch.equal(imposed[0], clean[0]) and torch.equal(imposed[1, 2], clean[1, 2])
    assert torch.equal(imposed[1, :2, :, 1, 1], felt.expand(2, -1)) and imposed[1].sum() == pytest.approx(
        2 * felt.sum().item()
    )


def test_guidance_changes_noise_until_the_network_says_what_is_known():
    """A linear network that only knows means of a frame: one step of guidance gets a single place right by moving all of them."""

    def predict(volume):
        return volume.mean(dim=(3, 4), keepdim=True).expand_as(volume)

    volume, weights = torch.zeros(2, 3, 4, 4, 4), torch.zeros(3, 4, 4)
    weights[0, 2, 2] = 1
    known = KnownMotion([KnownFrame(slice(0, 1), 1, torch.full((3, 4, 4), 2.0), weights, one(1, 4))])
    guided = known.guided(predict, volume, NoiseLevel(1.0, 1.0, "sample"), Windows(4, 4))
    # The squared error is quadratic: a Polyak step halves what is missing.
    assert predict(guided)[0, 0, 1, 0, 0] == pytest.approx(1.0) and not guided[1].any() and not guided[0, 1:].any()


@pytest.fixture(scope="module", params=["residual", "absolute"])
def pipe(request):
    """A model whose flow is a departure from stillness, and one like the released ones."""
    if request.param == "absolute":
        return tiny_pipeline()
    unet = tiny_unet(flow_target="residual", target_mean=(0.01, -0.02, 0.5), target_std=(0.2, 0.1, 0.5))
    return tiny_pipeline(unet=unet, lfae=tiny_lfae(flow_grid="centers"))


def generated(pipe, **options):
    arguments = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(0), "output_type": "latent"}
    return pipe(options.pop("image", tiny_image()), LABELS[0], **{**arguments, **options})


def resized(height: int, width: int) -> torch.Tensor:
    return F.interpolate(tiny_image()[None], (height, width))[0]


def read(flow: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """A flow `(2, h, w)` at (x, y) in [-1, 1]."""
    return F.grid_sample(flow[None], torch.tensor([[[[x, y]]]]), align_corners=False)[0, :, 0, 0]


def test_the_place_is_where_the_stroke_says(pipe):
    """Pictures twice as wide as high, letterboxed: (10, 6) of 64x32 pixels is at (10/32 - 1, 6/32 - 1/2) of the frame."""
    wide = resized(32, 64)
    strokes = [Stroke([(10, 6), (16, 10)], frames=2), Stroke([(40, 20), (44, 22), (50, 24)], frames=[1, 3])]
    motion = generated(pipe, image=wide, strokes=strokes, image_fit="letterbox").motion()
    free = generated(pipe, image=wide).motion()
    for frame, here, there in ((2, (10, 6), (16, 10)), (1, (40, 20), (44, 22)), (3, (40, 20), (50, 24))):
        source, target = ((x / 32 - 1, y / 32 - 0.5) for x, y in (here, there))
        torch.testing.assert_close(read(motion.flow[frame], *target), torch.tensor(source), atol=1e-4, rtol=0)
        assert (read(free.flow[frame], *target) - torch.tensor(source)).norm() > 0.05


def test_strokes_of_each_video(pipe):
    """Every video of the picture obeys, in long clips and in loops too."""
    stroke = Stroke([(8, 8), (20, 12)], frames=7, radius=5)
    for options in ({"num_frames": 12}, {"num_frames": 9, "loop": True}):
        output = generated(pipe, strokes=[stroke], num_videos_per_prompt=2, **options)
        for index in range(2):
            place = read(output.motion(index).flow[7], 20 / 16 - 1, 12 / 16 - 1)
            torch.testing.assert_close(place, torch.tensor([-0.5, -0.5]), atol=1e-4, rtol=0)


def test_a_stroke_belongs_to_the_subject_that_it_starts_in(pipe):
    scene = resized(64, 96)
    boxes = [Box(0, 8, 40, 48), Box(48, 8, 96, 56)]
    options = {"image": scene, "subjects": boxes, "num_videos_per_prompt": 2, "output_type": "pt"}
    free, drawn = (generated(pipe, strokes=strokes, **options) for strokes in (None, [Stroke([(60, 20), (72, 32)])]))
    assert drawn.frames.shape == (2, 4, 3, 64, 96)
    torch.testing.assert_close(drawn.flow[:2], free.flow[:2], atol=1e-5, rtol=0)
    for index in (2, 3):
        place = read(drawn.flow[index, 2], 24 / 24 - 1, 24 / 24 - 1)
        torch.testing.assert_close(place, torch.tensor([-0.5, -0.5]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [(1, 2)]}, "`points` must be two or more pairs"),
        ({"points": [(1, 2), (math.nan, 2)]}, "`points` must be a finite number"),
        ({"points": [(1, 2), (3, 4)], "radius": 0}, "`radius` must be above 0, got 0"),
        ({"points": [(1, 2), (3, 4)], "frames": 0}, "`frames` must be a whole number of at least 1, got 0"),
        ({"points": [(1, 2), (3, 4), (5, 6)], "frames": [3, 3]}, "`frames` must be 2 rising numbers"),
    ],
)
def test_strokes_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        Stroke(**arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strokes": []}, "`strokes` must be a non-empty list of Stroke"),
        ({"strokes": [Stroke([(1, 1), (33, 2)])]}, r"must lie in the picture of 32x32 pixels .*\(33, 2\)"),
        ({"strokes": [Stroke([(1, 1), (3, 2)], frames=4)]}, "`frames` must be from 1 to 3, as the clip has 4 frames"),
        ({"strokes": [Stroke([(1, 1), (3, 2), (4, 4)], frames=1)]}, "to 2 points by frame 1 needs that many frames"),
        ({"strokes": [Stroke([(1, 1), (3, 2)])], "num_frames": 1}, "`strokes`"),
        ({"strokes": [Stroke([(1, 1), (3, 2)])], "image": [tiny_image()] * 2}, "`image` holds 2"),
        (
            {"strokes": [Stroke([(1, 1), (3, 2)])], "subjects": [Box(8, 8, 24, 24)], "output_type": "pt"},
            "must start in one of the `subjects`",
        ),
        (
            {"strokes": [Stroke([(9, 9), (30, 9)])], "subjects": [Box(8, 8, 24, 24)], "output_type": "pt"},
            "must stay in what the model sees",
        ),
    ],
)
def test_strokes_that_cannot_be_obeyed(options, message):
    with pytest.raises(ValueError, match=message):
        generated(tiny_pipeline(), **options)


def test_where_strokes_overlap_the_nearer_has_most():
    """By fourth powers of the weights; the sum is the larger of them. Strokes of another frame or row are by themselves."""

    def known(weight: float, frame: int = 3) -> KnownFrame:
        return KnownFrame(slice(0, 1), frame, torch.zeros(3, 1, 1), torch.full((3, 1, 1), weight), torch.ones(8))

    one, half, alone = (part.weights[0].item() for part in shared_out([known(0.8), known(0.4), known(0.5, frame=4)]))
    assert one == pytest.approx(0.8 * 16 / 17) and half == pytest.approx(0.8 / 17) and alone == pytest.approx(0.5)
