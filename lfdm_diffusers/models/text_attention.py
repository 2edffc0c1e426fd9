"""Attention of a video's places to the tokens of a text, so that a U-Net hears which word belongs to which, and what comes first.

A text is one tensor `(B, 1 + L, D)`: its pooled vector, then the hidden states of its L tokens, then rows of zeros up to the
longest of a batch. Rows of zeros are padding: no encoder gives any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

# Sines and cosines of a frame's place in the clip: half a turn over the clip, one, two, four.
TIME_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)


class TextTokens(NamedTuple):
    """The tokens of a batch of texts.

    Attributes:
        states: `(B, L, D)`.
        mask: `(B, L)` booleans: True for tokens, False for padding.
    """

    states: torch.Tensor
    mask: torch.Tensor


def pack_texts(pooled: torch.Tensor, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`(B, 1 + L, D)` of pooled vectors `(B, D)`, hidden states `(B, L, D)` and their mask `(B, L)`."""
    return torch.cat((pooled[:, None], states * mask[..., None].to(states.dtype)), dim=1)


def split_texts(texts: torch.Tensor) -> tuple[torch.Tensor, TextTokens]:
    """The pooled vectors `(B, D)` and the tokens of packed texts `(B, 1 + L, D)`."""
    states = texts[:, 1:]
    return texts[:, 0], TextTokens(states, (states != 0).any(dim=-1))


def batch_texts(texts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Texts `(1 + L, D)` of any lengths as one batch `(B, 1 + longest, D)`; pooled vectors `(D,)` alone as `(B, D)`."""
    if texts[0].ndim == 1:
        return torch.stack(list(texts))
    longest = max(len(text) for text in texts)
    return torch.stack([F.pad(text, (0, 0, 0, longest - len(text))) for text in texts])


class TextAttention(nn.Module):
    """LayerNorm, attention of every place of every frame to a text's tokens, and the residual sum.

    Beside the tokens stands a learned one, which is all that there is where no text is given, as in classifier-free guidance.
    Queries know the place of their frame in the clip, as a share of it: "first" and "then" are said of the whole. The output
    projection begins at zero, so that a trained U-Net is at first what it was without.

    Args:
        channels: C of the video.
        heads, head_dim: of queries, keys and values.
        text_dim: D of the tokens.
    """

    def __init__(self, channels: int, heads: int, head_dim: int, text_dim: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels, eps=1e-5, bias=False)
        self.time = nn.Linear(2 * len(TIME_FREQUENCIES), channels, bias=False)
        self.norm_text = nn.LayerNorm(text_dim, eps=1e-5)
        self.no_text = nn.Parameter(torch.randn(1, 1, text_dim))
        self.to_q = nn.Linear(channels, heads * head_dim, bias=False)
        self.to_k = nn.Linear(text_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(text_dim, heads * head_dim, bias=False)
        out = nn.Linear(heads * head_dim, channels, bias=False)
        nn.init.zeros_(out.weight)
        self.to_out = nn.ModuleList([out])  # named as in the other attention, for adapters

    def forward(self, x: torch.Tensor, num_frames: int, text: TextTokens) -> torch.Tensor:
        """`(B * F, C, h, w)` in and out; `text` of B."""
        height, width = x.shape[-2:]
        tokens = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B*F, N, C), a view of channels-last memory
        query = self.norm(tokens).unflatten(0, (-1, num_frames))  # (B, F, N, C)
        query = self.to_q(query + self.time(times(num_frames, query))[:, None]).flatten(1, 2)  # (B, F*N, heads*d)
        batch, _, dim = text.states.shape
        states = torch.cat((self.no_text.to(query.dtype).expand(batch, 1, dim), text.states.to(query.dtype)), dim=1)
        mask = F.pad(text.mask, (1, 0), value=True)[:, None, None]  # (B, 1, 1, 1 + L)
        states = self.norm_text(states)
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (query, self.to_k(states), self.to_v(states))
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, heads, F*N, d)
        out = tokens + self.to_out[0](out.transpose(1, 2).flatten(2)).view(tokens.shape)
        return out.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def times(num_frames: int, like: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of the places of F frames in a clip from 0 to 1, `(F, 2 * frequencies)`, of `like`'s type and device."""
    share = torch.arange(num_frames, device=like.device, dtype=torch.float32) / max(num_frames - 1, 1)
    angles = torch.stack([2 * math.pi * frequency * share for frequency in TIME_FREQUENCIES], dim=1)
    return torch.cat((angles.sin(), angles.cos()), dim=1).to(like.dtype)
