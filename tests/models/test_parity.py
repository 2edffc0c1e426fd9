"""Numbers of the released code for formula weights: see tests/reference.py for the formulas."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from diffusers.schedulers.scheduling_ddpm import betas_for_alpha_bar
from reference import golden, wave

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.conversion import convert_lfae_checkpoint, convert_unet_checkpoint
from lfdm_diffusers.metrics.feature_networks import VGGFeatures
from lfdm_diffusers.models.text_encoders import pool_text
from lfdm_diffusers.ops.warp import sampling_grid
from lfdm_diffusers.schedulers import released_scheduler
from lfdm_diffusers.training.equivariance import RandomTransform, equivariance_losses
from lfdm_diffusers.training.reconstruction_loss import PerceptualPyramidLoss

pytestmark = pytest.mark.parity
SMALL = reference.layout("small")


def close(value: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(value, expected.to(value.dtype), rtol=0, atol=tolerance)


def make_lfae():
    return convert_lfae_checkpoint(reference.lfae_checkpoint(SMALL), SMALL["model_params"])


def make_unet(variant: str = "unet_default", **options):
    return convert_unet_checkpoint(reference.unet_checkpoint(SMALL[variant]), **options)


def unet_inputs() -> dict[str, torch.Tensor]:
    volume = 0.9 * wave((2, 67, 6, 16, 16), 0.37, 0.2) + 0.4 * wave((2, 67, 6, 16, 16), 0.0113, 1.1)
    return {
        "sample": volume[:, :3],
        "image_latents": volume[:, 3:, 0],
        "text_embeds": 0.5 * wave((2, 768), 0.91, 0.7),
    }


@pytest.fixture(scope="module")
def lfae():
    return make_lfae()


@pytest.fixture(scope="module")
def unet():
    return make_unet()


@torch.no_grad()
def test_lfae_regions_background_and_anti_aliasing(lfae):
    expected = golden("lfae")
    source, driving = reference.source(), reference.driving()
    output = lfae(source, driving)
    for name, regions in (("src", output.reference_regions), ("drv", output.driving_regions)):
        for key in ("shift", "covar", "affine", "heatmap"):
            close(regions[key], expected[f"region_{name}_{key}"])
    close(lfae.background_predictor(source, driving), expected["bg_params"])
    close(lfae.flow_predictor.downsample(source), expected["antialias_source"])


@torch.no_grad()
def test_lfae_reconstruction(lfae):
    expected = golden("lfae")
    output = lfae(reference.source(), reference.driving())
    close(output.flow.permute(0, 2, 3, 1), expected["gen_optical_flow"])
    close(output.occlusion, expected["gen_occlusion_map"])
    close(output.warped, expected["gen_deformed"])
    close(output.sample, expected["gen_prediction"])
    close(lfae.encode(reference.source()).latent, expected["compute_fea"])


@torch.no_grad()
@pytest.mark.parametrize("clip", [False, True])
def test_lfae_decoding_of_a_given_flow(lfae, clip):
    expected = golden("lfae")
    flow, occlusion = expected["fwf_flow"].permute(0, 3, 1, 2), expected["fwf_occ"]
    encoded = lfae.encode(reference.source())
    if clip:  # the frame twice, decoded one at a time
        flow, occlusion = (x[:, :, None].repeat(1, 1, 2, 1, 1) for x in (flow, occlusion))
        decoded = lfae.decode(encoded, flow, occlusion, chunk_size=1)
        frames = [(decoded.sample[:, :, i], decoded.warped[:, :, i]) for i in range(2)]
    else:
        decoded = lfae.decode(encoded, flow, occlusion)
        frames = [(decoded.sample, decoded.warped)]
    for sample, warped in frames:
        close(sample, expected["fwf_prediction"])
        close(warped, expected["fwf_deformed"])


@torch.no_grad()
def test_unet(unet):
    expected = golden("unet")
    inputs = unet_inputs()
    close(unet(timestep=expected["t"], **inputs).sample, expected["cond"])
    close(unet(timestep=999, **inputs).sample, expected["cond_t999"])


@torch.no_grad()
def test_unet_parts(unet):
    expected = golden("unet")
    inputs = unet_inputs()
    close(unet.position_bias(6)[0], expected["rel_pos_bias"])
    close(unet.position_bias(40)[0], expected["rel_pos_bias_40"])
    close(unet.time_embedding(unet.time_proj(expected["t"])), expected["time_mlp"])
    # The split first convolution: the volume's share plus the picture's.
    probes = {}
    unet.temporal_in.register_forward_hook(lambda _, args, out: probes.update(conv_in=args[0], temporal_in=out))
    unet(timestep=expected["t"], **inputs)
    close(probes["conv_in"][:2].transpose(0, 1)[None], expected["init_conv"])
    close(probes["temporal_in"][:2].transpose(0, 1)[None], expected["init_temporal_attn"])


def test_schedule():
    expected = golden("diffusion")
    scheduler = released_scheduler()
    assert torch.equal(scheduler.betas, expected["betas"])
    close(scheduler.alphas_cumprod, expected["alphas_cumprod"], 1e-6)
    noisy = scheduler.add_noise(expected["q_x0"], expected["noise"], expected["q_t"])
    close(noisy, expected["q_sample"])


@pytest.mark.parametrize("timestep", [999, 500, 0])
def test_ddpm_step_with_dynamic_thresholding(timestep, monkeypatch):
    expected = golden("diffusion")
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *args, **kwargs: expected["noise"])
    scheduler = released_scheduler()
    scheduler.set_timesteps(1000)
    step = scheduler.step(expected["eps"], timestep, expected["x_t"])
    close(step.prev_sample, expected[f"p_sample_t{timestep}"])


def test_training_loss_and_gradient_of_the_unet(unet):
    expected = golden("diffusion")
    noisy = released_scheduler().add_noise(expected["q_x0"], expected["noise"], expected["q_t"])
    condition = {
        "image_latents": golden("lfae")["compute_fea"],
        "text_embeds": unet_inputs()["text_embeds"],
    }
    unet.zero_grad()
    prediction = unet(noisy, expected["q_t"], **condition).sample
    loss = torch.nn.functional.mse_loss(prediction, expected["noise"])
    close(loss, expected["unet_default_loss"])
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in unet.parameters() if p.grad is not None]).norm().item()
    assert norm == pytest.approx(expected["unet_default_gradnorm_total"].item(), rel=1e-4)
    # Dropping the first row's condition.
    with torch.no_grad():
        dropped = unet(noisy, expected["q_t"], null_mask=torch.tensor([True, False]), **condition).sample
    close(torch.nn.functional.mse_loss(dropped, expected["noise"]), expected["unet_default_loss_none_first"])


@pytest.mark.parametrize("output_type", ["latent", "pt"])
def test_sampling_end_to_end(lfae, unet, monkeypatch, output_type):
    expected = golden("sampling")
    noises = iter(expected["noises"][1:])
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *args, **kwargs: next(noises))
    pipe = LFDMPipeline(lfae, unet, released_scheduler(betas_for_alpha_bar(8, max_beta=0.9999)))
    pipe.set_progress_bar_config(disable=True)
    output = pipe(
        reference.source()[:1],
        prompt_embeds=expected["cond"],
        latents=expected["noises"][0],
        output_type=output_type,
    )
    if output_type == "latent":
        close(output.frames, expected["ddpm8_latent"], 2e-4)
    else:
        close(output.frames.transpose(1, 2), expected["ddpm8_video"], 2e-4)
        close(output.warped[:, 3], expected["ddpm8_warped_frame3"], 2e-4)


def gradient_norms(model: torch.nn.Module) -> list[float]:
    """Of generator (with flow predictor), region predictor and background predictor."""
    norms = {"region_predictor": 0.0, "background_predictor": 0.0, "generator": 0.0}
    for name, parameter in model.named_parameters():
        module = name.split(".")[0]
        if parameter.grad is not None:
            norms[module if module in norms else "generator"] += parameter.grad.norm().item() ** 2
    return [norms[name] ** 0.5 for name in ("generator", "region_predictor", "background_predictor")]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_equivariance_losses(mode):
    expected = golden("stage1")
    lfae = make_lfae().train(mode == "train")
    transform = RandomTransform(expected["theta"], expected["control_params"])
    picture = transform.warp_picture(reference.driving())
    output = lfae(reference.source(), reference.driving())
    transformed = lfae.region_predictor(picture)
    shift, affine = equivariance_losses(output.driving_regions, transformed, transform)
    # Batch statistics make train-mode values ill conditioned.
    tolerance = 1e-4 if mode == "eval" else 5e-4
    close(shift, expected[f"{mode}_equivariance_shift"], tolerance)
    close(affine, expected[f"{mode}_equivariance_affine"], tolerance)
    (shift + affine).backward()
    relative = 1e-4 if mode == "eval" else 2e-2
    np.testing.assert_allclose(gradient_norms(lfae), expected[f"{mode}_gradnorm_grb"], rtol=relative, atol=1e-6)
    if mode == "eval":
        close(picture, expected["transformed_frame"])
        close(transformed.shift, expected["transformed_shift"])
        close(transformed.affine, expected["transformed_affine"])
    else:
        close(output.sample, expected["train_gen_prediction"], 1e-3)
        close(lfae.conv_in.norm.running_mean, expected["train_first_running_mean_after"])
        close(lfae.conv_in.norm.running_var, expected["train_first_running_var_after"])


def test_perceptual_loss(lfae):
    expected = golden("stage1")
    features = VGGFeatures(19)
    features.load_state_dict({k: reference.weight(k, tuple(v.shape)) for k, v in features.state_dict().items()})
    lfae.zero_grad()
    output = lfae(reference.source(), reference.driving())
    loss = PerceptualPyramidLoss(features, scales=(1.0, 0.5))(output.sample, reference.driving())
    assert loss.item() == pytest.approx(expected["eval_vggrecipe_perceptual"].item(), rel=1e-5)
    transform = RandomTransform(expected["theta"], expected["control_params"])
    transformed = lfae.region_predictor(transform.warp_picture(reference.driving()))
    (loss + sum(equivariance_losses(output.driving_regions, transformed, transform))).backward()
    np.testing.assert_allclose(gradient_norms(lfae), expected["eval_vggrecipe_gradnorm_grb"], rtol=2e-4)


def test_text_pooling_leaves_out_cls_and_padding():
    hidden = torch.tensor([[[100.0], [1.0], [2.0], [6.0]], [[100.0], [1.0], [4.0], [50.0]]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    close(pool_text(hidden, mask), torch.tensor([[3.0], [2.5]]), 1e-6)


def test_sampling_grid_has_its_corners_at_one():
    grid = sampling_grid(3, 5)
    assert grid[0, 0].tolist() == [-1, -1]
    assert grid[2, 4].tolist() == [1, 1]
    assert grid[1, 3].tolist() == [0.5, 0]
