"""DDIM as a table gives what diffusers' scheduler gives."""

import pytest
import torch
from diffusers import DDIMScheduler

from lfdm_diffusers.export.runner import thresholded
from lfdm_diffusers.export.sampling import ddim_table, thresholding
from lfdm_diffusers.schedulers import released_scheduler


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_every_step_is_the_schedulers(prediction_type, eta):
    released = released_scheduler(prediction_type=prediction_type)
    scheduler = DDIMScheduler.from_config(released.config)
    scheduler.set_timesteps(4)
    rule = thresholding(released)
    for timestep, row in zip(scheduler.timesteps, ddim_table(released, 4, eta), strict=True):
        x, predicted, fresh = (3 * torch.randn(2, 3, 4, 5, 5) for _ in range(3))
        wanted = scheduler.step(predicted, timestep, x, eta=eta, variance_noise=fresh if eta else None).prev_sample
        clean, noise = (c[0] * x + c[1] * predicted for c in (row["clean"], row["noise"]))
        clean = torch.stack([torch.from_numpy(thresholded(each.numpy(), rule)) for each in clean])
        got = row["next"][0] * clean + row["next"][1] * noise + row["next"][2] * fresh
        assert row["timestep"] == timestep
        torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)


def test_what_no_table_says_is_refused():
    with pytest.raises(ValueError, match=r"`scheduler`.*'flow_prediction'"):
        ddim_table(DDIMScheduler(prediction_type="flow_prediction"), 4)
    with pytest.raises(ValueError, match="clip_sample"):
        thresholding(DDIMScheduler(clip_sample=True))
    assert thresholding(DDIMScheduler(clip_sample=False)) is None
