"""Fingerprints of files and weights: SHA-256, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 of a model's weights by name, wherever it was loaded from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def configurations_sha256(configurations: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of what diffusers' configurations set, in this order, wherever they were loaded from."""
    settings = [{key: value for key, value in each.items() if not key.startswith("_")} for each in configurations]
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
