"""Attention over the frames of a video and over the places of a frame.

Activations are `(B * F, C, h, w)` in channels-last memory, so that `(B, F, h * w, C)` tokens are a view of them, a
projection is one matrix product, and no layout ever changes between convolutions and attention.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _AttentionBackendRegistry,
    dispatch_attention_fn,
)
from torch import nn

# Up to this many tokens plain products beat the fused kernel on a CPU 1.5 to 2 times (40 frames at 32x32 and 16x16 places,
# 8 heads of 32, float32 and bfloat16).
MAX_PLAIN_TOKENS = 64
# exp of it, times many tokens, stays far inside float32's and bfloat16's range, and exp of its negative too.
MAX_PLAIN_LOGIT = 60.0
# On a CPU attention takes so many sequences at a time that their queries are about as large as a core's cache, 2 to 3 times
# faster in float32: of all at once each step would go through memory.
BLOCK_BYTES = 2**21

# On a CPU positions turn the weights of projections from at most so many channels: those of more are read, frame by frame, longer than
# queries and keys take to be turned.
MOST_TURNED_CHANNELS = 128


class RotaryPositions(NamedTuple):
    """Rotary position embedding of F frames: x -> x * cos + (x @ swap) * sin.

    Attributes:
        cos, sin: `(F, heads, d)`, the same for all heads: written out, they multiply in long runs of memory, several times
            faster on CPUs. Features that do not turn have cos 1 and sin 0.
        swap: `(d, d)`, takes a neighbouring pair (a, b) to (-b, a). As a product it is faster than slicing pairs apart.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    swap: torch.Tensor

    @classmethod
    def create(
        cls, num_frames: int, heads: int, head_dim: int, rotary_dim: int, device: torch.device, dtype: torch.dtype
    ) -> RotaryPositions:
        """Pairs (0, 1), (2, 3), ... of the first `rotary_dim` features turn by frame * 10000^(-2i / rotary_dim)."""
        frequency = 10000.0 ** (-torch.arange(0, rotary_dim, 2, dtype=torch.float32, device=device) / rotary_dim)
        angle = torch.arange(num_frames, dtype=torch.float32, device=device)[:, None] * frequency
        angle = F.pad(angle.repeat_interleave(2, dim=1), (0, head_dim - rotary_dim))[:, None].repeat(1, heads, 1)
        feature = torch.arange(head_dim, device=device)  # numbers from the host would make it wait for an accelerator
        swap = (feature[:, None].bitwise_xor(1) == feature) * (1.0 - 2.0 * (feature[:, None] % 2))
        return cls(*(t.to(dtype) for t in (angle.cos(), angle.sin(), swap)))

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        """`x` `(..., F, heads, d)`; it is overwritten where no gradient is asked for, as memory that is in the cache is faster."""
        swapped = x @ self.swap
        x = x * self.cos if torch.is_grad_enabled() else x.mul_(self.cos)
        return torch.addcmul(x, swapped, self.sin) if torch.is_grad_enabled() else x.addcmul_(swapped, self.sin)

    def rotated_weight(self, weight: torch.Tensor) -> torch.Tensor:
        """`(F, C, heads * d)`: with it frame f's tokens `(..., C)` become what `rotate` makes of `tokens @ weight.T`, for a projection's
        `weight` `(heads * d, C)`."""
        dtype = torch.promote_types(weight.dtype, torch.float32)
        cos, sin, swap = (x.to(dtype) for x in self)
        plain = weight.to(dtype).unflatten(0, cos.shape[1:])  # (heads, d, C)
        turned = torch.addcmul(cos[..., None] * plain, sin[..., None], swap.T @ plain)  # (F, heads, d, C)
        return turned.flatten(1, 2).transpose(1, 2).to(weight.dtype)


