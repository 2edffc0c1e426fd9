"""What the tasks that train a pipeline share: dropped labels, averaged weights, sheets of generated clips, the result."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import PIL.Image
import torch

from ..data.chance import draw_generator
from ..hub.base import HubModel
from ..hub.cards import CardFacts
from ..models.text_attention import batch_texts
from ..pipelines import ImageToVideoPipeline, LFDMPipeline
from ..visualization.generation_sheet import generation_sheet
from .averaged_weights import AveragedWeights
from .gallery import write_gallery
from .task import Examples, Result, Task, Validation, needed

# Draws of validation examples: far beyond any of training.
VALIDATION_DRAWS = 2**62


class Clips(Examples, Protocol):
    """A data set of clips or motions of `num_frames` frames."""

    num_frames: int


class HeldOut(NamedTuple):
    """What a pipeline is judged by.

    Attributes:
        dataset: examples for the numbers.
        pictures: to generate every label for.
        labels: of the training clips.
        batch_size: examples at once.
        gallery: whether clips of the first picture are kept beside the model, and shown on its card.
    """

    dataset: Clips
    pictures: Sequence[PIL.Image.Image]
    labels: Sequence[str]
    batch_size: int
    gallery: bool = False


class PipelineTask(Task):
    """A pipeline with one network in training.

    Args:
        pipe: on the device to train on, with `network` in training mode and the others frozen.
        network: the part that learns; its averaged weights are those validated and saved.
        dataset, held_out: needed by a run alone.
        seed: of all chance.
        null_condition_prob: share of examples that are shown without their label.
        ema_decay: of the averaged weights; 0: none.

    Attributes:
        sentences: what embeds texts that the table of labels does not hold; None where there are none.
    """

    sentences: Callable[[Sequence[str]], torch.Tensor] | None = None
    unit = "videos"

    def __init__(
        self,
        pipe: ImageToVideoPipeline,
        network: HubModel,
        dataset: Examples | None,
        held_out: HeldOut | None,
        seed: int,
        null_condition_prob: float,
        ema_decay: float,
    ):
        self.pipe, self.dataset, self.held_out = pipe, dataset, held_out
        self.seed, self.null_condition_prob = seed, null_condition_prob
        self.device: torch.device = network.device
        self.average = AveragedWeights(network, ema_decay)

    def chance(self, draws: Sequence[int]) -> Iterator[torch.Generator]:
        """A generator for each draw: an example's chance does not depend on its neighbours in the batch."""
        return (draw_generator(self.seed, draw) for draw in draws)

    def drops_label(self, label: str, generator: torch.Generator) -> bool:
        """Whether an example is shown without its label, as one that has none always is (classifier-free guidance)."""
        return not label or torch.rand((), generator=generator, dtype=torch.float32).item() < self.null_condition_prob

    def text_embeds(self, labels: Sequence[str]) -> torch.Tensor | None:
        """Rows `(B, D)`, or `(B, 1 + L, D)` where the network hears tokens, of the pipeline's table of labels, and of what embeds
        sentences; None if there is neither. An empty text, of a clip without one, gets any row: it must be masked."""
        table, sentences = self.pipe.label_embeddings, self.sentences
        known = {text for text in labels if table is not None and (sentences is None or not text or table.knows(text))}
        rows: dict[str, torch.Tensor] = {}
        if table is not None and known:
            rows = dict(zip(known, table.rows(list(known)).to(self.device)))
        others = [text for text in dict.fromkeys(labels) if text not in known]
        if sentences is not None and others:
            rows |= dict(zip(others, sentences(others).to(self.device)))
        if not rows:
            return None
        texts = batch_texts([rows[text] for text in labels])
        return texts if self.pipe.hears_tokens or texts.ndim == 2 else texts[:, 0]

    def after_step(self) -> None:
        self.average.step()

    @torch.no_grad()
    def validate(self) -> Validation:
        """The numbers of `judge`, and a sheet of clips of all labels."""
        held_out = needed("held_out", self.held_out)
        with self.average.in_place():
            numbers = self.judge(held_out)
            sheet = generation_sheet(
                self.pipe, held_out.pictures, held_out.labels or [None], held_out.dataset.num_frames, self.seed
            )
        return Validation(numbers, {"samples": sheet})

    @abc.abstractmethod
    def judge(self, held_out: HeldOut) -> dict[str, float]:
        """Numbers by name of the held-out examples, each with the same chance every time."""

    def facts(self) -> CardFacts:
        """The labels of the clips."""
        labels = needed("held_out", self.held_out).labels
        return CardFacts(labels=list(labels)) if labels else CardFacts()

    @property
    def next_step(self) -> str:
        """A clip, where `lfdm generate` makes one; scores of the others."""
        if isinstance(self.pipe, LFDMPipeline):
            return "lfdm generate PICTURE --model {}"
        return "lfdm evaluate {} --data DATA --split test --output scores"

    def results(self) -> list[Result]:
        return [Result("pipeline", self.write, f"{type(self.pipe).__name__}.from_pretrained({{}})", self.next_step)]

    def write(self, folder: Path, facts: CardFacts, repo_id: str | None) -> None:
        """The whole pipeline with the averaged weights, and its card."""
        self.average.keep()
        self.pipe.to("cpu").save_pretrained(folder)
        held_out = self.held_out
        if held_out is not None and held_out.gallery and held_out.pictures:
            clips = write_gallery(self.pipe, folder, held_out.pictures[0], held_out.labels or [None], self.seed)
            facts = CardFacts(**facts, gallery=clips)
        self.pipe.card(repo_id=repo_id, facts=facts).save(folder / "README.md")
