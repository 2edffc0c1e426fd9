"""Clips of every label for some pictures, with fixed seeds, on one sheet: how well a U-Net does so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch

from .pipelines import LFDMPipeline
from .visualization import contact_sheet, flow_in_pixels, flow_to_color, full_colour_length

FRAMES = 6


def generation_sheet(
    pipe: LFDMPipeline,
    pictures: Sequence[PIL.Image.Image],
    labels: Sequence[str | None],
    num_frames: int | None = None,
    seed: int = 0,
    most_labels: int = 12,
) -> PIL.Image.Image:
    """Generate each of `labels` (None: without a condition; at most `most_labels`) for each picture.

    Args:
        pipe: its default number of steps and settings are used.
        pictures: one block of rows each.
        labels: one column each.
        num_frames: of a clip.
        seed: of the noise: the same for all labels of a picture, another for each picture.

    Returns:
        A sheet: for each picture a row of it, rows of evenly spaced frames, and rows of the flow and the occlusion of the
        frame with the largest motion.
    """
    labels, rows, names = list(labels)[:most_labels], [], []
    for number, picture in enumerate(pictures):
        out = pipe(
            [picture] * len(labels),
            None if labels == [None] else labels,
            num_frames=num_frames,
            generator=[torch.Generator().manual_seed(seed + number) for _ in labels],
            output_type="np",
        )
        height, width = out.frames.shape[2:4]
        motion = flow_in_pixels(out.flow.float().cpu().numpy(), height, width)  # (B, F, 2, h, w)
        motion = motion - motion[:, :1]  # what the first frame has already is no motion
        length = np.hypot(motion[:, :, 0], motion[:, :, 1])
        farthest = length.mean(axis=(2, 3)).argmax(axis=1)
        shown = np.linspace(0, out.frames.shape[1] - 1, FRAMES).round().astype(int)
        rows.append([np.asarray(picture.convert("RGB"), dtype=np.float32) / 255] * len(labels))
        rows += [[out.frames[i, frame] for i in range(len(labels))] for frame in shown]
        at = list(enumerate(farthest))
        largest = full_colour_length(motion[np.arange(len(farthest)), farthest])
        rows.append([flow_to_color(motion[i, frame], largest) for i, frame in at])
        rows.append([out.occlusion[i, frame, 0].float().cpu().numpy() for i, frame in at])
        names += ["picture", *(f"frame {frame}" for frame in shown), f"flow (full: {largest:.1f} px)", "occlusion"]
    return contact_sheet(rows, [label or "no label" for label in labels], names=names)
