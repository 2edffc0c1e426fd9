"""What a face shows already: told by the model, kept with it, and led away from."""

from __future__ import annotations

import PIL.Image
import pytest
import torch
from tiny import tiny_image, tiny_pipeline, tiny_unet

from lfdm_diffusers import Box, LFDMPipeline
from lfdm_diffusers.embedded import embedded_model, embedded_photographs
from lfdm_diffusers.pipelines.shown_labels import ShownLabels

FEATURES = 8


def told(bias: tuple[float, float] = (-100.0, 100.0), scale: float = 1.5) -> ShownLabels:
    """By its bias alone: as it stands every picture shows surprise."""
    return ShownLabels(("happiness", "surprise"), torch.zeros(2, FEATURES), torch.tensor(bias), scale)


def pipeline(shown: ShownLabels | None, **options) -> LFDMPipeline:
    unet = tiny_unet(image_blocks=1, image_summary=FEATURES)
    options = {"default_guidance_scale": 2.0, "default_num_inference_steps": 1} | options
    return tiny_pipeline(unet=unet, shown_labels=shown and shown.to_config(), **options)


def test_the_label_that_is_shown_most_of_those_beyond_their_bounds():
    weight = torch.eye(2)
    shown = ShownLabels(("happiness", "surprise"), weight, torch.tensor([-0.5, -0.5]), 1.5)
    summary = torch.tensor([[3.0, 2.0], [2.0, 3.0], [-3.0, -3.0], [0.5, 0.5]])
    assert shown.told(summary) == ["happiness", "surprise", None, None]
    expected = torch.nn.functional.silu(summary) - 0.5
    torch.testing.assert_close(shown.scores(summary), expected)


def test_it_follows_the_picture_and_its_subjects():
    """A summary of a picture, or of what is framed of it."""
    torch.manual_seed(0)
    pipe, picture = pipeline(None), tiny_image()
    wide = torch.cat([torch.rand(3, 32, 32), torch.zeros(3, 32, 32)], dim=-1)
    boxes = [Box(0, 0, 32, 32), Box(32, 0, 64, 32)]
    latents = pipe.encode_image([wide[..., :32], wide[..., 32:]]).latent
    one, other = pipe.unet.summarize_image(latents)
    assert one.shape == (FEATURES,) and not torch.allclose(one, other)
    weight = (one - other)[None] / (one - other).norm()
    halfway = (weight @ torch.nn.functional.silu(torch.stack((one, other))).mean(0)).reshape(1)
    shown = ShownLabels(("anger",), weight.detach(), -halfway.detach(), 1.5)
    sign = shown.scores(torch.stack((one, other)))[:, 0] > 0
    assert sign[0] != sign[1]
    pipe.register_to_config(shown_labels=shown.to_config())
    assert pipe.labels_shown(wide, boxes) == [("anger" if here else None) for here in sign]
    assert len(pipe.labels_shown(picture)) == 1


def test_it_is_kept_with_the_model(tmp_path):
    pipeline(told()).save_pretrained(tmp_path)
    loaded = LFDMPipeline.from_pretrained(tmp_path)
    assert loaded.labels_shown(tiny_image()) == ["surprise"]
    assert pipeline(None).labels_shown(tiny_image(), [Box(0, 0, 8, 8), Box(8, 8, 16, 16)]) == [None, None]


def test_labels_are_led_away_from_what_is_shown():
    pipe = pipeline(told())
    away = pipe.guidance_away
    assert away(["anger"], ["surprise"]) == {"guidance_scale": 1.5, "negative_prompt": ["surprise"]}
    assert away(["anger"], ["surprise"], 3.0) == {"guidance_scale": 3.0, "negative_prompt": ["surprise"]}
    mixed = away(["anger", "amazement", "anger"], ["surprise", "surprise", None])  # the second is a synonym
    assert mixed == {"guidance_scale": 1.5, "negative_prompt": ["surprise", None, None]}
    for prompts, shown in ((["surprise"], ["surprise"]), (["anger"], [None]), ([None], ["surprise"])):
        assert away(prompts, shown) == {"guidance_scale": 2.0, "negative_prompt": None}
    assert away(["anger"], ["surprise"], 1.0) == {
        "guidance_scale": 1.0,
        "negative_prompt": None,
    }  # no guidance leads away from nothing
    assert pipeline(None).guidance_away(["anger"], ["surprise"])["guidance_scale"] == 2.0


@pytest.mark.parametrize(
    "change",
    [{"labels": []}, {"labels": [1, 2]}, {"weight": [[0.0]]}, {"bias": [0.0]}, {"bias": ["a", "b"]}, {"guidance_scale": 1},
     {"guidance_scale": float("nan")}, {"weight": None}],
)  # fmt: skip
def test_what_tells_nothing_is_refused(change):
    with pytest.raises(ValueError, match="`shown_labels` must hold `labels`, `weight`"):
        tiny_pipeline(shown_labels=told().to_config() | change)


def test_a_unet_without_a_summary_says_so():
    with pytest.raises(ValueError, match="`image_summary` of this U-Net is 0"):
        tiny_unet().summarize_image(torch.zeros(1, 8, 8, 8))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: tiny_pipeline(shown_labels=told().to_config()), "told by 8 features of a summary, and `image_summary` of this U-Net is 0"),
        (lambda: pipeline(ShownLabels(("boredom",), torch.zeros(1, FEATURES), torch.ones(1), 1.5)), "does not know: boredom"),
    ],
)  # fmt: skip
def test_of_another_unet_or_other_labels_nothing_is_told(make, why, monkeypatch):
    """A U-Net may be put in the place of the one that it was made for."""
    said: list[str] = []
    monkeypatch.setattr("lfdm_diffusers.pipelines.pipeline_lfdm.logger.warning", said.append)
    assert make().labels_shown(tiny_image()) == [None]
    assert len(said) == 1 and why in said[0]


def test_the_bundled_model_sees_the_smile_of_its_photograph():
    ((path, face),) = embedded_photographs().items()
    pipe = LFDMPipeline.from_pretrained(embedded_model())
    photograph, subjects = PIL.Image.open(path), [Box(*face)]
    shown = pipe.labels_shown(photograph, subjects)
    assert shown == ["happiness"]
    assert pipe.guidance_away(["anger"], shown) == {"guidance_scale": 1.5, "negative_prompt": ["happiness"]}
    assert pipe.labels_shown(PIL.Image.new("RGB", (128, 128), "grey")) == [None]
