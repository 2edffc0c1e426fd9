"""The app's endpoints for programs, beside its page."""

from __future__ import annotations

import gradio as gr

from ..schedulers import SCHEDULERS
from .actions import MOST_SEED, SIZES
from .clip_options import MOST_FRAMES, MOST_STEPS
from .drawing import STROKE_COLUMNS, SUBJECT_COLUMNS, strokes_in, subjects_in
from .engine import Engine
from .uploads import asked_number, asked_whole, choice, picture_upload, told
from .work import WORK


def rows(label: str) -> gr.JSON:
    """A field for a list of lists, told as that: what Gradio tells of JSON, type {}, is no schema to the clients of agents."""
    field = gr.JSON([], label=label)
    told_as = {"type": "array", "items": {"type": "array", "items": {}}}
    field.api_info = lambda: told_as  # a class derived from Gradio's would write a file beside itself
    return field


def add_api(engine: Engine) -> None:
    """Endpoints for gradio_client, and tools for agents: files and plain values in, clip, views and motion out.

    Their docstrings are what an agent reads of them.
    """

    def generate(
        picture: str | None,
        label: str,
        seed: float,
        steps: float,
        scheduler: str,
        guidance_scale: float,
        motion_scale: float,
        loop: str,
        num_frames: float,
        output_size: str,
        subjects: list,
        strokes: list,
    ) -> tuple[str, str, str | list[str]]:
        """Make a short video of the subject of a picture doing what a label says; the rest of the picture stays as it is.

        Args:
            picture: one picture, such as a photograph of a person.
            label: what the subject does; a model of faces knows anger, disgust, fear, happiness, neutral, sadness and surprise.
            seed: the same seed makes the same clip.
            steps: of denoising; 0 takes the model's own number.
            scheduler: a scheduler of diffusers by name; empty takes the model's own.
            guidance_scale: how strongly the label counts, 1 plainly; 0 takes the model's own, away from what a face shows already.
            motion_scale: how far everything moves, 1 as generated, 0 not at all.
            loop: empty plays once; "loop" makes a periodic clip, "ease" and "ping_pong" lead it back.
            num_frames: 0 takes the model's own number.
            output_size: "picture" for the picture's own size, "model" for that of training.
            subjects: boxes in pixels with a label each, if several subjects move.
            strokes: places in pixels and where each of them goes.

        Returns:
            The clip as mp4, a video of its flow and occlusion, and the motion as a file; of several subjects, a list of those.
        """
        options = {
            "scheduler": choice("scheduler", scheduler, ("", *SCHEDULERS)),
            "steps": asked_whole("steps", steps, 0, MOST_STEPS),
            "seed": asked_whole("seed", seed, 0, MOST_SEED),
            "loop": True if loop == "loop" else choice("loop", loop or "", ("", "loop", "ease", "ping_pong")),
            "num_frames": asked_whole("num_frames", num_frames, 0, MOST_FRAMES) or None,
            "output_size": choice("output_size", output_size, SIZES),
            "subjects": subjects_in(subjects),
            "strokes": strokes_in(strokes),
            "guidance_scale": asked_number("guidance_scale", guidance_scale, -100, 100, None) or None,
            "motion_scale": asked_number("motion_scale", motion_scale, -100, 100, 1),
        }
        made = engine.generate(picture, label, **options)
        motions = made.downloads[2:]  # one of each subject
        return made.downloads[0], made.views, motions if len(motions) > 1 else motions[0]

    def transfer(picture: str | None, driving: str, relative: bool) -> tuple[str, str, str]:
        """Make a video in which the subject of a picture moves as another one does in a driving clip.

        Args:
            picture: one picture, framed as the driving clip is.
            driving: a video or an animation.
            relative: move as the clip does since its first frame, which keeps the subject's own shape.

        Returns:
            The clip as mp4, a video of its flow and occlusion, and the motion as a file.
        """
        made = engine.transfer(picture, driving, relative)
        return made.downloads[0], made.views, made.downloads[-1]

    with gr.Row(visible=False):
        picture = picture_upload(label="picture")
        files = [gr.File(label=name) for name in ("clip", "views", "motion")]
        values = [
            gr.Textbox("", label="label"),
            gr.Number(0, label="seed"),
            gr.Number(0, label="steps (0: the model's)"),
            gr.Textbox("", label="scheduler (empty: the model's)"),
            gr.Number(0, label="guidance_scale (0: the model's)"),
            gr.Number(1.0, label="motion_scale"),
            gr.Textbox("", label="loop (loop, ease, ping_pong or empty)"),
            gr.Number(0, label="num_frames (0: the model's)"),
            gr.Textbox(SIZES[0], label="output_size (picture or model)"),
            rows(f"subjects (lists of {', '.join(SUBJECT_COLUMNS)})"),
            rows(f"strokes (lists of {', '.join(STROKE_COLUMNS)}, the last two perhaps null)"),
        ]
        driving = gr.File(label="driving", type="filepath")
        relative = gr.Checkbox(True, label="relative")
        public = WORK | {"api_visibility": "public"}
        gr.Button().click(told(generate), [picture, *values], files, api_name="generate", **public)
        gr.Button().click(told(transfer), [picture, driving, relative], files, api_name="transfer", **public)
