"""Flow maps: what the teacher's walk, the drawn steps and the targets are, and that a U-Net learns from them."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from diffusers import DDIMScheduler
from tiny import tiny_label_embeddings, tiny_pipeline, tiny_unet
from torch.utils.data import default_collate

from lfdm_diffusers.data.chance import draw_generator
from lfdm_diffusers.schedulers import flow_map_scheduler, released_scheduler
from lfdm_diffusers.training.flow_map import FlowMapTask, Given, sampler_times, way
from lfdm_diffusers.training.motion_cache import MotionSample
from lfdm_diffusers.training.pipeline_task import HeldOut
from lfdm_diffusers.training.starting_unet import with_flow_map

LABELS = ["surprise", "anger", ""]


def small_unet(**changes):
    """With spans of an effect that is not 0, where it knows them."""
    changes = {"block_out_channels": (8, 16), "flow_target": "residual", "prediction_type": "v_prediction"} | changes
    unet = tiny_unet(**changes)
    if unet.span_embedding is not None:
        torch.nn.init.normal_(unet.span_embedding.linear_2.weight, std=0.3)
    return unet


def flow_map_task(teacher=None, unet=None, thresholding: bool = True, **settings) -> FlowMapTask:
    """A task of a student that has learnt nothing yet, unless one is given."""
    teacher = small_unet() if teacher is None else teacher
    scheduler = flow_map_scheduler(released_scheduler())
    scheduler.register_to_config(thresholding=thresholding)
    pipe = tiny_pipeline(
        unet=(with_flow_map(teacher) if unet is None else unet).train(),
        scheduler=scheduler,
        label_embeddings=tiny_label_embeddings(),
    )
    return FlowMapTask(pipe, teacher=teacher.eval().requires_grad_(False), **{"ema_decay": 0.9} | settings)


def samples(count: int = 3) -> MotionSample:
    torch.manual_seed(1)
    labels = LABELS * math.ceil(count / 3)
    return default_collate(
        [MotionSample(torch.rand(3, 32, 32), 0.3 * torch.randn(3, 4, 8, 8), labels[i]) for i in range(count)]
    )


def given(task: FlowMapTask) -> tuple[torch.Tensor, Given]:
    """Noise, and the conditions of one row with and one without a label."""
    torch.manual_seed(2)
    volume, latents = torch.randn(2, 3, 4, 8, 8), torch.randn(2, 16, 8, 8)
    return volume, Given(task.text_embeds(["anger", ""]), torch.tensor([False, True]), latents)


# ---- the U-Net ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"learned_null_embedding": True, "text_attention": True}])
def test_a_flow_map_starts_as_the_denoiser_it_was(changes):
    """Bit for bit, wherever a step ends; and its other weights have the old names."""
    unet = tiny_unet(**changes)
    new = with_flow_map(unet).eval()
    sample, latents, times = torch.randn(2, 3, 4, 8, 8), torch.randn(2, 16, 8, 8), torch.tensor([999, 30])
    with torch.no_grad():
        old = unet(sample, times, image_latents=latents).sample
        for end in (None, -1, torch.tensor([499, 29])):
            assert torch.equal(new(sample, times, image_latents=latents, timestep_end=end).sample, old)
    added = new.state_dict().keys() - unet.state_dict().keys()
    assert added and all(name.startswith("span_embedding.") for name in added)
    assert not unet.config.flow_map and new.config.flow_map


def test_a_flow_map_hears_where_a_step_ends():
    """By the step's length: a step of none is what is predicted without an end."""
    unet, sample, latents = small_unet(flow_map=True), torch.randn(2, 3, 4, 8, 8), torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        plain, none, long = (
            unet(sample, 500, image_latents=latents, timestep_end=end).sample for end in (None, 500, -1)
        )
    assert torch.equal(plain, none) and (plain - long).abs().max() > 1e-3
    with pytest.raises(ValueError, match="`timestep_end` must be None for a U-Net without `flow_map`"):
        small_unet()(sample, 500, image_latents=latents, timestep_end=-1)
    with pytest.raises(ValueError, match="`timestep_end` must be one number or 2, got 3"):
        unet(sample, 500, image_latents=latents, timestep_end=torch.zeros(3))


# ---- steps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 50])
def test_times_are_those_of_diffusers(steps):
    scheduler = flow_map_scheduler(released_scheduler())
    scheduler.set_timesteps(steps)
    assert sampler_times(steps, 1000) == [*scheduler.timesteps.tolist(), -1]


def test_ways():
    assert way(999, -1, 4) == [999, 749, 499, 249, -1]
    assert way(10, 5, 1) == [10, 5]
    assert way(1, -1, 4) == [1, 0, 0, 0, -1]  # the clean volume comes last


