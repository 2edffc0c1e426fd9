"""Pipelines: one picture and one text in, a video out, by LFDM and by the systems that it is compared with."""

from .frame_diffusion import FrameDiffusionPipeline
from .image_to_video import ImageToVideoPipeline, VideoPipelineOutput
from .motion import Motion
from .pipeline_imaginator import ImaginatorPipeline
from .pipeline_ldm import LDMVideoPipeline
from .pipeline_lfdm import LFDMPipeline, LFDMPipelineOutput
from .pipeline_vdm import VDMPipeline
from .rendering import Box
from .strokes import Stroke
from .subjects import find_subjects

# By the name that a `model_index.json` gives.
PIPELINES: dict[str, type[ImageToVideoPipeline]] = {
    cls.__name__: cls for cls in (LFDMPipeline, VDMPipeline, LDMVideoPipeline, ImaginatorPipeline)
}

# What `training/train_baseline.py --system` calls the spaces that frames are diffused in.
FRAME_SPACES: dict[str, type[FrameDiffusionPipeline]] = {"vdm": VDMPipeline, "ldm": LDMVideoPipeline}

__all__ = [
    "FRAME_SPACES",
    "PIPELINES",
    "Box",
    "FrameDiffusionPipeline",
    "ImageToVideoPipeline",
    "ImaginatorPipeline",
    "LDMVideoPipeline",
    "LFDMPipeline",
    "LFDMPipelineOutput",
    "Motion",
    "Stroke",
    "VDMPipeline",
    "VideoPipelineOutput",
    "find_subjects",
]
