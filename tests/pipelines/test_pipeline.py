"""The pipeline: every argument, every scheduler, reproducibility, errors."""

from __future__ import annotations

import logging
from fractions import Fraction

import av
import diffusers
import numpy as np
import PIL.Image
import pytest
import torch
from diffusers.utils import export_to_video
from peft import LoraConfig
from safetensors.torch import load_file
from tiny import LABELS, TEXT_DIM, tiny_image, tiny_label_embeddings, tiny_lfae, tiny_pipeline, tiny_unet

from lfdm_diffusers import LFDMPipeline, LFDMPipelineOutput, UNet3DVideoModel
from lfdm_diffusers.data.picture_fitting import fit_picture
from lfdm_diffusers.models.text_encoders import embed_text
from lfdm_diffusers.pipelines.motion import volume_to_motion
from lfdm_diffusers.schedulers import check_scheduler, released_scheduler


@pytest.fixture
def pipe() -> LFDMPipeline:
    return tiny_pipeline()


@pytest.fixture(scope="module")
def unchanged() -> LFDMPipeline:
    """For calls that are refused: they leave nothing behind."""
    return tiny_pipeline()


def call(pipe: LFDMPipeline, seed: int = 0, **options) -> LFDMPipelineOutput:
    arguments = {
        "image": tiny_image(),
        "prompt": "anger",
        "num_inference_steps": 2,
        "generator": torch.Generator().manual_seed(seed),
        "output_type": "pt",
    }
    return pipe(**{**arguments, **options})


class OracleUNet(UNet3DVideoModel):
    """Predicts exactly what leads to the volume `clean`, so every fitting scheduler must arrive there."""

    def forward(self, sample, timestep, *args, **kwargs):
        if self.config.prediction_type == "flow_prediction":  # noise - clean, where sample = t noise + (1 - t) clean
            return ((sample - self.clean) / (timestep.double() / 1000).float(),)
        # Some schedulers ask for times between those trained: there the logarithm of sigma is interpolated, as they do it.
        log_sigmas = ((1 - self.alphas) / self.alphas).log() / 2
        before, share = int(timestep), float(timestep) % 1
        log_sigma = log_sigmas[before]
        if share:
            log_sigma = torch.lerp(log_sigma, log_sigmas[before + 1], share)
        alpha = 1 / (1 + (2 * log_sigma).exp())
        epsilon = (sample.double() - alpha.sqrt() * self.clean) / (1 - alpha).sqrt()
        if self.config.prediction_type == "v_prediction":
            epsilon = alpha.sqrt() * epsilon - (1 - alpha).sqrt() * self.clean
        return (epsilon.float(),)


def distance_from_known(
    scheduler, steps: int | None, frames: int = 4, prediction: str = "epsilon", alphas: torch.Tensor | None = None
) -> float:
    """How far the volume is, at most, from the one that an exact network points to."""
    # Trained on so many frames, for the oracle sees them all at once.
    config = tiny_unet(block_out_channels=(8,), prediction_type=prediction, num_frames=frames).config
    unet = OracleUNet(**config).eval()
    unet.clean = 0.8 * torch.sin(torch.arange(3 * frames * 8 * 8) * 0.37).reshape(1, 3, frames, 8, 8)
    unet.alphas = (released_scheduler().alphas_cumprod if alphas is None else alphas).double()
    pipe = tiny_pipeline(unet=unet, scheduler=scheduler)
    found = call(pipe, num_inference_steps=steps, num_frames=frames, output_type="latent").frames
    return (found - unet.clean).abs().max().item()


