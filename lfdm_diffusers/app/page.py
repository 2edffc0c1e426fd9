"""The page of the app in Gradio: its inputs, its results, and an API for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from ..data.picture_fitting import FITS
from ..embedded import DRAWN_MODEL, embedded_photographs, embedded_pictures
from ..schedulers import SCHEDULERS
from .actions import (
    AS_TRAINED,
    BRUSH_ALPHA,
    GENERATED_LOOPS,
    LOOPS,
    SIZES,
    animated,
    cleared,
    clicked,
    describe,
    faces,
    loaded,
    most_steps,
    paintable,
    random_seed,
    sampled,
    sentence_field,
    sentences_on_offer,
    stage,
    transferred,
)
from .api import add_api
from .drawing import STROKE, STROKE_COLUMNS, SUBJECT_COLUMNS, drawable
from .dropped import CSS as DROPPED_CSS
from .dropped import SCRIPT, TAKES
from .engine import Engine
from .expression_tab import expression_tab
from .gallery import first_clip, first_label, gallery
from .gallery_clicks import CSS as GALLERY_CSS
from .gallery_clicks import take_tiles
from .given import away_field, guidance_away, shown_already
from .history import history_parts
from .playing import play_by_themselves
from .uploads import (
    ANSWERS,
    MOST_UPLOADED,
    mask_editor,
    picture_upload,
    tell_what_is_not_taken,
)
from .work import NOW, WORK, stop_button, told_line, work

TITLE = "LFDM: one picture, one label, a moving picture"
HEAD = """
# One picture in, the same subject moving

Choose a picture and a label. The model generates a *motion* and moves your picture with it. Look at the motion, scale it, draw it, \
loop it, download it.
"""
CSS = """
.gradio-container { max-width: min(1180px, 100vw) !important; margin: auto !important; }
.tab-wrapper, .tab-container { max-width: 100%; overflow-x: auto; scrollbar-width: none; }
#driving { height: auto !important; } /* else it cuts off its buttons, once there is a clip */
footer { opacity: .6; }
@media (max-width: 480px) { /* all columns of a table in view */
    #strokes :is(th, td) *, #subjects :is(th, td) * { font-size: 11px !important; padding-left: 1px !important; padding-right: 1px !important; }
}
"""
BRUSH = f"rgba(80, 160, 255, {BRUSH_ALPHA})"
# What writes the tables of boxes and strokes, in the order of clicks: faces found are not cleared by the picture that came before.
DRAWING = NOW | {"concurrency_id": "drawing", "concurrency_limit": 1}


def make_page(engine: Engine) -> gr.Blocks:
    """The page for an engine; `launch` it with `launch_options`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.Markdown(HEAD)
        if pictures := gallery():
            gr.HTML(pictures, elem_id="gallery")
        model = gr.State("")
        with gr.Tab("Generate"), gr.Row(equal_height=False):
            kind, shaped = _generate_tab(engine, model, page)
        with gr.Tab("Expressions", visible=bool(engine.pipeline().labels)) as tab, gr.Row(equal_height=False):
            expression_tab(engine, tab, _picture(engine, 0, elem_id="mix-picture", render=False))
        with gr.Tab("From a clip") as tab, gr.Row(equal_height=False):
            _transfer_tab(engine, tab, model)
        with gr.Tab("Saved motion") as tab, gr.Row(equal_height=False):
            _kept_tab(engine, tab, model)
        with gr.Tab("Model", visible=engine.may_load):
            _model_tab(engine, model, kind, shaped)
        gr.Markdown(
            "The photograph to begin with is of Eileen Collins (NASA, public domain); none of the drawn people exists. Ask the people in "
            "a photograph before you move them."
        )
        add_api(engine)
        play_by_themselves(page)
    tell_what_is_not_taken(page)
    return page


