"""Text encoders from the Hub or a folder, and how their hidden states become one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import transformers
from torch import nn

from .text_attention import pack_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


TEXT_ENCODER = "google-bert/bert-base-cased"  # what the released models were trained with


def load_text_encoder(
    name: str,
) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
    """A BERT-like encoder, float32, in eval mode, and its tokenizer, from the Hub or a folder."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it would list the heads of BERT that are not needed
    try:
        encoder = transformers.AutoModel.from_pretrained(name).float().eval()
        return encoder, transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(
            f"The text encoder {name} could not be loaded ({reason.rstrip('.')}). Give a Hub id, a folder that holds a BERT and its "
            "tokenizer, or 'none'."
        ) from error
    finally:
        transformers.logging.set_verbosity(verbosity)


def pool_text(hidden_states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Mean of the last hidden states over the tokens after [CLS], padding left out, as the released models pool BERT.

    Args:
        hidden_states: `(B, L, D)`.
        attention_mask: `(B, L)`, 1 for tokens, 0 for padding. [SEP] counts as a token.

    Returns:
        `(B, D)`, in the dtype of `hidden_states`.
    """
    mask = attention_mask[:, 1:, None].to(hidden_states.dtype)
    return (hidden_states[:, 1:] * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def text_limit(text_encoder: transformers.PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens of a text count."""
    # A tokenizer without a configuration of its own reports a limit of 1e30.
    return min(tokenizer.model_max_length, getattr(text_encoder.config, "max_position_embeddings", 512))


def embed_text(
    text_encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    device: torch.device | None = None,
    tokens: bool = False,
) -> torch.Tensor:
    """`(len(texts), D)` pooled embeddings of `texts` by a BERT-like encoder, in the encoder's dtype (see `pool_text`); with `tokens`
    `(len(texts), 1 + L, D)`, the hidden states behind them (see `text_attention`)."""
    limit = text_limit(text_encoder, tokenizer)
    given = tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt").to(
        device or text_encoder.device
    )
    hidden_states = text_encoder(given.input_ids, attention_mask=given.attention_mask).last_hidden_state
    pooled = pool_text(hidden_states, given.attention_mask)
    return pack_texts(pooled, hidden_states, given.attention_mask) if tokens else pooled