def test_output_is_the_picture_moved_by_its_own_motion(pipe):
    output = call(pipe, prompt=["anger", "surprise"])
    assert output.frames.shape == output.warped.shape == (2, 4, 3, 32, 32)
    assert output.flow.shape == (2, 4, 2, 8, 8)
    assert output.occlusion.shape == (2, 4, 1, 8, 8)
    assert output.frames.min() >= 0 and output.frames.max() <= 1
    assert output.occlusion.min() >= 0 and output.occlusion.max() <= 1
    motion = (x.transpose(1, 2) for x in (output.flow, output.occlusion))
    with torch.no_grad():
        expected = pipe.lfae.decode(pipe.lfae.encode(tiny_image().expand(2, -1, -1, -1)), *motion)
    for found, moved in ((output.frames, expected.sample), (output.warped, expected.warped)):
        torch.testing.assert_close(found, moved.transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_output_types_agree(pipe):
    tensor = call(pipe)
    array = call(pipe, output_type="np")
    pictures = call(pipe, output_type="pil")
    assert array.frames.shape == (1, 4, 32, 32, 3)
    np.testing.assert_allclose(array.frames, tensor.frames.permute(0, 1, 3, 4, 2).numpy(), atol=1e-6)
    assert isinstance(pictures.frames[0][0], PIL.Image.Image) and len(pictures.frames[0]) == 4
    np.testing.assert_allclose(np.asarray(pictures.frames[0][3]) / 255, array.frames[0, 3], atol=0.51 / 255)
    frames, flow, occlusion, warped = call(pipe, return_dict=False)
    for value, expected in zip((frames, flow, occlusion, warped), tensor.to_tuple()):
        torch.testing.assert_close(value, expected)


def test_latent_output_decodes_to_the_same_video(pipe):
    video = call(pipe)
    latent = call(pipe, output_type="latent")
    assert latent.frames.shape == (1, 3, 4, 8, 8) and latent.warped is None
    torch.testing.assert_close(latent.flow, video.flow)
    with torch.no_grad():
        decoded = pipe.decode_latents(latent.frames, pipe.encode_image(tiny_image()))
    torch.testing.assert_close(decoded.frames, video.frames)


def test_generators_reproduce(pipe):
    torch.testing.assert_close(call(pipe).frames, call(pipe).frames)
    assert (call(pipe).frames - call(pipe, seed=1).frames).abs().max() > 1e-3


def test_batch_equals_singles(pipe):
    pictures = [tiny_image(), tiny_image().flip(1)]
    generators = [torch.Generator().manual_seed(s) for s in (3, 4)]
    both = call(pipe, image=pictures, prompt=["anger", "surprise"], generator=generators)
    for row, (picture, label) in enumerate(zip(pictures, ["anger", "surprise"])):
        single = call(pipe, image=picture, prompt=label, seed=3 + row)
        for name in ("frames", "flow", "occlusion", "warped"):
            torch.testing.assert_close(single[name], both[name][row : row + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "pictures,prompts,videos", [(1, 3, 1), (3, 1, 1), (2, 2, 2), (1, 1, 3), (2, 1, 2), (3, None, 1)]
)
def test_pictures_and_prompts_broadcast(pipe, pictures, prompts, videos):
    images = [tiny_image().roll(k, 2) for k in range(pictures)]
    labels = None if prompts is None else list(LABELS[:prompts])
    count = max(pictures, prompts or 1) * videos
    generators = [torch.Generator().manual_seed(s) for s in range(count)]
    output = call(pipe, image=images, prompt=labels, num_videos_per_prompt=videos, generator=generators)
    assert output.frames.shape[0] == count
    # The last video is that of the last picture and the last prompt.
    label = None if labels is None else labels[-1]
    last = call(pipe, image=images[-1], prompt=label, seed=count - 1)
    torch.testing.assert_close(output.frames[-1:], last.frames, rtol=1e-4, atol=1e-5)


def test_videos_of_a_picture_follow_each_other(pipe):
    """Pictures are repeated one by one, with what the U-Net and the decoder are given of each."""
    pictures = [tiny_image(), tiny_image().flip(1)]
    generators = [torch.Generator().manual_seed(s) for s in range(4)]
    videos = call(pipe, image=pictures, prompt="anger", num_videos_per_prompt=2, generator=generators)
    for row in range(4):
        single = call(pipe, image=pictures[row // 2], prompt="anger", seed=row)
        for name in ("frames", "flow", "warped"):
            torch.testing.assert_close(videos[name][row : row + 1], single[name], rtol=1e-4, atol=1e-5)


def test_pictures_and_prompts_must_pair_up(pipe):
    with pytest.raises(ValueError, match="`image` holds 2 pictures and `prompt` 3 prompts"):
        call(pipe, image=[tiny_image()] * 2, prompt=list(LABELS))


def test_the_picture_is_encoded_and_projected_once(pipe):
    calls = []
    pipe.lfae.conv_in.register_forward_hook(lambda *_: calls.append("encode"))
    pipe.unet.conv_image.register_forward_hook(lambda *_: calls.append("project"))
    call(pipe, num_inference_steps=5, prompt=list(LABELS))
    assert calls == ["encode", "project"]


def test_guidance(pipe):
    torch.manual_seed(0)
    latents = torch.randn(1, 3, 4, 8, 8)
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, thresholding=False)
    options = {"latents": latents, "num_inference_steps": 1, "eta": 0.0, "output_type": "latent"}
    conditional = call(pipe, guidance_scale=1.0, **options).frames
    null = call(pipe, guidance_scale=0.0, **options).frames
    guided = call(pipe, guidance_scale=3.0, **options).frames
    torch.testing.assert_close(call(pipe, prompt=None, **options).frames, null)
    torch.testing.assert_close(call(pipe, prompt=None, guidance_scale=3.0, **options).frames, null)
    # One step of DDIM without thresholding is linear in the prediction. (From the noisiest step, which enlarges rounding thousands of times.)
    expected = null + 3 * (conditional - null)
    assert (guided - expected).norm() < 1e-4 * (guided - conditional).norm()
    assert (guided - conditional).abs().max() > 1e-2


def test_guidance_goes_away_from_a_negative_prompt(pipe):
    seen = []
    pipe.unet.register_forward_pre_hook(lambda _, args, kwargs: seen.append((args[2], kwargs)), with_kwargs=True)
    options = {"num_inference_steps": 1, "output_type": "latent"}
    away = call(pipe, guidance_scale=3.0, negative_prompt="surprise", **options).frames
    (embeds, others), (surprise,), (anger,) = seen[0], pipe.encode_prompt("surprise"), pipe.encode_prompt("anger")
    assert torch.equal(embeds, torch.cat((surprise, anger))) and not others["null_mask"].any()
    assert not torch.equal(away, call(pipe, guidance_scale=3.0, **options).frames)
    two = call(pipe, prompt=["anger"] * 2, negative_prompt=["surprise", "happiness"], guidance_scale=3.0, latents=None,
               generator=[torch.Generator().manual_seed(0) for _ in range(2)], **options).frames  # fmt: skip
    torch.testing.assert_close(two[:1], away)


def test_a_call_says_what_it_does_and_stops_when_told(pipe):
    assert (pipe.guidance_scale, pipe.interrupt, pipe.num_timesteps, pipe.current_timestep) == (1.0, False, 0, None)
    steps = []

    def tell(pipe, i, t, tensors):
        steps.append(i)
        pipe.interrupt = i == 2
        return {}

    call(pipe, num_inference_steps=6, guidance_scale=2.0, callback_on_step_end=tell)
    assert steps == [0, 1, 2] and pipe.guidance_scale == 2.0 and pipe.interrupt


def test_names_of_diffusers(pipe):
    mask = torch.eye(32)
    torch.testing.assert_close(call(pipe, mask_image=mask).frames, call(pipe, motion_mask=mask).frames)
    clip = torch.rand(3, 3, 32, 32)
    assert torch.equal(pipe.transfer(tiny_image(), video=clip).flow, pipe.transfer(tiny_image(), clip).flow)
    with pytest.raises(ValueError, match="`driving` must be the frames of a clip, got None"):
        pipe.transfer(tiny_image())


def test_frames_are_what_diffusers_exports(pipe, tmp_path):
    """With imageio where `.[video]` is installed; with OpenCV, which `.[test]` has, else."""
    (frames,) = call(pipe, output_type="pil").frames
    path = export_to_video(frames, str(tmp_path / "clip.mp4"), fps=10)
    with av.open(path) as container:
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(read) == 4 and read[0].shape == (32, 32, 3)
    assert np.abs(read[0].astype(int).mean() - np.asarray(frames[0]).mean()) < 8


@pytest.mark.parametrize("prefix", ["", "unet."])
def test_lora(pipe, tmp_path, prefix):
    other = tiny_unet()
    other.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    other.save_lora_adapter(tmp_path)
    source = tmp_path
    if prefix:  # as diffusers' own scripts name them
        source = {
            f"{prefix}{key}": value for key, value in load_file(tmp_path / "pytorch_lora_weights.safetensors").items()
        }
    before = call(pipe).frames
    pipe.load_lora_weights(source, adapter_name="mine")
    adapted = call(pipe).frames
    assert not torch.equal(adapted, before) and pipe.get_active_adapters() == ["mine"]
    pipe.set_adapters("mine", 0.0)
    torch.testing.assert_close(call(pipe).frames, before)
    pipe.set_adapters("mine", 1.0)
    pipe.fuse_lora()
    torch.testing.assert_close(call(pipe).frames, adapted, rtol=0, atol=1e-4)
    pipe.unfuse_lora()
    pipe.unload_lora_weights()
    torch.testing.assert_close(call(pipe).frames, before, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"takes adapters of this U-Net's layers, got nowhere\.lora_A\.weight"):
        pipe.load_lora_weights({"nowhere.lora_A.weight": torch.zeros(2, 2)})


def test_guidance_is_one_batched_pass(pipe):
    batches = []
    pipe.unet.register_forward_pre_hook(lambda _, args: batches.append(args[0].shape[0]))
    call(pipe, guidance_scale=2.0, num_inference_steps=3)
    assert batches == [2, 2, 2]


@pytest.mark.parametrize(
    "name,options,tolerance",
    [
        ("DDPMScheduler", {}, 1e-5),
        ("DDIMScheduler", {}, 1e-5),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}, 1e-5),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, 0.05),
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}, 0.05),
        ("DPMSolverSinglestepScheduler", {}, 1e-5),
        ("UniPCMultistepScheduler", {}, 1e-5),
        ("UniPCMultistepScheduler", {"use_karras_sigmas": True}, 0.05),
        ("DEISMultistepScheduler", {}, 0.05),  # these four end at the first step trained, which has some noise left
        ("PNDMScheduler", {"timestep_spacing": "leading", "steps_offset": 1, "skip_prk_steps": True}, 0.05),
        ("TCDScheduler", {}, 0.05),
        ("SASolverScheduler", {}, 0.05),
        ("EulerDiscreteScheduler", {}, 1e-5),
        ("EulerAncestralDiscreteScheduler", {}, 1e-5),
        ("HeunDiscreteScheduler", {}, 1e-4),
        ("KDPM2DiscreteScheduler", {}, 1e-5),
        ("LMSDiscreteScheduler", {}, 1e-4),
        ("LCMScheduler", {}, 1e-5),
        ("DPMSolverSDEScheduler", {}, 1e-5),
    ],
)
def test_schedulers_arrive_where_an_exact_network_points(name, options, tolerance):
    scheduler = getattr(diffusers, name).from_config(released_scheduler().config, **options)
    assert distance_from_known(scheduler, steps=10) < tolerance


