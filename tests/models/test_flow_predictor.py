"""Geometry of the flow predictor against plain references."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_lfae

from lfdm_diffusers.models.flow_predictor import DenseFlowPredictor
from lfdm_diffusers.models.geometry import RegionParameters, gaussian_heatmap, inverse_2x2, principal_axes
from lfdm_diffusers.ops.warp import resample, sampling_grid
from lfdm_diffusers.training.equivariance import RandomTransform


def random_covariances(count: int = 2000, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    root = torch.randn(count, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return (root @ root.mT).to(dtype)


def test_principal_axes_agree_with_lapack_in_value_and_sign():
    covar = random_covariances()
    u, s, _ = torch.linalg.svd(covar.double())
    expected = (u * s.sqrt()[:, None]).float()
    error = (principal_axes(covar) - expected).abs().amax(dim=(1, 2))
    # Where both eigenvalues nearly agree, axes are ill conditioned in float32.
    well_posed = (s[:, 0] - s[:, 1]) / s[:, 0] > 1e-3
    assert well_posed.sum() > 1900
    assert error[well_posed].max() < 1e-3
    torch.testing.assert_close(principal_axes(covar) @ principal_axes(covar).mT, covar, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variances, first", [((4.0, 1.0), (2.0, 0.0)), ((1.0, 4.0), (0.0, 2.0))])
def test_the_longer_axis_of_an_upright_region_points_forward(variances, first):
    """As LAPACK has it: the released models' maps between regions depend on the sign."""
    axes = principal_axes(torch.tensor(variances).diag())
    torch.testing.assert_close(axes[:, 0], torch.tensor(first), rtol=0, atol=1e-6)


def test_principal_axes_are_float32_for_half_precision():
    for dtype in (torch.float16, torch.bfloat16):
        covar = random_covariances(8, dtype)
        axes = principal_axes(covar)
        assert axes.dtype == torch.float32
        torch.testing.assert_close(axes, principal_axes(covar.float()))


@pytest.mark.parametrize(
    "covar",
    [
        [[0.3, 0.0], [0.0, 0.3]],  # equal eigenvalues
        [[0.3, 0.0], [0.0, 0.1]],
        [[0.1, 0.0], [0.0, 0.3]],
        [[0.3, 1e-9], [1e-9, 0.3]],
        [[0.0, 0.0], [0.0, 0.0]],  # a heatmap on one pixel
        [[0.2, 0.2], [0.2, 0.2]],  # singular
    ],
)
def test_principal_axes_and_their_gradients_are_finite_at_degenerate_covariances(covar):
    covar = torch.tensor([covar], requires_grad=True)
    axes = principal_axes(covar)
    torch.testing.assert_close(axes @ axes.mT, covar, rtol=0, atol=1e-6)
    axes.square().sum().backward()  # the trace of the covariance
    assert torch.isfinite(covar.grad).all()
    if torch.linalg.det(covar) > 0:
        assert (covar.grad - torch.eye(2)).abs().max() < 0.01
    # One determinant for all: mixed signs would mirror a region's motion.
    assert torch.linalg.det(axes.detach()).item() <= 0


@pytest.mark.parametrize("sharpness", [1e2, 1e5])
def test_heatmaps_on_one_pixel_keep_flow_and_gradients_finite(sharpness):
    lfae = tiny_lfae().train()
    lfae.region_predictor.regions.weight.data.mul_(sharpness)
    reference, driving = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).unbind(0)
    output = lfae(reference, driving)
    output.sample.mean().backward()
    regions = output.driving_regions
    places = sampling_grid(*regions.heatmap.shape[-2:]).flatten(0, 1)
    mean = (regions.heatmap.flatten(2)[..., None] * places).sum(dim=2)
    torch.testing.assert_close(regions.shift, mean, rtol=1e-4, atol=1e-5)
    if sharpness == 1e5:  # all on one pixel
        torch.testing.assert_close(regions.shift, places[regions.heatmap.flatten(2).argmax(dim=2)], rtol=0, atol=1e-5)
    assert torch.isfinite(output.flow).all()
    assert all(torch.isfinite(p.grad).all() for p in lfae.parameters() if p.grad is not None)


