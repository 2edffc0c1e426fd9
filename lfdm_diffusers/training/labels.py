"""Embeds the label texts that a run trains with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..data.chance import draw_generator
from ..data.clips import Clip
from ..models import LabelEmbeddings
from ..models.text_attention import batch_texts
from ..models.text_encoders import embed_text, load_text_encoder
from ..pipelines import LFDMPipeline

# Sentences by which a table of labels knows what is usual, at most and at least.
MOST, FEWEST = 2048, 64
# Sentences that a table shows, and the most characters of one: a line.
EXAMPLES, LINE = 6, 70


def embed_labels(
    labels: Sequence[str],
    text_encoder: str | None,
    pipe: LFDMPipeline | None = None,
    seed: int = 0,
    tokens: bool = False,
) -> tuple[LabelEmbeddings | None, PreTrainedModel | None, PreTrainedTokenizerBase | None]:
    """The table of label texts, and the encoder that made it.

    Args:
        labels: those of the clips; none: no table (or the pipeline's).
        text_encoder: Hub id or folder of a BERT; "none" for vectors of `seed` at right angles to each other, as long as those
            of a BERT's mean would be (unit variance); None for what `pipe` has.
        pipe: trained before: its rows stay. New labels get rows of the encoder that is named or that it has; without one,
            vectors at right angles to its rows and as long, which training gives their meaning.
        tokens: whether the U-Net attends to the tokens of texts, so that the table has to hold them; a label that no encoder has
            read is a token by itself.

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
        rows = LabelEmbeddings.from_text_encoder(new, encoder, tokenizer, tokens).rows(new)
    else:
        width = pipe.unet.config.text_embed_dim if pipe else max(64, len(new))
        rows = unrelated_rows(len(new), width, seed, known)
        rows = torch.stack((rows, rows), dim=1) if tokens else rows
    if pipe is not None and rows.shape[-1] != pipe.unet.config.text_embed_dim:
        raise ValueError(
            f"`--text_encoder` {text_encoder} gives {rows.shape[-1]} numbers a text, the U-Net was trained with "
            f"{pipe.unet.config.text_embed_dim}. With 'none' the new labels get vectors of their own."
        )
    if table is not None and known is not None:
        rows = batch_texts([*table.rows(table.labels), *rows])
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


class Sentences:
    """Texts that are embedded when they come, by the frozen encoder of a run: too many to be kept.

    Args:
        encoder, tokenizer, tokens: as in `embed_labels`.
        device: to embed on.
    """

    def __init__(
        self, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: bool, device: torch.device
    ):
        self.encoder, self.tokenizer, self.tokens = encoder.requires_grad_(False).eval().to(device), tokenizer, tokens

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """`(len(texts), D)`, or `(len(texts), 1 + L, D)` with tokens, float32."""
        return embed_text(self.encoder, self.tokenizer, texts, tokens=self.tokens).float()

    def remembered_by(self, table: LabelEmbeddings, texts: Iterable[str], seed: int) -> LabelEmbeddings:
        """The table, with where these texts lie (`LabelEmbeddings.with_sentences`); as it is for fewer than `FEWEST`."""
        different = sorted(set(texts))
        if len(different) < FEWEST:
            return table
        order = torch.randperm(len(different), generator=draw_generator(seed, len(different)))
        chosen = [different[i] for i in order[:MOST].tolist()]
        rows = [self(chosen[i : i + 64]) for i in range(0, len(chosen), 64)]
        pooled = torch.cat([row[:, 0] if self.tokens else row for row in rows]).cpu()
        shown = [text for text in chosen if len(text) <= LINE][:EXAMPLES]
        return table.with_sentences(pooled[len(pooled) // 2 :], pooled[: len(pooled) // 2], shown)


def sentences_of_run(
    clips: Sequence[Clip],
    caption_prob: float,
    encoder: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase | None,
    tokens: bool,
    device: torch.device,
) -> Sentences | None:
    """What embeds the clips' sentences; None if none is shown.

    Raises:
        ValueError: if there is no encoder for them.
    """
    if not any(clip.texts and (caption_prob > 0 or not clip.label) for clip in clips):
        return None
    if encoder is None or tokenizer is None:
        raise ValueError("`--text_encoder` must name an encoder: the clips have sentences to be shown with.")
    return Sentences(encoder, tokenizer, tokens, device)


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
