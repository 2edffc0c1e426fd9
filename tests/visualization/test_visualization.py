"""Sheets, grids and keys: every picture in its place, every name whole, colours that mean what the key says."""

import numpy as np
import pytest
import torch

from lfdm_diffusers.data.picture_fitting import fit_picture, within_bars
from lfdm_diffusers.ops.warp import sampling_grid
from lfdm_diffusers.visualization import (
    clip_grid,
    clips_sheet,
    contact_sheet,
    enlarge,
    flow_arrows,
    flow_in_pixels,
    flow_to_color,
    flow_wheel,
    grid_columns,
    motion_clip,
    motion_pictures,
    motion_sheet,
    shown_frames,
    warped_grid,
)
from lfdm_diffusers.visualization.fonts import text_font
from lfdm_diffusers.visualization.sheets import FRAME, GAP
from lfdm_diffusers.visualization.text import wrap_text


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def test_enlarge_is_smooth_and_exact_at_one():
    clip = np.zeros((2, 8, 8, 3), np.uint8)
    clip[1, :, 4:] = 200
    assert np.array_equal(enlarge(clip, 1), clip)
    larger = enlarge(clip, 4)
    assert larger.shape == (2, 32, 32, 3) and larger.dtype == np.uint8 and not larger[0].any()
    edge = larger[1, 16, 14:18, 0].astype(int)
    assert (np.diff(edge) > 0).all() and edge[0] > 0 and edge[-1] < 200, "no steps of a whole pixel"
    assert (larger[1, :, :8] == 0).all() and (larger[1, :, 24:] == 200).all()


def test_clip_grid_places_clips_and_names():
    clips = [noise(32, 48, 3), *(noise(3, 32, 48, 3) for _ in range(4))]
    grid = clip_grid(clips, ["reference", "a", "b", "c", "d"], scale=2, columns=3)
    assert grid.dtype == np.uint8 and grid.shape[0] == 3 and grid.shape[2] == 3 * (96 + GAP) + GAP
    step = (grid.shape[1] - GAP) // 2
    for i, clip in enumerate(clips):
        top, left = GAP + i // 3 * step, GAP + i % 3 * (96 + GAP)
        tile = grid[:, top : top + 64, left : left + 96]
        assert np.array_equal(tile, np.broadcast_to(enlarge(clip, 2), (3, 64, 96, 3)))
        name = grid[0, top + 64 + 1 : top + step - GAP, left : left + 96]
        assert (name < 100).any() and (name[-1] == 255).all() and (name[:, 0] == 255).all(), "the name, all of it"
        assert tuple(grid[0, top - 1, left]) == FRAME
    assert (grid[:, step + GAP + 1 :, -90:] == 255).all()  # the sixth place


def test_clip_grid_refuses_unlike_clips():
    with pytest.raises(ValueError, match="as many, at least one; got 1 and 2"):
        clip_grid([noise(2, 8, 8, 3)], ["a", "b"])
    with pytest.raises(ValueError, match="one size and length"):
        clip_grid([noise(2, 8, 8, 3), noise(3, 8, 8, 3)], ["a", "b"])
    with pytest.raises(ValueError, match="one size and length"):
        clip_grid([noise(2, 8, 8, 3), noise(8, 9, 3)], ["a", "b"])


@pytest.mark.parametrize("count, columns", [(1, 1), (2, 2), (5, 3), (8, 4), (25, 7), (28, 7)])
def test_grid_columns(count, columns):
    assert grid_columns(count) == columns


def test_wrap_text():
    font = text_font(13)
    text = wrap_text("forward lunge (left foot forward)", font, 110)
    assert text.split("\n") == ["forward lunge (left", "foot forward)"]
    assert all(font.getlength(line) <= 110 for line in text.split("\n"))
    cut = wrap_text("draw circle counter clockwise with the right hand", font, 60, lines=2)
    assert cut.count("\n") == 1 and cut.endswith("...") and font.getlength(cut.split("\n")[1]) <= 60
    long = wrap_text("Donaudampfschifffahrtsgesellschaft", font, 60, lines=9)
    assert long.replace("\n", "") == "Donaudampfschifffahrtsgesellschaft"
    assert all(font.getlength(line) <= 60 for line in long.split("\n"))
    assert wrap_text("", font, 60) == ""


