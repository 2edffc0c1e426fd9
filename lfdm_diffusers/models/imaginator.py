"""ImaGINator, a conditional spatio-temporal GAN (Wang et al., WACV 2020): its generator and its two discriminators.

Written from the paper's description. Its abstract and its authors' summary say: an encoder turns the picture into a vector,
a decoder makes a video from that vector, the condition and noise by transposed (1+2)D convolutions, and the picture's
features are fused into all of its layers. Widths, kernels, normalisation and the discriminators' layers could not be checked
against the paper's text: they are DCGAN's (Radford et al., 2016), and where the condition enters D_V is a choice made here.
Deviations: a text embedding stands in the place of the one-hot category, and sizes are those of the clips at hand.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin
from diffusers.utils import BaseOutput
from torch import nn

from ..hub.base import HubModel
from ..hub.decorators import register_to_config
from .checks import check_shape

COARSEST = 4  # the side of the smallest maps, in places
WIDEST = 8  # maps have at most so many times the channels of the finest


@dataclass
class ImaginatorOutput(BaseOutput):
    """`sample`: `(B, in_channels, F, H, W)` in [-1, 1], a whole video."""

    sample: torch.Tensor


def level_widths(sample_size: int, base_channels: int) -> list[int]:
    """Channels after each halving of the picture down to 4x4, finest first.

    Raises:
        ValueError: if `sample_size` is not a power of two from 32 on.
    """
    if sample_size < 32 or sample_size & (sample_size - 1):
        raise ValueError(f"`sample_size` must be a power of two from 32 on (32, 64, 128, ...), got {sample_size}.")
    levels = (sample_size // COARSEST).bit_length() - 1
    return [base_channels * min(2**level, WIDEST) for level in range(levels)]


def level_frames(num_frames: int, levels: int) -> list[int]:
    """Frames at each level boundary, most first: halved while the result is an integer of at least 2.

    Raises:
        ValueError: if `num_frames` is not a multiple of 4.
    """
    if num_frames < 4 or num_frames % 4:
        raise ValueError(f"`num_frames` must be a multiple of 4 from 4 on, got {num_frames}.")
    frames = [num_frames]
    for _ in range(levels):
        halved = frames[-1] % 2 == 0 and frames[-1] > 2
        frames.append(frames[-1] // 2 if halved else frames[-1])
    return frames


def text_or_null(text_embeds: torch.Tensor | None, width: int, like: torch.Tensor) -> torch.Tensor:
    """`text_embeds` `(B, width)` in the type of `like` `(B, ...)`; None: zeros.

    Raises:
        ValueError: if its shape is another.
    """
    if text_embeds is None:
        return like.new_zeros(like.shape[0], width)
    check_shape("text_embeds", text_embeds, (like.shape[0], width))
    return text_embeds.to(like)


def convolve_frames(conv: nn.Module, x: torch.Tensor, num_frames: int) -> torch.Tensor:
    """A convolution with a kernel (k, 1) along the frames of each place: `(B * F, C, h, w)` -> `(B * F', C', h, w)`."""
    height, width = x.shape[-2:]
    # (B*F, C, h, w) -> (B, C, F, h*w): the same memory, as both are channels-last.
    x = x.permute(0, 2, 3, 1).reshape(-1, num_frames, height * width, x.shape[1]).permute(0, 3, 1, 2)
    x = conv(x).permute(0, 2, 3, 1)  # (B, F', h*w, C')
    return x.reshape(-1, height, width, x.shape[-1]).permute(0, 3, 1, 2)


def repeat_frames(x: torch.Tensor, num_frames: int) -> torch.Tensor:
    """`(B, C, h, w)` -> `(B * F, C, h, w)`, the same for all frames of a video."""
    return x[:, None].expand(-1, num_frames, -1, -1, -1).flatten(0, 1)


class TransposedConv1Plus2d(nn.Module):
    """Transposed (1+2)D convolution: over time, then over space, which doubles; BatchNorm and ReLU after each.

    Args:
        double_frames: whether time doubles too.
        last: no BatchNorm and ReLU at the end.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, double_frames: bool, last: bool):
        super().__init__()
        kernel, stride = (4, 2) if double_frames else (3, 1)
        self.temporal = nn.ConvTranspose2d(
            in_channels, mid_channels, (kernel, 1), stride=(stride, 1), padding=(1, 0), bias=False
        )
        self.temporal_norm = nn.BatchNorm2d(mid_channels)
        self.spatial = nn.ConvTranspose2d(mid_channels, out_channels, 4, stride=2, padding=1, bias=last)
        self.spatial_norm = None if last else nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor, num_frames: int) -> torch.Tensor:
        """`(B * F, C, h, w)` -> `(B * F', C', 2h, 2w)`."""
        x = F.relu(self.temporal_norm(convolve_frames(self.temporal, x, num_frames)))
        x = self.spatial(x)
        return x if self.spatial_norm is None else F.relu(self.spatial_norm(x))


