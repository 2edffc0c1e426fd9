"""The pipelines that LFDM is compared with, VDM, LDM and ImaGINator: one calling convention, saved, loaded and evaluated alike."""

from __future__ import annotations

import copy
import json

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler
from tiny import (
    LABELS,
    NUM_FRAMES,
    TEXT_DIM,
    tiny_baseline,
    tiny_image,
    tiny_label_embeddings,
    tiny_text_encoder,
    tiny_unet,
)

from lfdm_diffusers.cli import main
from lfdm_diffusers.data.picture_fitting import fit_picture
from lfdm_diffusers.pipelines import PIPELINES, FrameDiffusionPipeline, ImageToVideoPipeline

NAMES = ("vdm", "ldm", "imaginator")
DENOISING = NAMES[:2]


@pytest.fixture(params=NAMES)
def pipe(request) -> ImageToVideoPipeline:
    return tiny_baseline(request.param)


@pytest.fixture(scope="module", params=NAMES)
def unchanged(request) -> ImageToVideoPipeline:
    """For calls that are refused: they leave nothing behind."""
    return tiny_baseline(request.param)


@pytest.fixture(params=DENOISING)
def denoising(request) -> FrameDiffusionPipeline:
    return tiny_baseline(request.param)


def call(pipe: ImageToVideoPipeline, seed: int = 0, **options) -> torch.Tensor:
    if isinstance(pipe, FrameDiffusionPipeline):
        options = {"num_inference_steps": 2} | options
    options = {"output_type": "pt", "generator": torch.Generator().manual_seed(seed)} | options
    return pipe(options.pop("image", tiny_image()), options.pop("prompt", LABELS[0]), **options).frames


def test_output_types_agree(pipe):
    tensor, array, pictures = (call(pipe, output_type=kind) for kind in ("pt", "np", "pil"))
    assert tensor.shape == (1, NUM_FRAMES, 3, 32, 32) and 0 <= tensor.min() < tensor.max() <= 1
    np.testing.assert_array_equal(array, tensor.permute(0, 1, 3, 4, 2).numpy())
    assert len(pictures) == 1 and len(pictures[0]) == NUM_FRAMES
    np.testing.assert_array_equal(np.asarray(pictures[0][1]), (array[0, 1] * 255).round().astype("uint8"))
    frames = call(pipe, return_dict=True)
    torch.testing.assert_close(frames, tensor)


def test_noise_picture_and_label_decide(pipe):
    video = call(pipe)
    assert torch.equal(video, call(pipe))
    for changed in ({"seed": 1}, {"prompt": LABELS[1]}, {"prompt": None}, {"image": tiny_image().flip(0)}):
        assert not torch.equal(video, call(pipe, **changed)), changed


def test_batches_are_as_singles(pipe):
    pictures, generators = [tiny_image(), tiny_image().flip(0)], [torch.Generator().manual_seed(s) for s in range(4)]
    videos = call(pipe, image=pictures, prompt=list(LABELS[:2]), generator=generators, num_videos_per_prompt=2)
    assert len(videos) == 4
    single = call(pipe, seed=3, image=pictures[1], prompt=LABELS[1])
    torch.testing.assert_close(videos[3:], single, atol=1e-4, rtol=0)


def test_prompt_embeds_and_free_text():
    encoder, tokenizer = tiny_text_encoder()
    for name in NAMES:
        pipe = tiny_baseline(name, text_encoder=encoder, tokenizer=tokenizer)
        embeds = pipe.encode_prompt(LABELS[0])[0]
        assert torch.equal(call(pipe), call(pipe, prompt=None, prompt_embeds=embeds))
        assert not torch.equal(call(pipe), call(pipe, prompt="a face smiles"))


def test_saved_and_loaded(pipe, tmp_path):
    expected = call(pipe)
    pipe.save_pretrained(tmp_path)
    for cls in (DiffusionPipeline, type(pipe)):
        loaded = cls.from_pretrained(tmp_path)
        assert type(loaded) is type(pipe)
        loaded.set_progress_bar_config(disable=True)
        torch.testing.assert_close(call(loaded), expected)
    half = type(pipe).from_pretrained(tmp_path, dtype=torch.bfloat16)
    half.set_progress_bar_config(disable=True)
    assert (call(half) - expected).abs().mean() < 0.05


def test_every_pipeline_is_known_by_name(pipe):
    assert PIPELINES[type(pipe).__name__] is type(pipe)


def test_another_scheduler_arrives_where_an_exact_network_points(denoising, monkeypatch):
    scheduler = DPMSolverMultistepScheduler.from_config(denoising.scheduler.config)
    places = denoising.unet.config.sample_size
    clean = 0.8 * torch.sin(torch.arange(3 * NUM_FRAMES * places**2) * 0.37).reshape(1, 3, NUM_FRAMES, places, places)

    def exact(sample: torch.Tensor, timestep: torch.Tensor, *args, **kwargs) -> tuple[torch.Tensor]:
        alpha = scheduler.alphas_cumprod[int(timestep)].double()
        return (((sample - alpha.sqrt() * clean) / (1 - alpha).sqrt()).float(),)

    denoising.scheduler = scheduler
    monkeypatch.setattr(denoising.unet, "forward", exact)
    latents = call(denoising, num_inference_steps=4, output_type="latent")
    torch.testing.assert_close(latents, clean, rtol=0, atol=1e-4)
    video = denoising.decode_latents(clean).transpose(1, 2)
    torch.testing.assert_close(call(denoising, num_inference_steps=4), video, rtol=0, atol=1e-4)