def _generate_tab(engine: Engine, model: gr.State, page: gr.Blocks) -> tuple[gr.Radio, list[gr.Component]]:
    """Picture and label in, clip out; returns what chooses a model of the package, and what has to change with it (see `loaded`)."""
    pipe = engine.pipeline()
    labels, num_frames = pipe.labels or [], pipe.unet.config.num_frames
    with gr.Column():
        picture = _picture(engine, 0, height=260, elem_id="picture")
        # Where pictures are framed is chosen below.
        fit = _framing(engine, render=False)
        told_line(engine, page.load, picture, model, fit, name="outlook")
        kind = gr.Radio(
            [("a photograph of a person", ""), ("a drawn face", DRAWN_MODEL)],
            value="",
            label="The picture is",
            visible=engine.both,
            elem_id="kind",
        )
        text = gr.Textbox(max_lines=2, elem_id="text", **sentence_field(pipe))
        said = gr.Dataset(
            components=[text],
            label="Sentences that the model was trained on",
            elem_id="sentences",
            **sentences_on_offer(pipe),
        )
        said.click(lambda row: row[0], said, text, **NOW)
        label = gr.Radio(labels, value=first_label(labels), label="Label", visible=bool(labels), elem_id="label")
        with gr.Row():
            go = gr.Button("Animate", variant="primary", elem_id="go", min_width=90)
            go_all = gr.Button("All labels", visible=bool(labels), elem_id="go-all", min_width=90)
        away = away_field(pipe, "away")
        if engine.both:
            # A picture of somebody's own is a photograph, unless they say something else.
            by_hand = gr.State(False)
            kind.input(lambda: True, None, by_hand, **NOW)
            picture.input(lambda said: gr.skip() if said else "", by_hand, kind, **NOW)
            known = gr.Examples(_photographs(), picture, label="A photograph that the model has not seen")
            known.load_input_event.then(lambda: "", None, kind, **NOW)
        drawn = gr.Examples(_drawn(), picture, label="Drawn faces that the model of those has not seen")
        if engine.both:
            drawn.load_input_event.then(lambda: DRAWN_MODEL, None, kind, **NOW)
        with gr.Accordion("Motion", open=False):
            scale, loop, size = _strength(), _repetition(GENERATED_LOOPS, elem_id="loop"), _size()
            frames = gr.Slider(
                4,
                4 * num_frames,
                num_frames,
                step=1,
                label="Frames",
                info="a longer clip is the action several times, each time another one",
                elem_id="frames",
            )
        with gr.Accordion("Framing, and where it may move", open=False):
            fit.render()
            gr.Markdown("Paint where the picture may move; unpainted, all of it may.")
            editor = mask_editor(
                show_label=False,
                sources=(),
                transforms=(),
                brush=gr.Brush(default_size=40, colors=[BRUSH], default_color=BRUSH),
                layers=False,
                height=330,
                elem_id="editor",
            )
        with gr.Accordion("Strokes and subjects to draw", open=False):
            gr.Markdown(
                "**Stroke:** click on a place, then where it goes. **Subject:** click on two corners of a box; it moves by the "
                "label of its row, or by the one above, and the rest of the picture stays. With no box, faces that are found move, "
                "or else the whole picture."
            )
            what = gr.Radio(drawable(None), value=STROKE, label="Two clicks draw", elem_id="what")
            pending, drawn_on = gr.State(None), gr.State(None)
            shown = gr.Image(
                show_label=False, interactive=False, height=380, buttons=[], format="png", elem_id="stage"
            )
            strokes = _table(STROKE_COLUMNS, ["number"] * 6, elem_id="strokes")
            gr.Markdown(
                "A place gets there in the middle of the clip, and what is within a tenth of the picture goes along, unless its row "
                "says otherwise."
            )
            clear_strokes = gr.Button("No strokes", size="sm", elem_id="clear-strokes")
            subjects = _table(SUBJECT_COLUMNS, ["number"] * 4 + ["str"], elem_id="subjects")
            with gr.Row():
                find = gr.Button("Find faces", size="sm", elem_id="find-faces")
                clear_subjects = gr.Button("No boxes", size="sm", elem_id="clear-subjects")
        with gr.Accordion("Sampling", open=False):
            scheduler = gr.Dropdown([AS_TRAINED, *SCHEDULERS], value=AS_TRAINED, label="Scheduler")
            steps = gr.Slider(1, most_steps(pipe), pipe.default_steps(), step=1, label="Steps", elem_id="steps")
            guidance = gr.Slider(0, 5, pipe.default_guidance(), step=0.1, label="Guidance", info="1 is none")
            seed = gr.Number(
                0,
                label="Seed",
                precision=0,
                minimum=0,
                maximum=2**31,
                info="another seed, another timing",
                elem_id="seed",
            )
            any_seed = gr.Button("Random seed", size="sm", elem_id="random-seed")
    with gr.Column():
        with gr.Column() as one:
            clip, views, downloads = _results(engine, "clip", first_clip(engine.both))
            with gr.Accordion("The motion, frame by frame", open=False):
                sheet = gr.Image(show_label=False, interactive=False, type="filepath", elem_id="sheet")
            history = history_parts()
        with gr.Column(visible=False) as all_of_them:
            grid = _video("All labels", elem_id="grid")
            stop_button(engine, "stop-grid")
            grid_files = _files("Download: the grid as mp4 and GIF, and all clips with their motion", "grid-files")

    asked = [
        picture,
        label,
        text,
        model,
        scheduler,
        steps,
        seed,
        guidance,
        scale,
        loop,
        editor,
        fit,
        frames,
        size,
        subjects,
        strokes,
        away,
        history[0],
    ]
    columns = [one, all_of_them]
    for button, column, place, results in (
        (go, one, "clip", [clip, views, sheet, downloads, *history]),
        (go_all, all_of_them, "grid", [grid, grid_files]),
    ):
        # The progress of results in a hidden column would be hidden, too.
        ready = button.click(_only(column, columns), None, columns, **NOW)
        work(ready.then, sampled(engine, column is all_of_them), asked, results, place)
    any_seed.click(random_seed, None, seed, **NOW)
    for change in (picture.change, model.change, page.load):
        change(shown_already(engine), [picture, model], away, **NOW)
    away.change(guidance_away(engine), [away, model], guidance, **NOW)
    find.click(faces(engine), [picture, model], subjects, **DRAWING)
    drawing = [picture, pending, subjects, strokes, label]
    shown.select(clicked(engine), [picture, what, *drawing[1:]], [pending, what, subjects, strokes, shown], **DRAWING)
    clear_strokes.click(lambda: (None, [[]]), None, [pending, strokes], **DRAWING)
    clear_subjects.click(lambda: (None, [[]]), None, [pending, subjects], **DRAWING)
    for change in (subjects.change, strokes.change, label.change):
        change(stage(engine), drawing, [what, shown], **NOW)
    for change in (picture.change, page.load):
        change(cleared(engine), [picture, drawn_on], [pending, what, subjects, strokes, shown, drawn_on], **DRAWING)
    for change in (picture.change, page.load):
        change(paintable(engine), picture, editor, **NOW)
    take_tiles(page, picture, label, kind, labels)
    return kind, [label, text, said, go_all, steps, guidance, frames]


