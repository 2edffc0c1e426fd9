#!/usr/bin/env python
"""Train a small text encoder (a `BertModel` and its tokenizer) on sentences about faces, and say how well it understands.

    python reproduction/train_text_encoder.py --output_dir text-encoder --teacher all-MiniLM-L6-v2 --glosses wordnet/dict

It begins as the first layers of a larger encoder (`--teacher`, a folder or Hub id), with that one's vectors of the pieces of
words that sentences about faces and the glosses of WordNet are made of; word vectors stay as they are, so that words it never
saw in a sentence about faces lie beside those it did. The layers learn to tell specifications apart (sentences of one close to
each other, all else far), with heads, thrown away in the end, that read actions, sides, strengths and order back, and one
that gives what the whole teacher says of glosses, which also are what sentences about faces are told from. Without a teacher
all is random and learns. It never sees a wording, subject or pair of actions that is held out.

Writes encoder/ (float16), checkpoint.pt, metrics.jsonl and report.json; a stopped run goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import BertWordPieceTokenizer
from torch import nn
from transformers import BertConfig, BertModel, BertTokenizerFast, PreTrainedTokenizerBase

from lfdm_diffusers.data.captions import ACTIONS, SLOTS, STRENGTHS, Specification, captions, draw_specification
from lfdm_diffusers.data.captions.vocabulary import SIDES
from lfdm_diffusers.data.chance import random_stream
from lfdm_diffusers.files.whole import whole, write_text
from lfdm_diffusers.models.text_encoders import embed_text, load_text_encoder, pool_text
from lfdm_diffusers.models.usual_texts import beside_axes, principal_axes

LONGEST = 64  # tokens of a sentence that count
# How a sentence may hold an action: not, by itself or at the same time as another, first, second.
ABSENT, PRESENT, FIRST, SECOND = range(4)
# Sentences that no face in these data acts out.
STRANGE = (
    "chop the onions and fry them in butter", "boil the pasta for ten minutes", "the soup needs more salt",
    "preheat the oven to two hundred degrees", "whisk the eggs with the sugar", "a recipe for apple pie",
    "add two spoons of flour to the dough", "the bread is in the oven", "stir the sauce until it thickens",
    "tomorrow it will rain in the north", "the train to Paris leaves at noon", "a red car drives along the road",
    "interest rates rose by half a percent", "the parliament voted on the new law", "he plays the violin in an orchestra",
    "the cat sleeps on the sofa", "two dogs run across a field", "the computer needs a new graphics card",
    "install the package and restart the server", "a ship sails over the sea", "the mountain is covered with snow",
    "she paints the wall blue", "water the flowers every morning", "the football team won the match",
    "he repairs the bicycle in the garage", "the price of oil fell again", "a history of the Roman empire",
    "the moon orbits the earth", "photosynthesis turns light into sugar", "buy milk, bread and cheese",
    "the museum opens at nine", "they signed the contract on Friday", "the bridge was built in 1890",
    "a bird builds a nest in the tree", "the students read a novel", "plug the cable into the socket",
    "the plane landed in Tokyo", "grate the cheese over the potatoes", "the river floods the valley in spring", "invest in stocks and bonds",
)  # fmt: skip


# ---- what it learns from --------------------------------------------------------------------------------------------


def read_glosses(folder: Path, seed: int) -> list[str]:
    """Definitions from WordNet's data files in any order, without their examples, each behind a word that it defines."""
    found = []
    for name in ("verb", "noun", "adj", "adv"):
        for line in (folder / f"data.{name}").read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):
                word = line.split(" ")[4].split("(")[0].replace("_", " ")
                found.append(f"{word}: {line.partition(' | ')[2].partition(';')[0].strip()}".lower())
    return [found[i] for i in random_stream(seed, 1).permutation(len(found))]


def sentences(
    count: int, seed: int, held_out: bool = False, pairs: bool = False, kind: str | None = None
) -> tuple[list[Specification], list[list[str]]]:
    """Specifications, and two sentences of each."""
    rng = random_stream(seed)
    specifications = [draw_specification(rng, kind, pairs) for _ in range(count)]
    return specifications, [captions(s, rng, 2, held_out) for s in specifications]


