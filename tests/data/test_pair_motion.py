"""Pairs of frames with their true motion."""

import numpy as np
import pytest
import torch

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.dataset import PairDataset
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.ops.warp import sampling_grid


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces")
    write_toon_faces(
        root, num_subjects=1, num_test_subjects=0, labels=["surprise"], num_frames=4, size=48, format="png", with_flow=True,
        progress=False,
    )  # fmt: skip
    return find_clips(root)


def test_motion_leads_to_the_driving_picture_mirrored_or_not(drawn):
    dataset = PairDataset(drawn, ClipReader(48, 48), reference_frame="first", with_motion=True)
    grid = sampling_grid(48, 48, centers=True)
    sides = set()
    for epoch in range(12):
        pair = dataset[(epoch, 0)]
        flow, visible = pair.motion
        warped = torch.nn.functional.grid_sample(
            pair.reference[None], (grid + flow.movedim(0, -1))[None], padding_mode="border", align_corners=False
        )[0]
        moving = (visible[0] > 0) & ((pair.driving - pair.reference).abs().amax(0) > 0.1)
        if moving.sum() < 20:
            continue
        still, moved = ((picture - pair.driving).abs()[:, moving].mean() for picture in (pair.reference, warped))
        assert moved < 0.5 * still
        sides.add(bool(flow[0].sum() > 0))
    assert sides == {True, False}  # some were mirrored


def test_motion_is_of_the_pictures_size_and_from_the_first_frame(drawn):
    with pytest.raises(ValueError, match=r"`reference_frame`.*'random'"):
        PairDataset(drawn, ClipReader(48, 48), with_motion=True)
    dataset = PairDataset(drawn, ClipReader(32, 32), reference_frame="first", with_motion=True)
    with pytest.raises(ValueError, match=r"48x48 pixels.*got 32x32"):
        dataset[0]
    plain = PairDataset(drawn, ClipReader(32, 32), reference_frame="first")
    assert plain[0].motion == () and np.isfinite(plain[0].reference).all()
