"""Buttons that begin what takes the model's turn, and one that stops it; where the result comes is brought into view.

On a phone it stands below all fields, and Gradio's own way there, `scroll_to_output`, leaves the page where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from .actions import outlook, stop
from .engine import Engine

NOW = {"concurrency_limit": 4, "api_visibility": "private", "show_progress": "hidden"}
WORK = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}

SCRIPT = """
() => {
    const place = document.getElementById("%s"), {top, bottom} = place.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) place.scrollIntoView({behavior: "smooth", block: "start"});
}
"""


def told_line(
    engine: Engine, opened: Callable, picture: gr.Image, *others: gr.components.Component, name: str = ""
) -> None:
    """A line that says what will become of a picture, from the event on that opens where it stands; `others` are the model and the
    framing, whose changes it follows, too."""
    line = gr.Markdown(elem_id=name or None)
    for change in (opened, *(part.change for part in (picture, *others))):
        change(outlook(engine), [picture, *others], line, **NOW)


def stop_button(engine: Engine, name: str) -> None:
    """A button that ends this visitor's work; it stands below the result, where one looks while it is made."""
    gr.Button("Stop", variant="stop", size="sm", elem_id=name).click(stop(engine), None, None, **NOW)


def work(
    event: Callable, function: Callable, asked: Sequence[Any], results: Sequence[Any], place: str, **options: Any
) -> None:
    """Have an event, such as a button's `click`, do work whose results come at the element with the id `place`.

    The progress is shown on the first of the results.
    """
    _show(event, place)
    options = WORK | {"show_progress_on": [results[0]]} | options
    _show(event(function, asked, results, **options).success, place)


def _show(event: Callable, place: str) -> None:
    """Scroll to the element with the id `place`, unless all of it is in view."""
    event(None, None, None, js=SCRIPT % place, show_progress="hidden", api_visibility="private")
