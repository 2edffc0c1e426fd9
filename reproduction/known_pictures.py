"""Measure which pictures a model knows (`KnownPictures`), keep that with the model, and show it on others.

    python reproduction/known_pictures.py --pipeline lfdm_diffusers/assets/toon64 --known toon --others FOLDER
    python reproduction/known_pictures.py --pipeline people128 --known FOLDER_OF_PICTURES --others FOLDER

`--known` are pictures framed as in training: drawn here for "toon", of people that the model has not seen. Three quarters say what is known,
the rest the limit. Prints a table in Markdown: the known ones, and the distance of each of the others, framed whole and by its faces.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.picture_files import open_picture, picture_files
from lfdm_diffusers.data.picture_fitting import fit_picture, over_white, to_tensors
from lfdm_diffusers.data.toon_faces import toon_clip
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.models import LatentFlowAutoencoder
from lfdm_diffusers.pipelines.known_pictures import KnownPictures, facts_of_reconstruction

DRAWN, SEED, FIRST_PERSON = 400, 20_000, 5_000  # numbers of people that no training set has
LEAST_CROP = 0.85  # side of what is framed of a known picture, as its share: faces are not framed exactly


def drawn_faces(size: int, labels: list[str]) -> list[torch.Tensor]:
    clips = (toon_clip(SEED, FIRST_PERSON + i, labels[i % len(labels)], num_frames=2, size=size) for i in range(DRAWN))
    return [to_tensors(np.asarray(clip.frames[0]))[0] for clip in clips]


def facts(lfae: LatentFlowAutoencoder, pictures: list[torch.Tensor], image_fit: str = "center_crop") -> torch.Tensor:
    side = lfae.config.sample_size
    fitted = [fit_picture(over_white(picture), side, side, image_fit) for picture in pictures]
    with torch.no_grad():
        return torch.cat([facts_of_reconstruction(lfae, lfae.encode(picture[None])) for picture in fitted])


def jittered(picture: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A part of it, of `LEAST_CROP` to all of its side."""
    height, width = picture.shape[-2:]
    side = round(min(height, width) * rng.uniform(LEAST_CROP, 1))
    y, x = (int(rng.integers(0, length - side + 1)) for length in (height, width))
    return picture[:, y : y + side, x : x + side]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pipeline", type=Path, required=True, help="folder of a pipeline, whose model_index.json changes"
    )
    parser.add_argument("--known", default="toon", help="toon, or a folder of pictures framed as in training")
    parser.add_argument("--others", type=Path, help="folder of pictures to show the distance of")
    args = parser.parse_args(argv)

    pipe = LFDMPipeline.from_pretrained(args.pipeline)
    lfae = pipe.lfae.eval()

    def read(path: Path) -> torch.Tensor:
        with open_picture(path) as image:
            return to_tensors(image)[0]

    if args.known == "toon":
        known = drawn_faces(2 * (lfae.config.sample_size or 64), pipe.labels or ["happiness"])
    else:
        known = [read(path) for path in picture_files(Path(args.known))]
    rng = np.random.default_rng(0)
    found = facts(lfae, [picture if i % 2 else jittered(picture, rng) for i, picture in enumerate(known)])
    limiting = torch.arange(len(found)) % 8 >= 6  # of both kinds
    measured = KnownPictures.measured(found[~limiting], found[limiting])
    pipe.register_to_config(known_pictures=measured.to_config())
    path = args.pipeline / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8")) | {"known_pictures": measured.to_config()}
    write_json(path, dict(sorted(index.items())), indent=2)

    print("| picture | framed whole | its faces | |\n| --- | --- | --- | --- |")
    for name, chosen in (("known, that say what is known", ~limiting), ("known, that say the limit", limiting)):
        distances = measured.distances(found[chosen])
        far = int((distances > 1).sum())
        print(
            f"| {name} ({len(distances)}) | {distances.median():.2f}, at most {distances.max():.2f} | | {far} beyond 1 |"
        )
    for path in picture_files(args.others) if args.others else ():
        picture = read(path)
        distance = float(measured.distances(facts(lfae, [picture])))
        seen = pipe.outlook(picture)
        of_faces = f"{seen.unlike:.2f} of {len(seen.subjects)}" if seen.subjects else "none"
        print(f"| {path.stem} | {distance:.2f} | {of_faces} | {'not known' if (seen.unlike or 0) > 1 else 'known'} |")


if __name__ == "__main__":
    main()
