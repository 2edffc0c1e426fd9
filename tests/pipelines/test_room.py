"""Memory has one bound for clips that are made, too: it is asked before anything is made."""

from __future__ import annotations

import argparse
import itertools

import PIL.Image
import pytest
import torch
from tiny import LABELS, tiny_image, tiny_pipeline

from lfdm_diffusers import LFDMPipeline, Motion
from lfdm_diffusers.cli.clips import only_frame, read_picture
from lfdm_diffusers.data import picture_reading
from lfdm_diffusers.files.limits import GIGABYTES, TooLargeError


@pytest.fixture(scope="module")
def pipe() -> LFDMPipeline:
    return tiny_pipeline()


@pytest.fixture(autouse=True)
def megabyte(monkeypatch):
    monkeypatch.setenv(GIGABYTES, "0.001")


def test_generated_clips(pipe):
    assert len(pipe(tiny_image(), LABELS[0], num_inference_steps=1).frames[0]) == 4
    for options in ({"num_frames": 100}, {"num_videos_per_prompt": 25}):
        with pytest.raises(
            TooLargeError, match=r"`num_frames`: 100 frames of 32x32 pixels take 0\.00369 GB .*more than"
        ):
            pipe(tiny_image(), LABELS[0], num_inference_steps=1, **options)


def test_animated_pictures(pipe):
    motion = Motion(torch.zeros(100, 2, 8, 8), torch.ones(100, 1, 8, 8))
    with pytest.raises(TooLargeError, match="`motion`: 100 frames of 32x32 pixels take"):
        pipe.animate(tiny_image(), motion)
    few = motion.resampled(2)
    with pytest.raises(TooLargeError, match="`output_size`: 2 frames of 300x300 pixels take"):
        pipe.animate(tiny_image(), few, output_size=(300, 300), output_type="np")
    stream = pipe.animate(tiny_image(), few, output_size=(300, 300), output_type="stream").frames[0]
    assert stream.shape == (2, 300, 300, 3)  # one frame after the other


def test_a_driving_clip_without_an_end(pipe):
    with pytest.raises(TooLargeError, match="`driving`: 28 frames of 32x32 pixels take"):
        pipe.transfer(tiny_image(), itertools.repeat(tiny_image()))


def test_pictures_for_the_models_size_alone_are_reduced_while_they_are_decoded(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_reading, "SMALL", 1000)
    PIL.Image.new("RGB", (800, 400), "teal").save(tmp_path / "a.png")
    asked = argparse.Namespace(
        output_size="model", subjects=None, motion_mask=None, image_fit="letterbox", stroke=None
    )
    assert only_frame(asked, pipe) == (32, 32, "letterbox")
    assert read_picture(tmp_path / "a.png", only_frame(asked, pipe)).shape == (3, 100, 200)
    for other in ({"output_size": "picture"}, {"stroke": [1]}, {"subjects": ["auto"]}, {"motion_mask": "mask.png"}):
        assert only_frame(argparse.Namespace(**{**vars(asked), **other}), pipe) is None
    assert read_picture(tmp_path / "a.png").shape == (3, 400, 800)
