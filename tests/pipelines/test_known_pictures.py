"""Pictures that are not of the kind that a model knows: measured, kept with the model, and said before anything is made of them."""

from __future__ import annotations

import PIL.Image
import pytest
import torch
from tiny import tiny_lfae, tiny_pipeline

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.picture_fitting import to_rgb_tensors
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.pipelines.animating import unjudged
from lfdm_diffusers.pipelines.known_pictures import FACTS, KnownPictures, facts_of_reconstruction
from lfdm_diffusers.pipelines.outlook import unknown_kind


@pytest.fixture(scope="module")
def known() -> KnownPictures:
    """Soft pictures are known, and say the limit."""
    lfae = tiny_lfae()
    pictures = torch.cat([soft(seed) for seed in range(60)])
    with torch.no_grad():
        facts = facts_of_reconstruction(lfae, lfae.encode(pictures))
    assert facts.shape == (60, FACTS) and facts.isfinite().all()
    return KnownPictures.measured(facts[:40], facts[40:])


def soft(seed: int, count: int = 1) -> torch.Tensor:
    noise = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=(32, 32), mode="bicubic").clamp(0, 1)


def noise(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(seed)).round()


def pipeline(known: KnownPictures) -> LFDMPipeline:
    return tiny_pipeline(known_pictures=known.to_config(), default_num_inference_steps=1)


def test_facts_that_follow_from_others_are_no_reason_to_be_strange():
    """A change of a twentieth of their deviation, against what they follow from, stays within the limit."""
    facts = torch.randn(60, FACTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    facts[:, 1] = 2 * facts[:, 0]
    known, changed = KnownPictures.measured(facts[:40], facts[40:]), facts[:40].mean(0, keepdim=True)
    assert known.distances(changed).item() < 1e-6
    changed[0, 1] += 0.05 * facts[:40, 1].std()
    assert 0.05 < known.distances(changed).item() < 1


def test_what_is_known_and_what_is_not(known):
    pipe = pipeline(known)
    assert pipe.outlook(soft(99)[0]).unlike < 1.5 < pipe.outlook(noise()).unlike
    assert pipe.outlook(noise()).sentence.endswith("expect a worse clip.")
    assert tiny_pipeline().outlook(noise()).unlike is None
    one_colour = torch.zeros(3, 32, 32)  # nothing of it has a logarithm
    assert 1 < pipe.outlook(one_colour).unlike < float("inf")


def test_it_is_kept_with_the_model(known, tmp_path):
    pipeline(known).save_pretrained(tmp_path)
    loaded = LFDMPipeline.from_pretrained(tmp_path)
    assert loaded.outlook(noise()).unlike == pytest.approx(pipeline(known).outlook(noise()).unlike, rel=1e-3)


@pytest.mark.parametrize(
    "change",
    [{"mean": [0.0]}, {"mean": ["a"] * FACTS}, {"limit": -1}, {"limit": float("nan")}, {"whitening": [[1.0]]}, {"mean": None}],
)  # fmt: skip
def test_what_is_no_measure_is_refused(known, change):
    with pytest.raises(ValueError, match=r"`known_pictures` must hold `mean` \(10 numbers\), `whitening`"):
        tiny_pipeline(known_pictures=known.to_config() | change)


def test_a_call_warns_once_of_what_outlook_has_not_said(known, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("lfdm_diffusers.pipelines.animating.logger.warning", said.append)
    pipe, options = pipeline(known), {"prompt": "anger", "output_type": "latent"}
    for _ in range(2):
        pipe(noise(), **options)
    assert len(said) == 1 and said[0].startswith("This picture is not of the kind that the model knows (")
    pipe(soft(99)[0], **options)
    pipe.outlook(noise(1))
    pipe(noise(1), **options)
    pipe(
        noise(1), height=64, width=64, latents=torch.zeros(1, 3, 4, 16, 16), **options
    )  # of another size nothing is known
    assert len(said) == 1
    with unjudged():
        pipe(noise(2), **options)
    assert len(said) == 1
    pipe(noise(2), **options)
    assert len(said) == 2


def test_how_several_are_said():
    assert unknown_kind([]) == unknown_kind([0.2, 1.0]) == ""
    assert unknown_kind([0.2, 2.0, 3.0]).startswith(
        "2 of 3 subjects are not of the kind that the model knows (3.0 times"
    )


def test_the_bundled_model_knows_its_faces_and_no_stripes():
    pipe = LFDMPipeline.from_pretrained(embedded_model("toon64"))
    face = to_rgb_tensors(PIL.Image.open(embedded_pictures()[2]).convert("RGB"))[0]
    stripes = ((torch.arange(128) // 8) % 2).float().expand(3, 128, 128)
    assert pipe.outlook(face, "center_crop").unlike < 1 < pipe.outlook(stripes).unlike
