"""Any picture a user may hand over -> RGB tensors of the model's size, without distortion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from .picture_colors import picture_array

Picture = PIL.Image.Image | np.ndarray | torch.Tensor
FITS = ("letterbox", "center_crop")


def _to_colours(picture: torch.Tensor, name: str) -> torch.Tensor:
    """Float `(N, 3 or 4, H, W)` in [0, 1], RGB and any alpha, of a float or uint8 `(N, c, H, W)` of 1, 2, 3 or 4 channels."""
    if picture.dtype == torch.uint8:
        picture = picture.float() / 255
    if not picture.is_floating_point():
        raise ValueError(f"`{name}` must be uint8 in [0, 255] or float in [0, 1], got {picture.dtype}.")
    picture = picture.float()
    if not torch.isfinite(picture).all():
        raise ValueError(f"`{name}` holds NaN or infinite values; allowed are floats in [0, 1].")
    low, high = picture.min().item(), picture.max().item()
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"`{name}` holds floats from {low:.3g} to {high:.3g}; allowed are floats in [0, 1] (or uint8 in [0, 255])."
        )
    if low < 0 or high > 1:  # else no copy: a picture may be large
        picture = picture.clamp(0, 1)
    if picture.shape[1] == 2:
        return torch.cat((picture[:, :1].expand(-1, 3, -1, -1), picture[:, 1:]), dim=1)
    return picture if picture.shape[1] == 4 else picture.expand(-1, 3, -1, -1)


def over_white(picture: torch.Tensor) -> torch.Tensor:
    """`(3, H, W)` of a picture `(4, H, W)` with alpha, as pages show it; three channels stay as they are."""
    if len(picture) == 3:
        return picture
    colours, alpha = picture[:3], picture[3:]
    return (colours * alpha + (1 - alpha)).clamp(0, 1)


def to_rgb_tensors(image: Picture | Sequence[Picture], name: str = "image") -> list[torch.Tensor]:
    """`to_tensors`, with transparency laid over white: each `(3, H, W)` float32 in [0, 1]."""
    return [over_white(picture) for picture in to_tensors(image, name)]


def to_tensors(image: Picture | Sequence[Picture], name: str = "image") -> list[torch.Tensor]:
    """The pictures in `image`, each `(3, H, W)` float32 in [0, 1], or `(4, H, W)` with alpha where something shines through.

    Args:
        image: PIL image of any mode (turned as its EXIF says, in sRGB by its profile); array `(H, W)`, `(H, W, c)` or
            `(N, H, W, c)`; tensor `(c, H, W)` or `(N, c, H, W)`; uint8 or float in [0, 1]; or a list of these, of any sizes. A
            float tensor is not copied.

    Raises:
        ValueError: naming what came and what is allowed.
    """
    if isinstance(image, (list, tuple)):
        if not image:
            raise ValueError(f"`{name}` is an empty list; at least one picture is needed.")
        try:
            return [tensor for item in image for tensor in to_tensors(item, name)]
        except RecursionError:
            raise ValueError(
                f"`{name}` must be pictures or a list of them, got a list in lists without end."
            ) from None
    if isinstance(image, PIL.Image.Image):
        try:
            image = picture_array(image)
        except (ValueError, OSError) as error:
            raise ValueError(f"`{name}` cannot be read: {error}.") from error
    if isinstance(image, np.ndarray):
        shape = image.shape
        if image.ndim == 2:
            image = image[None, ..., None]
        elif image.ndim == 3:
            image = image[None]
        if image.ndim != 4 or image.shape[-1] not in (1, 2, 3, 4) or 0 in image.shape:
            raise ValueError(
                f"`{name}` as an array must be (height, width), (height, width, channels) or (batch, height, width, "
                f"channels) with 1 to 4 channels, got {shape}."
            )
        if image.dtype == np.uint16:
            image = image.astype(np.float32) / 65535
        if image.dtype != np.uint8:
            if image.dtype.kind != "f":
                raise ValueError(f"`{name}` must be uint8 in [0, 255] or float in [0, 1], got {image.dtype}.")
            image = image.astype(np.float32)
        image = torch.from_numpy(np.array(image)).permute(0, 3, 1, 2)  # a copy: PIL's own memory is read-only
    elif torch.is_tensor(image):
        shape = tuple(image.shape)
        image = image[None] if image.ndim == 3 else image
        if image.ndim != 4 or image.shape[1] not in (1, 2, 3, 4) or 0 in image.shape:
            raise ValueError(
                f"`{name}` as a tensor must be (channels, height, width) or (batch, channels, height, width) with 1 to 4 "
                f"channels, got {shape}."
            )
    else:
        hint = " Open files first, for example with diffusers.utils.load_image." if isinstance(image, str) else ""
        raise ValueError(
            f"`{name}` must be a PIL image, an array, a tensor, or a list of these, got {type(image).__name__}.{hint}"
        )
    colours = _to_colours(image, name)
    return [each[:3] if len(each) == 4 and bool((each[3] == 1).all()) else each for each in colours]


def fitted_size(source: Sequence[int], height: int, width: int, fit: str = "letterbox") -> tuple[int, int]:
    """Height and width that `scale_to_fit` gives a picture of the size `source`.

    Raises:
        ValueError: for an unknown `fit`, or a picture too elongated for the frame.
    """
    if not isinstance(fit, str) or fit not in FITS:
        raise ValueError(f"`image_fit` must be one of {', '.join(map(repr, FITS))}, got {fit!r}.")
    source_height, source_width = source
    if (source_height, source_width) == (height, width):
        return height, width
    letterbox = fit == "letterbox"

    def scaled(side: int, to: int, of: int) -> int:
        """In whole numbers: rounded down in a letterbox, as for the released models, and up to fill the frame."""
        return max(1, side * to // of if letterbox else -(-side * to // of))

    if (height * source_width <= width * source_height) == letterbox:  # the height decides
        size = height, scaled(source_width, height, source_height)
    else:
        size = scaled(source_height, width, source_width), width
    if max(size) > 1024 * max(height, width):
        raise ValueError(
            f"A picture of {source_height}x{source_width} is too elongated to fill {height}x{width}: crop it first."
        )
    return size


def scale_to_fit(picture: torch.Tensor, height: int, width: int, fit: str = "letterbox") -> torch.Tensor:
    """Scale `(..., 3, H, W)`, uint8 or float in [0, 1], so that `place_picture` needs only add bars or cut edges.

    Returns:
        `(..., 3, h, w)` of the same dtype: in a letterbox h <= height, w <= width, and one of them is equal; for
        "center_crop" h >= height, w >= width.
    """
    size = fitted_size(picture.shape[-2:], height, width, fit)
    if size == tuple(picture.shape[-2:]):
        return picture
    pictures = picture.flatten(0, -4) if picture.ndim > 3 else picture[None]
    resized = F.interpolate(pictures, size=size, mode="bilinear", align_corners=False, antialias=True)
    if resized.is_floating_point():
        resized = resized.clamp(0, 1)
    return resized.reshape(*picture.shape[:-2], *size)


def frame_sides(
    source: Sequence[int], height: int, width: int, fit: str = "letterbox"
) -> tuple[float, float, float, float]:
    """Where in a picture of the size `source` the frame lies that `fit_picture` makes of it.

    Returns:
        Left, top, right and bottom in the picture's pixels: beyond the picture where the frame has bars.
    """
    sides = []
    for of_picture, of_frame, scaled in zip(source, (height, width), fitted_size(source, height, width, fit)):
        margin = int((of_frame - scaled) / 2)  # as `place_picture` has it
        sides.append((-margin * of_picture / scaled, (of_frame - margin) * of_picture / scaled))
    (top, bottom), (left, right) = sides
    return left, top, right, bottom


def within_bars(source: Sequence[int], height: int, width: int, fit: str = "letterbox") -> tuple[slice, slice]:
    """Rows and columns of the frame that `fit_picture` makes of a picture of the size `source` that are not bars."""
    rows, columns = (
        slice(margin := max(0, int((side - scaled) / 2)), margin + min(side, scaled))  # as `place_picture` has it
        for side, scaled in zip((height, width), fitted_size(source, height, width, fit))
    )
    return rows, columns


def place_picture(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Centre `(..., H, W)` in `(..., height, width)`: black bars where it is smaller, edges cut off where larger."""
    # Positive margins are black bars, negative ones are cut off.
    margin_y, margin_x = height - picture.shape[-2], width - picture.shape[-1]
    if margin_y == margin_x == 0:
        return picture
    top, left = int(margin_y / 2), int(margin_x / 2)
    return F.pad(picture, (left, margin_x - left, top, margin_y - top))


def fit_picture(picture: torch.Tensor, height: int, width: int, fit: str = "letterbox") -> torch.Tensor:
    """Fit `(3, H, W)` into `(3, height, width)`, keeping its proportions.

    Args:
        fit: "letterbox": the whole picture, centred on black (as the released models were trained; an odd pixel of
            black goes to the bottom or right); "center_crop": fills the frame, and cuts off what reaches beyond it.
    """
    return place_picture(scale_to_fit(picture, height, width, fit), height, width)