@pytest.mark.parametrize("steps", [1, 2, 5, 6, 7, 8, 10, 14, 100])
def test_ddim_with_full_noise_arrives_at_any_step_count(steps):
    """In float32, 1 - alpha' - sigma^2 came out negative at t = 999 for 5 to 8 and 14 steps, and the video as NaN."""
    ddim = diffusers.DDIMScheduler.from_config(released_scheduler().config)
    # A single step divides by sqrt(alpha) = 5e-5; 6 and 7 steps end at the first step trained, which has some noise left.
    assert distance_from_known(ddim, steps, frames=2) < (0.05 if steps in (1, 6, 7) else 1e-5)


def test_swapping_schedulers_keeps_betas_and_thresholding(pipe):
    ddim = diffusers.DDIMScheduler.from_config(pipe.scheduler.config)
    torch.testing.assert_close(ddim.betas, pipe.scheduler.betas)
    assert ddim.config.thresholding and ddim.config.sample_max_value == 1e9


def test_ddim_with_all_steps_and_full_noise_is_ddpm():
    """With eta 1 and re-derived noise, DDIM's step is DDPM's posterior."""
    ddpm = released_scheduler()
    ddim = diffusers.DDIMScheduler.from_config(ddpm.config, set_alpha_to_one=True)
    eps, x = torch.randn(2, 1, 3, 4, 8, 8).unbind(0)
    for timestep in (999, 500, 10):
        for scheduler in (ddpm, ddim):
            scheduler.set_timesteps(1000)
        options = {"eta": 1.0, "use_clipped_model_output": True, "generator": torch.Generator().manual_seed(0)}
        a = ddpm.step(eps, timestep, x, generator=torch.Generator().manual_seed(0)).prev_sample
        torch.testing.assert_close(ddim.step(eps, timestep, x, **options).prev_sample, a, rtol=1e-3, atol=1e-3)


