"""What a user may write with the public names. The type checker reads it (`[tool.mypy]`); nothing runs it.

`assert_type` holds what comes out. A line that is marked `type: ignore` is a mistake that the checker must find: it complains of
a mark that nothing needs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import torch
from diffusers import DDIMScheduler
from typing_extensions import assert_type

import lfdm_diffusers
from lfdm_diffusers import Box, LabelEmbeddings, LatentFlowAutoencoder, LFDMPipeline, Motion, UNet3DVideoModel
from lfdm_diffusers.conversion import convert_lfae_checkpoint, convert_unet_checkpoint
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.picture_fitting import fit_picture
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.metrics import end_point_error, frechet_distance, load_i3d, load_judge, video_features
from lfdm_diffusers.schedulers import released_scheduler, scheduler_by_name
from lfdm_diffusers.visualization import contact_sheet, flow_to_color


def generate(folder: Path | None = None) -> Motion:
    pipe: LFDMPipeline = LFDMPipeline.from_pretrained(folder or embedded_model("toon64"))
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    picture = PIL.Image.open(embedded_pictures()[0])
    out = pipe(picture, "happiness", num_inference_steps=10, generator=torch.Generator().manual_seed(0))
    video: list[PIL.Image.Image] = out.frames[0]
    video[0].save("first.png")
    assert_type(pipe.labels, list[str] | None)
    assert_type(pipe.lfae, LatentFlowAutoencoder)
    assert_type(pipe.unet, UNet3DVideoModel)
    assert_type(pipe.label_embeddings, LabelEmbeddings | None)
    pipe(picture, num_inference_step=10)  # type: ignore[call-arg]
    pipe(picture, height="64")  # type: ignore[arg-type]

    motion: Motion = out.motion(0)
    motion = motion.scaled(1.5).ping_pong()
    assert_type(motion.flow, torch.Tensor)
    faces = [Box(0, 0, 64, 64), Box(64, 0, 128, 64)]
    together = pipe.animate(picture, motion, output_size="picture", subjects=faces, output_type="np").frames
    frames: np.ndarray = together[0]
    print(frames.shape, lfdm_diffusers.__version__)
    return motion


def reenact(lfae: LatentFlowAutoencoder, reference: torch.Tensor, driving: torch.Tensor) -> torch.Tensor:
    motion = lfae.predict_flow(reference, driving)
    decoded = lfae.decode(lfae.encode(reference), motion.flow, motion.occlusion, chunk_size=8)
    lfae.decode(motion.flow, motion.flow, motion.occlusion)  # type: ignore[arg-type]
    sample: torch.Tensor = decoded.sample
    return sample


def make(labels: list[str]) -> LFDMPipeline:
    unet = UNet3DVideoModel(sample_size=16, num_frames=8, block_out_channels=(32, 64), image_latent_channels=64)
    UNet3DVideoModel(frames=8)  # type: ignore[call-arg]
    table = LabelEmbeddings.from_embeddings(labels, torch.randn(len(labels), 768))
    assert_type(table, LabelEmbeddings)
    assert_type(table.knows("happiness"), bool)
    scheduler = scheduler_by_name("ddim", released_scheduler())
    return LFDMPipeline(LatentFlowAutoencoder(sample_size=64), unet, scheduler, label_embeddings=table)


def convert(lfae: dict, unet: dict, params: dict) -> tuple[LatentFlowAutoencoder, UNet3DVideoModel]:
    autoencoder = convert_lfae_checkpoint(lfae, params)
    return autoencoder, convert_unet_checkpoint(unet)


def measure(folder: Path, made: torch.Tensor) -> float:
    clips = find_clips(folder, "auto")
    frames = read_clip(clips[0])
    assert_type(frames, np.ndarray)
    real = fit_picture(torch.from_numpy(frames).permute(0, 3, 1, 2)[0], 64, 64)
    detector, judge = load_i3d(), load_judge("expression")
    print(judge.labels, end_point_error(made, made), real.shape)
    features = video_features(detector, made)
    return frechet_distance(features, features)


def show(flow: np.ndarray, frames: list[np.ndarray]) -> PIL.Image.Image:
    sheet = contact_sheet([[flow_to_color(flow), *frames]], ["flow", *(str(i) for i in range(len(frames)))])
    assert_type(sheet, PIL.Image.Image)
    return sheet
