"""What public functions are given is what they say that they take, or one sentence says which argument is not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from numbers import Integral, Number, Real
from typing import Any, TypeVar, cast

import numpy as np
import torch

Function = TypeVar("Function", bound=Callable[..., Any])
POSITIVE = "> 0"
MOST_SHOWN = 40  # characters of what came
REAL_TYPES = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
)  # fmt: skip
LARGEST = 1e6  # what is larger is a mistake, and float arithmetic would overflow somewhere deep inside


def is_dense(value: object, *also: torch.dtype) -> bool:
    """Whether something is a dense tensor of real numbers in a type that every operation takes (eight-bit floats are none), or
    in one of those given."""
    if not torch.is_tensor(value) or value.is_nested or value.layout != torch.strided:
        return False
    return value.dtype in REAL_TYPES or value.dtype in also


def _is_tensor(value: Any) -> bool:
    return is_dense(value) and not value.is_meta


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and abs(cast(float, value)) <= LARGEST  # NaN is not


def _is_whole_number(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and abs(cast(int, value)) < 2**63


# By the words of an annotation: what it is called in a sentence, and whether something is it.
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "torch.Tensor": ("a dense tensor of real numbers", _is_tensor),
    "np.ndarray": ("an array of real numbers", _is_array),
    "int": ("a whole number of at most 63 bits", _is_whole_number),
    "float": (f"a number from {-LARGEST:g} to {LARGEST:g}", _is_number),
    "str": ("a text", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, (bool, np.bool_))),
    "None": ("None", lambda value: value is None),
}


def checked(**shapes: str) -> Callable[[Function], Function]:
    """A function whose arguments are checked before it runs: those annotated with the words of `KINDS` alone.

    Args:
        shapes: of arguments that are tensors or arrays of floats, such as `features="N D"`. A letter is a size of 1 or more, the
            same wherever it stands; "..." at the beginning is any number of sizes. A number may be `POSITIVE`.

    Raises:
        ValueError: by the function: names the argument, what is allowed, and what came.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        rules = {
            name: kinds
            for name, parameter in signature.parameters.items()
            if (kinds := str(parameter.annotation).split(" | ")) and set(kinds) <= set(KINDS)
        }

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            sizes: dict[str, int] = {}
            for name, value in signature.bind(*args, **kwargs).arguments.items():
                if name in rules:
                    require_kind(name, value, rules[name])
                if shapes.get(name) == POSITIVE and not value > 0:
                    raise ValueError(f"`{name}` must be more than 0, got {described(value)}.")
                if name in shapes and shapes[name] != POSITIVE and value is not None:
                    _require_shape(name, value, shapes[name], sizes)
            return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value] # wraps keeps the signature, which no type says

    return decorate


def require_kind(name: str, value: Any, kinds: list[str]) -> None:
    """Raise a ValueError unless `value` is of one of the kinds, words of `KINDS`."""
    if not any(KINDS[kind][1](value) for kind in kinds):
        raise ValueError(f"`{name}` must be {' or '.join(KINDS[kind][0] for kind in kinds)}, got {described(value)}.")


def described(value: Any) -> str:
    """What came, in a few words."""
    if torch.is_tensor(value):
        if value.is_nested:  # has no shape
            return "a nested tensor"
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')} ({value.layout}, {value.device})"
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    if value is None or (isinstance(value, str) and len(value) <= MOST_SHOWN):
        return repr(value)
    return str(value)[:MOST_SHOWN] if isinstance(value, Number) else type(value).__name__


def _require_shape(name: str, value: Any, shape: str, sizes: dict[str, int]) -> None:
    wanted = shape.split()
    last = wanted[1:] if wanted[0] == "..." else wanted
    given = tuple(value.shape)[-len(last) :]
    fits = len(given) == len(last) and (last != wanted or value.ndim == len(wanted)) and 0 not in value.shape
    for want, size in zip(last, given):
        fits = fits and size == (int(want) if want.isdigit() else sizes.setdefault(want, size))
    is_float = value.is_floating_point() if torch.is_tensor(value) else value.dtype.kind == "f"
    if not (fits and is_float):
        known = ", ".join(f"{letter} = {sizes[letter]}" for letter in last if letter in sizes)
        raise ValueError(
            f"`{name}` must hold floats of shape ({', '.join(wanted)}){f' with {known}' * bool(known)}, got {described(value)}."
        )
