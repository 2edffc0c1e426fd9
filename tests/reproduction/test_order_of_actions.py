"""The order of two actions in sentences: what the encoder's training asks of it, and what probes find."""

from __future__ import annotations

import math

import numpy as np
import probe_text_encoder as probe
import pytest
import torch
import train_text_encoder as training
from tiny import tiny_text_encoder
from transformers import BertModel

from lfdm_diffusers.data.captions import Action, Specification, captions

pytestmark = pytest.mark.fast
NOD, SMILE = (Action("nod", begin=0.05, end=0.5), Action("smile", begin=0.5, end=0.95))


@pytest.mark.parametrize("right", [4.0, 0.0, -4.0])
def test_order_has_a_loss_of_its_own(right, tmp_path):
    """Order undecided costs ln 2, however many other slots are read right; order turned costs more, and nothing else does."""
    told = [Specification((NOD, SMILE)), Specification((Action("nod"),))]
    texts = [["nods, then smiles", "smiles after nodding"], ["nods", "moves the head up and down"]]
    tokenizer = training.make_tokenizer([text for pair in texts for text in pair], 200, tmp_path)
    reader = training.Reader(BertModel(training.configuration(len(tokenizer), 32, 1), add_pooling_layer=False), 8)
    wanted = torch.tensor([training.answers(s)[0] for s in told for _ in range(2)])
    logits = 12.0 * torch.nn.functional.one_hot(wanted, 4).float()
    for row, slot in (wanted >= training.FIRST).nonzero().tolist():
        place = wanted[row, slot]
        logits[row, slot, training.FIRST :] = 12.0
        logits[row, slot, place] += right
    reader.read = lambda states, mask: (logits, torch.zeros(*logits.shape[:2], 3))
    found = training.losses(reader, tokenizer, told, texts, [], None, 0.0)
    assert found["order"].item() == pytest.approx(math.log1p(math.exp(-right)), abs=1e-3)


def test_told_backwards():
    forwards = (
        "Nods before smiling",
        "after nodding, smiles",
        "nods, and after that smiles",
        "first nods, then smiles",
    )
    assert not any(map(probe.told_backwards, forwards))
    backwards = ("smiles after nodding", "Before smiling, he nods.", "smiles, but only once done with nodding")
    assert all(map(probe.told_backwards, backwards))
    rng = np.random.default_rng(0)
    share = np.mean([probe.told_backwards(captions(Specification((NOD, SMILE)), rng, 1)[0]) for _ in range(400)])
    assert 0.15 < share < 0.3  # two of nine ways to say it


def test_probes_find_what_is_there():
    """Of states that hold the order, and of those of an encoder that has learned nothing."""
    told = probe.sequences(300, 0)
    assert told.slots[0].tolist() == told.slots[1].tolist()[::-1]  # each two actions in both orders
    states = torch.zeros(300, 4, 64)
    states[torch.arange(300), 1, told.slots[:, 0]] = 1  # a word that names what is first
    mask = torch.ones(300, 4)
    for kind in (probe.PooledProbe, probe.TokensProbe):
        numbers = probe.trained(kind(64), states, mask, told.slots, 60)(states, mask, told.slots)
        assert (numbers[:, 0] > numbers[:, 1]).float().mean() > 0.95
    report = probe.probed(*tiny_text_encoder(max_position_embeddings=64), 40, 20, 2)
    assert report["pooled"].keys() == report["tokens"].keys() and len(report["pooled"]) == 8
