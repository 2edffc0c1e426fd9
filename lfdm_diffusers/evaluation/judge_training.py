"""Trains the judges of labels, and changes clips in ways that change no label: what a judge must not go by."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..files.progress import progress_bar
from ..metrics.judge_files import load_judge, save_judge
from ..metrics.label_judge import LabelJudge
from ..metrics.toon_judges import SIZE, at_judges_size
from .video_sets import VideoSet, spread_draws

FILE = "label_judge.safetensors"
STEPS, BATCH_SIZE, LEARNING_RATE = 800, 16, 3e-3
SHOWN = 8  # frames after the first that one step looks at
LARGEST = 512 * 1024**2  # bytes of clips that are held while a judge is trained


# ---- augmentation: of whole clips, so that it is no motion ----------------------------------------------------------


def uniform(low: float, high: float, *shape: int, generator: torch.Generator) -> torch.Tensor:
    """Numbers of `shape` between `low` and `high`, float32."""
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float32)


def recolour(clips: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Contrast, saturation, colour cast and brightness, one set for each clip `(N, F, 3, H, W)`, at most `amount`."""
    draw = partial(uniform, generator=generator)
    n = len(clips)
    gain = draw(1 - amount, 1 + amount, n, 1, 1, 1, 1) * draw(1 - amount / 2, 1 + amount / 2, n, 1, 3, 1, 1)
    shift = draw(-amount / 3, amount / 3, n, 1, 1, 1, 1) + draw(-amount / 4, amount / 4, n, 1, 3, 1, 1)
    grey = clips.mean(dim=2, keepdim=True)
    clips = torch.lerp(grey.expand_as(clips), clips, draw(1 - 2 * amount, 1 + amount, n, 1, 1, 1, 1).clamp(min=0))
    return ((clips - 0.5) * gain + 0.5 + shift).clamp(0, 1)


def move(clips: torch.Tensor, generator: torch.Generator, mirror: bool = True) -> torch.Tensor:
    """Mirror, turn (8 degrees), scale (12%) and shift (3 of 64 pixels), alike in all frames of a clip."""
    draw = partial(uniform, generator=generator)
    n, frames = clips.shape[:2]
    angle, size = draw(-0.14, 0.14, n), draw(0.88, 1.12, n)
    side = draw(-1, 1, n).sign() if mirror else torch.ones(n, dtype=torch.float32)
    theta = torch.stack((size * side * angle.cos(), -size * angle.sin(), draw(-0.1, 0.1, n)), dim=1)
    theta = torch.stack(
        (theta, torch.stack((size * side * angle.sin(), size * angle.cos(), draw(-0.1, 0.1, n)), dim=1)), dim=1
    )
    grid = F.affine_grid(theta, [n, 3, *clips.shape[-2:]], align_corners=False)
    moved = F.grid_sample(clips.flatten(1, 2), grid, padding_mode="border", align_corners=False)
    return moved.unflatten(1, (frames, 3))


def blur(clips: torch.Tensor, factor: float) -> torch.Tensor:
    """Down by `factor` with antialiasing and up again."""
    if factor == 1:
        return clips
    small = F.interpolate(clips.flatten(0, 1), scale_factor=1 / factor, mode="bilinear", antialias=True)
    return F.interpolate(small, clips.shape[-2:], mode="bicubic").clamp(0, 1).unflatten(0, clips.shape[:2])


def blur_some(clips: torch.Tensor, rng: np.random.Generator, generator: torch.Generator) -> torch.Tensor:
    """Half of the batch blurred, by one factor up to 3, and noise up to 0.03."""
    half = rng.permutation(len(clips))[: len(clips) // 2]
    clips[half] = blur(clips[half], rng.uniform(1.2, 3))
    noise = torch.randn(clips.shape, generator=generator, dtype=torch.float32)
    noise *= uniform(0, 0.03, len(clips), 1, 1, 1, 1, generator=generator)
    return (clips + noise).clamp(0, 1)


# ---- training -------------------------------------------------------------------------------------------------------


def fit(
    network: nn.Module, loss_of_batch: Callable[[int], torch.Tensor], steps: int, learning_rate: float, name: str
) -> list[dict[str, float]]:
    """AdamW with a one-cycle learning rate; `loss_of_batch(step)` gives the loss.

    Returns:
        Step, seconds since the first, and loss, of every twentieth step and the last.

    Raises:
        FloatingPointError: if the loss is not finite.
    """
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.2)
    network.train()
    curve, since = [], time.perf_counter()
    with progress_bar(range(steps), desc=name, unit="step") as bar:
        for step in bar:
            loss = loss_of_batch(step)
            if not loss.isfinite():
                raise FloatingPointError(f"the loss of the judge of {name} is {loss.item()} at step {step}.")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 20 == 0 or step == steps - 1:
                bar.set_postfix(loss=f"{loss.item():.3f}")
                curve.append(
                    {"step": step, "seconds": round(time.perf_counter() - since), "loss": round(loss.item(), 5)}
                )
    network.eval()
    return curve


