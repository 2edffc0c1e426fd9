"""The short video that tests generate, apart from `tiny` because it must not import the package."""

from __future__ import annotations

import torch


def tiny_image(size: int = 32) -> torch.Tensor:
    """A smooth RGB picture `(3, size, size)` in [0, 1]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    return torch.stack((x, y, 1 - x * y))


def tiny_video(pipe, prompt: str | None = "anger", **kwargs) -> torch.Tensor:
    """Frames `(1, 4, 3, 32, 32)` of two denoising steps from a fixed seed, always the same for the same pipeline."""
    pipe.set_progress_bar_config(disable=True)
    kwargs = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(0), **kwargs}
    return pipe(tiny_image(), prompt, output_type="pt", **kwargs).frames
