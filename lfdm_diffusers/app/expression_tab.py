"""The tab of expressions: sliders that answer at once, by motions that were made before."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from .actions import PROGRESS, at_work, shown_progress
from .engine import Engine, Upload
from .expressions import Expressions
from .gallery import first_label
from .given import away_field, shown_already
from .progress import part_of
from .uploads import asked_number, told
from .work import NOW, WORK, stop_button, told_line, work

MOST = 1.5  # of an expression: beyond that, mouths come twice
MOST_HELD = 10  # seconds
MADE = 0.85  # of the time that expressions take, until they are mixed for the first time


def weights_in(labels: Sequence[str], values: Sequence[Any]) -> dict[str, float]:
    """What the sliders say, by label."""
    return {label: asked_number(label.capitalize(), value, 0, MOST, 0) for label, value in zip(labels, values)}


def made(expressions: Expressions) -> Callable:
    """What the button does: it makes the motion of every label, and shows the first mixture."""

    def run(
        request: gr.Request,
        picture: Upload | None,
        away: str | None,
        hold: float,
        *values: Any,
        progress: gr.Progress = PROGRESS,
    ) -> tuple:
        tell = shown_progress(progress, expressions.engine, request)
        labels = expressions.make(picture, progress=part_of(tell, 0, MADE), away_from=away or "")
        tell(MADE, "mixing them")
        return (*mixed(expressions, labels, picture, away, hold, values), "Move the sliders: they answer at once.")

    return at_work(expressions.engine, run)


def mixed(
    expressions: Expressions,
    labels: Sequence[str],
    picture: Upload | None,
    away: str | None,
    hold: float,
    values: Sequence[Any],
) -> tuple[str, str]:
    """The picture at its fullest, and the clip."""
    held = asked_number("Held", hold, 0, MOST_HELD, 0)
    asked = weights_in(labels, values)
    mix = functools.partial(expressions.mixed, picture, asked, away_from=away or "")
    return mix(still=True), mix(hold=held)


def expression_tab(engine: Engine, tab: gr.Tab, picture: gr.Image) -> None:
    """Lay the tab out; `picture` is where one is given, on the left."""
    expressions, labels = Expressions(engine), engine.pipeline().labels or []
    with gr.Column():
        gr.Markdown("The motion of every label is made once for a picture; then the sliders mix them without waiting.")
        picture.render()
        told_line(engine, tab.select, picture)
        away = away_field(engine.pipeline(), "mix-away")
        go = gr.Button("Make its expressions", variant="primary", elem_id="go-expressions")
        sliders = [
            gr.Slider(
                0,
                MOST,
                1.0 if label == first_label(labels) else 0.0,
                step=0.05,
                label=label.capitalize(),
                elem_id=f"mix-{label}",
            )
            for label in labels
        ]
        hold = gr.Slider(0, MOST_HELD, 1, step=0.5, label="Held", info="seconds at its fullest", elem_id="mix-hold")
    with gr.Column():
        hint = gr.Markdown("Not made yet for this picture.", elem_id="mix-hint")
        still = gr.Image(label="At its fullest", interactive=False, height=300, elem_id="mix-still")
        stop_button(engine, "stop-expressions")
        clip = gr.Video(label="Clip", autoplay=True, loop=True, interactive=False, height=380, elem_id="mix-clip")

    def fullest(picture: Upload | None, away: str | None, *values: Any) -> str:
        return expressions.mixed(picture, weights_in(labels, values), still=True, away_from=away or "")

    def whole(picture: Upload | None, away: str | None, hold: float, *values: Any) -> str:
        return mixed(expressions, labels, picture, away, hold, values)[1]

    asked, shown = [picture, away, hold, *sliders], [still, clip, hint]
    work(go.click, made(expressions), asked, shown, "mix-still", show_progress_on=shown[:2])
    quick = WORK | {"show_progress": "hidden", "trigger_mode": "always_last"}
    for slider in sliders:
        slider.input(told(fullest), [picture, away, *sliders], still, **quick)
        slider.release(told(whole), asked, clip, **quick)
    hold.release(told(whole), asked, clip, **quick)
    for change in (picture.change, tab.select):
        change(shown_already(engine), picture, away, **NOW)
    for change in (picture.change, away.input):
        change(lambda: (None, None, "Not made yet for this picture."), None, [still, clip, hint], **NOW)
