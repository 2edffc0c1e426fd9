"""What the two stages train on: pairs of frames, and sampled clips.

clips = find_clips(root, split="train")
reader = CachedClipReader(cache_folder, 128, 128)
clips = scan_clips(clips, reader).clips
dataset = ClipDataset(clips, reader, num_frames=40, strategy="random", seed=0)
loader = DataLoader(dataset, batch_sampler=StepBatchSampler(len(dataset), 5, 111_600), num_workers=4)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from .augmentation import augment_clip, change_pair, draw_pair_changes
from .batches import Draw
from .cache import ClipReader
from .chance import draws
from .clips import Clip
from .motion_maps import residual_motion
from .sampling import STRATEGIES, sample_indices, sample_pair

REFERENCE_FRAMES = ("random", "first")


class FramePair(NamedTuple):
    """Two frames of one clip, for stage one. A NamedTuple, because torch's loaders know how to batch those.

    Attributes:
        reference, driving: (3, H, W) float32 in [0, 1]; batched (B, 3, H, W).
        label, subject: texts, "" if unknown; batched lists.
        motion: the true one, where it was asked for: residual flow (2, H, W) float32, in widths and heights of the picture / 2
            as sampling grids are, and visibility (1, H, W) float32, 1 where the driving picture shows what the reference shows.
    """

    reference: torch.Tensor
    driving: torch.Tensor
    label: str
    subject: str
    motion: tuple[torch.Tensor, torch.Tensor] | tuple[()] = ()


class ClipSample(NamedTuple):
    """Some frames of one clip, for stage two.

    Attributes:
        frames: (3, F, H, W) float32 in [0, 1], the first of them the reference frame; batched (B, 3, F, H, W).
        indices: (F,) int64, which frames of the clip they are.
        label, subject: texts, "" if unknown; batched lists.
    """

    frames: torch.Tensor
    indices: torch.Tensor
    label: str
    subject: str


class _ClipItems(Dataset):
    def __init__(self, clips: Sequence[Clip], reader: ClipReader, seed: int, augment: bool):
        if not clips:
            raise ValueError("`clips` is empty; at least one clip is needed.")
        if seed < 0:
            raise ValueError(f"`seed` must be 0 or more, got {seed}.")
        self.clips, self.reader, self.seed, self.augment = list(clips), reader, seed, augment

    def __len__(self) -> int:
        return len(self.clips)

    def _draw(self, key: int | Draw) -> tuple[int, np.random.Generator]:
        """The item of a key, and its generator; a plain number is an item of epoch 0."""
        epoch, item = key if isinstance(key, tuple) else (0, key)
        if not -len(self) <= item < len(self):
            raise IndexError(f"there are {len(self)} clips, got {item}")
        item %= len(self)
        return item, draws(self.seed, "item", epoch, item)


def to_tensor(frames: np.ndarray) -> torch.Tensor:
    """(F, H, W, 3) uint8 -> (3, F, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2))).float() / 255


class PairDataset(_ClipItems):
    """Pairs of frames for stage one; item `Draw(epoch, i)` is the same in every run, process and worker.

    Args:
        clips: with `num_frames`, as a scan returns them; else videos are decoded once more to count.
        reader: `ClipReader` or `CachedClipReader`.
        seed: of all draws.
        id_sampling: take a random clip of the same subject in the place of each clip (as published for UTD-MHAD).
        augment: flips in time and space, and colours; see `draw_pair_changes`.
        reference_frame: "random", as published, or "first": from frame 0 to any other, never back.
        with_motion: add the true motion (`true_motion`), which is known from frame 0 only.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        reader: ClipReader,
        seed: int = 0,
        id_sampling: bool = False,
        augment: bool = True,
        reference_frame: str = "random",
        with_motion: bool = False,
    ):
        super().__init__(clips, reader, seed, augment)
        if reference_frame not in REFERENCE_FRAMES:
            raise ValueError(
                f"`reference_frame` must be one of {', '.join(REFERENCE_FRAMES)}, got {reference_frame!r}."
            )
        if with_motion and reference_frame != "first":
            raise ValueError(
                f'`reference_frame` must be "first" with the true motion, which starts there, got {reference_frame!r}.'
            )
        self.id_sampling, self.from_first, self.with_motion = id_sampling, reference_frame == "first", with_motion
        self._of_subject: dict[str, list[int]] = {}
        for index, clip in enumerate(self.clips):
            self._of_subject.setdefault(clip.subject, []).append(index)
        if id_sampling and "" in self._of_subject:
            nameless = self.clips[self._of_subject[""][0]].name
            raise ValueError(f"`id_sampling` needs the subject of every clip, which {nameless} does not have.")

    def __getitem__(self, key: int | Draw) -> FramePair:
        item, rng = self._draw(key)
        if self.id_sampling:
            item = int(rng.choice(self._of_subject[self.clips[item].subject]))
        clip = self.clips[item]
        numbers = sample_pair(self.reader.length(clip), rng, self.from_first)
        pair = self.reader.place(self.reader.read(clip, numbers))
        motion = self._motion(clip, numbers[1]) if self.with_motion else ()
        if self.augment:
            changes = draw_pair_changes(rng, exchange=not self.from_first)
            pair = change_pair(pair, changes)
            if motion and changes.mirrored:
                flow, visibility = (each.flip(-1) for each in motion)
                motion = flow * flow.new_tensor([-1.0, 1.0])[:, None, None], visibility
        reference, driving = to_tensor(pair).unbind(1)
        return FramePair(reference.contiguous(), driving.contiguous(), clip.label, clip.subject, motion)

    def _motion(self, clip: Clip, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Residual flow and visibility of a frame, as in `FramePair`."""
        flow, visibility = residual_motion(clip, self.reader.height, self.reader.width)
        return flow[number], visibility[number]


class ClipDataset(_ClipItems):
    """Sampled clips for stage two; item `Draw(epoch, i)` is the same in every run, process and worker.

    Args:
        clips, reader, seed: as in `PairDataset`.
        num_frames: F.
        strategy: "uniform", "random" or "very_random"; see `sample_indices`.
        augment: one change of colours a clip; see `augment_clip`.
        flip: mirror half of the items, by chance; only where no label names a side.

    For testing: strategy="uniform", augment=False.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        reader: ClipReader,
        num_frames: int = 40,
        strategy: str = "random",
        seed: int = 0,
        augment: bool = True,
        flip: bool = False,
    ):
        super().__init__(clips, reader, seed, augment)
        if strategy not in STRATEGIES:
            raise ValueError(f"`strategy` must be one of {', '.join(STRATEGIES)}, got {strategy!r}.")
        if num_frames < 1:
            raise ValueError(f"`num_frames` must be 1 or more, got {num_frames}.")
        self.num_frames, self.strategy, self.flip = num_frames, strategy, flip

    def __getitem__(self, key: int | Draw) -> ClipSample:
        item, rng = self._draw(key)
        clip = self.clips[item]
        indices = sample_indices(self.strategy, self.reader.length(clip), self.num_frames, rng)
        frames = self.reader.read(clip, indices)
        if self.augment:
            # The published code changes colours before it scales; a cache holds scaled frames. Both come before the bars.
            frames = augment_clip(frames, rng)
        frames = self.reader.place(frames)
        if self.flip and rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        return ClipSample(to_tensor(frames), torch.from_numpy(indices), clip.label, clip.subject)
