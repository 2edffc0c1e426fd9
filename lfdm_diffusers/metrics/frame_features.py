"""Networks whose features FID compares: the standard Inception from its TorchScript, or another backbone by its name."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..arguments.checked import checked
from ..files.fingerprints import file_sha256
from ..files.progress import progress_bar
from ..files.torch_files import load_torchscript
from ..ops.number_types import float32_by_default
from .feature_weights import load_perceptual

INCEPTION = "Inception-v3 (2015-12-05)"


class FrameDetector(nn.Module):
    """Pictures in, one feature vector each out.

    Attributes:
        name: what a score says it was measured with; only `INCEPTION` makes a Fréchet distance comparable with published
            FIDs.
        source, sha256: where the weights came from, for receipts; no hash of what came from the Hub by its name.
    """

    def __init__(self, network: nn.Module, name: str, source: str, sha256: str | None):
        super().__init__()
        self.network, self.name, self.source, self.sha256 = network, name, source, sha256

    @torch.no_grad()
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Features `(B, D)` float32 of pictures `(B, 3, H, W)` uint8."""
        if self.name == INCEPTION:  # scales to 299 pixels by itself
            return self.network(pictures, return_features=True)
        return self.network(pictures.float() / 255)[-1].mean(dim=(2, 3))


@float32_by_default()
def load_frame_detector(name_or_path: str | Path) -> FrameDetector:
    """A network for FID, in eval mode, float32, on the CPU.

    Args:
        name_or_path: `inception-2015-12-05.pt`, the TorchScript of the original Inception that StyleGAN's authors publish
            (it holds code, and runs it), or what `load_perceptual` takes, such as "vgg19" or the file of
            EfficientNet-Lite0: the means over places of its last feature map are then compared.

    Raises:
        ValueError: if it cannot be had.
    """
    path = Path(name_or_path)
    sha256 = file_sha256(path) if path.is_file() else None
    if path.is_file() and path.suffix == ".pt":
        try:
            network = load_torchscript(path)
        except (RuntimeError, ValueError):
            pass  # weights, not code
        else:
            return FrameDetector(network, INCEPTION, str(path), sha256)
    network = load_perceptual(str(name_or_path))
    name = f"{type(network).__name__.removesuffix('Features')} ({path.name}, {network.layers[-1]})"
    return FrameDetector(network, name, str(name_or_path), sha256)


@checked()
def frame_features(
    detector: FrameDetector, pictures: torch.Tensor, batch_size: int = 64, progress: bool = False
) -> torch.Tensor:
    """What FID compares.

    Args:
        detector: of `load_frame_detector`.
        pictures: `(N, 3, H, W)` uint8.
        batch_size: pictures at once.
        progress: whether to show a bar.

    Returns:
        `(N, D)` float32 on the CPU.

    Raises:
        ValueError: for another shape or type.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != torch.uint8 or not len(pictures):
        raise ValueError(
            f"`pictures` must be uint8 (pictures, 3, height, width), got {pictures.dtype} {tuple(pictures.shape)}."
        )
    device = next(iter([*detector.parameters(), *detector.buffers()]), torch.empty(0)).device
    batches = progress_bar(pictures.split(batch_size), desc=detector.name, unit="batch", disable=not progress)
    return torch.cat([detector(batch.to(device)).float().cpu() for batch in batches])
