from .motion import Motion
from .pipeline_lfdm import LFDMPipeline, LFDMPipelineOutput

__all__ = ["LFDMPipeline", "LFDMPipelineOutput", "Motion"]
