#!/usr/bin/env python
"""Ways to make frames of several times the model's size, against truly drawn ones: docs/results/full-size.json, and a table.

    python reproduction/full_size.py --painter lfdm_diffusers/assets/toon64/painter

People whom no model of ours has seen make an expression each. The auto-encoder finds the motion from the first frame to three others
at 64 pixels; each way renders them at 256 and at 512 pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from lfdm_diffusers import FullSizePainter, LFDMPipeline
from lfdm_diffusers.data.toon_faces import LABELS, toon_clip
from lfdm_diffusers.embedded import embedded_model
from lfdm_diffusers.evaluation.full_size import FullSizeScores, SmallMotion, small_motion
from lfdm_diffusers.files.progress import progress_bar
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.models import LatentFlowAutoencoder
from lfdm_diffusers.models.full_size_painter import agreement, enlarged, plain_rule, warp_picture
from lfdm_diffusers.pipelines.rendering import Box, MovedSubject, Renderer
from lfdm_diffusers.pipelines.steadying import activity, steadied, still_at_rest

PEOPLE = range(600, 624)
SMALL = 64
OUTPUT = Path(__file__).parents[1] / "docs" / "results" / "full-size.json"
Way = Callable[[torch.Tensor, SmallMotion], torch.Tensor]
Rule = Callable[[SmallMotion], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def clips(size: int) -> Iterator[torch.Tensor]:
    """For each person a first frame and three later ones, `(4, 3, size, size)`: on the way, at the apex, and back."""
    for person in PEOPLE:
        clip = toon_clip(0, person, LABELS[person % len(LABELS)], num_frames=5, size=size)
        yield torch.from_numpy(clip.frames[:4]).permute(0, 3, 1, 2).float() / 255


def rendered(reference: torch.Tensor, found: SmallMotion, rule: Rule) -> torch.Tensor:
    """As `output_size="picture"` does it; `rule` says of the steadied motion a flow, what is painted, and its share."""
    found = found._replace(flow=steadied(found.flow))
    active = activity(found.flow, found.warped, found.decoded)
    height, width = reference.shape[-2:]
    parts = still_at_rest(*rule(found), active)
    return torch.stack(list(Renderer(reference[0], [MovedSubject(Box(0, 0, width, height), *parts)])))


def ways(lfae: LatentFlowAutoencoder, painters: dict[str, FullSizePainter]) -> dict[str, Way]:
    """By title, what makes frames `(F, 3, S h, S w)` of a first one `(1, 3, S h, S w)` and its small motion."""

    def scale(reference: torch.Tensor) -> int:
        return reference.shape[-1] // SMALL

    def whole_model(reference: torch.Tensor, found: SmallMotion) -> torch.Tensor:
        flow, occlusion = (x.transpose(0, 1)[None] for x in (found.flow, found.occlusion))
        return lfae.decode(lfae.encode(reference), flow, occlusion).sample[0].transpose(0, 1).clamp(0, 1)

    def warp_alone(reference: torch.Tensor, found: SmallMotion) -> torch.Tensor:
        flow = plain_rule(found.flow, found.decoded, found.warped, scale(reference)).flow
        return warp_picture(reference.expand(len(flow), -1, -1, -1), flow).clamp(0, 1)

    def gate(least: float) -> Way:
        def way(reference: torch.Tensor, found: SmallMotion) -> torch.Tensor:
            return rendered(reference, found, lambda f: (f.flow, f.decoded, 1 - agreement(f.warped, f.decoded, least)))

        return way

    def by(painter: FullSizePainter) -> Way:
        def way(reference: torch.Tensor, found: SmallMotion) -> torch.Tensor:
            size = [painter.config.scale * SMALL] * 2
            picture = F.interpolate(reference, size, mode="bilinear", align_corners=False, antialias=True)
            return rendered(reference, found, lambda motion: painter(picture, *motion).to_tuple())

        return way

    return {
        "first frame repeated": lambda reference, found: reference.expand(len(found.flow), -1, -1, -1),
        "decoder's frame, bicubic": lambda reference, found: enlarged(found.decoded, scale(reference)).clamp(0, 1),
        "auto-encoder run at full size": whole_model,
        "picture warped by the flow alone": warp_alone,
        "occlusion as the share": lambda reference, found: rendered(
            reference, found, lambda motion: (motion.flow, motion.decoded, 1 - motion.occlusion)
        ),
        **{f"agreement, scale {least:.2f}": gate(least) for least in (0.08, 0.16, 0.24)},
        **{title: by(painter) for title, painter in painters.items()},
    }


@torch.no_grad()
def measure(
    lfae: LatentFlowAutoencoder, painters: dict[str, FullSizePainter], size: int
) -> dict[str, dict[str, float]]:
    """Scores by title of the way."""
    rows = ways(lfae, painters)
    scores = {title: FullSizeScores() for title in rows}
    for frames in progress_bar(clips(size), total=len(PEOPLE), unit="clip", desc=f"{size} pixels"):
        reference, true = frames[:1], frames[1:]
        found = small_motion(lfae, reference.expand_as(true), true, size // SMALL)
        for title, way in rows.items():
            scores[title].update(reference, true, way(reference, found))
    return {title: score.compute() for title, score in scores.items()}


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown: a row for each way, its scores at each size."""
    sizes = list(results)
    head = ["rendering", *(f"{name}, {size}" for size in sizes for name in ("L1", "L1 moving", "PSNR", "sharpness"))]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for title in results[sizes[0]]:
        cells = [title]
        for size in sizes:
            row = results[size][title]
            cells += [f"{row['l1']:.4f}", f"{row['l1_moving']:.4f}", f"{row['psnr']:.1f}", f"{row['sharpness']:.3f}"]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines).replace("0.", ".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--painter", nargs="*", default=[], help="folders of painters to compare")
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512], help="pixels of a side, multiples of 64")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    lfae = LFDMPipeline.from_pretrained(embedded_model("toon64")).lfae.eval()
    painters = {
        "painter" if len(args.painter) == 1 else f"painter {folder}": FullSizePainter.from_pretrained(folder).eval()
        for folder in args.painter
    }
    results = {str(size): measure(lfae, painters, size) for size in args.size}
    frames = 3 * len(PEOPLE)
    write_json(args.output, {"frames": frames, "people": [PEOPLE.start, PEOPLE.stop - 1], "scores": results}, indent=2)
    print(table(results))


if __name__ == "__main__":
    main()