def test_contact_sheet_with_names_and_empty_places():
    picture = np.zeros((8, 8))
    plain = np.asarray(contact_sheet([[picture, picture]], ["a", "b"], tile=40))
    named = np.asarray(contact_sheet([[picture, None]], ["a", "b"], tile=40, names=["anger"]))
    left = named.shape[1] - plain.shape[1]
    assert np.array_equal(named[:, left : left + 40], plain[:, :40]) and (named[33:, left + 43 :] == 255).all()
    assert (named[32:, : left - 1] < 100).any()  # the name
    with pytest.raises(ValueError, match="`names` must hold 1 names, got 2"):
        contact_sheet([[picture]], ["a"], names=["x", "y"])


def test_long_titles_stay_over_their_column():
    rows = [[np.zeros((8, 8))] * 2]
    sheets = [np.asarray(contact_sheet(rows, [title, ""])) for title in ("crossing the arms for no", "short")]
    assert sheets[0].shape == sheets[1].shape
    assert all((sheet[:31, 130:] == 255).all() and (sheet[:31, :128] < 100).any() for sheet in sheets)


def test_clips_sheet_shows_first_and_last_frames():
    assert shown_frames(16) == [0, 2, 4, 6, 9, 11, 13, 15] and shown_frames(3) == [0, 1, 2] and shown_frames(1) == [0]
    clip = np.stack([np.full((8, 8, 3), 10 * i, dtype=np.uint8) for i in range(16)])
    sheet = np.asarray(clips_sheet(np.full((8, 8, 3), 255, dtype=np.uint8), [clip, clip], ["a", "b"]))
    row = sheet[100, -9 * 130 + 2 + 64 :: 130, 0]
    assert row.tolist() == [255, 0, 20, 40, 60, 90, 110, 130, 150]


def test_flow_wheel_is_the_key():
    wheel = flow_wheel(101)
    for flow, place in {
        (1, 0): (50, 98),
        (-1, 0): (50, 2),
        (0, 1): (98, 50),
        (0, -1): (2, 50),
        (0, 0): (50, 50),
    }.items():
        colour = flow_to_color(np.array(flow, dtype=float)[:, None, None], largest=1.0)[0, 0]
        assert np.abs(wheel[place] - colour).max() < 0.06, flow
    assert (wheel[0, 0] == 1).all()


def test_the_wheel_is_the_standard_one():
    """Baker et al.: yellow after 15 of 55 steps, green after 21, cyan after 25, blue after 36, magenta after 49."""
    for step, colour in {
        0: (1, 0, 0),
        15: (1, 1, 0),
        18: (0.5, 1, 0),
        21: (0, 1, 0),
        25: (0, 1, 1),
        36: (0, 0, 1),
        49: (1, 0, 1),
    }.items():
        angle = 2 * np.pi * step / 55
        flow = np.array([np.cos(angle), np.sin(angle)])[:, None, None]
        np.testing.assert_allclose(flow_to_color(flow, 1.0)[0, 0], colour, atol=1e-6)
        np.testing.assert_allclose(flow_to_color(flow / 4, 1.0)[0, 0], 1 - 0.25 * (1 - np.array(colour)), atol=1e-6)


def shifted(x: float, y: float, side: int = 16) -> np.ndarray:
    """Flow of content that has moved by (x, y) shares of the picture."""
    still = sampling_grid(side, side, centers=True).permute(2, 0, 1).numpy()
    return still - 2 * np.array([x, y])[:, None, None]


def test_arrows_point_where_things_went():
    def drawn(x: float, y: float) -> np.ndarray:
        return flow_arrows(np.full((32, 32, 3), 0.5), shifted(x, y), size=256, across=4)[..., 0].astype(int)

    dots, right, down = drawn(0, 0), drawn(0.15, 0), drawn(0, 0.15)
    assert dots.shape == (256, 256)
    row = right[96]  # through the second line of arrows, which end at 32, 96, 160 and 224, and begin 38 pixels before
    assert (row[62:92] > 200).all() and (abs(row[[52, 104, 110]] - 128) < 3).all()
    assert dots[96, 96] > 200 and (abs(dots[96, 62:90] - 128) < 3).all()
    head = [np.ptp(np.flatnonzero(right[80:112, x] > 200)) for x in (70, 92)]
    assert head[1] > head[0] + 2, "the head is at the end"
    assert abs(down.T - right).mean() < 1


