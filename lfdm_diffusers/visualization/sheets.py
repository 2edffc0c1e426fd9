"""Contact sheets, and clips side by side as one, also beside their motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw

from ..arguments.checked import POSITIVE, checked
from ..data.sampling import spread
from .flow_pictures import flow_arrows, flow_wheel, motion_pictures, occlusion_bar, warped_grid
from .fonts import text_font
from .pixels import as_pixels, enlarge, fitted
from .text import draw_text, line_height, text_height, wrap_text

GAP = 4
FRAME = (204, 204, 204)  # around tiles: flow and occlusion maps are often as white as the page


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray | None]],
    titles: Sequence[str],
    tile: int = 128,
    names: Sequence[str] | None = None,
) -> PIL.Image.Image:
    """Pictures in rows of `tile` x `tile` pixels, with a title over each column.

    Args:
        rows: each as long as `titles`; pictures `(h, w, 3)` or `(h, w)`, floats in [0, 1] or uint8, of any sizes; None
            leaves a place empty.
        titles: of the columns; one that is wider than its column, or has a line break, takes two lines.
        tile: side of each picture on the sheet.
        names: of the rows, to be written on their left, wrapped.

    Raises:
        ValueError: if a row is not as long as `titles`, or there are not as many names as rows.
    """
    if any(len(row) != len(titles) for row in rows):
        raise ValueError(f"each of `rows` must hold {len(titles)} pictures, got {[len(row) for row in rows]}.")
    if names is not None and len(names) != len(rows):
        raise ValueError(f"`names` must hold {len(rows)} names, got {len(names)}.")
    gap, head, font = 2, 32, text_font(13, [*titles, *(names or [])])
    titles = [title if "\n" in title else wrap_text(title, font, tile, lines=2) for title in titles]
    left = 0
    if names is not None:
        names = [wrap_text(name, font, 110, lines=max(1, tile // line_height(font))) for name in names]
        left = 2 * GAP + math.ceil(
            max((font.getlength(line) for name in names for line in name.split("\n")), default=0)
        )
    width = left + len(titles) * (tile + gap) - gap
    sheet = PIL.Image.new("RGB", (width, head + len(rows) * (tile + gap) - gap), "white")
    draw = PIL.ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw_text(draw, left + column * (tile + gap) + 1, head - 1 - text_height([title], font), title, font)
    for line, row in enumerate(rows):
        top = head + line * (tile + gap)
        if names is not None:
            draw_text(draw, GAP, top + (tile - text_height([names[line]], font)) // 2, names[line], font)
        for column, picture in enumerate(row):
            if picture is not None:
                image = fitted(picture, tile)
                x = left + column * (tile + gap)
                draw.rectangle((x - 1, top - 1, x + tile, top + tile), outline=FRAME)
                sheet.paste(image, (x + (tile - image.width) // 2, top + (tile - image.height) // 2))
    return sheet


@checked(count=POSITIVE)
def grid_columns(count: int) -> int:
    """How many columns make a grid of `count` tiles that is a little wider than high and has few empty places."""

    def badness(columns: int) -> float:
        rows = math.ceil(count / columns)
        return (columns * rows - count) / count + abs(math.log(columns / rows / 1.6))

    return min(range(1, count + 1), key=badness)


def clip_grid(
    clips: Sequence[np.ndarray], names: Sequence[str], scale: int = 1, columns: int | None = None
) -> np.ndarray:
    """Clips side by side as one, each with its name under it.

    Args:
        clips: each `(F, h, w, 3)`, or a still picture `(h, w, 3)`, all of one size and length; floats in [0, 1] or uint8.
        names: as many; wrapped to the width of a tile.
        scale: a whole factor by which they are enlarged.
        columns: by default as `grid_columns` says.

    Returns:
        `(F, H, W, 3)` uint8.

    Raises:
        ValueError: if the numbers, sizes or lengths differ.
    """
    if len(clips) != len(names) or not clips:
        raise ValueError(f"`clips` and `names` must be as many, at least one; got {len(clips)} and {len(names)}.")
    sizes = {clip.shape[-3:-1] for clip in clips}
    lengths = {len(clip) for clip in clips if clip.ndim == 4}
    if len(sizes) > 1 or len(lengths) > 1:
        raise ValueError(f"`clips` must be of one size and length, got sizes {sizes} and lengths {lengths}.")
    ((height, width),), (length, *_) = sizes, [*lengths, 1]
    height, width = height * scale, width * scale
    columns = grid_columns(len(clips)) if columns is None else columns
    font = text_font(max(12, min(20, width // 14)), names)
    names = [wrap_text(name, font, width) for name in names]
    step_y, step_x = height + text_height(names, font) + 2 * GAP, width + GAP
    sheet = PIL.Image.new("RGB", (columns * step_x + GAP, math.ceil(len(clips) / columns) * step_y + GAP), "white")
    draw = PIL.ImageDraw.Draw(sheet)
    places = [(GAP + i // columns * step_y, GAP + i % columns * step_x) for i in range(len(clips))]
    for (top, left), name in zip(places, names):
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline=FRAME)
        draw_text(draw, left + width / 2, top + height + GAP // 2, name, font, anchor="m")
    frames = np.repeat(np.asarray(sheet)[None], length, axis=0)
    for (top, left), clip in zip(places, clips):
        frames[:, top : top + height, left : left + width] = enlarge(as_pixels(clip), scale)
    return frames


def shown_frames(count: int, most: int = 8) -> list[int]:
    """Numbers of at most `most` frames of `count`, evenly spread, the first and the last among them."""
    return spread(range(count), most)


def clips_sheet(reference: np.ndarray, clips: Sequence[np.ndarray], names: Sequence[str]) -> PIL.Image.Image:
    """A still view of clips: a row for each, the reference first, then frames spread over the clip.

    Args:
        reference: `(h, w, 3)`.
        clips: each `(F, h, w, 3)`, of one length; floats in [0, 1] or uint8.
        names: as many.
    """
    shown = shown_frames(len(clips[0]))
    rows = [[reference, *(clip[i] for i in shown)] for clip in clips]
    return contact_sheet(rows, ["reference", *(f"frame {i}" for i in shown)], names=names)


def motion_clip(
    reference: np.ndarray,
    frames: np.ndarray,
    warped: np.ndarray,
    flow: np.ndarray,
    occlusion: np.ndarray,
    scale: int = 1,
) -> np.ndarray:
    """A clip beside what it is made of: reference, output, warped, flow, occlusion.

    Args:
        reference: `(H, W, 3)`.
        frames, warped: `(F, H, W, 3)`; like `reference` floats in [0, 1] or uint8.
        flow, occlusion: as in `motion_pictures`.
        scale: as in `clip_grid`.

    Returns:
        `(F, H', W', 3)` uint8.
    """
    colours, grey, largest = motion_pictures(flow, occlusion, *reference.shape[:2])
    names = [
        "reference",
        "output",
        "warped",
        f"flow (full colour: {largest:.1f} pixels)",
        "occlusion (black: painted in)",
    ]
    return clip_grid([reference, frames, warped, colours, grey], names, scale, columns=5)


def motion_sheet(
    reference: np.ndarray, frames: np.ndarray, warped: np.ndarray, flow: np.ndarray, occlusion: np.ndarray
) -> PIL.Image.Image:
    """The still view of `motion_clip`, whose arguments it has, also with the flow as arrows and as a bent grid; keys are in the first
    column."""
    colours, grey, largest = motion_pictures(flow, occlusion, *reference.shape[:2])
    shown = shown_frames(len(frames))
    arrows = {i: flow_arrows(frames[i], flow[i], across=9) for i in shown}
    bent = {i: warped_grid(flow[i], cells=12, picture=warped[i]) for i in shown}
    keys = [reference, None, None, None, flow_wheel(), occlusion_bar()]
    clips: tuple[Any, ...] = (frames, warped, bent, arrows, colours, grey)  # arrays, and tables of some frames
    rows = [[key, *(clip[i] for i in shown)] for key, clip in zip(keys, clips)]
    names = [
        "output",
        "reference warped by the flow",
        "the same under a grid",
        "where it came from",
        f"flow: where each place reads from; full colour: {largest:.1f} pixels",
        "occlusion: white is warped, black is painted in",
    ]
    return contact_sheet(rows, ["reference\nand keys", *(f"frame {i}" for i in shown)], names=names)
