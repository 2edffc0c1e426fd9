"""What a training of minutes is planned by, and what its numbers are said to mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_lfae, tiny_unet

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.training import short_budget
from lfdm_diffusers.training.clips import TrainingClips
from lfdm_diffusers.training.reconstruction_loss import PixelPyramidLoss, weighted_comparison
from lfdm_diffusers.training.short_budget import (
    LARGEST_WEIGHT,
    MOVING_SHARE,
    ClipLook,
    affordable_steps,
    judge_stage_one,
    judge_stage_two,
    look_at,
    motion_seconds,
    stage_one_options,
    stage_one_seconds,
    stage_two_options,
    stage_two_seconds,
)


class Squares(ClipReader):
    """Clips of 3 frames of a dark field, in which a square of 8x8 of 32x32 pixels lights up by `change` in the last one."""

    def __init__(self, change: float):
        super().__init__(32, 32)
        self.change = change

    def read(self, clip, indices):
        frames = np.zeros((3, 32, 32, 3), dtype=np.uint8)
        frames[2, 8:16, 8:16] = round(self.change * 255)
        return frames[np.asarray(indices)]


def squares(tmp_path, change: float, labels: str = "aaaaab") -> TrainingClips:
    clips = [Clip(tmp_path / f"{i}.mp4", label=label, num_frames=3) for i, label in enumerate(labels)]
    return TrainingClips(clips, clips[:1], Squares(change))


def test_how_much_moves(tmp_path):
    look = look_at(squares(tmp_path, 0.8))
    assert look.moving == pytest.approx(1 / 16) and look.change == pytest.approx(0.8) and look.fewest == 1
    assert ["A label has 1 clips" in sentence for sentence in look.advice()] == [True]
    assert look_at(squares(tmp_path, 0.05))[:2] == (0, 0)  # too faint to count
    assert "Only 0.0% of the picture moves" in look_at(squares(tmp_path, 0.05, "aaaaa")).advice()[0]
    assert look_at(squares(tmp_path, 0.8, "aaaaa")).advice() == []


def test_moving_pixels_get_their_share_of_the_loss():
    """With the weight that is chosen, by the loss itself: all of a picture's errors alike, those where nothing moves are 2/3."""
    look = ClipLook(moving=1 / 16, change=0.8, fewest=None)
    reference, driving = torch.zeros(2, 1, 3, 32, 32)
    driving[..., 8:16, 8:16] = 0.8
    still = (driving == 0).all(dim=1, keepdim=True)
    loss = PixelPyramidLoss(scales=(1.0,))
    compare = weighted_comparison(
        lambda made, target: loss.pyramid[0](made - target).abs().mean(), reference, driving, look.motion_loss_weight
    )
    share = 1 - compare(driving + 0.1 * still) / compare(driving + 0.1)
    assert share.item() == pytest.approx(MOVING_SHARE, abs=0.01)
    assert ClipLook(0.001, 0.5, None).motion_loss_weight == ClipLook(0, 0, None).motion_loss_weight == LARGEST_WEIGHT
    assert ClipLook(0.6, 0.5, None).motion_loss_weight == 0


def test_steps_that_time_pays_for(monkeypatch):
    assert affordable_steps(100, 0.5, 20) == 160
    assert affordable_steps(1, 0.5, 20) == short_budget.FEWEST_STEPS
    first, second = stage_one_options(ClipLook(0.2, 0.3, None), 400), stage_two_options(400)
    assert first["max_train_steps"] == second["max_train_steps"] == 400
    assert first["lr_warmup_steps"] == 20 and second["lr_warmup_steps"] == 40
    assert second["ema_decay"] == pytest.approx(1 - 10 / 400)
    assert stage_two_options(100_000)["ema_decay"] == 0.997


def test_seconds_are_those_of_steps(tmp_path, monkeypatch):
    """A clock that counts what is done in the place of seconds: each step's cost is that of one step, whatever came before."""
    monkeypatch.setattr(short_budget, "BATCH", {"stage_one": 2, "stage_two": 2})
    lfae, unet = tiny_lfae(), tiny_unet()
    before = [{name: weight.clone() for name, weight in net.named_parameters()} for net in (lfae, unet)]
    seconds = [
        stage_one_seconds(lfae, squares(tmp_path, 0.8)),
        stage_two_seconds(unet),
        motion_seconds(lfae, 4),
    ]
    assert all(0 < each < 10 for each in seconds)
    for net, weights in zip((lfae, unet), before):  # timed, not trained
        assert all(torch.equal(weight, weights[name]) for name, weight in net.named_parameters())
    calls, clock = [], iter([0, 9, 10, 11, 20, 22])  # 9, 1 and 2 seconds
    monkeypatch.setattr(short_budget.time, "perf_counter", lambda: next(clock))
    assert short_budget.seconds_of(lambda: calls.append(1)) == 2 and len(calls) == 4


@pytest.mark.parametrize(
    "share, worth, word", [(0.2, True, "is followed"), (0.6, True, "in part"), (0.9, False, "not followed")]
)
def test_when_to_stop_after_stage_one(share, worth, word):
    found, why = judge_stage_one({"l1_moving": share * 0.3, "static_l1_moving": 0.3})
    assert found is worth and word in why and f"{share:.2f}" in why


@pytest.mark.parametrize(
    "losses, word",
    [([0.1], "too short"), ([0.1, 0.12], "rose"), ([0.1, 0.08], "still falling"), ([0.1, 0.095], "settled")],
)
def test_what_stage_two_needs(losses, word):
    assert word in judge_stage_two(losses)
