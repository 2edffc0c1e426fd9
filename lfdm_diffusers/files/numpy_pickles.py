"""Pickled dicts of numpy arrays, read without numpy's own rebuilding, which makes whatever object a file describes."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import IO, Any

import numpy as np

DTYPES = {
    f"{kind}{size}" for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}.items() for size in sizes
}
DTYPES |= {"b1"}


class StoredDtype:
    """A dtype of numbers by its code, such as "f4", and the order of its bytes."""

    def __init__(self, *arguments: object):
        code = arguments[0] if arguments else None
        if code not in DTYPES:
            raise pickle.UnpicklingError(f"it holds an array of {str(code)[:40]!r}, not of numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("it holds an array of bytes in no order")
        self.dtype = self.dtype.newbyteorder(order)


class StoredArray:
    """An array, empty until its state comes."""

    array: np.ndarray | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("it holds an array without its numbers")
        _, shape, dtype, is_fortran, data = state
        self.fill(data, dtype, shape, "F" if is_fortran else "C")

    def fill(self, data: object, dtype: object, shape: Any, order: Any = "C") -> None:
        """Take the numbers, after everything that they are described by was checked against their length."""
        fits = isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and 0 <= n < 1 << 40 for n in shape)
        if not fits or not isinstance(dtype, StoredDtype) or not isinstance(data, (bytes, bytearray)):
            raise pickle.UnpicklingError("it holds an array of another kind than numbers of one shape")
        if math.prod(shape) * dtype.dtype.itemsize != len(data) or order not in ("C", "F"):
            raise pickle.UnpicklingError(f"it holds an array of shape {shape} in {len(data)} bytes")
        self.array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _array_from_buffer(data: object, dtype: object, shape: object, order: object = "C", *_: object) -> StoredArray:
    array = StoredArray()
    array.fill(data, dtype, shape, order)
    return array


# What the names in a file stand for; each is called, and nothing else is done with it.
MAKERS: dict[tuple[str, str], Callable] = {
    ("flax.core.frozen_dict", "FrozenDict"): dict,
    ("numpy", "ndarray"): StoredArray,
    ("numpy", "dtype"): StoredDtype,
    **{(f"{core}.multiarray", "_reconstruct"): lambda *_: StoredArray() for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): _array_from_buffer for core in ("numpy.core", "numpy._core")},
}


# Python's own unpickler, not that in C: a file can ask the latter for any amount of memory.
class ArrayUnpickler(pickle._Unpickler):
    """Reads dicts of numpy arrays; anything else in the file is refused, not run."""

    def find_class(self, module: str, name: str) -> Any:
        make = MAKERS.get((module, name))
        if make is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not read")
        # A file may write to what it gets: to a function that is thrown away.
        return lambda *arguments: make(*arguments)


def read_arrays(file: IO[bytes]) -> dict[str, Any]:
    """A tree of dicts whose leaves are numpy arrays of numbers, from a pickle in an open file; other leaves are None.

    Raises:
        pickle.UnpicklingError: if it holds anything else than such a tree of plain values; says what.
        Exception: of any kind, for damaged bytes.
    """
    try:
        stored = ArrayUnpickler(io.BytesIO(file.read())).load()
    except MemoryError as error:  # for bytes that the file only says to hold
        raise pickle.UnpicklingError("it claims more bytes than memory holds") from error
    if not isinstance(stored, dict):
        raise pickle.UnpicklingError(f"it holds a {type(stored).__name__}, not a dict")
    return _unwrapped(stored, set())


def _unwrapped(tree: dict, seen: set[int]) -> dict[str, Any]:
    if id(tree) in seen or len(seen) > 100_000:
        raise pickle.UnpicklingError("it holds a dict in two places, or in itself")
    seen.add(id(tree))
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves[name] = _unwrapped(value, seen)
        else:
            leaves[name] = value.array if isinstance(value, StoredArray) else None
    return leaves
