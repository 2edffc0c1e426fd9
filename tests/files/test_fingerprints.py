"""Fingerprints: receipts and caches hold them, so their bytes may never change."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from lfdm_diffusers.files.fingerprints import file_sha256, weights_sha256


class Weights(nn.Module):
    """Parameters and buffers of several types and layouts."""

    def __init__(self):
        super().__init__()
        self.b = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.register_buffer("a", torch.tensor(3))
        self.register_buffer("c", torch.ones(2, 2, 2, 2, dtype=torch.bfloat16))


def test_weights_sha256():
    text = b"a torch.int64 ()" + (3).to_bytes(8, "little")
    text += b"b torch.float32 (2, 3)" + torch.arange(6.0).numpy().tobytes()
    text += b"c torch.bfloat16 (2, 2, 2, 2)" + b"\x80\x3f" * 16
    expected = hashlib.sha256(text).hexdigest()
    assert expected == "05721dc0535b6638626b10fa89569dae3909cf581b1642bd1e1eeb57147da1f1"
    weights = Weights()
    assert weights_sha256(weights) == expected
    weights.c = weights.c.to(memory_format=torch.channels_last)
    weights.b = nn.Parameter(torch.arange(6.0).reshape(2, 3).T.contiguous().T)
    assert weights_sha256(weights) == expected  # layout is not a value
    for change in (lambda w: w.b.data.add_(1e-6), lambda w: w.half(), lambda w: setattr(w, "a", torch.tensor([3]))):
        other = Weights()
        change(other)
        assert weights_sha256(other) != expected


def test_file_sha256(tmp_path):
    """Of files that are longer than a block, too."""
    for size in (0, 5, 2**20 + 1):
        content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        (tmp_path / "x").write_bytes(content)
        assert file_sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()