def beside(specification: Specification, rng: np.random.Generator) -> Specification:
    """One that a careless reader takes for it: the other order, side or strength; another action where none is possible."""
    actions = list(specification.actions)
    if specification.is_sequence and rng.random() < 0.6:
        first, second = actions
        return Specification(
            (replace(second, begin=first.begin, end=first.end), replace(first, begin=second.begin, end=second.end))
        )
    for place in rng.permutation(len(actions)):
        action = actions[place]
        changes = [
            replace(action, strength=how)
            for how in STRENGTHS
            if how != action.strength and ACTIONS[action.name].graded
        ]
        changes += [
            replace(action, side=side) for side in SIDES[ACTIONS[action.name].sides] if side != action.side
        ] * 2
        if changes:
            actions[place] = changes[int(rng.integers(len(changes)))]
            return Specification(tuple(actions), specification.without)
    return draw_specification(rng)


def batch(count: int, seed: int) -> tuple[list[Specification], list[list[str]]]:
    """Specifications to learn from and two sentences of each, every other one `beside` the one before."""
    rng = random_stream(seed)
    found: list[Specification] = []
    while len(found) < count:
        found.append(draw_specification(rng))
        found.append(beside(found[-1], rng))
    return found, [captions(s, rng, 2) for s in found]


def make_tokenizer(texts: Sequence[str], size: int, folder: Path) -> PreTrainedTokenizerBase:
    """A WordPiece vocabulary of these texts."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(texts, vocab_size=size, min_frequency=2, show_progress=False)
    pieces.save_model(str(folder))
    return BertTokenizerFast.from_pretrained(folder, model_max_length=LONGEST)


def kept_tokenizer(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], others: Sequence[str], size: int, folder: Path
) -> PreTrainedTokenizerBase:
    """A tokenizer's own pieces: its special ones, all of `texts`, single letters and figures, and the most frequent of `others`."""
    known = tokenizer.get_vocab()
    kept = dict.fromkeys(
        [tokenizer.pad_token, tokenizer.unk_token, tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token]
    )
    for batch in (texts, others):
        counts = Counter(piece for text in batch for piece in tokenizer.tokenize(text))
        kept |= dict.fromkeys(piece for piece, _ in counts.most_common(max(size - len(kept), 0)) if piece in known)
        letters = list("abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'-\"()")
        kept |= dict.fromkeys(piece for c in letters for piece in (c, f"##{c}") if piece in known)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "vocab.txt", "".join(f"{piece}\n" for piece in list(kept)[:size]))
    return BertTokenizerFast.from_pretrained(folder, model_max_length=LONGEST)


def first_layers(
    teacher: BertModel, tokenizer: PreTrainedTokenizerBase, kept: PreTrainedTokenizerBase, layers: int
) -> BertModel:
    """The teacher's first layers, with its vectors of the kept pieces."""
    config = BertConfig(**teacher.config.to_dict() | dict(vocab_size=len(kept), num_hidden_layers=layers, max_position_embeddings=LONGEST))  # fmt: skip
    encoder = BertModel(config, add_pooling_layer=False)
    weights = {name: value for name, value in teacher.state_dict().items() if name in encoder.state_dict()}
    rows = tokenizer.convert_tokens_to_ids(kept.convert_ids_to_tokens(range(len(kept))))
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][rows]
    weights["embeddings.position_embeddings.weight"] = weights["embeddings.position_embeddings.weight"][:LONGEST]
    encoder.load_state_dict(weights, strict=False)
    return encoder


@torch.no_grad()
def teacher_says(teacher: nn.Module, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> torch.Tensor:
    """`(N, D)` of length 1."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # batches of like lengths
    out = torch.empty(len(texts), teacher.config.hidden_size)
    for first in range(0, len(texts), 64):
        rows = order[first : first + 64]
        out[rows] = F.normalize(embed_text(teacher, tokenizer, [texts[i] for i in rows]).float(), dim=1)
    return out


# ---- the network ----------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """The encoder, and heads that are thrown away: what stands in a sentence, and what the teacher says of it.

    Each slot asks the words, as a U-Net with `text_attention` does, whether and how it is there.
    """

    def __init__(self, encoder: BertModel, teacher_width: int):
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.slots = nn.Parameter(torch.randn(len(SLOTS), width))
        self.asks = nn.MultiheadAttention(width, max(width // 32, 1), batch_first=True)
        self.answers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4 + len(STRENGTHS))
        )
        self.teacher = nn.Linear(width, teacher_width)

    def states(self, ids: torch.Tensor, mask: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
        """`(B, L, D)`; with noise on the word vectors, so that words near known ones do as well."""
        words = self.encoder.embeddings.word_embeddings(ids)
        if noise:
            words = words + noise * words.detach().std() * torch.randn_like(words)
        return self.encoder(inputs_embeds=words, attention_mask=mask).last_hidden_state

    def read(self, states: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `(B, slots, 4)` of presence and order, and `(B, slots, 3)` of strength."""
        slots = self.slots.expand(len(states), -1, -1)
        heard, _ = self.asks(slots, states, states, key_padding_mask=mask == 0, need_weights=False)
        return self.answers(heard + slots).split((4, len(STRENGTHS)), dim=-1)


def answers(specification: Specification) -> tuple[list[int], list[int]]:
    """What the heads should say: presence and order of each slot, and its strength (-100: no matter)."""
    present, strength = [ABSENT] * len(SLOTS), [-100] * len(SLOTS)
    for place, action in enumerate(specification.actions):
        slot = SLOTS.index((action.name, action.side))
        present[slot] = (FIRST, SECOND)[place] if specification.is_sequence else PRESENT
        strength[slot] = STRENGTHS.index(action.strength)
    return present, strength


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], longest: int = LONGEST
) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
    return tokens.input_ids, tokens.attention_mask


