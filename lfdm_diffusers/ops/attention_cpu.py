"""Attention on a CPU, in blocks of sequences that stay in its cache, and with fewer products and passes over memory.

A layer has `norm`, `to_q`, `to_k`, `to_v`, `to_out`, `heads`, `processor` and `attend(tokens, rotary, bias)`, the formula: what is added
to tokens `(..., L, C)`, whose sequences along L each attend to themselves. Rotary positions have `cos`, `sin` `(L, heads, d)` and
`swap` `(d, d)`: they turn x into `x * cos + (x @ swap) * sin`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from .choice import is_plain, may_be_faster
from .thresholds import current

Way = Callable[[torch.Tensor, Any, torch.Tensor | None], torch.Tensor]  # of tokens, positions and a bias


class Layer(Protocol):
    """The attention layer that this file knows; see above."""

    heads: int
    inner_dim: int
    fused_projections: bool
    norm: nn.Module
    to_q: nn.Linear
    to_k: nn.Linear
    to_v: nn.Linear
    to_out: nn.ModuleList
    processor: Callable[..., torch.Tensor]

    @property
    def is_linear(self) -> bool: ...

    def attend(self, tokens: torch.Tensor, rotary: Any, bias: torch.Tensor | None) -> torch.Tensor: ...


def choose(layer: Layer, tokens: torch.Tensor, rotary: Any = None) -> Way | None:
    """A faster way to `tokens + layer.attend(tokens, rotary, bias)`; None where that is the formula."""
    attend: Way
    if can_project_sums(layer, tokens):
        attend = functools.partial(attend_projecting_sums, layer)
    elif not may_be_faster(tokens):
        return None
    elif can_turn_weights(layer, tokens, rotary):
        attend = functools.partial(attend_turning_weights, layer, turned_weights(layer, rotary))
    else:
        attend = layer.attend
    return functools.partial(in_blocks, attend, block_size(layer, tokens))


def block_size(layer: Layer, tokens: torch.Tensor) -> int:
    """How many of the sequences along the third last axis to take at a time."""
    count = tokens.shape[-3]
    if not may_be_faster(tokens):
        return count
    each = (
        tokens.numel() // tokens.shape[-1] // count * layer.inner_dim * tokens.element_size()
    )  # bytes of their queries
    return max(1, min(count, round(current().attention_block_bytes / each)))


def in_blocks(
    attend: Way, size: int, tokens: torch.Tensor, rotary: Any = None, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """`tokens + attend(tokens, rotary, bias)`, of `size` sequences at a time; it lies in memory as `tokens` does."""
    axis = tokens.ndim - 3
    if size >= tokens.shape[axis]:
        return tokens + attend(tokens, rotary, bias)
    blocks = tokens.split(size, dim=axis)
    if torch.is_grad_enabled():
        return tokens + torch.cat([attend(block, rotary, bias) for block in blocks], dim=axis)
    out = torch.empty_like(tokens)
    for block, place in zip(blocks, out.split(size, dim=axis)):  # each is put in its place while it is in the cache
        torch.add(block, attend(block, rotary, bias), out=place)
    return out


def can_turn_weights(layer: Layer, tokens: torch.Tensor, rotary: Any) -> bool:
    """Whether positions may turn the weights of projections instead of queries and keys.

    That is less work where channels are few and places more. (Not for gradients, for which more would be kept.)
    """
    usable = rotary is not None and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    if not usable or layer.fused_projections:
        return False
    sequences, channels = tokens.shape[:-2].numel(), tokens.shape[-1]
    if channels > min(current().turned_channels, sequences - 1):
        return False
    return all(is_plain(x, nn.Linear) and x.bias is None for x in (layer.to_q, layer.to_k, layer.to_v))


def turned_weights(layer: Layer, rotary: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of queries, keys and values, weights `(L, C, heads * d)` for each position."""
    # Written out: batched products in half precision would copy it for every block.
    value = layer.to_v.weight.expand(len(rotary.cos), -1, -1).contiguous().transpose(1, 2)
    return turned_weight(layer.to_q.weight, rotary), turned_weight(layer.to_k.weight, rotary), value


def turned_weight(weight: torch.Tensor, rotary: Any) -> torch.Tensor:
    """`(L, C, heads * d)`: tokens `(..., C)` at position l times the l-th of these are what positions make of `tokens @ weight.T`,
    for a projection's `weight` `(heads * d, C)`."""
    dtype = torch.promote_types(weight.dtype, torch.float32)
    cos, sin, swap = (x.to(dtype) for x in rotary)
    plain = weight.to(dtype).unflatten(0, cos.shape[1:])  # (heads, d, C)
    turned = torch.addcmul(cos[..., None] * plain, sin[..., None], swap.T @ plain)  # (L, heads, d, C)
    return turned.flatten(1, 2).transpose(1, 2).to(weight.dtype)


