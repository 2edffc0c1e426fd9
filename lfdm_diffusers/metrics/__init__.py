"""Scores of image-to-video models, one function for each; docs/evaluation.md says what they mean and how they are used.

Clips are RGB in [0, 1], `(N, F, 3, H, W)`; flow is an absolute sampling grid `(..., 2, H, W)` as everywhere else.
"""

from .distances import (
    GroupedDistance,
    Interval,
    TrainTestGap,
    bootstrap_interval,
    frechet_distance,
    grouped_distance,
    kernel_distance,
    split_distance,
    train_test_gap,
)
from .diversity import seed_diversity
from .feature_weights import load_perceptual
from .flow_judge import FlowJudge
from .frame_features import FrameDetector, frame_features, load_frame_detector
from .i3d import VideoDetector, convert_i3d, load_i3d, video_features
from .identity import identity_retrieval, identity_similarity
from .judge_files import load_judge
from .label_judge import LabelJudge
from .labels import confusion_matrix, label_accuracy
from .means import RunningMean
from .motion import (
    EndPointScores,
    end_point_distances,
    end_point_error,
    expression_timing,
    motion_profile,
    upsample_flow,
    zero_flow_like,
)
from .reconstruction import (
    ReconstructionScores,
    moving_pixels,
    occlusion_statistics,
    reconstruction_l1,
    reconstruction_l1_per_frame,
)
from .toon_judges import ExpressionJudge, IdentityEncoder

__all__ = [
    "EndPointScores",
    "ExpressionJudge",
    "FlowJudge",
    "FrameDetector",
    "GroupedDistance",
    "IdentityEncoder",
    "Interval",
    "LabelJudge",
    "ReconstructionScores",
    "RunningMean",
    "TrainTestGap",
    "VideoDetector",
    "bootstrap_interval",
    "confusion_matrix",
    "convert_i3d",
    "end_point_distances",
    "end_point_error",
    "expression_timing",
    "frame_features",
    "frechet_distance",
    "grouped_distance",
    "identity_retrieval",
    "identity_similarity",
    "kernel_distance",
    "label_accuracy",
    "load_frame_detector",
    "load_i3d",
    "load_judge",
    "load_perceptual",
    "motion_profile",
    "moving_pixels",
    "occlusion_statistics",
    "reconstruction_l1",
    "reconstruction_l1_per_frame",
    "seed_diversity",
    "split_distance",
    "train_test_gap",
    "upsample_flow",
    "video_features",
    "zero_flow_like",
]