def losses(reader: Reader, tokenizer: PreTrainedTokenizerBase, specifications: list[Specification], texts: list[list[str]],
           glosses: list[str], taught: torch.Tensor | None, noise: float) -> dict[str, torch.Tensor]:  # fmt: skip
    """The five losses of a batch of specifications with two sentences each, and of glosses.

    Order has a loss of its own, over the actions of sequences alone: in that of presence they are 2 of 38 slots in a
    quarter of the sentences, and by it alone an encoder stays at chance (docs/text.md).
    """
    flat = [text for pair in texts for text in (pair * 2)[:2]]
    ids, mask = tokenize(tokenizer, flat)
    states = reader.states(ids, mask, noise)
    pooled = pool_text(states, mask)
    if glosses:
        other_ids, other_mask = tokenize(tokenizer, glosses, 24)
        others = pool_text(reader.states(other_ids, other_mask, noise), other_mask)
        pooled = torch.cat((pooled, others))
    number = {meaning: i for i, meaning in enumerate(dict.fromkeys(s.meaning for s in specifications))}
    meaning = torch.tensor([number[s.meaning] for s in specifications]).repeat_interleave(2)
    unit = F.normalize(pooled, dim=1)
    likeness = unit[: len(flat)] @ unit.T / 0.07
    likeness.fill_diagonal_(-1e4)
    same = F.pad(meaning[:, None] == meaning[None], (0, len(glosses))) & ~torch.eye(*likeness.shape, dtype=torch.bool)
    contrast = -(likeness.log_softmax(1) * same).sum(1) / same.sum(1).clamp(min=1)
    present, strength = reader.read(states, mask)
    wanted = [answers(s) for s in specifications for _ in range(2)]
    wanted_present = torch.tensor([w[0] for w in wanted])
    ordered = wanted_present >= FIRST
    order = F.cross_entropy(present[ordered][:, FIRST:], wanted_present[ordered] - FIRST, reduction="sum")
    weights = torch.tensor([0.4, 1.0, 1.0, 1.0])
    found = {
        "contrast": contrast.mean(),
        "present": F.cross_entropy(present.flatten(0, 1), wanted_present.flatten(), weights),
        "order": order / ordered.sum().clamp(min=1),
        "strength": F.cross_entropy(strength.flatten(0, 1), torch.tensor([w[1] for w in wanted]).flatten(), ignore_index=-100),
    }  # fmt: skip
    if taught is not None:
        found["teacher"] = 1 - F.cosine_similarity(reader.teacher(others), taught).mean()
    return found


# ---- how well it understands ----------------------------------------------------------------------------------------


