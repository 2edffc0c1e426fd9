"""What a visitor has made so far, and a clip's first frame beside its fullest one."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import numpy as np
import PIL.Image

from ..data.clips import Clip, iterate_frames

MOST = 12  # clips that are shown again; the page's cache has their files for an hour


def fullest(path: str) -> tuple[PIL.Image.Image, PIL.Image.Image]:
    """A clip's first frame, and the one that differs most from it."""
    frames = iter(iterate_frames(Clip(Path(path))))
    first = best = next(frames)
    most = -1.0
    for frame in frames:
        change = float(np.abs(frame[::2, ::2].astype(np.int16) - first[::2, ::2]).mean())
        if change > most:
            most, best = change, frame
    return PIL.Image.fromarray(first), PIL.Image.fromarray(best)


def history_parts() -> tuple[gr.State, gr.ImageSlider, gr.Gallery]:
    """The list, before and after, and the row of clips, on the page."""
    with gr.Accordion("Before and after", open=False):
        slider = gr.ImageSlider(
            show_label=False, interactive=False, type="pil", max_height=380, buttons=[], elem_id="before-after"
        )
    with gr.Accordion("What was made before", open=False):
        row = gr.Gallery(
            show_label=False,
            interactive=False,
            columns=4,
            height=220,
            fit_columns=False,
            buttons=[],
            elem_id="history",
        )
    return gr.State([]), slider, row


def remembered(clip: str, name: str, made: list | None) -> tuple:
    """For `history_parts`, when a clip is there: it comes first in the row."""
    made = [(clip, name), *(made or [])][:MOST]
    return made, fullest(clip), made
