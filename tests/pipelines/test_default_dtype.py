"""Same seed, same clip, whatever torch's default type is: float64, as scientists' programs set it, changes no bit."""

from __future__ import annotations

import PIL.Image
import pytest
import torch
from same_bits import bits, require_same_bits
from tiny import LABELS, NUM_FRAMES, tiny_baseline, tiny_image, tiny_painter, tiny_pipeline

from lfdm_diffusers import Box, LFDMPipeline, Motion, Stroke
from lfdm_diffusers.ops.number_types import float32_by_default
from lfdm_diffusers.schedulers import scheduler_by_name


@pytest.fixture(scope="module")
def pipe() -> LFDMPipeline:
    return tiny_pipeline(painter=tiny_painter())


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return tiny_image(48)[:, :40].clone()


def half(size: int) -> torch.Tensor:
    mask = torch.zeros(size, size, dtype=torch.float32)
    mask[:, size // 2 :] = 1
    return mask


WAYS = {
    "guided": {"guidance_scale": 2.0, "motion_scale": 1.3, "loop": "ease"},
    "mask": {"motion_mask": half(32), "loop": "ping_pong"},
    "windows": {"num_frames": 2 * NUM_FRAMES + 1, "loop": True},
    "picture": {"output_size": "picture"},
    "subjects": {"subjects": [Box(2, 2, 24, 30), Box(20, 4, 44, 36)]},
    "strokes": {"strokes": [Stroke([(10, 10), (16, 12)]), Stroke([(30, 30), (28, 34)], frames=2, radius=5.0)]},
}


@pytest.mark.parametrize("way", WAYS)
def test_generated_clips(pipe, picture, way):
    def call():
        chance = torch.Generator().manual_seed(0)
        return pipe(picture, LABELS[0], num_inference_steps=1, generator=chance, output_type="pt", **WAYS[way])

    require_same_bits(call)


@pytest.mark.parametrize("name", ["ddim", "unipc", "euler", "lcm", "tcd"])
def test_schedulers_that_make_numbers_of_the_default_type(pipe, picture, name):
    def call():
        own = LFDMPipeline(**pipe.components | {"scheduler": scheduler_by_name(name, pipe.scheduler)})
        own.set_progress_bar_config(disable=True)
        chance = torch.Generator().manual_seed(0)
        return own(picture, LABELS[0], num_inference_steps=2, generator=chance, output_type="latent")

    require_same_bits(call)


def test_motion_that_is_found_changed_and_given(pipe, picture):
    def call():
        clip = [picture, picture.flip(-1), picture]
        found = [pipe.transfer(picture, clip, relative=relative) for relative in (True, False)]
        motion = found[0].scaled(1.2).resampled(5).looped().masked(half(9)).resized(12, 12)
        motion = motion.blended(motion.reversed(), [0.0, 0.1, 0.2, 0.3, 0.4])
        return [motion.flow, motion.occlusion, motion.still, *bits(pipe.animate(picture, motion, output_type="pt"))]

    require_same_bits(call)


@pytest.mark.parametrize("name", ["vdm", "ldm", "imaginator"])
def test_baselines(name):
    pipe = tiny_baseline(name)
    steps, picture = {} if name == "imaginator" else {"num_inference_steps": 1}, tiny_image()

    def call():
        return pipe(picture, LABELS[0], generator=torch.Generator().manual_seed(0), output_type="pt", **steps)

    require_same_bits(call)


def test_saved_pipelines_load_as_they_were_saved(pipe, picture, tmp_path):
    pipe.save_pretrained(tmp_path)
    picture = PIL.Image.new("RGB", (32, 32), "teal")

    def call():
        loaded = LFDMPipeline.from_pretrained(tmp_path)
        loaded.set_progress_bar_config(disable=True)
        chance = torch.Generator().manual_seed(0)
        return loaded(picture, LABELS[0], num_inference_steps=1, generator=chance, output_type="pt")

    require_same_bits(call)
    for part in ("unet", "lfae", "painter", "label_embeddings"):
        assert getattr(LFDMPipeline.from_pretrained(tmp_path), part).dtype == torch.float32


def test_a_motion_of_float64_numbers_is_taken(pipe, picture):
    torch.set_default_dtype(torch.float64)
    still = torch.zeros(2, 2, 8, 8), torch.ones(2, 1, 8, 8)
    assert len(pipe.animate(picture, Motion(*still)).frames[0]) == 2


def test_the_usual_type_is_there_until_the_last_one_leaves():
    torch.set_default_dtype(torch.float64)
    first, second = float32_by_default(), float32_by_default()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.get_default_dtype() == torch.float32
    second.__exit__(None, None, None)
    assert torch.get_default_dtype() == torch.float64


def test_types_that_libraries_set_meanwhile_are_left_alone():
    torch.set_default_dtype(torch.bfloat16)
    with float32_by_default():
        assert torch.get_default_dtype() == torch.bfloat16
    assert torch.get_default_dtype() == torch.bfloat16