def test_drawn_steps():
    """A quarter of no length; of the others, those of a sampler of few steps more often, walked as finely as the teacher goes."""
    task = flow_map_task(teacher_steps=8)
    steps = [task.draw_step(draw_generator(0, i)) for i in range(400)]
    points = [begin for begin, end, count in steps if count == 0 and begin == end]
    assert len(points) == sum(count == 0 for *_, count in steps) and 70 < len(points) < 130
    assert min(points) < 30 and max(points) > 970
    wholes = sum(step == (999, -1, 8) for step in steps)
    assert 60 < wholes < 130  # log 2 / log 9 of three quarters
    assert {(999, 499, 4), (499, -1, 4), (124, -1, 1)} < set(steps)
    for begin, end, count in steps:
        assert 0 <= begin <= 999 and -1 <= end <= begin
        assert count == 0 or (begin - end) / count <= 126


# ---- the teacher and the targets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon", "sample"])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_the_teacher_walks_as_the_pipeline_samples(kind, guidance):
    """With its first frame, thresholds and guidance; the plain way is the pipeline's own loop over diffusers' scheduler."""
    teacher = small_unet(prediction_type=kind, first_frame_is_picture=True)
    task = flow_map_task(teacher, guidance_scale=guidance, teacher_steps=4)
    picture, noise = torch.rand(3, 32, 32), torch.randn(1, 3, 4, 8, 8)
    scheduler = flow_map_scheduler(released_scheduler())
    scheduler.register_to_config(prediction_type=kind)
    pipe = tiny_pipeline(unet=teacher, scheduler=scheduler)
    expected = pipe(
        picture, "anger", latents=noise, num_inference_steps=4, guidance_scale=guidance, output_type="latent"
    ).frames
    with torch.no_grad():
        latents = pipe.lfae.encode(picture[None]).latent
        conditions = Given(task.text_embeds(["anger"]), torch.tensor([False]), latents)
        found = task.walked(noise, [sampler_times(4, 1000)], conditions)
    torch.testing.assert_close(found[:, :, 1:], expected[:, :, 1:], atol=2e-4, rtol=1e-3)