def test_v_prediction_equals_epsilon_prediction_of_the_same_network():
    """A network whose v is known from its epsilon must give the same video."""

    class VelocityUNet(UNet3DVideoModel):
        def forward(self, sample, timestep, *args, **kwargs):
            epsilon = super().forward(sample, timestep, *args, **kwargs)[0]
            alpha = alphas[timestep]
            return ((epsilon - (1 - alpha).sqrt() * sample) / alpha.sqrt(),)

    options = {"num_inference_steps": 4, "output_type": "latent"}
    pipe = tiny_pipeline(scheduler=diffusers.DDIMScheduler.from_config(released_scheduler().config))
    expected = call(pipe, **options).frames
    alphas = pipe.scheduler.alphas_cumprod
    velocity = VelocityUNet(**{**pipe.unet.config, "prediction_type": "v_prediction"}).eval()
    velocity.load_state_dict(pipe.unet.state_dict())
    scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, prediction_type="v_prediction")
    video = call(tiny_pipeline(unet=velocity, scheduler=scheduler), **options).frames
    # The first step divides by sqrt(alpha) = 5e-5, so its v is ill conditioned.
    torch.testing.assert_close(video, expected, rtol=1e-2, atol=1e-2)


def test_flow_matching_is_refused_unless_trained_for(pipe):
    flow_matching = diffusers.FlowMatchEulerDiscreteScheduler()
    pipe.scheduler = flow_matching
    with pytest.raises(ValueError, match=r"`scheduler` is FlowMatchEulerDiscreteScheduler.*flow-matching.*'epsilon'"):
        call(pipe)
    assert distance_from_known(flow_matching, steps=4, prediction="flow_prediction") < 1e-5
    with pytest.raises(ValueError, match="was trained by flow matching"):
        check_scheduler(released_scheduler(), "flow_prediction")


