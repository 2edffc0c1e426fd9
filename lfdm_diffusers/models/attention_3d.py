"""Attention over the frames of a video and over the places of a frame.

Activations are `(B * F, C, h, w)` in channels-last memory, so that `(B, F, h * w, C)` tokens are a view of them, a
projection is one matrix product, and no layout ever changes between convolutions and attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _AttentionBackendRegistry,
    dispatch_attention_fn,
)
from torch import nn

from ..ops import attention_cpu


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
        swap = (feature[:, None].bitwise_xor(1) == feature) * (1 - 2 * (feature[:, None] % 2))
        return cls(*(t.to(dtype) for t in (angle.cos(), angle.sin(), swap)))

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        """`x` `(..., F, heads, d)` with its pairs turned."""
        return torch.addcmul(x * self.cos, x @ self.swap, self.sin)


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
    """Softmax attention, softmax(q k^T / sqrt(d) + bias) v, through diffusers' dispatcher, so that `set_attention_backend` applies."""

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
        faster = attention_cpu.choose_softmax(query)
        if faster and not self.is_backend_asked_for():
            return faster(query, key, value, bias)
        return dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=bias,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )

    def is_backend_asked_for(self) -> bool:
        """On the model, or by diffusers' `attention_backend` context."""
        active, _ = _AttentionBackendRegistry.get_active_backend()
        return self._attention_backend is not None or active != AttentionBackendName.NATIVE


class LinearAttnProcessor:
    """Linear attention: softmax of queries over features and of keys over places, then q (k^T v) / sqrt(d).

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
    processor: Callable[..., torch.Tensor]
    set_processor: Callable[[Any], None]
    fused_projections: bool
    to_qkv: nn.Linear  # where diffusers has fused the projections

    def __init__(
        self, channels: int, heads: int, head_dim: int, axis: str, linear: bool = False, out_bias: bool = False
    ):
        super().__init__()
        self.inner_dim = heads * head_dim
        self.heads = heads
        self.axis = axis
        self.use_bias = False
        self.is_cross_attention = False
        self.norm = nn.LayerNorm(channels, eps=1e-5, bias=False)
        self.to_q = nn.Linear(channels, self.inner_dim, bias=False)
        self.to_k = nn.Linear(channels, self.inner_dim, bias=False)
        self.to_v = nn.Linear(channels, self.inner_dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(self.inner_dim, channels, bias=out_bias)])
        self.set_processor(LinearAttnProcessor() if linear else VideoAttnProcessor())

    @property
    def is_linear(self) -> bool:
        """Whether the processor at hand is this file's linear attention."""
        return type(self.processor) is LinearAttnProcessor

    def project(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values `(..., heads, d)` of tokens `(..., C)`."""
        if self.fused_projections:
            projected = self.to_qkv(tokens).chunk(3, dim=-1)
        else:
            projected = (self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        return tuple(x.unflatten(-1, (self.heads, -1)) for x in projected)

    def attend(self, tokens: torch.Tensor, rotary: RotaryPositions | None, bias: torch.Tensor | None) -> torch.Tensor:
        """What is added to tokens `(..., L, C)`, whose sequences along L each attend to themselves."""
        query, key, value = self.project(self.norm(tokens).flatten(0, -3))  # (S, L, heads, d)
        if rotary is not None:
            query, key = rotary.rotate(query), rotary.rotate(key)
        out = self.processor(self, query, key, value, bias)
        return self.to_out[0](out.flatten(-2)).view(tokens.shape)

    def forward(
        self,
        x: torch.Tensor,
        num_frames: int,
        rotary: RotaryPositions | None = None,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(B * F, C, h, w)` in and out; `rotary` and `bias` go with axis "frames"."""
        height, width = x.shape[-2:]
        tokens = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B*F, N, C), a view of channels-last memory
        if self.axis == "frames":
            # Frames and places change seats before the projection, where tokens are narrowest.
            tokens = tokens.unflatten(0, (-1, num_frames)).transpose(1, 2)  # (B, N, F, C)
        faster = attention_cpu.choose(self, tokens, rotary)
        out = faster(tokens, rotary, bias) if faster else tokens + self.attend(tokens, rotary, bias)
        if self.axis == "frames":
            out = out.transpose(1, 2).flatten(0, 1)  # (B*F, N, C)
        return out.unflatten(1, (height, width)).permute(0, 3, 1, 2)
