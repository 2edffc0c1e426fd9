"""What each button of the page does: it asks the engine and puts the answer into Gradio's components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import numpy as np
import PIL.Image

from ..data.picture_fitting import over_white, to_tensors
from ..data.picture_reading import bounded_picture
from ..pipelines import Box, LFDMPipeline
from ..pipelines.videos import pixels_of
from .engine import MOST_FRAMES, MOST_PIXELS, MOST_STEPS, Engine, Upload
from .uploads import asked_number, choice, told

LOOPS = {"play once": None, "ease back to the start": "ease", "forward and back": "ping_pong"}
SIZES = ("picture", "model")
MOST_SEED = 2**31
AS_TRAINED = "the model's own"
SHOWN = 720  # pixels of a picture on which boxes are shown
BRUSH_ALPHA = 0.7  # of the brush that paints where the picture may move
PROGRESS = gr.Progress()  # as a default argument, Gradio fills it in


def describe(engine: Engine, model: str) -> str:
    """What a loaded model is, in Markdown."""
    pipe = engine.pipeline(model)
    labels = ", ".join(pipe.labels or []) or "none: it reads text, or takes pictures alone"
    side = pipe.lfae.config.sample_size
    size = f"{side}x{side} pixels" if side else "pictures of any size"
    return (
        f"**{model or 'The model of this app'}**: {size}, {pipe.unet.config.num_frames} frames, "
        f"{pipe.default_steps()} steps of {type(pipe.scheduler).__name__}. Labels: {labels}."
    )


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
        table: Sequence[Sequence] | None,
        progress: gr.Progress = PROGRESS,
    ) -> tuple:
        options = {
            "model": model,
            "scheduler": None if scheduler == AS_TRAINED else scheduler,
            "steps": int(asked_number("Steps", steps, 1, MOST_STEPS, 0)),
            "seed": int(asked_number("Seed", seed, 0, MOST_SEED, 0)),
            "guidance_scale": asked_number("Guidance", guidance, -100, 100, 1),
            "motion_scale": asked_strength(scale),
            "loop": asked_loop(loop),
            "mask": painted_mask((editor or {}).get("layers") or [], BRUSH_ALPHA),
            "fit": fit,
            "num_frames": int(asked_number("Frames", frames, 1, MOST_FRAMES, 0)) or None,
            "output_size": choice("Size", size, SIZES),
            "subjects": subjects_in(table),
            "progress": shown_progress(progress),
        }
        if all_labels:
            grid, downloads = engine.all_labels(picture, **options)
            return grid, downloads, gr.Column(visible=False), gr.Column(visible=True)
        made = engine.generate(picture, (text or "").strip() or label, **options)
        shown = gr.Column(visible=True), gr.Column(visible=False)
        return made.clip, made.views, made.sheet, made.downloads, *shown

    return told(run)


def faces(engine: Engine) -> Callable:
    """What `Find faces` does: rows for the table of subjects."""

    def run(picture: Upload | None, model: str) -> list[list]:
        found = engine.faces(picture, model)
        return [[*(round(n) for n in (b.left, b.top, b.right - b.left, b.bottom - b.top)), ""] for b in found]

    return told(run)


@told
def boxes_shown(picture: Upload | None, table: Sequence[Sequence] | None, label: str | None) -> tuple | None:
    """The picture with the boxes of the table on it, each with its label; None while there is nothing to show."""
    subjects = subjects_in(table)
    if picture is None or not subjects:
        return None
    image = bounded_picture(picture, MOST_PIXELS)
    factor = min(1.0, SHOWN / max(image.size))
    size = [max(1, round(side * factor)) for side in image.size]
    small = PIL.Image.fromarray(pixels_of(over_white(to_tensors(image.resize(size))[0])))
    shown = []
    for number, (box, own) in enumerate(subjects, 1):
        x, y = (
            np.clip((low * factor, high * factor), 0, most)
            for low, high, most in zip((box.left, box.top), (box.right, box.bottom), small.size)
        )
        shown.append(((int(x[0]), int(y[0]), int(x[1]), int(y[1])), f"{number}: {own or label or 'as the clip'}"))
    return small, shown


def subjects_in(table: Sequence[Sequence] | None) -> list[tuple[Box, str | None]]:
    """Boxes and labels of the table's rows; rows without any number are left out.

    Raises:
        ValueError: for a row that is no box; names it.
    """
    subjects = []
    for number, (*sides, label) in enumerate([] if table is None else table, 1):
        if all(side is None or str(side).strip() in ("", "nan") for side in sides):
            continue
        try:
            left, top, width, height = (float(side) for side in sides)
            box = Box(left, top, left + width, top + height)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Subject {number} must have left, top, width and height in pixels, got {sides}."
            ) from error
        subjects.append((box, str(label or "").strip() or None))
    return subjects


def asked_strength(value: Any) -> float:
    """What the field "Strength" says; 1 where it was left empty."""
    return asked_number("Strength", value, -100, 100, 1)


def asked_loop(value: Any) -> str | None:
    """What the field "To be repeated" says."""
    return LOOPS[choice("To be repeated", value, LOOPS)]


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
            shown_progress(progress),
            size,
        )
        return made.clip, made.views, made.downloads

    return told(run)


def animated(engine: Engine) -> Callable:
    """What the third tab's button does: a picture with a motion that was kept."""

    def run(
        picture: Upload | None, motion: str | None, model: str, scale: float, loop: str, fit: str, size: str
    ) -> tuple:
        made = engine.animate(
            picture,
            motion,
            model,
            asked_strength(scale),
            asked_loop(loop),
            fit,
            size,
        )
        return made.clip, made.views, made.downloads

    return told(run)


def framed(engine: Engine) -> Callable:
    """The picture as the model sees it, for the editor; None while there is none."""

    def run(picture: Upload | None, fit: str, model: str) -> PIL.Image.Image | None:
        return None if picture is None else engine.framed(picture, fit, model)

    return told(run)


def loaded(engine: Engine) -> Callable:
    """What the button `Load` does: another model, and what has to change on the page with it."""

    def run(name: str) -> tuple:
        pipe = engine.pipeline(name)
        labels = pipe.labels or []
        frames = pipe.unet.config.num_frames
        return (
            name.strip(),
            describe(engine, name.strip()),
            gr.Radio(labels, value=labels[0] if labels else None, visible=bool(labels)),
            gr.Textbox("", visible=pipe.text_encoder is not None),
            gr.Button(visible=bool(labels)),
            gr.Slider(maximum=most_steps(pipe), value=pipe.default_steps()),
            gr.Slider(maximum=4 * frames, value=frames),
        )

    return told(run)


def shown_progress(progress: gr.Progress) -> Callable[[float, str], None]:
    """Progress as the engine tells it, on the page."""
    return lambda share, what: progress(share, desc=what)


def painted_mask(layers: Sequence[np.ndarray], opacity: float = 1.0) -> PIL.Image.Image | None:
    """What was painted on a picture, white where it was; None if nothing was.

    Args:
        layers: each `(H, W, 4)` uint8.
        opacity: of the brush. One stroke of it is white; so are places where strokes cross.
    """
    painted = [layer[..., 3] for layer in layers if layer is not None and layer.ndim == 3]
    alpha = np.max(painted, axis=0).astype(np.float32) if painted else np.zeros(1)
    return PIL.Image.fromarray(np.clip(alpha / opacity, 0, 255).astype(np.uint8)) if alpha.any() else None
