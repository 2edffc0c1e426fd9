"""What stage two starts from: a new U-Net for a trained auto-encoder, or a trained pipeline, as the options say."""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, SchedulerMixin
from torch import nn

from ..models import LatentFlowAutoencoder, UNet3DVideoModel
from ..models.blocks_3d import ResnetBlock
from ..pipelines import LFDMPipeline
from ..schedulers import flow_map_scheduler, released_scheduler
from .networks import read_network, require_multiple
from .presets import FRAME_SAMPLING, get_unet_config
from .resized_unet import carried_over, changed_unet

LORA_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def read_config(args: argparse.Namespace, trained: UNet3DVideoModel | None = None) -> dict:
    """What the preset or the file says about a new U-Net; about a trained one, its own configuration with their changes."""
    if trained is not None:
        named = args.preset or args.model_config_name_or_path
        return dict(trained.config) | (read_config(args) if named else {})
    if (args.preset is None) == (args.model_config_name_or_path is None):
        raise ValueError("a new U-Net needs either `--preset` or `--model_config_name_or_path`.")
    if args.preset:
        return get_unet_config(args.preset)
    return read_network(args.model_config_name_or_path, "--model_config_name_or_path")


def load_pretrained(args: argparse.Namespace) -> LFDMPipeline | None:
    """The pipeline to go on with, or None.

    Raises:
        ValueError: for arguments that contradict each other, or what cannot be loaded.
    """
    if args.pretrained_model_name_or_path is None:
        if args.lfae is None:
            raise ValueError("`--lfae` (for a new U-Net) or `--pretrained_model_name_or_path` must be given.")
        if args.lora_rank:
            raise ValueError("`--lora_rank` adapts a trained U-Net: it needs `--pretrained_model_name_or_path`.")
        return None
    settled = ["flow_target", "prediction_type"]
    if args.lfae is None:  # another one's motion is scaled anew, and may be one of other sizes
        settled += ["preset", "model_config_name_or_path", "target_scale"]
    for name in settled:
        if getattr(args, name) is not None:
            raise ValueError(f"`--pretrained_model_name_or_path` settles `--{name}`; give one of the two.")
    pipe = LFDMPipeline.from_pretrained(args.pretrained_model_name_or_path)
    if args.lfae is not None:
        pipe.register_modules(lfae=LatentFlowAutoencoder.from_pretrained(args.lfae, subfolder=args.lfae_subfolder))
    return pipe


def resolve_defaults(args: argparse.Namespace, lfae: LatentFlowAutoencoder, config: dict) -> None:
    """Fill in the sizes that the user left open.

    Raises:
        ValueError: if the sizes do not fit the auto-encoder, or it does not fit a U-Net.
    """
    args.resolution = args.resolution or lfae.config.sample_size
    args.num_frames = args.num_frames or config.get("num_frames", 40)
    args.frame_sampling = args.frame_sampling or FRAME_SAMPLING.get(args.preset, "random")
    require_multiple(args.resolution, lfae.flow_stride)
    if lfae.config.flow_scale * lfae.downscale_factor != 1:
        raise ValueError(
            f"`--lfae` has flow at {lfae.config.flow_scale} of the picture and latent maps at 1/{lfae.downscale_factor}; a "
            "U-Net needs both of one size."
        )


def sizes(args: argparse.Namespace, lfae: LatentFlowAutoencoder) -> dict[str, int]:
    """Of a U-Net's configuration, what the options and the auto-encoder give."""
    return {
        "sample_size": args.resolution // lfae.downscale_factor,
        "num_frames": args.num_frames,
        "image_latent_channels": lfae.latent_channels,
    }


def new_unet(
    args: argparse.Namespace, config: dict, lfae: LatentFlowAutoencoder, text_embed_dim: int | None
) -> UNet3DVideoModel:
    """An untrained U-Net of a configuration and these sizes."""
    config = config | sizes(args, lfae)
    config |= {
        "prediction_type": args.prediction_type or "epsilon",
        "flow_target": args.flow_target or "residual",
    }
    if text_embed_dim is not None:
        config["text_embed_dim"] = text_embed_dim
    return UNet3DVideoModel.from_config(config)


