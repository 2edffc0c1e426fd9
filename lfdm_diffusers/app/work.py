"""Buttons that begin what takes the model's turn, and one that stops it; where the result comes is brought into view.

On a phone it stands below all fields, and Gradio's own way there, `scroll_to_output`, leaves the page where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from .actions import stop
from .engine import Engine

NOW = {"concurrency_limit": 4, "api_visibility": "private", "show_progress": "hidden"}
WORK = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}

SCRIPT = """
() => {
    const place = document.getElementById("%s"), {top, bottom} = place.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) place.scrollIntoView({behavior: "smooth", block: "start"});
}
"""


def stop_button(engine: Engine, name: str) -> gr.Button:
    """A button that ends this visitor's work."""
    button = gr.Button("Stop", variant="stop", elem_id=name, min_width=90)
    button.click(stop(engine), None, None, **NOW)
    return button


def work(
    event: Callable, function: Callable, asked: Sequence[Any], results: Sequence[Any], place: str, **options: Any
) -> None:
    """Have an event, such as a button's `click`, do work whose results come at the element with the id `place`."""
    _show(event, place)
    _show(event(function, asked, results, **WORK | options).success, place)


def _show(event: Callable, place: str) -> None:
    """Scroll to the element with the id `place`, unless all of it is in view."""
    event(None, None, None, js=SCRIPT % place, show_progress="hidden", api_visibility="private")
