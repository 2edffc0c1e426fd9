"""Expressions that are made once for a picture and then mixed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
from tiny import LABELS, tiny_pipeline

from lfdm_diffusers.app.engine import Engine
from lfdm_diffusers.app.expressions import Expressions
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.pipelines import Box

pytestmark = pytest.mark.usefixtures("small_files")


@pytest.fixture(scope="module")
def expressions(tmp_path_factory) -> Expressions:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline(default_num_inference_steps=2).save_pretrained(folder)
    return Expressions(Engine(str(folder)))


@pytest.fixture
def picture(tmp_path) -> str:
    noise = np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).resize((64, 48), PIL.Image.Resampling.BICUBIC).save(tmp_path / "face.png")
    return str(tmp_path / "face.png")


def test_expressions_are_made_once_and_mixed_without_denoising(expressions, picture, monkeypatch):
    with pytest.raises(ValueError, match="Make this picture's expressions first"):
        expressions.mixed(picture, {"anger": 1.0})
    shares = []
    assert expressions.make(picture, progress=lambda share, what: shares.append(share)) == list(LABELS)
    assert shares == sorted(shares) and len(shares) == 2 * len(LABELS) and shares[-1] == 1
    pipe = expressions.engine.pipeline()
    with monkeypatch.context() as patch:
        patch.setattr(pipe.unet, "forward", None)  # nothing is denoised from here on
        expressions.make(picture)
        clip = read_clip(Clip(expressions.mixed(picture, {"anger": 1.0, "surprise": 0.5}, hold=4)))
        rest, still = (
            np.asarray(PIL.Image.open(expressions.mixed(picture, weights, still=True)).convert("RGB"))
            for weights in ({}, {"anger": 1.0})
        )
    assert clip.shape == (4 + 8, 48, 64, 3)  # two frames a second
    assert np.abs(rest.astype(int) - np.asarray(PIL.Image.open(picture))).max() <= 1 and not np.array_equal(
        rest, still
    )
    motion = pipe(PIL.Image.open(picture), "anger", generator=torch.Generator().manual_seed(0)).motion()
    frame = pipe.animate(PIL.Image.open(picture), motion, output_size="picture").frames[0][motion.apex()]
    assert np.abs(np.asarray(frame).astype(int) - still).max() <= 1
    with pytest.raises(ValueError, match="There is no expression boredom"):
        expressions.mixed(picture, {"boredom": 1.0})


def test_of_many_faces_the_first_ones_move(expressions, picture, monkeypatch):
    """As many as the other tabs take, and no more is denoised for the others."""
    boxes = [Box(0, 0, 20, 20), Box(20, 0, 40, 20), Box(40, 0, 60, 20)]
    monkeypatch.setattr("lfdm_diffusers.app.engine.MOST_DRAWN", 2)
    monkeypatch.setattr(expressions, "_made", {})
    pipe = expressions.engine.pipeline()
    monkeypatch.setattr(pipe, "outlook", lambda *picture, **options: SimpleNamespace(subjects=boxes))
    expressions.make(picture)
    (made,) = expressions._made.values()
    assert made.boxes == boxes[:2] and [len(motions) for motions in made.motions.values()] == [2] * len(LABELS)


def test_all_other_labels_are_led_away_from_what_the_face_shows(tmp_path, picture):
    tiny_pipeline(default_num_inference_steps=1, default_guidance_scale=2.0).save_pretrained(tmp_path / "guided")
    guided = Expressions(Engine(str(tmp_path / "guided")))
    for away in ("", "anger"):
        guided.make(picture, away_from=away)
    plain, led = guided._made.values()
    same = [torch.equal(plain.motions[label][0].flow, led.motions[label][0].flow) for label in LABELS]
    assert same == [label == "anger" for label in LABELS]
    assert guided.mixed(picture, {"surprise": 1.0}, away_from="anger")
    with pytest.raises(ValueError, match="Make this picture's expressions first"):
        guided.mixed(picture, {"surprise": 1.0}, away_from="surprise")