def attend_turning_weights(
    layer: Layer, weights: Sequence[torch.Tensor], tokens: torch.Tensor, rotary: Any, bias: torch.Tensor | None
) -> torch.Tensor:
    """`layer.attend`, with `turned_weights` in place of projections and positions."""
    positions = layer.norm(tokens.movedim(-2, 0)).flatten(1, -2)  # (L, S, C)
    projected = (torch.bmm(positions, weight).transpose(0, 1) for weight in weights)
    query, key, value = (x.unflatten(-1, (layer.heads, -1)) for x in projected)  # (S, L, heads, d)
    out = layer.processor(layer, query, key, value, bias)
    return layer.to_out[0](out.flatten(-2)).view(tokens.shape)


def can_project_sums(layer: Layer, tokens: torch.Tensor) -> bool:
    """Whether linear attention may project values, and what is read from them, after they are summed over places, which are more
    than channels: fewer products, on any device."""
    if not may_be_faster(tokens, any_device=True) or not current().projected_sums:
        return False
    plain = is_plain(layer.to_v, nn.Linear) and is_plain(layer.to_out[0], nn.Linear) and layer.to_v.bias is None
    linear = layer.is_linear and not layer.fused_projections
    return linear and plain and tokens.ndim == 3 and tokens.shape[-2] > tokens.shape[-1]


def attend_projecting_sums(
    layer: Layer, tokens: torch.Tensor, rotary: Any = None, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """`layer.attend` of tokens `(B, L, C)`, for linear attention: the weights of values and of the output meet the sums."""
    to_out: Any = layer.to_out[0]  # an `nn.Linear`: see `can_project_sums`
    tokens, heads = layer.norm(tokens), (layer.heads, -1)
    context = softmax_sums(layer.to_k(tokens), tokens).unflatten(1, heads)  # (B, heads, d, C)
    query = layer.to_q(tokens).unflatten(-1, heads).softmax(dim=-1)  # (B, L, heads, d)
    to_value = layer.to_v.weight.unflatten(0, heads).transpose(1, 2)  # (heads, C, d)
    from_value = to_out.weight.T.unflatten(0, heads) * query.shape[-1] ** -0.5  # (heads, d, C)
    out = query.flatten(2) @ (context @ to_value @ from_value).flatten(1, 2)
    return out if to_out.bias is None else out + to_out.bias.to(out.dtype)  # under autocast the bias is float32


def softmax_sums(logits: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`(B, K, C)`: sums of values `(B, L, C)`, weighted by the softmax over L of logits `(B, L, K)`."""
    if not can_normalise_late(logits):
        return logits.softmax(dim=1).transpose(1, 2) @ values
    return weighted_means(logits.exp().transpose(1, 2), values)


def choose_softmax(query: torch.Tensor) -> Callable[..., torch.Tensor] | None:
    """A faster way to softmax attention of queries, keys, values `(B, L, heads, d)` and a bias; None where that is a fused kernel."""
    return attend_by_products if may_be_faster(query) and query.shape[1] <= current().product_tokens else None


def attend_by_products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """softmax(q k^T / sqrt(d) + bias) v, `(B, L, heads, d)`, by products of all heads."""
    heads, scale = query.shape[2], query.shape[-1] ** -0.5
    query, key, value = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))  # (B*heads, L, d)
    logits = (query @ key.transpose(1, 2)).unflatten(0, (-1, heads))
    logits = logits * scale if bias is None else torch.add(bias, logits, alpha=scale)
    out = normalise_late(logits, value) if can_normalise_late(logits) else normalise_first(logits, value)
    return out.unflatten(0, (-1, heads)).transpose(1, 2)


def normalise_first(logits: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(logits) value: logits `(B, heads, L, L)`, value `(B * heads, L, d)`. The softmax is taken in float32: bfloat16's
    own is half as fast on CPUs."""
    weights = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32)).to(value.dtype)
    return weights.flatten(0, 1) @ value


def can_normalise_late(logits: torch.Tensor) -> bool:
    """Whether a softmax of logits may be taken as exponentials that are divided by their sum later: none overflows or vanishes.
    (Not for gradients, which need the logits that `normalise_late` overwrites.)"""
    if not may_be_faster(logits) or torch.is_grad_enabled() or torch.finfo(logits.dtype).max < 1e38:
        return False
    low, high = logits.aminmax()
    return max(-low.item(), high.item()) < current().late_logit


def normalise_late(logits: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """What `normalise_first` computes, faster on CPUs: the map of all pairs stays in its own precision and is not divided by its sums,
    but the values that it gives are. It overwrites `logits`."""
    return weighted_means(logits.exp_().flatten(0, 1), value)


def weighted_means(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`(N, Q, C)` of weights `(N, Q, L)`, which need not sum to one, and values `(N, L, C)`; without a gradient."""
    return (weights @ values).div_(weights.sum(-1, keepdim=True))
