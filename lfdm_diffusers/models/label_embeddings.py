"""Text embeddings of labels: how the released models pool BERT, and a table for a closed set of labels."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.utils import BaseOutput, logging
from torch import nn

from ..data.labels import known_as, normalized_label
from ..hub.base import HubModel
from ..hub.cards import TAGS
from ..hub.decorators import register_to_config
from .text_encoders import embed_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


logger = logging.get_logger(__name__)


@dataclass
class LabelEmbeddingsOutput(BaseOutput):
    """`text_embeds`: `(B, D)`, one row for each label asked for."""

    text_embeds: torch.Tensor


def taken_for(label: str, known: str) -> str:
    """Says that a synonym was understood."""
    return f"{label!r} is taken for this model's label {known!r}."


class LabelEmbeddings(HubModel, ConfigMixin):
    r"""The frozen text embeddings of a closed set of labels, so that a known label needs no text encoder.

    Parameters:
        labels: the labels, in the order of the table's rows.
        embedding_dim: D, the width of a text embedding (768 for BERT-base).
    """

    tags = TAGS
    _supports_gradient_checkpointing = False
    _repeated_blocks = None

    @register_to_config
    def __init__(self, labels: Sequence[str] = ("neutral",), embedding_dim: int = 768):
        super().__init__()
        names = isinstance(labels, Sequence) and all(isinstance(label, str) and label.strip() for label in labels)
        rows = {normalized_label(label): row for row, label in enumerate(labels)} if names else {}
        if not rows or isinstance(labels, str) or len(rows) != len(labels):
            raise ValueError(f"`labels` must be a list of different names (whatever their case), got {labels!r}.")
        self._rows = rows
        self.embedding = nn.Embedding(len(labels), embedding_dim)

    @classmethod
    def from_embeddings(cls, labels: Sequence[str], embeddings: torch.Tensor) -> LabelEmbeddings:
        """A table of given rows: `embeddings` is `(len(labels), D)`."""
        if not torch.is_tensor(embeddings) or not embeddings.is_floating_point():
            raise ValueError(f"`embeddings` must be a float tensor, got {type(embeddings).__name__}.")
        if embeddings.ndim != 2 or len(labels) != len(embeddings):
            raise ValueError(
                f"`embeddings` must be ({len(labels)}, D), a row for each label, got {tuple(embeddings.shape)}."
            )
        table = cls(labels=list(labels), embedding_dim=embeddings.shape[1])
        table.embedding.to(embeddings.dtype)
        with torch.no_grad():
            table.embedding.weight.copy_(embeddings)
        return table.requires_grad_(False).eval()

    @classmethod
    @torch.no_grad()
    def from_text_encoder(
        cls, labels: Sequence[str], text_encoder: nn.Module, tokenizer: PreTrainedTokenizerBase
    ) -> LabelEmbeddings:
        """The table that `text_encoder` gives for `labels`."""
        return cls.from_embeddings(labels, embed_text(text_encoder, tokenizer, labels))

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the table's rows."""
        return list(self.config.labels)

    def knows(self, label: str) -> bool:
        """Whether `label` is one of the table's, whatever its case and spacing."""
        return normalized_label(label) in self._rows

    def rows(self, labels: Sequence[str]) -> torch.Tensor:
        """Embeddings `(len(labels), D)` in float32, for training. An empty text, of a clip without a label, gets any row: it
        must be masked."""
        ids = self.label_ids([label or self.labels[0] for label in labels])
        return self.embedding.weight[ids].float()

    def label_ids(self, labels: str | Sequence[str]) -> list[int]:
        """Rows of `labels`; case and spacing do not matter. A synonym (`data.labels.SYNONYMS`) is taken for the label that is known,
        and a warning says so.

        Raises:
            ValueError: for an unknown label; names the closest known one and lists all.
        """
        ids = []
        for label in [labels] if isinstance(labels, str) else labels:
            if not isinstance(label, str):
                raise ValueError(f"A label must be a string, got {label!r}.")
            key = known_as(label, self._rows)
            if key is None:
                closest = difflib.get_close_matches(normalized_label(label), self._rows, n=1, cutoff=0.0)
                raise ValueError(
                    f"Unknown label {label!r}; the closest known one is {self.labels[self._rows[closest[0]]]!r}. "
                    f"This model knows: {', '.join(self.labels)}. (Free text needs a text encoder.)"
                )
            if key != normalized_label(label):
                logger.warning(taken_for(label, self.labels[self._rows[key]]))
            ids.append(self._rows[key])
        return ids

    def forward(
        self, labels: str | Sequence[str] | torch.Tensor, return_dict: bool = True
    ) -> LabelEmbeddingsOutput | Any:
        """Look embeddings up.

        Args:
            labels: one label, several, or a tensor of row numbers `(B,)`.

        Returns:
            `LabelEmbeddingsOutput` with `text_embeds` `(B, D)`, or the tuple `(text_embeds,)`.

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
        text_embeds = self.embedding(labels)
        return LabelEmbeddingsOutput(text_embeds=text_embeds) if return_dict else (text_embeds,)
