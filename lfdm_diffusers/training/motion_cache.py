"""What stage two trains on: motion that a frozen auto-encoder sees in clips, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate.utils import gather_object
from torch.utils.data import Dataset

from ..data.augmentation import augment_clip, degrade, mirrored_sentence
from ..data.batches import Draw
from ..data.cache import ClipReader, clip_state
from ..data.chance import draws
from ..data.clips import Clip
from ..data.dataset import to_tensor
from ..data.motion_maps import motion_maps, residual_motion
from ..data.reframing import draw_framing, reframe
from ..data.sampling import STRATEGIES, sample_indices
from ..files.fingerprints import weights_sha256
from ..files.progress import progress_bar
from ..files.shards import ArrayShards
from ..models import LatentFlowAutoencoder
from ..ops.warp import sampling_grid

VERSION = 1  # raised whenever the same clip and weights would give other numbers or another layout


class MotionCache:
    """Motion from a clip's first frame to each of its frames, `(T, 3, h, w)`: residual flow (x, y) and occlusion.

    Residual flow is the sampling grid minus the true identity (`sampling_grid` of pixel centres). All frames of a clip are kept, so
    that any sampling of frames is a choice of rows, or those of `num_frames`; as float16 (the residual is small: errors stay under a
    thousandth of a pixel). Many clips lie in one file (`ArrayShards`), under keys of the auto-encoder's weights and precision (of true
    motion, neither), the clip's file and how it is read. Processes may share the folder and be stopped at any time.

    Args:
        folder: made if missing; it may be deleted between runs.
        lfae: frozen, in eval mode, on the device to compute on.
        reader: of the clips, at the auto-encoder's size.
        batch_size: frames that go through the flow predictor at once.
        dtype: of autocast, or None for the weights' own.
        true_motion: keep the clips' true motion (`data.true_motion`) on maps of the auto-encoder's size, in the place of what it
            sees itself.
        num_frames: of longer clips, keep only the T = num_frames frames that "uniform" sampling takes; None: all.
    """

    def __init__(
        self,
        folder: str | Path,
        lfae: LatentFlowAutoencoder,
        reader: ClipReader,
        batch_size: int = 32,
        dtype: torch.dtype | None = None,
        true_motion: bool = False,
        num_frames: int | None = None,
    ):
        self.lfae, self.reader, self.batch_size, self.dtype, self.true_motion, self.num_frames = (
            lfae,
            reader,
            batch_size,
            dtype,
            true_motion,
            num_frames,
        )
        self.shards = ArrayShards(folder)
        made_by = ("true", lfae.config.flow_scale) if true_motion else (weights_sha256(lfae), str(dtype))
        self._about = (VERSION, *made_by, reader.height, reader.width, reader.fit)
        self._keys: dict[Clip, str] = {}

    def key(self, clip: Clip) -> str:
        """By which a clip's motion is kept."""
        if clip not in self._keys:
            about = (*self._about, clip.start, clip.stop, clip.crop, clip_state(clip))
            if (kept := len(self._frames(clip))) < self.reader.length(clip):
                about = (*about, kept)
            self._keys[clip] = hashlib.sha256(repr(about).encode()).hexdigest()[:32]
        return self._keys[clip]

    def load(self, clip: Clip) -> np.ndarray:
        """`(T, 3, h, w)` float16, of which only what is asked for is read; computed if it is not there."""
        key = self.key(clip)
        motion = self.shards.get(key)
        if motion is None:
            self.refresh()
            motion = self.shards.get(key)
        if motion is None:
            motion = self.compute(clip)
            self.shards.add(key, motion)
        return motion

    def refresh(self) -> None:
        """Take notice of what other processes have computed."""
        self.shards.refresh()

    @torch.no_grad()
    def compute(self, clip: Clip) -> np.ndarray:
        """`(T, 3, h, w)` float16, computed now."""
        kept = self._frames(clip)
        if self.true_motion:
            size = self.lfae.flow_size(self.reader.height, self.reader.width)
            motion = motion_maps(*residual_motion(clip, self.reader.height, self.reader.width), size)
            return torch.cat(motion, dim=1).half().numpy()[kept]
        device, parts = self.lfae.device, []
        for first in range(0, len(kept), self.batch_size):
            indices = [0, *kept[first : first + self.batch_size]]
            frames = to_tensor(self.reader.place(self.reader.read(clip, indices)))[None].to(device)
            with torch.autocast(device.type, self.dtype, enabled=self.dtype is not None):
                motion = self.lfae.predict_flow(frames[:, :, 0], frames[:, :, 1:])
            height, width = motion.flow.shape[-2:]
            grid = sampling_grid(height, width, device, centers=True).permute(2, 0, 1)[None, :, None]
            parts.append(torch.cat((motion.flow - grid, motion.occlusion), dim=1)[0].transpose(0, 1).half().cpu())
        return torch.cat(parts).numpy()

    def _frames(self, clip: Clip) -> list[int]:
        """Which frames of a clip the rows of its motion are."""
        length = self.reader.length(clip)
        if self.num_frames is None or length <= self.num_frames:
            return list(range(length))
        return sample_indices("uniform", length, self.num_frames).tolist()

    def fill(self, clips: Sequence[Clip], progress: bool = True) -> None:
        """Compute what is not there yet."""
        self.refresh()
        try:
            for clip in progress_bar(clips, unit="clip", desc="motion", disable=not progress):
                key = self.key(clip)
                if self.shards.get(key) is None:
                    self.shards.add(key, self.compute(clip))
        finally:
            self.shards.finish()

    def statistics(self, clips: Sequence[Clip], rank: int = 0, processes: int = 1) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each of the three channels over all places of all frames of `clips`.

        Args:
            rank, processes: which of how many this is; each reads its share, all get the same numbers, which depend on the clips
                alone.
        """
        sums = []
        for clip in clips[rank::processes]:
            motion = np.asarray(self.load(clip), dtype=np.float64)
            sums.append((motion[:, 0].size, *motion.sum(axis=(0, 2, 3)), *np.square(motion).sum(axis=(0, 2, 3))))
        # The exact sum is rounded once, so that neither the order nor the shares count.
        count, *totals = (
            math.fsum(column) for column in zip(*(each for share in gather_object([sums]) for each in share))
        )
        mean, squares = np.array(totals[:3]) / count, np.array(totals[3:]) / count
        return mean.tolist(), np.sqrt(np.maximum(squares - mean**2, 1e-12)).tolist()


class MotionSample(NamedTuple):
    """What one training example of stage two is made of.

    Attributes:
        reference: `(3, H, W)` float32 in [0, 1]; batched `(B, 3, H, W)`.
        motion: `(3, F, h, w)` float32: residual flow and occlusion; batched `(B, 3, F, h, w)`.
        label: the label or a sentence that says what happens, "" if unknown; batched a list.
    """

    reference: torch.Tensor
    motion: torch.Tensor
    label: str


class MotionDataset(Dataset):
    """Reference pictures and sampled motion; item `Draw(epoch, i)` is the same in every run, process and worker.

    Args:
        clips: with `num_frames`, as a scan returns them.
        cache: filled; with workers in other processes it must be.
        num_frames: F.
        strategy: "uniform", "random" or "very_random"; see `sample_indices`.
        seed: of all draws.
        augment: change the colours of the reference picture, as `augment_clip` does. The motion stays that of the clip
            as it is: colours do not move.
        flip: mirror every other item, motion and all, and left and right in sentences; only where no label names a side.
        caption_prob: share of items that come with one of their clip's sentences (`Clip.texts`) in the place of its label. A clip
            that has no label comes with a sentence always.
        reframe: turn, scale and shift pictures and motion by up to this (`data.reframing.draw_framing`); 0: as they are.
        degrade: share of the reference pictures that look like bad photographs (`data.augmentation.degrade`).
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        cache: MotionCache,
        num_frames: int,
        strategy: str = "random",
        seed: int = 0,
        augment: bool = True,
        flip: bool = False,
        caption_prob: float = 0.0,
        reframe: float = 0.0,
        degrade: float = 0.0,
    ):
        if not clips:
            raise ValueError("`clips` is empty; at least one clip is needed.")
        if strategy not in STRATEGIES:
            raise ValueError(f"`strategy` must be one of {', '.join(STRATEGIES)}, got {strategy!r}.")
        self.clips, self.cache, self.num_frames, self.strategy = list(clips), cache, num_frames, strategy
        self.seed, self.augment, self.flip, self.caption_prob = seed, augment, flip, caption_prob
        self.reframe, self.degrade = reframe, degrade

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: int | Draw) -> MotionSample:
        epoch, item = key if isinstance(key, tuple) else (0, key)
        clip, rng = self.clips[item], draws(self.seed, "item", epoch, item)
        motion = self.cache.load(clip)
        indices = sample_indices(self.strategy, len(motion), self.num_frames, rng)
        reader = self.cache.reader
        first = reader.read(clip, [0])
        if self.augment:
            first = augment_clip(first, rng)
        if self.degrade and rng.random() < self.degrade:
            first = degrade(first[0], rng)[None]
        reference = to_tensor(reader.place(first))[:, 0]
        volume = torch.from_numpy(np.asarray(motion[indices], dtype=np.float32)).transpose(0, 1)
        mirrored = self.flip and rng.random() < 0.5
        if mirrored:
            reference, volume = reference.flip(-1), volume.flip(-1)
            volume[0].neg_()
        if self.reframe:
            reference, volume = reframe(reference, volume, draw_framing(rng, self.reframe))
        text = clip.label
        if clip.texts and (not text or rng.random() < self.caption_prob):
            text = clip.texts[int(rng.integers(len(clip.texts)))]
            text = mirrored_sentence(text) if mirrored else text
        return MotionSample(reference.contiguous(), volume.contiguous(), text)
