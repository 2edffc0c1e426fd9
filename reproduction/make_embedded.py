#!/usr/bin/env python
"""Put a trained pipeline into the package: half-precision weights, its scores and curves, and a model card.

lfdm evaluate lfdm-toon64/pipeline --data toon --split test --output toon64-scores \
    --metrics accuracy,expression,timing,identity,background,diversity,l1,epe,occlusion
python reproduction/make_embedded.py --pipeline lfdm-toon64/pipeline --results toon64-scores/results.json \
    --stage_one lfae-toon64/metrics.jsonl --stage_two lfdm-toon64/metrics.jsonl \
    --about about-toon64.md --output lfdm_diffusers/assets/toon64

The folder's name says which model it is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
from kept_weights import PEOPLE_FACTS, TOON_FACTS, draw_curves, read_metrics, save_half, write_thinned

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.framing import SIDE
from lfdm_diffusers.files.whole import whole

matplotlib.use("Agg")
from matplotlib import pyplot as plt

LIMIT = 30e6  # bytes of weights in the package

# Side of the picture in distances from the eyes to the mouth: drawn faces fill more of it than people's (`data.framing`).
TOON_FRAME = 3.2
MODELS = {"toon64": (TOON_FACTS, TOON_FRAME), "people128": (PEOPLE_FACTS, SIDE)}


def plot_training(stage_one: list[dict], decoder: list[dict], stage_two: list[dict], path: Path) -> None:
    """Losses of all stages, and the reconstruction of unseen people, beside each other.

    Records of `train_unet.py --expression_weight`, whose loss is another one, call it `weighted_loss` in `stage_two`.
    """
    weighted = any("validation/weighted_loss" in record for record in stage_two)
    count = 3 + bool(decoder) + weighted
    figure, axes = plt.subplots(1, count, figsize=(4 * count, 3.4), layout="constrained")
    left, middle, *others = axes
    losses = ("reconstruction", "inpainted", "equivariance_shift", "equivariance_affine")
    names = {name: name.replace("_", " ") for name in losses}
    draw_curves(left, stage_one, names, "stage one: weighted losses", yscale="log")
    pictures = (("l1", "result"), ("inpainted_l1", "inpainted"), ("static_l1", "reference repeated"))
    names = {f"validation/{name}_moving": label for name, label in pictures}
    draw_curves(middle, stage_one, names, "stage one: L1 over moving pixels, unseen people", ylim=(0, None))
    if decoder:
        draw_curves(others.pop(0), decoder, names, "decoder: the same, by true motion", ylim=(0, None))
    who = {"": "training", "validation/": "unseen people, averaged weights"}
    for name, title in (("loss", "denoising loss"), ("weighted_loss", "the same, mouths weighed"))[: len(others)]:
        names = {each + name: label for each, label in who.items()}
        draw_curves(others.pop(0), stage_two, names, f"stage two: {title}", ylim=(0, None))
    figure.savefig(path, dpi=100)
    plt.close(figure)


def scores(results: dict) -> str:
    """What the card says of results.json."""
    found, receipt = results["scores"], results["receipt"]
    l1, flow, occlusion, accuracy, timing, identity = (
        found[name] for name in ("l1", "epe", "occlusion", "accuracy", "timing", "identity")
    )
    rows = [
        ("L1 over moving pixels, re-enacted (raw decoder output)", f"{l1['l1_moving']} ({l1['inpainted_l1_moving']})", f"{l1['static_l1_moving']}, reference repeated"),
        ("L1 over all pixels, re-enacted (raw decoder output)", f"{l1['l1']} ({l1['inpainted_l1']})", f"{l1['static_l1']}, reference repeated"),
        ("end-point error where visible and moving, pixels", flow["value"], f"{flow['no_motion']}, no flow"),
        ("occlusion of visible / hidden places", f"{occlusion['of_visible']} / {occlusion['value']}", "1 / 0, truth"),
        ("label accuracy of generated clips", accuracy["value"], f"{accuracy['real_value']}, real clips"),
        ("onset of two seeds, difference in frames", timing["value"], f"{timing['real_value']}, two real takes"),
        ("identity: similarity to the reference", identity["value"], f"{identity['real_value']}, real clips; {identity['most_similar_other']}, most similar other"),
        ("identity: frames nearest to their own person", identity["retrieval"], f"{identity['real_retrieval']}, real clips"),
    ]  # fmt: skip
    table = ["| | this model | beside it |", "| --- | --- | --- |"]
    table += [f"| {' | '.join(map(str, row))} |" for row in rows]
    videos = receipt["videos"]
    return "\n\n".join(
        (
            "## Scores",
            f"{videos['generated']} clips for the {videos['real']} pictures and labels of people that it was not trained on, by "
            f"`{receipt['command']}`. Everything is in [results.json](results.json). The package's docs/evaluation.md says what each "
            "number means, and its docs/results.md has FVD, and samplers beside each other.",
            "\n".join(table),
        )
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pipeline", required=True, help="folder of the trained pipeline")
    parser.add_argument("--results", type=Path, help="what `lfdm evaluate` wrote for it (above)")
    parser.add_argument("--stage_one", type=Path, required=True, help="metrics.jsonl of train_lfae.py")
    parser.add_argument(
        "--decoder", type=Path, help="metrics.jsonl of finetune_decoder.py, where the decoder learnt more"
    )
    parser.add_argument("--stage_two", type=Path, required=True, help="metrics.jsonl of train_unet.py")
    parser.add_argument(
        "--painter", type=Path, help="metrics.jsonl of train_painter.py, where the pipeline has a painter"
    )
    parser.add_argument("--about", type=Path, required=True, help="Markdown for the card: data, commands, hardware")
    parser.add_argument("--num_inference_steps", type=int, help="default of the pipeline; by default as it is")
    parser.add_argument("--guidance_scale", type=float, help="default of the pipeline; by default as it is")
    parser.add_argument("--output", type=Path, required=True, help=f"a folder named {' or '.join(MODELS)}")
    args = parser.parse_args(argv)
    if args.output.name not in MODELS:
        parser.error(f"--output must be a folder named {' or '.join(MODELS)}, got {args.output.name!r}")
    model_facts, face_frame = MODELS[args.output.name]

    pipe = LFDMPipeline.from_pretrained(args.pipeline)
    if args.num_inference_steps:
        pipe.register_to_config(default_num_inference_steps=args.num_inference_steps)
    if args.guidance_scale:
        pipe.register_to_config(default_guidance_scale=args.guidance_scale)
    pipe.register_to_config(face_frame=face_frame)
    notes = [args.about.read_text(encoding="utf-8").strip()]
    if args.results:
        notes.append(scores(json.loads(args.results.read_text(encoding="utf-8"))))
    stages = {"stage_one": args.stage_one, "decoder": args.decoder, "stage_two": args.stage_two}
    records = {name: read_metrics(path) if path else [] for name, path in stages.items()}
    facts = model_facts | {"name": f"lfdm-{args.output.name}", "notes": notes}
    with whole(args.output) as folder:
        folder.mkdir()
        size = save_half(pipe, folder)
        pipe.card(facts=facts).save(folder / "README.md")
        if args.results:
            (folder / "results.json").write_text(args.results.read_text(encoding="utf-8"), encoding="utf-8")
        for name, found in records.items():
            if found:
                write_thinned(found, folder / f"{name}.jsonl")
        if args.painter:
            write_thinned(read_metrics(args.painter), folder / "painter.jsonl")
        plot_training(*records.values(), folder / "training.png")
        if size > LIMIT:
            raise ValueError(
                f"`--pipeline` has {size / 1e6:.1f} MB of weights in half precision, {LIMIT / 1e6:.0f} are allowed."
            )
    print(f"wrote {args.output}: {size / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    main()