def test_grid_is_bent_as_the_flow_says():
    def lines(flow: np.ndarray) -> list[int]:
        row = warped_grid(flow, size=256, cells=4)[96, :, 0]
        return [
            int(i) for i in np.flatnonzero((row[1:-1] < row[:-2]) & (row[1:-1] <= row[2:]) & (row[1:-1] < 120)) + 1
        ]

    assert [round(i / 64) for i in lines(shifted(0, 0))] == [1, 2, 3] and abs(lines(shifted(0, 0))[0] - 64) <= 1
    moved = lines(shifted(0.1, 0))
    assert all(abs(i - (64 * n + 25.6)) <= 1 for n, i in enumerate(moved)), moved
    picture = np.zeros((16, 16, 3))
    shown = warped_grid(shifted(0, 0), size=128, cells=4, picture=picture)
    assert shown[16, 32].min() > 100 and shown[16, 16].max() == 0 and (shown[:, 32].min(axis=1) > 100).all()


def test_still_motion_is_white():
    """What leaves a picture alone has no colour, not the stretch that the released grid's corners suggest."""
    still = sampling_grid(8, 8, centers=True).permute(2, 0, 1).numpy()
    assert np.abs(flow_in_pixels(still, 32, 32)).max() < 1e-5
    flow, occlusion = np.stack([still] * 2), np.ones((2, 1, 8, 8))
    colours, grey, largest = motion_pictures(flow, occlusion, 32, 32)
    assert largest == 1.0 and (colours == 255).all() and (grey == 255).all() and colours.shape == (2, 32, 32, 3)
    moved = flow + np.array([4 / 32, 0])[None, :, None, None]  # two pixels to the right
    colours, _, largest = motion_pictures(moved, occlusion * 0.5, 32, 32)
    assert abs(largest - 2) < 1e-5 and (colours == (255, 0, 0)).all()
    moved[1, 0, 0, 0] += 1000  # one wild place does not make the others pale
    assert abs(motion_pictures(moved, occlusion, 32, 32)[2] - 2) < 1e-5
    assert motion_pictures(moved * 1e9, occlusion, 32, 32)[2] == 1e6  # as an untrained model may make it


def test_views_of_a_motion():
    flow, occlusion = (
        np.stack([sampling_grid(8, 8, centers=True).permute(2, 0, 1).numpy()] * 4),
        np.full((4, 1, 8, 8), 0.4),
    )
    reference, frames, warped = noise(32, 32, 3), noise(4, 32, 32, 3), noise(4, 32, 32, 3) // 2
    clip = motion_clip(reference, frames, warped, flow, occlusion, scale=2)
    tiles = [clip[:, GAP : GAP + 64, GAP + i * (64 + GAP) :][:, :, :64] for i in range(5)]
    for tile, expected in zip(tiles, (reference, frames, warped)):
        assert (tile == enlarge(expected, 2)).all()
    assert (tiles[3] == 255).all() and (tiles[4] == 102).all()
    sheet = np.asarray(motion_sheet(reference, frames, warped, flow, occlusion))
    assert sheet.shape[0] == 32 + 6 * 130 - 2
    column = sheet.shape[1] - 4 * 130 + 2
    for row, picture in enumerate((frames[0], warped[0])):
        top = 32 + row * 130
        assert np.array_equal(sheet[top : top + 128, column : column + 128], enlarge(picture, 4))


@pytest.mark.parametrize(
    "size, shape", [((20, 32), (20, 32)), ((64, 32), (32, 16)), ((32, 32), (32, 32)), ((9, 32), (9, 32))]
)
def test_bars_of_a_letterbox_do_not_come_back(size, shape):
    """What is left of a frame is the picture, to the edge; a crop is left as it is."""
    picture = torch.ones(3, *size)
    rows, columns = within_bars(size, 32, 32, "letterbox")
    frame = fit_picture(picture, 32, 32, "letterbox")[:, rows, columns]
    assert frame.shape[1:] == shape and (frame == 1).all()
    outside = fit_picture(picture, 32, 32, "letterbox").clone()
    outside[:, rows, columns] = 0
    assert not outside.any()
    assert within_bars(size, 32, 32, "center_crop") == (slice(0, 32), slice(0, 32))
