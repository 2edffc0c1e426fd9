"""The networks of a pipeline, cut as a runner calls them: each a module of tensors in, tensors out.

encoder   once a picture     picture -> skips of the decoder, the picture's share of the denoiser's first convolution, and of a model
                             that tells which labels a picture shows, a score of each
denoiser  once a step        volume, timestep, text, that share -> prediction; text is the pooled vector of a text, or of a model
                             that attends to tokens that and them (`text_attention.pack_texts`)
renderer  once a clip        picture, skips, flow, occlusion -> frames, warped (the picture, moved by the flow alone)
text_encoder  once a text    input_ids, attention_mask -> text_embeds, and how unlike the training's sentences it is, where
                             those are known
painter   some frames        larger picture, flow, occlusion, frames, warped -> finer_flow, painted, share, as `FullSizePainter`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from ..models import FullSizePainter, LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from ..models.latent_flow_autoencoder import EncodedImage
from ..models.text_attention import pack_texts
from ..models.text_encoders import pool_text
from ..pipelines import LFDMPipeline
from ..pipelines.shown_labels import ShownLabels

FRAMES, TOKENS = "num_frames", "num_tokens"


class Graph(NamedTuple):
    """A module to export.

    Attributes:
        module: takes `inputs` in their order, and returns tensors named `outputs`.
        inputs: by name, an example of the shape that is exported.
        outputs: names.
        free: axes that need not have the example's length, by input: {"volume": {2: "num_frames", 3: "height/2"}}. Sides are told
            in those of the picture.
    """

    module: nn.Module
    inputs: dict[str, torch.Tensor]
    outputs: list[str]
    free: dict[str, dict[int, str]]

    def with_free(self, frames: bool, sides: bool) -> Graph:
        """The same, of whose free axes only the number of frames, or the sides, or both, or none, are left. Texts have any length."""
        kept = {FRAMES: frames, TOKENS: True}
        free = {
            name: {axis: what for axis, what in axes.items() if kept.get(what, sides)}
            for name, axes in self.free.items()
        }
        return self._replace(free={name: axes for name, axes in free.items() if axes})


class EncoderGraph(nn.Module):
    """Eq. 1 of the LFDM paper, `UNet3DVideoModel.project_image`, and `ShownLabels.scores` where there are some."""

    def __init__(self, lfae: LatentFlowAutoencoder, unet: UNet3DVideoModel, shown: ShownLabels | None = None):
        super().__init__()
        self.lfae, self.unet, self.shown = lfae, unet, shown

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoded = self.lfae.encode(picture)
        scores = () if self.shown is None else (self.shown.scores(self.unet.summarize_image(encoded.latent)),)
        return (self.unet.project_image(encoded.latent), *encoded.skips, *scores)


class DenoiserGraph(nn.Module):
    """Eq. 4 of the LFDM paper."""

    def __init__(self, unet: UNet3DVideoModel):
        super().__init__()
        self.unet = unet

    def forward(
        self, volume: torch.Tensor, timestep: torch.Tensor, text_embeds: torch.Tensor, image_projection: torch.Tensor
    ) -> torch.Tensor:
        return self.unet(
            volume, timestep, text_embeds=text_embeds, image_projection=image_projection, return_dict=False
        )[0]


class RendererGraph(nn.Module):
    """Eq. 5 of the LFDM paper for all frames of a clip; flow and occlusion one frame after the other, `(F, 2, h, w)`."""

    def __init__(self, lfae: LatentFlowAutoencoder):
        super().__init__()
        self.lfae = lfae

    def forward(
        self, picture: torch.Tensor, flow: torch.Tensor, occlusion: torch.Tensor, *skips: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        encoded = EncodedImage(latent=skips[-1], skips=skips, image=picture)
        frames = self.lfae.decode(
            encoded, flow, occlusion, chunk_size=1
        )  # each frame a motion of its own, all at once
        return frames.sample, frames.warped


class TextEncoderGraph(nn.Module):
    """A BERT-like encoder, and the mean of what it makes of a text's tokens (`pool_text`); with `tokens` also those themselves.

    With a `table` that knows the training's sentences also how unlike them a text is: above 1 it is one to warn of.
    """

    def __init__(self, text_encoder: nn.Module, tokens: bool = False, table: LabelEmbeddings | None = None):
        super().__init__()
        self.text_encoder, self.tokens, self.table = text_encoder, tokens, table

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden_states = self.text_encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        pooled = pool_text(hidden_states, attention_mask)
        packed = pack_texts(pooled, hidden_states, attention_mask) if self.tokens else pooled
        return (packed,) if self.table is None else (packed, self.table.unlikeness(pooled))


class PainterGraph(nn.Module):
    """`FullSizePainter` of a batch of frames."""

    def __init__(self, painter: FullSizePainter):
        super().__init__()
        self.painter = painter

    def forward(
        self,
        picture: torch.Tensor,
        flow: torch.Tensor,
        occlusion: torch.Tensor,
        frames: torch.Tensor,
        warped: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        details = self.painter(picture, flow, occlusion, frames, warped)
        return details.flow, details.painted, details.share


def pipeline_graphs(
    pipe: LFDMPipeline, painted_frames: int = 1, size: tuple[int, int] | None = None
) -> dict[str, Graph]:
    """The graphs of a pipeline at its trained length, by name.

    Args:
        pipe: in eval mode, float32, on the CPU.
        painted_frames: how many frames the painter takes at a time.
        size: height and width of the example picture, multiples of `pipe.stride`; None: as trained.
    """
    chance = torch.Generator().manual_seed(0)

    def example(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=chance, dtype=torch.float32)

    lfae, unet, shown = pipe.lfae, pipe.unet, pipe.told_labels
    num_frames, dim, shrink = unet.config.num_frames, unet.config.text_embed_dim, lfae.downscale_factor
    height, width = size or (lfae.config.sample_size,) * 2
    picture = example(1, 3, height, width)
    with torch.no_grad():
        encoded = lfae.encode(picture)
        projection = unet.project_image(encoded.latent)
    places = height // shrink, width // shrink
    flow, occlusion = example(num_frames, 2, *places) * 2 - 1, example(num_frames, 1, *places)
    hears = unet.config.text_attention
    skips = {f"skip_{i}": skip for i, skip in enumerate(encoded.skips)}
    graphs = {
        "encoder": Graph(
            EncoderGraph(lfae, unet, shown),
            {"picture": picture},
            ["image_projection", *skips, *(["shown"] if shown else [])],
            free_sides({"picture": picture}, height),
        ),
        "denoiser": Graph(
            DenoiserGraph(unet),
            {
                "volume": (volume := example(1, 3, num_frames, *places)),
                "timestep": torch.tensor([500], dtype=torch.int64),
                "text_embeds": example(1, *([6] if hears else []), dim),
                "image_projection": projection,
            },
            ["prediction"],
            free_sides({"volume": volume, "image_projection": projection}, height, volume=2)
            | ({"text_embeds": {1: TOKENS}} if hears else {}),
        ),
        "renderer": Graph(
            RendererGraph(lfae),
            {"picture": picture, "flow": flow, "occlusion": occlusion, **skips},
            ["frames", "warped"],
            free_sides(
                {"picture": picture, "flow": flow, "occlusion": occlusion, **skips}, height, flow=0, occlusion=0
            ),
        ),
    }
    if pipe.text_encoder is not None:
        ids = torch.arange(8)[None] % pipe.text_encoder.config.vocab_size
        texts = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        free = {name: {1: TOKENS} for name in texts}
        table = pipe.label_embeddings
        knows = table if table is not None and table.config.num_axes else None
        graphs["text_encoder"] = Graph(
            TextEncoderGraph(pipe.text_encoder, hears, knows),
            texts,
            ["text_embeds", *(["unlikeness"] if knows is not None else [])],
            free,
        )
    if pipe.painter is not None:
        scale, some = pipe.painter.config.scale, slice(0, painted_frames)
        painted = {
            "picture": example(1, 3, height * scale, width * scale),
            "flow": flow[some],
            "occlusion": occlusion[some],
            "frames": example(painted_frames, 3, height, width),
            "warped": example(painted_frames, 3, height, width),
        }
        graphs["painter"] = Graph(
            PainterGraph(pipe.painter),
            painted,
            ["finer_flow", "painted", "share"],
            free_sides(painted, height, flow=0, occlusion=0, frames=0, warped=0),
        )
    return graphs


def free_sides(inputs: Mapping[str, torch.Tensor], height: int, **frames: int) -> dict[str, dict[int, str]]:
    """`Graph.free` of maps whose last two axes are sides.

    Args:
        inputs: the maps, by name.
        height: of the picture.
        frames: which axis of a map counts frames.
    """
    free = {}
    for name, value in inputs.items():
        shown = value.shape[-2] / height
        of_picture = "" if shown == 1 else f"*{shown:g}" if shown > 1 else f"/{1 / shown:g}"
        sides = {value.ndim - 2: f"height{of_picture}", value.ndim - 1: f"width{of_picture}"}
        free[name] = ({frames[name]: FRAMES} if name in frames else {}) | sides
    return free
