#!/usr/bin/env python
"""Whether a text encoder tells which of two actions comes first, by probes of what a U-Net is given of it.

    python reproduction/probe_text_encoder.py --encoder text-encoder/encoder --output probe.json

The encoder stays as it is. One probe is linear in the pooled vector; another asks the tokens, as a U-Net with
`text_attention` does: for each action one question to the words, and a number of the answer. Both learn from sentences in
training wordings which of the two actions that are said has the larger number. Chance is .5; who only takes what is said
first for what is done first gets .78 of training wordings, .8 of held-out ones, and nothing of those told backwards
("smiles after nodding"). Beside that stand the sizes of position and word vectors.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lfdm_diffusers.data.captions import SLOTS, Specification, captions, draw_specification
from lfdm_diffusers.data.chance import random_stream
from lfdm_diffusers.files.whole import write_text
from lfdm_diffusers.models.text_encoders import load_text_encoder, pool_text

GROUPS = {
    "training wordings": {},
    "held-out wordings": {"held_out": True},
    "held-out pairs": {"pairs": True},
    "held-out wordings of held-out pairs": {"held_out": True, "pairs": True},
}


class Told(NamedTuple):
    """Sentences `(N)` about two actions, the slots `(N, 2)` of the first and of the second, and whether they are told backwards."""

    sentences: list[str]
    slots: torch.Tensor
    backwards: torch.Tensor


def told_backwards(sentence: str) -> bool:
    """Whether what is done first is said last, by the wordings of `captions`."""
    text = f" {sentence.lower().rstrip('.')}"
    first = ("but only once done with", ", but first ")
    if text.startswith(" before ") or text.endswith(" beforehand") or any(words in text for words in first):
        return True
    text = text.removeprefix(" after ").removeprefix(" when done ")
    text = text.replace("after that", "").replace(" after it", "")
    return " after " in text or " when done " in text


def swapped(specification: Specification) -> Specification:
    """The two actions in the other order."""
    first, second = specification.actions
    return Specification(
        (replace(second, begin=first.begin, end=first.end), replace(first, begin=second.begin, end=second.end))
    )


def sequences(count: int, seed: int, held_out: bool = False, pairs: bool = False) -> Told:
    """`count` sentences, of two actions in one order and then in the other, so that no action tells its place."""
    rng, texts, slots = random_stream(seed), [], []
    while len(texts) < count:
        one = draw_specification(rng, "sequence", pairs)
        for does in (one, swapped(one)):
            texts += captions(does, rng, 1, held_out)[:1]
            slots += [[SLOTS.index((action.name, action.side)) for action in does.actions]]
    return Told(texts, torch.tensor(slots), torch.tensor([told_backwards(text) for text in texts]))


@torch.no_grad()
def hidden_states(
    encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], longest: int = 48
) -> tuple[torch.Tensor, torch.Tensor]:
    """`(N, longest, D)` and their mask `(N, longest)`."""
    states, masks = [], []
    for start in range(0, len(texts), 64):
        given = tokenizer(
            texts[start : start + 64], padding=True, truncation=True, max_length=longest, return_tensors="pt"
        )
        missing = longest - given.input_ids.shape[1]
        found = encoder(given.input_ids, attention_mask=given.attention_mask).last_hidden_state
        states.append(F.pad(found, (0, 0, 0, missing)))
        masks.append(F.pad(given.attention_mask, (0, missing)))
    return torch.cat(states), torch.cat(masks)


class PooledProbe(nn.Module):
    """A number of each slot, linear in the pooled vector."""

    def __init__(self, width: int):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(len(SLOTS), width))

    def forward(self, states: torch.Tensor, mask: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """`(N, 2)` numbers of the two slots of each sentence."""
        return torch.einsum("nd,nsd->ns", pool_text(states, mask), self.value[slots])


class TokensProbe(nn.Module):
    """A number of each slot, linear in the words that its question finds."""

    def __init__(self, width: int):
        super().__init__()
        self.question = nn.Parameter(0.1 * torch.randn(len(SLOTS), width))
        self.value = nn.Parameter(torch.zeros(len(SLOTS), width))

    def forward(self, states: torch.Tensor, mask: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """`(N, 2)` numbers of the two slots of each sentence."""
        asked = torch.einsum("nld,nsd->nsl", states, self.question[slots]) / states.shape[-1] ** 0.5
        found = asked.masked_fill(mask[:, None] == 0, -1e4).softmax(-1)
        return (found * torch.einsum("nld,nsd->nsl", states, self.value[slots])).sum(-1)


def trained(probe: nn.Module, states: torch.Tensor, mask: torch.Tensor, slots: torch.Tensor, steps: int) -> nn.Module:
    """The probe, after `steps` of 128 sentences."""
    optimizer = torch.optim.AdamW(probe.parameters(), 0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, steps)
    for step in range(steps):
        rows = torch.from_numpy(random_stream(0, 3, step).integers(0, len(slots), 128))
        numbers = probe(states[rows], mask[rows], slots[rows])
        loss = F.softplus(numbers[:, 1] - numbers[:, 0]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return probe.requires_grad_(False)


def sizes(encoder: PreTrainedModel, longest: int = 30) -> dict[str, float]:
    """Root mean square of word vectors and of the first position vectors, each without its mean."""
    tables = (
        encoder.get_input_embeddings().weight.detach(),
        encoder.embeddings.position_embeddings.weight[:longest].detach(),
    )
    words, positions = (float((table - table.mean(0)).square().mean().sqrt()) for table in tables)
    return {"words": round(words, 4), "positions": round(positions, 4), "ratio": round(positions / words, 3)}


def probed(
    encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int, num_test: int, steps: int
) -> dict:
    """Shares of sentences whose order is read right, by probe and group."""
    torch.manual_seed(0)
    told = sequences(count, 900)
    states, mask = hidden_states(encoder, tokenizer, told.sentences)
    real = states[mask == 1]
    mean, spread = real.mean(0), real.std()
    states = (states - mean) / spread
    width = states.shape[-1]
    probes = {
        "pooled": trained(PooledProbe(width), states, mask, told.slots, steps),
        "tokens": trained(TokensProbe(width), states, mask, told.slots, steps),
    }
    report: dict = {"sizes": sizes(encoder)} | {name: {} for name in probes}
    for number, (group, which) in enumerate(GROUPS.items()):
        test = sequences(num_test, 901 + number, **which)
        states, mask = hidden_states(encoder, tokenizer, test.sentences)
        for name, probe in probes.items():
            numbers = probe((states - mean) / spread, mask, test.slots)
            right = (numbers[:, 0] > numbers[:, 1]).float()
            report[name][group] = round(right.mean().item(), 3)
            report[name][f"{group}, told backwards"] = round(right[test.backwards].mean().item(), 3)
    return report


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--encoder", required=True, help="BERT-like encoder: folder or Hub id")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the numbers")
    parser.add_argument("--count", type=int, default=3000, help="sentences that the probes learn from")
    parser.add_argument("--num_test", type=int, default=400, help="sentences of each group that they are tested on")
    parser.add_argument("--steps", type=int, default=400, help="of the probes' training")
    args = parser.parse_args(argv)
    report = probed(*load_text_encoder(args.encoder), args.count, args.num_test, args.steps)
    report["settings"] = {"count": args.count, "num_test": args.num_test, "steps": args.steps}
    write_text(args.output, json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
