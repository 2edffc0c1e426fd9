"""VDM and LDM: LFDM's U-Net on frames, as pixels or as latents of a frame auto-encoder."""

from __future__ import annotations

import argparse
from typing import cast

from accelerate.utils import set_seed
from diffusers import DDIMScheduler

from ...data.sampling import spread
from ...models import UNet3DVideoModel
from ...pipelines import FRAME_SPACES, FrameDiffusionPipeline
from ...schedulers import released_scheduler
from ..clips import TrainingClips
from ..diffusion import FrameTask
from ..networks import blame_network_file, require_multiple
from ..presets import AUTOENCODER_CONFIGS, get_unet_config
from ..run import TrainingRun
from .inputs import examples, label_table, network_config

STATISTICS_CLIPS = 256  # of the training clips, to learn how large latents are
# Arguments of the U-Net that the space decides.
SETTLED_BY_SPACE = ("in_channels", "out_channels", "image_latent_channels", "flow_target", "target_mean", "target_std")


def build_task(args: argparse.Namespace, run: TrainingRun) -> FrameTask:
    """A pipeline of the space that `--system` names, whose U-Net learns."""
    pipe, clips = frame_pipeline(args, run)
    if args.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    return FrameTask(
        pipe,
        *examples(args, clips),
        seed=args.seed,
        null_condition_prob=args.null_condition_prob,
        snr_gamma=args.snr_gamma,
        ema_decay=args.ema_decay,
    )


def frame_pipeline(args: argparse.Namespace, run: TrainingRun) -> tuple[FrameDiffusionPipeline, TrainingClips]:
    """A pipeline of the space that `--system` names with a new U-Net, and what it is trained on."""
    cls = FRAME_SPACES[args.system]
    try:
        space = cls.load_space(args.autoencoder)
    except (ValueError, OSError) as error:
        raise ValueError(f"`--autoencoder` for --system {args.system}: {error}") from error
    config = network_config(args, get_unet_config(args.preset, args.system), UNet3DVideoModel, SETTLED_BY_SPACE)
    prediction_type, scale = args.prediction_type or "epsilon", args.target_scale or 1
    # What has an end is clipped there, as is usual for pixels; what has none is left as it is.
    limits = {"thresholding": False, "clip_sample": cls.bounded, "clip_sample_range": scale}
    pipe = cls(
        unet=cast(UNet3DVideoModel, None),  # made when the clips have been measured
        scheduler=DDIMScheduler.from_config(released_scheduler(prediction_type=prediction_type).config, **limits),
        default_num_inference_steps=args.num_inference_steps,
        **space,
    )
    pipe.to(run.device).set_progress_bar_config(disable=True)
    # A network of the space knows its pictures' size, the preset the grid's.
    trained_size = next((network.config.sample_size for network in space.values()), config.get("sample_size"))
    clips = run.clips(args.resolution or trained_size or AUTOENCODER_CONFIGS[args.preset]["sample_size"])
    table = label_table(args, run, clips)
    mean, std = pipe.statistics(clips.frames(clip).to(run.device) for clip in spread(clips.train, STATISTICS_CLIPS))
    require_multiple(args.resolution, pipe.downscale_factor)
    config |= dict.fromkeys(("in_channels", "out_channels", "image_latent_channels"), pipe.latent_channels)
    config |= {
        "sample_size": args.resolution // pipe.downscale_factor,
        "num_frames": args.num_frames,
        "prediction_type": prediction_type,
        "flow_target": "absolute",  # nothing is added
        "target_mean": mean,
        "target_std": [value / scale for value in std],
    }
    if table is not None:
        config["text_embed_dim"] = table.config.embedding_dim
    set_seed(args.seed)
    with blame_network_file(args.model_config, "--model_config"):
        unet = UNet3DVideoModel.from_config(config)
    pipe.register_modules(unet=unet.train().to(run.device), label_embeddings=table)
    require_multiple(args.resolution, pipe.stride)
    return pipe, clips
