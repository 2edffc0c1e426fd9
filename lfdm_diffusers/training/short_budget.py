"""A training of minutes: what clips are like, seconds of a step here, the settings that follow, and what its numbers say."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import default_collate

from ..data.dataset import PairDataset
from ..evaluation.reconstruction import reconstruction_pairs
from ..metrics import moving_pixels
from ..models import LatentFlowAutoencoder, UNet3DVideoModel
from .arguments import SAMPLED_STEPS
from .clips import TrainingClips, label_texts
from .diffusion import DenoisingLoss
from .lfae import LFAETask
from .optimizer import build_optimizer
from .reconstruction_loss import PixelPyramidLoss

LOOKED_AT = 32  # clips
TIMED = 3  # steps, after one that is not counted
FORWARD = 1 / 3  # of a step's seconds: a step goes forward once, and back at twice the cost
BATCH = {"stage_one": 8, "stage_two": 4}  # small: of a few minutes, more steps are better than smoother ones
FEWEST_STEPS = 40  # fewer teach nothing, and every share of them would be a step or none
VALIDATED = 32  # pairs, and clips

# Where a moving pixel's error counts for nothing beside still ones, motion is not learnt: its share of the loss.
MOVING_SHARE, LARGEST_WEIGHT = 1 / 3, 30.0

# Error over what moves, as a share of that of the first frame repeated, at the end of stage one.
GOOD, USELESS = 0.4, 0.75
LITTLE = 0.01  # of the picture moves
FEW = 5  # clips of a label
FALLING = 0.9  # of the loss at half of stage two


class ClipLook(NamedTuple):
    """What training clips are like.

    Attributes:
        moving: share of the pixels that differ by more than .1 between a clip's first frame and the one that differs most.
        change: mean difference of those pixels' colours, from 0 to 1.
        fewest: clips of the label that has fewest; None without labels.
    """

    moving: float
    change: float
    fewest: int | None

    @property
    def motion_loss_weight(self) -> float:
        """With which moving pixels, if all errors are alike, count for `MOVING_SHARE` of the loss (`weighted_comparison`)."""
        if not self.moving:
            return LARGEST_WEIGHT
        wanted = (1 - self.moving) / self.moving * MOVING_SHARE / (1 - MOVING_SHARE)  # of each, beside a still pixel's
        return round(min(max((wanted - 1) / self.change, 0.0), LARGEST_WEIGHT), 1)

    def advice(self) -> list[str]:
        """What to change before training, in sentences."""
        found = []
        if self.moving < LITTLE:
            found.append(
                f"Only {self.moving:.1%} of the picture moves. Crop closer, so that what moves is larger, or train at more pixels."
            )
        if self.fewest is not None and self.fewest < FEW:
            found.append(
                f"A label has {self.fewest} clips. With under {FEW} a label is hardly learnt: add clips, or leave it out."
            )
        return found


def look_at(clips: TrainingClips) -> ClipLook:
    """How much of the training clips moves, by `LOOKED_AT` of them."""
    reference, driving = reconstruction_pairs(clips.train, clips.reader, LOOKED_AT)[:2]
    where = moving_pixels(reference, driving)
    moving = where.float().mean().item()
    change = (driving - reference).abs().mean(dim=1, keepdim=True)[where].mean().item() if moving else 0.0
    counts = [sum(clip.label == label for clip in clips.train) for label in label_texts(clips.train)]
    return ClipLook(moving, change, min(counts, default=None))


def seconds_of(step: Callable[[], Any]) -> float:
    """The median of a few calls, after one that is not counted."""
    step()
    found = []
    for _ in range(TIMED):
        began = time.perf_counter()
        step()
        found.append(time.perf_counter() - began)
    return sorted(found)[len(found) // 2]


def _update(parameters: Any, losses: Callable[[], torch.Tensor], half: torch.dtype | None) -> Callable[[], None]:
    """A step of training that changes no weight."""
    parameters = list(parameters)
    optimizer, device = build_optimizer(parameters, 0.0, (0.5, 0.999)), parameters[0].device

    def update() -> None:
        with torch.autocast(device.type, half, enabled=half is not None):
            loss = losses()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        parameters[0].sum().item()  # a GPU is waited for

    return update


def stage_one_seconds(lfae: LatentFlowAutoencoder, clips: TrainingClips, half: torch.dtype | None = None) -> float:
    """Of a step of stage one, its data among them; BatchNorm's statistics of `lfae` change."""
    dataset = PairDataset(clips.train, clips.reader, reference_frame="first")
    task = LFAETask(
        lfae.train(), PixelPyramidLoss(), dataset, None, concentration_weight=1, motion_weight=1, still_weight=1
    )
    task.module.to(lfae.device)

    def losses() -> torch.Tensor:
        batch = default_collate([dataset[i % len(dataset)] for i in range(BATCH["stage_one"])])
        return torch.stack([*task.losses(task.module, batch, range(BATCH["stage_one"])).parts.values()]).sum()

    return seconds_of(_update(task.parameters(), losses, half))


