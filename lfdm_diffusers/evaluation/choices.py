"""Names of scores, anchors and files of an evaluation. It loads nothing, so the command's `--help` is quick."""

from __future__ import annotations

ANCHORS = ("static", "shuffled")
# What each score needs besides clips.
METRICS = {
    "fvd": "video detector",
    "cfvd": "video detector",
    "sfvd": "video detector",
    "kvd": "video detector",
    "gap": "video detector",
    "fid": "frame detector",
    "sfid": "frame detector",
    "accuracy": "judge",
    "expression": "judge",
    "timing": "judge",
    "identity": "judge",
    "background": "judge",
    "diversity": "",
    "l1": "model",
    "epe": "model",
    "occlusion": "model",
}
FEWEST = 50  # clips for a Fréchet distance of 400 features; below, the floor is higher than models differ
GENERATED = "generated"  # the folder of `output` that has the clips
PLAN = "metadata.jsonl"  # so that the folder is one that `find_clips` reads
# Who judges labels: the networks of this package for toon faces and rendered people, or one trained on the clips that the model has
# seen.
AUTO, TOON_FACES, PEOPLE, TRAIN = "auto", "toon-faces", "people", "train"
