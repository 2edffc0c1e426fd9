from .animation import LFDMPipelineOutput
from .image_to_video import ImageToVideoPipeline, VideoPipelineOutput
from .motion import Motion
from .pipeline_ldm import LDMVideoPipeline
from .pipeline_lfdm import LFDMPipeline
from .pipeline_vdm import VDMPipeline

__all__ = [
    "ImageToVideoPipeline",
    "LDMVideoPipeline",
    "LFDMPipeline",
    "LFDMPipelineOutput",
    "Motion",
    "VDMPipeline",
    "VideoPipelineOutput",
]