def test_another_prediction_type_is_warned_of(pipe, caplog):
    logging.getLogger("lfdm_diffusers").propagate = True
    pipe.scheduler = released_scheduler(prediction_type="v_prediction")
    call(pipe)
    assert "expects predictions of type 'v_prediction'; this U-Net was trained for 'epsilon'" in caplog.text


def test_default_number_of_steps():
    steps = []

    def count(pipe, i, t, tensors):
        steps.append(i)
        pipe._interrupt = True
        return {}

    pipe = tiny_pipeline(default_num_inference_steps=3)
    call(pipe, num_inference_steps=None, callback_on_step_end=count)
    assert pipe.num_timesteps == 3
    for scheduler, expected in ((released_scheduler(), 1000), (diffusers.DDIMScheduler(), 100)):
        pipe = tiny_pipeline(scheduler=scheduler)
        call(pipe, num_inference_steps=None, callback_on_step_end=count)
        assert pipe.num_timesteps == expected


def test_guidance_by_default_is_kept_with_the_pipeline(tmp_path):
    tiny_pipeline(default_guidance_scale=3.0).save_pretrained(tmp_path)
    pipe = LFDMPipeline.from_pretrained(tmp_path)
    assert (
        pipe.config.default_guidance_scale == 3 and "guidance_scale=3" in pipe.sampling_facts()["sampling by default"]
    )
    found, guided, plain = (call(pipe, guidance_scale=scale).frames for scale in (None, 3.0, 1.0))
    torch.testing.assert_close(found, guided, rtol=0, atol=0)
    assert not torch.equal(found, plain)
    call(pipe, prompt="anger", negative_prompt="surprise")
    assert (pipe.guidance_scale, tiny_pipeline().default_guidance()) == (3.0, 1.0)


def test_callbacks_change_latents_and_interrupt(pipe):
    seen = []

    def zero_at_last(pipe, i, t, tensors):
        seen.append((i, int(t), sorted(tensors)))
        return {"latents": torch.zeros_like(tensors["latents"])} if i == pipe.num_timesteps - 1 else {}

    output = call(
        pipe,
        output_type="latent",
        callback_on_step_end=zero_at_last,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    )
    assert output.frames.abs().sum() == 0
    assert [i for i, _, _ in seen] == [0, 1] and seen[0][2] == ["latents", "prompt_embeds"]

    steps = []

    def stop(pipe, i, t, tensors):
        steps.append(i)
        pipe._interrupt = i == 1
        return {}

    call(pipe, num_inference_steps=5, callback_on_step_end=stop)
    assert steps == [0, 1]


def test_callbacks_change_the_text(pipe):
    (other,) = pipe.encode_prompt("surprise")
    seen = []
    pipe.unet.register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    call(
        pipe,
        callback_on_step_end=lambda *_: {"prompt_embeds": other},
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    )
    torch.testing.assert_close(seen[0], pipe.encode_prompt("anger")[0])
    torch.testing.assert_close(seen[1], other)


def test_callback_tensors_are_checked(pipe):
    with pytest.raises(ValueError, match="`callback_on_step_end_tensor_inputs` must be among"):
        call(pipe, callback_on_step_end_tensor_inputs=["nonsense"])


def test_decode_chunk_size_changes_nothing(pipe):
    torch.testing.assert_close(call(pipe).frames, call(pipe, decode_chunk_size=1).frames)


@pytest.mark.parametrize("frames", [1, 3, 9])
def test_other_frame_counts(pipe, frames):
    assert distance_from_known(released_scheduler(), steps=4, frames=frames) < 1e-5
    latents = torch.randn(1, 3, frames, 8, 8)
    asked, given = (call(pipe, latents=latents, num_frames=count).frames for count in (frames, None))
    assert asked.shape[1] == frames
    torch.testing.assert_close(asked, given)


