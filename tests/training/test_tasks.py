"""What the tasks compute of an example, and how they are judged: numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import tiny_baseline, tiny_discriminators, tiny_pipeline, tiny_vae
from torch import nn
from torch.utils.data import default_collate

from lfdm_diffusers.data.chance import draw_generator
from lfdm_diffusers.data.dataset import ClipSample
from lfdm_diffusers.metrics.reconstruction import reconstruction_l1
from lfdm_diffusers.models.geometry import RegionParameters
from lfdm_diffusers.models.latent_flow_autoencoder import DecodedFrames
from lfdm_diffusers.training.adversarial import AdversarialTask
from lfdm_diffusers.training.batchnorm import require_finite
from lfdm_diffusers.training.diffusion import MotionTask
from lfdm_diffusers.training.equivariance import CONCENTRATED, SEPARATE, concentration_loss
from lfdm_diffusers.training.frame_autoencoder import FrameAutoencoderLoss
from lfdm_diffusers.training.motion_cache import MotionSample
from lfdm_diffusers.training.pipeline_task import VALIDATION_DRAWS, HeldOut
from lfdm_diffusers.training.reconstruction_loss import PixelPyramidLoss, picture_losses


def adversarial_task(**settings) -> AdversarialTask:
    pipe = tiny_baseline("imaginator")
    pipe.set_progress_bar_config(disable=True)
    pipe.imaginator.train()
    return AdversarialTask(pipe, tiny_discriminators(), **settings)


def clips(labels: list[str]) -> ClipSample:
    count = len(labels)
    return ClipSample(torch.rand(count, 3, 4, 32, 32), torch.arange(4).expand(count, 4), labels, [""] * count)


@pytest.mark.parametrize("share,least,most", [(0.0, 0, 0), (0.3, 8, 28), (1.0, 60, 60)])
def test_imaginator_sees_the_null_condition(share, least, most):
    """Zeros for unlabelled examples and the asked-for share of the others; the rest see their own row."""
    task = adversarial_task(null_condition_prob=share)
    labels = ["surprise", "anger"] * 30 + [""] * 4
    embeds = task.arguments(clips(labels), range(64))[2]
    null = (embeds == 0).all(dim=1)
    assert null[60:].all() and least <= null[:60].sum() <= most
    rows = task.pipe.label_embeddings.rows(labels)
    assert torch.equal(embeds[~null], rows[~null])
    again = (task.arguments(clips(labels[8:]), range(8, 64))[2] == 0).all(dim=1)
    assert torch.equal(again, null[8:])  # an example's chance does not depend on its neighbours


def test_imaginator_is_judged_by_clips_of_their_own_label():
    task = adversarial_task(ema_decay=0)
    for module in task.pipe.imaginator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = (
                None  # statistics of its own maps: with the first ones an untrained network's signals die away
            )
    labels = ["surprise", "anger", ""]
    with torch.no_grad():
        task.module(*task.arguments(clips(labels * 4), range(12)))
    held_out, expected = [], []
    with torch.no_grad(), task.average.in_place():
        for i, label in enumerate(labels):  # clips that are what the generator makes of their first frames
            picture, noise = torch.rand(3, 32, 32), draw_generator(0, VALIDATION_DRAWS + i)
            made = task.pipe(picture, label or None, generator=noise, output_type="pt").frames[0].transpose(0, 1)
            frames = torch.cat((picture[:, None], made[:, 1:]), dim=1)
            held_out.append(ClipSample(frames, torch.arange(4), label, ""))
            expected.append(reconstruction_l1(made, frames))
        found = task.judge(HeldOut(held_out, [], [], 2))
        unlabelled = task.judge(HeldOut([sample._replace(label="") for sample in held_out], [], [], 2))
    assert found == {"l1": pytest.approx(sum(expected) / 3, rel=1e-6)}
    assert unlabelled["l1"] > found["l1"] + 1e-4


def test_a_u_net_is_judged_by_every_example_alike():
    """The last batch is smaller; each example has the same chance every time, and none of training's."""
    pipe = tiny_pipeline()
    task = MotionTask(pipe)
    labels = ["surprise", "anger", ""]
    held_out = [MotionSample(torch.rand(3, 32, 32), torch.randn(3, 4, 8, 8), label) for label in labels]
    with torch.no_grad(), task.average.in_place():
        found = task.judge(HeldOut(held_out, [], [], 2))
        assert task.judge(HeldOut(held_out, [], [], 2)) == found
        losses = [
            task.module(*task.arguments(default_collate([sample]), [VALIDATION_DRAWS + i])).item()
            for i, sample in enumerate(held_out)
        ]
    assert max(losses) - min(losses) > 1e-3
    assert found == {"loss": pytest.approx(sum(losses) / 3, rel=1e-5)}