def _transfer_tab(engine: Engine, tab: gr.Tab, model: gr.State) -> None:
    with gr.Column():
        gr.Markdown(
            "The auto-encoder finds the motion of a driving clip, and gives it to your picture: no label needed."
        )
        picture, fit = _picture(engine, 1, elem_id="moving-picture"), _framing(engine, render=False)
        told_line(engine, tab.select, picture, model, fit)
        driving = gr.Video(
            label="Driving clip",
            sources=["upload", "webcam"],
            height=290,
            elem_id="driving",
            elem_classes=TAKES["clip"],
        )
        relative = gr.Checkbox(
            True, label="Move as the clip does since its first frame (keeps your subject's own shape)"
        )
        scale, loop = _strength(), _repetition()
        fit.render()
        size = _size()
        go = gr.Button("Transfer", variant="primary", elem_id="go-transfer")
    with gr.Column():
        results = _results(engine, "moved")
    work(go.click, transferred(engine), [picture, driving, relative, model, scale, loop, fit, size], results, "moved")


def _kept_tab(engine: Engine, tab: gr.Tab, model: gr.State) -> None:
    with gr.Column():
        gr.Markdown(
            "A `.safetensors` file that this app or `lfdm generate` has saved, for any picture framed in the same way."
        )
        picture, fit = _picture(engine, 2), _framing(engine, render=False)
        told_line(engine, tab.select, picture, model, fit)
        kept = gr.File(label="Motion", file_types=[".safetensors"], elem_id="motion", elem_classes=TAKES["motion"])
        scale, loop = _strength(), _repetition()
        fit.render()
        size = _size()
        go = gr.Button("Animate", variant="primary", elem_id="go-kept")
    with gr.Column():
        results = _results(engine, "kept")
    work(go.click, animated(engine), [picture, kept, model, scale, loop, fit, size], results, "kept")


