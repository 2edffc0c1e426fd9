"""Text embeddings of labels: how the released models pool BERT, and a table for a closed set of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.utils import BaseOutput, logging
from torch import nn

from ..data.labels import closest_label, known_as, normalized_label
from ..hub.base import HubModel
from ..hub.cards import TAGS
from ..hub.decorators import register_to_config
from .text_encoders import embed_text
from .usual_texts import beside_axes, principal_axes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


logger = logging.get_logger(__name__)

SMALLEST = 1e-6  # of a radius, where all sentences are alike


@dataclass
class LabelEmbeddingsOutput(BaseOutput):
    """`text_embeds`: `(B, D)`, one row for each label asked for; `(B, 1 + L, D)` where the table holds tokens."""

    text_embeds: torch.Tensor


class LabelEmbeddings(HubModel, ConfigMixin):
    r"""The frozen text embeddings of a closed set of labels, so that a known label needs no text encoder; and where the sentences
    lie that a model was trained on, so that it can say which one is unlike them.

    Parameters:
        labels: the labels, in the order of the table's rows.
        embedding_dim: D, the width of a text embedding (768 for BERT-base).
        num_tokens: L, hidden states of each label's text that are kept too, for U-Nets with `text_attention`.
        num_axes: K, directions in which the embeddings of the training's sentences differ most (`models/usual_texts.py`).
        text_radius: how much of an embedding these leave unexplained in sentences of the training's kind, but for one in a hundred.
        examples: some of the training's sentences, to show what may be said.
    """

    token_states: torch.Tensor
    sentence_mean: torch.Tensor
    sentence_axes: torch.Tensor

    tags = TAGS

    @register_to_config
    def __init__(
        self,
        labels: Sequence[str] = ("neutral",),
        embedding_dim: int = 768,
        num_tokens: int = 0,
        num_axes: int = 0,
        text_radius: float | None = None,
        examples: Sequence[str] | None = None,
    ):
        super().__init__()
        names = isinstance(labels, Sequence) and all(
            isinstance(label, str) and normalized_label(label) for label in labels
        )
        rows = {normalized_label(label): row for row, label in enumerate(labels)} if names else {}
        if not rows or isinstance(labels, str) or len(rows) != len(labels):
            raise ValueError(f"`labels` must be a list of different names (whatever their case), got {labels!r}.")
        if text_radius is not None and text_radius < 0:
            raise ValueError(f"`text_radius` must be a length, 0 or more, got {text_radius}.")
        if num_axes and text_radius is None:
            raise ValueError(
                "`text_radius` must be given with `num_axes`: the length from which on a sentence is unlike them."
            )
        if not all(text.strip() for text in examples or ()):
            raise ValueError(f"`examples` must be sentences, none empty, got {examples!r}.")
        self._rows = rows
        self.embedding = nn.Embedding(len(labels), embedding_dim)
        if num_tokens:
            self.register_buffer(
                "token_states", torch.zeros(len(labels), num_tokens, embedding_dim, dtype=torch.get_default_dtype())
            )
        if num_axes:
            self.register_buffer("sentence_mean", torch.zeros(embedding_dim, dtype=torch.get_default_dtype()))
            self.register_buffer(
                "sentence_axes", torch.zeros(num_axes, embedding_dim, dtype=torch.get_default_dtype())
            )

    @classmethod
    def from_embeddings(cls, labels: Sequence[str], embeddings: torch.Tensor) -> LabelEmbeddings:
        """A table of given rows: `embeddings` is `(len(labels), D)`, or `(len(labels), 1 + L, D)` with tokens."""
        if not torch.is_tensor(embeddings) or not embeddings.is_floating_point():
            raise ValueError(f"`embeddings` must be a float tensor, got {type(embeddings).__name__}.")
        if embeddings.ndim not in (2, 3) or len(labels) != len(embeddings):
            raise ValueError(
                f"`embeddings` must be ({len(labels)}, D), a row for each label, got {tuple(embeddings.shape)}."
            )
        if not torch.isfinite(embeddings).all():
            raise ValueError("`embeddings` must hold finite numbers, got NaN or infinite ones.")
        pooled, states = (embeddings, None) if embeddings.ndim == 2 else (embeddings[:, 0], embeddings[:, 1:])
        table = cls(
            labels=list(labels), embedding_dim=pooled.shape[1], num_tokens=0 if states is None else states.shape[1]
        )
        table._cast(embeddings.dtype)
        with torch.no_grad():
            table.embedding.weight.copy_(pooled)
            if states is not None:
                table.token_states.copy_(states)
        return table.requires_grad_(False).eval()

    @classmethod
    @torch.no_grad()
    def from_text_encoder(
        cls,
        labels: Sequence[str],
        text_encoder: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        tokens: bool = False,
    ) -> LabelEmbeddings:
        """The table that `text_encoder` gives for `labels`, with the tokens of their texts if asked for."""
        return cls.from_embeddings(labels, embed_text(text_encoder, tokenizer, labels, tokens=tokens))

    @torch.no_grad()
    def with_sentences(
        self, some: torch.Tensor, others: torch.Tensor, examples: Sequence[str] = ()
    ) -> LabelEmbeddings:
        """This table, and where a training's sentences lie: pooled embeddings `(N, D)` of some, whose axes are kept, and of others, by
        which the radius is measured; and some of the sentences themselves."""
        mean, axes = principal_axes(some)
        radius = float(torch.quantile(beside_axes(others, mean, axes), 0.99))
        table = type(self).from_config(
            self.config, num_axes=len(axes), text_radius=radius, examples=list(examples) or None
        )
        dtype = self.embedding.weight.dtype
        table._cast(dtype)
        state = self.state_dict() | {"sentence_mean": mean.to(dtype), "sentence_axes": axes.to(dtype)}
        table.load_state_dict(state)
        return table.requires_grad_(False).eval()

    def _cast(self, dtype: torch.dtype) -> None:
        """As `to`, of which diffusers warns where it takes a dtype."""
        self._apply(lambda tensor: tensor.to(dtype))

    def unlikeness(self, pooled: torch.Tensor) -> torch.Tensor:
        """How unlike the training's sentences those of pooled embeddings `(B, D)` are, `(B,)`: 1 is as one in a hundred of them. Of a table
        that holds no sentences 0."""
        if not self.config.num_axes:
            return torch.zeros(len(pooled), dtype=torch.float32, device=pooled.device)
        mean, axes = self.sentence_mean.to(pooled.device), self.sentence_axes.to(pooled.device)
        return beside_axes(pooled, mean, axes) / max(self.config.text_radius, SMALLEST)

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the table's rows."""
        return list(self.config.labels)

    def knows(self, label: str) -> bool:
        """Whether `label` is one of the table's, whatever its case and spacing."""
        return normalized_label(label) in self._rows

    def rows(self, labels: Sequence[str]) -> torch.Tensor:
        """Embeddings `(len(labels), D)`, or `(len(labels), 1 + L, D)`, in float32, for training. An empty text, of a clip without a
        label, gets any row: it must be masked."""
        ids = self.label_ids([label or self.labels[0] for label in labels])
        return self._rows_of(torch.tensor(ids, device=self.embedding.weight.device)).float()

    def _rows_of(self, ids: torch.Tensor) -> torch.Tensor:
        pooled = self.embedding(ids)
        return torch.cat((pooled[:, None], self.token_states[ids]), dim=1) if self.config.num_tokens else pooled

    def own_label(self, label: str, say: Callable[[str], object] | None = None) -> str:
        """The label of the table that `label` means, as the table writes it; case and spacing do not matter. A synonym
        (`data.labels.SYNONYMS`) is taken for the label that is known, and `say` is told (by default a warning is logged).

        Raises:
            ValueError: for an unknown label; names the closest known one and lists all.
        """
        if not isinstance(label, str):
            raise ValueError(f"A label must be a string, got {label!r}.")
        key = known_as(label, self._rows)
        if key is None:
            closest = self.labels[self._rows[closest_label(label, self._rows)]]
            raise ValueError(
                f"Unknown label {label!r}; the closest known one is {closest!r}. "
                f"This model knows: {', '.join(self.labels)}. (Free text needs a text encoder.)"
            )
        own = self.labels[self._rows[key]]
        if key != normalized_label(label):
            (say or logger.warning)(f"{label!r} is taken for this model's label {own!r}.")
        return own

    def label_ids(self, labels: str | Sequence[str]) -> list[int]:
        """Rows of `labels`, or of what they mean (`own_label`).

        Raises:
            ValueError: for an unknown label; names the closest known one and lists all.
        """
        given = [labels] if isinstance(labels, str) else labels
        return [self._rows[normalized_label(self.own_label(label))] for label in given]

    def forward(
        self, labels: str | Sequence[str] | torch.Tensor, return_dict: bool = True
    ) -> LabelEmbeddingsOutput | Any:
        """Look embeddings up.

        Args:
            labels: one label, several, or a tensor of row numbers `(B,)`.

        Returns:
            `LabelEmbeddingsOutput` with `text_embeds` `(B, D)` or, with tokens, `(B, 1 + L, D)`, or the tuple `(text_embeds,)`.

        Raises:
            ValueError: for an unknown label, with the closest known one.
        """
        if not torch.is_tensor(labels):
            if not isinstance(labels, Sequence) or not labels:
                raise ValueError(
                    f"`labels` must be a label, a non-empty list of labels, or row numbers, got {labels!r}."
                )
            labels = torch.tensor(self.label_ids(labels), device=self.embedding.weight.device)
        elif labels.ndim != 1 or labels.is_floating_point():
            raise ValueError(f"`labels` as row numbers must be whole numbers of shape (batch,), got {labels!r}.")
        text_embeds = self._rows_of(labels)
        return LabelEmbeddingsOutput(text_embeds=text_embeds) if return_dict else (text_embeds,)
