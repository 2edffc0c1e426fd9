"""How well auto-encoders reconstruct real clips; for training, scores and a contact sheet of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from ..data.cache import ClipReader
from ..data.clips import Clip
from ..data.motion_maps import motion_maps, residual_motion
from ..data.sampling import spread
from ..data.true_motion import true_motion
from ..files.progress import progress_bar
from ..metrics import (
    EndPointScores,
    ReconstructionScores,
    moving_pixels,
    occlusion_statistics,
    reconstruction_l1,
    reconstruction_l1_per_frame,
)
from ..models import LatentFlowAutoencoder
from ..ops.warp import sampling_grid
from ..pipelines import FrameDiffusionPipeline, ImageToVideoPipeline, LFDMPipeline
from ..pipelines.image_to_video import eval_mode
from ..visualization import contact_sheet, flow_in_pixels, flow_to_color, full_colour_length
from .video_sets import VideoSet


def reconstruction_pairs(
    clips: Sequence[Clip], reader: ClipReader, count: int, with_motion: bool = False
) -> tuple[torch.Tensor, ...]:
    """The first frame of `count` clips and, of each clip, the frame that differs most from it.

    The clips are spread evenly over `clips`; all of them, if there are fewer.

    Returns:
        Reference and driving pictures, each `(N, 3, H, W)` float32 in [0, 1]; and the true motion between them, if it is asked for:
        residual flow `(N, 2, H, W)` and visibility `(N, 1, H, W)`, as `residual_motion` gives them.
    """
    pairs, motions = [], []
    for clip in spread(clips, count):
        frames = reader.read(clip, range(reader.length(clip)))
        farthest = np.abs(frames.astype(np.float32) - frames[0]).mean(axis=(1, 2, 3)).argmax()
        pairs.append(reader.place(frames[[0, farthest]]))
        if with_motion:
            motions.append([each[farthest] for each in residual_motion(clip, reader.height, reader.width)])
    pictures = torch.from_numpy(np.stack(pairs)).permute(1, 0, 4, 2, 3).float() / 255  # (2, N, 3, H, W)
    return pictures[0].contiguous(), pictures[1].contiguous(), *(torch.stack(each) for each in zip(*motions))


def motion_between(
    lfae: LatentFlowAutoencoder, reference: torch.Tensor, driving: torch.Tensor, true: Sequence[torch.Tensor] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow `(B, 2, h, w)` and occlusion `(B, 1, h, w)`, as `lfae.decode` takes them: of the true motion, as `residual_motion` gives
    it (also of larger pictures), or where that is not given what the auto-encoder sees."""
    if not true:
        seen = lfae.predict_flow(reference, driving)
        return seen.flow, seen.occlusion
    flow, visibility = true
    residual, occlusion = motion_maps(flow, visibility, lfae.flow_size(*reference.shape[-2:]))
    grid = sampling_grid(residual.shape[-2], residual.shape[-1], residual.device, centers=True)
    return residual + grid.movedim(-1, 0), occlusion


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
    lfae: LatentFlowAutoencoder,
    reference: torch.Tensor,
    driving: torch.Tensor,
    *true: torch.Tensor,
    batch_size: int = 16,
    rows: int = 8,
) -> tuple[dict[str, float], PIL.Image.Image]:
    """Re-enact pairs in eval mode; the mode of each of the model's parts is put back afterwards.

    Args:
        lfae: anywhere; under autocast or not.
        reference, driving: `(N, 3, H, W)` in [0, 1].
        true: residual flow and visibility, as `reconstruction_pairs` gives them, to decode by in the place of the model's own motion.
        batch_size: pairs at once.
        rows: pairs on the contact sheet, spread evenly.

    Returns:
        The numbers of `ReconstructionScores` and `occlusion_statistics`; l1_painted and static_l1_painted, over pixels
        that are inpainted rather than warped (left out if none are); and a sheet of reference, driving, warped,
        inpainted, reconstruction, flow, occlusion.
    """
    parts = []
    with eval_mode(lfae):
        for start in range(0, len(reference), batch_size):
            batch = [x[start : start + batch_size].to(lfae.device) for x in (reference, driving, *true)]
            flow, occlusion = motion_between(lfae, batch[0], batch[1], batch[2:])
            out = lfae.decode(lfae.encode(batch[0]), flow, occlusion)
            parts.append([x.float().cpu() for x in (out.warped, out.inpainted, out.sample, flow, occlusion)])
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


