"""Pictures of flow: in colours with its key, as arrows, as a bent grid."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw

from ..arguments.checked import LARGEST, POSITIVE, checked
from .pixels import as_pixels, fitted

# The colour wheel of Baker et al. (A database and evaluation methodology for optical flow, IJCV 2011): steps from red to yellow,
# green, cyan, blue, magenta and back to red, as many as the eye tells apart.
WHEEL_STEPS = (15, 6, 4, 11, 13, 6)
WHEEL_CORNERS = np.array([(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0)], float)


@checked(flow="... 2 h w", height=POSITIVE, width=POSITIVE)
def flow_in_pixels(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    """Absolute sampling grids `(..., 2, h, w)` -> how far each place reads from itself, in pixels of height x width.

    Grids are read with `align_corners=False`, as all warps of this package do.
    """
    h, w = flow.shape[-2:]
    x, y = ((2 * np.arange(n) + 1) / n - 1 for n in (w, h))
    identity = np.stack(np.meshgrid(x, y))  # (2, h, w)
    return (flow - identity) * np.array([width / 2, height / 2])[:, None, None]


@checked(flow="... 2 h w", least=POSITIVE)
def full_colour_length(flow: np.ndarray, least: float = 1.0) -> float:
    """The length of motion to paint in full colour: 99 of 100 vectors `(..., 2, h, w)` are no longer, but at least `least`.

    The very longest would be a poor measure: a few wild vectors in an occluded corner would make all others pale. It is at most
    `LARGEST`, which only motion of untrained models passes.
    """
    return min(max(least, float(np.percentile(np.hypot(flow[..., 0, :, :], flow[..., 1, :, :]), 99))), LARGEST)


@checked(flow="2 h w")
def flow_to_color(flow: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Flow in the colours of Baker et al.: hue by direction (red: to the right, then clockwise on the screen), white at rest.

    Args:
        flow: `(2, h, w)`, (x, y) in any unit.
        largest: the length that gets full colour, and so do longer ones; by default the largest in `flow`.

    Returns:
        `(h, w, 3)` float in [0, 1].
    """
    length = np.hypot(flow[0], flow[1])
    share = np.clip(length / max(largest if largest is not None else float(length.max()), 1e-12), 0, 1)[..., None]
    hue = np.arctan2(flow[1], flow[0]) / (2 * np.pi) % 1 * sum(WHEEL_STEPS)
    places = np.cumsum([0, *WHEEL_STEPS])
    colours = np.stack([np.interp(hue, places, channel) for channel in WHEEL_CORNERS.T], axis=-1)
    return 1 - share * (1 - colours)


@checked(size=POSITIVE)
def flow_wheel(size: int = 128) -> np.ndarray:
    """The key to `flow_to_color`: each direction's colour in that direction, full colour at the rim; `(size, size, 3)`."""
    places = np.linspace(-1, 1, size)
    flow = np.stack(np.meshgrid(places, places))
    colours = flow_to_color(flow, largest=1.0)
    rim = np.clip((1 - np.hypot(*flow)) * size / 2, 0, 1)[..., None]  # antialiased
    return 1 - rim * (1 - colours)


@checked(size=POSITIVE)
def occlusion_bar(size: int = 128) -> np.ndarray:
    """The key to occlusion maps: 1 (kept, white) at the top to 0 (painted in, black) at the bottom; `(size, size)`."""
    return np.repeat(np.linspace(1, 0, size)[:, None], size, axis=1)