class RelativePositionBias(nn.Module):
    """T5's bidirectional relative position bias: `(1, heads, F, F)` added to attention logits, one for all layers.

    Distances below `num_buckets / 4` have a bucket each; larger ones share logarithmic buckets up to `max_distance`.
    """

    def __init__(self, heads: int, num_buckets: int = 32, max_distance: int = 32):
        super().__init__()
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.embedding = nn.Embedding(num_buckets, heads)

    def buckets(self, num_frames: int, device: torch.device | None = None) -> torch.Tensor:
        """Bucket of every (query, key) pair, `(F, F)`."""
        frame = torch.arange(num_frames, device=device)
        distance = frame[:, None] - frame[None, :]  # query minus key
        per_sign = self.num_buckets // 2
        exact = per_sign // 2
        size = distance.abs()
        logarithmic = torch.log(size.clamp(min=1).float() / exact) / math.log(self.max_distance / exact)
        logarithmic = exact + (logarithmic * (per_sign - exact)).long()
        bucket = torch.where(size < exact, size, logarithmic.clamp(max=per_sign - 1))
        return bucket + (distance < 0) * per_sign

    def forward(self, num_frames: int, device: torch.device | None = None) -> torch.Tensor:
        return self.embedding(self.buckets(num_frames, device)).permute(2, 0, 1)[None].contiguous()


