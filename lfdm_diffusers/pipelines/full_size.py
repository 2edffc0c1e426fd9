"""Frames at another size than the model's: what a call asks for, as the model and the renderer need it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.utils import logging

from ..data.picture_fitting import fit_picture, frame_sides, over_white
from ..models import FullSizePainter
from ..models.full_size_painter import agreement
from .image_to_video import Videos
from .motion import Mask, mask_tensor
from .rendering import Axis, Box, MovedSubject, Renderer, resized_picture
from .steadying import activity, hidden, steadied, still_at_rest
from .subjects import Subject, box_of_mask, check_subjects
from .videos import rendered

logger = logging.get_logger(__name__)

SIZES = ("model", "picture")
STRETCHED = 0.02  # by which proportions may differ, as rounding makes them
# Of a clip, painted in full size at a time.
FRAMES_AT_ONCE = 4


class FullSize:
    """Videos at another size than the model's (`output_size`), whose motion may be that of parts of a picture (`subjects`).

    Args:
        pictures: `(3, H, W)` in [0, 1], or `(4, H, W)` with alpha, as they were given.
        output_size: "picture", or height and width of the frames.
        frame: height and width of the model's frames.
        image_fit: how pictures are fitted to it; boxes always fill it.
        subjects: boxes and masks of the one picture.
        motion_mask: as in `LFDMPipeline.__call__`.

    Raises:
        ValueError: naming the argument.
    """

    def __init__(
        self,
        pictures: Sequence[torch.Tensor],
        output_size: str | tuple[int, int],
        frame: tuple[int, int],
        image_fit: str,
        subjects: Sequence[Subject] | None = None,
        motion_mask: Mask | None = None,
    ):
        self.frame, self.subjects = frame, subjects
        self.masks = check_subjects(subjects, pictures)
        self.given = pictures
        self.pictures = [self._sized(picture, output_size) for picture in pictures]
        if subjects is None:
            self.boxes = [Box(*frame_sides(p.shape[-2:], *frame, image_fit)) for p in pictures]
        else:
            self.boxes = [
                (cast(Box, subject) if mask is None else box_of_mask(mask)).framed(*frame)
                for subject, mask in zip(subjects, self.masks)
            ]
        self.mask = None if motion_mask is None else mask_tensor(motion_mask).float()

    @classmethod
    def asked(
        cls,
        pictures: Sequence[torch.Tensor],
        output_size: str | tuple[int, int],
        frame: tuple[int, int],
        image_fit: str,
        subjects: Sequence[Subject] | None,
        motion_mask: Mask | None,
        output_type: str,
    ) -> FullSize | None:
        """What a call asks for; None where frames are the decoder's own."""
        check_output_size(output_size)
        if output_type == "latent" or (output_size == "model" and subjects is None):
            return None
        output_size = "picture" if output_size == "model" else output_size
        sizes = sorted({tuple(picture.shape[-2:]) for picture in pictures})
        if output_size == "picture" and output_type in ("np", "pt") and len(sizes) > 1:
            raise ValueError(
                f"`output_type` must be 'pil' or 'stream' for pictures of several sizes ({', '.join(map(str, sizes))}), "
                f"got {output_type!r}."
            )
        if not isinstance(output_size, str):
            for height, width in sizes:
                stretched = (output_size[1] / output_size[0]) / (width / height)
                if abs(stretched - 1) > STRETCHED:
                    logger.warning(
                        f"`output_size` {tuple(output_size)} (height, width) has other proportions than the picture of {height}x{width}, "
                        f"which becomes {stretched:.2g} times as wide for its height: crop it first to keep its shape."
                    )
        if output_type in ("np", "pt") and any(len(picture) == 4 for picture in pictures):
            pictures = [opaque(picture) for picture in pictures]
        return cls(pictures, output_size, frame, image_fit, subjects, motion_mask)

    def model_pictures(self) -> list[torch.Tensor]:
        """What the model sees: the pictures, or what is in the boxes, continued by its border where a box reaches beyond it."""
        if self.subjects is None:
            return [over_white(picture) for picture in self.given]
        return [over_white(crop(self.given[0], box)) for box in self.boxes]

    def videos(
        self,
        flow: torch.Tensor,
        occlusion: torch.Tensor,
        decoded: torch.Tensor,
        warped: torch.Tensor,
        references: torch.Tensor,
        output_type: str,
        painter: FullSizePainter | None = None,
        paint_below: float | None = None,
    ) -> Videos:
        """The videos, in the form asked for: one for each motion, or with `subjects` one for as many motions as there are boxes.

        Args:
            flow, occlusion: `(B, F, 2, h, w)`, `(B, F, 1, h, w)`.
            decoded, warped: `(B, 3, F, H, W)`, the decoder's frames, and the model's pictures warped by the flow alone.
            references: `(B, 3, H, W)` or `(1, 3, H, W)`, the model's pictures.
            painter: says motion and what is painted at several times the model's size.
            paint_below: of the auto-encoder.
        """
        moved = []
        for i in range(len(flow)):
            maps = [x.float() for x in (flow[i], occlusion[i], decoded[i].transpose(0, 1), warped[i].transpose(0, 1))]
            details = self._details(i * len(self.boxes) // len(flow), maps, painter, paint_below)
            reference = references[i if len(references) > 1 else 0]
            moved.append({**details, "reference": reference.float().cpu(), "decoded": maps[2].cpu()})
        videos: list[Any] = []
        for number, parts in self._groups(moved):
            picture, given = self.pictures[number], self.given[number]
            down, across = (new / old for new, old in zip(picture.shape[-2:], given.shape[-2:]))
            subjects = []
            for (box, motion), own in zip(parts, self.masks or [None]):
                box = box.scaled(across, down)
                subjects.append(MovedSubject(box=box, mask=self._mask(picture, box, own), **motion))
            videos.append(rendered(Renderer(picture, subjects), output_type))
        if output_type in ("np", "pt"):
            return np.stack(videos) if output_type == "np" else torch.stack(videos)
        return videos

    def _details(
        self, place: int, maps: Sequence[torch.Tensor], painter: FullSizePainter | None, paint_below: float | None
    ) -> dict[str, torch.Tensor]:
        """Flow, what is painted and how much of it is taken, of the motion of the model's frame in box `place`."""
        flow, occlusion, decoded, warped = maps
        flow = steadied(flow)
        active = activity(flow, warped, decoded)
        if painter is None:
            finer, painted, share = flow, decoded, 1 - agreement(warped, decoded)
        else:
            number = place if self.subjects is None else 0
            height, width = (painter.config.scale * side for side in decoded.shape[-2:])
            part = over_white(crop(self.given[number], self.boxes[place]))
            picture = fit_picture(part, height, width, "center_crop").to(decoded.device)
            chunks = zip(*(x.split(FRAMES_AT_ONCE) for x in (flow, occlusion, decoded, warped)))
            found = [painter(picture[None], *chunk) for chunk in chunks]
            finer, painted, share = (
                torch.cat([getattr(part, name) for part in found]) for name in ("flow", "painted", "share")
            )
        if paint_below is not None:
            unseen = hidden(occlusion, paint_below)
            share = share * F.interpolate(unseen, share.shape[-2:], mode="bilinear", align_corners=False)
        resting = still_at_rest(finer, painted, share, active)
        return dict(zip(("flow", "painted", "share"), (x.cpu() for x in resting)))

    def _groups(self, moved: list[dict]) -> list[tuple[int, list[tuple[Box, dict]]]]:
        """For each video the number of its picture, and the boxes that move in it with their motions."""
        count = len(self.boxes)
        each = max(1, len(moved) // count)  # videos of each picture or box, which follow one another
        if self.subjects is None:
            return [(i // each, [(self.boxes[i // each], motion)]) for i, motion in enumerate(moved)]
        return [(0, [(box, moved[k * each + j]) for k, box in enumerate(self.boxes)]) for j in range(each)]

    def _mask(self, picture: torch.Tensor, box: Box, own: torch.Tensor | None) -> torch.Tensor | None:
        """What of a subject may move, at the size of the frames: its own mask, and what `motion_mask` leaves of it."""
        height, width = picture.shape[-2:]
        masks = [] if own is None else [_at_size(own, (height, width))]
        if self.mask is not None:
            masks.append(self._motion_mask(self.mask, (height, width), box))
        return torch.stack(masks).prod(dim=0) if masks else None

    def _motion_mask(self, mask: torch.Tensor, size: tuple[int, int], box: Box) -> torch.Tensor:
        """Of the picture if it is as large as that, else stretched over the model's frame."""
        if any(mask.shape == given.shape[-2:] for given in self.given):
            return _at_size(mask, size)
        rows, columns = Axis(box.top, box.bottom, size[0]), Axis(box.left, box.right, size[1])
        whole = mask.new_zeros(size)
        whole[rows.start : rows.stop, columns.start : columns.stop] = (
            rows.matrix(mask.shape[0], cubic=False) @ mask @ columns.matrix(mask.shape[1], cubic=False).T
        )
        return whole

    @staticmethod
    def _sized(picture: torch.Tensor, output_size: str | tuple[int, int]) -> torch.Tensor:
        return picture if output_size == "picture" else resized_picture(picture, *output_size)


def check_output_size(output_size: Any) -> None:
    """Raise a ValueError unless it is "model", "picture" or two whole numbers."""
    if isinstance(output_size, str) and output_size in SIZES:
        return
    pair = isinstance(output_size, (list, tuple)) and len(output_size) == 2
    if not pair or not all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 1 for n in output_size):
        raise ValueError(
            f"`output_size` must be 'model', 'picture' or (height, width) in pixels, got {output_size!r}."
        )


def _at_size(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A mask `(H, W)` at another size."""
    return F.interpolate(mask[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def opaque(picture: torch.Tensor) -> torch.Tensor:
    """`(4, H, W)` with alpha, which is 1 where there was none."""
    return picture if len(picture) == 4 else torch.cat((picture, torch.ones_like(picture[:1])))


def crop(picture: torch.Tensor, box: Box) -> torch.Tensor:
    """What is in a box of a picture `(3, H, W)`, to the nearest pixel; beyond the picture its border goes on."""
    height, width = picture.shape[-2:]
    top, bottom, left, right = (round(side) for side in (box.top, box.bottom, box.left, box.right))
    rows = torch.arange(top, max(bottom, top + 1)).clamp(0, height - 1)
    columns = torch.arange(left, max(right, left + 1)).clamp(0, width - 1)
    return picture[:, rows[:, None], columns]
