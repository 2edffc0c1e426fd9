"""Uploads from strangers: this file alone opens their pictures, bounds their numbers and texts, and turns errors into sentences."""

from __future__ import annotations

import base64
import binascii
import functools
import os
import re
import tempfile
from collections.abc import Callable, Collection
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from ..data.picture_reading import open_picture
from ..files.names import printable

Default = TypeVar("Default")

MOST_UPLOADED = 20 << 20  # bytes of a file, and of what a `data:` address holds
MOST_PAINTED = 4_000_000  # pixels of what comes back from the editor
MOST_TOLD = 500  # characters of a message
NOT_TAKEN = "What was sent is not what the fields of this page take; look at its API for what they do."
FOLDERS = re.compile(
    r"(?<![\w:/.])(?:/[^/\s'\"]+)+/(?=[^/\s'\"])|(?<!\w)[A-Za-z]:\\(?:[^\\\s'\"]+\\)+"
)  # of absolute paths


# Gradio writes a file of types beside every subclass of its components, so these are its own, with another `preprocess`.


def picture_upload(*values: Any, **options: Any) -> gr.Image:
    """A picture that comes as the file that was sent, not decoded: `Engine` bounds it first."""
    image = gr.Image(*values, type="filepath", image_mode=None, **options)

    def preprocess(payload: Any) -> str | None:
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            return _saved(payload.url, image.GRADIO_CACHE)
        if payload.path is None:
            raise gr.Error("The picture was not sent whole; send it again.", print_exception=False)
        if not Path(payload.path).resolve().is_relative_to(Path(image.GRADIO_CACHE).resolve()):
            # Gradio looks at paths of files that say of themselves that they are files, as a stranger's need not.
            raise gr.Error("The picture must be sent, not named by a path of this machine.", print_exception=False)
        return str(payload.path)

    image.preprocess = preprocess
    return image


def mask_editor(**options: Any) -> gr.ImageEditor:
    """An editor whose layers are bounded before they are decoded."""
    editor = gr.ImageEditor(**options)
    decoded = editor.preprocess

    def preprocess(payload: Any) -> Any:
        for part in [] if payload is None else [payload.background, payload.composite, *(payload.layers or [])]:
            if part is not None and getattr(part, "path", None):
                told(_require_painted)(part.path)
            elif part is not None and str(getattr(part, "url", None) or "").startswith("data:"):
                told(_require_painted)(_saved(part.url, editor.GRADIO_CACHE))
        return decoded(payload)

    editor.preprocess = preprocess
    return editor


def _require_painted(path: str) -> None:
    with open_picture(path) as image:
        if image.width * image.height > MOST_PAINTED:
            raise ValueError(f"what was painted has {image.width}x{image.height} pixels, more than {MOST_PAINTED}")


def _saved(url: str, folder: str) -> str:
    """The file that a `data:` address holds."""
    head, _, text = url.partition(",")
    if len(text) > MOST_UPLOADED * 4 / 3 + 4:
        raise gr.Error(f"A file of more than {MOST_UPLOADED >> 20} MB is not taken.", print_exception=False)
    try:
        data = base64.b64decode(text, validate=True) if head.endswith(";base64") else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise gr.Error("The address `data:` holds no file in base64.", print_exception=False)
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="picture-", delete=False) as file:
        file.write(data)
    return file.name


class Stopped(ValueError):
    """Somebody pressed the button that stops the work."""


def told(function: Callable) -> Callable:
    """`function`, whose ValueErrors are messages on the page, without the folders of this machine."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (ValueError, OSError) as error:
            raise gr.Error(sentence_of(error, *args, *kwargs.values()), print_exception=False) from error

    return wrapper


def sentence_of(error: Exception, *given: Any) -> str:
    """What an error says, without the folders of this machine; `given` are the values that it may speak of."""
    message = " ".join(str(error).split())
    for each in given:
        if isinstance(each, (str, Path)) and os.path.isabs(each):
            message = message.replace(f"{Path(each).parent}{os.sep}", "")
    return printable(without_folders(message))


def without_folders(message: str) -> str:
    """A message with the names of this machine's files alone, as absolute paths are nobody's business."""
    return FOLDERS.sub("", message)


def tell_what_is_not_taken(page: gr.Blocks) -> None:
    """Have a page refuse what its fields do not take in one sentence, and without a traceback on the server.

    Gradio checks values before any function of ours sees them: too few, words where numbers belong, files that are not there.
    """
    preprocess = page.preprocess_data

    async def preprocess_data(function: Any, sent: list, *args: Any, **kwargs: Any) -> Any:
        try:
            _require_no_folders(sent)
            return await preprocess(function, sent, *args, **kwargs)
        except gr.Error as error:
            raise gr.Error(
                printable(without_folders(str(error.message)))[:MOST_TOLD], print_exception=False
            ) from error
        except Exception as error:  # pydantic, Pillow and Gradio raise their own
            raise gr.Error(NOT_TAKEN, print_exception=False) from error

    page.preprocess_data = preprocess_data


def _require_no_folders(sent: Any) -> None:
    """Refuse a folder in the place of a file: Gradio would fail at deleting it, and then delete nothing any more."""
    waiting = [sent]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str) and os.path.isdir(path):
                raise gr.Error("A file must be sent, not a folder.", print_exception=False)
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value


async def tell_no_request(request: Any, error: Exception) -> JSONResponse:
    """The answer to a request that is none, for FastAPI: its own repeats what was sent, and fails where that is no JSON."""
    return JSONResponse({"detail": NOT_TAKEN}, status_code=422)


ANSWERS: dict[str, Any] = {"exception_handlers": {RequestValidationError: tell_no_request}}  # options of FastAPI


def asked_number(
    name: str, value: Any, least: float, most: float, default: Default, kind: str = "number"
) -> float | Default:
    """A number from a field; `default` if the field is empty.

    Raises:
        ValueError: if it is none, or outside of its bounds.
    """
    if value is None or value == "":
        return default
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # NaN fails too
        raise ValueError(f"{name} must be a {kind} from {least} to {most}, got {str(value)[:40]!r}.")
    return value


def asked_whole(name: str, value: Any, least: int, most: int, default: int = 0) -> int:
    """A whole number from a field, perhaps written as 2.0; `default` if the field is empty.

    Raises:
        ValueError: if it is none, or outside of its bounds.
    """
    number = asked_number(name, value, least, most, default, "whole number")
    if number != int(number):
        raise ValueError(f"{name} must be a whole number from {least} to {most}, got {number}.")
    return int(number)


def choice(name: str, value: object, allowed: Collection) -> Any:
    """One of a few words.

    Raises:
        ValueError: if it is none of them.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {str(value)[:40]!r}.")
    return value
