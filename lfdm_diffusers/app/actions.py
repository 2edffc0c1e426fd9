"""What each button of the page does: it asks the engine and puts the answer into Gradio's components."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import numpy as np
import PIL.Image

from ..pipelines import LFDMPipeline
from .clip_options import MOST_FRAMES, MOST_STEPS
from .drawing import STROKE, Point, Table, after_click, drawable, drawn, small_picture, strokes_in, subjects_in
from .engine import Engine, Made, Upload
from .history import remembered
from .progress import Progress
from .uploads import Stopped, asked_number, asked_whole, choice, sentence_of, told

# Of a motion that is there already; one that is generated may be generated as a loop.
LOOPS: dict[str, str | bool | None] = {
    "play once": None,
    "ease back to the start": "ease",
    "forward and back": "ping_pong",
}
GENERATED_LOOPS = {"play once": None, "as a loop": True} | LOOPS
SIZES = ("picture", "model")
MOST_SEED = 2**31
AS_TRAINED = "the model's own"
BRUSH_ALPHA = 0.7  # of the brush that paints where the picture may move
PROGRESS = gr.Progress()  # as a default argument, Gradio fills it in


def describe(engine: Engine, model: str) -> str:
    """What a loaded model is, in Markdown."""
    pipe = engine.pipeline(model)
    labels = ", ".join(pipe.labels or []) or "none"
    if pipe.takes_sentences:
        text = "It takes sentences."
    else:
        text = "It reads other texts, but was trained on its labels alone." if pipe.text_encoder is not None else ""
    side = pipe.lfae.config.sample_size
    size = f"{side}x{side} pixels" if side else "pictures of any size"
    return (
        f"**{model or 'The model of this app'}**: {size}, {pipe.unet.config.num_frames} frames, "
        f"{pipe.default_steps()} steps of {type(pipe.scheduler).__name__}. Labels: {labels}. {text}"
    ).strip()


def sentence_field(pipe: LFDMPipeline) -> dict[str, Any]:
    """How the field for a text looks: it stands first where sentences are taken, else it is there for other words than the labels."""
    return {
        "visible": pipe.text_encoder is not None,
        "label": "What happens" if pipe.takes_sentences else "Another text than the labels",
        "placeholder": next(iter(pipe.example_sentences), "a person smiles"),
        "info": "in place of the label" if pipe.labels else None,
    }


def sentences_on_offer(pipe: LFDMPipeline) -> dict[str, Any]:
    """Sentences that the model shows, one a row, to be clicked; hidden where it has none."""
    return {"samples": [[text] for text in pipe.example_sentences], "visible": bool(pipe.example_sentences)}


def most_steps(pipe: LFDMPipeline) -> int:
    """The largest number of steps on offer: 100, or the model's default if that is more."""
    return max(100, pipe.default_steps())


