"""Checkpoints on the disk: which one a run goes on from, and which stay."""

from __future__ import annotations

import os

import pytest
from leftovers import workshop_of_a_killed_process

from lfdm_diffusers.files.whole import OLD
from lfdm_diffusers.training.checkpoints import STATE_FILE, checkpoints, find_checkpoint, prune_checkpoints


def make_checkpoint(folder, step: int) -> None:
    (folder / f"checkpoint-{step}").mkdir(parents=True)
    (folder / f"checkpoint-{step}" / STATE_FILE).write_text("state")


def test_a_checkpoint_that_a_killed_run_was_replacing_is_found(tmp_path):
    make_checkpoint(tmp_path, 2)
    make_checkpoint(tmp_path / workshop_of_a_killed_process() / OLD, 4)  # between two renames
    found = find_checkpoint(tmp_path, "latest")
    assert found == tmp_path / "checkpoint-4" and (found / STATE_FILE).read_text() == "state"
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-2", "checkpoint-4"]


def test_the_newest_checkpoints_stay(tmp_path, monkeypatch):
    for step in (2, 10, 4):
        make_checkpoint(tmp_path, step)
    prune_checkpoints(tmp_path, None)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-4", "checkpoint-10"]

    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "unlink", stopped)
        prune_checkpoints(tmp_path, 2)
    # Whatever was half deleted is no checkpoint, and goes with the next look.
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-4", "checkpoint-10"]
    find_checkpoint(tmp_path, "latest")
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-10", "checkpoint-4"]
