"""Reads `.pth` files without running code in them; each fault is one sentence."""

from __future__ import annotations

import pickle
import re
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from .reading import UnreadableFileError, reading, require_plain_file, why

# What `torch.save` writes first: a zip archive, or before PyTorch 1.6 a pickled magic number (protocol 2).
ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
DTYPES = {
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip
MOST_DEPTH = 50
# Tensors of a file may share its numbers; what is larger than so many times the file, and not small, shares none that make sense.
MOST_SHARED, SMALL = 10, 64 << 20
ARCHIVE_STARTS = (b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")


class LeftOut:
    """Takes a pickled object's place and keeps nothing of it."""

    def __setstate__(self, state: object) -> None:
        pass


def plain_dict(*_: object) -> dict:
    """Takes `defaultdict`'s place: the weights-only unpickler fills plain dicts only."""
    return {}


# MRAA's files hold a whole Adam object, whose state is a defaultdict(dict), beside the tensors. Nothing of it is needed,
# so those names are allowed but stand for something that does nothing: not even Adam's own code is run.
ALLOWED_GLOBALS: list[Any] = [(LeftOut, "torch.optim.adam.Adam"), (plain_dict, "collections.defaultdict"), dict]


def load_checkpoint(path: str | Path) -> dict:
    """Read a `.pth` checkpoint to the CPU: tensors and plain containers only, no code (`weights_only`).

    Args:
        path: a file written by `torch.save`, of any version. An Adam object in it is read as an empty `LeftOut`.

    Returns:
        What the file holds, a dict.

    Raises:
        ValueError: if there is no such file or it is no checkpoint (a Git LFS pointer, a web page, an archive, truncated
            or damaged, ...), or if it asks for code to be run; one sentence that says which.
    """
    path = Path(path)
    size = require_plain_file(path)
    with reading(path, "a PyTorch checkpoint"):
        with path.open("rb") as file:
            start = file.read(1024)
        _refuse_lookalikes(path, start, size)
    try:
        with torch.serialization.safe_globals(ALLOWED_GLOBALS):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch.load raises anything from KeyError to struct.error on bytes it cannot use
        raise UnreadableFileError(_complaint(path, start, error)) from error
    if not isinstance(checkpoint, dict):
        raise UnreadableFileError(
            f"{path} holds a {type(checkpoint).__name__}, but a checkpoint is a dict of state dicts."
        )
    _require_plain_tensors(path, checkpoint, size)
    return checkpoint


def _require_plain_tensors(path: Path, checkpoint: dict, size: int) -> None:
    """Refuse tensors of other kinds than networks have, more numbers than the file has, and trees of no sensible depth."""
    total, waiting = 0, [("", checkpoint, 0)]
    seen: set[int] = set()
    while waiting:
        name, value, depth = waiting.pop()
        if torch.is_tensor(value):
            kind = strange_kind(value)
            if kind:
                raise UnreadableFileError(
                    f"{path} holds {kind} as {name}, but a checkpoint has plain tensors of numbers."
                )
            total += value.numel() * value.element_size()
            continue
        if not isinstance(value, (dict, list, tuple)) or id(value) in seen:  # what holds itself is looked at once
            continue
        if depth > MOST_DEPTH:
            raise UnreadableFileError(f"{path} is nested too deeply to be a checkpoint.")
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        waiting += [(f"{name}.{key}".lstrip(".")[:200], each, depth + 1) for key, each in items]
    if total > MOST_SHARED * size + SMALL:
        raise UnreadableFileError(
            f"{path} has {size / 1e6:.1f} MB and claims tensors of {total / 1e6:.0f} MB, which it does not hold."
        )


def strange_kind(tensor: torch.Tensor) -> str | None:
    """What a tensor is that no network has; None for a plain one of numbers."""
    if tensor.is_meta:
        return "a tensor without numbers"
    if tensor.is_quantized or tensor.layout != torch.strided:
        return f"a tensor of the layout {str(tensor.layout).removeprefix('torch.')}"
    return None if tensor.dtype in DTYPES else f"a tensor of {str(tensor.dtype).removeprefix('torch.')}"


def _refuse_lookalikes(path: Path, start: bytes, size: int) -> None:
    """Raise for files that are well known to be something else, or to be cut short."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise UnreadableFileError(f"{path} is empty.")
    if text.startswith(b"version https://git-lfs"):
        raise UnreadableFileError(
            f"{path} is a Git LFS pointer, not the checkpoint itself; fetch the file it points to with `git lfs pull`."
        )
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        raise UnreadableFileError(
            f"{path} is an HTML page, not a checkpoint; what the download gave is probably a login, consent or error page."
        )
    if start.startswith(ARCHIVE_STARTS) or (
        not start.startswith((ZIP_START, LEGACY_START)) and tarfile.is_tarfile(path)
    ):
        raise UnreadableFileError(f"{path} is an archive, not a checkpoint; unpack it first.")
    if start.startswith(ZIP_START):
        if not zipfile.is_zipfile(path):  # the directory of a zip file is at its end
            raise UnreadableFileError(f"{path} is truncated: its end is missing; download it again.")
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            _require_uncompressed(path, archive, size)
            if not any(name.endswith("/data.pkl") for name in names):
                raise UnreadableFileError(f"{path} is a zip archive, not a checkpoint; unpack it first.")
            if any(name.endswith("/constants.pkl") for name in names):
                raise UnreadableFileError(f"{path} is a TorchScript program, not a checkpoint of tensors.")
            # torch.load does not compare every checksum.
            try:
                damaged = archive.testzip()
            except Exception as error:  # zipfile raises its own, zlib's, EOFError, NotImplementedError, ...
                raise UnreadableFileError(f"{path} is damaged ({why(error)}); download it again.") from error
            if damaged is not None:
                raise UnreadableFileError(f"{path} is damaged: {damaged} in it fails its checksum; download it again.")


def _require_uncompressed(path: Path, archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive that holds more than its file has bytes: `torch.save` compresses nothing."""
    claimed = sum(member.file_size for member in archive.infolist())
    if claimed > size + SMALL:
        raise UnreadableFileError(
            f"{path} has {size / 1e6:.1f} MB and claims to hold {claimed / 1e6:.0f} MB: it is no file of torch.save."
        )


def _complaint(path: Path, start: bytes, error: Exception) -> str:
    """One sentence for what `torch.load` found wrong."""
    message = re.sub(r"\x1b\[[\d;]*m", "", str(error))
    wanted = re.search(r"GLOBAL (\S+)", message) or re.search(r"unrecognized function (.+)", message)
    if wanted and isinstance(error, pickle.UnpicklingError):
        return (
            f"{path} was refused as unsafe: beside tensors it asks for {wanted[1]}, which could run code; only tensors, "
            "plain containers and an Adam optimizer are read."
        )
    if start.startswith(ZIP_START):
        return f"{path} is damaged, or no checkpoint of tensors (torch.load: {_first_sentence(message, error)})."
    if start.startswith(LEGACY_START) or LEGACY_START.startswith(start):
        return f"{path} is truncated or damaged; download it again."
    return f"{path} is not a PyTorch checkpoint: it does not begin as `torch.save` begins a file."


def _first_sentence(message: str, error: Exception) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__


def load_state(path: str | Path) -> dict:
    """What a training run of this package saved with `torch.save`: read as `load_checkpoint` does, but for the checksums.

    Raises:
        UnreadableFileError: naming the file.
    """
    path = Path(path)
    size = require_plain_file(path)
    with reading(path, "a training state"):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _require_uncompressed(path, archive, size)
        state = torch.load(path, "cpu", weights_only=True)
    if not isinstance(state, dict):
        raise UnreadableFileError(f"{path} holds a {type(state).__name__}, not a training state.")
    _require_plain_tensors(path, state, size)
    return state


def load_torchscript(path: str | Path) -> torch.nn.Module:
    """A module as `torch.jit.save` wrote it, in eval mode on the CPU. The file holds code, which the module runs.

    Raises:
        RuntimeError, ValueError: if it holds something else.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # some networks were published in no other form
        return torch.jit.load(path, map_location="cpu").eval()