def sampled(engine: Engine, all_labels: bool) -> Callable:
    """What the first tab's buttons do: one clip, or all labels."""

    def run(
        picture: Upload | None,
        label: str | None,
        text: str | None,
        model: str,
        scheduler: str,
        steps: float,
        seed: float,
        guidance: float,
        scale: float,
        loop: str,
        editor: dict | None,
        fit: str,
        frames: float,
        size: str,
        subjects: Table,
        strokes: Table,
        away_from: str | None,
        before: list | None,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> tuple:
        options = {
            "model": model,
            "scheduler": None if scheduler == AS_TRAINED else scheduler,
            "steps": asked_whole("Steps", steps, 1, MOST_STEPS),
            "seed": asked_whole("Seed", seed, 0, MOST_SEED),
            "guidance_scale": asked_number("Guidance", guidance, -100, 100, None),
            "motion_scale": asked_strength(scale),
            "loop": asked_loop(loop, GENERATED_LOOPS),
            "mask": painted_mask((editor or {}).get("layers") or [], BRUSH_ALPHA),
            "fit": fit,
            "num_frames": asked_whole("Frames", frames, 1, MOST_FRAMES) or None,
            "output_size": choice("Size", size, SIZES),
            "subjects": subjects_in(subjects),
            "strokes": strokes_in(strokes),
            "away_from": away_from or None,
            "progress": shown_progress(progress, engine, request),
        }
        if all_labels:
            return engine.all_labels(picture, **options)
        asked = (text or "").strip() or label
        made = engine.generate(picture, asked, **options)
        history = remembered(made.clip, f"{asked or 'clip'}, seed {options['seed']}", before)
        clip, views, downloads = appeared(made)
        return clip, views, made.sheet, downloads, *history

    return at_work(engine, run)


def appeared(made: Made) -> tuple:
    """A clip, its motion and its files; the last two take no place on the page before there are any."""
    return made.clip, gr.Video(made.views, visible=True), gr.File(made.downloads, visible=True)


def at_work(engine: Engine, function: Callable) -> Callable:
    """A function with a `gr.Request` among its arguments, which is a visitor's work while it runs; its errors are `told`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        visitor = next(each.session_hash for each in args if isinstance(each, gr.Request))
        engine.stopped.discard(visitor)
        engine.working.add(visitor)
        try:
            return function(*args, **kwargs)
        finally:
            engine.working.discard(visitor)

    return told(wrapper)


def stop(engine: Engine) -> Callable:
    """What `Stop` does: this visitor's work ends after its step."""

    def run(request: gr.Request) -> None:
        if request.session_hash in engine.working:
            engine.stopped.add(request.session_hash)
        else:
            gr.Info("Nothing of yours is being made.")

    return run


def random_seed() -> int:
    """Any seed."""
    return random.randrange(MOST_SEED)


def outlook(engine: Engine) -> Callable:
    """What will become of a picture, in Markdown; of one that cannot be used, why: the one place where this is said."""

    def run(picture: Upload | None, model: str = "", fit: str | None = None) -> str:
        if picture is None:
            return ""
        try:
            line = engine.pipeline(model).outlook(engine.usable(picture), fit).sentence
        except (ValueError, OSError) as error:
            return f"**{sentence_of(error, picture)}**"
        return f"{line[:1].upper()}{line[1:]}"

    return run


def faces(engine: Engine) -> Callable:
    """What `Find faces` does: rows for the table of subjects."""

    def run(picture: Upload | None, model: str) -> list[list]:
        found = engine.faces(picture, model)
        return [[*(round(n) for n in (b.left, b.top, b.right - b.left, b.bottom - b.top)), ""] for b in found]

    return told(run)


def to_draw_on(engine: Engine, picture: Upload | None) -> tuple[PIL.Image.Image, float] | None:
    """`small_picture` of a picture; None while there is none that can be used, which `outlook` says."""
    try:
        return None if picture is None else small_picture(engine.usable(picture))
    except (ValueError, OSError):
        return None


def clicked(engine: Engine) -> Callable:
    """What a click on the picture does: it begins or ends a stroke or a box."""

    def run(
        picture: Upload | None,
        what: str,
        pending: Point | None,
        subjects: Table,
        strokes: Table,
        label: str | None,
        click: gr.SelectData,
    ) -> tuple:
        small, factor = small_picture(engine.usable(picture))
        x, y = (float(at) for at in click.index[:2])
        point = (min(max(x / factor, 0), small.width / factor), min(max(y / factor, 0), small.height / factor))
        pending, boxes, lines = after_click(point, what, pending, subjects, strokes)
        # What was selected stays so: a box may be drawn again and again.
        shown = drawn(small, factor, subjects_in(boxes), strokes_in(lines), pending, label)
        return pending, gr.Radio(drawable(boxes)), boxes or [[]], lines or [[]], shown

    return told(run)


def stage(engine: Engine) -> Callable:
    """The picture with what is drawn on it; None while there is none."""

    def run(
        picture: Upload | None, pending: Point | None, subjects: Table, strokes: Table, label: str | None
    ) -> tuple[gr.Radio, PIL.Image.Image | None]:
        what = gr.Radio(drawable(subjects))
        if (usable := to_draw_on(engine, picture)) is None:
            return what, None
        small, factor = usable
        return what, drawn(small, factor, subjects_in(subjects), strokes_in(strokes), pending, label)

    return told(run)


def cleared(engine: Engine) -> Callable:
    """Nothing is drawn, as on another picture than `before`; the last of the answers is the picture.

    Gradio tells of a change once more when it has answered the one before: what was drawn on that picture by then stays.
    """

    def run(picture: Upload | None, before: Upload | None) -> tuple:
        if picture is not None and picture == before:
            return (gr.skip(),) * 6
        small = to_draw_on(engine, picture)
        shown = None if small is None else drawn(*small, [], [])
        return None, gr.Radio(drawable(None), value=STROKE), [[]], [[]], shown, picture

    return told(run)


def asked_strength(value: Any) -> float:
    """What the field "Strength" says; 1 where it was left empty."""
    return asked_number("Strength", value, -100, 100, 1)


def asked_loop(value: Any, loops: dict[str, Any] = LOOPS) -> Any:
    """What the field "Loop" says."""
    return loops[choice("Loop", value, loops)]


def transferred(engine: Engine) -> Callable:
    """What the second tab's button does: a picture that moves as a clip does."""

    def run(
        picture: Upload | None,
        driving: str | None,
        relative: bool,
        model: str,
        scale: float,
        loop: str,
        fit: str,
        size: str,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> tuple:
        made = engine.transfer(
            picture,
            driving,
            relative,
            model,
            asked_strength(scale),
            asked_loop(loop),
            fit,
            shown_progress(progress, engine, request),
            size,
        )
        return appeared(made)

    return at_work(engine, run)


def animated(engine: Engine) -> Callable:
    """What the third tab's button does: a picture with a motion that was kept."""

    def run(
        picture: Upload | None,
        motion: str | None,
        model: str,
        scale: float,
        loop: str,
        fit: str,
        size: str,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> tuple:
        made = engine.animate(
            picture,
            motion,
            model,
            asked_strength(scale),
            asked_loop(loop),
            fit,
            size,
            shown_progress(progress, engine, request),
        )
        return appeared(made)

    return at_work(engine, run)


def paintable(engine: Engine) -> Callable:
    """The picture, for the editor; None while there is none that can be used."""

    def run(picture: Upload | None) -> PIL.Image.Image | None:
        small = to_draw_on(engine, picture)
        return None if small is None else small[0]

    return run


def loaded(engine: Engine) -> Callable:
    """Another model, by its name, and what has to change on the page with it; a label that it knows, too, stays."""

    def run(name: str, label: str | None = None) -> tuple:
        pipe = engine.pipeline(name)
        labels = pipe.labels or []
        frames = pipe.unet.config.num_frames
        return (
            name.strip(),
            describe(engine, name.strip()),
            gr.Radio(labels, value=label if label in labels else next(iter(labels), None), visible=bool(labels)),
            gr.Textbox("", **sentence_field(pipe)),
            gr.Dataset(**sentences_on_offer(pipe)),
            gr.Button(visible=bool(labels)),
            gr.Slider(maximum=most_steps(pipe), value=pipe.default_steps()),
            gr.Slider(value=pipe.default_guidance()),
            gr.Slider(maximum=4 * frames, value=frames),
        )

    return told(run)


def shown_progress(progress: gr.Progress, engine: Engine, request: gr.Request) -> Progress:
    """Progress as the engine tells it, on the page, with the seconds left; it ends the work of a visitor who wants that (see `stop`)."""
    begun, visitor = time.monotonic(), request.session_hash

    def show(share: float, what: str) -> None:
        if visitor in engine.stopped:
            raise Stopped("Stopped.")
        left = (time.monotonic() - begun) * (1 - share) / share if share > 0 else None
        seconds = "" if left is None else ", 1 second left" if left < 1.5 else f", {round(left)} seconds left"
        progress(share, desc=f"{what}{seconds}")

    return show


def painted_mask(layers: Sequence[np.ndarray], opacity: float = 1.0) -> PIL.Image.Image | None:
    """What was painted on a picture, white where it was; None if nothing was.

    Args:
        layers: each `(H, W, 4)` uint8.
        opacity: of the brush. One stroke of it is white; so are places where strokes cross.
    """
    painted = [layer[..., 3] for layer in layers if layer is not None and layer.ndim == 3]
    alpha = np.max(painted, axis=0).astype(np.float32) if painted else np.zeros(1)
    return PIL.Image.fromarray(np.clip(alpha / opacity, 0, 255).astype(np.uint8)) if alpha.any() else None
