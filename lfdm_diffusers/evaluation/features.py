"""Features of sets of clips by detector, computed once; those of real clips are kept in files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from ..files.progress import progress_bar
from ..files.reading import UnreadableFileError, reading
from ..files.whole import whole
from ..metrics import (
    FrameDetector,
    VideoDetector,
    frame_features,
    video_features,
)
from .video_sets import VideoSet


class FeatureStore:
    """Features of sets of clips by detector, computed once; those of a folder's sets are kept in files.

    Args:
        folder: for features of real clips, which many evaluations share; None keeps nothing.
        batch_size: clips at once.
        progress: whether to show bars.
    """

    def __init__(self, folder: Path | None, batch_size: int = 8, progress: bool = True):
        self.folder, self.batch_size, self.progress = folder, batch_size, progress
        self._known: dict[tuple[nn.Module, VideoSet], torch.Tensor] = {}

    def __call__(self, detector: VideoDetector | FrameDetector, clips: VideoSet, keep: bool = False) -> torch.Tensor:
        """`(N, D)` of a video detector, `(N * F, D)` of a frame detector; `keep` stores them in the folder."""
        known = (detector, clips)
        if known not in self._known:
            self._known[known] = (
                self._stored(self.folder, detector, clips) if keep and self.folder else self._compute(detector, clips)
            )
        return self._known[known]

    def _compute(self, detector: VideoDetector | FrameDetector, clips: VideoSet) -> torch.Tensor:
        batches = -(-len(clips) // self.batch_size)
        bar = progress_bar(
            clips.batches(self.batch_size), total=batches, desc=detector.name, unit="batch", disable=not self.progress
        )
        if isinstance(detector, VideoDetector):
            return torch.cat([video_features(detector, batch, self.batch_size) for batch in bar])
        return torch.cat([frame_features(detector, batch.flatten(0, 1)) for batch in bar])

    def _stored(self, folder: Path, detector: VideoDetector | FrameDetector, clips: VideoSet) -> torch.Tensor:
        about = json.dumps([clips.fingerprint, detector.name, detector.sha256])
        path = folder / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.safetensors"
        try:
            with reading(path, "features"), safe_open(path, "pt") as file:
                return file.get_tensor("features")
        except UnreadableFileError:  # not there, or cut short
            pass
        features = self._compute(detector, clips)
        with whole(path) as part:
            save_file({"features": features}, part, {"about": about})
        return features
