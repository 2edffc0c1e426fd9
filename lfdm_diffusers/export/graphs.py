"""The networks of a pipeline, cut as a runner calls them: each a module of tensors in, tensors out.

encoder   once a picture     picture -> skips of the decoder, the picture's share of the denoiser's first convolution
denoiser  once a step        volume, timestep, text, that share -> prediction
renderer  once a clip        picture, skips, flow, occlusion -> frames, warped (the picture, moved by the flow alone)
painter   some frames        larger picture, flow, occlusion, frames, warped -> finer_flow, painted, share, as `FullSizePainter`
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from ..models import FullSizePainter, LatentFlowAutoencoder, UNet3DVideoModel
from ..models.latent_flow_autoencoder import EncodedImage
from ..pipelines import LFDMPipeline


class Graph(NamedTuple):
    """A module to export.

    Attributes:
        module: takes `inputs` in their order, and returns tensors named `outputs`.
        inputs: by name, an example of the shape that is exported.
        outputs: names.
        free: axes that need not have the example's length, by input: {"volume": {2: "num_frames"}}.
    """

    module: nn.Module
    inputs: dict[str, torch.Tensor]
    outputs: list[str]
    free: dict[str, dict[int, str]]


class EncoderGraph(nn.Module):
    """Eq. 1 of the LFDM paper, and `UNet3DVideoModel.project_image`."""

    def __init__(self, lfae: LatentFlowAutoencoder, unet: UNet3DVideoModel):
        super().__init__()
        self.lfae, self.unet = lfae, unet

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoded = self.lfae.encode(picture)
        return (self.unet.project_image(encoded.latent), *encoded.skips)


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
        flow, occlusion = (x.transpose(0, 1)[None] for x in (flow, occlusion))  # (1, C, F, h, w)
        frames = self.lfae.decode(encoded, flow, occlusion, chunk_size=flow.shape[2])
        return frames.sample[0].transpose(0, 1), frames.warped[0].transpose(0, 1)


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


def pipeline_graphs(pipe: LFDMPipeline, painted_frames: int = 1) -> dict[str, Graph]:
    """The graphs of a pipeline at its trained size and length, by name.

    Args:
        pipe: in eval mode, float32, on the CPU.
        painted_frames: how many frames the painter takes at a time.
    """
    chance = torch.Generator().manual_seed(0)

    def example(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=chance, dtype=torch.float32)

    lfae, unet = pipe.lfae, pipe.unet
    size, num_frames, dim = lfae.config.sample_size, unet.config.num_frames, unet.config.text_embed_dim
    picture = example(1, 3, size, size)
    with torch.no_grad():
        encoded = lfae.encode(picture)
        projection = unet.project_image(encoded.latent)
    places = size // lfae.downscale_factor
    flow, occlusion = example(num_frames, 2, places, places) * 2 - 1, example(num_frames, 1, places, places)
    skips = {f"skip_{i}": skip for i, skip in enumerate(encoded.skips)}
    graphs = {
        "encoder": Graph(EncoderGraph(lfae, unet), {"picture": picture}, ["image_projection", *skips], {}),
        "denoiser": Graph(
            DenoiserGraph(unet),
            {
                "volume": example(1, 3, num_frames, places, places),
                "timestep": torch.tensor([500], dtype=torch.int64),
                "text_embeds": example(1, dim),
                "image_projection": projection,
            },
            ["prediction"],
            {"volume": {2: "num_frames"}},
        ),
        "renderer": Graph(
            RendererGraph(lfae),
            {"picture": picture, "flow": flow, "occlusion": occlusion, **skips},
            ["frames", "warped"],
            {"flow": {0: "num_frames"}, "occlusion": {0: "num_frames"}},
        ),
    }
    if pipe.painter is not None:
        large = size * pipe.painter.config.scale
        some = slice(0, painted_frames)
        graphs["painter"] = Graph(
            PainterGraph(pipe.painter),
            {
                "picture": example(1, 3, large, large),
                "flow": flow[some],
                "occlusion": occlusion[some],
                "frames": example(painted_frames, 3, size, size),
                "warped": example(painted_frames, 3, size, size),
            },
            ["finer_flow", "painted", "share"],
            {name: {0: "num_frames"} for name in ("flow", "occlusion", "frames", "warped")},
        )
    return graphs
