"""What a face shows already, and guidance away from it: a field of two tabs."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from ..embedded import AWAY, embedded_photographs, given_expression
from ..pipelines import LFDMPipeline
from .engine import Engine, Upload
from .uploads import told


def away_field(pipe: LFDMPipeline, name: str) -> gr.Dropdown:
    """What asks for it; there, where the model has labels and guidance."""
    labels = pipe.labels or []
    return gr.Dropdown(
        [("not said", ""), *((label, label) for label in labels)],
        value="",
        label="The face shows already",
        info="guidance leads away from it: happiness closes a smile",
        visible=pipe.default_guidance() not in (0, 1) and bool(labels),
        elem_id=name,
    )


def shown_already(picture: Upload | None) -> str:
    """What the face in a photograph of the package shows; "" for any other picture, of which nobody said it."""
    for path in embedded_photographs():
        if isinstance(picture, (str, Path)) and filecmp.cmp(path, picture, shallow=False):
            return given_expression([path]) or ""
    return ""


def guidance_away(engine: Engine) -> Callable:
    """The guidance that suits what the face shows already: the model's own where nothing is said."""

    def run(away_from: str | None, model: str) -> float:
        return AWAY if away_from else engine.pipeline(model).default_guidance()

    return told(run)
