from .animation import LFDMPipelineOutput
from .motion import Motion
from .pipeline_lfdm import LFDMPipeline

__all__ = ["LFDMPipeline", "LFDMPipelineOutput", "Motion"]
