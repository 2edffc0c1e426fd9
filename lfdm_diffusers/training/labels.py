"""Embeds the label texts that a run trains with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..models import LabelEmbeddings
from ..models.text_encoders import load_text_encoder
from ..pipelines import LFDMPipeline


def embed_labels(
    labels: Sequence[str], text_encoder: str | None, pipe: LFDMPipeline | None = None, seed: int = 0
) -> tuple[LabelEmbeddings | None, PreTrainedModel | None, PreTrainedTokenizerBase | None]:
    """The table of label texts, and the encoder that made it.

    Args:
        labels: those of the clips; none: no table (or the pipeline's).
        text_encoder: Hub id or folder of a BERT; "none" for vectors of `seed` at right angles to each other, as long as those
            of a BERT's mean would be (unit variance); None for what `pipe` has.
        pipe: trained before: its rows stay. New labels get rows of the encoder that is named or that it has; without one,
            vectors at right angles to its rows and as long, which training gives their meaning.

    Raises:
        ValueError: if the encoder's vectors are not as long as those that the U-Net was trained with.
    """
    table = pipe.label_embeddings if pipe else None
    new = [label for label in labels if table is None or not table.knows(label)]
    named = text_encoder is not None and text_encoder != "none"
    if pipe is not None and not named:
        encoder, tokenizer = pipe.text_encoder, pipe.tokenizer
    else:
        encoder, tokenizer = load_text_encoder(text_encoder) if text_encoder and named else (None, None)
    if not new:
        return table, encoder, tokenizer
    known = table.embedding.weight.float() if table is not None else None
    if encoder is not None and text_encoder != "none":
        rows = LabelEmbeddings.from_text_encoder(new, encoder, tokenizer).embedding.weight.float()
    else:
        width = pipe.unet.config.text_embed_dim if pipe else max(64, len(new))
        rows = unrelated_rows(len(new), width, seed, known)
    if pipe is not None and rows.shape[1] != pipe.unet.config.text_embed_dim:
        raise ValueError(
            f"`--text_encoder` {text_encoder} gives {rows.shape[1]} numbers a text, the U-Net was trained with "
            f"{pipe.unet.config.text_embed_dim}. With 'none' the new labels get vectors of their own."
        )
    if table is not None and known is not None:
        rows = torch.cat((known, rows))
        new = [*table.labels, *new]
    return LabelEmbeddings.from_embeddings(new, rows), encoder, tokenizer


def unrelated_rows(count: int, width: int, seed: int, known: torch.Tensor | None = None) -> torch.Tensor:
    """`(count, width)` vectors of `seed` at right angles to each other and to the rows of `known` (if `width` has room for so
    many), as long as those are in the mean; without `known`, of length sqrt(width)."""
    noise = torch.randn(width, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float32).double()
    if known is None:
        return torch.linalg.qr(noise).Q[:count].float() * width**0.5
    length = known.double().norm(dim=1).mean()
    basis = torch.linalg.qr(torch.cat((known.double().T, noise.T), dim=1)).Q.T  # `known` spans its first rows
    rows = basis[len(known) :][:count] if len(known) + count <= width else noise[:count]
    return (rows / rows.norm(dim=1, keepdim=True) * length).float()


def load_label_table(source: str) -> LabelEmbeddings:
    """The table of a pipeline: the same embedding of texts for systems that are compared.

    Raises:
        ValueError: if there is none.
    """
    try:
        return LabelEmbeddings.from_pretrained(source, subfolder="label_embeddings")
    except OSError as error:
        raise ValueError(f"`--label_embeddings` {source}: {error}") from error


def require_labels(table: LabelEmbeddings | None, labels: Sequence[str], source: str) -> None:
    """Raise ValueError if the table that came of `source` lacks one of the clips' labels."""
    if unknown := [label for label in labels if table is None or not table.knows(label)]:
        raise ValueError(f"{source} has no {', '.join(unknown)}, a label of the clips.")