def _model_tab(engine: Engine, model: gr.State, kind: gr.Radio, shaped: list[gr.Component]) -> None:
    gr.Markdown("A pipeline's folder on this machine, or its Hub id; empty for the one that the app was started with.")
    if engine.models is None:
        name = gr.Textbox(label="Model", placeholder="someone/some-model", elem_id="model")
    else:
        name = gr.Dropdown(["", *engine.models], value="", label="Model", elem_id="model")
    load = gr.Button("Load", variant="primary", elem_id="load")
    about = gr.Markdown(describe(engine, ""), elem_id="about")
    load.click(loaded(engine), [name, shaped[0]], [model, about, *shaped], **WORK)
    kind.change(loaded(engine), [kind, shaped[0]], [model, about, *shaped], **WORK)


def _only(column: gr.Column, columns: list[gr.Column]) -> Callable[[], list[gr.Column]]:
    """What shows one of the columns and hides the others."""
    return lambda: [gr.Column(visible=each is column) for each in columns]


# ---- parts that tabs share ------------------------------------------------------------------------------------------


def _drawn() -> list[str]:
    return [str(path) for path in embedded_pictures()]


def _photographs() -> list[str]:
    return [str(path) for path in embedded_photographs()]


def _picture(engine: Engine, example: int, height: int = 240, **options: Any) -> gr.Image:
    """Where a picture is given; it begins with one of the package that the model knows the kind of."""
    value = next(iter(_photographs() if engine.both else _drawn()[example:]), None)
    sources = ["upload", "webcam", "clipboard"]
    # Without a mode the picture comes as it is: transparency is laid over white later, by the pipeline.
    options |= {"label": "Picture", "sources": sources, "height": height, "elem_classes": TAKES["picture"]}
    return picture_upload(value, **options)


def _strength() -> gr.Slider:
    return gr.Slider(
        0, 2, 1, step=0.05, label="Strength", info="0 is still, 1 as found; beyond about 1.5 faces begin to tear"
    )


def _repetition(loops: Iterable[str] = LOOPS, **options: Any) -> gr.Radio:
    return gr.Radio(list(loops), value="play once", label="Loop", **options)


def _table(columns: list[str], types: list[str], **options: Any) -> gr.Dataframe:
    """Rows that may be written, too."""
    return gr.Dataframe(
        headers=columns,
        datatype=types,
        column_count=len(columns),
        row_count=1,
        type="array",
        interactive=True,
        show_label=False,
        buttons=[],
        **options,
    )


def _framing(engine: Engine, **options: Any) -> gr.Radio:
    choices = list(zip(("whole picture", "cut to fill"), FITS))
    value = engine.pipeline().fit_of(None)
    return gr.Radio(choices, value=value, label="Pictures that are not square", **options)


def _size() -> gr.Radio:
    choices = list(zip(("the picture's own", "the model's"), SIZES))
    return gr.Radio(choices, value=SIZES[0], label="Size of the clip")


def _video(label: str, **options: Any) -> gr.Video:
    """A clip that loops."""
    return gr.Video(label=label, autoplay=True, loop=True, interactive=False, **options)


def _results(engine: Engine, name: str, value: str | None = None) -> tuple[gr.Video, gr.Video, gr.File]:
    """Clip, its motion views, and the files to take home."""
    clip = _video("Clip", value=value, height=380, elem_id=name)
    stop_button(engine, f"stop-{name}")
    return (
        clip,
        _video("Its motion", show_label=False, visible=False, elem_id=f"{name}-views"),
        _files("Download: mp4, GIF, and the motion itself", f"{name}-files", visible=False),
    )


def _files(label: str, name: str, **options: Any) -> gr.File:
    return gr.File(label=label, file_count="multiple", interactive=False, elem_id=name, **options)


def launch_options() -> dict[str, Any]:
    """Arguments for `Blocks.launch` besides the address."""
    fonts = {"font": ["ui-sans-serif", "system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    theme = gr.themes.Soft(primary_hue="blue", neutral_hue="slate", **fonts)  # fonts that need no download
    return {
        "theme": theme,
        "css": CSS + DROPPED_CSS + GALLERY_CSS,
        "js": SCRIPT,
        "max_file_size": MOST_UPLOADED,
        "show_error": True,
        "footer_links": ["api"],
        "app_kwargs": dict(ANSWERS),  # Gradio writes into it
    }
