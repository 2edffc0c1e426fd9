"""Model cards: filled from what an object says of itself, and from what only its maker knows."""

from __future__ import annotations

import pytest
from diffusers import ConfigMixin, DDIMScheduler
from diffusers.configuration_utils import register_to_config
from tiny import tiny_baseline, tiny_label_embeddings, tiny_lfae, tiny_pipeline, tiny_unet
from torch import nn

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.hub.base import HubModel
from lfdm_diffusers.hub.cards import facts_of_base

pytestmark = pytest.mark.fast


def rows_of(card) -> dict[str, str]:
    """The table of facts."""
    lines = [line.split(" | ") for line in card.text.splitlines() if line.startswith("| ") and " | " in line[2:]]
    return {name.removeprefix("| "): value.removesuffix(" |") for name, value in lines[1:]}


def test_a_pipeline_says_what_it_is():
    card = tiny_pipeline().card(repo_id="me/faces", facts={"license": "apache-2.0", "notes": ["A note."]})
    assert card.data.license == "apache-2.0" and card.data.pipeline_tag == "image-to-video"
    assert card.data.tags == ["lfdm_diffusers", "lfdm", "latent-flow-diffusion", "optical-flow"]
    for text in ('"me/faces"', "`happiness`", "4 frames of 32x32 pixels", "A note.", "## Limits", "bibtex"):
        assert text in card.text, text
    assert "unconditional" not in card.text
    plain = tiny_pipeline(label_embeddings=False).card()
    assert "## Labels" not in plain.text and "prompt_embeds" in plain.text


def test_a_pipeline_that_was_trained_further_shows_what_it_learned_last():
    pipe = tiny_pipeline()
    first, *others = pipe.labels
    text = str(pipe.card(facts={"labels": [others[0]]}))
    assert f'pipe(image, "{others[0]}")' in text and f'pipe(image, "{first}")' not in text
    assert "Its table holds labels of the model that it started from too, not trained here" in text
    assert "labels of the model that it started from" not in str(pipe.card(facts={"labels": pipe.labels}))


def test_clips_that_it_made_are_shown():
    card = tiny_pipeline().card(facts={"gallery": {"anger": "gallery/anger.webp", "": "gallery/no-label.webp"}})
    assert card.data.widget == [
        {"text": "anger", "output": {"url": "gallery/anger.webp"}},
        {"text": "", "output": {"url": "gallery/no-label.webp"}},
    ]
    assert "![anger](gallery/anger.webp)\n![a clip](gallery/no-label.webp)" in card.text
    assert "widget" not in str(tiny_pipeline().card())


def test_the_base_and_its_licence_are_told(tmp_path):
    assert facts_of_base(str(tmp_path))["license_note"].endswith("whose licence is not stated there.")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# x\n")
    facts = facts_of_base(str(tmp_path))
    assert facts == {
        "license_note": f"Its training started from the weights of {tmp_path.name}, whose licence is mit."
    }


def test_rows_come_in_the_order_of_interest():
    names = ["output", "trained on", "data terms", "latent flow auto-encoder", "U-Net", "text", "scheduler"]
    card = tiny_pipeline().card(facts={"dataset": "faces"})
    assert list(rows_of(card)) == [*names, "sampling by default"]
    imaginator = tiny_baseline("imaginator")
    count = sum(parameter.numel() for parameter in imaginator.imaginator.parameters())
    assert rows_of(imaginator.card())["generator"] == f"{count / 1e6:.1f} million parameters"


def test_few_steps_are_advised_for_ddpm_alone():
    pipe = tiny_pipeline()
    assert "Fewer steps: " in pipe.card().text
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    assert "Fewer steps: " not in pipe.card().text


def test_another_pipeline_says_its_own():
    class Mine(LFDMPipeline):
        title, method, tags, part_names, limits = "Mine", "by magic.", ("magic",), {}, "* It never rains."

        def sampling_facts(self) -> dict[str, str]:
            return {"spells": "3"}

        def sampling_advice(self) -> list[str]:
            return ["Speak clearly."]

    card = Mine(**tiny_pipeline().components).card()
    assert card.text.startswith("\n# Mine") and card.data.tags == ["lfdm_diffusers", "magic"]
    assert rows_of(card)["spells"] == "3" and not {"text", "U-Net", "latent flow auto-encoder"} & rows_of(card).keys()
    limits = card.text.split("## Limits\n\n")[1].split("\n\n")[0].splitlines()
    assert limits[1] == "* It never rains." and len(limits) == 4
    assert "by magic." in card.text and "Speak clearly." in card.text and "photographs" not in card.text


def test_models_by_themselves():
    card = tiny_lfae(sample_size=None).card(repo_id="me/lfae")
    assert "sides divisible by 16" in card.text and card.data.pipeline_tag is None
    for model in (tiny_unet(), tiny_label_embeddings()):
        assert "optical-flow" in model.card().data.tags

    class Other(HubModel, ConfigMixin):
        """Adds one."""

        @register_to_config
        def __init__(self, width: int = 3):
            super().__init__()
            self.linear = nn.Linear(width, 1)

    card = Other().card(facts={"name": "Another"})
    assert card.data.tags == ["lfdm_diffusers"] and "# Another\n" in card.text
    assert "package: Adds one." in card.text and '"width": 3' in card.text


def test_a_decoder_names_its_base_model():
    card = tiny_lfae().decoder_card(repo_id="me/ink", facts={"base_model": "me/faces"})
    assert 'LFDMPipeline.from_pretrained("me/faces")' in card.text and 'load_decoder("me/ink")' in card.text
    assert card.data.base_model == "me/faces" and card.data.base_model_relation == "adapter"
    alone = tiny_lfae().decoder_card(facts={"base_model": "me/lfae"}, pipeline=False)
    assert 'LFDMPipeline.from_pretrained("path/to/a/pipeline' in alone.text


@pytest.mark.parametrize("make", [lambda: tiny_pipeline(), lambda: tiny_lfae(), lambda: tiny_unet()])
def test_facts_of_no_place_are_refused(make):
    with pytest.raises(ValueError, match=r"`facts` may hold .* got licence"):
        make().card(facts={"licence": "mit"})
