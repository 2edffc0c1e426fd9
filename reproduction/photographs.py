#!/usr/bin/env python
"""What a reader of faces that learnt from photographs calls generated clips of photographs, and true clips of rendered people.

npm install --prefix face-api @vladmandic/face-api@1.7.15 @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
python reproduction/photographs.py --face_api face-api --photographs FOLDER
python reproduction/photographs.py --face_api face-api --photographs FOLDER --guidance_scale 2

A clip is called what the mean over some frames about its middle is. How far its face is from the picture's is told beside it: by the
reader's authors, less than .6 is the same person. `--data unseen` gives it the true clips of a set instead: no model can be called rightly
more often than what it learnt from. As `lfdm generate` does, faces are led away from what the model sees that they show; with `--away`
those that the reader calls happy in the photograph, as one would ask for whose photograph it is; with `--guidance_scale` none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from lfdm_diffusers import Box, LFDMPipeline, find_subjects
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.picture_reading import open_picture
from lfdm_diffusers.embedded import embedded_model, embedded_photographs
from lfdm_diffusers.visualization import enlarge

# Labels in the reader's names.
NAMES = {
    "anger": "angry", "disgust": "disgusted", "fear": "fearful", "happiness": "happy", "neutral": "neutral", "sadness": "sad",
    "surprise": "surprised",
}  # fmt: skip
LABELS = tuple(NAMES)
SMILING = "happiness"
APEX = [9, 11, 13]  # of 24 frames
LARGE = 700  # pixels of a photograph's longer side, at most


class Reader:
    """The reader of faces, a process of Node."""

    def __init__(self, modules: Path):
        script = Path(__file__).with_name("read_faces.js")
        self.process = subprocess.Popen(
            ["node", script, modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def faces(self, frames: np.ndarray) -> list[dict | None]:
        """Expressions and identity of the face in each frame, `(F, H, W, 3)` uint8; None where no face is found."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with tempfile.NamedTemporaryFile() as file:
            file.write(np.ascontiguousarray(frames).tobytes())
            file.flush()
            count, height, width, _ = frames.shape
            self.process.stdin.write(f"{file.name}\t{width}\t{height}\t{count}\n")
            self.process.stdin.flush()
            while line := self.process.stdout.readline():
                if line.startswith("["):  # tfjs greets
                    return json.loads(line)
        raise RuntimeError("the reader of faces ended; it says why above")


def called(faces: Sequence[dict | None]) -> str | None:
    """The label of a clip by its frames' faces."""
    seen = [[face["expressions"][name] for name in NAMES.values()] for face in faces if face]
    return LABELS[int(np.mean(seen, 0).argmax())] if seen else None


def generated(
    pipeline: str, files: Sequence[Path], guidance_scale: float | None, away: float | None, reader: Reader
) -> Iterator[tuple[str, np.ndarray, dict[str, np.ndarray]]]:
    """Of each photograph in which a face is found its name, the pixels around its first face, and the same of frames of a clip of each
    label, at its own size. Other faces are cut off: it reads one."""
    pipe = LFDMPipeline.from_pretrained(pipeline)
    pipe.set_progress_bar_config(disable=True)
    for file in files:
        with open_picture(file) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((LARGE, LARGE))
        face = find_subjects(picture)[:1]
        clips = {}
        rows, columns = around(face[0]) if face else (slice(None), slice(None))
        pixels = np.asarray(picture)[rows, columns]
        shown: list[str | None] = [None]
        if face and guidance_scale is None and away is None:
            shown = pipe.labels_shown(picture, face)
        elif face and away is not None and called(reader.faces(pixels[None])) == SMILING:
            shown = [SMILING]
        for label in LABELS if face else ():
            guidance = pipe.guidance_away(
                [label], shown, away if shown != [None] and label != SMILING else guidance_scale
            )
            (frames,) = pipe(
                picture, [label], subjects=face, output_size="picture", output_type="stream",
                generator=torch.Generator().manual_seed(0), **guidance,
            ).frames  # fmt: skip
            clips[label] = np.stack(list(frames))[APEX][:, rows, columns]
        if clips:
            yield file.name, pixels, clips


def around(box: Box) -> tuple[slice, slice]:
    """Rows and columns of a box in a picture."""
    left, top, right, bottom = (max(0, round(side)) for side in (box.left, box.top, box.right, box.bottom))
    return slice(top, bottom), slice(left, right)


def rendered(folder: Path, people: int | None) -> Iterator[tuple[str, np.ndarray, dict[str, np.ndarray]]]:
    """Name, first frame and frames of each clip of a set for testing, at twice their size in a wide margin, for the detector."""
    clips = [clip for clip in find_clips(folder) if clip.split == "test" and clip.label is not None]
    chosen = sorted({clip.subject for clip in clips})[:people]
    for clip in clips:
        if clip.subject in chosen:
            frames = enlarge(read_clip(clip), 2)
            margin = frames.shape[1] // 4
            frames = np.pad(frames, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
            yield clip.subject, frames[0], {clip.label: frames[APEX]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--face_api", type=Path, required=True, help="the folder that npm installed into")
    parser.add_argument("--pipeline", default=str(embedded_model()), help="default: the package's people128")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--photographs", type=Path, help="a folder of them, beside that of lfdm_diffusers")
    given.add_argument("--data", type=Path, help="people that lfdm data people drew: judge the true clips")
    parser.add_argument("--people", type=int, help="of --data, at most; default: all")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--guidance_scale", type=float, help="of all clips, and away from nothing")
    how.add_argument("--away", type=float, help="guidance away from happiness, where the reader sees it")
    args = parser.parse_args()
    reader = Reader(args.face_api / "node_modules")
    files = sorted(file for file in args.photographs.iterdir() if file.is_file()) if args.photographs else []
    pictures = (
        rendered(args.data, args.people)
        if args.data
        else generated(args.pipeline, [*embedded_photographs(), *files], args.guidance_scale, args.away, reader)
    )
    confusion, unseen, far = np.zeros((len(LABELS), len(LABELS)), int), 0, []
    for name, picture, clips in pictures:
        (first,) = reader.faces(picture[None])
        for label, frames in clips.items():
            faces = reader.faces(frames)
            answer = called(faces)
            print(f"{name}, {called([first])} at first: {label} is called {answer}", flush=True)
            if answer is None:
                unseen += 1
                continue
            confusion[LABELS.index(label), LABELS.index(answer)] += 1
            if first:
                far += [np.linalg.norm(np.subtract(face["identity"], first["identity"])) for face in faces if face]
    for label, row in zip(LABELS, confusion):
        print(f"{label:10}", *(f"{count:4}" for count in row))
    print(f"{confusion.trace()} of {confusion.sum()} rightly, {unseen} without a face that was found")
    print(f"distance from the picture's face: mean {np.mean(far):.2f}, largest {np.max(far):.2f}")


if __name__ == "__main__":
    main()
