"""Features of sets of clips by detector, computed once; those of real clips are kept in files."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list, gather_object
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

    Of several processes all ask for the same at the same time: each computes its share, and all get the whole.

    Args:
        folder: for features of real clips, which many evaluations share; None keeps nothing.
        batch_size: clips at once.
        progress: whether to show bars.
        rank, processes: which of how many this is; the first one keeps files.
    """

    def __init__(
        self, folder: Path | None, batch_size: int = 8, progress: bool = True, rank: int = 0, processes: int = 1
    ):
        self.folder, self.batch_size, self.progress = folder, batch_size, progress
        self.rank, self.processes = rank, processes
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
        if self.processes == 1:
            return self._of(detector, clips)
        mine = VideoSet(clips.clips[self.rank :: self.processes], clips.reader, clips.num_frames)
        rows = 1 if isinstance(detector, VideoDetector) else clips.num_frames  # of each clip
        shares = gather_object([self._of(detector, mine).cpu() if len(mine) else None])
        features = shares[0].new_empty(len(clips), rows, shares[0].shape[1])
        for rank, share in enumerate(shares):
            if share is not None:
                features[rank :: self.processes] = share.view(-1, *features.shape[1:])
        return features.flatten(0, 1)

    def _of(self, detector: VideoDetector | FrameDetector, clips: VideoSet) -> torch.Tensor:
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
        kept = None
        if self.rank == 0:
            with (
                contextlib.suppress(UnreadableFileError),  # not there, or cut short
                reading(path, "features"),
                safe_open(path, "pt") as file,
            ):
                kept = file.get_tensor("features")
        if self.processes > 1:
            (kept,) = broadcast_object_list([kept])
        if kept is not None:
            return kept
        features = self._compute(detector, clips)
        if self.rank == 0:
            with whole(path) as part:
                save_file({"features": features}, part, {"about": about})
        return features