@pytest.mark.parametrize("fit", ["letterbox", "center_crop"])
def test_other_sizes(pipe, fit):
    """Motion is made at the trained size; the picture, fitted to the size that is asked for, is moved at that."""
    mask = torch.zeros(32, 32)
    mask[:, 16:] = 1
    options = {"image_fit": fit, "motion_mask": mask}
    output = call(pipe, height=39, width=56, **options)
    assert output.frames.shape == (1, 4, 3, 39, 56) and output.flow.shape[-2:] == (8, 8)
    fitted = fit_picture(tiny_image(), 39, 56, fit)
    options["motion_mask"] = fit_picture(mask.expand(3, -1, -1), 39, 56, fit)[0].clamp(0, 1)
    same = call(pipe, image=fitted, output_size="picture", **options)
    torch.testing.assert_close(output.frames, same.frames)
    assert not torch.equal(output.frames[0, 1], output.frames[0, 0])
    output = call(pipe, height=39, width=56, image_fit=fit)
    again = pipe.animate(tiny_image(), output.motion(), height=39, width=56, image_fit=fit, output_type="pt")
    torch.testing.assert_close(again.frames, output.frames)
    assert call(pipe, height=64, output_type="latent").frames.shape[-2:] == (16, 8)  # the volume itself


def test_size_comes_from_latents_then_from_training_then_from_the_picture():
    pipe = tiny_pipeline(unet=tiny_unet(sample_size=6))  # of places of 4 pixels, whatever the auto-encoder saw
    assert pipe.sample_size == 24 and call(pipe, image=torch.rand(3, 48, 40)).frames.shape[-2:] == (24, 24)
    assert tiny_pipeline(unet=tiny_unet(sample_size=None)).sample_size == 32
    pipe = tiny_pipeline(lfae=tiny_lfae(sample_size=None), unet=tiny_unet(sample_size=None))
    assert call(pipe, image=torch.rand(3, 48, 40)).frames.shape[-2:] == (48, 40)
    assert call(pipe, image=torch.rand(3, 48, 41)).frames.shape[-2:] == (128, 128)
    output = call(pipe, latents=torch.randn(1, 3, 2, 6, 8))
    assert output.frames.shape == (1, 2, 3, 24, 32)


def test_motion_scale(pipe):
    generated, doubled = call(pipe, motion_scale=1 + 1e-7), call(pipe, motion_scale=2.0)
    still = call(pipe, motion_scale=0.0)
    torch.testing.assert_close(doubled.flow - generated.flow, generated.flow - still.flow, rtol=1e-4, atol=1e-5)


def test_residual_flow_target_is_measured_from_stillness():
    latents = torch.randn(1, 3, 4, 8, 8)
    mean, std = (0.1, -0.2, 0.7), (0.05, 0.1, 0.2)
    config = tiny_unet(flow_target="residual", target_mean=mean, target_std=std).config
    flow, occlusion = volume_to_motion(torch.zeros_like(latents), config)
    assert flow[0, :, 0, 0, 0].tolist() == pytest.approx([-0.875 + 0.1, -0.875 - 0.2])
    assert flow[0, :, 0, -1, -1].tolist() == pytest.approx([0.875 + 0.1, 0.875 - 0.2])
    torch.testing.assert_close(occlusion, torch.full_like(occlusion, 0.7))
    moved, _ = volume_to_motion(latents, config)
    torch.testing.assert_close(moved - flow, latents[:, :2] * torch.tensor(std[:2]).view(1, 2, 1, 1, 1))


def test_absolute_flow_target_is_the_published_one(pipe):
    latents = torch.rand(1, 3, 4, 8, 8) * 2 - 1
    flow, occlusion = volume_to_motion(latents, pipe.unet.config)
    torch.testing.assert_close(flow, latents[:, :2])
    torch.testing.assert_close(occlusion, (latents[:, 2:] + 1) / 2)


def test_text_encoder_and_table_agree():
    pipe = tiny_pipeline(text_encoder=True, label_embeddings=False)
    with torch.no_grad():
        rows = embed_text(pipe.text_encoder, pipe.tokenizer, ["anger", "a face smiles"])
    _, short = pipe.encode_prompt(["a face smiles and waves", "anger"])[0]
    torch.testing.assert_close(short, rows[0], rtol=1e-4, atol=1e-5)  # padding does not leak
    table = type(tiny_label_embeddings()).from_text_encoder(["anger"], pipe.text_encoder, pipe.tokenizer)
    torch.testing.assert_close(table("Anger").text_embeds[0], rows[0], rtol=1e-4, atol=1e-5)
    (embeds,) = pipe.encode_prompt("anger")
    torch.testing.assert_close(call(pipe, prompt=None, prompt_embeds=embeds).frames, call(pipe).frames)


