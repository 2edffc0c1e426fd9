"""Clips of every label for some pictures, with fixed seeds, on one sheet: how well a U-Net does so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch

from ..data.cache import ClipReader
from ..data.clips import Clip
from ..data.sampling import spread
from ..pipelines import ImageToVideoPipeline, LFDMPipelineOutput
from . import contact_sheet, flow_in_pixels, flow_to_color, full_colour_length

FRAMES = 6


def first_pictures(clips: Sequence[Clip], reader: ClipReader, count: int) -> list[PIL.Image.Image]:
    """First frames of `count` of `clips`, evenly spread, of other subjects as long as there are any."""
    subjects = list({clip.subject or clip.name: clip for clip in clips}.values())
    return [PIL.Image.fromarray(reader.place(reader.read(clip, [0]))[0]) for clip in spread(subjects, count)]


def generation_sheet(
    pipe: ImageToVideoPipeline,
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
        A sheet: for each picture a row of it, rows of evenly spaced frames, and where there is a motion, rows of the flow and the
        occlusion of the frame with the largest.
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
        shown = spread(range(out.frames.shape[1]), FRAMES)
        rows.append([np.asarray(picture.convert("RGB"), dtype=np.float32) / 255] * len(labels))
        rows += [[out.frames[i, frame] for i in range(len(labels))] for frame in shown]
        names += ["picture", *(f"frame {frame}" for frame in shown)]
        if isinstance(out, LFDMPipelineOutput):
            motion_rows, motion_names = _motion_of(out)
            rows += motion_rows
            names += motion_names
    return contact_sheet(rows, [label or "no label" for label in labels], names=names)


def _motion_of(out: LFDMPipelineOutput) -> tuple[list[list[np.ndarray]], list[str]]:
    """A row of the flow and one of the occlusion of each video's frame with the largest motion, and the rows' names."""
    height, width = out.frames.shape[2:4]
    motion = flow_in_pixels(out.flow.float().cpu().numpy(), height, width)  # (B, F, 2, h, w)
    motion = motion - motion[:, :1]  # what the first frame has already is no motion
    farthest = np.hypot(motion[:, :, 0], motion[:, :, 1]).mean(axis=(2, 3)).argmax(axis=1)
    at = list(enumerate(farthest))
    largest = full_colour_length(motion[np.arange(len(farthest)), farthest])
    flows = [flow_to_color(motion[i, frame], largest) for i, frame in at]
    occlusions = [out.occlusion[i, frame, 0].float().cpu().numpy() for i, frame in at]
    return [flows, occlusions], [f"flow (full: {largest:.1f} px)", "occlusion"]