@torch.no_grad()
def embed(reader: Reader, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> torch.Tensor:
    """Pooled, `(N, D)`."""
    reader.eval()
    batches = (tokenize(tokenizer, texts[i : i + 64]) for i in range(0, len(texts), 64))
    return torch.cat([pool_text(reader.states(ids, mask), mask) for ids, mask in batches])


@torch.no_grad()
def read_sentences(
    reader: Reader, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of presence and of strength."""
    reader.eval()
    batches = (tokenize(tokenizer, texts[i : i + 64]) for i in range(0, len(texts), 64))
    found = [reader.read(reader.states(ids, mask), mask) for ids, mask in batches]
    return torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])


@torch.no_grad()
def understanding(
    reader: Reader, tokenizer: PreTrainedTokenizerBase, count: int, seed: int, **which: bool
) -> dict[str, float]:
    """Shares of sentences read right. Retrieval: whether the nearest of many training sentences is about the same actions."""
    specifications, texts = sentences(count, seed, **which)
    flat = [(s, text) for s, pair in zip(specifications, texts) for text in pair]
    pooled = embed(reader, tokenizer, [text for _, text in flat])
    present, strength = (x.argmax(-1) for x in read_sentences(reader, tokenizer, [text for _, text in flat]))
    bank, sayings = sentences(4 * count, seed + 1, pairs=False)
    bank_pooled = F.normalize(embed(reader, tokenizer, [pair[0] for pair in sayings]), dim=1)
    nearest = (F.normalize(pooled, dim=1) @ bank_pooled.T).argmax(1).tolist()
    scores: dict[str, list[bool]] = {}
    for row, (s, _) in enumerate(flat):
        read = {
            SLOTS[i]: (int(present[row, i]), STRENGTHS[strength[row, i]])
            for i in (present[row] > 0).nonzero()[:, 0].tolist()
        }
        names, said = {name for name, _ in read}, {action.name for action in s.actions}
        if not s.actions:
            scores.setdefault("nothing moves", []).append(not read)
            continue
        scores.setdefault("actions", []).append(names == said)
        if not which.get("pairs"):
            scores.setdefault("retrieval", []).append({a.name for a in bank[nearest[row]].actions} == said)
        if s.without:
            scores.setdefault("what does not happen", []).append(names == said)
        for action in s.actions:
            scores.setdefault("each action", []).append(action.name in names)
            got = read.get((action.name, action.side))
            sides = [side for name, side in read if name == action.name]
            if action.side:
                scores.setdefault("left or right", []).append(sides == [action.side])
            if got and ACTIONS[action.name].graded:
                scores.setdefault("strength", []).append(got[1] == action.strength)
        if s.is_sequence and names == said and len(said) == 2:
            order = [read.get((action.name, action.side), (ABSENT,))[0] for action in s.actions]
            scores.setdefault("order", []).append(order == [FIRST, SECOND])
    return {name: round(float(np.mean(right)), 4) for name, right in scores.items()} | {"sentences": len(flat)}


def strangeness(reader: Reader, tokenizer: PreTrainedTokenizerBase, seed: int) -> dict[str, float]:
    """How well what training sentences have in common tells what is strange, as `LabelEmbeddings.unlikeness` does: the radius is
    passed by one in a hundred new sentences of training wordings."""
    mean, axes = principal_axes(embed(reader, tokenizer, [pair[0] for pair in sentences(1024, seed + 20)[1]]))
    kinds = {
        "training wordings": [text for pair in sentences(500, seed + 21)[1] for text in pair],
        "held-out wordings": [text for pair in sentences(500, seed + 22, True)[1] for text in pair],
        "strange sentences": list(STRANGE),
    }
    far = {name: beside_axes(embed(reader, tokenizer, texts), mean, axes).numpy() for name, texts in kinds.items()}
    radius = float(np.quantile(far["training wordings"], 0.99))
    return {"radius": round(radius, 4)} | {
        f"{name}, share warned of": round(float((values > radius).mean()), 4) for name, values in far.items()
    }


# ---- the run --------------------------------------------------------------------------------------------------------


def configuration(pieces: int, width: int, layers: int) -> BertConfig:
    return BertConfig(
        vocab_size=pieces, hidden_size=width, num_hidden_layers=layers, num_attention_heads=max(width // 32, 1),
        intermediate_size=width * 8 // 3, max_position_embeddings=LONGEST, type_vocab_size=1,
    )  # fmt: skip


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--teacher", help="encoder to begin with and to follow: folder or Hub id (default: none)")
    parser.add_argument(
        "--start_from",
        type=Path,
        help="output folder of an earlier run, to go on with its vocabulary, encoder and heads",
    )
    parser.add_argument("--glosses", type=Path, help="folder with WordNet's data.noun, data.verb, ... (default: none)")
    parser.add_argument("--num_glosses", type=int, default=3000, help="that are learned from; all give words")
    parser.add_argument("--vocabulary", type=int, default=8000, help="pieces of words")
    parser.add_argument("--width", type=int, default=192, help="without a teacher")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch_size", type=int, default=40, help="specifications, of two sentences each")
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--noise", type=float, default=0.4, help="on word vectors, in units of their spread")
    parser.add_argument("--mixed_precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--num_test", type=int, default=500, help="specifications of each test")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    since = time.perf_counter()
    glosses = read_glosses(args.glosses, args.seed) if args.glosses else []
    seen = [text for pair in sentences(4000, args.seed + 11)[1] for text in pair]
    teacher = teacher_tokenizer = taught = None
    if args.teacher:
        teacher, teacher_tokenizer = load_text_encoder(args.teacher)
    if args.start_from:
        encoder = BertModel.from_pretrained(args.start_from / "encoder", add_pooling_layer=False).float()
        tokenizer = BertTokenizerFast.from_pretrained(args.start_from / "encoder")
    elif teacher is not None:
        tokenizer = kept_tokenizer(teacher_tokenizer, seen, glosses, args.vocabulary, args.output_dir / "vocabulary")
        encoder = first_layers(teacher, teacher_tokenizer, tokenizer, args.layers)
    else:
        tokenizer = make_tokenizer(seen + glosses, args.vocabulary, args.output_dir / "vocabulary")
        encoder = BertModel(configuration(len(tokenizer), args.width, args.layers), add_pooling_layer=False)
    glosses = glosses[: args.num_glosses]
    if teacher is not None:
        encoder.embeddings.word_embeddings.weight.requires_grad_(False)
        taught = teacher_says(teacher, teacher_tokenizer, glosses) if glosses else None
        del teacher
    reader = Reader(encoder, 384 if taught is None else taught.shape[1])
    if args.start_from:
        earlier = torch.load(args.start_from / "checkpoint.pt", weights_only=True)["reader"]
        reader.load_state_dict({name: value for name, value in earlier.items() if not name.startswith("encoder.")}, strict=False)  # fmt: skip
    trained = [p for p in reader.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, args.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, args.steps, pct_start=0.08)
    checkpoint, metrics, start = args.output_dir / "checkpoint.pt", args.output_dir / "metrics.jsonl", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        reader.load_state_dict(state["reader"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        start = state["step"]
    print(f"{sum(p.numel() for p in encoder.parameters()) / 1e6:.2f} million weights, {len(tokenizer)} pieces, from step {start}; "
          f"prepared in {time.perf_counter() - since:.0f} s", flush=True)  # fmt: skip
    for step in range(start, args.steps):
        reader.train()
        torch.manual_seed(args.seed * 1_000_003 + step)
        specifications, texts = batch(args.batch_size, 1_000_000 * (args.seed + 1) + step)
        rows = random_stream(args.seed, 2, step).integers(0, max(len(glosses), 1), 16 if glosses else 0)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.mixed_precision == "bf16"):
            found = losses(
                reader, tokenizer, specifications, texts, [glosses[i] for i in rows], None if taught is None else taught[rows], args.noise
            )  # fmt: skip
        optimizer.zero_grad()
        (
            found["contrast"] + 3 * found["present"] + found["order"] + found["strength"] + 2 * found.get("teacher", 0)
        ).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == args.steps - 1:
            numbers = {name: round(value.item(), 4) for name, value in found.items()}
            with metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "seconds": round(time.perf_counter() - since), **numbers}) + "\n")
            print(step, numbers, f"{time.perf_counter() - since:.0f} s", flush=True)
        if step % 100 == 99 or step == args.steps - 1:
            state = {
                "reader": reader.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
            }
            with whole(checkpoint) as part:
                torch.save(state, part)
    seconds, computing = time.perf_counter() - since, time.process_time()
    encoder.half().save_pretrained(args.output_dir / "encoder")
    tokenizer.save_pretrained(args.output_dir / "encoder")
    encoder.float()  # judged as it was written
    length = Counter(len(row) for row in tokenizer(seen[:1000]).input_ids)
    report = {
        "training": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items() if name not in ("output_dir", "glosses", "teacher", "start_from")}
        | {"teacher": bool(args.teacher), "went on": bool(args.start_from), "cpu_seconds": round(computing), "seconds": round(seconds), "torch": torch.__version__, "weights": sum(p.numel() for p in encoder.parameters()),
           "bytes": (args.output_dir / "encoder" / "model.safetensors").stat().st_size, "longest sentence": max(length)},
        "training wordings": understanding(reader, tokenizer, args.num_test, 77),
        "held-out wordings": understanding(reader, tokenizer, args.num_test, 78, held_out=True),
        "held-out pairs": understanding(reader, tokenizer, args.num_test, 79, pairs=True),
        "held-out wordings of held-out pairs": understanding(reader, tokenizer, args.num_test, 80, held_out=True, pairs=True),
        "strangeness": strangeness(reader, tokenizer, 5000),
    }  # fmt: skip
    write_text(args.output_dir / "report.json", json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
