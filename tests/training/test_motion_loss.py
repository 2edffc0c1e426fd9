"""What pulls motion to the truth and to rest."""

import pytest
import torch

from lfdm_diffusers.ops.warp import sampling_grid
from lfdm_diffusers.training.motion_loss import OCCLUSION_SHARE, still_loss, true_motion_losses


def still_grid(height: int, width: int, centers: bool) -> torch.Tensor:
    return sampling_grid(height, width, centers=centers).movedim(-1, 0)[None]


@pytest.mark.parametrize("centers", [True, False])
def test_error_is_in_places_of_the_map(centers):
    true_flow = torch.zeros(1, 2, 16, 32)
    true_flow[:, 0] = 2 * 3 / 32  # three pixels of 32 to the right: 1.5 places of 16
    visible, open_ = torch.ones(1, 1, 16, 32), torch.full((1, 1, 8, 16), 0.9)
    at_rest = still_grid(8, 16, centers)
    losses = true_motion_losses(at_rest, open_, true_flow, visible, centers, weight=2)
    assert losses["true_flow"].item() == pytest.approx(2 * 1.5, rel=1e-3)
    assert losses["true_occlusion"].item() == pytest.approx(-2 * OCCLUSION_SHARE * torch.tensor(0.9).log().item())
    exact = true_motion_losses(at_rest + true_flow[..., ::2, ::2], open_, true_flow, visible, centers)
    assert exact["true_flow"].item() < 2e-4


def test_what_is_hidden_pulls_occlusion_alone():
    true_flow, visible = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    true_flow[..., 4:], visible[..., 4:] = 5.0, 0.0
    flow = still_grid(4, 4, True).requires_grad_()
    occlusion = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    losses = true_motion_losses(flow, occlusion, true_flow, visible, True)
    assert losses["true_flow"].item() < 2e-4
    sum(losses.values()).backward()
    assert (flow.grad.abs() < 1e-6).all()
    assert (occlusion.grad[..., :2] < 0).all() and (occlusion.grad[..., 2:] > 0).all()


def test_rest_is_asked_for_far_from_all_that_differs():
    reference = torch.rand(1, 3, 64, 64)
    driving = reference.clone()
    driving[..., :8, :8] += 0.5
    flow = still_grid(32, 32, True)
    flow[:, 1, :2, :2] += 1  # where pictures differ
    assert still_loss(flow, reference, driving, True).item() < 2e-4
    flow[:, 1, 20, 20] += 2 * 3 / 32  # three places, where they do not
    assert still_loss(flow, reference, driving, True).item() == pytest.approx(3 / 32**2, rel=0.05)
