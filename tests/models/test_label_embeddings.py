"""The table of labels: matching, errors, building."""

from __future__ import annotations

import pytest
import torch
from tiny import TEXT_DIM, tiny_label_embeddings

from lfdm_diffusers import LabelEmbeddings
from lfdm_diffusers.data.labels import SYNONYMS, closest_label, normalized_label
from lfdm_diffusers.models import label_embeddings
from lfdm_diffusers.models.text_encoders import pool_text


def test_rows_by_label_list_and_number():
    table = tiny_label_embeddings()
    rows = table.embedding.weight
    torch.testing.assert_close(table("happiness").text_embeds, rows[1:2])
    torch.testing.assert_close(table(["surprise", "anger"]).text_embeds, rows[[2, 0]])
    torch.testing.assert_close(table(torch.tensor([2, 0]), return_dict=False)[0], rows[[2, 0]])
    assert not rows.requires_grad


def test_case_spacing_and_accents_do_not_matter():
    labels = ["sit  to Stand", "Straße", "Ünï"]
    table = LabelEmbeddings.from_embeddings(labels, torch.eye(3))
    assert table.labels == labels
    assert table.label_ids([" SIT to stand", "STRASSE", "u\u0308ni\u0308"]) == [0, 1, 2]


def test_a_synonym_is_taken_for_the_label_and_said(monkeypatch):
    said = []
    monkeypatch.setattr(label_embeddings.logger, "warning", said.append)
    table = tiny_label_embeddings()
    assert table.label_ids(["Joy", " smile", "mad", "anger"]) == table.label_ids(["happiness"] * 2 + ["anger"] * 2)
    assert said == [
        "'Joy' is taken for this model's label 'happiness'.",
        "' smile' is taken for this model's label 'happiness'.",
        "'mad' is taken for this model's label 'anger'.",
    ]
    assert not table.knows("joy")  # a text encoder, where there is one, reads it as it is
    # Words of a group stand for whichever of them a model knows.
    assert LabelEmbeddings(["smile", "sad"], 4).label_ids(["happiness", "unhappy"]) == [0, 1]
    assert len({word for words in SYNONYMS for word in words}) == sum(map(len, SYNONYMS))
    assert all(normalized_label(word) == word for words in SYNONYMS for word in words)


@pytest.mark.parametrize(
    "label, other",
    [
        ("happiness", "\ufeffhappi\u200bness"),  # pasted from a page, with a byte-order mark and a blank of no width
        ("\u2764", "\u2764\ufe0f"),  # a heart, in black and in colours
        ("\u0390", "\u03aa\u0301"),  # a Greek letter of three parts, and the capital one
        ("stra\u00dfe", "STRASSE"),
        ("caf\u00e9 noir", "CAFE\u0301\u00a0NOIR"),
        ("\uff53\uff41\uff44", "sad"),
    ],
)
def test_labels_that_look_alike_are_one(label, other):
    assert (
        LabelEmbeddings([label, "x"], 4).label_ids([other])
        == LabelEmbeddings([other, "x"], 4).label_ids([label])
        == [0]
    )


def test_the_closest_label_is_found_by_its_synonyms_too():
    known = ("anger", "happiness", "neutral", "wave left")
    for label, closest in (("joyfull", "happiness"), ("furios", "anger"), ("wave", "wave left"), ("angre", "anger")):
        assert closest_label(label, known) == closest


def test_an_unknown_label_names_the_closest_and_lists_all():
    with pytest.raises(
        ValueError, match=r"Unknown label 'angr'; the closest known one is 'anger'.*happiness, surprise"
    ):
        tiny_label_embeddings().label_ids("angr")


@pytest.mark.parametrize("labels", [(), "anger", ["a", "A"], ["a", ""], ["a", "\u200b"], [1], None, ["é", "e\u0301"]])
def test_bad_tables_are_refused(labels):
    with pytest.raises(
        ValueError, match=r"`labels` must be (a list of different names|a list with something in it|a text)"
    ):
        LabelEmbeddings(labels=labels)


@pytest.mark.parametrize("query", [[], 3, None, torch.tensor(1), torch.tensor([0.5]), ["anger", 3]])
def test_bad_queries_are_refused(query):
    with pytest.raises(ValueError, match=r"`labels`|A label must be a string"):
        tiny_label_embeddings()(query)


@pytest.mark.parametrize("embeddings", [torch.zeros(2, TEXT_DIM), torch.zeros(3), torch.zeros(3, 4).long(), [[1.0]]])
def test_embeddings_must_fit_the_labels(embeddings):
    with pytest.raises(ValueError, match="`embeddings` must be"):
        LabelEmbeddings.from_embeddings(["a", "b", "c"], embeddings)


def test_the_mean_over_no_token_is_zero():
    """A row of [CLS] alone, beside one with a token behind it and one of padding."""
    hidden = torch.tensor([[[1.0], [2.0], [4.0]], [[1.0], [2.0], [4.0]]])
    assert pool_text(hidden, torch.tensor([[1, 0, 0], [1, 1, 0]])).tolist() == [[0.0], [2.0]]