def frames_at_judges_size(clips: VideoSet) -> torch.Tensor:
    """All clips, `(N, F, 3, 64, 64)` uint8."""
    held = torch.empty(len(clips), clips.num_frames, 3, SIZE, SIZE, dtype=torch.uint8)
    for index in range(len(clips)):
        held[index] = at_judges_size(clips.frames(index).float()).round().clamp(0, 255).to(torch.uint8)
    return held


def train_label_judge(clips: VideoSet, seed: int = 0, steps: int = STEPS) -> LabelJudge:
    """A judge of the labels of `clips`, in eval mode.

    It sees real clips alone: turned, shifted, in other colours, some of them blurred, but never mirrored, as labels may name
    a side. Rare labels count as much as frequent ones.

    Args:
        clips: each with a label; of more than half a gigabyte at 64 pixels, evenly spread ones are taken.
        seed: of the weights and of all chance.
        steps: of 16 clips.

    Raises:
        ValueError: if there are not two labels, or clips without one.
    """
    labels = sorted(set(clips.labels))
    if "" in labels or len(labels) < 2:
        raise ValueError(
            f"a judge of labels needs clips of two labels or more, each with one; got {len(clips)} clips of "
            f"{', '.join(map(repr, labels)) or 'none'}."
        )
    fitting = max(2, LARGEST // (clips.num_frames * 3 * SIZE * SIZE))
    if len(clips) > fitting:
        chosen = [clips.clips[i] for i in spread_draws(fitting, len(clips))]
        clips = VideoSet(chosen, clips.reader, clips.num_frames)
    frames, truth = frames_at_judges_size(clips), torch.tensor([labels.index(label) for label in clips.labels])
    weights = 1 / truth.bincount(minlength=len(labels)).clamp(min=1).float()
    weights *= len(truth) / weights[truth].sum()
    order = np.random.default_rng(seed)
    batches = [order.permutation(len(truth))[:BATCH_SIZE] for _ in range(steps)]

    def loss_of_batch(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 1, step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        chosen = torch.from_numpy(batches[step])
        # The first frame and some of the others: cheaper, and the judge learns to need no particular frames.
        others = np.arange(1, clips.num_frames)
        shown = np.concatenate(([0], np.sort(rng.choice(others, min(SHOWN, len(others)), replace=False))))
        batch = frames[chosen][:, shown].float() / 255
        batch = blur_some(recolour(move(batch, generator, mirror=False), 0.25, generator), rng, generator)
        return F.cross_entropy(judge(batch), truth[chosen], weights, label_smoothing=0.02)

    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        frames, truth, weights = (
            frames.clone(),
            truth.clone(),
            weights.clone(),
        )  # inference tensors cannot be learnt from
        torch.manual_seed(seed)
        judge = LabelJudge(labels)
        fit(judge, loss_of_batch, steps, LEARNING_RATE, "labels")
    judge.facts = {"training_clips": len(truth)}
    return judge.requires_grad_(False)


def kept_label_judge(clips: VideoSet, folder: Path, seed: int = 0, steps: int = STEPS) -> LabelJudge:
    """The judge that `folder` keeps for these very clips, or a new one, which is then kept there."""
    settings = {"clips_sha256": clips.fingerprint, "seed": seed, "steps": steps}
    path = folder / FILE
    if path.exists():
        try:
            kept = load_judge("labels", path)
        except ValueError:
            kept = None  # cut off, or of an earlier version: another one takes its place
        if kept is not None and settings.items() <= kept.facts.items():
            return kept
    since = time.perf_counter()
    judge = train_label_judge(clips, seed, steps)
    folder.mkdir(parents=True, exist_ok=True)
    save_judge(judge, path, settings | judge.facts | {"seconds": round(time.perf_counter() - since)})
    return load_judge("labels", path)  # as it will be read again, from half precision