def test_free_text_goes_to_the_encoder_and_known_labels_to_the_table():
    pipe = tiny_pipeline(text_encoder=True)
    torch.testing.assert_close(pipe.encode_prompt(["anger"])[0], pipe.label_embeddings("anger").text_embeds)
    free = pipe.encode_prompt(["a face smiles"])[0]
    torch.testing.assert_close(free, embed_text(pipe.text_encoder, pipe.tokenizer, ["a face smiles"]))


def test_a_text_does_not_depend_on_its_neighbours():
    pipe = tiny_pipeline(text_encoder=True)
    texts = ["a face smiles", "anger", "the face", "surprise"]
    (together,) = pipe.encode_prompt(texts)
    for text, row in zip(texts, together):
        torch.testing.assert_close(pipe.encode_prompt(text)[0][0], row, rtol=1e-4, atol=1e-5)


def test_unknown_labels_name_the_closest(pipe):
    assert pipe.labels == list(LABELS)
    with pytest.raises(
        ValueError, match=r"Unknown label 'happyness'; the closest known one is 'happiness'.*anger, hap"
    ):
        call(pipe, prompt="happyness")
    torch.testing.assert_close(call(pipe, prompt="  ANGER ").frames, call(pipe).frames)


def test_prompt_without_any_text_component():
    pipe = tiny_pipeline(label_embeddings=False)
    with pytest.raises(ValueError, match="`prompt` needs either `label_embeddings` or both"):
        call(pipe)
    torch.testing.assert_close(call(pipe, prompt=None).frames, call(tiny_pipeline(), prompt=None).frames)


def test_batch_norm_uses_running_statistics_even_in_training():
    pipe = tiny_pipeline()
    expected = call(pipe).frames
    pipe.lfae.train()
    before = {k: v.clone() for k, v in pipe.lfae.state_dict().items()}
    torch.testing.assert_close(call(pipe).frames, expected)
    assert pipe.lfae.training
    for name, value in pipe.lfae.state_dict().items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(pipe, dtype):
    exact = call(pipe)
    half = call(pipe.to(dtype))
    assert half.flow.dtype == torch.float32 and torch.isfinite(half.frames).all()
    assert (half.frames - exact.frames).abs().mean() < 0.05


def test_progress_bar_counts_steps(capsys):
    pipe = tiny_pipeline()
    pipe.set_progress_bar_config(disable=False)
    call(pipe, num_inference_steps=4)
    assert "4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options,message",
    [
        ({"prompt": 3}, "`prompt` must be a string"),
        ({"prompt": []}, "`prompt` must be a string"),
        ({"prompt": ["anger", None]}, "`prompt` must be a string"),
        ({"prompt_embeds": torch.zeros(1, TEXT_DIM)}, "either `prompt` or `prompt_embeds`"),
        ({"prompt": None, "prompt_embeds": torch.zeros(1, 3)}, "`prompt_embeds` must have shape"),
        ({"num_frames": 0}, "`num_frames` must be a whole number of at least 1, got 0"),
        ({"num_inference_steps": 2.5}, "`num_inference_steps` must be a whole number"),
        ({"num_videos_per_prompt": -1}, "`num_videos_per_prompt` must be"),
        ({"decode_chunk_size": 0}, "`decode_chunk_size` must be"),
        (
            {"height": 33, "output_type": "latent"},
            "`height` must be a multiple of 8, got 33; the nearest are 32 and 40",
        ),
        ({"height": 64, "image_fit": "stretch"}, "`image_fit` must be one of"),
        (
            {"negative_prompt": "anger"},
            "`negative_prompt` is what guidance goes away from: .* other than 0 and 1, got 1.",
        ),
        (
            {"negative_prompt": ["anger"] * 2, "guidance_scale": 2.0},
            r"`negative_prompt` .* as many as prompts \(1\), got",
        ),
        ({"negative_prompt": "angri", "guidance_scale": 2.0}, "Unknown label 'angri'"),
        (
            {"motion_mask": torch.ones(4, 4), "mask_image": torch.ones(4, 4)},
            "`mask_image` is diffusers' name of `motion_mask`",
        ),
        ({"output_type": "mp4"}, "`output_type` must be"),
        ({"image_fit": "stretch"}, "`image_fit` must be one of"),
        ({"latents": torch.zeros(2, 3, 4, 8, 8)}, r"`latents` must have shape \(1, 3, 4, 8, 8\)"),
        ({"latents": torch.zeros(3, 4, 8, 8)}, r"`latents` must have shape"),
        ({"generator": [torch.Generator(), torch.Generator()]}, "`generator` must be one generator or a list of 1"),
        ({"generator": (torch.Generator(),)}, "`generator` must be a torch.Generator or a list"),
        ({"eta": 2.0}, "`eta` must be a finite number from 0 to 1, got 2.0"),
        ({"height": 0}, "`height` must be a whole number of at least 1"),
        ({"num_frames": True}, "`num_frames` must be a whole number"),
        ({"prompt_embeds": [1.0], "prompt": None}, "`prompt_embeds` must be a tensor"),
        ({"latents": torch.full((1, 3, 4, 8, 8), float("nan"))}, "`latents` must hold finite"),
        ({"callback_on_step_end_tensor_inputs": "latents"}, "`callback_on_step_end_tensor_inputs` must be a list"),
        ({"callback_on_step_end_tensor_inputs": [["latents"]]}, "`callback_on_step_end_tensor_inputs` must be among"),
        ({"callback_on_step_end": 1.0}, "`callback_on_step_end` must be a function or None, got 1.0"),
        ({"height": np.ones(2)}, "`height` must be a whole number"),
        ({"width": torch.ones(2)}, "`width` must be a whole number"),
        ({"output_size": np.ones(2)}, "`output_size` must be"),
        ({"output_type": np.ones(2)}, "`output_type` must be"),
        ({"motion_scale": float("nan")}, "`motion_scale` must be"),
        ({"guidance_scale": "high"}, "`guidance_scale` must be"),
        ({"num_inference_steps": 1001}, "1000"),
    ],
)
def test_bad_input_is_named(unchanged, options, message):
    with pytest.raises(ValueError, match=message):
        call(unchanged, **options)