def test_a_straight_step_is_ddim_without_noise():
    task = flow_map_task(thresholding=False)
    ddim = DDIMScheduler.from_config(released_scheduler(prediction_type="v_prediction").config, thresholding=False)
    ddim.set_timesteps(4)
    volume, prediction = torch.randn(2, 3, 1, 4, 4), torch.randn(2, 3, 1, 4, 4)
    for begin, end in ((749, 499), (249, -1)):
        expected = ddim.step(prediction, begin, volume, eta=0).prev_sample
        clean = task.process.clean(prediction, volume, [begin] * 2, "v_prediction")
        reached = task.process.step(volume, clean, [begin] * 2, [end] * 2)
        torch.testing.assert_close(reached, expected, atol=1e-4, rtol=1e-4)
        found = task.process.velocity(volume, reached, [begin] * 2, [end] * 2)
        torch.testing.assert_close(found, prediction, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("walk_steps", [None, 1])
def test_targets(walk_steps):
    """One step by the target comes to where the walk comes, row by row; the plain version takes each row alone and one after another."""
    teacher = small_unet()
    task = flow_map_task(teacher, small_unet(flow_map=True, seed=1), walk_steps=walk_steps, teacher_steps=4)
    volume, conditions = given(task)
    steps = [(999, -1, 4), (499, 249, 2)]
    with torch.no_grad(), task.average.in_place():
        target = task.learnt(volume, steps, conditions)
        for row, (begin, end, count) in enumerate(steps):
            alone, at = volume[row : row + 1], begin
            for i in range(1, (walk_steps or count) + 1):
                to = round(begin + (end - begin) * i / count)
                clean = task.clean_by_teacher(alone, [at], conditions.rows([row]))
                alone, at = task.process.step(alone, clean, [at], [to]), to
            if at != end:
                alone = task.jumped(alone, [at], [end], conditions.rows([row]))
            clean = task.process.clean(target[row : row + 1], volume[row : row + 1], [begin], "v_prediction")
            found = task.process.step(volume[row : row + 1], clean, [begin], [end])
            torch.testing.assert_close(found, alone, atol=2e-4, rtol=1e-3)


def test_the_target_of_no_length_is_the_teachers_guided_prediction():
    """And without a label, its prediction without one."""
    teacher = small_unet()
    task = flow_map_task(teacher, guidance_scale=3.0, thresholding=False)
    volume, conditions = given(task)
    with torch.no_grad():
        found = task.learnt(volume, [(600, 600, 0), (30, 30, 0)], conditions)
        times, (embeds, mask, latents) = torch.tensor([600, 30]), conditions
        null = teacher(volume, times, None, latents).sample
        said = teacher(volume, times, embeds, latents, null_mask=mask).sample
    torch.testing.assert_close(found, null + 3 * (said - null), atol=1e-3, rtol=1e-3)
    assert (found[0] - said[0]).abs().max() > 1e-3


# ---- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, steps", [("v_prediction", 6), ("epsilon", 4)])
def test_it_learns(kind, steps):
    """The same batch again and again, of another kind of prediction too; whatever the teacher predicts, its weights stay."""
    task = flow_map_task(small_unet(prediction_type=kind), teacher_steps=2, walk_steps=1)
    before = {name: weight.clone() for name, weight in task.teacher.state_dict().items()}
    optimizer, batch, losses = torch.optim.Adam(task.parameters(), 5e-3), samples(3), []
    for _ in range(steps):
        loss = task.losses(task.module, batch, range(3)).parts["flow_map"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]
    assert task.unet.span_embedding.linear_2.weight.abs().max() > 0 and task.unet.training
    assert all(torch.equal(weight, before[name]) for name, weight in task.teacher.state_dict().items())


def test_it_goes_on_bit_for_bit():
    """From the state that a checkpoint keeps: a walk's rest is by the average, so that must be the same too."""
    batch, found = samples(3), []

    def trained(task: FlowMapTask, optimizer: torch.optim.Optimizer, draws: range) -> None:
        optimizer.zero_grad()
        task.losses(task.module, batch, draws).parts["flow_map"].backward()
        optimizer.step()
        task.after_step()

    settings = {"walk_steps": 1, "teacher_steps": 3}
    whole = flow_map_task(**settings)
    optimizer = torch.optim.Adam(whole.parameters(), 1e-2)
    trained(whole, optimizer, range(3))
    state, kept = copy.deepcopy((whole.state(), optimizer.state_dict()))
    resumed = flow_map_task(**settings)
    optimizers = [optimizer, torch.optim.Adam(resumed.parameters(), 1e-2)]
    resumed.load_state(state)
    optimizers[1].load_state_dict(kept)
    for task, each in zip((whole, resumed), optimizers):
        trained(task, each, range(3, 6))
        found.append(task.state())
    for name, weight in found[0]["weights"].items():
        assert torch.equal(weight, found[1]["weights"][name])
    assert all(map(torch.equal, *(each["ema"]["shadow_params"] for each in found)))
    state["space"] = ("v_prediction", *state["space"][1:])
    with pytest.raises(ValueError, match=r"was trained in another space: it predicted v_prediction, .* of a flow map"):
        resumed.load_state(state)


def test_little_noise_counts_as_error_of_the_clean_volume():
    """A v-prediction of error e is a clean volume of error b e; up to a noise b of .2 that counts, in units of .2, above it e."""
    task = flow_map_task(teacher_steps=2)
    draws = [i for i in range(200) if task.draw_step(draw_generator(0, i))[0] < 100][:2]
    found = task.arguments(samples(3), [0, *draws])
    betas = task.pipe.scheduler.betas.double()
    noise = (1 - torch.cumprod(1 - betas, dim=0)[found[1]]).sqrt()
    assert noise.min() < 0.2 < noise.max()
    expected = torch.where(noise < 0.2, 25 * noise**2, 1.0)
    torch.testing.assert_close(found[4].double(), expected, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        begin, end, target, given = found[1], found[2], found[3], found[5]
        made = task.unet(found[0], begin, *given[::2], null_mask=given[1], timestep_end=end).sample
        error = (made - target).square().mean(dim=(1, 2, 3, 4))
        assert task.module(*found).item() == pytest.approx((found[4] * error).mean().item(), rel=1e-4)


def test_it_is_judged_by_the_teachers_motion():
    """As many steps as the teacher's, of one that has learnt nothing, are the teacher's own; fewer are not."""
    task = flow_map_task(teacher_steps=2)
    held_out = [MotionSample(torch.rand(3, 32, 32), torch.randn(3, 4, 8, 8), label) for label in LABELS[1:]]
    with torch.no_grad(), task.average.in_place():
        found = task.judge(HeldOut(held_out, [], [], 2))
    assert found.keys() == {"loss", "error_1_steps", "error_2_steps", "error_4_steps", "error_8_steps"}
    assert found["error_2_steps"] < 1e-4 < found["error_4_steps"] and found["error_1_steps"] > 1e-3


@pytest.mark.parametrize(
    "changes,told",
    [
        ({"unet": "a denoiser"}, "`pipe` must have a U-Net with flow_map"),
        ({"teacher": "of another process"}, "`teacher` must predict 'epsilon'"),
        ({"teacher_steps": 1001}, "`teacher_steps` must be from 1 to 1000, got 1001"),
        ({"walk_steps": 0}, "`walk_steps` must be at least 1, or None for all, got 0"),
    ],
)
def test_refusals(changes, told):
    unets = {"a denoiser": {}, "of another process": {"prediction_type": "flow_prediction"}}
    changes = {name: small_unet(**unets[value]) if value in unets else value for name, value in changes.items()}
    with pytest.raises(ValueError, match=told):
        flow_map_task(**changes)