def with_text_attention(unet: UNet3DVideoModel, text_embed_dim: int) -> UNet3DVideoModel:
    """A trained U-Net that also attends to tokens of this width, which it has yet to learn. Until then it computes what it did; pooled
    vectors of another width than before mean nothing to it."""
    hearing = changed_unet(unet, text_attention=True, text_embed_dim=text_embed_dim)
    return carried_over(unet, hearing)


@torch.no_grad()
def with_other_embeddings(
    unet: UNet3DVideoModel, trained: UNet3DVideoModel, old: torch.Tensor, new: torch.Tensor
) -> UNet3DVideoModel:
    """`unet`, for which other pooled embeddings of some labels mean what their own mean to the U-Net that it was made of.

    Every FiLM layer reads a text, through a SiLU, by weights W. Of all weights that make of the new embeddings the same, W
    silu(old) silu(new)^+ are the smallest: a text between labels is between what those do, and no text is none as before.

    Args:
        unet: made of `trained` by `with_text_attention`, or `trained` itself.
        trained: with as many channels.
        old, new: embeddings `(N, D)` of the same labels, as wide as each U-Net's.
    """
    turn = F.silu(old.double()).T @ torch.linalg.pinv(F.silu(new.double()).T, rtol=1e-3)
    said = [layer.weight[:, -old.shape[1] :].double() @ turn for layer in film_layers(trained)]
    for layer, weight in zip(film_layers(unet), said, strict=True):
        layer.weight[:, -new.shape[1] :] = weight.to(layer.weight.dtype)
    return unet


def film_layers(unet: UNet3DVideoModel) -> list[nn.Linear]:
    """The layers that read time and text."""
    return [m.film for m in unet.modules() if isinstance(m, ResnetBlock) and m.film is not None]


def with_picture_reader(unet: UNet3DVideoModel, blocks: int | None, summary: int | None = None) -> UNet3DVideoModel:
    """A trained U-Net that also reads the picture with so many residual blocks and a summary of so many features, which it has yet to
    learn. Until then it computes what it did. None, or 0: as it does already.

    Raises:
        ValueError: if it reads the picture with other numbers of these already, or a summary had no blocks to be made of.
    """
    wanted = {"image_blocks": blocks, "image_summary": summary}
    for name, number in wanted.items():
        if number and unet.config[name] and number != unet.config[name]:
            raise ValueError(f"`--{name}` must be {unet.config[name]}, as the pretrained U-Net has, got {number}.")
    changes = {name: number for name, number in wanted.items() if number and number != unet.config[name]}
    return carried_over(unet, changed_unet(unet, **changes)) if changes else unet


def with_flow_map(unet: UNet3DVideoModel) -> UNet3DVideoModel:
    """A copy of a trained U-Net that can also learn where a step ends, and predicts v_prediction. Until it learns, it computes what
    the other does (which, of a U-Net that predicts something else, is not yet v)."""
    return carried_over(unet, changed_unet(unet, flow_map=True, prediction_type="v_prediction"))


def add_lora(unet: UNet3DVideoModel, rank: int, alpha: float | None) -> None:
    """Freeze the U-Net, and give its attention adapters, which learn."""
    from peft import LoraConfig

    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=LORA_TARGETS))


def build_scheduler(args: argparse.Namespace, pipe: LFDMPipeline | None, standardised: bool) -> SchedulerMixin:
    """The pipeline's own, or DDIM over the published noise schedule; of a flow map, what samples it over the pipeline's.

    Thresholding takes what exceeds 1 for a fault, unless a tenth of a volume does. What was `standardised` by this run's clips has no
    such end: a mouth that opens is far from the mean, and few places see it.
    """
    if pipe is None:
        found = DDIMScheduler.from_config(released_scheduler(prediction_type=args.prediction_type or "epsilon").config)
    else:
        found = flow_map_scheduler(pipe.scheduler) if args.objective == "flow_map" else pipe.scheduler
    if standardised and found.config.get("thresholding"):
        found = type(found).from_config(found.config, thresholding=False)
    return found