def test_guidance_may_be_a_fraction(pipe):
    half, number = (call(pipe, guidance_scale=scale, output_type="pt").frames for scale in (Fraction(5, 2), 2.5))
    assert torch.equal(half, number)


def test_zero_terminal_snr_arrives():
    """These schedulers put 2^-24 in the place of the last product on purpose."""
    options = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    for name in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "DDIMScheduler"):
        scheduler = getattr(diffusers, name).from_config(released_scheduler().config, **options)
        alphas = scheduler.alphas_cumprod
        assert distance_from_known(scheduler, steps=5, prediction="v_prediction", alphas=alphas) < 1e-5


def test_schedulers_of_another_parameterisation_are_warned_of(pipe, caplog):
    logging.getLogger("lfdm_diffusers").propagate = True
    pipe.scheduler = diffusers.EDMEulerScheduler.from_config(pipe.scheduler.config)
    call(pipe)
    assert "EDMEulerScheduler has no noise schedule of its own" in caplog.text


def test_partly_frozen_batch_norm_stays_as_it_was(pipe):
    pipe.lfae.train()
    pipe.lfae.region_predictor.eval()
    call(pipe)
    assert pipe.lfae.training and pipe.lfae.up_blocks[0].norm.training
    assert not any(module.training for module in pipe.lfae.region_predictor.modules())


def test_layerwise_casting_with_guidance(pipe):
    exact = call(pipe, guidance_scale=2.0)
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    assert 0 < (call(pipe, guidance_scale=2.0).frames - exact.frames).abs().mean() < 0.1


def test_a_callback_that_ends_guidance_keeps_the_condition(pipe):
    """diffusers' own cutoff callback sets the scale to 0, which means "no more guidance" there."""
    callback = diffusers.callbacks.SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=0)
    pipe.unet.register_forward_pre_hook(lambda _, args: seen.append((args[0].shape[0], args[2] is None)))
    seen = []
    call(pipe, guidance_scale=2.0, num_inference_steps=3, callback_on_step_end=callback)
    assert seen == [(2, False), (1, False), (1, False)]


@pytest.mark.parametrize("number", [np.int64(2), np.int32(2)])
def test_numpy_numbers_are_numbers(pipe, number):
    names, scale = ("num_frames", "num_inference_steps", "decode_chunk_size"), np.float32(2.0)
    found = call(pipe, **dict.fromkeys(names, number), guidance_scale=scale).frames
    torch.testing.assert_close(found, call(pipe, **dict.fromkeys(names, 2), guidance_scale=2.0).frames)


def test_subclasses_may_order_their_arguments_as_they_like():
    class Mine(LFDMPipeline):
        def __init__(self, lfae, unet, scheduler=None, text_encoder=None, tokenizer=None, label_embeddings=None):
            super().__init__(lfae, unet, scheduler or released_scheduler(), text_encoder, tokenizer, label_embeddings)

    mine = Mine(tiny_lfae(), tiny_unet())
    mine.set_progress_bar_config(disable=True)
    torch.testing.assert_close(call(mine, prompt=None).frames, call(tiny_pipeline(), prompt=None).frames)


def test_ddpm_with_all_its_steps():
    """As many as it was trained with, 1,000, which is the default."""
    assert distance_from_known(released_scheduler(), steps=None) < 1e-4