class ImaginatorGenerator(HubModel, ConfigMixin):
    r"""ImaGINator's generator: a video from a picture, a text embedding and one noise vector, in one pass.

    The encoder halves the picture down to 4x4 and to a vector p. The decoder starts from [p, projected text, noise]; each of
    its blocks first gets the encoder's features of its size, the same for every frame (spatio-temporal fusion).

    Parameters:
        sample_size: H and W, a power of two from 32 on.
        num_frames: F, a multiple of 4.
        in_channels: of the picture and of each frame.
        base_channels: of the finest maps (half the picture's size); they double with each halving, up to 8 times as many.
        text_embed_dim: D of the text embedding.
        label_dim: numbers that the text embedding is projected to.
        noise_dim: numbers of noise, from N(0, 1).
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 64,
        num_frames: int = 16,
        in_channels: int = 3,
        base_channels: int = 48,
        text_embed_dim: int = 768,
        label_dim: int = 64,
        noise_dim: int = 64,
    ):
        super().__init__()
        widths = level_widths(sample_size, base_channels)
        self.frames = level_frames(num_frames, len(widths))[::-1]  # fewest first: the decoder's order
        self.encoder = nn.ModuleList()
        for i, (a, b) in enumerate(itertools.pairwise([in_channels, *widths])):
            norm = [nn.BatchNorm2d(b)] if i else []
            conv = nn.Conv2d(a, b, 4, stride=2, padding=1, bias=not norm)
            self.encoder.append(nn.Sequential(conv, *norm, nn.LeakyReLU(0.2)))
        top = widths[-1]
        self.to_vector = nn.Conv2d(top, top, COARSEST)
        self.text_proj = nn.Linear(text_embed_dim, label_dim)

        # The decoder's first (1+2)D convolution: from one place at one time to the first frames, then to their 4x4 places.
        self.first_frames = nn.Linear(top + label_dim + noise_dim, self.frames[0] * top, bias=False)
        self.first_frames_norm = nn.BatchNorm2d(top)
        self.first_places = nn.ConvTranspose2d(top, top, COARSEST, bias=False)
        self.first_places_norm = nn.BatchNorm2d(top)
        self.decoder = nn.ModuleList()
        for i, (width, finer) in enumerate(itertools.pairwise([*widths[::-1], in_channels])):
            last = i == len(widths) - 1
            self.decoder.append(
                TransposedConv1Plus2d(
                    2 * width,
                    width if last else finer,
                    finer,
                    double_frames=self.frames[i + 1] > self.frames[i],
                    last=last,
                )
            )

    def forward(
        self,
        image: torch.Tensor,
        noise: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> ImaginatorOutput | Any:
        """The video of each picture.

        Args:
            image: `(B, in_channels, H, W)` in [-1, 1].
            noise: `(B, noise_dim)` from N(0, 1).
            text_embeds: `(B, text_embed_dim)`; None or rows of zeros are the null condition.
            return_dict: an `ImaginatorOutput`, or a tuple of its one member.

        Raises:
            ValueError: if a shape is not as above.
        """
        config = self.config
        check_shape("image", image, ("batch", config.in_channels, config.sample_size, config.sample_size))
        check_shape("noise", noise, (len(image), config.noise_dim))
        text = text_or_null(text_embeds, config.text_embed_dim, image)

        x = image.contiguous(memory_format=torch.channels_last)
        features = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        vector = self.to_vector(x).flatten(1)  # (B, top)

        x = self.first_frames(torch.cat((vector, self.text_proj(text), noise.to(image)), dim=1))
        x = x.reshape(len(image) * self.frames[0], -1, 1, 1)  # (B*F0, top, 1, 1)
        x = F.relu(self.first_places_norm(self.first_places(F.relu(self.first_frames_norm(x)))))
        for block, num_frames, feature in zip(self.decoder, self.frames, reversed(features)):
            x = block(torch.cat((x, repeat_frames(feature, num_frames)), dim=1), num_frames)
        sample = x.tanh().unflatten(0, (-1, config.num_frames)).transpose(1, 2)  # (B, C, F, H, W)
        return ImaginatorOutput(sample=sample) if return_dict else (sample,)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """With each batch's own statistics, always: a discriminator judges true and made videos in turn, and only in training."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