def test_what_only_denoising_has(denoising):
    video = call(denoising)
    guided = call(denoising, guidance_scale=3.0)
    assert not torch.equal(video, guided)
    torch.testing.assert_close(call(denoising, guidance_scale=0.0), call(denoising, prompt=None))
    denoising.scheduler = DDIMScheduler.from_config(denoising.scheduler.config)
    seen = []

    def note(pipe: FrameDiffusionPipeline, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
        seen.append((step, tensors["latents"].shape))
        return {"latents": torch.zeros_like(tensors["latents"])}

    call(denoising, callback_on_step_end=note)
    side = 32 // denoising.downscale_factor
    assert seen == [(step, (1, 3, NUM_FRAMES, side, side)) for step in range(2)]


def test_latents_are_decoded_in_parts(denoising):
    latents = call(denoising, output_type="latent")
    whole = denoising.decode_latents(latents).transpose(1, 2)
    torch.testing.assert_close(call(denoising), whole)
    torch.testing.assert_close(call(denoising, decode_chunk_size=1), whole)
    noise = torch.randn(1, *latents.shape[1:], generator=torch.Generator().manual_seed(0))
    denoising.scheduler = DDIMScheduler.from_config(denoising.scheduler.config)
    torch.testing.assert_close(call(denoising, latents=noise, eta=0.0), call(denoising, eta=0.0))


def test_other_sizes(denoising):
    """The picture is fitted to the size that is asked for, and the latents are those of that size."""
    options = {"height": 64, "width": 32, "num_frames": 3}
    video = call(denoising, **options)
    assert video.shape == (1, 3, 3, 64, 32)
    torch.testing.assert_close(call(denoising, image=fit_picture(tiny_image(), 64, 32), **options), video)
    decoded = denoising.decode_latents(call(denoising, output_type="latent", **options)).transpose(1, 2)
    torch.testing.assert_close(video, decoded)


def test_picture_and_frames_are_in_one_space(denoising):
    """What conditions the U-Net is the picture as a frame would be; still volumes of it decode to it, as well as they can."""
    picture = tiny_image()[None]
    given = denoising.encode_image(tiny_image())
    torch.testing.assert_close(given, denoising.scaled_latents(picture))
    still = denoising.decode_latents(given[:, :, None].expand(-1, -1, 2, -1, -1))
    alone = denoising.decode_frames(denoising.encode_frames(picture)).clamp(0, 1)
    torch.testing.assert_close(still[:, :, 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "angr"}, "closest"),
        ({"prompt_embeds": torch.zeros(1, TEXT_DIM)}, "either `prompt` or `prompt_embeds`"),
        ({"prompt": None, "prompt_embeds": torch.zeros(1, 3)}, "`prompt_embeds` must have shape"),
        ({"height": 33}, "`height` must be"),
        ({"output_type": "latents"}, "`output_type` must be"),
        ({"image_fit": "stretch"}, "`image_fit` must be"),
        ({"num_frames": 0}, "`num_frames` must be"),
        ({"generator": 3}, "`generator` must be"),
        ({"generator": [torch.Generator()] * 2}, "list of 1"),
        ({"num_videos_per_prompt": 0}, "`num_videos_per_prompt` must be"),
        ({"image": [tiny_image()] * 3, "prompt": list(LABELS[:2])}, "`image` holds 3 pictures"),
        ({"latents": torch.zeros(1, 2)}, "`latents` must"),
    ],
)
def test_bad_input_is_named(unchanged, options, message):
    with pytest.raises(ValueError, match=message):
        call(unchanged, **options)


@pytest.mark.parametrize("options", [{"height": 64}, {"num_frames": 8}, {"output_type": "latent"}])
def test_imaginator_has_one_size(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        call(tiny_baseline("imaginator"), **options)


def test_info_and_card(pipe, tmp_path, capsys):
    pipe.save_pretrained(tmp_path)
    assert main(["info", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["class"] == type(pipe).__name__ and facts["sample_size"] == 32 and facts["num_frames"] == NUM_FRAMES
    main_part = "imaginator" if "imaginator" in pipe.components else "unet"
    assert facts["parameters"][main_part] == sum(p.numel() for p in getattr(pipe, main_part).parameters())
    assert main(["info", str(tmp_path)]) == 0
    assert f"{NUM_FRAMES} frames of 32x32 pixels" in capsys.readouterr().out


def test_generate_command_needs_motion(tmp_path, capsys):
    tiny_baseline("vdm").save_pretrained(tmp_path / "vdm")
    PIL.Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    assert (
        main(["generate", str(tmp_path / "a.png"), "--model", str(tmp_path / "vdm"), "--output", str(tmp_path)]) == 2
    )
    assert "holds a VDMPipeline, but a whole LFDMPipeline is needed" in capsys.readouterr().err


def test_imaginator_is_in_eval_mode_even_in_training():
    pipe = tiny_baseline("imaginator")
    expected, before = call(pipe), copy.deepcopy(pipe.imaginator.state_dict())
    pipe.imaginator.train()
    torch.testing.assert_close(call(pipe), expected)
    assert pipe.imaginator.training
    assert all(torch.equal(value, before[name]) for name, value in pipe.imaginator.state_dict().items())


def test_cards_of_subclasses():
    for name in NAMES:
        pipe = tiny_baseline(name)
        mine = type("Mine", (type(pipe),), {})(**pipe.components)
        card = str(mine.card(repo_id="me/mine"))
        assert pipe.method in card and pipe.citation in card and "without their consent" in card
        assert "optical-flow" not in card


def test_unets_of_other_channels_are_refused(denoising):
    denoising.register_modules(unet=tiny_unet(patch_size=2))
    with pytest.raises(ValueError, match="`unet` must have image_latent_channels 3"):
        call(denoising)


def test_label_table_alone_is_enough():
    pipe = tiny_baseline("imaginator", label_embeddings=tiny_label_embeddings(labels=("one", "two")))
    assert pipe.labels == ["one", "two"]