def test_principal_axes_gradient_matches_finite_differences():
    covar = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)
    weight = torch.tensor([[1.0, -2.0], [0.5, 3.0]])

    def value(a: float, b: float, c: float) -> float:
        return (principal_axes(torch.tensor([[a, b], [b, c]])) * weight).sum().item()

    leaf = covar.float().requires_grad_()
    (principal_axes(leaf) * weight).sum().backward()
    a, b, c = 0.5, 0.2, 0.3
    h = 1e-3
    assert leaf.grad[0, 0].item() == pytest.approx((value(a + h, b, c) - value(a - h, b, c)) / (2 * h), rel=1e-2)
    assert leaf.grad[0, 1].item() == pytest.approx((value(a, b + h, c) - value(a, b - h, c)) / (2 * h), rel=1e-2)


def region(affine: torch.Tensor) -> RegionParameters:
    """One in the middle, with these axes."""
    covar = affine @ affine.mT
    return RegionParameters(torch.zeros(1, 1, 2), covar[None, None], affine[None, None], torch.zeros(1, 1, 3, 4))


def test_axes_that_swapped_are_turned_back_by_their_first_entry():
    """A map between a region's axes is only known up to its sign: the one taken does not mirror x, as in the released code."""
    predictor = DenseFlowPredictor(3, 1, 8, 16, 2, 1.0, True, True, revert_axis_swap=True)
    grid = sampling_grid(3, 4)
    for x, y in ((-2.0, 1.0), (2.0, -1.0)):
        swapped, rest = region(torch.tensor([x, y]).diag()), region(torch.eye(2))
        flow = predictor.motions(swapped, rest, torch.eye(3)[None], grid)[0, 1]
        torch.testing.assert_close(flow, grid * torch.tensor([2.0, -1.0]))


def test_the_background_moves_by_its_homography():
    predictor = DenseFlowPredictor(3, 1, 8, 16, 2, 1.0, True, True, revert_axis_swap=False)
    matrix, grid = torch.tensor([[1.0, 0.1, 0.05], [0.0, 0.9, -0.1], [0.2, -0.1, 1.1]]), sampling_grid(3, 4)
    flow = predictor.motions(region(torch.eye(2)), region(torch.eye(2)), matrix[None], grid)[0, 0]
    for place, found in zip(grid.flatten(0, 1), flow.flatten(0, 1)):
        x, y, depth = matrix @ torch.tensor([*place, 1.0])
        torch.testing.assert_close(found, torch.stack((x, y)) / depth)


def test_inverse_2x2():
    matrix = torch.randn(50, 2, 2, generator=torch.Generator().manual_seed(1)) + 3 * torch.eye(2)
    torch.testing.assert_close(inverse_2x2(matrix), torch.linalg.inv(matrix), rtol=1e-4, atol=1e-5)


def test_resample_reads_each_grid_as_grid_sample_does():
    feature = torch.randn(2, 3, 8, 6)
    grid = torch.rand(2, 4, 5, 7, 2) * 2.4 - 1.2  # reaches outside
    expected = [
        torch.nn.functional.grid_sample(feature[b, None], grid[b, n, None], align_corners=False)
        for b in range(2)
        for n in range(4)
    ]
    torch.testing.assert_close(resample(feature, grid), torch.cat(expected))
    torch.testing.assert_close(resample(feature[:1], grid)[4:], resample(feature[:1], grid[1:]))


def test_transform_jacobian_matches_autograd():
    transform = RandomTransform.sample(2, generator=torch.Generator().manual_seed(0))
    points = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9
    jacobian = transform.jacobian(points)
    for row in range(2):
        leaf = points.clone().requires_grad_()
        transform.warp_points(leaf)[..., row].sum().backward()
        torch.testing.assert_close(jacobian[:, :, row], leaf.grad, rtol=1e-4, atol=1e-5)


def test_identity_transform_leaves_points_alone():
    transform = RandomTransform(torch.eye(2, 3)[None], torch.zeros(1, 1, 25))
    points = sampling_grid(4, 4).flatten(0, 1)[None]
    torch.testing.assert_close(transform.warp_points(points), points)
    torch.testing.assert_close(transform.jacobian(points), torch.eye(2).expand(1, 16, 2, 2))


def test_a_region_without_extent_is_a_spot_of_a_hundredth():
    """A heatmap on one pixel has no covariance; it is drawn with a variance of 1e-4, and so falls to e^-1/2 at .01."""
    grid = torch.tensor([0.0, 0.01, 0.02]).view(1, 3, 1) * torch.tensor([1.0, 0.0])
    heatmap = gaussian_heatmap(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2, 2), grid)
    torch.testing.assert_close(heatmap[0, 0, 0], torch.exp(torch.tensor([0, -0.5, -2])))
