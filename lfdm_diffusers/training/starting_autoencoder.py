"""The auto-encoder that stage one starts from: a checkpoint's, a new one, trained weights, or a new one with those that fit."""

from __future__ import annotations

import argparse
from pathlib import Path

from accelerate.utils import set_seed

from ..models import LatentFlowAutoencoder
from ..ops.cpu import lay_channels_last
from .networks import read_network, require_multiple, take_fitting_weights
from .presets import get_lfae_config


def build_model(args: argparse.Namespace, checkpoint: Path | None) -> tuple[LatentFlowAutoencoder, str]:
    """The model to train, and a sentence about it: of the checkpoint to go on from, else new or pretrained or both.

    Raises:
        ValueError: if the arguments do not say one thing, or the pictures' size does not fit the model.
    """
    new, about = None, ""
    if args.preset:
        new = get_lfae_config(args.preset)
    if args.model_config_name_or_path:
        new = read_network(args.model_config_name_or_path, "--model_config_name_or_path")
    if checkpoint is not None:
        model = LatentFlowAutoencoder.from_pretrained(checkpoint, subfolder="lfae")
    elif (args.preset and args.model_config_name_or_path) or not (new or args.pretrained_model_name_or_path):
        given = [f"--{name}" for name in ("preset", "model_config_name_or_path") if getattr(args, name)]
        raise ValueError(
            "one of `--preset`, `--model_config_name_or_path` and `--pretrained_model_name_or_path` must be given, or the last "
            f"with one of the others, got {' and '.join(given) or 'none'}."
        )
    else:
        set_seed(args.seed)
        if new:
            model = LatentFlowAutoencoder.from_config(new)
        if args.pretrained_model_name_or_path:
            source = LatentFlowAutoencoder.from_pretrained(
                args.pretrained_model_name_or_path, subfolder=args.subfolder
            )
            if new:
                left = take_fitting_weights(model, source)
                about = f"weights of {args.pretrained_model_name_or_path}"
                about += f", but new ones in {_parts(left)}" if left else ", all of them"
            else:
                model = source
    size = args.resolution or model.config.sample_size
    require_multiple(size, model.flow_stride)
    model.register_to_config(sample_size=size)
    return lay_channels_last(model.float()), about


def _parts(names: list[str]) -> str:
    """The modules that parameters belong to, by the first two parts of their names."""
    return ", ".join(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
