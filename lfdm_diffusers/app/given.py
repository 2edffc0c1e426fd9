"""What a face shows already, and guidance away from it: a field of two tabs."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from ..pipelines import LFDMPipeline
from .engine import Engine, Upload
from .uploads import told


def away_field(pipe: LFDMPipeline, name: str) -> gr.Dropdown:
    """What asks for it; there, where the model has labels and guidance."""
    labels = pipe.labels or []
    return gr.Dropdown(
        [("nothing that counts", ""), *((label, label) for label in labels)],
        value="",
        label="The face shows already",
        info="guidance leads other labels away from it: happiness closes a smile. Seen by the model where it can; you may know better",
        visible=pipe.default_guidance() not in (0, 1) and bool(labels),
        elem_id=name,
    )


def shown_already(engine: Engine) -> Callable:
    """What the model sees that a face in a picture shows; "" for none, and for a picture that cannot be used, which is said elsewhere."""

    def run(picture: Upload | None, model: str = "") -> str:
        if picture is None:
            return ""
        try:
            pipe, tensor = engine.pipeline(model), engine.usable(picture)
            found = pipe.labels_shown(tensor, engine.moving(pipe, tensor))
        except (ValueError, OSError):
            return ""
        return next((label for label in found if label), "")

    return run


def guidance_away(engine: Engine) -> Callable:
    """The guidance that suits what the face shows already: the model's own where nothing is said."""

    def run(away_from: str | None, model: str) -> float:
        pipe = engine.pipeline(model)
        return pipe.default_guidance_away() if away_from else pipe.default_guidance()

    return told(run)
