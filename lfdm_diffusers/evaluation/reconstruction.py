"""How well auto-encoders give real frames back: clips, and for training numbers and a contact sheet of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from ..data.cache import ClipReader
from ..data.clips import Clip
from ..data.sampling import spread
from ..metrics.reconstruction import ReconstructionScores, occlusion_statistics, reconstruction_l1
from ..models import LatentFlowAutoencoder
from ..pipelines import FrameDiffusionPipeline, ImageToVideoPipeline, LFDMPipeline
from ..visualization import contact_sheet, flow_in_pixels, flow_to_color, full_colour_length


def reconstruction_pairs(clips: Sequence[Clip], reader: ClipReader, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first frame of `count` clips and, of each clip, the frame that differs most from it.

    The clips are spread evenly over `clips`; all of them, if there are fewer.

    Returns:
        Reference and driving pictures, each `(N, 3, H, W)` float32 in [0, 1].
    """
    pairs = []
    for clip in spread(clips, count):
        frames = reader.read(clip, range(reader.count(clip) if clip.num_frames is None else clip.num_frames))
        farthest = np.abs(frames.astype(np.float32) - frames[0]).mean(axis=(1, 2, 3)).argmax()
        pairs.append(reader.place(frames[[0, farthest]]))
    pictures = torch.from_numpy(np.stack(pairs)).permute(1, 0, 4, 2, 3).float() / 255  # (2, N, 3, H, W)
    return pictures[0].contiguous(), pictures[1].contiguous()


class ReenactedClip(NamedTuple):
    """A clip, and what the auto-encoder makes of its first frame and its motion; float32 on the CPU.

    Attributes:
        target, sample, inpainted: `(1, F, 3, H, W)` in [0, 1]: the clip, the result, the decoder's own picture.
        flow, occlusion: `(F, 2, h, w)` and `(F, 1, h, w)`.
    """

    target: torch.Tensor
    sample: torch.Tensor
    inpainted: torch.Tensor
    flow: torch.Tensor
    occlusion: torch.Tensor


@torch.no_grad()
def reenact(lfae: LatentFlowAutoencoder, frames: torch.Tensor) -> ReenactedClip:
    """Re-enact a clip `(F, 3, H, W)` uint8 from its first frame, by a model in eval mode."""
    target = (frames.float() / 255)[None].to(lfae.device, lfae.dtype)
    motion = lfae.predict_flow(target[:, 0], target.transpose(1, 2))
    decoded = lfae.decode(lfae.encode(target[:, 0]), motion.flow, motion.occlusion)
    clips = (target, decoded.sample.transpose(1, 2), decoded.inpainted.transpose(1, 2))
    maps = (motion.flow[0].transpose(0, 1), motion.occlusion[0].transpose(0, 1))
    return ReenactedClip(*(x.float().cpu() for x in (*clips, *maps)))


def has_autoencoder(pipe: ImageToVideoPipeline) -> bool:
    """Whether real clips can be reconstructed in what the pipeline generates."""
    return isinstance(pipe, LFDMPipeline | FrameDiffusionPipeline)


@torch.no_grad()
def reconstruct(pipe: ImageToVideoPipeline, frames: torch.Tensor) -> torch.Tensor:
    """What a perfect denoiser would leave of a clip `(F, 3, H, W)` uint8: the clip in what is diffused, and back.

    LFDM re-enacts it from its first frame by its own motion; the others encode and decode every frame.

    Args:
        pipe: for which `has_autoencoder` is true.
        frames: of the pipeline's size.

    Returns:
        `(F, 3, H, W)` float32 in [0, 1] on the CPU.
    """
    if isinstance(pipe, LFDMPipeline):
        return reenact(pipe.lfae, frames).sample[0]
    latents = pipe.scaled_latents((frames.float() / 255).to(pipe.device))
    return pipe.decode_latents(latents.transpose(0, 1)[None])[0].transpose(0, 1).float().cpu()


@torch.no_grad()
def evaluate_reconstruction(
    lfae: LatentFlowAutoencoder, reference: torch.Tensor, driving: torch.Tensor, batch_size: int = 16, rows: int = 8
) -> tuple[dict[str, float], PIL.Image.Image]:
    """Re-enact pairs in eval mode; the mode of each of the model's parts is put back afterwards.

    Args:
        lfae: anywhere; under autocast or not.
        reference, driving: `(N, 3, H, W)` in [0, 1].
        batch_size: pairs at once.
        rows: pairs on the contact sheet, spread evenly.

    Returns:
        The numbers of `ReconstructionScores` and `occlusion_statistics`; l1_painted and static_l1_painted, over pixels
        that are inpainted rather than warped (left out if none are); and a sheet of reference, driving, warped,
        inpainted, reconstruction, flow, occlusion.
    """
    training = [module for module in lfae.modules() if module.training]
    lfae.eval()
    parts = []
    for start in range(0, len(reference), batch_size):
        pair = (x[start : start + batch_size].to(lfae.device) for x in (reference, driving))
        out = lfae(*pair)
        parts.append([x.float().cpu() for x in (out.warped, out.inpainted, out.sample, out.flow, out.occlusion)])
    for module in training:
        module.training = True
    warped, inpainted, sample, flow, occlusion = (torch.cat(part) for part in zip(*parts))

    scores = ReconstructionScores()
    scores.update(reference, driving, sample, inpainted)
    numbers = scores.compute() | occlusion_statistics(occlusion)
    painted = F.interpolate(occlusion, driving.shape[-2:], mode="bilinear", align_corners=False) < 0.5
    if painted.any():
        numbers["l1_painted"] = reconstruction_l1(sample, driving, painted)
        numbers["static_l1_painted"] = reconstruction_l1(reference, driving, painted)

    shown = np.unique(np.linspace(0, len(flow) - 1, rows).round().astype(int))
    reference, driving, warped, inpainted, sample, flow, occlusion = (
        x[shown] for x in (reference, driving, warped, inpainted, sample, flow, occlusion)
    )
    motion = flow_in_pixels(flow.numpy(), *reference.shape[-2:])
    largest = full_colour_length(motion)
    sheet = [
        [
            *(x[i].permute(1, 2, 0).numpy() for x in (reference, driving, warped, inpainted, sample)),
            flow_to_color(motion[i], largest),
            occlusion[i, 0].numpy(),
        ]
        for i in range(len(motion))
    ]
    titles = ["reference", "driving", "warped", "inpainted", "reconstruction"]
    titles += [f"flow\n(full: {largest:.1f} pixels)", "occlusion\n(white: 1, warped)"]
    return numbers, contact_sheet(sheet, titles)
