"""The 3-D U-Net that denoises whole volumes of flow and occlusion, stage two of LFDM."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.utils import BaseOutput
from torch import nn

from ..arguments.checked import require_kind
from ..hub.base import HubModel
from ..hub.cards import TAGS
from ..hub.decorators import apply_forward_hook, register_to_config
from .attention_3d import RelativePositionBias, RotaryPositions, VideoAttention
from .blocks_3d import (
    BlockSettings,
    DownBlock,
    FrameContext,
    MidBlock,
    NearestUpsample,
    OutputHead,
    PaddingMode,
    UpBlock,
)
from .checks import check_choice, check_shape, check_sides, check_tensor
from .picture_reader import PictureReader
from .text_attention import TextTokens, split_texts

# Rotary positions turn at most this many features of a head.
MAX_ROTARY_DIM = 32


@dataclass
class UNet3DVideoOutput(BaseOutput):
    """`sample`: `(B, out_channels, F, h, w)`, what the scheduler's prediction type names (noise by default)."""

    sample: torch.Tensor


class UNet3DVideoModel(HubModel, AttentionMixin, ConfigMixin, PeftAdapterMixin):
    r"""Denoises a flow + occlusion volume given a picture's latent map and a text embedding (LFDM, section 3.3).

    Frames are folded into the batch for every spatial operation and memory is channels-last from end to end. The
    picture's share of the first convolution is a convolution of its own, computed once per picture (`project_image`).

    Parameters:
        sample_size: h (and w) of the volumes it was trained on, None if unknown; others work if all halvings divide them.
        num_frames: F of the volumes it was trained on; others work.
        in_channels, out_channels: of a volume: flow x, flow y, occlusion. The last output channel has its own head.
        image_latent_channels: C of the picture's latent map.
        text_embed_dim: D of the text embedding.
        patch_size: the finest level works on patches of so many places squared, brought to the channels (Hoogeboom et al.,
            "simple diffusion", 2023): 2 costs a quarter. The released models have 1.
        base_channels: channels after the first convolution; `block_out_channels[0]` by default.
        block_out_channels: channels of each level, finest first.
        num_attention_heads, attention_head_dim: of the attention over frames (and the former of all attention).
        spatial_head_dim: features per head of the attention over places.
        norm_num_groups: groups of each GroupNorm.
        upsample_type: "deconv" (transposed convolution) or "nearest" (nearest neighbour and convolution).
        padding_mode: of the convolution behind "nearest": "zeros", "reflect", "replicate" or "circular".
        learned_null_embedding: whether the null condition is a learned vector rather than zeros.
        prediction_type: what it was trained to predict: "epsilon", "v_prediction", "sample" or "flow_prediction".
        flow_target: "absolute": the flow channels hold the sampling grid itself, as in the released models;
            "residual": the grid minus the true identity (`sampling_grid` of pixel centres): 0 where a place reads itself.
        target_mean, target_std: per channel; flow and occlusion are `volume * std + mean`. By default those of the
            released models, whose third channel is 2 * occlusion - 1.
        first_frame_is_picture: the first frame of all volumes it was trained on is the picture at rest; pipelines impose that.
        text_attention: whether it attends to the tokens of a text beside its pooled vector, and so hears what comes first and
            which word goes with which. The released models do not.
        flow_map: whether it also knows where a step ends, and so predicts what one long step needs (`timestep_end`); see
            `lfdm_diffusers.training.flow_map`. The released models do not.
        image_blocks: residual blocks that read the picture before it joins the volume (`PictureReader`), beside one linear
            convolution; 0, as in the released models: that alone.
        image_block_channels: of these blocks.
        image_summary: features of a summary of the whole picture that is made of what the blocks read (`PictureSummary`); 0: none.
    """

    tags = TAGS
    _supports_gradient_checkpointing = True
    _no_split_modules = ["ResnetBlock", "VideoAttention", "UpBlock"]
    _skip_layerwise_casting_patterns = ["norm"]
    _group_offload_block_modules = ["conv_image", "picture_reader"]  # project_image reaches them outside forward

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = 32,
        num_frames: int = 40,
        in_channels: int = 3,
        out_channels: int = 3,
        image_latent_channels: int = 256,
        text_embed_dim: int = 768,
        patch_size: int = 1,
        base_channels: int | None = None,
        block_out_channels: Sequence[int] = (64, 128, 256, 512),
        num_attention_heads: int = 8,
        attention_head_dim: int = 32,
        spatial_head_dim: int = 32,
        norm_num_groups: int = 8,
        upsample_type: str = "deconv",
        padding_mode: str = "zeros",
        learned_null_embedding: bool = False,
        prediction_type: str = "epsilon",
        flow_target: str = "absolute",
        target_mean: Sequence[float] = (0.0, 0.0, 0.5),
        target_std: Sequence[float] = (1.0, 1.0, 0.5),
        first_frame_is_picture: bool = False,
        text_attention: bool = False,
        flow_map: bool = False,
        image_blocks: int = 0,
        image_block_channels: int = 64,
        image_summary: int = 0,
    ):
        super().__init__()
        check_choice("upsample_type", upsample_type, ("deconv", "nearest"))
        check_choice("padding_mode", padding_mode, ("zeros", "reflect", "replicate", "circular"))
        check_choice("prediction_type", prediction_type, ("epsilon", "v_prediction", "sample", "flow_prediction"))
        check_choice("flow_target", flow_target, ("absolute", "residual"))
        if out_channels < 2:
            raise ValueError(f"`out_channels` must be at least 2, as the last has its own head, got {out_channels}.")
        if attention_head_dim % 2:
            raise ValueError(
                f"`attention_head_dim` must be even, as rotary positions turn pairs, got {attention_head_dim}."
            )
        for name, values in (("target_mean", target_mean), ("target_std", target_std)):
            if len(values) != out_channels:
                raise ValueError(
                    f"`{name}` must hold {out_channels} numbers, one for each channel, got {list(values)}."
                )
        if min(target_std) <= 0:
            raise ValueError(f"`target_std` must hold numbers of more than 0, got {list(target_std)}.")

        if image_summary and not image_blocks:
            raise ValueError(
                f"`image_summary` must be 0 without `image_blocks`, which read what is summarised, got {image_summary}."
            )
        base = base_channels or block_out_channels[0]
        widths = [base, *block_out_channels]
        read = [image_block_channels] if image_blocks else []
        if base < 4:  # sinusoids of fewer features divide zero by zero
            raise ValueError(f"`base_channels` (or the first of `block_out_channels`) must be at least 4, got {base}.")
        if any(width % norm_num_groups for width in widths + read):
            raise ValueError(
                f"`norm_num_groups` must divide `base_channels`, all `block_out_channels` and `image_block_channels`, {widths + read}, "
                f"got {norm_num_groups}."
            )
        levels = list(itertools.pairwise(widths))  # (in, out) of each level, finest first
        settings = BlockSettings(
            groups=norm_num_groups,
            embed_dim=4 * base + text_embed_dim,
            heads=num_attention_heads,
            head_dim=attention_head_dim,
            spatial_head_dim=spatial_head_dim,
            text_dim=text_embed_dim if text_attention else 0,
        )

        # One (1, 7, 7) convolution over [volume, picture], split in two because it is linear.
        self.conv_in = nn.Conv2d(in_channels * patch_size**2, base, 7, padding=3)
        self.conv_image = nn.Conv2d(image_latent_channels * patch_size**2, base, 7, padding=3, bias=False)
        self.picture_reader: PictureReader | None = None
        if image_blocks:
            self.picture_reader = PictureReader(
                image_latent_channels * patch_size**2,
                base,
                image_block_channels,
                image_blocks,
                norm_num_groups,
                image_summary,
            )
        self.time_proj = Timesteps(base, flip_sin_to_cos=False, downscale_freq_shift=1)
        self.time_embedding = TimestepEmbedding(base, 4 * base, act_fn="gelu")
        self.span_embedding: TimestepEmbedding | None = None
        if flow_map:  # of a step's length; nothing until it is trained, so that a trained denoiser stays what it is
            self.span_embedding = TimestepEmbedding(base, 4 * base, act_fn="gelu")
            nn.init.zeros_(self.span_embedding.linear_2.weight)
            nn.init.zeros_(self.span_embedding.linear_2.bias)
        self.null_text_embed = nn.Parameter(torch.randn(1, text_embed_dim)) if learned_null_embedding else None
        self.position_bias = RelativePositionBias(num_attention_heads)
        self.temporal_in = VideoAttention(base, num_attention_heads, attention_head_dim, "frames")

        self.down_blocks = nn.ModuleList(
            DownBlock(a, b, settings, downsample=i < len(levels) - 1) for i, (a, b) in enumerate(levels)
        )
        self.mid_block = MidBlock(widths[-1], settings)
        self.up_blocks = nn.ModuleList()
        for i, (a, b) in reversed(list(enumerate(levels))):
            upsample: nn.Module | None = None
            if i > 0 and upsample_type == "deconv":
                upsample = nn.ConvTranspose2d(a, a, 4, stride=2, padding=1)
            elif i > 0:
                upsample = NearestUpsample(a, cast(PaddingMode, padding_mode))
            self.up_blocks.append(UpBlock(b, a, settings, upsample))
        self.flow_head = OutputHead(2 * base, base, out_channels - 1, norm_num_groups, patch_size)
        self.occlusion_head = OutputHead(2 * base, base, 1, norm_num_groups, patch_size)
        self.gradient_checkpointing = False

    @property
    def size_stride(self) -> int:
        """h and w of a volume must be divisible by this."""
        return self.config.patch_size * 2 ** (len(self.config.block_out_channels) - 1)

    def _patches(self, x: torch.Tensor) -> torch.Tensor:
        """`(B, C, h, w)` -> `(B, C * p * p, h / p, w / p)`, channels-last."""
        return F.pixel_unshuffle(x, self.config.patch_size).contiguous(memory_format=torch.channels_last)

    @apply_forward_hook
    def project_image(self, image_latents: torch.Tensor) -> torch.Tensor:
        """The picture's share of the first convolution, with what `picture_reader` adds, `(B, base_channels, h / patch_size, w / patch_size)`.

        It is the same for every frame and every denoising step: compute it once and pass it to `forward`.

        Args:
            image_latents: `(B, image_latent_channels, h, w)`.
        """
        patches = self._image_patches(image_latents)
        image = self.conv_image(patches)
        return image if self.picture_reader is None else image + self.picture_reader(patches)

    @apply_forward_hook
    def summarize_image(self, image_latents: torch.Tensor) -> torch.Tensor:
        """Its summary of pictures, `(B, image_summary)`: what they show, in a few numbers.

        Args:
            image_latents: `(B, image_latent_channels, h, w)`.

        Raises:
            ValueError: for other shapes, and of a U-Net that makes no summary.
        """
        reader = self.picture_reader
        if reader is None or reader.summary is None:
            raise ValueError("`image_summary` of this U-Net is 0: it makes no summary of pictures.")
        return reader.summary.summarise(reader.blocks(self._image_patches(image_latents)))

    def _image_patches(self, image_latents: torch.Tensor) -> torch.Tensor:
        """`_patches` of pictures' latent maps, which are checked."""
        check_shape("image_latents", image_latents, ("batch", self.config.image_latent_channels, "height", "width"))
        check_sides("image_latents", image_latents, self.config.patch_size, unit="places")
        return self._patches(image_latents)

    def _embed_times(
        self,
        timestep: torch.Tensor | float | int,
        timestep_end: torch.Tensor | float | int | None,
        sample: torch.Tensor,
    ) -> torch.Tensor:
        """A step's beginning, and with `flow_map` its length, `(B, 4 * base_channels)`."""
        batch, given = sample.shape[0], {"timestep": timestep}
        if timestep_end is not None:
            if self.span_embedding is None:
                raise ValueError(
                    "`timestep_end` must be None for a U-Net without `flow_map`, which knows no step's end."
                )
            given["timestep_end"] = timestep_end
        times = []
        for name, time in given.items():
            if torch.is_tensor(time):
                check_tensor(name, time)
            else:
                require_kind(name, time, ["float"])
                time = torch.tensor(time, device=sample.device)
            if time.numel() not in (1, batch):
                raise ValueError(f"`{name}` must be one number or {batch}, got {time.numel()}.")
            times.append(time.to(sample.device).reshape(-1).expand(batch))
        embed = self.time_embedding(self.time_proj(times[0]).to(sample.dtype))  # sinusoids are float32
        if self.span_embedding is not None:
            embed = embed + self.span_embedding(self.time_proj(times[0] - times[-1]).to(sample.dtype))
        return embed

    def _embed_condition(
        self,
        time: torch.Tensor,
        text_embeds: torch.Tensor | None,
        null_mask: torch.Tensor | None,
        sample: torch.Tensor,
    ) -> tuple[torch.Tensor, TextTokens | None]:
        """Time (of `_embed_times`) and text, `(B, embed_dim)`, through the SiLU that every FiLM begins with; and the text's tokens."""
        batch, dim = sample.shape[0], self.config.text_embed_dim
        if null_mask is not None:
            check_tensor("null_mask", null_mask)
            if tuple(null_mask.shape) != (batch,) or null_mask.dtype != torch.bool:
                raise ValueError(
                    f"`null_mask` must be booleans of shape ({batch},), got {null_mask.dtype} {tuple(null_mask.shape)}."
                )
        tokens = None
        if self.config.text_attention:
            if text_embeds is not None:
                check_shape("text_embeds", text_embeds, (batch, "1 + tokens", dim), (1, "1 + tokens", dim))
                text_embeds, tokens = split_texts(text_embeds)
            else:
                tokens = TextTokens(
                    sample.new_zeros(1, 1, dim), torch.zeros(1, 1, dtype=torch.bool, device=sample.device)
                )
            mask = tokens.mask.expand(batch, -1)
            if null_mask is not None:
                mask = mask & ~null_mask.to(mask.device)[:, None]
            tokens = TextTokens(tokens.states.expand(batch, -1, -1), mask)
        learned = self.null_text_embed
        null = sample.new_zeros(1, dim) if learned is None else learned.to(sample.dtype)
        if text_embeds is None:
            text = null.expand(batch, -1)
        else:
            check_shape("text_embeds", text_embeds, (batch, dim), (1, dim))
            text = text_embeds.to(sample.dtype).expand(batch, -1)
            if null_mask is None and learned is not None and self.training:
                # Keep a learned null vector in the graph: DDP refuses parameters without a gradient.
                null_mask = torch.zeros(batch, dtype=torch.bool, device=sample.device)
            if null_mask is not None:
                text = torch.where(null_mask.to(sample.device)[:, None], null, text)
        return F.silu(torch.cat((time, text), dim=1)), tokens

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float | int,
        text_embeds: torch.Tensor | None = None,
        image_latents: torch.Tensor | None = None,
        null_mask: torch.Tensor | None = None,
        image_projection: torch.Tensor | None = None,
        return_dict: bool = True,
        timestep_end: torch.Tensor | float | int | None = None,
    ) -> UNet3DVideoOutput | Any:
        """Denoise: epsilon_theta(x_t, t, z0, e) of eq. 4 of the LFDM paper.

        Args:
            sample: `(B, 3, F, h, w)` noisy volume: flow x, flow y, occlusion.
            timestep: one number, or one for each row.
            text_embeds: `(B, D)`, or with `text_attention` `(B, 1 + L, D)`, the pooled vector and the tokens (see
                `text_attention.pack_texts`); None is the null condition. A batch of one serves all rows.
            image_latents: `(B, C, h, w)` latent map of the picture. A batch of one serves all rows.
            null_mask: `(B,)` booleans; True gives that row the null condition (classifier-free training).
            image_projection: `project_image(image_latents)`, instead of `image_latents`, to compute it only once.
            timestep_end: with `flow_map`, where the step from `timestep` leads, one number or one for each row; -1 is the clean
                volume. The prediction is then the one with which a single step of DDIM (eta 0) comes there. None predicts as
                any denoiser does, for steps of no length.

        Returns:
            `UNet3DVideoOutput` with `sample` `(B, 3, F, h, w)`, or the tuple `(sample,)`.

        Raises:
            ValueError: for shapes that do not fit; says which are allowed.
        """
        check_shape("sample", sample, ("batch", self.config.in_channels, "frames", "height", "width"))
        check_sides("sample", sample, self.size_stride, unit="places")
        batch, _, frames, height, width = sample.shape
        if image_projection is None and image_latents is not None:
            check_tensor("image_latents", image_latents)
            image = self.project_image(image_latents.to(sample.dtype))
        elif image_projection is not None and image_latents is None:
            check_tensor("image_projection", image_projection)
            image = image_projection
        else:
            raise ValueError("Pass either `image_latents` or `image_projection`, not both and not neither.")
        patch = self.config.patch_size
        expected = (self.conv_in.out_channels, height // patch, width // patch)
        if image.shape[0] not in (1, batch) or image.shape[1:] != expected:
            raise ValueError(
                f"The picture's latent map must be {height}x{width} like `sample`, for {batch} rows or one, "
                f"{expected} when projected, got {tuple(image.shape)} (projected)."
            )
        time = self._embed_times(timestep, timestep_end, sample)
        embed, text = self._embed_condition(time, text_embeds, null_mask, sample)
        heads, head_dim = self.config.num_attention_heads, self.config.attention_head_dim
        # Under autocast queries and keys come in its type; positions in float32 would widen them again.
        device, dtype = sample.device, sample.dtype
        if torch.is_autocast_enabled(device.type):
            dtype = torch.get_autocast_dtype(device.type)
        rotary = RotaryPositions.create(frames, heads, head_dim, min(MAX_ROTARY_DIM, head_dim), device, dtype)
        bias = self.position_bias(frames, device).to(dtype)
        context = FrameContext(num_frames=frames, rotary=rotary, bias=bias, text=text)

        # (B, C, F, h, w) -> (B*F, C, h, w)
        x = self._patches(sample.transpose(1, 2).flatten(0, 1))
        x = (self.conv_in(x).unflatten(0, (batch, frames)) + image[:, None]).flatten(0, 1)
        residual = x
        x = self.temporal_in(x, frames, rotary, bias)

        skips = []
        for block in self.down_blocks:
            x, skip = self._run(block, x, embed, context)
            skips.append(skip)
        x = self._run(self.mid_block, x, embed, context)
        for block in self.up_blocks:
            x = self._run(block, x, skips.pop(), embed, context)

        x = torch.cat((x, residual), dim=1)
        x = torch.cat((self.flow_head(x, frames), self.occlusion_head(x, frames)), dim=1)
        x = x.unflatten(0, (batch, frames)).transpose(1, 2).contiguous()
        return UNet3DVideoOutput(sample=x) if return_dict else (x,)

    def _run(self, block: nn.Module, *args: Any) -> Any:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(block, *args)
        return block(*args)
