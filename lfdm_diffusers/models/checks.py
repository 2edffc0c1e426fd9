"""Checks of models' inputs. Errors say what came and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..arguments.checked import described, is_dense

Shape = Sequence[int | str]  # a size that must be so, or the name of one that is free


def check_tensor(name: str, x: object) -> None:
    """Refuse what is no dense tensor of real numbers.

    Raises:
        ValueError: says what it is.
    """
    if not is_dense(x):
        raise ValueError(f"`{name}` must be a dense tensor of real numbers, got {described(x)}.")


def check_shape(name: str, x: torch.Tensor, *shapes: Shape) -> None:
    """Refuse what is no dense tensor of real numbers, or one whose shape is none of `shapes`, or that is empty.

    Args:
        name: of the argument.
        shapes: such as `("batch", 3, "height", "width")`.

    Raises:
        ValueError: names the shapes that are allowed, and the tensor's.
    """
    check_tensor(name, x)
    if not any(x.ndim == len(shape) and all(map(_fits, x.shape, shape)) for shape in shapes):
        allowed = " or ".join(f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" for shape in shapes)
        raise ValueError(f"`{name}` must have shape {allowed}, got {tuple(x.shape)}.")


def _fits(size: int, expected: int | str) -> bool:
    return size > 0 if isinstance(expected, str) else size == expected


def check_sides(name: str, x: torch.Tensor, stride: int, unit: str = "pixels") -> None:
    """Refuse maps `(..., height, width)` whose sides are not multiples of `stride`.

    Raises:
        ValueError: names the nearest sides that are.
    """
    height, width = x.shape[-2:]
    if height % stride or width % stride:
        raise ValueError(
            f"`{name}` is {height}x{width} {unit} (height x width), but both sides must be multiples of {stride}. "
            f"Nearest allowed: height {_nearest(height, stride)}, width {_nearest(width, stride)}."
        )


def _nearest(n: int, stride: int) -> str:
    down, up = n // stride * stride, -(-n // stride) * stride
    return " or ".join(str(k) for k in dict.fromkeys((down, up)) if k)


def check_share(name: str, value: float | None) -> None:
    """Refuse what is neither None nor a number above 0 and at most 1."""
    if value is not None and not 0 < value <= 1:
        raise ValueError(f"`{name}` must be None, or above 0 and at most 1, got {value}.")


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is none of those allowed.

    Raises:
        ValueError: lists them.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
