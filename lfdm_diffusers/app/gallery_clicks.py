"""A click on a tile of the gallery takes its picture and its label."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from .gallery import tiles
from .work import NOW

# A tile is no component of Gradio's, so each has a button that nobody sees.
SCRIPT = """
() => {
    const take = event => {
        const tile = event.target.closest?.("[data-tile]");
        if (tile && (event.type === "click" || event.key === "Enter")) document.getElementById(`tile-${tile.dataset.tile}`).click();
    };
    for (const kind of ["click", "keydown"]) document.addEventListener(kind, take);
}
"""
CSS = ".behind-tile { display: none !important; }"


def take_tiles(page: gr.Blocks, picture: gr.Image, label: gr.Radio, kind: gr.Radio, labels: Sequence[str]) -> None:
    """Have a click on a tile choose its picture, its label where the page has it, and its kind of picture."""
    for number, tile in enumerate(tiles()):
        button = gr.Button(elem_id=f"tile-{number}", elem_classes="behind-tile")
        chosen = tile.picture, tile.label if tile.label in labels else gr.skip(), tile.model
        button.click(lambda chosen=chosen: chosen, None, [picture, label, kind], **NOW)
    page.load(None, None, None, js=SCRIPT, show_progress="hidden", api_visibility="private")
