"""Warps that gather rows, against `grid_sample`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lfdm_diffusers import ops
from lfdm_diffusers.ops.warp import resample, sampling_grid
from lfdm_diffusers.ops.warp_cpu import gather_resample


def wild_grid(batch: int, count: int, height: int, width: int) -> torch.Tensor:
    """Places in the picture, at its edge, and far outside."""
    generator = torch.Generator().manual_seed(0)
    grid = sampling_grid(height, width) + 0.4 * torch.randn(batch, count, height, width, 2, generator=generator)
    grid[0, 0, 0, 0] = torch.tensor([1e30, -1e30])
    grid[0, 0, 0, 1] = torch.tensor([-1.0, 1.0])
    return grid


@pytest.mark.parametrize("centers", [False, True])
def test_a_grid_of_one_row_reads_its_middle(centers):
    grid = sampling_grid(1, 3, centers=centers)
    outer = 2 / 3 if centers else 1.0
    assert torch.allclose(grid, torch.tensor([[[-outer, 0.0], [0.0, 0.0], [outer, 0.0]]]))


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_gathered_rows_equal_grid_sample(padding_mode, pictures):
    feature, grid = torch.randn(pictures, 20, 5, 7), wild_grid(2, 3, 6, 4)
    expected = F.grid_sample(
        feature.expand(2, -1, -1, -1),
        grid.reshape(2, 18, 4, 2),
        mode="bilinear",
        padding_mode=padding_mode,
        align_corners=False,
    )
    expected = expected.unflatten(2, (3, 6)).transpose(1, 2).flatten(0, 1)
    found = gather_resample(feature, grid, padding_mode)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(resample(feature, grid, padding_mode), found, rtol=0, atol=0)  # chosen here


def test_grids_that_are_not_numbers_do_no_harm():
    """Not a number is the first corner's edge, infinity lies beyond the last corner."""
    feature, grid = torch.randn(1, 16, 4, 4), torch.full((1, 1, 2, 2, 2), float("nan"))
    grid[0, 0, 0] = float("inf")
    assert (gather_resample(feature, grid, "zeros") == 0).all()
    found = gather_resample(feature, grid, "border")
    for row, corner in ((0, feature[0, :, -1, -1]), (1, feature[0, :, 0, 0])):
        torch.testing.assert_close(found[0, :, row], corner[:, None].expand(-1, 2))


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_gathered_rows_have_the_gradients_of_grid_sample(padding_mode, pictures):
    feature = torch.randn(pictures, 20, 5, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    grid = wild_grid(2, 3, 6, 4).requires_grad_()
    fast = torch.autograd.grad(resample(feature, grid, padding_mode).square().sum(), (feature, grid))
    with ops.plain():
        plain = torch.autograd.grad(resample(feature, grid, padding_mode).square().sum(), (feature, grid))
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
    assert fast[0].is_contiguous(memory_format=torch.channels_last)


def test_few_channels_and_other_paddings_are_not_gathered(monkeypatch):
    monkeypatch.setattr("lfdm_diffusers.ops.warp_cpu.gather_resample", lambda *args: gathered.append(args))
    gathered: list[tuple] = []
    resample(torch.randn(1, 15, 4, 4), torch.zeros(1, 1, 2, 2, 2))
    resample(torch.randn(1, 16, 4, 4), torch.zeros(1, 1, 2, 2, 2), "reflection")
    assert not gathered
    resample(torch.randn(1, 16, 4, 4), torch.zeros(1, 1, 2, 2, 2))
    assert len(gathered) == 1