def test_frame_autoencoder_loss():
    """Latents are drawn from their distribution; KL is summed over a picture's latents and averaged over pictures."""
    vae, pictures = tiny_vae(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        found = vae.encode(2 * pictures - 1).latent_dist
        noise = torch.randn(found.mean.shape)
        losses = FrameAutoencoderLoss(vae, PixelPyramidLoss(), kl_weight=0.5)(pictures, noise)
        decoded = vae.decode(found.mean + found.var.sqrt() * noise).sample
        kl = 0.5 * (found.mean**2 + found.var - 1 - found.var.log()).sum(dim=(1, 2, 3))
        plain = vae.decode(found.mean).sample
    torch.testing.assert_close(losses["reconstruction"], PixelPyramidLoss()(decoded / 2 + 0.5, pictures))
    assert abs(PixelPyramidLoss()(plain / 2 + 0.5, pictures) - losses["reconstruction"]) > 1e-3
    torch.testing.assert_close(losses["kl"], 0.5 * kl.mean())


class MeanError(nn.Module):
    def forward(self, picture: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (picture - target).abs().mean()


def test_picture_losses():
    """Errors count by 1 + motion_weight |driving - reference|, scaled to a mean of 1; the decoder's own picture by its weight."""
    reference, driving = torch.zeros(1, 3, 4, 8), torch.zeros(1, 3, 4, 8)
    driving[..., 4:] = 0.5  # the right half moves: weights 1 and 3, scaled to 1/2 and 3/2
    off = torch.zeros(1, 3, 4, 8)
    off[..., 4:] = 0.1
    output = DecodedFrames(sample=driving + off, inpainted=driving + 0.2)
    found = picture_losses(MeanError(), output, reference, driving, inpainted_weight=0.25, motion_weight=4.0)
    assert found["reconstruction"].item() == pytest.approx(0.5 * 1.5 * 0.1)
    assert found["inpainted"].item() == pytest.approx(0.25 * 0.2)
    plain = picture_losses(MeanError(), output, reference, driving, inpainted_weight=0, motion_weight=0)
    assert plain.keys() == {"reconstruction"} and plain["reconstruction"].item() == pytest.approx(0.5 * 0.1)


def test_concentration_loss():
    """Two regions, one of them wider than it may be; each near the other by a distance of d."""
    covar = torch.zeros(1, 2, 2, 2)
    covar[0, 0] = torch.diag(torch.tensor([0.3, 0.1]))
    regions = RegionParameters(shift=torch.tensor([[[0.0, 0.0], [SEPARATE, 0.0]]]), covar=covar)
    spread = (0.4 - 2 * CONCENTRATED**2) / 2  # the mean of it and 0
    assert concentration_loss(regions).item() == pytest.approx(spread + math.exp(-0.5) / 10, rel=1e-5)


def test_running_statistics_must_be_finite():
    norm = nn.BatchNorm2d(2)
    require_finite(norm, 3)
    norm.running_var[1] = torch.nan
    with pytest.raises(FloatingPointError, match="running_var is not finite after step 3"):
        require_finite(norm, 3)
