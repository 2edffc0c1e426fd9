"""Clips that play by themselves. A browser plays before the first click what is muted, and Gradio has no field for that.

The clips of a model have no sound; what a visitor gives keeps its own.
"""

from __future__ import annotations

import gradio as gr

SCRIPT = """
() => {
    const play = video => { video.muted = true; video.play().catch(() => {}); };
    // Events of media do not rise, so they are caught on their way down.
    document.addEventListener("loadedmetadata", ({target}) => { if (target.autoplay) play(target); }, true);
    document.querySelectorAll("video[autoplay]").forEach(play);
}
"""


def play_by_themselves(page: gr.Blocks) -> None:
    """Have clips with `autoplay` play as soon as they are there."""
    page.load(None, None, None, js=SCRIPT, show_progress="hidden", api_visibility="private")