def stage_two_seconds(unet: UNet3DVideoModel, half: torch.dtype | None = None) -> float:
    """Of a step of stage two."""
    config, size, device = unet.config, BATCH["stage_two"], unet.device
    loss = DenoisingLoss(unet.train(), torch.linspace(0.999, 0.001, 1000, dtype=torch.float32)).to(device)
    side = config.sample_size
    volume = torch.randn(size, 3, config.num_frames, side, side, dtype=torch.float32, device=device)
    times, null = (torch.zeros(size, dtype=kind, device=device) for kind in (torch.long, torch.bool))
    text = torch.randn(size, config.text_embed_dim, dtype=torch.float32, device=device)
    latents = torch.randn(size, config.image_latent_channels, side, side, dtype=torch.float32, device=device)
    return seconds_of(_update(unet.parameters(), lambda: loss(volume, volume, times, text, null, latents), half))


@torch.no_grad()
def motion_seconds(lfae: LatentFlowAutoencoder, frames: int, half: torch.dtype | None = None) -> float:
    """Of the motion of one clip of so many frames."""
    size, device = lfae.config.sample_size, lfae.device
    picture = torch.rand(1, 3, size, size, dtype=torch.float32, device=device)
    clip = torch.rand(1, 3, frames, size, size, dtype=torch.float32, device=device)
    lfae.eval()

    def motion() -> None:
        with torch.autocast(device.type, half, enabled=half is not None):
            lfae.predict_flow(picture, clip).occlusion.sum().item()

    return seconds_of(motion)


def affordable_steps(seconds: float, step_seconds: float, besides: float) -> int:
    """Steps that fit into `seconds`, of which `besides` go elsewhere; at least `FEWEST_STEPS`."""
    return max(FEWEST_STEPS, int((seconds - besides) / step_seconds))


def common_options(steps: int) -> dict[str, object]:
    """Of both stages' scripts, by name: how long, and where to look and to save on the way."""
    return {
        "max_train_steps": steps,
        "validation_steps": -(-steps // 2),
        "checkpointing_steps": -(-steps // 4),
        "checkpoints_total_limit": 1,
        "resume_from_checkpoint": "latest",
    }


def stage_one_options(look: ClipLook, steps: int) -> dict[str, object]:
    """Of `training/train_lfae.py`, by name, for so many steps from trained weights."""
    return common_options(steps) | {
        "reference_frame": "first",
        "perceptual": "none",
        "concentration_loss_weight": 10,
        "motion_loss_weight": look.motion_loss_weight,
        "still_loss_weight": 10,  # 1 hardly pulls: a tenth of the places are at rest
        "train_batch_size": BATCH["stage_one"],
        "learning_rate": 3e-4,
        "lr_warmup_steps": steps // 20,
        "lr_milestones": [0.75, 0.92],
        "freeze_batchnorm_after": 0.95,
        "num_validation_pairs": VALIDATED,
    }


def stage_two_options(steps: int) -> dict[str, object]:
    """Of `training/train_unet.py`, by name, likewise. The average reaches over the last tenth of the steps."""
    return common_options(steps) | {
        "frame_sampling": "uniform",
        "target_scale": 0.2,  # of the bundled U-Nets
        "train_batch_size": BATCH["stage_two"],
        "learning_rate": 5e-4,
        "lr_warmup_steps": min(200, steps // 10),
        "lr_milestones": [0.75, 0.92],
        "max_grad_norm": 1,
        "ema_decay": round(min(0.997, 1 - 10 / max(steps, 20)), 4),
        "num_inference_steps": SAMPLED_STEPS,
        "num_validation_clips": VALIDATED,
        "num_validation_pictures": 1,
    }


def validation_seconds(
    stage: str, labels: int, frames: int, stage_one_step: float, stage_two_step: float = 0.0
) -> float:
    """Of what a stage does besides steps where it validates: at half and at the end, stage two with every label's clip."""
    pair = stage_one_step * FORWARD / BATCH["stage_one"]
    if stage == "stage_one":
        return 2 * VALIDATED * pair
    clip = stage_two_step * FORWARD / BATCH["stage_two"]
    return 2 * (VALIDATED * clip + max(1, labels) * (SAMPLED_STEPS * clip + frames * pair))


def judge_stage_one(numbers: dict[str, float]) -> tuple[bool, str]:
    """Whether stage two is worth its time, and a sentence that says why, by the last validation's numbers."""
    share = numbers["l1_moving"] / numbers["static_l1_moving"]
    found = f"Error over what moves: {share:.2f} of that of the first frame repeated (good: under {GOOD}; useless: over {USELESS})."
    if share < GOOD:
        return True, f"{found} The motion is followed."
    if share < USELESS:
        return (
            True,
            f"{found} It is followed in part: more minutes, or clips in which less happens, help.",
        )
    return False, (
        f"{found} The motion is not followed, and stage two could only repeat that. Look at the sheet in samples/. Give more "
        "--minutes, cut clips so that less happens in each, or crop closer."
    )


def judge_stage_two(losses: Sequence[float]) -> str:
    """What the held-out clips' losses at half and at the end say."""
    if len(losses) < 2:
        return "Stage two was too short to be judged by its loss."
    share = losses[-1] / losses[-2]
    found = f"Loss of held-out clips: {losses[-1]:.4f} at the end, {losses[-2]:.4f} before."
    if share > 1:
        return f"{found} It rose: there are too few clips for so many minutes."
    if share < FALLING:
        return f"{found} It was still falling: more --minutes give better clips."
    return f"{found} It has settled: more clips, or a better stage one, would help more than minutes."
