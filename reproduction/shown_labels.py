#!/usr/bin/env python
"""Teach a model to tell whether a face smiles already (`ShownLabels`), from its U-Net's summary of rendered people, who are known.

    python reproduction/shown_labels.py --data_dirs people128 --pipeline lfdm_diffusers/assets/people128
    python reproduction/shown_labels.py --data_dirs people128 --pipeline lfdm_diffusers/assets/people128 \
        --photographs FOLDER --face_api face-api

A logistic regression, on pictures as `start_picture_summary.py` reads them. Its bound is put where so few of the test people's pictures
without a smile are called smiling as `FALSE` says: leading a face away from what it does not show costs more than not doing it. It is
written to the pipeline's model_index.json. Of photographs it prints how often the model agrees with a reader of faces that learnt from
photographs (see photographs.py).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from photographs import NAMES, SMILING, Reader
from start_picture_summary import SMILE, Faces, read_faces

from lfdm_diffusers import LFDMPipeline, find_subjects
from lfdm_diffusers.data.picture_files import open_picture, picture_files
from lfdm_diffusers.data.picture_fitting import to_tensors
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.pipelines.full_size import crop
from lfdm_diffusers.pipelines.shown_labels import ShownLabels

SMILES, AT_REST = 0.4, 0.15  # strength of both corners of the mouth, from and to which a face smiles and does not
FALSE = 0.02  # share of pictures without a smile that are called smiling
PENALTY = 1e-2  # of weights
AWAY = 1.5  # the guidance that leads away from a smile; of more, faces tear (docs/people.md)
SEEN_AT = 256  # pixels of a face for the reader


def features(pipe: LFDMPipeline, latents: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([F.silu(pipe.unet.summarize_image(part.float())) for part in latents.split(64)]).clone()


def smiles(faces: Faces) -> torch.Tensor:
    return faces.actions[:, SMILE].mean(1)


def fitted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Weights `(N,)` of a logistic regression of truths `(n,)`, each kind counting as much."""
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-4)
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")
    balance = torch.where(y, 0.5 / y.float().mean(), 0.5 / (~y).float().mean())

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = (x - mean) / scale @ weight + bias
        value = F.binary_cross_entropy_with_logits(logits, y.float(), balance) + PENALTY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach() / scale


def of_photographs(pipe: LFDMPipeline, folder: Path, reader: Reader) -> None:
    """How often faces that the reader calls smiling, and others, are called smiling by the model."""
    called: dict[bool, list[bool]] = {True: [], False: []}
    for path in picture_files(folder):
        with open_picture(path) as image:
            picture = to_tensors(image)[0][:3]
        for box in find_subjects(picture, pipe.config.get("face_frame")):
            pixels = F.interpolate(crop(picture, box)[None], (SEEN_AT, SEEN_AT), mode="bicubic", antialias=True)[0]
            (face,) = reader.faces((255 * pixels.clamp(0, 1)).byte().permute(1, 2, 0).numpy()[None])
            if face is not None:
                found = max(NAMES, key=lambda label: face["expressions"][NAMES[label]])
                called[found == SMILING].append(pipe.labels_shown(picture, [box]) == [SMILING])
    for truth, told in called.items():
        print(
            f"photographs whose faces {'smile' if truth else 'do not'}: {sum(told)} of {len(told)} are called smiling"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dirs", type=Path, nargs="+", required=True, help="rendered people, with test people")
    parser.add_argument(
        "--pipeline", type=Path, required=True, help="folder of a pipeline, whose model_index.json changes"
    )
    parser.add_argument("--frames", type=int, default=3, help="of each clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photographs", type=Path, help="folder of photographs to try it on")
    parser.add_argument("--face_api", type=Path, help="folder of the reader's packages")
    args = parser.parse_args()

    pipe = LFDMPipeline.from_pretrained(args.pipeline)
    train, test = (read_faces(pipe, args.data_dirs, split, args.frames, args.seed) for split in ("train", "test"))
    strength = smiles(train)
    clear = (strength > SMILES) | (strength < AT_REST)
    weight = fitted(features(pipe, train.latents[clear]), strength[clear] > SMILES)
    scores, strength = features(pipe, test.latents) @ weight, smiles(test)
    bias = -torch.quantile(scores[strength < AT_REST], 1 - FALSE).reshape(1)
    told = ShownLabels((SMILING,), weight[None], bias, AWAY)
    pipe.register_to_config(shown_labels=told.to_config())
    path = args.pipeline / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8")) | {"shown_labels": told.to_config()}
    write_json(path, dict(sorted(index.items())), indent=2)

    without, with_one = scores[strength < AT_REST].numpy(), scores[strength > SMILES].numpy()
    area = float(np.mean(with_one[:, None] > without[None]))
    seen = float(np.mean(with_one + bias.item() > 0))
    print(f"{len(train.latents)} pictures; of {len(with_one)} smiles of test people {seen:.0%} are seen, of {len(without)} others "
          f"{FALSE:.0%}; area under the curve {area:.3f}")  # fmt: skip
    if args.photographs:
        of_photographs(pipe, args.photographs, Reader(args.face_api / "node_modules"))


if __name__ == "__main__":
    main()
