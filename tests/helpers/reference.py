"""The weight and input formulas behind the goldens, and checkpoints laid out like the released ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

GOLDENS = Path(__file__).parents[1] / "goldens"


def golden(name: str) -> dict[str, torch.Tensor]:
    """All arrays of `golden_<name>.npz` as tensors."""
    with np.load(GOLDENS / f"golden_{name}.npz") as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def layout(name: str) -> dict:
    """The manifest `name`: keys, shapes and dtypes of a checkpoint."""
    return json.loads((GOLDENS / f"manifest_{name}.json").read_text())


def gaussian_kernel(shape: tuple[int, ...]) -> torch.Tensor:
    """The anti-alias kernel as the released constructors compute it, in float64, for a kernel of odd side n."""
    side = shape[-1]
    sigma = {13: 1.5, 5: 0.5, 29: 3.5}[side]
    taps = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    kernel = np.outer(taps, taps)
    return torch.from_numpy(np.broadcast_to(kernel / kernel.sum(), shape).astype(np.float32).copy())


def weight(key: str, shape: tuple[int, ...], dtype: str = "float32") -> torch.Tensor:
    """A tensor's values by formula, from its name alone."""
    if dtype != "float32":
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    if key.endswith("down.weight"):
        return gaussian_kernel(shape)
    if key.endswith("rotary_emb.freqs"):
        half = shape[0]
        return 10000.0 ** (-torch.arange(half, dtype=torch.float32) / half)
    n = int(np.prod(shape))
    phase = sum(key.encode()) % 97
    j = (np.arange(n, dtype=np.int64) % 10007) ** 3 % 10007
    s = np.sin(0.7 * j + phase)
    if key.endswith("running_var"):
        values = 1 + 0.5 * s**2
    elif key.endswith(("norm.weight", "norm1.weight", "norm2.weight", "gamma")):
        values = 1 + 0.1 * s
    elif len(shape) >= 2:
        values = 2 / np.sqrt(n / shape[0]) * s
    else:
        values = 0.1 * s
    values = values.reshape(shape)
    if key == "fc.bias":
        values = values + np.array([1, 0, 0, 0, 1, 0])
    if key in {"fc.weight", "final_conv.1.weight", "occlusion_map.1.weight"}:
        values = values * 0.1
    return torch.from_numpy(values.astype(np.float32))


def cosine_betas(steps: int) -> torch.Tensor:
    x = np.linspace(0, steps, steps + 1)
    a = np.cos((x / steps + 0.008) / 1.008 * np.pi * 0.5) ** 2
    return torch.from_numpy(np.clip(1 - a[1:] / a[:-1], 0, 0.9999).astype(np.float32))


def state_dict(shapes: dict[str, list]) -> dict[str, torch.Tensor]:
    """Formula weights for `{key: [shape, dtype]}`."""
    return {key: weight(key, tuple(shape), dtype) for key, (shape, dtype) in shapes.items()}


def lfae_checkpoint(shapes: dict) -> dict:
    """An LFAE `.pth` as torch.load gives it."""
    modules = {name: state_dict(shapes[name]) for name in ("generator", "bg_predictor", "region_predictor")}
    return {"example": 0, "epoch": 0, **modules, "optimizer": {"state": {}, "param_groups": []}}


def unet_checkpoint(shapes: dict[str, list], steps: int = 1000) -> dict:
    """A DM `.pth` as torch.load gives it, for the shapes of its U-Net (unprefixed)."""
    betas = cosine_betas(steps)
    schedule = {"betas": betas, "alphas_cumprod": (1 - betas.double()).cumprod(0).float()}
    unet = {f"denoise_fn.{key}": value for key, value in state_dict(shapes).items()}
    return {"example": 0, "diffusion": {**schedule, **unet}, "optimizer_diff": {"state": {}, "param_groups": []}}


def source(batch: int = 2, size: int = 64) -> torch.Tensor:
    b, c, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (batch, 3, size, size)), indexing="ij")
    return (0.5 + 0.5 * torch.sin(0.13 * x + 0.21 * y + 1.7 * c + 0.9 * b)).float()


def driving(batch: int = 2, size: int = 64) -> torch.Tensor:
    b, c, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (batch, 3, size, size)), indexing="ij")
    return (0.5 + 0.5 * torch.sin(0.17 * x - 0.11 * y + 1.1 * c + 0.6 * b + 0.4)).float()


def wave(shape: tuple[int, ...], frequency: float, phase: float) -> torch.Tensor:
    index = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return torch.sin(frequency * index + phase).reshape(shape).float()
