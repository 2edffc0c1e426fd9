"""On a GPU: the CPU's numbers, no waiting between steps, half precision, one graph."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler
from tiny import TEXT_DIM, tiny_image, tiny_pipeline, tiny_unet

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use"),
]


def volumes(unet, device: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    side, channels = unet.config.sample_size, unet.config.image_latent_channels
    return {
        "sample": torch.randn(2, 3, unet.config.num_frames, side, side, generator=generator).to(device),
        "timestep": torch.tensor([3, 700], device=device),
        "text_embeds": torch.randn(2, TEXT_DIM, generator=generator).to(device),
        "image_latents": torch.randn(2, channels, side, side, generator=generator).to(device),
    }


@torch.no_grad()
@pytest.mark.parametrize("compiled", [False, True])
def test_unet_gives_the_numbers_of_the_cpu(compiled):
    unet = tiny_unet()
    expected = unet(**volumes(unet, "cpu")).sample
    unet = unet.to("cuda")
    model = torch.compile(unet, fullgraph=True) if compiled else unet
    torch.testing.assert_close(model(**volumes(unet, "cuda")).sample.cpu(), expected, rtol=1e-3, atol=1e-3)


def test_videos_are_those_of_the_cpu():
    pipe = tiny_pipeline()
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)

    def video() -> torch.Tensor:
        options = {"num_inference_steps": 4, "eta": 0.0, "output_type": "pt"}
        return pipe(tiny_image(), "anger", generator=torch.Generator().manual_seed(0), **options).frames.cpu()

    expected = video()
    pipe.to("cuda")
    torch.testing.assert_close(video(), expected, rtol=1e-3, atol=2e-3)
    pipe.to(torch.bfloat16)
    assert (video() - expected).abs().mean() < 0.02


def test_nothing_waits_between_steps():
    """A host that waits for the GPU in every step leaves it idle while the next step is prepared."""
    pipe = tiny_pipeline().to("cuda")
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    steps = []

    def watch(pipe, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
        torch.cuda.set_sync_debug_mode("error" if step < 3 else "default")  # from the first step's end to the last's
        steps.append(step)
        return {}

    try:
        pipe(
            tiny_image(),
            "anger",
            num_inference_steps=4,
            generator=torch.Generator("cuda").manual_seed(0),
            callback_on_step_end=watch,
            output_type="latent",
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert steps == [0, 1, 2, 3]
