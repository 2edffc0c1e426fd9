"""The same results, to the bit, whatever torch's default type is."""

from __future__ import annotations

import torch


def bits(value) -> list[torch.Tensor]:
    """All tensors of what a call returned."""
    parts = value.to_tuple() if hasattr(value, "to_tuple") else value if isinstance(value, (tuple, list)) else [value]
    parts = [part for part in parts if part is not None]
    return [tensor for part in parts for tensor in ([part] if torch.is_tensor(part) else bits(part))]


def require_same_bits(call) -> None:
    """`call` gives the same under either default."""
    usual = bits(call())
    torch.set_default_dtype(torch.float64)  # the fixture `torch_state` takes it back
    other = bits(call())
    assert torch.get_default_dtype() == torch.float64
    assert len(usual) == len(other) > 0
    for a, b in zip(usual, other):
        assert a.dtype == b.dtype and torch.equal(a, b)
