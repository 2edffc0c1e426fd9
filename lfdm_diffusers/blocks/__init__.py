"""The four parts of `LFDMPipeline` as diffusers' modular blocks: encode picture, generate motion, edit motion, render."""

from .encoding import EncodePicture
from .modular_pipeline import LFDMBlocks, LFDMModularPipeline
from .motions import EditMotion, FinerMotion, GenerateMotion
from .rendering import RenderMotion

__all__ = [
    "EditMotion",
    "EncodePicture",
    "FinerMotion",
    "GenerateMotion",
    "LFDMBlocks",
    "LFDMModularPipeline",
    "RenderMotion",
]