# The scores of `reconstruction_scores`; those of motion need to know the true one.
OF_MOTION = ("epe", "occlusion")


def require_true_motion(real: VideoSet) -> None:
    """Refuse clips whose true flow cannot be compared, by the first one.

    Raises:
        ValueError: if it is not known, or of another size than the model's pictures.
    """
    flow, _ = true_motion(real.clips[0])
    if flow.shape[2:] != (real.reader.height, real.reader.width):
        raise ValueError(
            f"`metrics` {' and '.join(OF_MOTION)} need clips of the model's {real.reader.width}x{real.reader.height} pixels, as "
            f"flow is not stretched; those of the data have {flow.shape[3]}x{flow.shape[2]}."
        )


def reconstruction_scores(
    names: Sequence[str], pipe: ImageToVideoPipeline, real: VideoSet, progress: bool = True
) -> dict[str, Any]:
    """Real clips as a pipeline's auto-encoder gives them back: "l1", "epe" and "occlusion", as far as `names` asks for them.

    LFDM's re-enacts them from their first frame (LFDM, table 3), the others' give back every frame by itself.

    l1: L1 over all pixels and by frame, and over what moves. Of LFDM's, against the true motion of the frames after the
    first: epe, the end-point error in pixels over what is visible and moves; by place, and of no motion. occlusion, the
    mean of the map over what is hidden in the first frame; over what is visible there, over all, and its least.
    """
    scores, errors = ReconstructionScores(), EndPointScores()
    by_frame = torch.zeros(real.num_frames, dtype=torch.float64)
    occlusions, visibilities = [], []
    for index in progress_bar(range(len(real)), desc="reconstruction", unit="clip", disable=not progress):
        frames = real.frames(index)
        if isinstance(pipe, LFDMPipeline):
            clip = reenact(pipe.lfae, frames)
            target, sample, inpainted = clip.target, clip.sample, clip.inpainted
        else:
            target, sample, inpainted = (frames.float() / 255)[None], reconstruct(pipe, frames)[None], None
        scores.update(target[:, :1], target, sample, inpainted)
        by_frame += torch.tensor(reconstruction_l1_per_frame(sample, target), dtype=torch.float64)
        if set(OF_MOTION) & set(names):
            flow, visible = (torch.from_numpy(each) for each in true_motion(real.clips[index]))
            shown = real.indices(index)[1:]  # the first frame is the reference itself
            moving = moving_pixels(clip.target[0, :1], clip.target[0, 1:])
            errors.update(clip.flow[1:], flow[shown], visible[shown], moving, pipe.lfae.config.flow_grid)
            occlusions.append(clip.occlusion[1:])
            visibilities.append(visible[shown])
    found: dict[str, Any] = {}
    if "l1" in names:
        numbers = scores.compute()
        found["l1"] = {"value": numbers["l1"], **numbers, "per_frame": (by_frame / len(real)).tolist()}
    if "epe" in names:
        places = errors.compute()
        place = "visible_moving"
        found["epe"] = {"value": places["predicted"][place], "no_motion": places["zero"][place], "places": places}
    if "occlusion" in names:
        numbers = occlusion_statistics(torch.cat(occlusions), torch.cat(visibilities))
        numbers = {name.removeprefix("occlusion_"): value for name, value in numbers.items()}
        found["occlusion"] = {"value": numbers.pop("of_hidden"), **numbers}
    return found
