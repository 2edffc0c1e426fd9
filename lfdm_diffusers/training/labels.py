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
        text_encoder: Hub id or folder of a BERT; "none" for orthogonal vectors of `seed`, as long as those of a BERT's
            mean would be (unit variance); None for what `pipe` has.
        pipe: trained before: its rows stay, and new labels get rows of the same encoder.

    Raises:
        ValueError: if labels cannot be embedded as the U-Net knows them.
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
    if encoder is not None:
        rows = LabelEmbeddings.from_text_encoder(new, encoder, tokenizer).embedding.weight.float()
    elif pipe is None:
        width = max(64, len(new))
        noise = torch.randn(width, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        rows = torch.linalg.qr(noise.double()).Q[: len(new)].float() * width**0.5
    else:
        raise ValueError(
            f"`--text_encoder` must name the encoder that the model was trained with, got {text_encoder or 'nothing'}: the model "
            f"has no embedding of {', '.join(new)}. Or train a new U-Net: `--preset` in the place of "
            "`--pretrained_model_name_or_path`."
        )
    if pipe is not None and rows.shape[1] != pipe.unet.config.text_embed_dim:
        raise ValueError(
            f"`--text_encoder` {text_encoder} gives {rows.shape[1]} numbers a text, the U-Net was trained with "
            f"{pipe.unet.config.text_embed_dim}."
        )
    if table is not None:
        rows = torch.cat((table.embedding.weight.float(), rows))
        new = [*table.labels, *new]
    return LabelEmbeddings.from_embeddings(new, rows), encoder, tokenizer


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