@checked(flow="F 2 h w", occlusion="F 1 h w", height=POSITIVE, width=POSITIVE)
def motion_pictures(
    flow: np.ndarray, occlusion: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Flow and occlusion of a clip, at the size of its pictures, enlarged bilinearly as the decoder does.

    Args:
        flow: `(F, 2, h, w)`, absolute sampling grids.
        occlusion: `(F, 1, h, w)` in [0, 1].
        height, width: of the pictures.

    Returns:
        Flow in colours and occlusion in grey, both `(F, height, width, 3)` uint8, and how many pixels full colour stands
        for, see `full_colour_length`.
    """
    pixels = flow_in_pixels(flow, height, width)
    largest = full_colour_length(pixels)

    def enlarged(picture: np.ndarray) -> np.ndarray:
        image = PIL.Image.fromarray(as_pixels(picture)).convert("RGB")
        return np.asarray(image.resize((width, height), PIL.Image.Resampling.BILINEAR))

    colours = np.stack([enlarged(flow_to_color(frame, largest)) for frame in pixels])
    return colours, np.stack([enlarged(frame[0]) for frame in occlusion]), largest


SUPERSAMPLING = 4  # arrows are drawn so many times as large, and shrunk: Pillow's lines have no soft edges


@checked(flow="2 h w", size=POSITIVE, across=POSITIVE)
def flow_arrows(picture: np.ndarray, flow: np.ndarray, size: int = 256, across: int = 14) -> np.ndarray:
    """Where what is seen in a frame has come from, as arrows on it; what moved less than a hundredth of the width has a dot.

    Args:
        picture: `(H, W, 3)`, the frame; floats in [0, 1] or uint8.
        flow: `(2, h, w)`, its absolute sampling grid.
        size: pixels of the longer side.
        across: arrows from left to right.

    Returns:
        `(H', W', 3)` uint8.
    """
    large = fitted(picture, size * SUPERSAMPLING)
    draw, unit = PIL.ImageDraw.Draw(large), large.width / 128
    moved = flow_in_pixels(flow, large.height, large.width)
    step = large.width / across
    for top in np.arange(step / 2, large.height, step):
        for left in np.arange(step / 2, large.width, step):
            place = np.array([left, top])
            row, column = int(top / large.height * flow.shape[1]), int(left / large.width * flow.shape[2])
            came = moved[:, row, column]
            _draw_arrow(draw, place + came, place, unit)
    return np.asarray(large.resize([round(side / SUPERSAMPLING) for side in large.size], PIL.Image.Resampling.BOX))


def _draw_arrow(draw: PIL.ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, unit: float) -> None:
    """White with a dark edge, so that it is seen on any picture."""
    along = end - start
    length = float(np.hypot(*along))
    for colour, more in (((30, 30, 30), 0.5 * unit), ((255, 255, 255), 0.0)):
        if length < 1.28 * unit:
            radius = 0.5 * unit + more
            draw.ellipse((*(end - radius), *(end + radius)), fill=colour)
            continue
        along_unit = along / length
        across = np.array([-along_unit[1], along_unit[0]])
        head = min(2.6 * unit, 0.7 * length)
        neck = end - along_unit * head
        draw.line((*start, *neck), fill=colour, width=max(1, round(0.9 * unit + 2 * more)))
        tip, base, half = end + along_unit * 1.6 * more, neck - along_unit * more, 0.55 * head + 1.4 * more
        draw.polygon([tuple(tip), tuple(base + across * half), tuple(base - across * half)], fill=colour)


@checked(flow="2 h w", size=POSITIVE, cells=POSITIVE)
def warped_grid(flow: np.ndarray, size: int = 256, cells: int = 16, picture: np.ndarray | None = None) -> np.ndarray:
    """A square grid bent as a flow bends the reference: what is in one cell stays in it.

    Args:
        flow: `(2, h, w)`, absolute sampling grid.
        size: pixels of the longer side.
        cells: from left to right.
        picture: `(H, W, 3)` to draw on, such as the warped reference; by default on white.

    Returns:
        `(H', W', 3)` uint8.
    """
    h, w = flow.shape[-2:]
    factor = size / max(h, w)
    width, height = round(w * factor), round(h * factor)
    # Beyond the outermost centres the departure from rest is kept, as the decoder does when it enlarges a flow.
    small = flow_in_pixels(flow, height, width).astype(np.float32)
    moved = [np.asarray(PIL.Image.fromarray(m).resize((width, height), PIL.Image.Resampling.BILINEAR)) for m in small]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    cell, line, ink = width / cells, width / 256, np.zeros((height, width))
    for source in (x + moved[0], y + moved[1]):
        place = source / cell
        slope = np.maximum(np.hypot(*np.gradient(place)), 1e-6)  # cells a pixel: keeps lines equally thick
        distance = np.abs(place - np.round(place)) / slope
        ink = np.maximum(ink, np.clip(line + 0.5 - distance, 0, 1))
    if picture is None:
        paper, colour = np.full((height, width, 3), 255.0), np.array([40, 70, 140])
    else:
        image = PIL.Image.fromarray(as_pixels(picture)).convert("RGB")
        paper, colour = np.asarray(image.resize((width, height), PIL.Image.Resampling.BICUBIC)), np.array([255] * 3)
    ink = ink[..., None] * (1.0 if picture is None else 0.8)
    return np.round(paper * (1 - ink) + colour * ink).astype(np.uint8)
