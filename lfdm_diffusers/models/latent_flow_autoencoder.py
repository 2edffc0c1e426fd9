"""The latent flow auto-encoder (LFAE), stage one of LFDM."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.utils import BaseOutput
from torch import nn

from ..hub.base import HubModel
from ..hub.decorators import apply_forward_hook, register_to_config
from ..ops.cpu import concatenate_chunks
from ..ops.thresholds import current
from ..ops.warp import MotionWarp, blend, sampling_grid
from .autoencoder_cards import AutoencoderCardsMixin
from .blocks_2d import ConvBlock, DownBlock2d, FastConv2d, ResBlock2d, UpBlock2d, channel_widths
from .checks import check_choice, check_shape, check_share, check_sides
from .decoder_files import DecoderFilesMixin
from .flow_predictor import BackgroundPredictor, DenseFlowPredictor, LatentFlowOutput, RegionPredictor
from .geometry import FILLED, RegionParameters, relative_regions, repeated_regions, split_regions


@dataclass
class EncodedImage(BaseOutput):
    """A picture as the decoder needs it, computed once and used for every frame.

    Attributes:
        latent: `(B, C, h, w)` the latent map z0 that is warped and masked; also what the U-Net is conditioned on.
        skips: the encoder's feature maps, finest first; the last one is `latent`.
        image: `(B, 3, H, W)` the picture itself, which the last blend warps.
    """

    latent: torch.Tensor = FILLED
    skips: tuple[torch.Tensor, ...] = FILLED
    image: torch.Tensor = FILLED


@dataclass
class DecodedFrames(BaseOutput):
    """Frames decoded from one picture and its motion: `(B, 3, H, W)`, or `(B, 3, F, H, W)` for a clip.

    Attributes:
        sample: the frames, in [0, 1].
        warped: the picture warped by the flow alone, before occlusion and inpainting.
        inpainted: what the decoder itself painted, before it is blended with `warped`.
    """

    sample: torch.Tensor = FILLED
    warped: torch.Tensor = FILLED
    inpainted: torch.Tensor = FILLED


@dataclass
class LatentFlowAutoencoderOutput(BaseOutput):
    """Reconstruction of a driving picture from a reference picture; see `DecodedFrames` and `LatentFlowOutput`."""

    sample: torch.Tensor = FILLED
    warped: torch.Tensor = FILLED
    inpainted: torch.Tensor = FILLED
    flow: torch.Tensor = FILLED
    occlusion: torch.Tensor = FILLED
    reference_regions: RegionParameters = FILLED
    driving_regions: RegionParameters = FILLED
    other_regions: RegionParameters | None = None


class LatentFlowAutoencoder(AutoencoderCardsMixin, DecoderFilesMixin, HubModel, ConfigMixin):
    r"""Encoder, flow predictor and decoder: describes motion between two pictures and re-enacts it (LFDM, section 3.2).

    Pictures are RGB in [0, 1]. Training runs with BatchNorm; call `.eval()` for everything else, as `from_pretrained`
    and the pipeline do.

    Parameters:
        sample_size: side of the pictures it was trained on, in pixels; None if unknown.
        in_channels: channels of a picture.
        num_regions: K, the number of moving regions beside the background.
        base_channels, max_channels: widths of encoder and decoder: `min(max, base * 2**i)` after i halvings.
        num_down_blocks: halvings between the picture and its latent map (2: a quarter of the size).
        num_bottleneck_blocks: residual blocks that inpaint at latent size.
        use_skips: whether warped encoder features, and at last the warped picture, are blended into the decoder.
        flow_base_channels, flow_max_channels, flow_num_blocks: hourglass of the dense flow predictor.
        flow_scale: size of flow and occlusion relative to the picture.
        use_deformed_source, use_covar_heatmap, revert_axis_swap: details of the dense flow predictor.
        region_base_channels, region_max_channels, region_num_blocks, region_scale: hourglass of the region predictor.
        region_temperature: of the softmax that makes heatmaps.
        region_padding: padding of the 7x7 convolution that gives heatmap logits (3: same size; 0 in taichi's family).
        background_base_channels, background_max_channels, background_num_blocks: encoder of the background predictor.
        background_motion: "zero", "shift", "affine" or "perspective".
        flow_grid: the grid of no motion: "corners", as released, whose warps stretch by W/(W-1), or "centers", the identity (`identity_grid`).
        warp_padding: what warps read outside the picture: "zeros" (as released) or "border".
        paint_below: occlusion below which frames of a picture's own size are painted (`pipelines.steadying.hidden`); None: it does not tell.
    """

    _supports_gradient_checkpointing = True
    # encode, decode and predict_flow reach these directly, not through forward. (Lists are groups of their own.)
    _group_offload_block_modules = [
        "conv_in",
        "conv_out",
        "region_predictor",
        "background_predictor",
        "flow_predictor",
    ]
    _no_split_modules = ["ConvBlock", "DownBlock2d", "UpBlock2d", "ResBlock2d"]

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = 128,
        in_channels: int = 3,
        num_regions: int = 10,
        base_channels: int = 64,
        max_channels: int = 512,
        num_down_blocks: int = 2,
        num_bottleneck_blocks: int = 6,
        use_skips: bool = True,
        flow_base_channels: int = 64,
        flow_max_channels: int = 1024,
        flow_num_blocks: int = 5,
        flow_scale: float = 0.25,
        use_deformed_source: bool = True,
        use_covar_heatmap: bool = True,
        revert_axis_swap: bool = True,
        region_base_channels: int = 32,
        region_max_channels: int = 1024,
        region_num_blocks: int = 5,
        region_scale: float = 0.25,
        region_temperature: float = 0.1,
        region_padding: int = 3,
        background_base_channels: int = 32,
        background_max_channels: int = 1024,
        background_num_blocks: int = 5,
        background_motion: str = "affine",
        flow_grid: str = "corners",
        warp_padding: str = "zeros",
        paint_below: float | None = None,
    ):
        super().__init__()
        check_choice("flow_grid", flow_grid, ("corners", "centers"))
        check_choice("warp_padding", warp_padding, ("zeros", "border"))
        check_choice("background_motion", background_motion, tuple(BackgroundPredictor.ENTRIES))
        check_share("paint_below", paint_below)
        for name, scale in (("flow_scale", flow_scale), ("region_scale", region_scale)):
            if not 0 < scale <= 1 or round(1 / scale) * scale != 1:
                raise ValueError(f"`{name}` must be 1/n for a whole number n, got {scale}.")
        if region_temperature <= 0:
            raise ValueError(f"`region_temperature` must be positive, got {region_temperature}.")
        if not 0 <= region_padding <= 3:
            raise ValueError(f"`region_padding` must be from 0 to 3, got {region_padding}.")
        self.region_predictor = RegionPredictor(
            in_channels=in_channels,
            num_regions=num_regions,
            base_channels=region_base_channels,
            max_channels=region_max_channels,
            num_blocks=region_num_blocks,
            temperature=region_temperature,
            scale=region_scale,
            padding=region_padding,
            centers=flow_grid == "centers",
        )
        self.background_predictor = BackgroundPredictor(
            in_channels=in_channels,
            base_channels=background_base_channels,
            max_channels=background_max_channels,
            num_blocks=background_num_blocks,
            motion=background_motion,
        )
        self.flow_predictor = DenseFlowPredictor(
            in_channels=in_channels,
            num_regions=num_regions,
            base_channels=flow_base_channels,
            max_channels=flow_max_channels,
            num_blocks=flow_num_blocks,
            scale=flow_scale,
            use_deformed_source=use_deformed_source,
            use_covar_heatmap=use_covar_heatmap,
            revert_axis_swap=revert_axis_swap,
            centers=flow_grid == "centers",
            padding_mode=warp_padding,
        )
        widths = channel_widths(base_channels, num_down_blocks, max_channels)
        self.conv_in = ConvBlock(in_channels, widths[0], kernel_size=7)
        self.down_blocks = nn.ModuleList(DownBlock2d(a, b) for a, b in itertools.pairwise(widths))
        self.bottleneck = nn.ModuleList(ResBlock2d(widths[-1]) for _ in range(num_bottleneck_blocks))
        self.up_blocks = nn.ModuleList(UpBlock2d(b, a) for a, b in reversed(list(itertools.pairwise(widths))))
        self.conv_out = FastConv2d(widths[0], in_channels, 7, padding=3)

        strides = [2**num_down_blocks]
        strides += [round(1 / flow_scale) * 2**flow_num_blocks, round(1 / region_scale) * 2**region_num_blocks]
        if self.background_predictor.entries:
            strides += [2**background_num_blocks]
        # Pictures for `predict_flow` must have sides divisible by this.
        self.flow_stride = math.lcm(*strides)

    @property
    def decoder(self) -> nn.ModuleDict:
        """The modules that paint frames. U-Nets depend on all others alone, so these may be adapted to other pictures.

        The encoder's feature maps, which are blended in, are not among them: the last of them is z0, and the others lead
        to it.
        """
        return nn.ModuleDict({"bottleneck": self.bottleneck, "up_blocks": self.up_blocks, "conv_out": self.conv_out})

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latent map z0."""
        config = self.config
        return channel_widths(config.base_channels, config.num_down_blocks, config.max_channels)[-1]

    def flow_size(self, height: int, width: int) -> tuple[int, int]:
        """Sides h, w of flow and occlusion of pictures of this size."""
        return round(height * self.config.flow_scale), round(width * self.config.flow_scale)

    def identity_grid(self, height: int, width: int, device: torch.device | None = None) -> torch.Tensor:
        """The grid `(height, width, 2)` that this model's flow predictor gives where nothing moves."""
        return sampling_grid(height, width, device, self.config.flow_grid == "centers")

    @property
    def downscale_factor(self) -> int:
        """How many pixels of the picture one place of the latent map stands for, per side."""
        return 2**self.config.num_down_blocks

    def _check_image(self, name: str, image: torch.Tensor, stride: int, clips: bool = False) -> None:
        channels = self.config.in_channels
        shapes = [("batch", channels, "height", "width"), ("batch", channels, "frames", "height", "width")]
        check_shape(name, image, *shapes[: 1 + clips])
        check_sides(name, image, stride)

    @apply_forward_hook
    def encode(self, image: torch.Tensor, return_dict: bool = True) -> EncodedImage | Any:
        """Encode a picture once for all frames: eq. 1 of the LFDM paper, z = E(x).

        Args:
            image: `(B, 3, H, W)` in [0, 1]; sides divisible by `downscale_factor`.

        Returns:
            `EncodedImage` with the latent map `(B, C, H / downscale_factor, W / downscale_factor)`, or the tuple of its fields.

        Raises:
            ValueError: for another shape; the message names the nearest allowed sizes.
        """
        self._check_image("image", image, self.downscale_factor)
        x = self.conv_in(image.contiguous(memory_format=torch.channels_last))
        skips = [x]
        for block in self.down_blocks:
            skips.append(block(skips[-1]))
        encoded = EncodedImage(latent=skips[-1], skips=tuple(skips), image=image)
        return encoded if return_dict else encoded.to_tuple()

    @apply_forward_hook
    def predict_flow(
        self,
        reference: torch.Tensor,
        driving: torch.Tensor,
        return_dict: bool = True,
        driving_reference: torch.Tensor | None = None,
        others: torch.Tensor | None = None,
    ) -> LatentFlowOutput | Any:
        """Backward latent flow and occlusion from `reference` to `driving`: [f, m] = F(x_ref, x_dri) of the LFDM paper.

        Args:
            reference: `(B, 3, H, W)` in [0, 1]; sides divisible by `flow_stride`.
            driving: `(B, 3, H, W)`, or a clip `(B, 3, F, H, W)` whose frames are all driven from the same reference.
            driving_reference: `(B, 3, H, W)`, another picture that `driving` belongs to, such as its clip's first frame: the
                regions of `reference` then move as those of the clip do since that picture (see `relative_regions`).
            others: `(N, 3, H, W)`, pictures whose regions are found on the way, at less cost than by themselves.

        Returns:
            `LatentFlowOutput`, or the tuple of its fields; flow and occlusion are float32 of size `flow_scale` times the picture's.

        Raises:
            ValueError: for other shapes; the message names the nearest allowed sizes.
        """
        self._check_image("reference", reference, self.flow_stride)
        self._check_image("driving", driving, self.flow_stride, clips=True)
        frames = driving.shape[2] if driving.ndim == 5 else None
        if driving_reference is not None:
            self._check_image("driving_reference", driving_reference, self.flow_stride)
            if driving_reference.shape != reference.shape:
                raise ValueError(
                    "`reference` and `driving_reference` must agree in batch and size, got "
                    f"{tuple(reference.shape)} and {tuple(driving_reference.shape)}."
                )
        if reference.shape != (driving.shape if frames is None else driving[:, :, 0].shape):
            raise ValueError(
                "`reference` and `driving` must agree in batch and size, got "
                f"{tuple(reference.shape)} and {tuple(driving.shape)}."
            )
        if frames is not None:
            driving = driving.transpose(1, 2).flatten(0, 1)  # (B*F, 3, H, W)
        pictures = [reference, driving, *(x for x in (driving_reference, others) if x is not None)]
        pictures = [x.contiguous(memory_format=torch.channels_last) for x in pictures]
        parts = [len(x) for x in pictures]
        regions = split_regions(self.region_predictor(torch.cat(pictures), parts), parts)
        reference, driving, *rest = pictures
        reference_regions, driving_regions, *rest_regions = regions
        start: torch.Tensor = reference
        start_regions: RegionParameters | None = None
        if driving_reference is not None:
            start, start_regions = rest[0], rest_regions[0]
        paired_regions, paired = reference_regions, reference
        if frames is not None:
            paired, start = (x.repeat_interleave(frames, dim=0) for x in (reference, start))
            paired_regions = repeated_regions(reference_regions, frames)
            start_regions = None if start_regions is None else repeated_regions(start_regions, frames)
        if start_regions is not None:
            driving_regions = relative_regions(paired_regions, start_regions, driving_regions)
        background = self.background_predictor(start, driving)
        flow, occlusion = self.flow_predictor(paired, paired_regions, driving_regions, background)
        if frames is not None:
            flow, occlusion = (x.unflatten(0, (-1, frames)).transpose(1, 2) for x in (flow, occlusion))
        output = LatentFlowOutput(
            flow=flow,
            occlusion=occlusion,
            reference_regions=reference_regions,
            driving_regions=driving_regions,
            other_regions=None if others is None else rest_regions[-1],
        )
        return output if return_dict else output.to_tuple()

    @apply_forward_hook
    def decode(
        self,
        encoded: EncodedImage,
        flow: torch.Tensor,
        occlusion: torch.Tensor,
        chunk_size: int | None = None,
        return_dict: bool = True,
        finer: Sequence[Sequence[torch.Tensor]] = (),
    ) -> DecodedFrames | Any:
        """Warp, mask and decode: eq. 5 of the LFDM paper, z~ = m * W(z0, f), then x^ = D(z~).

        Args:
            encoded: from `encode` (as a tuple too); a batch of one serves any number of clips.
            flow: `(B, 2, h, w)` or `(B, 2, F, h, w)`, absolute sampling grids (x, y) in [-1, 1]; resized bilinearly to
                each feature map it warps.
            occlusion: `(B, 1, h, w)` or `(B, 1, F, h, w)` in [0, 1].
            chunk_size: frames of each clip to decode at once. By default as many as suit the memory of the device, all of them in
                training. It changes memory and speed, not results.
            finer: flow and occlusion on larger maps, for feature maps of exactly their size; others take `flow`, resized. With it
                motion has edges that a small map cannot hold.

        Returns:
            `DecodedFrames`, or the tuple of its fields: `(B, 3, H, W)`, or `(B, 3, F, H, W)` for clips.

        Raises:
            ValueError: if the shapes do not fit together.
        """
        if isinstance(encoded, tuple):  # as `encode(..., return_dict=False)` gives it
            encoded = EncodedImage(*encoded)
        if not isinstance(encoded, EncodedImage):
            raise ValueError(f"`encoded` must be what `encode` gave, got {type(encoded).__name__}.")
        shapes = ("batch", 2, "height", "width"), ("batch", 2, "frames", "height", "width")
        check_shape("flow", flow, *shapes)
        check_shape("occlusion", occlusion, flow[:, :1].shape)
        for larger in finer:
            if any(x.shape[:-2] != y.shape[:-2] for x, y in zip(larger, (flow, occlusion))):
                raise ValueError(
                    f"`finer` must hold flow and occlusion that differ from `flow` {tuple(flow.shape)} in height and width alone, got "
                    f"{', '.join(str(tuple(x.shape)) for x in larger)}."
                )
        batch = flow.shape[0]
        if encoded.latent.shape[0] not in (1, batch):
            raise ValueError(
                f"`encoded` holds {encoded.latent.shape[0]} pictures for {batch} flows; allowed are 1 or {batch}."
            )
        if chunk_size is not None and (not isinstance(chunk_size, Integral) or chunk_size < 1):
            raise ValueError(
                f"`chunk_size` must be a whole number of at least 1, or None for what suits the device, got {chunk_size!r}."
            )
        clip = flow.ndim == 5
        chunk_size = chunk_size or self._chunk_size(encoded, flow)
        motions = [
            torch.cat([x.float() for x in maps], dim=1) for maps in ((flow, occlusion), *finer)
        ]  # (B, 3, [F,] h, w)
        motions = [motion.movedim(1, -3) if clip else motion[:, None] for motion in motions]  # (B, F, 3, h, w)
        parts = zip(*(motion.split(int(chunk_size), dim=1) for motion in motions))
        sample, warped, inpainted = concatenate_chunks(
            (self._decode_frames(encoded, part) for part in parts), motions[0].shape[1]
        )
        # (B, F, 3, H, W) -> (B, 3, F, H, W) or (B, 3, H, W)
        sample, warped, inpainted = ((x.movedim(1, 2) if clip else x[:, 0]) for x in (sample, warped, inpainted))
        output = DecodedFrames(sample=sample, warped=warped, inpainted=inpainted)
        return output if return_dict else output.to_tuple()

    def _chunk_size(self, encoded: EncodedImage, flow: torch.Tensor) -> int:
        """Frames of each clip to decode at once."""
        frames = flow.shape[2] if flow.ndim == 5 else 1
        if self.training:  # BatchNorm's statistics are of all frames
            return frames
        largest = max(skip[0].numel() * skip.element_size() for skip in encoded.skips) * flow.shape[0]
        limit = current()
        return max(
            1, min(frames, (limit.decoded_bytes_cpu if flow.device.type == "cpu" else limit.decoded_bytes) // largest)
        )

    def _decode_frames(
        self, encoded: EncodedImage, motions: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sample, warped and inpainted frames `(B, F, 3, H, W)` of motion `(B, F, 3, h, w)`: flow x, flow y, occlusion.

        The first motion is for all feature maps but those that have another one's size.
        """
        warp = MotionWarp(motions, self.config.flow_grid == "centers", self.config.warp_padding)
        warped, occlusion = warp(encoded.latent)
        out = occlusion * warped  # eq. 5: z~ = m * W(z0, f)
        for block in self.bottleneck:
            out = block(out)
        for level, block in zip(reversed(encoded.skips), self.up_blocks):
            if self.config.use_skips:
                if level is not encoded.latent:
                    warped, occlusion = warp(level)
                out = blend(out, warped, occlusion)
            out = block(out)
        if self.config.use_skips:
            out = blend(out, *warp(encoded.skips[0]))
        inpainted = self.conv_out(out).sigmoid().to(encoded.image.dtype)  # autocast may have lowered it
        warped, occlusion = warp(encoded.image)
        sample = blend(inpainted, warped, occlusion) if self.config.use_skips else inpainted
        clips = motions[0].shape[:2]  # (B, F)
        return sample.unflatten(0, clips), warped.unflatten(0, clips), inpainted.unflatten(0, clips)

    def forward(
        self,
        reference: torch.Tensor,
        driving: torch.Tensor,
        return_dict: bool = True,
        others: torch.Tensor | None = None,
    ) -> LatentFlowAutoencoderOutput | Any:
        """Reconstruct `driving` from `reference` and the motion between them: stage one's forward pass.

        Args:
            reference: `(B, 3, H, W)` in [0, 1]; sides divisible by `flow_stride`.
            driving: `(B, 3, H, W)`, or a clip `(B, 3, F, H, W)`.
            others: `(N, 3, H, W)`, pictures of which the equivariance losses need the regions alone.

        Returns:
            `LatentFlowAutoencoderOutput`, or the tuple of its fields: reconstruction, motion, and the regions that the equivariance
            losses need.
        """
        motion = self.predict_flow(reference, driving, others=others)
        decoded = self.decode(self.encode(reference), motion.flow, motion.occlusion)
        output = LatentFlowAutoencoderOutput(**decoded, **motion)
        return output if return_dict else output.to_tuple()