class ImageDiscriminator(nn.Module):
    """D_I: strided convolutions, BatchNorm (not after the first) and leaky ReLU, down to one logit for each picture."""

    def __init__(self, in_channels: int, widths: list[int]):
        super().__init__()
        layers = []
        for i, (a, b) in enumerate(itertools.pairwise([in_channels, *widths])):
            norm = [batch_norm(b)] if i else []
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1, bias=not norm), *norm, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.to_logit = nn.Linear(widths[-1] * COARSEST**2, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """`(B, C, H, W)` -> logits `(B,)`."""
        x = self.layers(pictures.contiguous(memory_format=torch.channels_last))
        return self.to_logit(x.flatten(1)).squeeze(1)


class Conv2Plus1d(nn.Module):
    """Strided convolution over space, which halves, then over time; each with leaky ReLU.

    Args:
        halve_frames: whether time halves too.
        norm: BatchNorm before each leaky ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, halve_frames: bool, norm: bool):
        super().__init__()
        kernel, stride = (4, 2) if halve_frames else (3, 1)
        self.spatial = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=not norm)
        self.spatial_norm = batch_norm(out_channels) if norm else nn.Identity()
        self.temporal = nn.Conv2d(
            out_channels, out_channels, (kernel, 1), stride=(stride, 1), padding=(1, 0), bias=not norm
        )
        self.temporal_norm = batch_norm(out_channels) if norm else nn.Identity()

    def forward(self, x: torch.Tensor, num_frames: int) -> torch.Tensor:
        """`(B * F, C, h, w)` -> `(B * F', C', h/2, w/2)`."""
        x = F.leaky_relu(self.spatial_norm(self.spatial(x)), 0.2)
        return F.leaky_relu(self.temporal_norm(convolve_frames(self.temporal, x, num_frames)), 0.2)


class VideoDiscriminator(nn.Module):
    """D_V: (2+1)D convolutions down to one logit for each video.

    The projected text is concatenated to every place of the maps before the last block, so that a layer mixes the two.
    """

    def __init__(self, in_channels: int, widths: list[int], num_frames: int, text_embed_dim: int, label_dim: int):
        super().__init__()
        self.frames = level_frames(num_frames, len(widths))
        self.text_proj = nn.Linear(text_embed_dim, label_dim)
        inputs = [in_channels, *widths[:-1]]
        inputs[-1] += label_dim
        self.blocks = nn.ModuleList(
            Conv2Plus1d(a, b, halve_frames=self.frames[i + 1] < self.frames[i], norm=i > 0)
            for i, (a, b) in enumerate(zip(inputs, widths))
        )
        self.to_logit = nn.Linear(self.frames[-1] * widths[-1] * COARSEST**2, 1)

    def forward(self, videos: torch.Tensor, text_embeds: torch.Tensor) -> torch.Tensor:
        """`(B, C, F, H, W)` and `(B, D)` -> logits `(B,)`."""
        x = videos.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B*F, C, H, W)
        for block, num_frames in zip(self.blocks[:-1], self.frames):
            x = block(x, num_frames)
        num_frames = self.frames[-2]
        label = self.text_proj(text_embeds)[:, :, None, None].expand(-1, -1, *x.shape[-2:])
        x = self.blocks[-1](torch.cat((x, repeat_frames(label, num_frames)), dim=1), num_frames)
        return self.to_logit(x.reshape(len(videos), -1)).squeeze(1)


@dataclass
class ImaginatorDiscriminatorsOutput(BaseOutput):
    """`image`, `video`: logits `(B,)`, positive where D_I takes the frame and D_V the video for a true one."""

    image: torch.Tensor
    video: torch.Tensor


class ImaginatorDiscriminators(HubModel, ConfigMixin):
    """ImaGINator's two judges: D_I sees one frame of each video, D_V the whole video and the text embedding.

    Parameters: as in `ImaginatorGenerator`.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 64,
        num_frames: int = 16,
        in_channels: int = 3,
        base_channels: int = 48,
        text_embed_dim: int = 768,
        label_dim: int = 64,
    ):
        super().__init__()
        widths = level_widths(sample_size, base_channels)
        self.image = ImageDiscriminator(in_channels, widths)
        self.video = VideoDiscriminator(in_channels, widths, num_frames, text_embed_dim, label_dim)

    def forward(
        self, videos: torch.Tensor, frame_indices: torch.Tensor, text_embeds: torch.Tensor | None = None
    ) -> ImaginatorDiscriminatorsOutput:
        """Judge videos.

        Args:
            videos: `(B, in_channels, F, H, W)` in [-1, 1].
            frame_indices: `(B,)` int64: which frame of each video D_I sees.
            text_embeds: `(B, text_embed_dim)`; None or rows of zeros are the null condition.

        Raises:
            ValueError: if a shape is not as above.
        """
        config = self.config
        sides = config.sample_size, config.sample_size
        check_shape("videos", videos, ("batch", config.in_channels, config.num_frames, *sides))
        check_shape("frame_indices", frame_indices, (len(videos),))
        text = text_or_null(text_embeds, config.text_embed_dim, videos)
        frames = videos[torch.arange(len(videos), device=videos.device), :, frame_indices]  # (B, C, H, W)
        return ImaginatorDiscriminatorsOutput(image=self.image(frames), video=self.video(videos, text))
