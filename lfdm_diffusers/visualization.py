"""Pictures of what an auto-encoder does: flow in colours, and contact sheets."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

# As in the colour wheel of Baker et al. (IJCV 2011): hue by direction, white at rest, full colour at the largest motion;
# here the hues are evenly spaced.
WHEEL = np.array([colorsys.hsv_to_rgb(i / 256, 1, 1) for i in range(256)])


def flow_in_pixels(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    """Absolute sampling grids `(..., 2, h, w)` -> how far each place reads from itself, in pixels of height x width.

    Grids are read with `align_corners=False`, as all warps of this package do.
    """
    h, w = flow.shape[-2:]
    x, y = ((2 * np.arange(n) + 1) / n - 1 for n in (w, h))
    identity = np.stack(np.meshgrid(x, y))  # (2, h, w)
    return (flow - identity) * np.array([width / 2, height / 2])[:, None, None]


def flow_to_color(flow: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Flow as colours: hue by direction (red: to the right, then clockwise on the screen), white where it is zero.

    Args:
        flow: `(2, h, w)`, (x, y) in any unit.
        largest: the length that gets full colour; by default the largest in `flow`.

    Returns:
        `(h, w, 3)` float in [0, 1].
    """
    length = np.hypot(flow[0], flow[1])
    share = np.clip(length / max(largest if largest is not None else float(length.max()), 1e-12), 0, 1)[..., None]
    hue = np.round(np.arctan2(flow[1], flow[0]) / (2 * np.pi) * 256).astype(int) % 256
    return 1 - share * (1 - WHEEL[hue])


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], tile: int = 128) -> PIL.Image.Image:
    """Pictures in rows of `tile` x `tile` pixels, with a title over each column.

    Args:
        rows: each as long as `titles`; pictures `(h, w, 3)` or `(h, w)` in [0, 1], of any sizes.
        titles: of the columns; a line break begins a second line.
        tile: side of each picture on the sheet.

    Raises:
        ValueError: if a row is not as long as `titles`.
    """
    if any(len(row) != len(titles) for row in rows):
        raise ValueError(f"each of `rows` must hold {len(titles)} pictures, got {[len(row) for row in rows]}.")
    gap, head = 2, 32
    sheet = PIL.Image.new("RGB", (len(titles) * (tile + gap) - gap, head + len(rows) * (tile + gap) - gap), "white")
    draw, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default()
    for column, title in enumerate(titles):
        draw.multiline_text((column * (tile + gap) + 2, 2), title, fill="black", font=font, spacing=2)
        for line, row in enumerate(rows):
            pixels = np.round(np.clip(row[column], 0, 1) * 255).astype(np.uint8)
            picture = PIL.Image.fromarray(pixels).convert("RGB").resize((tile, tile), PIL.Image.Resampling.NEAREST)
            sheet.paste(picture, (column * (tile + gap), head + line * (tile + gap)))
    return sheet
