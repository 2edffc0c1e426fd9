"""The first part: pictures to what is moved."""

from __future__ import annotations

from diffusers.modular_pipelines import BlockState, InputParam, OutputParam

from ..models.latent_flow_autoencoder import EncodedImage
from ..pipelines import LFDMPipeline
from ..pipelines.canvas import Canvas
from .base import OUTPUT_SIZE, LFDMBlock, argument, output


class EncodePicture(LFDMBlock):
    """Fit pictures to the model's frame, and encode each once, for any number of motions.

    It needs the auto-encoder; with the U-Net beside it, sizes are checked for that too. `output_size`, `latents` and `strokes` of the
    blocks after it decide whether `height` and `width` are the model's frame or the videos' size (see `LFDMPipeline.__call__`).
    """

    parts = ("lfae",)
    configs = ("face_frame",)

    @property
    def inputs(self) -> list[InputParam]:
        of_pictures = [argument(name) for name in ("image", "height", "width", "image_fit", "subjects")]
        return [*of_pictures, OUTPUT_SIZE, *(argument(name) for name in ("output_type", "latents", "strokes"))]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            output("canvas", Canvas, "the pictures as they are rendered, and as the model sees them"),
            output("encoded", EncodedImage, "their latent maps, which are warped and decoded"),
        ]

    def run(self, pipe: LFDMPipeline, given: BlockState) -> None:
        as_given = given.latents is not None or given.strokes is not None
        canvas = pipe.prepare_canvas(
            given.image,
            given.height,
            given.width,
            given.image_fit,
            given.output_size or "model",
            given.subjects,
            as_given,
        )
        sides = (canvas.height, canvas.width)
        if given.latents is not None:
            sides = pipe.size_asked(*sides, given.latents)
        canvas = canvas.framed(*pipe.frame_size(canvas.pictures, *sides))
        pipe._check_output(*canvas.frame, canvas.image_fit, given.output_type)
        canvas.full_size(given.output_type)  # what it refuses is refused before any work is done
        given.canvas, given.encoded = canvas, pipe.encode_canvas(canvas)
