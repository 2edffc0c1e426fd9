"""Pictures of motion: flow in colours with its key, as arrows, as a bent grid; contact sheets, and clips side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

# The colour wheel of Baker et al. (A database and evaluation methodology for optical flow, IJCV 2011): steps from red to yellow,
# green, cyan, blue, magenta and back to red, as many as the eye tells apart.
WHEEL_STEPS = (15, 6, 4, 11, 13, 6)
WHEEL_CORNERS = np.array([(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0)], float)


def as_pixels(picture: np.ndarray) -> np.ndarray:
    """uint8 of a picture in [0, 1]; uint8 stays."""
    return picture if picture.dtype == np.uint8 else np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def flow_in_pixels(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    """Absolute sampling grids `(..., 2, h, w)` -> how far each place reads from itself, in pixels of height x width.

    Grids are read with `align_corners=False`, as all warps of this package do.
    """
    h, w = flow.shape[-2:]
    x, y = ((2 * np.arange(n) + 1) / n - 1 for n in (w, h))
    identity = np.stack(np.meshgrid(x, y))  # (2, h, w)
    return (flow - identity) * np.array([width / 2, height / 2])[:, None, None]


def full_colour_length(flow: np.ndarray, least: float = 1.0) -> float:
    """The length of motion to paint in full colour: 99 of 100 vectors `(..., 2, h, w)` are no longer, but at least `least`.

    The very longest would be a poor measure: a few wild vectors in an occluded corner would make all others pale.
    """
    return max(least, float(np.percentile(np.hypot(flow[..., 0, :, :], flow[..., 1, :, :]), 99)))


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


def flow_wheel(size: int = 128) -> np.ndarray:
    """The key to `flow_to_color`: each direction's colour in that direction, full colour at the rim; `(size, size, 3)`."""
    places = np.linspace(-1, 1, size)
    flow = np.stack(np.meshgrid(places, places))
    colours = flow_to_color(flow, largest=1.0)
    rim = np.clip((1 - np.hypot(*flow)) * size / 2, 0, 1)[..., None]  # antialiased
    return 1 - rim * (1 - colours)


def occlusion_bar(size: int = 128) -> np.ndarray:
    """The key to occlusion maps: 1 (kept, white) at the top to 0 (painted in, black) at the bottom; `(size, size)`."""
    return np.repeat(np.linspace(1, 0, size)[:, None], size, axis=1)


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
    image = PIL.Image.fromarray(as_pixels(picture)).convert("RGB")
    factor = size / max(image.size)
    width, height = (round(side * factor) for side in image.size)
    image = image.resize((width, height), PIL.Image.Resampling.BICUBIC)
    large = image.resize((width * SUPERSAMPLING, height * SUPERSAMPLING), PIL.Image.Resampling.BILINEAR)
    draw, unit = PIL.ImageDraw.Draw(large), large.width / 128
    moved = flow_in_pixels(flow, large.height, large.width)
    step = large.width / across
    for top in np.arange(step / 2, large.height, step):
        for left in np.arange(step / 2, large.width, step):
            place = np.array([left, top])
            row, column = int(top / large.height * flow.shape[1]), int(left / large.width * flow.shape[2])
            came = moved[:, row, column]
            _draw_arrow(draw, place + came, place, unit)
    return np.asarray(large.resize((width, height), PIL.Image.Resampling.BOX))


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
    moved = flow_in_pixels(flow, height, width).astype(np.float32)
    moved = [np.asarray(PIL.Image.fromarray(m).resize((width, height), PIL.Image.Resampling.BILINEAR)) for m in moved]
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


# ---- text -----------------------------------------------------------------------------------------------------------

GAP = 4
FRAME = (204, 204, 204)  # around tiles: flow and occlusion maps are often as white as the page


def text_font(size: int) -> PIL.ImageFont.FreeTypeFont:
    """Pillow's built-in font, which every installation has."""
    return PIL.ImageFont.load_default(size)


def wrap_text(text: str, font: PIL.ImageFont.FreeTypeFont, width: float, lines: int = 3) -> str:
    """`text` with line breaks where `width` pixels are full, and an ellipsis if it takes more than `lines` lines."""
    done, line = [], ""
    for word in text.split():
        while word:
            whole = f"{line} {word}".strip()
            if font.getlength(whole) <= width:
                line, word = whole, ""
            elif line:
                done.append(line)
                line = ""
            else:  # a word that is longer than a line
                fits = max(1, sum(font.getlength(word[: i + 1]) <= width for i in range(len(word))))
                done.append(word[:fits])
                word = word[fits:]
    done.append(line)
    if len(done) > lines:
        last = done[lines - 1]
        while last and font.getlength(last + "...") > width:
            last = last[:-1]
        done = [*done[: lines - 1], last + "..."]
    return "\n".join(done)


def text_height(texts: Sequence[str], font: PIL.ImageFont.FreeTypeFont) -> int:
    """Pixels that the tallest of `texts` takes, line by line, as `draw_text` writes it."""
    return max((text.count("\n") + 1 for text in texts), default=0) * line_height(font)


def line_height(font: PIL.ImageFont.FreeTypeFont) -> int:
    """Pixels from one line of text to the next."""
    return round(font.size * 1.25)


def draw_text(
    draw: PIL.ImageDraw.ImageDraw, x: float, y: float, text: str, font: PIL.ImageFont.FreeTypeFont, anchor: str = "l"
) -> None:
    """Write `text` below `y`, line by line; beginning at `x` ("l"), or centred on it ("m")."""
    for number, line in enumerate(text.split("\n")):
        draw.text((x, y + number * line_height(font)), line, fill="black", font=font, anchor=f"{anchor}a")


# ---- sheets and grids -----------------------------------------------------------------------------------------------


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
    gap, head, font = 2, 32, text_font(13)
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
                image = PIL.Image.fromarray(as_pixels(picture)).convert("RGB")
                factor = tile / max(image.size)
                image = image.resize(
                    [max(1, round(side * factor)) for side in image.size], PIL.Image.Resampling.BICUBIC
                )
                x = left + column * (tile + gap)
                draw.rectangle((x - 1, top - 1, x + tile, top + tile), outline=FRAME)
                sheet.paste(image, (x + (tile - image.width) // 2, top + (tile - image.height) // 2))
    return sheet


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
    font = text_font(max(12, min(20, width // 14)))
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


def enlarge(frames: np.ndarray, scale: int) -> np.ndarray:
    """Pictures `(..., h, w, 3)` of uint8 `scale` times as large, bicubic; at 1 every pixel stays as it is."""
    *leading, height, width, _ = frames.shape
    size = width * scale, height * scale
    larger = [
        np.asarray(PIL.Image.fromarray(frame).resize(size, PIL.Image.Resampling.BICUBIC))
        for frame in frames.reshape(-1, height, width, 3)
    ]
    return np.stack(larger).reshape(*leading, size[1], size[0], 3)


def shown_frames(count: int, most: int = 8) -> list[int]:
    """Numbers of at most `most` frames of `count`, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


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
    """The still view of `motion_clip`, also with the flow as arrows and as a bent grid; keys are in the first column."""
    colours, grey, largest = motion_pictures(flow, occlusion, *reference.shape[:2])
    shown = shown_frames(len(frames))
    arrows = {i: flow_arrows(frames[i], flow[i], across=9) for i in shown}
    bent = {i: warped_grid(flow[i], cells=12, picture=warped[i]) for i in shown}
    keys = [reference, None, None, None, flow_wheel(), occlusion_bar()]
    clips = (frames, warped, bent, arrows, colours, grey)
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