class VideoAttnProcessor:
    """Softmax attention through diffusers' dispatcher, so that `set_attention_backend` applies.

    Where no backend was asked for, short sequences on a CPU take plain products head by head.
    """

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: VideoAttention,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(B, L, heads, d)` in and out; `bias` is `(1, heads, L, L)`."""
        # A backend may have been asked for on the model, or by diffusers' `attention_backend` context.
        default = self._attention_backend is None
        default = default and _AttentionBackendRegistry.get_active_backend()[0] == AttentionBackendName.NATIVE
        if default and query.device.type == "cpu" and query.shape[1] <= MAX_PLAIN_TOKENS:
            return self.plain_attention(query, key, value, bias)
        return dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=bias,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )

    @staticmethod
    def plain_attention(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """What `__call__` computes, by products of all heads."""
        heads, scale = query.shape[2], query.shape[-1] ** -0.5
        query, key, value = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))  # (B*heads, L, d)
        logits = (query @ key.transpose(1, 2)).unflatten(0, (-1, heads))
        logits = logits * scale if bias is None else torch.add(bias, logits, alpha=scale)
        out = normalise_late(logits, value) if may_normalise_late(logits) else normalise_first(logits, value)
        return out.unflatten(0, (-1, heads)).transpose(1, 2)


def normalise_first(logits: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(logits) value: logits `(B, heads, L, L)`, value `(B * heads, L, d)`. The softmax is taken in float32: bfloat16's
    own is half as fast on CPUs."""
    weights = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32)).to(value.dtype)
    return weights.flatten(0, 1) @ value


def may_normalise_late(logits: torch.Tensor) -> bool:
    """Whether a softmax of logits may be taken as exponentials that are divided by their sum later: none overflows or vanishes.
    It reads numbers, for which neither a compiler nor an accelerator should wait. (Not for gradients, which need the logits that
    `normalise_late` overwrites.)"""
    readable = logits.device.type == "cpu" and not torch.compiler.is_compiling()
    if not readable or torch.is_grad_enabled() or torch.finfo(logits.dtype).max < 1e38:
        return False
    low, high = logits.aminmax()
    return max(-low.item(), high.item()) < MAX_PLAIN_LOGIT


def normalise_late(logits: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """What `normalise_first` computes, faster on CPUs: the map of all pairs stays in its own precision and is not divided by its sums,
    but the values that it gives are. It overwrites `logits`."""
    return weighted_means(logits.exp_().flatten(0, 1), value)


def weighted_means(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`(N, Q, C)` of weights `(N, Q, L)`, which need not sum to one, and values `(N, L, C)`; without a gradient."""
    return (weights @ values).div_(weights.sum(-1, keepdim=True))


class LinearAttnProcessor:
    """Linear attention: softmax of queries over features and of keys over places, then q (k^T v).

    It has no L x L map, so attention backends do not apply; it costs O(L).
    """

    def __call__(
        self, attn: VideoAttention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: None = None
    ) -> torch.Tensor:
        """`(B, L, heads, d)` in and out."""
        key = key.softmax(dim=1).permute(0, 2, 3, 1)  # (B, heads, d, L)
        context = (key @ value.transpose(1, 2)) * query.shape[-1] ** -0.5  # (B, heads, d, d)
        return (query.softmax(dim=-1).transpose(1, 2) @ context).transpose(1, 2)


class VideoAttention(nn.Module, AttentionModuleMixin):
    """LayerNorm, multi-head attention over the frames or the places of a video, and the residual sum.

    Args:
        channels: C.
        heads, head_dim: of queries, keys and values.
        axis: "frames": the F frames of one place attend to each other, with rotary positions and a relative position
            bias; "places": the h * w places of one frame do.
        linear: linear attention instead of softmax attention ("places" only).
        out_bias: whether the output projection has a bias.
    """

    _default_processor_cls = VideoAttnProcessor
    _available_processors = [VideoAttnProcessor, LinearAttnProcessor]

    def __init__(
        self, channels: int, heads: int, head_dim: int, axis: str, linear: bool = False, out_bias: bool = False
    ):
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.axis = axis
        self.use_bias = False
        self.is_cross_attention = False
        self.norm = nn.LayerNorm(channels, eps=1e-5, bias=False)
        self.to_q = nn.Linear(channels, inner, bias=False)
        self.to_k = nn.Linear(channels, inner, bias=False)
        self.to_v = nn.Linear(channels, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, channels, bias=out_bias)])
        self.set_processor(LinearAttnProcessor() if linear else VideoAttnProcessor())

    def project(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values `(..., heads, d)` of tokens `(..., C)`."""
        if self.fused_projections:
            projected = self.to_qkv(tokens).chunk(3, dim=-1)
        else:
            projected = (self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        return tuple(x.unflatten(-1, (self.heads, -1)) for x in projected)

    def forward(
        self,
        x: torch.Tensor,
        num_frames: int,
        rotary: RotaryPositions | None = None,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(B * F, C, h, w)` in and out; `rotary` and `bias` go with axis "frames"."""
        places = x.permute(0, 2, 3, 1)  # (B*F, h, w, C), a view of channels-last memory
        tokens = self._sequences(places, num_frames)
        size, axis = self._block_size(tokens), tokens.ndim - 3
        turned = self._turned_weights(tokens, rotary)
        if size < tokens.shape[axis] and not torch.is_grad_enabled():
            out = places.new_empty(places.shape)  # contiguous, so that sequences of it are views
            blocks = zip(*(all_of.split(size, dim=axis) for all_of in (tokens, self._sequences(out, num_frames))))
            for block, place in blocks:  # each is added and put in its place while it is in the cache
                torch.add(block, self._attend(block, rotary, bias, turned), out=place)
            return out.permute(0, 3, 1, 2)
        out = [self._attend(block, rotary, bias, turned) for block in tokens.split(size, dim=axis)]
        out = torch.cat(out, dim=axis) if len(out) > 1 else out[0]
        if self.axis == "frames":
            out = out.transpose(1, 2)  # (B, F, N, C)
        return x + out.reshape(places.shape).permute(0, 3, 1, 2)

    def _sequences(self, places: torch.Tensor, num_frames: int) -> torch.Tensor:
        """Tokens that attend to each other, `(..., L, C)`, of `(B * F, h, w, C)`: a view of contiguous memory."""
        tokens = places.flatten(1, 2)  # (B*F, N, C)
        # Frames and places change seats before the projection, where tokens are narrowest.
        return tokens.unflatten(0, (-1, num_frames)).transpose(1, 2) if self.axis == "frames" else tokens

    def _block_size(self, tokens: torch.Tensor) -> int:
        """How many of the sequences along the third last axis to take at a time."""
        count = tokens.shape[-3]
        if tokens.device.type != "cpu" or torch.compiler.is_compiling():
            return count
        inner = self.to_out[0].in_features
        each = tokens.numel() // tokens.shape[-1] // count * inner * tokens.element_size()
        return max(1, min(count, round(BLOCK_BYTES / each)))

    def _attend(
        self,
        tokens: torch.Tensor,
        rotary: RotaryPositions | None,
        bias: torch.Tensor | None,
        turned: Sequence[torch.Tensor] | None,
    ) -> torch.Tensor:
        """What is added to sequences of tokens `(..., L, C)`, each of which attends to its own; `turned` is of `_turned_weights`."""
        if turned is not None:
            frames = self.norm(tokens.movedim(-2, 0)).flatten(1, -2)  # (F, S, C)
            projected = (torch.bmm(frames, weight).transpose(0, 1) for weight in turned)
            query, key, value = (x.unflatten(-1, (self.heads, -1)) for x in projected)  # (S, F, heads, d)
        else:
            normed = self.norm(tokens)
            if self._may_project_sums(normed):
                return self._project_sums(normed)
            query, key, value = self.project(normed.flatten(0, -3))  # (S, L, heads, d)
            if rotary is not None:
                query, key = rotary.rotate(query), rotary.rotate(key)
        out = self.processor(self, query, key, value, bias)
        return self.to_out[0](out.flatten(-2)).view(tokens.shape)

    def _turned_weights(
        self, tokens: torch.Tensor, rotary: RotaryPositions | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Of queries, keys and values, weights `(F, C, heads * d)` for each frame in which its positions are, of tokens `(B, N, F, C)`.

        Where channels are few and places more, turning weights is less work than turning queries and keys. (Not for gradients, for
        which more would be kept; on other devices than CPUs it was not measured.)
        """
        usable = rotary is not None and tokens.device.type == "cpu" and not torch.is_grad_enabled()
        if not usable or self.fused_projections or torch.is_autocast_enabled("cpu"):
            return None
        places, channels = tokens.shape[:-2].numel(), tokens.shape[-1]
        if channels > min(MOST_TURNED_CHANNELS, places - 1):
            return None
        if not all(
            is_plain(projection) and projection.bias is None for projection in (self.to_q, self.to_k, self.to_v)
        ):
            return None
        # Written out: batched products in half precision would copy it for every block.
        value = self.to_v.weight.expand(tokens.shape[-2], -1, -1).contiguous().transpose(1, 2)
        return rotary.rotated_weight(self.to_q.weight), rotary.rotated_weight(self.to_k.weight), value

    def _may_project_sums(self, tokens: torch.Tensor) -> bool:
        """Whether `_project_sums` computes the same, in fewer products."""
        linear = type(self.processor) is LinearAttnProcessor and self.axis == "places" and not self.fused_projections
        plain = is_plain(self.to_v) and is_plain(self.to_out[0]) and self.to_v.bias is None
        return linear and plain and tokens.shape[-2] > tokens.shape[-1]

    def _project_sums(self, tokens: torch.Tensor) -> torch.Tensor:
        """Linear attention of tokens `(B, L, C)` that are normed: values and what is read from them are projected after they
        are summed over places, which are more than channels, and by the same weights."""
        heads = (self.heads, -1)
        context = softmax_sums(self.to_k(tokens), tokens).unflatten(1, heads)  # (B, heads, d, C)
        query = self.to_q(tokens).unflatten(-1, heads).softmax(dim=-1)  # (B, L, heads, d)
        to_value = self.to_v.weight.unflatten(0, heads).transpose(1, 2)  # (heads, C, d)
        from_value = self.to_out[0].weight.T.unflatten(0, heads) * query.shape[-1] ** -0.5  # (heads, d, C)
        out = query.flatten(2) @ (context @ to_value @ from_value).flatten(1, 2)
        bias = self.to_out[0].bias
        return out if bias is None else out + bias.to(out.dtype)  # under autocast the bias is float32


def softmax_sums(logits: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`(B, K, C)`: sums of values `(B, L, C)`, weighted by the softmax over L of logits `(B, L, K)`."""
    if not may_normalise_late(logits):
        return logits.softmax(dim=1).transpose(1, 2) @ values
    return weighted_means(logits.exp().transpose(1, 2), values)


def is_plain(projection: nn.Module) -> bool:
    """Whether its weight and bias are all there is to it: no adapter, no quantised weight, and no hook, torch's or in place of
    `forward`."""
    plain = type(projection) is nn.Linear and type(projection.weight) is nn.Parameter
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return plain and "forward" not in vars(projection) and not any(getattr(projection, name) for name in hooks)
